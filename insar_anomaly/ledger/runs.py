"""Runs and what failed in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from sqlalchemy import delete, select, update

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.leases import holders, taken
from insar_anomaly.ledger.owner import Owner
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import FailureRow, RunRow, RunStatus
from insar_anomaly.ledger.sql import columns


class Runs(Part):
    """The runs of the ledger."""

    def start_run(
        self, kind: str, as_of: date | None, settings: str, version: str, *, owner: Owner | None = None, seconds: float = 0.0
    ) -> int:
        """Open a run and return its number.

        It lives as long as its lease (`lease_of`), which its owner gets for so many seconds and has to renew. Runs that were
        left open, and hold no lease any more, are closed here: their process was killed.
        """
        with self._transaction(writes=True) as tx:
            alive = holders(tx)
            running = tx.execute(select(t.run.c.run).where(t.run.c.status == RunStatus.RUNNING)).scalars()
            left = [number for number in running if lease_of(number) not in alive]
            tx.execute(update(t.run).where(t.run.c.run.in_(left)).values(status=RunStatus.INTERRUPTED))
            tx.execute(delete(t.lease).where(t.lease.c.name.in_([lease_of(number) for number in left])))
            values = {"kind": kind, "as_of": as_of, "settings": settings, "version": version}
            new = t.run.insert().values(**values, started=now(), status=RunStatus.RUNNING, summary={})
            number = int(tx.execute(new.returning(t.run.c.run)).scalar_one())
            if owner is not None:
                taken(tx, lease_of(number), owner, seconds=seconds)
            return number

    def finish_run(self, run: int, status: Literal["ok", "failed"], summary: Mapping[str, int]) -> None:
        """Close a run with its outcome and what it counted."""
        self._change(t.run, "run", run, status=RunStatus(status), finished=now(), summary=summary)

    def runs(self, limit: int = 20) -> list[RunRow]:
        """The newest runs first."""
        return self._read(RunRow, columns(t.run, RunRow).order_by(t.run.c.run.desc()).limit(limit))

    def record_failure(self, run: int, stack: str, stage: str, error: str) -> None:
        """Write down that a stack failed in this run."""
        with self._transaction(writes=True) as tx:
            tx.execute(t.failure.insert().values(run=run, stack=stack, stage=stage, error=error))

    def failures(self, run: int) -> list[FailureRow]:
        """The failures of a run in order."""
        c = t.failure.c
        return self._read(FailureRow, select(c.run, c.stack, c.stage, c.error).where(c.run == run).order_by(c.failure))


def lease_of(run: int) -> str:
    """Name of the lease that says that a run's process lives."""
    return f"run/{run}"
