"""The canary of each night, one row a night."""

from __future__ import annotations

from datetime import date

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import CanaryRow
from insar_anomaly.ledger.sql import columns, insert


class Canaries(Part):
    """The canaries of the ledger."""

    def record_canary(self, row: CanaryRow) -> None:
        """Write a night's canary down, in the place of one that an earlier run of that night had."""
        values = vars(row)
        with self._transaction(writes=True) as tx:
            tx.execute(insert(tx, t.canary).values(**values).on_conflict_do_update(index_elements=["night"], set_=values))

    def canaries(self, since: date | None = None) -> list[CanaryRow]:
        """Every canary from a night on, oldest first."""
        query = columns(t.canary, CanaryRow).order_by(t.canary.c.night)
        return self._read(CanaryRow, query if since is None else query.where(t.canary.c.night >= since))
