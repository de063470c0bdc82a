"""What the sources show beside what is stored: pairs that were replaced or are gone, and each stack's last listing."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import delete

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import DeviationRow, HoldingRow
from insar_anomaly.ledger.sql import columns, upsert


class Holdings(Part):
    """What was noted of the sources."""

    def deviations(self, stack: str) -> dict[str, DeviationRow]:
        """Stored pairs of which the source shows something else, by name."""
        rows = self._read(DeviationRow, columns(t.deviation, DeviationRow).where(t.deviation.c.stack == stack))
        return {row.pair: row for row in rows}

    def note_deviations(self, stack: str, rows: Iterable[DeviationRow], *, settled: Collection[str] = ()) -> None:
        """Insert or replace deviations, and forget those of the `settled` pairs."""
        with self._transaction(writes=True) as tx:
            for pair in settled:
                tx.execute(delete(t.deviation).where(t.deviation.c.stack == stack, t.deviation.c.pair == pair))
            upsert(tx, t.deviation, stack, list(rows))

    def holding(self, stack: str) -> HoldingRow:
        """The stack's last listing and the number of its grid; all empty where none was noted."""
        rows = self._read(HoldingRow, columns(t.holding, HoldingRow).where(t.holding.c.stack == stack))
        return next(iter(rows), HoldingRow())

    def note_holding(self, stack: str, row: HoldingRow) -> None:
        """Replace what is noted of the stack's listing and grid."""
        with self._transaction(writes=True) as tx:
            upsert(tx, t.holding, stack, [row])
