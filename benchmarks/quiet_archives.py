"""Quiet simulated archives for `alarm_rate`: some years of every kind of atmosphere, fitted, calibrated and watched.

Every archive (32 x 32 pixels of 400 m, one acquisition each 12 days, each joined to the next three) is quiet from its first
day to its last: nothing moves. Model, threshold and tail come from its first years, by the function that `insar-anomaly fit`
calls. The years after that are scored with this model, as a night scores them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import detectors, simulate
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.scored import Scored
from insar_anomaly.calibration.threshold import Target
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Calibrate, Flags, Fusion, Preprocess
from insar_anomaly.detectors.base import BATCH, Scorer
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Assessed, Evidence, Reach, pair_dates
from insar_anomaly.files.whole import write_whole
from insar_anomaly.names import EvidenceKind, Pair
from insar_anomaly.pipeline.fitting import FitTask, calibrated
from insar_anomaly.pipeline.parts import evidence_of, planes_of
from insar_anomaly.pipeline.recipe import DetectorChoice, Recipe, Trials
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles.preprocess import Cleaning
from insar_anomaly.units import KM_PER_DEGREE

PIXEL_KM, REPEAT = 0.4, 12
FIRST = date(2015, 1, 1)
TOGETHER, STORM_PART, STORM = 6, 0.02, 2.5
"""Archives of one region, the part of its days with a storm, and how much stronger turbulence is then in all of them."""
AIM, CLEAR = Calibrate(), Flags().clear_after_days
TARGET = Target(AIM.policy, AIM.false_alarms_per_year, AIM.fpr, AIM.quantile, AIM.min_pairs, CLEAR)
REACH = Reach(**Fusion().model_dump(exclude={"evidence"}))
CLEANING = Cleaning.of(Preprocess().model_dump(mode="json"))
DETECTORS = {
    "filter": DetectorChoice("matched_filter", {"block": 4}),
    "padim": DetectorChoice("padim"),
}
"""Blocks of 4 pixels, since pixels are four times as wide as LiCSAR's; PaDiM as it is by default."""

