"""How soon is slow motion seen in the weather of a real stack, at a rate of false flags that an observatory can live with?

    python benchmarks/slow_motion.py ARCHIVE --noise-from 2014-10-01 --train-from 2019-01-01 --train-to 2020-12-31 \\
        --test-from 2021-01-01 --test-to 2022-12-31 --rates 1 2 4 8 --json OUT [--frame F] [--lat --lon] \\
        [--leave-out DATE DATE]

ARCHIVE is any LiCSAR-layout archive. Three spans follow each other. The shape of the weather's covariance is learned from
the acquisitions before the training span, the threshold from permuted acquisitions of the training span, and both are tried
on permuted acquisitions of the test span: weather of different days is nearly independent, and a permutation keeps each
day's weather whole. A record is the training span, permuted, and then acquisitions drawn from the span that is tried.

Printed: the rate of false flags that the threshold really gives on the test span (at most one a record counts), and for
each rate of uplift the part found within 6, 9, 12, 18 and 24 months of its onset, with any place and depth unknown
(*blind*) and with the nearest source of the bank told. Sources lie anywhere in the middle half of the scene, 1 to 4 km
deep, and begin at a random time. `in order` is the largest deviate of the test span as it really came, over the threshold.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from real_atmosphere import SETTINGS, loaded, opened

from insar_anomaly.detectors.matched_filter import block_means, centred, templates
from insar_anomaly.detectors.slope import Noise, Projected, hinges
from insar_anomaly.evidence.history import history
from insar_anomaly.evidence.inject import patterns
from insar_anomaly.evidence.network import Network
from insar_anomaly.evidence.protocol import pair_dates
from insar_anomaly.simulate import draw_source
from insar_anomaly.stack.schema import pixel_km, wavelength_of
from insar_anomaly.tiles import trends
from insar_anomaly.units import rad_per_m

Floats = NDArray[np.float64]

BLOCK = 8
DEPTHS_KM = (1.0, 1.5, 2.5, 4.0)
LEAST_SEEN = 0.9
MONTHS = (6, 9, 12, 18, 24)
DAYS_A_MONTH = 365.25 / 12
LATEST_ONSET_DAYS = 60.0
REMOVED = tuple(SETTINGS["remove"])


@dataclass(frozen=True)
class Scene:
    """A stack as its acquisitions: ``days`` (acquisition,), ``shown`` (acquisition, used block) cm, ``usable`` (v, u)."""

    stack: xr.Dataset
    days: Floats
    shown: Floats
    usable: NDArray[np.bool_]

    @classmethod
    def of(cls, stack: xr.Dataset) -> Scene:
        """From the pairs of an archive, by least squares."""
        dates = pair_dates(stack)
        network = Network.of(dates)
        parts = []
        for begin in range(0, stack.sizes["pair"], 16):
            tiles = loaded(stack.isel(pair=slice(begin, begin + 16)))
            parts.append(block_means(tiles["phase"].values, tiles["valid"].values, BLOCK, 0.5))
        means = np.concatenate(parts)
        usable = np.isfinite(means).mean(0) >= LEAST_SEEN
        series = history(means[:, usable], network.ends) * cm_per_rad(stack)
        days = np.unique(dates.astype("datetime64[D]")).astype(float)
        return cls(stack, days, centred(series), usable)

    def patterns(self) -> Floats:
        """The bank (source, block), cm for a source of 1 cm, cleaned as the pairs are."""
        stack = self.stack
        look = tuple(float(stack[name].mean()) for name in "enu")
        bank = [
            templates(self.usable, depth, block=BLOCK, spacing=1, pixel_km=pixel_km(stack), look=look) for depth in DEPTHS_KM
        ]
        return self._cleaned(np.concatenate(bank) * cm_per_rad(stack))

    def drawn(self, rng: np.random.Generator) -> Floats:
        """A random source of 1 cm (block,), cm."""
        shape = (self.stack.sizes["y"], self.stack.sizes["x"])
        phase = patterns(self.stack)(draw_source(shape, rng, peak_cm=1.0))
        means = block_means(phase[None].astype(np.float32), np.ones((1, *shape), bool), BLOCK, 0.5)[0]
        return self._cleaned(means[self.usable][None] * cm_per_rad(self.stack))[0]

    def _cleaned(self, shown: Floats) -> Floats:
        """Planes and what follows height taken off, as from the pairs, block by block."""
        planes = np.full((len(shown), *self.usable.shape), np.nan)
        planes[:, self.usable] = shown
        height = self.stack["height"].values.astype(np.float32)
        height = block_means(height[None], np.isfinite(height)[None], BLOCK, 0.5)[0]
        ground = self.usable & (np.isfinite(height) | (not trends.needs_height(REMOVED)))
        rest = [one - trends.trend(one, ground, height, REMOVED) for one in np.nan_to_num(planes)]
        return centred(np.where(ground, np.stack(rest), 0)[:, self.usable])


def cm_per_rad(stack: xr.Dataset) -> float:
    """Motion towards the satellite in cm for a phase of 1 rad."""
    return 100 / rad_per_m(wavelength_of(stack))


@dataclass(frozen=True)
class Pool:
    """Acquisitions of a span to draw records from: whitened (acquisition, block), with a line taken off each block."""

    whitened: Floats
    bank: Floats

    @classmethod
    def of(cls, scene: Scene, noise: Noise, bank: Floats, first: date, last: date) -> Pool:
        """What already creeps in a span is taken off, or a permutation would make it into noise."""
        within = inside(scene.days, first, last)
        days, shown = scene.days[within], scene.shown[within]
        line = np.stack([np.ones(len(days)), days - days.mean()], 1)
        left = shown - line @ np.linalg.lstsq(line, shown, rcond=None)[0]
        return cls(noise.whitened(left), bank)

    def __len__(self) -> int:
        return len(self.whitened)


def inside(days: Floats, first: date, last: date) -> NDArray[np.bool_]:
    """Days of a span, both ends included."""
    ends = np.array([first, last], "datetime64[D]").astype(float)
    return (days >= ends[0]) & (days <= ends[1])


@dataclass(frozen=True)
class Trial:
    """Records are the training span, permuted, and then `searched` acquisitions of a pool, `repeat` days apart."""

    before: Pool
    repeat: float
    searched: int

    @property
    def years(self) -> float:
        """Length of the searched part of a record."""
        return self.searched * self.repeat / 365.25

    def record(self, pool: Pool, rng: np.random.Generator) -> Floats:
        """A quiet record (acquisition, block), whitened."""
        first = self.before.whitened[rng.permutation(len(self.before))]
        return np.concatenate([first, pool.whitened[rng.integers(0, len(pool), self.searched)]])

    def searched_days(self, record: Floats) -> Floats:
        """Days of a record's acquisitions."""
        return np.arange(len(record)) * self.repeat

    def deviates(self, record: Floats, bank: Floats) -> Floats:
        """The deviate at each searched acquisition."""
        seen = Projected.of(self.searched_days(record), record, bank)
        return hinges(seen).deviate[-self.searched :]

    def largest(self, pool: Pool, bank: Floats, number: int, rng: np.random.Generator) -> Floats:
        """Largest deviates (record,) of quiet records."""
        return np.array([self.deviates(self.record(pool, rng), bank).max() for _ in range(number)])


