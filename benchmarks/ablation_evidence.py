"""How `preprocess_ablation` scores a row: quiet and injected evidence, and how sure a difference between rows is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any
from unittest.mock import patch

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.config.sections import Fusion
from insar_anomaly.detectors.base import Scorer
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence import fusion
from insar_anomaly.evidence.fused import Fused
from insar_anomaly.evidence.inject import inject
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.tiles import preprocess

REACH = (Fusion().before, Fusion().after)
BLOCK = 6
"""Successive acquisitions that are left out together: as many as the default interval is made of."""


@dataclass(frozen=True, eq=False)
class Place:
    """A stack's pairs to fit on and quiet ones to test on; equal only to itself."""

    train: xr.Dataset
    quiet: xr.Dataset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.train is other.train

    def __hash__(self) -> int:
        return id(self.train)


@dataclass(frozen=True)
class Found:
    """Scores of what was tested of a place: ``began`` (unit,) datetime64, ``low`` quiet and ``high`` injected (unit,)."""

    place: Place
    began: NDArray[np.datetime64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @property
    def auroc(self) -> float:
        """Injected against quiet."""
        return auroc(self.low, self.high)

    def left_out(self) -> NDArray[np.float64]:
        """AUROC without each block (block,) of the place's successive acquisitions."""
        openings = np.unique(self.place.quiet["reference"].values)
        block = np.searchsorted(openings, self.began) // BLOCK
        count = -(-len(openings) // BLOCK)
        return np.array([auroc(self.low[block != b], self.high[block != b]) for b in range(count)])


def error(found: Sequence[Found], first: Sequence[Found] | None = None) -> float:
    """Standard error of the mean AUROC of `found`, or of its difference from that of `first`, by the jackknife over blocks.

    Cases of one place share its blocks, places are independent. It shows what other months of the same volcanoes would
    change, not what other volcanoes would.
    """
    total = 0.0
    for place in {one.place for one in found}:
        chosen = [n for n, one in enumerate(found) if one.place == place]
        change = np.mean([found[n].left_out() - (first[n].left_out() if first else 0) for n in chosen], axis=0)
        total += (len(chosen) / len(found)) ** 2 * (len(change) - 1) * float(np.var(change))
    return float(total**0.5)


def pairs(place: Place, detector: Padim, steps: dict[str, Any], *, peak: float, seed: int) -> Iterator[Found]:
    """Single pairs."""
    scorer, low = _fitted(place, detector, json.dumps(steps))
    moved = preprocess.tiles(inject(place.quiet, peak_cm=peak, seed=seed), **steps)
    yield Found(place, place.quiet["reference"].values, low, scorer.score(moved)["score"].values)


def intervals(
    place: Place, detector: Padim, steps: dict[str, Any], *, peak: float, seed: int, fused_by: dict[str, Any]
) -> Iterator[Found]:
    """Intervals in their full assessment, and in the first one, with one acquisition after them.

    `fused_by`: ``reach`` (before, after), and ``alike`` true where acquisitions are to count alike, whatever their noise.
    """
    how = json.dumps([steps, fused_by], sort_keys=True)
    low, high = (_scored(place, detector, how, *sources) for sources in ((0.0, 0), (peak, seed)))
    for after in (fused_by.get("reach", REACH)[1], 1):
        both = sorted(one for one in low.keys() & high.keys() if one[1] == after)
        began = np.array([f"{name[:4]}-{name[4:6]}-{name[6:8]}" for name, _ in both], "datetime64[D]")
        yield Found(place, began, np.array([low[one] for one in both]), np.array([high[one] for one in both]))


def forget() -> None:
    """Let go of what a row has fitted."""
    _fitted.cache_clear()
    _fitted_to_intervals.cache_clear()
    _scored.cache_clear()


@lru_cache(maxsize=8)
def _fitted(place: Place, detector: Padim, steps: str) -> tuple[Scorer, NDArray[np.float64]]:
    """The scorer fitted on a place's training pairs, and the scores of its quiet ones."""
    settings = _settings(json.loads(steps))
    scorer = detector.fit(preprocess.tiles(place.train, **settings))
    return scorer, scorer.score(preprocess.tiles(place.quiet, **settings))["score"].values


@lru_cache(maxsize=8)
def _fitted_to_intervals(place: Place, detector: Padim, how: str) -> Scorer:
    return detector.fit(_to_fit(place, how))


@lru_cache(maxsize=24)
def _scored(place: Place, detector: Padim, how: str, peak: float, seed: int) -> dict[tuple[str, int], float]:
    """Score of every assessment that has one, by name and acquisitions after it."""
    tiles = _assessments(place, how, peak, seed)
    score = _fitted_to_intervals(place, detector, how).score(tiles)["score"].values
    names = zip(map(str, tiles["pair"].values), map(int, tiles["after"].values), strict=True)
    return {name: float(one) for name, one in zip(names, score, strict=True) if not np.isnan(one)}


@lru_cache(maxsize=8)
def _to_fit(place: Place, how: str) -> xr.Dataset:
    """Tiles of all assessments of the intervals of a place's training pairs; rows with another detector share them."""
    evidence, weighed = _evidence(how)
    with weighed:
        return evidence.tiles(place.train)[["tile", "valid"]]


@lru_cache(maxsize=24)
def _assessments(place: Place, how: str, peak: float, seed: int) -> xr.Dataset:
    """Tiles of the first and the full assessments of the intervals of a place's test pairs."""
    evidence, weighed = _evidence(how)
    ages = (1, evidence.reach.after)
    with weighed:
        batches = [batch[["tile", "valid"]] for batch in evidence.batches(place.quiet, peak_cm=peak, seed=seed)]
    return xr.concat(
        [one.isel(pair=np.isin(one["after"], ages)) for one in batches], "pair", coords="minimal", compat="override"
    )


def _evidence(how: str) -> tuple[Fused, Any]:
    steps, fused_by = json.loads(how)
    settings = _settings(steps)
    before, after = fused_by.get("reach", REACH)
    step = preprocess.range_step(settings["range_form"], settings["range_rad"])
    evidence = Fused(
        "interval", partial(preprocess.tiles, **settings), step, Reach(before, after, Fusion().beside, settings["range_rad"])
    )
    alike = patch.object(fusion, "noise", lambda solved, ground: np.ones(len(solved)))  # noqa: ARG005
    return evidence, alike if fused_by.get("alike") else nullcontext()


def _settings(steps: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in steps.items()}