Floats = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Ground:
    """Where an archive is: `height` (y, x) m, and the days that are drawn, with their place in the year, -1 to 1."""

    height: Floats
    season: Floats

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels along y and x."""
        return (self.height.shape[0], self.height.shape[1])

    @property
    def days(self) -> int:
        """Acquisitions."""
        return len(self.season)

    def turbulence(self, rng: Rng, strength: Floats) -> Floats:
        """Screens (acquisition, y, x), rad, of these standard deviations (acquisition,)."""
        fields = simulate.Spectrum(outer_km=20).fields(self.shape, rng, number=self.days, pixel_km=PIXEL_KM)
        return strength[:, None, None] * fields

    def spread(self, rng: Rng, sigma: float = 0.3) -> Floats:
        """Lognormal factors (acquisition,), median 1."""
        return np.exp(rng.normal(0, sigma, self.days))


def _turbulent(at: Ground, rng: Rng, storm: Floats) -> Floats:
    return at.turbulence(rng, 0.9 * storm * at.spread(rng))


def _layered(at: Ground, rng: Rng, storm: Floats) -> Floats:
    """What follows the height, but not in proportion: half of it lies below 1 km above the lowest ground."""
    profile = 1 - np.exp(-(at.height - at.height.min()) / 1000)
    strength = 2.5 * (at.season + rng.normal(0, 0.8, at.days)) * storm
    return at.turbulence(rng, 0.5 * storm * at.spread(rng)) + strength[:, None, None] * (profile - profile.mean())


def _stormy(at: Ground, rng: Rng, storm: Floats) -> Floats:
    """A Pareto tail of exponent 2.5: one day in 300 is ten times as strong as the usual one."""
    return at.turbulence(rng, 0.6 * storm * (1 + rng.pareto(2.5, at.days)))


def _cells(at: Ground, rng: Rng, storm: Floats) -> Floats:
    """One or two clouds a day, as wide as a volcano's motion, Student's t (3) in strength."""
    out = at.turbulence(rng, 0.5 * storm * at.spread(rng))
    y, x = np.mgrid[: at.shape[0], : at.shape[1]] * PIXEL_KM
    for day in range(at.days):
        for _ in range(rng.poisson(1.5)):
            row, col = (rng.uniform(0, n * PIXEL_KM) for n in at.shape)
            wide = rng.uniform(0.8, 2.5)
            out[day] += storm[day] * rng.standard_t(3) * np.exp(-((y - row) ** 2 + (x - col) ** 2) / (2 * wide**2))
    return out


def _striped(at: Ground, rng: Rng, storm: Floats) -> Floats:
    """Stripes of the ionosphere on every fourth day or so."""
    out = at.turbulence(rng, 0.6 * storm * at.spread(rng))
    for day in np.flatnonzero(rng.random(at.days) < 0.25):
        strength = float(1.5 * np.exp(rng.normal(0, 0.7)))
        km = (PIXEL_KM, PIXEL_KM)
        out[day] += simulate.ionosphere(at.shape, rng, std_rad=strength, pixel_km=km, wavelengths_km=(8.0, 60.0))
    return out


def _seasonal(at: Ground, rng: Rng, storm: Floats) -> Floats:
    """Turbulence that is five times as strong in one half of the year as in the other."""
    return at.turbulence(rng, 0.7 * storm * at.spread(rng) * np.exp(0.8 * at.season))


KINDS: Mapping[str, Callable[[Ground, Rng, Floats], Floats]] = {
    "turbulent": _turbulent,
    "layered over relief": _layered,
    "stormy, Pareto 2.5": _stormy,
    "convective cells, Student t 3": _cells,
    "stripes of the ionosphere": _striped,
    "strong season": _seasonal,
}


@dataclass(frozen=True)
class Plan:
    """What is drawn: `quiet` years to fit on, in `folds` blocks, and `watched` years after them, of `side` pixels a side."""

    seed: int
    detector: str
    quiet: float
    watched: float
    side: int = 32
    folds: int = AIM.folds

    @property
    def name(self) -> str:
        """Names everything that decides what comes out, but for the code."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def days(self) -> list[date]:
        """Acquisitions."""
        return [FIRST + timedelta(days=n) for n in range(0, round(365.25 * (self.quiet + self.watched)) + 1, REPEAT)]

    @property
    def since(self) -> date:
        """The day up to which an archive is quiet ground to fit on."""
        return FIRST + timedelta(days=round(365.25 * self.quiet))


@dataclass(frozen=True)
class Watched:
    """What became of one archive: its kind, its calibration, and the assessments of the `years` after the fit."""

    kind: str
    calibration: Calibration
    years: float
    assessments: tuple[Assessed, ...]

    @property
    def text(self) -> str:
        """For a file, JSON."""
        content = {"kind": self.kind, "years": self.years, "calibration": json.loads(self.calibration.text)}
        return json.dumps(content | {"assessments": [one.plain for one in self.assessments]})

    @classmethod
    def read(cls, text: str) -> Watched:
        """From `text`."""
        content = json.loads(text)
        calibration = Calibration.read(json.dumps(content["calibration"]))
        return cls(content["kind"], calibration, content["years"], tuple(map(Assessed.of, content["assessments"])))


