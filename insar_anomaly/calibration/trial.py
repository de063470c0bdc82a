"""Scores made out of sample: a stack's quiet evidence, and the same with one synthetic source in each.

Out of sample means blocked in time: the quiet period is cut into blocks, and the pairs that lie inside one block are scored
by a model fitted on pairs of which no date falls into that block. A pair that straddles an edge is held out nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.calibration.samples import LABELLED, QUIET, Age, Sample, injected
from insar_anomaly.detectors.base import Detector, Progress, Scorer, silent
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessed, Evidence, pair_dates


@dataclass(frozen=True)
class Trial:
    """Scores made out of sample.

    ``dates`` (assessment, 2) datetime64[D], ``seen`` (assessment,) the day from which on each could be made (None: they are
    single pairs), ``negative`` (assessment,) scores of quiet evidence, ``positive`` scores (assessment,) of injected or
    labelled evidence by `Sample`; ``years`` of observation that the negatives cover; ``places`` where the sources of a
    sample were (assessment, 2), as parts of the scene's sides; ``level`` that fused evidence is measured by, and its single
    ``assessments``. NaN scores (not scorable) are left out already. ``held`` is set where nothing was scored.
    """

    dates: NDArray[np.datetime64]
    negative: NDArray[np.float64]
    positive: Mapping[Sample, NDArray[np.float64]]
    years: float
    places: Mapping[Sample, NDArray[np.float64]] = field(default_factory=dict)
    level: Level | None = None
    seen: NDArray[np.datetime64] | None = None
    assessments: Mapping[Sample, Sequence[Assessed]] = field(default_factory=dict)
    held: int | None = None

    @property
    def scored(self) -> int:
        """Quiet evidence that was scored, or could have been where the trial was not worth its time (`held`)."""
        return len(self.negative) if self.held is None else self.held

    @classmethod
    def skipped(cls, held: int, level: Level | None) -> Trial:
        """A trial of which no threshold could come: `held` assessments are too few."""
        none = np.empty(0)
        return cls(np.empty((0, 2), "datetime64[D]"), none, {}, 0.0, level=level, held=held)

    def labelled(self, scores: NDArray[np.float64]) -> Trial:
        """The same negatives with scores of labelled pairs (pair,) as positives; NaN scores are left out."""
        return Trial(self.dates, self.negative, {LABELLED: scores[~np.isnan(scores)]}, self.years, held=self.held)


def blocks(dates: NDArray[np.datetime64], folds: int) -> NDArray[np.int64]:
    """Block of time (pair,) that holds both dates of a pair; -1 for a pair that straddles an edge.

    `dates` is (pair, 2), reference and secondary. The edges are quantiles of the acquisition dates.
    """
    acquired = np.unique(dates)
    edges = acquired[np.linspace(0, len(acquired), folds + 1).astype(int)[1:-1]]
    first, last = (np.searchsorted(edges, dates[:, i], side="right") for i in (0, 1))
    return np.where(first == last, first, -1)


def trial(
    stack: xr.Dataset,
    evidence: Evidence,
    detector: Detector,
    *,
    folds: int,
    peaks_cm: tuple[float, ...],
    seed: int,
    progress: Progress = silent,
) -> Trial:
    """Score a stack's quiet evidence, and the same with one synthetic source each, out of sample.

    Parameters
    ----------
    stack : quiet pairs, lazy, as `stack.store.Store.open` gives them
    evidence : what is made of them; sources are injected into the phase, before anything is made of it
    detector : fitted once per block, on the pairs that share no date with the block
    folds, peaks_cm, seed : see `config.sections.Calibrate`

    Raises
    ------
    ValueError
        from the detector, where a block leaves too little to fit on.
    """
    dates = pair_dates(stack)
    block = blocks(dates, folds)
    inside = [np.flatnonzero(block == b) for b in range(folds)]
    found: dict[float, list[_Scored]] = {peak: [] for peak in (0.0, *peaks_cm)}
    days, done = 0.0, 0
    for held in inside:
        if not evidence.count(dates[held]):
            continue
        low, high = dates[held].min(), dates[held].max()
        free = np.flatnonzero(~((dates >= low) & (dates <= high)).any(axis=1))
        scorer = detector.fit(evidence.tiles(stack.isel(pair=free)))
        for peak, parts in found.items():
            batches = evidence.batches(stack.isel(pair=held), peak_cm=peak, seed=seed)
            parts += [_Scored.of(scorer, batch) for batch in batches]
        days += float((high - low) / np.timedelta64(1, "D"))
        done += 1
        progress(done, len(inside))
    return _as_trial(found, days / 365.25)


@dataclass(frozen=True)
class _Scored:
    """Scores of a batch and what is known of each: all (assessment, ...)."""

    score: NDArray[np.float64]
    dates: NDArray[np.datetime64]
    after: NDArray[np.int64]
    seen: NDArray[np.datetime64]
    variance: NDArray[np.float64]
    place: NDArray[np.float64]

    @classmethod
    def of(cls, scorer: Scorer, batch: xr.Dataset) -> _Scored:
        score = scorer.score(batch[list(scorer.inputs)])["score"].values
        n = len(score)
        after, variance, y, x = (
            batch.coords[name].values if name in batch.coords else np.full(n, missing)
            for name, missing in (("after", 0), ("variance", np.nan), ("source_y", np.nan), ("source_x", np.nan))
        )
        dates = pair_dates(batch)
        seen = batch["seen"].values.astype("datetime64[D]") if "seen" in batch.coords else dates[:, 1]
        return cls(score, dates, after, seen, variance, np.stack([y, x], axis=1))

    @classmethod
    def joined(cls, parts: list[_Scored]) -> _Scored:
        """Consecutive batches as one, without NaN scores."""
        days, none = np.empty((0, 2), "datetime64[D]"), np.empty(0)
        empty = cls(none, days, np.empty(0, np.int64), days[:, 1], none, np.empty((0, 2)))
        arrays = [np.concatenate([getattr(p, f.name) for p in (empty, *parts)]) for f in fields(cls)]
        known = ~np.isnan(arrays[0])
        return cls(*(array[known] for array in arrays))

    def assessments(self, score: NDArray[np.float64]) -> list[Assessed]:
        """Each assessment with its measured `score` (assessment,)."""
        days = zip(*(column.astype("datetime64[D]").tolist() for column in (*self.dates.T, self.seen)), strict=True)
        known = zip(days, self.after.tolist(), score.tolist(), strict=True)
        return [Assessed(first, last, after, seen, value) for (first, last, seen), after, value in known]

    def of_age(self, after: int) -> _Scored:
        """Those seen with so many acquisitions after them."""
        return _Scored(*(getattr(self, f.name)[self.after == after] for f in fields(self)))


def _as_trial(found: Mapping[float, list[_Scored]], years: float) -> Trial:
    every = {peak: _Scored.joined(parts) for peak, parts in found.items()}
    quiet = every.pop(0.0)
    level = None if np.isnan(quiet.variance).all() else Level.of(quiet.score, quiet.variance)

    def measured(these: _Scored) -> NDArray[np.float64]:
        return these.score if level is None else np.asarray(level.standard(these.score, these.variance))

    positive, where = {}, {}
    for peak, these in every.items():
        ages = np.unique(these.after)
        best = these.of_age(int(ages.max())) if len(ages) else these
        positive[injected(peak)], where[injected(peak)] = measured(best), best.place
        if len(ages) > 1:
            positive[injected(peak, Age.FIRST)] = measured(these.of_age(int(ages.min())))
    if level is None:
        return Trial(quiet.dates, quiet.score, positive, years, where)
    named = {QUIET: quiet, **{injected(peak): these for peak, these in every.items()}}
    assessments = {sample: these.assessments(measured(these)) for sample, these in named.items()}
    return Trial(quiet.dates, measured(quiet), positive, years, where, level, quiet.seen, assessments)
