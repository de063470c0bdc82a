"""What a backfill costs beside reading, storing and scoring, and how soon it knows when it will end.

    python benchmarks/backfill_driver.py [--volcanoes 12] [--acquisitions 30] [--workers 2] [--json FILE]

A LiCSAR-like archive is simulated in a folder, with three volcanoes on two frames each and boxes of 32 x 32 pixels. Frames
are unequal: each has fewer pairs than the one before it, down to a fifth. A backfill of everything runs in this process with
so many local workers. Printed are the CPU of this process (the driver), from before the workers start and from the first
pair on, and of the workers, in ms for each pair of a stack; and, at each quarter of the pairs, by how much the time that was
told to be left was wrong, as a part of the whole time.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
import resource
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from insar_anomaly.names import Period
from insar_anomaly.pipeline import open_installation
from insar_anomaly.pipeline.backfill import backfill
from insar_anomaly.pipeline.pace import Pace
from insar_anomaly.report.digest import Count
from insar_anomaly.tools.rehearse.archive import Archive, World

_CONFIG = """\
store = "store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"
figures = "figures"

[[source]]
url = "archive"

[cluster]
kind = "{kind}"
{workers}
"""


class Folder:
    """Takes an archive's objects as files, and leaves out those that a frame shall not have."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder = folder
        frames = [frame for group in range(world.groups) for frame in world.frames(group)]
        kept = {frame: 1 - 0.8 * place / max(1, len(frames) - 1) for place, frame in enumerate(frames)}
        last = len(world.days) - 1
        self._until = {frame: f"{world.days[round(part * last)]:%Y%m%d}" for frame, part in kept.items()}

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> None:  # noqa: ARG002
        """As boto3's."""
        frame, kind, name, *_ = Key.split("/")
        if kind != "interferograms" or name[9:] <= self._until[frame]:
            file = self._folder / frame[:3].lstrip("0") / Key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(Body)


@dataclass
class Heard:
    """Hears how far the backfill is."""

    told: list[tuple[float, int, float | None]] = field(default_factory=list)
    """Time, pairs done, seconds that were told to be left."""
    cpu_s: float | None = None
    pace: Pace | None = None

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:  # noqa: ARG002
        """As `pipeline.Watch`."""
        if stage != "backfill":
            return
        now = time.monotonic()
        self.cpu_s = _cpu() if self.cpu_s is None else self.cpu_s
        self.pace = self.pace or Pace(total)
        self.pace.heard(done, now)
        self.told.append((now, done, self.pace.left_s(now)))


def _cpu(who: int = resource.RUSAGE_SELF) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def measured(folder: Path, world: World, workers: int, profile: cProfile.Profile | None) -> dict[str, Any]:
    """Run the backfill."""
    archive = Archive(world, Folder(folder / "archive", world), bucket="")
    archive.write(range(world.groups), until=world.days[-1], advance=_quiet)
    (folder / "volcanoes.toml").write_text(world.catalogue)
    kind = {"kind": "local" if workers else "inline", "workers": f"workers = {workers}" if workers else ""}
    (folder / "config.toml").write_text(_CONFIG.format(**kind))
    heard = Heard()
    begun, wall = _cpu(), time.monotonic()
    with open_installation(folder / "config.toml", watch=heard) as s, s.run("backfill", date(2026, 1, 1)) as run:
        if profile:
            profile.enable()
        backfill(s, run, period=Period())
        if profile:
            profile.disable()
        ended, driver = time.monotonic(), _cpu()
        pairs = run.counts[Count.NEW_PAIRS]
        assert not run.failures, run.failures[:3]
    out: dict[str, Any] = {
        "pairs of stacks": pairs,
        "stacks": 2 * world.volcanoes,
        "driver, from its start: CPU ms a pair": 1e3 * (driver - begun) / pairs,
        "driver, from the first pair: CPU ms a pair": 1e3 * (driver - (heard.cpu_s or begun)) / pairs,
        "workers: CPU ms a pair": 1e3 * _cpu(resource.RUSAGE_CHILDREN) / pairs,
        "wall s": ended - wall,
    }
    first = heard.told[0][0]
    for quarter in (1, 2, 3):
        now, _, left = next(one for one in heard.told if one[1] >= quarter * pairs / 4)
        wrong = abs((left or 0.0) - (ended - now)) / (ended - first)
        out[f"time left, wrong by, at {25 * quarter} %"] = wrong
    return out


def _quiet(done: int, total: int) -> None:
    """The progress that nobody watches."""


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--volcanoes", type=int, default=12)
    parser.add_argument("--acquisitions", type=int, default=48)
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 0 works in this process")
    parser.add_argument("--profile", action="store_true", help="print where this process' time goes")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    profile = cProfile.Profile(time.process_time) if given.profile else None
    with tempfile.TemporaryDirectory() as folder:
        world = World(given.volcanoes, history=given.acquisitions - 1)
        found = measured(Path(folder), world, given.workers, profile)
    text = json.dumps({name: round(value, 3) for name, value in found.items()}, indent=1)
    print(text)
    if profile:
        pstats.Stats(profile).sort_stats("cumtime").print_stats(60)
    if given.json:
        given.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