def archive(plan: Plan, number: int) -> xr.Dataset:
    """The archive of this number, all years of it, as a store would give it."""
    rng = np.random.default_rng([plan.seed, number])
    shape, days = (plan.side, plan.side), plan.days
    kind = simulate.TERRAINS[int(rng.integers(len(simulate.TERRAINS)))]
    height = simulate.terrain(shape, rng, kind=kind, pixel_km=PIXEL_KM)
    season = np.array([np.sin(2 * np.pi * day.timetuple().tm_yday / 365.25) for day in days])
    region = np.random.default_rng([plan.seed, number // TOGETHER, 1])
    storm = np.where(region.random(len(days)) < STORM_PART, STORM, 1.0) * np.exp(rng.normal(0, 0.3))
    screens = list(KINDS.values())[number % len(KINDS)](Ground(height, season), rng, storm)
    ends = [(i, i + s) for i in range(len(days)) for s in (1, 2, 3) if i + s < len(days)]
    coherence = simulate.coherences(days, ends, shape, rng)
    phase = np.stack([screens[j] - screens[i] for i, j in ends]) + simulate.phase_noise(coherence, rng, looks=60)
    phase[:, simulate.decorrelated(shape, rng, fraction=0.05)] = np.nan
    at, (first, last) = np.array(days, "datetime64[ns]"), np.array(ends).T
    static = {k: (("y", "x"), np.full(shape, v, np.float32)) for k, v in zip("enu", simulate.LOOK, strict=True)}
    return xr.Dataset(
        {
            "phase": (("pair", "y", "x"), phase.astype(np.float32)),
            "coherence": (("pair", "y", "x"), (255 * coherence).astype(np.uint8)),
            "water": (("y", "x"), np.zeros(shape, bool)),
            "height": (("y", "x"), height.astype(np.float32)),
            **static,
        },
        coords={
            "pair": [Pair(days[i], days[j]).name for i, j in ends],
            "reference": ("pair", at[first]),
            "secondary": ("pair", at[last]),
            "y": -np.arange(plan.side) * PIXEL_KM / KM_PER_DEGREE,
            "x": np.arange(plan.side) * PIXEL_KM / KM_PER_DEGREE,
        },
    )


def watched(plan: Plan, number: int, work: Path) -> Watched:
    """The archive of this number, fitted on its quiet years and scored after them; or its file in `work`."""
    file = work / f"{plan.detector}-{plan.name}" / f"{number:05d}.json"
    if file.exists():
        return Watched.read(file.read_text(encoding="utf-8"))
    found = _watched(plan, number, work)
    write_whole(file, found.text.encode())
    return found


def _watched(plan: Plan, number: int, work: Path) -> Watched:
    stack, since = archive(plan, number), np.datetime64(plan.since)
    quiet = stack.isel(pair=np.flatnonzero((pair_dates(stack) <= since).all(1)))
    task = _task(plan, number, quiet, work)
    proof = evidence_of(task.evidence, REACH, task.volcano, quiet, CLEANING)
    with closing(planes_of(task.volcano, quiet, CLEANING)) as planes:
        planes.phases(range(quiet.sizes["pair"]))  # many at a time, which is faster than window by window
        scorer, calibration, level = calibrated(task, planes, proof)
    assert level is not None
    with closing(planes_of(task.volcano, stack, CLEANING)) as planes:
        planes.phases(range(stack.sizes["pair"]))
        scored = _scored(planes, proof, detectors.load(scorer.to_dataset()), level, since)
    years = float((scored.dates.max() - pair_dates(quiet).max()) / np.timedelta64(1, "D")) / 365.25
    return Watched(list(KINDS)[number % len(KINDS)], calibration, years, tuple(scored.assessments(scored.score)))


def _task(plan: Plan, number: int, quiet: xr.Dataset, work: Path) -> FitTask:
    """The fit of intervals with the default settings; no sources are injected, since no threshold depends on them."""
    name = f"{100000 + number}/SIMULATED"
    volcano = Volcano(gvp=100000 + number, name="Simulated", lat=0.0, lon=0.0, frames=("SIMULATED",))
    trials, pairs = Trials(TARGET, plan.folds, (), AIM.seed), tuple(map(str, quiet["pair"].values))
    recipe = Recipe(EvidenceKind.INTERVAL, CLEANING, DETECTORS[plan.detector], trials, (), plan.name, REACH)
    return FitTask(Store(str(work / "store")), name, volcano, "", pairs, (), recipe, {})


def _scored(planes: Planes, proof: Evidence, scorer: Scorer, level: Level, since: np.datetime64) -> Scored:
    """Assessments of the intervals that the model was not fitted on, measured by its level."""
    dates, parts = pair_dates(planes.stack), []
    items = [one for one in proof.items(dates, np.arange(len(dates))) if one.last > since]
    for start in range(0, len(items), BATCH):
        batch = proof.make(planes, items[start : start + BATCH])
        parts.append(Scored.of(scorer.score(batch[list(scorer.inputs)])["score"].values, batch))
    every = Scored.joined(parts)
    return replace(every, score=np.asarray(level.standard(every.score, every.variance, every.days)))
