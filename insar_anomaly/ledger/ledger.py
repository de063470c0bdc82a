"""What was seen, scored, flagged and sent, in one database: SQLite by default, PostgreSQL by URL.

Every write is one transaction and may be repeated: after a crash the night runs again and ends in the same ledger. Stacks
are named `gvp/frame`, pairs `YYYYMMDD_YYYYMMDD`. Numbers that are NaN are stored, and come back, as None.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

from sqlalchemy import Connection, Select, Table, case, exists, func, select, true, update

from insar_anomaly.errors import StoreFailed
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.database import Database, checked
from insar_anomaly.ledger.records import EpisodeRow, Judge, ModelRow, NewNotice, NoticeRow, PairRow, ScoreRow, Step
from insar_anomaly.ledger.sql import columns, insert, read, upsert
from insar_anomaly.names import by_date, columns_of, stamp


class Ledger:
    """The open ledger. Use it in a `with`, or call `close()`.

    Parameters
    ----------
    url : `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`; opening it
        creates the tables or brings them up to date

    Raises
    ------
    ConfigError : the URL is wrong, the database cannot be reached, or it was written by newer code
    Busy : the tables need a change and another run holds the ledger
    StoreFailed : (any method) the database failed; the transaction was rolled back
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._transaction = self._database.transaction
        self.name = self._database.name  # the URL without its password

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def lock(self) -> AbstractContextManager[None]:
        """The exclusive right to write, for the length of a `with`. It ends with the process, however that dies.

        Raises Busy where another run has it; the text names that run's process, host and start.
        """
        return self._database.lock()

    def start_run(self, kind: str, as_of: date | None, settings: str, version: str) -> int:
        """Open a run and return its number. Call it under `lock()`: runs left open by a killed process are closed here."""
        with self._transaction(writes=True) as tx:
            tx.execute(update(t.run).where(t.run.c.status == "running").values(status="interrupted"))
            values = {"kind": kind, "as_of": as_of, "settings": settings, "version": version}
            new = t.run.insert().values(**values, started=_now(), status="running", summary="{}")
            return int(tx.execute(new.returning(t.run.c.run)).scalar_one())

    def finish_run(self, run: int, status: Literal["ok", "failed"], summary: dict[str, Any]) -> None:
        """Close a run with its outcome; `summary` must be JSON-able."""
        self._change(t.run, "run", run, status=status, finished=_now(), summary=json.dumps(summary))

    def runs(self, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs first: every column of the run, `summary` as a dict."""
        rows = self._select(select(t.run).order_by(t.run.c.run.desc()).limit(limit))
        return [{**row, "summary": json.loads(row["summary"])} for row in rows]

    def record_failure(self, run: int, stack: str, stage: str, error: str) -> None:
        """Write down that a stack failed in this run."""
        with self._transaction(writes=True) as tx:
            tx.execute(t.failure.insert().values(run=run, stack=stack, stage=stage, error=error))

    def failures(self, run: int) -> list[dict[str, Any]]:
        """The failures of a run in order: run, stack, stage, error."""
        c = t.failure.c
        return self._select(select(c.run, c.stack, c.stage, c.error).where(c.run == run).order_by(c.failure))

    def seen(self, stack: str) -> dict[str, tuple[str, int]]:
        """Every pair recorded so far: pair -> (fingerprint, verdict)."""
        c = t.interferogram.c
        rows = self._select(select(c.pair, c.fingerprint, c.verdict).where(c.stack == stack))
        return {row["pair"]: (row["fingerprint"], row["verdict"]) for row in rows}

    def record_pairs(self, stack: str, rows: Sequence[PairRow]) -> None:
        """Insert or replace interferograms."""
        with self._transaction(writes=True) as tx:
            upsert(tx, t.interferogram, stack, rows)

    def publish(self, stack: str, row: ModelRow, judge: Judge | None = None) -> None:
        """Insert the model, or replace the one of the same name; either way it becomes the current one.

        A model that is replaced may come with another threshold: `judge` gives each of its scores anew (threshold, verdict,
        percentile), and those that changed are considered again by the next `advance`.
        """
        s = t.score.c
        with self._transaction(writes=True) as tx:
            highest = select(func.coalesce(func.max(t.model.c.number), 0)).where(t.model.c.stack == stack)
            number = tx.execute(highest).scalar_one() + 1
            upsert(tx, t.model, stack, [row], number=number, published=_now())
            if judge is not None:
                old = read(tx, ScoreRow, columns(t.score, ScoreRow).where(s.stack == stack, s.model == row.model))
                upsert(tx, t.score, stack, [new for was in old if (new := judge(was)) != was], considered=False)

    def current(self, stack: str, evidence: str = "pair") -> ModelRow | None:
        """The model of this evidence that was published last; None where the stack has none."""
        return next((row for row in self.models(stack) if row.evidence == evidence), None)

    def models(self, stack: str) -> list[ModelRow]:
        """Every model of the stack, published last first."""
        c = t.model.c
        with self._transaction(writes=False) as tx:
            return read(tx, ModelRow, columns(t.model, ModelRow).where(c.stack == stack).order_by(c.number.desc()))

    def scored(self, stack: str, model: str) -> dict[tuple[str, int], int]:
        """The assessments that have a row of this model, whatever its verdict: (pair, after) -> inputs."""
        c = t.score.c
        rows = self._select(select(c.pair, c.after, c.inputs).where(c.stack == stack, c.model == model))
        return {(row["pair"], row["after"]): row["inputs"] for row in rows}

    def record_scores(self, stack: str, rows: Sequence[ScoreRow]) -> None:
        """Insert or replace scores; their model must be recorded.

        What `advance` has considered stays considered, unless other pairs were fused for it: then it is a new score.
        """
        s = t.score.c
        with self._transaction(writes=True) as tx:
            for row in (row for row in rows if row.inputs):
                other = (s.stack == stack) & (s.pair == row.pair) & (s.after == row.after) & (s.model == row.model)
                tx.execute(update(t.score).where(other, s.inputs != row.inputs).values(considered=False))
            upsert(tx, t.score, stack, rows)

    def advance(self, stack: str, model: str, step: Step) -> int:
        """Take the model's new scores into account, all or nothing, and return the number of new notices.

        `step` gets the stack's episodes by number, the scores with verdict 0 not yet considered, in the order in which they
        could be made, and the names among them that an earlier assessment, or an earlier threshold of this model, found over
        it. It returns the episodes as they are now and the notices to send; a notice whose key is in the outbox already is
        dropped. An assessment that was judged by another model before, on the same pairs, is not judged again: a new model
        must not raise the flags of the past anew. An error in `step` passes through and leaves the ledger as it was.
        """
        s, e, o = t.score.c, t.episode.c, t.score.alias().c
        fresh = (s.stack == stack) & (s.model == model) & ~s.considered
        usable = fresh & (s.verdict == 0) & s.score.is_not(None) & s.threshold.is_not(None)
        same = (o.stack == stack) & (o.pair == s.pair) & (o.after == s.after) & (o.inputs == s.inputs)
        judged = same & (o.model != model) & o.considered & (o.verdict == 0)
        new = usable & ~exists().where(judged & o.threshold.is_not(None))
        with self._transaction(writes=True) as tx:
            before = read(tx, EpisodeRow, columns(t.episode, EpisodeRow).where(e.stack == stack).order_by(e.number))
            scores = read(tx, ScoreRow, columns(t.score, ScoreRow).where(new))
            flagged = (s.stack == stack) & (s.model == model) & s.flagged
            counted = {row.pair for row in tx.execute(select(s.pair).where(flagged))} & {row.pair for row in scores}
            after, notices = step(before, sorted(scores, key=_arrival), counted)
            upsert(tx, t.episode, stack, after)
            over = case((usable & (s.score > s.threshold), True), else_=False)
            tx.execute(update(t.score).where(fresh).values(flagged=over, considered=True))
            return sum(_put_in_outbox(tx, stack, notice) for notice in notices)

    def pending(self) -> list[NoticeRow]:
        """Notices that have not arrived and were not dropped, oldest first. However often one failed, it is not given up."""
        n = t.notice.c
        waiting = columns(t.notice, NoticeRow).where(n.delivered_at.is_(None), n.dropped.is_(None))
        with self._transaction(writes=False) as tx:
            return read(tx, NoticeRow, waiting.order_by(n.number))

    def notices(self) -> list[dict[str, Any]]:
        """The whole outbox, oldest first: the columns of `NoticeRow`, and created, dropped (why a person dropped it)."""
        rows = self._select(select(t.notice).order_by(t.notice.c.number))
        return [{k: v for k, v in row.items() if k != "number"} for row in rows]

    def drop(self, key: str, why: str) -> None:
        """Take a notice out of the outbox by a person's decision. Raises StoreFailed where none of this key waits there."""
        if key not in {row.key for row in self.pending()}:
            raise StoreFailed(f"ledger {self.name}: no notice {key!r} waits; `insar-anomaly notices` lists those that do")
        self._change(t.notice, "key", key, dropped=why)

    def delivered(self, key: str) -> None:
        """Write down that a notice has arrived. The first time counts."""
        n = t.notice.c
        self._change(t.notice, "key", key, delivered_at=func.coalesce(n.delivered_at, _now()), attempts=n.attempts + 1)

    def failed(self, key: str, error: str) -> None:
        """Write down that a delivery failed."""
        self._change(t.notice, "key", key, last_error=error, attempts=t.notice.c.attempts + 1)

    def scores(self, stack: str | None = None) -> list[dict[str, Any]]:
        """Every pair of one stack or of all, with its score by the stack's current model.

        Columns: gvp, frame, pair, score, threshold, flagged, verdict, snapshot, model; in order of gvp, frame, secondary and
        reference date. Score, threshold and model are None where the pair has none; `flagged` is False until `advance`
        has considered the score; the verdict is the score's, or else the interferogram's.
        """
        i, s, m = t.interferogram.c, t.score.c, t.model.alias()
        of_pairs = (m.c.stack == t.model.c.stack) & (m.c.evidence == "pair")
        newest = select(func.max(m.c.number)).where(of_pairs).scalar_subquery()
        current = select(t.model.c.stack, t.model.c.model).where(t.model.c.number == newest).subquery()
        verdict = func.coalesce(s.verdict, i.verdict).label("verdict")
        snapshot = func.coalesce(s.snapshot, i.snapshot).label("snapshot")
        query = (
            select(i.stack, i.pair, s.score, s.threshold, s.flagged, verdict, snapshot, s.model)
            .outerjoin(current, current.c.stack == i.stack)
            .outerjoin(t.score, (s.stack == i.stack) & (s.pair == i.pair) & (s.model == current.c.model))
        )
        rows = self._select(query if stack is None else query.where(i.stack == stack))
        rows.sort(key=lambda row: ([*columns_of(row["stack"]).values()], by_date(row["pair"])))
        return [{**columns_of(row.pop("stack")), **row, "flagged": bool(row["flagged"])} for row in rows]

    def assessments(self, stack: str, evidence: str) -> list[dict[str, Any]]:
        """Every assessment of a stack at this evidence, scored by its current model of it.

        Columns: gvp, frame, pair (the interval's or acquisition's name), after, seen, score, threshold, percentile, flagged,
        verdict, snapshot, model; in order of dates and `after`.
        """
        model, s = self.current(stack, evidence), t.score.c
        if model is None:
            return []
        chosen = (s.pair, s.after, s.seen, s.score, s.threshold, s.percentile, s.flagged, s.verdict, s.snapshot, s.model)
        rows = self._select(select(*chosen).where(s.stack == stack, s.model == model.model))
        rows.sort(key=lambda row: (by_date(row["pair"]), row["after"]))
        return [{**columns_of(stack), **row} for row in rows]

    def stacks(self) -> list[dict[str, str]]:
        """Stacks of which anything was seen: gvp, frame."""
        i = t.interferogram.c
        return [columns_of(row["stack"]) for row in self._select(select(i.stack).distinct().order_by(i.stack))]

    def modelled(self, evidence: str) -> list[str]:
        """Names of the stacks, or couples of frames, that have a model of this evidence."""
        m = t.model.c
        rows = self._select(select(m.stack).distinct().where(m.evidence == evidence).order_by(m.stack))
        return [row["stack"] for row in rows]

    def episodes(self, stack: str | None = None, *, open_only: bool = False) -> list[dict[str, Any]]:
        """Episodes by stack and number: gvp, frame and the columns of `EpisodeRow`."""
        e = t.episode.c
        query = select(t.episode).order_by(e.stack, e.number).where(e.cleared.is_(None) if open_only else true())
        query = query if stack is None else query.where(e.stack == stack)
        return [{**columns_of(row.pop("stack")), **row} for row in self._select(query)]

    def _select(self, query: Select[Any]) -> list[dict[str, Any]]:
        with self._transaction(writes=False) as tx:
            return [row._asdict() for row in tx.execute(query)]

    def _change(self, table: Table, key: str, value: object, **values: Any) -> None:
        with self._transaction(writes=True) as tx:
            if tx.execute(update(table).where(table.c[key] == value).values(**values)).rowcount == 0:
                raise StoreFailed(f"ledger {self.name}: no {table.name} with {key} {value!r}; is this the right ledger?")


def check_url(url: str) -> None:
    """Raise ConfigError where a ledger's URL cannot be understood; nothing is opened."""
    checked(url)


def _arrival(row: ScoreRow) -> tuple[str, tuple[str, str], int]:
    """What to sort scores by: when they could be made, then dates."""
    return (stamp(row.seen) if row.seen else by_date(row.pair)[0], by_date(row.pair), row.after)


def _put_in_outbox(tx: Connection, stack: str, notice: NewNotice) -> int:
    key, channel, kind, payload, after = notice
    if after is not None and not tx.execute(select(t.notice.c.key).where(t.notice.c.key == after)).all():
        return 0
    values = {"key": key, "stack": stack, "channel": channel, "kind": kind, "payload": payload, "created": _now()}
    new = insert(tx, t.notice).values(**values).on_conflict_do_nothing(index_elements=["key"])
    return len(tx.execute(new.returning(t.notice.c.key)).all())  # PostgreSQL's driver gives no count of its own


def _now() -> datetime:
    return datetime.now(UTC)
