"""What people did with flags and stacks, and the quiet peaks that decide what people are told."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import select

from insar_anomaly.errors import StoreFailed
from insar_anomaly.flags import machine as flags
from insar_anomaly.flags.mutes import Mute
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.episodes import read_episodes, wait_for_others
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.people_rows import ActKind, ActRow, PoolRow
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.ledger.sql import columns, insert, upsert
from insar_anomaly.names import Target
from insar_anomaly.spoken import one_line


class People(Part):
    """The people's part of the ledger."""

    def record_act(self, act: ActRow) -> EpisodeRow | None:
        """Write down what a person did; returns the flag as it is after that, None where the act is about no single flag.

        An acknowledgement also changes the flag's state, in the same transaction: an assessment that is taken into account
        at the same time comes before it or after it. Names and notes are kept as one line without control characters: a
        line break in one would make lines of other people's acts.

        Raises
        ------
        StoreFailed
            where there is no such flag; nothing is written then.
        """
        act = replace(act, by=one_line(act.by), note=one_line(act.note))
        with self._transaction(writes=True) as tx:
            row = None
            if act.episode is not None:
                wait_for_others(tx, act.stack)
                before = read_episodes(tx, act.stack)
                row = next((one for one in before if one.number == act.episode), None)
                if row is None:
                    has = f"its flags are numbered 1 to {len(before)}" if before else "it has no flags"
                    raise StoreFailed(f"{act.stack} has no flag {act.episode}; {has}")
                if act.kind is ActKind.ACKNOWLEDGED:
                    state = flags.acknowledged(flags.State(tuple(one.episode for one in before)), act.episode)
                    row = replace(row, state=state.episodes[before.index(row)].state)
                    upsert(tx, t.episode, act.stack, [row])
            tx.execute(insert(tx, t.act).values(**vars(act)))
            return row

    def acts(self, *stacks: str) -> list[ActRow]:
        """What people did with these stacks, volcanoes or regions, oldest first; with all where none is named."""
        query = columns(t.act, ActRow).order_by(t.act.c.number)
        return self._read(ActRow, query.where(t.act.c.stack.in_(stacks)) if stacks else query)

    def mutes(self) -> list[Mute]:
        """What people muted and took back, in that order."""
        return [
            Mute(Target(act.stack), act.until if act.kind is ActKind.MUTED else None, act.by, act.note, act.at)
            for act in self.acts()
            if act.kind in (ActKind.MUTED, ActKind.UNMUTED)
        ]

    def set_pool(self, row: PoolRow) -> bool:
        """Make these the peaks in force; False where they are already. Earlier ones are kept."""
        with self._transaction(writes=True) as tx:
            newest = tx.execute(_POOL).one_or_none()
            if newest is not None and PoolRow(*newest) == row:
                return False
            tx.execute(insert(tx, t.pool).values(**vars(row), made=now()))
            return True

    def pool(self) -> PoolRow | None:
        """The peaks in force; None before the first fit."""
        return next(iter(self._read(PoolRow, _POOL)), None)


_P = t.pool.c
_POOL = select(_P.rates, _P.days, _P.peaks, _P.stacks, _P.years, _P.without).order_by(_P.number.desc()).limit(1)
