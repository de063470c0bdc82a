"""What came of each stack on each night, and what its accepted pairs measure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date

from sqlalchemy import bindparam, func, select, true

from insar_anomaly.errors import Verdict
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import CoverageRow
from insar_anomaly.ledger.sql import columns, read, upsert
from insar_anomaly.names import day_of
from insar_anomaly.stack.freshness import Coverage, StackState
from insar_anomaly.units import Platform


class States(Part):
    """The states of the stacks in the ledger."""

    def record_coverage(self, stack: str, snapshot: str, measured: Mapping[str, Coverage]) -> None:
        """Write down what pairs measure, by name, as they are in a snapshot of the store."""
        with self._transaction(writes=True) as tx:
            rows = [CoverageRow(pair, snapshot, one.box, one.summit) for pair, one in measured.items()]
            upsert(tx, t.coverage, stack, rows)

    def coverage(self, stack: str, pairs: Collection[str]) -> dict[str, Coverage]:
        """What these accepted pairs measure; those are missing of which it is not known, or whose files were replaced."""
        c, i = t.coverage.c, t.interferogram.c
        same = (c.stack == i.stack) & (c.pair == i.pair) & (c.snapshot == i.snapshot)
        query = select(c.pair, c.box, c.summit).where(c.stack == stack, i.stack == stack, same, c.pair.in_(pairs))
        with self._transaction(writes=False) as tx:
            return {row.pair: Coverage(row.box, row.summit) for row in tx.execute(query)}

    def stored_in(self, stack: str, pairs: Collection[str]) -> dict[str, str]:
        """The snapshot that each of these accepted pairs was stored in."""
        i = t.interferogram.c
        query = select(i.pair, i.snapshot).where(i.stack == stack, i.verdict == Verdict.OK, i.pair.in_(pairs))
        with self._transaction(writes=False) as tx:
            return {row.pair: row.snapshot for row in tx.execute(query) if row.snapshot is not None}

    def record_state(self, stack: str, state: StackState) -> None:
        """Write down a stack's state on a night. Acquisitions that came in an earlier run of that night stay."""
        c = t.state.c
        here = (c.stack == stack) & (c.as_of == state.as_of)
        with self._transaction(writes=True) as tx:
            for before in read(tx, StackState, columns(t.state, StackState).where(here)):
                state = replace(state, acquisitions={**before.acquisitions, **state.acquisitions})
            upsert(tx, t.state, stack, [state])

    def states(self, as_of: date) -> dict[str, StackState]:
        """State of every stack on a night, by stack; those are missing that no run of that night has reached."""
        c = t.state.c
        return self._states(c.as_of == as_of)

    def state(self, stack: str, as_of: date) -> StackState | None:
        """A stack's state on the last night up to a day; None where there was no such night."""
        return next(iter(self._read(StackState, _LAST, of_stack=stack, of_day=as_of)), None)

    def satellites(self, since: date) -> dict[str, dict[date, str]]:
        """Which satellite made each acquisition that came on the nights from a day on: stack -> day -> ``S1A``.

        Acquisitions of which nobody says it are left out.
        """
        c, found = t.state.c, dict[str, dict[date, str]]()
        query = select(c.stack, c.acquisitions).where(c.as_of >= since).order_by(c.as_of)
        with self._transaction(writes=False) as tx:
            rows = tx.execute(query).all()
        for stack, came in rows:
            known = {day: Platform(number) for text, number in came.items() if (day := day_of(text))}
            named = {day: one.words for day, one in known.items() if one is not Platform.UNKNOWN}
            found.setdefault(stack, {}).update(named)
        return found

    def newest_states(self) -> dict[str, StackState]:
        """State of every stack on the last night that it has been through, by stack."""
        last = select(t.state.c.stack, func.max(t.state.c.as_of).label("as_of")).group_by(t.state.c.stack).subquery()
        c = t.state.c
        return self._states((c.stack == last.c.stack) & (c.as_of == last.c.as_of))

    def _states(self, which: object) -> dict[str, StackState]:
        query = columns(t.state, StackState).add_columns(t.state.c.stack).where(which, true())  # type: ignore[arg-type]
        with self._transaction(writes=False) as tx:
            return {row[-1]: StackState(*row[:-1]) for row in tx.execute(query.order_by(t.state.c.stack))}


_C = t.state.c
_LAST = (  # made once: putting a statement together takes longer than SQLite takes to answer it
    columns(t.state, StackState)
    .where(_C.stack == bindparam("of_stack"), _C.as_of <= bindparam("of_day"))
    .order_by(_C.as_of.desc())
    .limit(1)
)
