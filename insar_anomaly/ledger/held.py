"""Flags that are held as noted because many stacks crossed together: their notices wait for the next assessment."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import date

from sqlalchemy import ColumnElement, Integer, func, or_, select, update

from insar_anomaly.errors import StoreFailed, Verdict
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.together import Seen
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.episodes import read_episodes, wait_for_others
from insar_anomaly.ledger.events import put_events
from insar_anomaly.ledger.outbox import HELD, batched
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import EventRow, NoticeRow
from insar_anomaly.ledger.sql import columns, upsert
from insar_anomaly.names import FlagName, span_of, stamp


class Held(Part):
    """Held flags of the ledger."""

    def assessed_on(self, day: date, evidence: str, *, known: date) -> dict[str, bool]:
        """Stacks with a score of an assessment that begins or ends on a day -> whether one of these was over.

        Assessments count that could be made by the day `known`.
        """
        s, m, name = t.score.c, t.model.c, stamp(day)
        ends = or_(s.pair.startswith(f"{name}_", autoescape=True), s.pair.endswith(f"_{name}", autoescape=True))
        mine = (m.stack == s.stack) & (m.model == s.model) & (m.evidence == evidence)
        over = func.max(func.coalesce(s.score > s.threshold, False).cast(Integer))
        made = or_(s.seen.is_(None), s.seen <= known)
        query = select(s.stack, over).join(t.model, mine).where(ends, made, s.verdict == Verdict.OK).group_by(s.stack)
        with self._transaction(writes=False) as tx:
            return {str(stack): bool(found) for stack, found in tx.execute(query)}

    def assessed_near(self, days: Collection[date], evidence: str, *, known: date) -> list[Seen]:
        """Assessments that begin or end on one of these days and have a score, each once for each stack.

        Assessments count that could be made by the day `known`.
        """
        s, m, names = t.score.c, t.model.c, [stamp(day) for day in days]
        ends = or_(
            *(s.pair.startswith(f"{one}_", autoescape=True) for one in names),
            *(s.pair.endswith(f"_{one}", autoescape=True) for one in names),
        )
        mine = (m.stack == s.stack) & (m.model == s.model) & (m.evidence == evidence)
        over = func.max(func.coalesce(s.score > s.threshold, False).cast(Integer))
        made = or_(s.seen.is_(None), s.seen <= known)
        query = select(s.stack, s.pair, over).join(t.model, mine).where(ends, made, s.verdict == Verdict.OK)
        with self._transaction(writes=False) as tx:
            rows = tx.execute(query.group_by(s.stack, s.pair).order_by(s.stack, s.pair)).all()
        return [Seen(str(stack), span.days, bool(found)) for stack, pair, found in rows if (span := span_of(pair))]

    def untried(self, stacks: Collection[str], *, unsent: str | None = None) -> list[NoticeRow]:
        """Raised notices of these stacks that nobody has tried to send, oldest first: those that wait, and held ones.

        With `unsent`, the reason for which a replay sends none, those that have it stand for those that wait.
        """
        n = t.notice.c
        waits = _waits(unsent) & n.parked.is_(None)
        new = n.kind == "raised", n.attempts == 0, n.last_error.is_(None), n.delivered_at.is_(None)
        query = columns(t.notice, NoticeRow).where(*new, or_(waits, n.dropped.startswith(HELD)))
        found: list[NoticeRow] = []
        for some in batched(sorted(stacks)):
            found += self._read(NoticeRow, query.where(n.stack.in_(some)).order_by(n.number))
        return found

    def hold(self, flag: FlagName, why: str, *, night: date, unsent: str | None = None) -> int:
        """Note a flag that was raised, and keep its notices back, all or nothing; returns the number of these notices.

        The next assessment that is over the level raises it again, and its notices go out then, see `outbox`. A flag of
        which a notice has gone out, or that has ended, is left alone. It is written down for the `night`; `unsent` as in
        `untried`.
        """
        n = t.notice.c
        mine = n.key.startswith(f"{flag}:raised:", autoescape=True)
        with self._transaction(writes=True) as tx:
            wait_for_others(tx, flag.stack)
            row = next((one for one in read_episodes(tx, flag.stack) if one.number == flag.number), None)
            if row is None:
                raise StoreFailed(f"{flag.stack} has no flag {flag.number}")
            sent = tx.execute(
                select(func.count()).where(mine, or_(n.delivered_at.is_not(None), n.attempts > 0))
            ).scalar_one()
            if sent or row.state not in (FlagState.RAISED, FlagState.ESCALATED):
                return 0
            upsert(tx, t.episode, flag.stack, [replace(row, state=FlagState.NOTED, told=None, area=None, agreed=False)])
            put_events(tx, [EventRow(flag.stack, flag.number, night, FlagEvent.HELD)])
            kept = update(t.notice).where(mine, _waits(unsent)).values(dropped=f"{HELD}{why}").returning(n.key)
            return len(tx.execute(kept).all())


def _waits(unsent: str | None) -> ColumnElement[bool]:
    """True of a notice that is to be sent; in a replay, of one that is not, for that reason."""
    n = t.notice.c
    return n.dropped.is_(None) if unsent is None else n.dropped == unsent
