"""What a run costs, stage by stage: seconds, CPU, requests, bytes, memory, here and on the workers.

The driver measures itself with ``with run.meter.stage("ingest"):``. A worker measures its task with ``with spending() as
spent:`` and sends `spent.record`, a few numbers, back beside its result; the driver adds it with
``run.meter.add("ingest", record)``.
"""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from insar_anomaly.ledger.records import CostRow
from insar_anomaly.traffic import Traffic, so_far

_KIB = 1024
"""Linux gives the peak of resident memory in KiB."""

WHOLE = "run"
"""Name of the row that holds a run from its start to its end."""


@dataclass(frozen=True)
class Spent:
    """What one task took: seconds, CPU seconds, traffic, and the peak resident memory of its process so far, bytes.

    `process` names host and process: a task that ran in the driver's own process is in the driver's figures already.
    """

    wall_s: float
    cpu_s: float
    traffic: Traffic
    peak_bytes: int
    process: str


@dataclass
class Spending:
    """A measurement under way; `record` is there once it has ended."""

    record: Spent | None = None


@contextmanager
def spending() -> Iterator[Spending]:
    """Measure what is done in the ``with``, also where it ends in an error. CPU is that of the whole process."""
    out = Spending()
    wall, cpu, traffic = time.perf_counter(), time.process_time(), so_far()
    try:
        yield out
    finally:
        out.record = Spent(
            time.perf_counter() - wall, time.process_time() - cpu, so_far() - traffic, peak_bytes(), this_process()
        )


@dataclass
class Meter:
    """The costs of a run so far. A stage that is entered again, or by several batches, adds up.

    Two stages that run at the same time in one process each count all of its CPU: leave stages that overlap to the workers'
    records, which are never counted twice.
    """

    _rows: dict[str, CostRow] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the driver for the length of a stage, also where an error ends it."""
        measured = Spending()
        try:
            with spending() as measured:
                yield
        finally:
            self._drive(name, measured)

    def add(self, stage: str, spent: Spent | None, *, pairs: int = 0) -> None:
        """Count a task of a stage: what it took, unless it ran in this process, and its pairs or assessments."""
        row = self._row(stage)
        row = replace(row, tasks=row.tasks + 1, pairs=row.pairs + pairs)
        if spent is not None and spent.process != this_process():
            row = replace(
                _with_traffic(row, spent.traffic),
                worker_cpu_s=row.worker_cpu_s + spent.cpu_s,
                worker_peak_bytes=max(row.worker_peak_bytes, spent.peak_bytes),
            )
        self._rows[stage] = row

    def take(self, rows: Sequence[CostRow], process: str) -> None:
        """Count what a share of the run took, which another process, or this one, has measured."""
        for row in rows:
            before, here = self._row(row.stage), process == this_process()
            self._rows[row.stage] = replace(
                before,
                tasks=before.tasks + 1,
                pairs=before.pairs + row.pairs,
                wall_s=before.wall_s + row.wall_s,
                driver_cpu_s=before.driver_cpu_s + (row.driver_cpu_s if here else 0.0),
                worker_cpu_s=before.worker_cpu_s + (0.0 if here else row.driver_cpu_s),
                requests=before.requests + row.requests,
                commits=before.commits + row.commits,
                read_bytes=before.read_bytes + row.read_bytes,
                written_bytes=before.written_bytes + row.written_bytes,
                driver_peak_bytes=max(before.driver_peak_bytes, row.driver_peak_bytes if here else 0),
                worker_peak_bytes=max(before.worker_peak_bytes, 0 if here else row.driver_peak_bytes),
            )

    def did(self, stage: str, pairs: int) -> None:
        """Count pairs, or assessments, that a stage has done."""
        row = self._row(stage)
        self._rows[stage] = replace(row, pairs=row.pairs + pairs)

    @property
    def rows(self) -> list[CostRow]:
        """One row for each stage, in the order in which they were first heard of; the whole run last, if it has ended."""
        return sorted(self._rows.values(), key=lambda row: row.stage == WHOLE)

    def _drive(self, stage: str, spending: Spending) -> None:
        spent, row = spending.record, self._row(stage)
        if spent is not None:
            self._rows[stage] = replace(
                _with_traffic(row, spent.traffic),
                wall_s=row.wall_s + spent.wall_s,
                driver_cpu_s=row.driver_cpu_s + spent.cpu_s,
                driver_peak_bytes=max(row.driver_peak_bytes, spent.peak_bytes),
            )

    def _row(self, stage: str) -> CostRow:
        return self._rows.get(stage, CostRow(stage))


def peak_bytes() -> int:
    """The largest resident memory that this process has had, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def this_process() -> str:
    """Host and number of this process."""
    return f"{socket.gethostname()} {os.getpid()}"


def _with_traffic(row: CostRow, traffic: Traffic) -> CostRow:
    return replace(
        row,
        requests=row.requests + traffic.requests,
        commits=row.commits + traffic.commits,
        read_bytes=row.read_bytes + traffic.read,
        written_bytes=row.written_bytes + traffic.written,
    )
