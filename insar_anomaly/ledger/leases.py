"""Leases: who may write a stack, from when to when, and under which fencing number.

A lease has an owner, who renews it while it works. Where the owner falls silent, the lease expires, and another may take it
over, under a higher *fencing number*. The number goes into every commit: a process that was paused and comes back finds a
higher one than its own and must not commit (the idea is M. Kleppmann's, "How to do distributed locking", 2016).

Time is the database's, so that clocks of owners may differ. An SQLite ledger belongs to one machine; there, time is that
since the machine was started, which no correction of the clock can move.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.owner import Owner
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.sql import insert

NOTICES = "notices"
"""Name of the lease of who delivers notices: one at a time, so that none is sent twice."""
_LONGEST_S = 86_400.0
"""No lease is given for longer; a time of expiry further away than this is rubbish."""
_LARGEST = 2**53
"""Fencing numbers above this are rubbish; ours are milliseconds since 1970, and have 41 bits."""
_NAMELESS = "an owner whose name cannot be read"


@dataclass(frozen=True)
class Lease:
    """The right to write what `name` stands for. `overtaken` names the owner who did not give it back; else empty."""

    name: str
    fence: int
    owner: Owner
    overtaken: str = ""


@dataclass(frozen=True)
class Held:
    """What `name` stands for is written by somebody else: `words` says by whom and since when."""

    name: str
    words: str


class Leases(Part):
    """The leases of the ledger."""

    def take(self, name: str, owner: Owner, *, seconds: float) -> Lease | Held:
        """Take a lease for so many seconds, where it is free, has expired, or its owner is dead.

        The same owner gets the same lease again.
        """
        return self.take_all([name], owner, seconds=seconds)[0]

    def take_all(self, names: Iterable[str], owner: Owner, *, seconds: float) -> list[Lease | Held]:
        """`take` each of these, in the order of their names, in one transaction."""
        with self._transaction(writes=True) as tx:
            return [taken(tx, name, owner, seconds=seconds) for name in sorted(names)]

    def renew(self, leases: Mapping[str, Lease], *, seconds: float) -> set[str]:
        """Say that the owner of these leases lives; returns the names of those that it holds no more."""
        lost = set()
        with self._transaction(writes=True) as tx:
            clock = _clock(tx)
            for lease in leases.values():
                beat = update(t.lease).where(_same(lease)).values(heartbeat=clock, expires=clock + min(seconds, _LONGEST_S))
                if tx.execute(beat).rowcount == 0:
                    lost.add(lease.name)
        return lost

    def holds(self, lease: Lease) -> bool:
        """True where nobody has taken the lease over, even if it has expired."""
        with self._transaction(writes=False) as tx:
            return tx.execute(select(t.lease.c.name).where(_same(lease))).first() is not None

    def release(self, lease: Lease, *, forget: bool = False) -> None:
        """Give a lease back. Its number stays, for the next one's to be higher, unless it is to be forgotten."""
        with self._transaction(writes=True) as tx:
            if forget:
                tx.execute(delete(t.lease).where(_same(lease)))
            else:
                tx.execute(update(t.lease).where(_same(lease)).values(owner=None))

    def release_all(self, leases: Iterable[Lease]) -> None:
        """`release` each of these, in one transaction."""
        mine = [{"of_name": one.name, "of_fence": one.fence, "of_owner": one.owner.text} for one in leases]
        if mine:
            with self._transaction(writes=True) as tx:
                tx.execute(_RELEASE, mine)

    def held(self) -> dict[str, str]:
        """Owner, in words, of every lease that is held now, by name."""
        with self._transaction(writes=False) as tx:
            return holders(tx)


def taken(tx: Connection, name: str, owner: Owner, *, seconds: float) -> Lease | Held:
    """See `Leases.take`."""
    row = tx.execute(_ROW, {"of_name": name}).one_or_none()
    if row is None:
        tx.execute(insert(tx, t.lease).values(name=name, fence=0).on_conflict_do_nothing(index_elements=["name"]))
        row = tx.execute(_ROW, {"of_name": name}).one()
    if row.owner == owner.text:
        return Lease(name, _whole(row.fence), owner)
    clock = _clock(tx)
    holder = _holder(row, clock, one_machine=tx.dialect.name == "sqlite")
    if holder is not None:
        return Held(name, holder)
    # the clock of the wall only begins the count: numbers of a ledger that was lost stay below those of the new one
    fence = max(_whole(row.fence) + 1, time.time_ns() // 10**6)
    mine = {"to_fence": fence, "to_owner": owner.text, "clock": clock, "end": clock + min(seconds, _LONGEST_S)}
    tx.execute(_TAKE, {"of_name": name, **mine})
    left = Owner.read(row.owner)
    return Lease(name, fence, owner, left.words if left else _NAMELESS if row.owner else "")


# made once: putting a statement together takes longer than SQLite takes to answer it
_C = t.lease.c
_ROW = select(t.lease).where(_C.name == bindparam("of_name")).with_for_update()
_TAKE = (
    update(t.lease)
    .where(_C.name == bindparam("of_name"))
    .values(
        fence=bindparam("to_fence"),
        owner=bindparam("to_owner"),
        taken=bindparam("clock"),
        heartbeat=bindparam("clock"),
        expires=bindparam("end"),
    )
)
_RELEASE = (
    update(t.lease)
    .where(_C.name == bindparam("of_name"), _C.fence == bindparam("of_fence"), _C.owner == bindparam("of_owner"))
    .values(owner=None)
)


def holders(tx: Connection) -> dict[str, str]:
    """See `Leases.held`."""
    clock, one_machine = _clock(tx), tx.dialect.name == "sqlite"
    rows = tx.execute(select(t.lease).where(t.lease.c.owner.is_not(None)).order_by(t.lease.c.name)).all()
    found = {str(row.name): _holder(row, clock, one_machine=one_machine) for row in rows}
    return {name: words for name, words in found.items() if words is not None}


def _same(lease: Lease) -> Any:
    c = t.lease.c
    return (c.name == lease.name) & (c.fence == lease.fence) & (c.owner == lease.owner.text)


def _holder(row: Row[Any], clock: float, *, one_machine: bool) -> str | None:
    """Who holds the lease, in words; None where it may be taken."""
    if row.owner is None:
        return None
    expires, heard = _number(row.expires), _number(row.heartbeat)
    if expires is None or not clock <= expires <= clock + _LONGEST_S:
        return None
    owner = Owner.read(row.owner)
    if owner is not None and owner.dead(one_machine=one_machine):
        return None
    who = owner.words if owner else _NAMELESS
    return who if heard is None else f"{who}, last heard of {max(0.0, clock - heard):.0f} s ago"


def _clock(tx: Connection) -> float:
    """Seconds on the clock that all owners share; see the module."""
    if tx.dialect.name == "sqlite":
        return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return float(tx.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def _number(value: object) -> float | None:
    """A finite number; None for what is none: SQLite stores anything in any column."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: object) -> int:
    """A fencing number; 0 for rubbish."""
    return value if isinstance(value, int) and 0 <= value <= _LARGEST else 0
