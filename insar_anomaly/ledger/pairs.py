"""Interferograms that were checked, accepted or not."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, exists, select

from insar_anomaly.errors import Verdict
from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import PairRow, Seen
from insar_anomaly.ledger.sql import upsert
from insar_anomaly.names import Stack


class Pairs(Part):
    """The interferograms of the ledger."""

    def seen(self, stack: str) -> dict[str, Seen]:
        """What is known of every pair of the stack, by the pair's name."""
        c = t.interferogram.c
        with self._transaction(writes=False) as tx:
            rows = tx.execute(select(c.pair, c.fingerprint, c.verdict, c.version, c.rests_on).where(c.stack == stack))
            return {name: Seen(*known) for name, *known in rows}

    def corrected(self, stack: str) -> bool:
        """True where a pair of the stack was ever replaced or withdrawn."""
        with self._transaction(writes=False) as tx:
            return bool(tx.execute(_CORRECTED, {"of_stack": stack}).scalar())

    def record_pairs(self, stack: str, rows: Sequence[PairRow]) -> None:
        """Insert or replace interferograms."""
        with self._transaction(writes=True) as tx:
            upsert(tx, t.interferogram, stack, rows)

    def stacks(self) -> list[Stack]:
        """Stacks of which anything was seen."""
        i = t.interferogram.c
        with self._transaction(writes=False) as tx:
            return [Stack.of(name) for name in tx.execute(select(i.stack).distinct().order_by(i.stack)).scalars()]


_I = t.interferogram.c
_CORRECTED = select(exists().where(_I.stack == bindparam("of_stack"), (_I.version != 0) | (_I.verdict == Verdict.WITHDRAWN)))
