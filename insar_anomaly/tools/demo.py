"""A simulated archive of several volcanoes, some with unrest, and the installation that screens it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np

from insar_anomaly.errors import UsageError
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import Period
from insar_anomaly.pipeline import Watch
from insar_anomaly.simulate import PointSource, Scene, Unrest, acquisitions, scene
from insar_anomaly.tools.layouts import frame_name, source_lines, writer
from insar_anomaly.units import KM_PER_DEGREE

FIT = Period(date(2020, 1, 1), date(2021, 7, 31))
"""Quiet period of the demonstration; unrest starts after it."""
AS_OF = date(2022, 3, 31)
_PIXELS = 132
_STEP = 0.001


@dataclass(frozen=True)
class DemoVolcano:
    """A simulated volcano and its truth: peak line-of-sight motion in cm, and when (None = quiet)."""

    gvp: int
    name: str
    lat: float
    lon: float
    frame: str
    peak_cm: float = 0.0
    start: date | None = None
    end: date | None = None


# two volcanoes share a frame: its files are opened once for both
VOLCANOES = (
    DemoVolcano(990001, "Quiet Peak", 10.30, 40.20, "001A_00001_010101"),
    DemoVolcano(990002, "Swelling Cone", 10.30, 40.34, "001A_00001_010101", 9.0, date(2021, 11, 1), date(2021, 11, 12)),
    DemoVolcano(990003, "Silent Caldera", -3.20, 120.50, "002D_00002_020202"),
    DemoVolcano(990004, "Sinking Rift", 15.70, -90.40, "003A_00003_030303", -14.0, date(2021, 10, 1), date(2021, 11, 10)),
)


# for comparisons: every volcano quiet, unrest is injected
QUIET_VOLCANOES = (
    *(replace(v, peak_cm=0.0, start=None, end=None) for v in VOLCANOES),
    DemoVolcano(990005, "Dormant Island", 37.80, -25.50, "004D_00004_040404"),
)


def write_demo(
    folder: Path,
    *,
    volcanoes: Sequence[DemoVolcano] = VOLCANOES,
    seed: int = 0,
    layout: str = "licsar",
    watch: Watch | None = None,
) -> Path:
    """Write archive, catalogue, truth and configuration into `folder`; returns the configuration's path.

    `layout` is one of `tools.layouts.LAYOUTS`.

    What exists already is left alone, so that an interrupted simulation goes on.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(f"{folder}: {problem.strerror}; name a folder that can be made") from None
    write = writer(layout)
    volcanoes = [replace(v, frame=frame_name(layout, v.frame)) for v in volcanoes]
    frames = sorted({v.frame for v in volcanoes})
    for number, frame in enumerate(frames):
        here = [v for v in volcanoes if v.frame == frame]
        west, north, simulated = _frame(here, [seed, number])
        write(folder / "archive", frame, simulated, west=west, north=north, step=_STEP)
        if watch:
            watch("simulate", number + 1, len(frames))
    truth = [{"gvp": v.gvp, "name": v.name, "peak_cm": v.peak_cm, "start": v.start, "end": v.end} for v in volcanoes]
    (folder / "truth.json").write_text(json.dumps({"seed": seed, "volcanoes": truth}, indent=1, default=str) + "\n")
    named = [replace(v, frame=frame_name(layout, v.frame)) for v in volcanoes]
    (folder / "volcanoes.toml").write_text("\n".join(map(_entry, named)))
    config = folder / "demo.toml"
    config.write_text(_CONFIG.replace('"licsar"\n', f'"{layout}"\n{source_lines(layout)}'))
    return config


def verdict(truth: Sequence[DemoVolcano], episodes: Sequence[EpisodeRow]) -> list[str]:
    """What was flagged beside what was simulated, one line per volcano, and whether they agree."""
    lines = []
    for volcano in truth:
        raised = [e for e in episodes if e.gvp == volcano.gvp]
        true = [e for e in raised if volcano.start and volcano.end and e.since <= volcano.end and volcano.start <= e.until]
        said = ", ".join(f"{e.since} to {e.until}" for e in raised) or "no flag"
        if volcano.start is None:
            happened, outcome = "quiet", "ok" if not raised else f"{len(raised)} FALSE"
        else:
            happened = f"{volcano.peak_cm:+g} cm from {volcano.start} to {volcano.end}"
            outcome = "found" if true else "MISSED"
            outcome += f", {len(raised) - len(true)} FALSE" if len(raised) > len(true) else ""
        lines.append(f"  {volcano.name:<15} {happened:<40} flagged: {said}  [{outcome}]")
    return lines


def _frame(volcanoes: Sequence[DemoVolcano], seed: list[int]) -> tuple[float, float, Scene]:
    """West and north edge, degrees, and the scene of a frame with these volcanoes."""
    rng = np.random.default_rng(seed)
    lat = float(np.mean([v.lat for v in volcanoes]))
    west = min(v.lon for v in volcanoes) - _PIXELS / 2 * _STEP
    east = max(v.lon for v in volcanoes) + _PIXELS / 2 * _STEP
    north = lat + _PIXELS / 2 * _STEP
    shape = (_PIXELS, round((east - west) / _STEP))
    motion = [
        Unrest(PointSource((north - v.lat) / _STEP, (v.lon - west) / _STEP, depth_km=2.0, peak_cm=v.peak_cm), v.start, v.end)
        for v in volcanoes
        if v.start and v.end
    ]
    kilometres = KM_PER_DEGREE * _STEP
    simulated = scene(
        shape,
        rng,
        dates=acquisitions(date(2020, 1, 1), AS_OF),
        motion=motion,
        pixel_km=(kilometres, kilometres * float(np.cos(np.radians(lat)))),
        turbulence_rad=0.8,
    )
    return west, north, simulated


def _entry(volcano: DemoVolcano) -> str:
    return (
        f'[[volcano]]\ngvp = {volcano.gvp}\nname = "{volcano.name}"\nlat = {volcano.lat}\nlon = {volcano.lon}\n'
        f'frames = ["{volcano.frame}"]\nbox_km = 14\n'
    )


_CONFIG = """\
# The demonstration: local files as object storage, SQLite, local Dask workers. All of it lies beside this file.
store = "store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"
figures = "figures"

[[source]]
kind = "licsar"
url = "archive"

[detector]
kind = "padim"

[calibrate]
false_alarms_per_year = 0.5

[[channel]]
kind = "files"
folder = "notices"
"""
