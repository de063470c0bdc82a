"""Episodes of flags, and the one transaction that moves them on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, case, exists, select, true, update

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.outbox import put_in_outbox
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import Decision, EpisodeRow, ScoreRow
from insar_anomaly.ledger.sql import columns, read, upsert
from insar_anomaly.names import by_date, stamp

Decided = TypeVar("Decided", bound=Decision)


class Episodes(Part):
    """The flags of the ledger."""

    def advance(
        self, stack: str, model: str, decide: Callable[[list[EpisodeRow], list[ScoreRow], set[str]], Decided]
    ) -> tuple[int, Decided]:
        """Take the model's new scores into account, all or nothing; returns the number of new notices and what was decided.

        `decide` is a pure function: all else that it needs was read before, and what it says beside episodes and notices is
        heard only once these are committed. It gets the stack's episodes by number, the scores with verdict 0 not yet
        considered, in the order in which they could be made, and the names among them that an earlier assessment, or an
        earlier threshold of this model, found over it. A notice whose key is in the outbox already is dropped. An assessment
        that was judged by another model before, on the same pairs, is not judged again: a new model must not raise the flags
        of the past anew. An error in `decide` passes through and leaves the ledger as it was. A second writer waits.
        """
        s, e = t.score.c, t.episode.c
        fresh = (s.stack == stack) & (s.model == model) & ~s.considered
        usable = fresh & (s.verdict == Verdict.OK) & s.score.is_not(None) & s.threshold.is_not(None)
        with self._transaction(writes=True) as tx:
            _wait_for_others(tx, stack)
            before = read(tx, EpisodeRow, columns(t.episode, EpisodeRow).where(e.stack == stack).order_by(e.number))
            scores = read(tx, ScoreRow, columns(t.score, ScoreRow).where(usable & ~_judged_by_another(stack, model)))
            flagged = (s.stack == stack) & (s.model == model) & s.flagged
            counted = set(tx.execute(select(s.pair).where(flagged)).scalars()) & {row.pair for row in scores}
            decided = decide(before, sorted(scores, key=_arrival), counted)
            if strange := [row for row in decided.episodes if row.stack != stack]:
                raise ValueError(f"an episode of {strange[0].stack} was decided on from scores of {stack}")
            upsert(tx, t.episode, stack, decided.episodes)
            over = case((usable & (s.score > s.threshold), True), else_=False)
            tx.execute(update(t.score).where(fresh).values(flagged=over, considered=True))
            return sum(put_in_outbox(tx, stack, notice) for notice in decided.notices), decided

    def episodes(self, stack: str | None = None, *, open_only: bool = False) -> list[EpisodeRow]:
        """Episodes by stack and number."""
        e = t.episode.c
        still = e.state.in_([state for state in FlagState if state.open]) if open_only else true()
        query = columns(t.episode, EpisodeRow).where(still).order_by(e.stack, e.number)
        return self._read(EpisodeRow, query if stack is None else query.where(e.stack == stack))


def _judged_by_another(stack: str, model: str) -> ColumnElement[bool]:
    """True of a score whose assessment, on the same pairs, another model with a threshold has judged."""
    s, o = t.score.c, t.score.alias().c
    same = (o.stack == stack) & (o.pair == s.pair) & (o.after == s.after) & (o.inputs == s.inputs)
    judged = same & (o.model != model) & o.considered & (o.verdict == Verdict.OK)
    return exists().where(judged & o.threshold.is_not(None))


def _wait_for_others(tx: Connection, stack: str) -> None:
    """Hold the stack until the transaction ends: on SQLite it holds the whole file anyway.

    On PostgreSQL the rows of the stack's models are locked. A second `advance` waits for them, and so do new scores, which
    refer to one of them: none comes between what is decided on and what is marked as considered.
    """
    tx.execute(select(t.model.c.model).where(t.model.c.stack == stack).with_for_update()).all()


def _arrival(row: ScoreRow) -> tuple[str, tuple[str, str], int]:
    """What to sort scores by: when they could be made, then dates."""
    return (stamp(row.seen) if row.seen else by_date(row.pair)[0], by_date(row.pair), row.after)
