"""Scores made out of sample: a stack's quiet evidence, and the same with one synthetic source in each.

Out of sample means blocked in time: the quiet period is cut into blocks, and the pairs that lie inside one block are scored
by a model fitted on pairs of which no date falls into that block. A pair that straddles an edge is held out nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.calibration.peaks import at_peaks
from insar_anomaly.calibration.samples import LABELLED, QUIET, Age, Sample, injected
from insar_anomaly.calibration.scored import Scored
from insar_anomaly.detectors.base import Detector, Progress, silent
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessed, Evidence, pair_dates


@dataclass(frozen=True)
class Injections:
    """Sources as they were injected: `peak_cm` (injection,), `place` (injection, 2) as parts of the scene's sides, `score`
    (injection,) of the complete assessment.
    """

    peak_cm: NDArray[np.float64]
    place: NDArray[np.float64]
    score: NDArray[np.float64]

    @property
    def plain(self) -> list[list[float]]:
        """For JSON: peak in cm, row and column as parts of the sides, and score of each, to what anybody can use of them."""
        table = np.column_stack([self.peak_cm, self.place.reshape(-1, 2), self.score])
        return [[float(f"{value:.6g}") for value in row] for row in table]

    @classmethod
    def read(cls, plain: Sequence[Sequence[float]]) -> Injections:
        """From `plain`."""
        table = np.array(plain, float).reshape(-1, 4)
        return cls(table[:, 0], table[:, 1:3], table[:, 3])


@dataclass(frozen=True)
class Trial:
    """Scores made out of sample.

    ``dates`` (assessment, 2) datetime64[D], ``seen`` (assessment,) the day from which on each could be made (None: they are
    single pairs), ``negative`` (assessment,) scores of quiet evidence, ``positive`` scores (assessment,) of injected or
    labelled evidence by `Sample`: those of one peak are carried to it from sources of all peaks, see `peaks`; ``years`` of
    observation that the negatives cover; ``injections`` are the sources as they were, None where there were none; ``level``
    that fused evidence is measured by, and its single ``assessments``. NaN scores (not scorable) are left out already.
    ``held`` is set where nothing was scored.
    """

    dates: NDArray[np.datetime64]
    negative: NDArray[np.float64]
    positive: Mapping[Sample, NDArray[np.float64]]
    years: float
    injections: Injections | None = None
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


@dataclass(frozen=True)
class Block:
    """A block of time: the pairs `inside` it and those that share no date with it, `free`, by number; its days."""

    inside: NDArray[np.int64]
    free: NDArray[np.int64]
    days: float


def held_out(dates: NDArray[np.datetime64], evidence: Evidence, folds: int) -> list[Block]:
    """The blocks of a trial whose pairs, of these dates (pair, 2), give anything to be scored."""
    block = blocks(dates, folds)
    out = []
    for inside in (np.flatnonzero(block == b) for b in range(folds)):
        if not evidence.count(dates[inside]):
            continue
        low, high = dates[inside].min(), dates[inside].max()
        free = np.flatnonzero(~((dates >= low) & (dates <= high)).any(axis=1))
        out.append(Block(inside, free, float((high - low) / np.timedelta64(1, "D"))))
    return out


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

    Each source's peak is drawn at random between the smallest and the largest of `peaks_cm`.

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
    quiet: list[Scored] = []
    moved: list[Scored] = []
    every = held_out(pair_dates(stack), evidence, folds)
    for done, block in enumerate(every):
        scorer = detector.fit(evidence.tiles(stack.isel(pair=block.free)))
        inputs, held = list(scorer.inputs), stack.isel(pair=block.inside)
        quiet += [Scored.of(scorer.score(b[inputs])["score"].values, b) for b in evidence.batches(held)]
        if peaks_cm:
            sources = evidence.batches(held, peak_cm=(min(peaks_cm), max(peaks_cm)), seed=seed)
            moved += [Scored.of(scorer.score(b[inputs])["score"].values, b) for b in sources]
        progress(done + 1, len(every))
    return as_trial(quiet, moved, peaks_cm=peaks_cm, years=sum(block.days for block in every) / 365.25)


def as_trial(quiet: Sequence[Scored], moved: Sequence[Scored], *, peaks_cm: Sequence[float], years: float) -> Trial:
    """The trial that scores make: of quiet evidence, and of evidence with a source in it."""
    still, sources = Scored.joined(quiet), Scored.joined(moved)
    level = None if np.isnan(still.variance).all() else Level.of(still.score, still.variance, still.days)

    def measured(these: Scored) -> NDArray[np.float64]:
        return these.score if level is None else np.asarray(level.standard(these.score, these.variance, these.days))

    score, best = measured(sources), sources.after > 1  # the complete assessment, whatever the number after it
    if not best.any():
        best[:] = True
    positive: dict[Sample, NDArray[np.float64]] = {}
    assessments = {} if level is None else {QUIET: still.assessments(measured(still))}
    for peak, carried in zip(peaks_cm, _carried(sources, score, best, peaks_cm, measured(still)), strict=True):
        positive[injected(peak)] = carried[best]
        if not best.all():
            positive[injected(peak, Age.FIRST)] = carried[~best]
        if level is not None:
            assessments[injected(peak)] = sources.assessments(carried)
    drawn = Injections(sources.peak_cm[best], sources.place[best], score[best]) if peaks_cm else None
    seen = None if level is None else still.seen
    return Trial(still.dates, measured(still), positive, years, drawn, level, seen, assessments)


def _carried(
    sources: Scored,
    score: NDArray[np.float64],
    best: NDArray[np.bool_],
    peaks_cm: Sequence[float],
    quiet: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Scores (peak, assessment) that the sources would have at each peak; first assessments are alike, and the `best`."""
    out = np.empty((len(peaks_cm), len(score)))
    for one in (~best, best):
        if not one.any():
            continue
        out[:, one] = at_peaks(sources.peak_cm[one], score[one], peaks_cm, quiet=quiet)
    return out
