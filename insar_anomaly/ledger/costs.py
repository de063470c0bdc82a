"""What the stages of the runs took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import func, select

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.ledger.records import CostRow, RunRow, RunStatus
from insar_anomaly.ledger.sql import columns


class Costs(Part):
    """The costs of the ledger's runs."""

    def record_costs(self, run: int, rows: Sequence[CostRow]) -> None:
        """Write down what a run has cost; what was written down of it before is replaced."""
        with self._transaction(writes=True) as tx:
            tx.execute(t.cost.delete().where(t.cost.c.run == run))
            if rows:
                tx.execute(t.cost.insert(), [{"run": run, "number": n, **asdict(row)} for n, row in enumerate(rows)])

    def costs(self, run: int) -> list[CostRow]:
        """What a run has cost, stage by stage, in order."""
        return self._read(CostRow, columns(t.cost, CostRow).where(t.cost.c.run == run).order_by(t.cost.c.number))

    def newest_runs(self) -> list[RunRow]:
        """The newest run of each kind that has ended, by kind."""
        r = t.run.c
        ended = select(func.max(r.run)).where(r.status != RunStatus.RUNNING).group_by(r.kind)
        return self._read(RunRow, columns(t.run, RunRow).where(r.run.in_(ended)).order_by(r.kind))