def threshold_for(largest: Floats, rate: float, years: float) -> float:
    """The deviate that records reach at `rate` a year, if what reaches it comes at random."""
    return float(np.quantile(largest, np.exp(-rate * years)))


def rate_over(largest: Floats, threshold: float, years: float) -> float:
    """Records over the threshold, as a rate a year; the inverse of `threshold_for`."""
    return float(-np.log1p(-min(np.mean(largest > threshold), 1 - 1e-9)) / years)


@dataclass(frozen=True)
class Tried:
    """What is tried: records of `pool`, blind over the whole bank, and told the nearest source, each with its threshold."""

    trial: Trial
    pool: Pool
    blind: float
    told: float

    def delays(self, pattern: Floats, rate: float, rng: np.random.Generator) -> tuple[float, float]:
        """Months from the onset of a source (block,), whitened, to the first deviate over the threshold; inf: never."""
        trial, bank = self.trial, self.pool.bank
        nearest = int(np.abs(bank @ pattern / np.linalg.norm(bank, axis=1)).argmax())
        begins = rng.uniform(0, LATEST_ONSET_DAYS)
        days = np.arange(trial.searched) * trial.repeat
        record = trial.record(self.pool, rng)
        record[-trial.searched :] += (np.maximum(0, days - begins) / 365.25 * rate)[:, None] * pattern
        out = []
        for sources, over in ((bank, self.blind), (bank[[nearest]], self.told)):
            found = (trial.deviates(record, sources) > over) & (days > begins)
            out.append((days[found.argmax()] - begins) / DAYS_A_MONTH if found.any() else np.inf)
        return out[0], out[1]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    for name in ("noise-from", "train-from", "train-to", "test-from", "test-to"):
        parser.add_argument(f"--{name}", type=date.fromisoformat, required=True, metavar="DATE")
    parser.add_argument(
        "--leave-out",
        type=date.fromisoformat,
        nargs=2,
        action="append",
        default=[],
        metavar="DATE",
        help="a span that is known to have moved",
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0], metavar="CM", help="cm a year")
    parser.add_argument("--false-flags", type=float, default=0.1, metavar="N", help="false flags a stack-year")
    parser.add_argument("--records", type=int, default=100, metavar="N", help="records of each rate")
    parser.add_argument("--quiet", type=int, default=300, metavar="N", help="quiet records for the threshold")
    parser.add_argument("--searched", type=int, default=75, metavar="N", help="acquisitions searched in a record")
    parser.add_argument("--frame", help="where the archive holds several")
    parser.add_argument("--lat", type=float, help="with --lon: only this volcano's box of 50 km")
    parser.add_argument("--lon", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    report = measured(given)
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Learn, calibrate, try."""
    scene = Scene.of(opened(given, given.archive, given.frame)(given.noise_from, given.test_to))
    early = inside(scene.days, given.noise_from, given.train_from)
    for first, last in given.leave_out:
        early &= ~inside(scene.days, first, last)
    noise = Noise.of(scene.shown[early])
    bank = noise.whitened(scene.patterns())
    spans = ((given.train_from, given.train_to), (given.test_from, given.test_to))
    train, test = (Pool.of(scene, noise, bank, *span) for span in spans)
    trial, rng = Trial(train, float(np.median(np.diff(scene.days))), given.searched), np.random.default_rng(given.seed)
    limits = [
        threshold_for(trial.largest(train, one, given.quiet, rng), given.false_flags, trial.years)
        for one in (bank, bank[[len(bank) // 2]])
    ]
    realised = rate_over(trial.largest(test, bank, given.quiet, rng), limits[0], trial.years)
    days = np.concatenate([scene.days[inside(scene.days, *span)] for span in spans])
    real = hinges(Projected.of(days, np.concatenate([train.whitened, test.whitened]), bank)).deviate[len(train) :].max()
    print(f"{early.sum()} acquisitions for the weather's shape, {len(train)} for the threshold, {len(test)} tried")
    print(f"{scene.usable.sum()} blocks, {len(bank)} sources, every {trial.repeat:.0f} days; seed {given.seed}")
    print(f"threshold {limits[0]:.2f} (told {limits[1]:.2f}), in order {real:.2f}; {realised:.2f} false flags a year\n")
    tried = Tried(trial, test, *limits)
    rows = table(tried, lambda: noise.whitened(scene.drawn(rng)[None])[0], given, rng)
    settings = {k: str(v) for k, v in vars(given).items()}
    return {"threshold": limits[0], "realised": realised, "in order": float(real), "rows": rows, "settings": settings}


def table(
    tried: Tried, source: Callable[[], Floats], given: argparse.Namespace, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Print the part found by each month, a line for each rate."""
    print(
        "| cm a year | "
        + " | ".join(f"{m} months" for m in MONTHS)
        + " | median | "
        + " | ".join(f"told: {m}" for m in MONTHS)
        + " |"
    )
    print("|---" * (2 * len(MONTHS) + 2) + "|")
    rows = []
    for rate in given.rates:
        blind, told = np.array([tried.delays(source(), rate, rng) for _ in range(given.records)]).T
        parts = {name: [float(np.mean(one <= m)) for m in MONTHS] for name, one in (("blind", blind), ("told", told))}
        rows.append({"cm_a_year": rate, "months": MONTHS, "median": float(np.median(blind))} | parts)
        shown = {name: " | ".join(f"{part:.2f}" for part in values) for name, values in parts.items()}
        print(f"| {rate:g} | {shown['blind']} | {np.median(blind):.1f} | {shown['told']} |", flush=True)
    return rows


if __name__ == "__main__":
    sys.exit(main())
