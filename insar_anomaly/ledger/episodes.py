"""Episodes of flags, and the one transaction that moves them on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TypeVar

from sqlalchemy import Boolean, Connection, bindparam, case, exists, func, select, true, update

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.events import put_events
from insar_anomaly.ledger.outbox import put_in_outbox
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import Decision, EpisodeRow, ScoreRow
from insar_anomaly.ledger.sql import columns, read, upsert
from insar_anomaly.names import ALL_TIME, Period, by_date, stamp

Decided = TypeVar("Decided", bound=Decision)


class Episodes(Part):
    """The flags of the ledger."""

    def advance(
        self,
        stack: str,
        model: str,
        decide: Callable[[list[EpisodeRow], list[ScoreRow], set[str]], Decided],
        *,
        seen: Period = ALL_TIME,
    ) -> tuple[int, Decided]:
        """Take the model's new scores into account, all or nothing; returns the number of new notices and what was decided.

        `decide` is a pure function: all else that it needs was read before, and what it says beside episodes and notices is
        heard only once these are committed. It gets the stack's episodes by number, the scores with verdict 0 not yet
        considered, in the order in which they could be made, and the names among them that an earlier assessment, or an
        earlier threshold of this model, found over it. Among the scores are assessments without one, too: they were over the
        threshold, and what they rested on is gone. A notice whose key is in the outbox already is dropped. An assessment
        that was judged by another model before, on the same pairs, is not judged again: a new model must not raise the flags
        of the past anew. An error in `decide` passes through and leaves the ledger as it was. A second writer waits.

        Scores that could not be made within `seen` stay as they are: for a replay, which takes one night after the other.
        """
        mine = {"of_stack": stack, "of_model": model}
        here = {**mine, **_bounds(seen)}
        with self._transaction(writes=True) as tx:
            wait_for_others(tx, stack)
            before = read_episodes(tx, stack)
            scores = read(tx, ScoreRow, _TO_DECIDE_ON, **here)
            counted = set(tx.execute(_FLAGGED, mine).scalars()) & {row.pair for row in scores}
            decided = decide(before, sorted(scores, key=_arrival), counted)
            if strange := [row for row in decided.episodes if row.stack != stack]:
                raise ValueError(f"an episode of {strange[0].stack} was decided on from scores of {stack}")
            upsert(tx, t.episode, stack, decided.episodes)
            put_events(tx, decided.events)
            tx.execute(_CONSIDER, here)
            return sum(put_in_outbox(tx, stack, notice) for notice in decided.notices), decided

    def revise(self, stack: str, decide: Callable[[list[EpisodeRow]], Decided]) -> tuple[int, Decided]:
        """Change a stack's episodes without new scores, all or nothing; `decide` and the answer are as in `advance`."""
        with self._transaction(writes=True) as tx:
            wait_for_others(tx, stack)
            decided = decide(read_episodes(tx, stack))
            upsert(tx, t.episode, stack, decided.episodes)
            put_events(tx, decided.events)
            return sum(put_in_outbox(tx, stack, notice) for notice in decided.notices), decided

    def first_to_consider(self, stack: str, model: str, period: Period) -> date | None:
        """The first day of the period on which a score could be made that `advance` has not considered; None without one."""
        here = {"of_stack": stack, "of_model": model, **_bounds(period)}
        with self._transaction(writes=False) as tx:
            found: date | None = tx.execute(_FIRST_FRESH, here).scalar_one()
        return found

    def consider(self, stack: str, model: str, *, seen: Period = ALL_TIME) -> None:
        """Take the model's new scores into account without deciding on anything; `seen` as in `advance`."""
        with self._transaction(writes=True) as tx:
            wait_for_others(tx, stack)
            tx.execute(_CONSIDER, {"of_stack": stack, "of_model": model, **_bounds(seen)})

    def episodes(self, stack: str | None = None, *, open_only: bool = False) -> list[EpisodeRow]:
        """Episodes by stack and number."""
        e = t.episode.c
        still = e.state.in_([state for state in FlagState if state.open]) if open_only else true()
        query = columns(t.episode, EpisodeRow).where(still).order_by(e.stack, e.number)
        return self._read(EpisodeRow, query if stack is None else query.where(e.stack == stack))


def read_episodes(tx: Connection, stack: str) -> list[EpisodeRow]:
    """A stack's episodes by number, inside a transaction."""
    return read(tx, EpisodeRow, _EPISODES, of_stack=stack)


def _bounds(seen: Period) -> dict[str, object]:
    """What the statements below take for the period in which a score could be made."""
    return {"of_all": seen == ALL_TIME, "of_from": seen.first or date.min, "of_to": seen.last or date.max}


# The statements of `advance` are made once: putting one together takes longer than SQLite takes to answer it.
_E, _S, _O = t.episode.c, t.score.c, t.score.alias().c
_OF_MODEL = (_S.stack == bindparam("of_stack")) & (_S.model == bindparam("of_model"))
# scores of earlier versions name no day, and are in all time only
_SEEN = bindparam("of_all", type_=Boolean) | ((_S.seen >= bindparam("of_from")) & (_S.seen <= bindparam("of_to")))
_FRESH = _OF_MODEL & ~_S.considered & _SEEN
_USABLE = _FRESH & (_S.verdict == Verdict.OK) & _S.score.is_not(None) & _S.threshold.is_not(None)
_SAME = (_O.stack == _S.stack) & (_O.pair == _S.pair) & (_O.after == _S.after) & (_O.inputs == _S.inputs)
_JUDGED_BY_ANOTHER = exists().where(
    _SAME & (_O.model != _S.model) & _O.considered & (_O.verdict == Verdict.OK) & _O.threshold.is_not(None)
)
"""True of a score whose assessment, on the same pairs, another model with a threshold has judged."""
_LAPSED = _FRESH & _S.flagged & _S.verdict.in_([Verdict.WITHDRAWN, Verdict.NOT_SCORABLE])
"""True of an assessment that was over the threshold and, made again, has no score."""
_EPISODES = columns(t.episode, EpisodeRow).where(_E.stack == bindparam("of_stack")).order_by(_E.number)
_TO_DECIDE_ON = columns(t.score, ScoreRow).where((_USABLE & ~_JUDGED_BY_ANOTHER) | _LAPSED)
_FLAGGED = select(_S.pair).where(_OF_MODEL & _S.flagged)
_CONSIDER = (
    update(t.score)
    .where(_FRESH)
    .values(flagged=case((_USABLE & (_S.score > _S.threshold), True), else_=False), considered=True)
)
_FIRST_FRESH = select(func.min(_S.seen)).where(_FRESH)
_HOLD = select(t.model.c.model).where(t.model.c.stack == bindparam("of_stack")).with_for_update()


def wait_for_others(tx: Connection, stack: str) -> None:
    """Hold the stack until the transaction ends: on SQLite it holds the whole file anyway.

    On PostgreSQL the rows of the stack's models are locked. A second `advance` waits for them, and so do new scores, which
    refer to one of them: none comes between what is decided on and what is marked as considered.
    """
    if tx.dialect.name != "sqlite":
        tx.execute(_HOLD, {"of_stack": stack}).all()


def _arrival(row: ScoreRow) -> tuple[str, tuple[str, str], int]:
    """What to sort scores by: when they could be made, then dates."""
    return (stamp(row.seen) if row.seen else by_date(row.pair)[0], by_date(row.pair), row.after)
