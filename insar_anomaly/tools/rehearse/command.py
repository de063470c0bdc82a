"""What the command line and `make rehearsal` do: the table, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from insar_anomaly.errors import UsageError
from insar_anomaly.pipeline import Watch
from insar_anomaly.pipeline.meter import WHOLE
from insar_anomaly.tools.rehearse.archive import World
from insar_anomaly.tools.rehearse.rehearsal import ARCHIVE, STORE, Plan, Rehearsed, rehearse


@dataclass(frozen=True)
class Report:
    """What a rehearsed night cost, whole and for each pair and stack.

    `pairs` counts every stack's own: a pair of a frame that three volcanoes share is three. Seconds are CPU but for
    `wall_s`; requests and bytes are what the server saw, None where it does not count.
    """

    volcanoes: int
    stacks: int
    pairs: int
    workers: int
    detector: str
    failures: int
    blind: int
    wall_s: float
    driver_cpu_s: float
    worker_cpu_s: float
    driver_peak_bytes: int
    worker_peak_bytes: int
    requests: Mapping[str, int] | None
    read_bytes: int | None
    written_bytes: int | None
    busy: float
    """Part of the time from the first share to the last in which a worker worked, over all workers."""
    stages: Mapping[str, tuple[float, float]]
    """Stage -> seconds and CPU seconds, over all workers and the driver."""

    @property
    def lines(self) -> list[str]:
        """The table."""
        asked = None if self.requests is None else sum(self.requests.values())
        rows: list[tuple[str, float | None, str]] = [
            ("wall", self.wall_s, "s"),
            ("CPU of the driver", self.driver_cpu_s, "s"),
            ("CPU of the workers", self.worker_cpu_s, "s"),
            ("requests", asked, ""),
            ("read", None if self.read_bytes is None else self.read_bytes / 1e6, "MB"),
            ("written", None if self.written_bytes is None else self.written_bytes / 1e6, "MB"),
        ]
        what = f"{self.volcanoes} simulated volcanoes, {self.stacks} stacks, {self.pairs} new pairs; {self.workers} workers"
        how = f"detector {self.detector}; {self.failures} failures, {self.blind} blind stacks"
        driver, worker = self.driver_peak_bytes / 1e6, self.worker_peak_bytes / 1e6
        out = [
            f"{what}; {how}",
            f"peak memory: driver {driver:.0f} MB, largest worker {worker:.0f} MB; workers busy {self.busy:.0%} of the time",
            "",
            "| | night | per pair | per stack |",
            "|---|---|---|---|",
        ]
        for name, value, unit in rows:
            parts = [None if value is None else value / n for n in (1, max(1, self.pairs), max(1, self.stacks))]
            cells = ["not counted" if part is None else f"{part:.4g} {unit}".strip() for part in parts]
            out.append(f"| {name} | {' | '.join(cells)} |")
        out += ["", "| stage | seconds over all workers | CPU |", "|---|---|---|"]
        out += [f"| {name} | {wall:.2f} s | {cpu:.2f} s |" for name, (wall, cpu) in self.stages.items()]
        return out


def plan(args: argparse.Namespace) -> Plan:
    """What the command line asks for."""
    world = World(args.volcanoes, args.pixels, nights=args.nights)
    return Plan(world, Path(args.folder), args.s3, args.workers, args.detector, args.latency)


def run(wanted: Plan, watch: Watch | None, *, keep: bool) -> Iterator[Report]:
    """Rehearse; one report for each night.

    Raises
    ------
    UsageError
        where the folder exists and holds something: it would be removed at the end.
    """
    if wanted.folder.exists() and any(wanted.folder.iterdir()):
        raise UsageError(f"{wanted.folder} is not empty; name another folder with --folder")
    try:
        for one in rehearse(wanted, watch or _unwatched):
            yield reported(wanted, one)
    finally:
        if not keep:
            shutil.rmtree(wanted.folder, ignore_errors=True)


def reported(wanted: Plan, one: Rehearsed) -> Report:
    """The report of a night."""
    night, world, asked = one.night, wanted.world, one.asked
    operations: dict[str, int] | None = None
    traffic = None
    if asked is not None:
        names = {ARCHIVE: "archive", STORE: "store"}
        operations = {f"{names.get(bucket, bucket)} {what}": n for (bucket, what), n in sorted(asked.requests.items())}
        traffic = [asked.of(bucket) for bucket in names]
    return Report(
        volcanoes=world.volcanoes,
        stacks=2 * world.volcanoes,
        pairs=night.counts.get("new_pairs", 0),
        workers=wanted.workers,
        detector=wanted.detector,
        failures=len(night.failures),
        blind=night.blind,
        wall_s=night.wall_s,
        driver_cpu_s=night.driver_cpu_s,
        worker_cpu_s=night.worker_cpu_s,
        driver_peak_bytes=night.driver_peak_bytes,
        worker_peak_bytes=night.worker_peak_bytes,
        requests=operations,
        read_bytes=None if traffic is None else sum(read for _, read, _ in traffic),
        written_bytes=None if traffic is None else sum(written for _, _, written in traffic),
        busy=night.busy(wanted.workers),
        stages={row.stage: (row.wall_s, row.driver_cpu_s + row.worker_cpu_s) for row in night.stages if row.stage != WHOLE},
    )


def as_json(report: Report) -> str:
    """The report as one line of JSON."""
    return json.dumps(asdict(report))


def _unwatched(stage: str, done: int, total: int, note: str = "") -> None:
    """The progress of a rehearsal that nobody watches."""
