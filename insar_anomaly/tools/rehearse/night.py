"""One rehearsed night in a process of its own: ``python -m insar_anomaly.tools.rehearse.night CONFIG DATE`` prints JSON.

Its own process, because peak memory and CPU of a process and of its workers are then those of the night and of nothing else.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.records import CostRow
from insar_anomaly.names import JsonObject
from insar_anomaly.pipeline import Spread, night_stages, open_installation, summary, walk_whole
from insar_anomaly.pipeline.meter import WHOLE, Meter, peak_bytes

_KIB = 1024


@dataclass(frozen=True)
class Night:
    """What a night did and took: stages, over all workers, and the whole; then what the ledger has of the same run.

    CPU seconds and peak memory (bytes) are of the driver and of all its workers, by the operating system.
    """

    stages: tuple[CostRow, ...]
    ledger: tuple[CostRow, ...]
    counts: dict[str, int]
    failures: tuple[str, ...]
    blind: int
    driver_cpu_s: float
    driver_peak_bytes: int
    worker_cpu_s: float
    worker_peak_bytes: int

    shares_s: float = 0.0
    """Seconds from the first share to the last."""

    def busy(self, workers: int) -> float:
        """Part of the shares' time in which a worker worked, over all workers."""
        worked = sum(row.wall_s for row in self.stages if row.worker_cpu_s or row.stage in ("ingest", "assess", "flag"))
        return worked / (max(1, workers) * self.shares_s) if self.shares_s else 0.0

    @property
    def wall_s(self) -> float:
        """Seconds from start to digest, workers' start included, Python's imports not."""
        return next(row.wall_s for row in self.stages if row.stage == WHOLE)


def rehearsed(config: Path, day: date) -> Night:
    """Run one night in a process of its own.

    Raises
    ------
    InsarAnomalyError
        where that process ends without an answer; its last words are in the text.
    """
    words = [sys.executable, "-m", __name__, str(config), day.isoformat()]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=os.environ)  # noqa: S603
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        raise InsarAnomalyError(f"the rehearsed night of {day} ended with code {done.returncode}: {said[0]}")
    told: JsonObject = json.loads(done.stdout.splitlines()[-1])
    stages, ledger = (tuple(CostRow(**row) for row in told.pop(name)) for name in ("stages", "ledger"))
    return Night(stages=stages, ledger=ledger, failures=tuple(told.pop("failures")), **told)


def main() -> None:
    """Run the night that the command line names, and print what it took."""
    config, day = sys.argv[1], date.fromisoformat(sys.argv[2])
    meter = Meter()
    start = _cpu(resource.RUSAGE_SELF)
    with meter.stage(WHOLE), open_installation(config) as s:
        with s.run("nightly", day) as run:
            stages = night_stages()
            spread = Spread(stages, s, run)
            _ = s.workers.client  # workers start before time is taken
            begun = time.perf_counter()
            spread.finish()
            shares_s = time.perf_counter() - begun
            walk_whole(stages, s, run)
            with meter.stage("digest"):
                summary(s, run)
        written = s.ledger.costs(run.number)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    night = Night(
        stages=(*(row for row in written if row.stage != WHOLE), *meter.rows),
        ledger=tuple(written),
        counts=run.counted,
        failures=tuple(f"{one.stack}: {one.stage}: {one.error}" for one in run.failures),
        blind=len(run.blind),
        driver_cpu_s=_cpu(resource.RUSAGE_SELF) - start,
        driver_peak_bytes=peak_bytes(),
        worker_cpu_s=children.ru_utime + children.ru_stime,
        worker_peak_bytes=children.ru_maxrss * _KIB,
        shares_s=shares_s,
    )
    sys.stdout.write(json.dumps(asdict(night)) + "\n")


def _cpu(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
