"""Runs and what failed in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from sqlalchemy import select, update

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import FailureRow, RunRow, RunStatus
from insar_anomaly.ledger.sql import columns


class Runs(Part):
    """The runs of the ledger."""

    def start_run(self, kind: str, as_of: date | None, settings: str, version: str) -> int:
        """Open a run and return its number. Call it under `lock()`: runs left open by a killed process are closed here."""
        with self._transaction(writes=True) as tx:
            left = update(t.run).where(t.run.c.status == RunStatus.RUNNING)
            tx.execute(left.values(status=RunStatus.INTERRUPTED))
            values = {"kind": kind, "as_of": as_of, "settings": settings, "version": version}
            new = t.run.insert().values(**values, started=now(), status=RunStatus.RUNNING, summary={})
            return int(tx.execute(new.returning(t.run.c.run)).scalar_one())

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
