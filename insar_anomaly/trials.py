"""Scores made out of sample: a stack's quiet evidence, and the same with one synthetic source in each.

Out of sample means blocked in time: the quiet period is cut into blocks, and the pairs that lie inside one block are scored
by a model fitted on pairs of which no date falls into that block. A pair that straddles an edge is held out nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import Detector, Progress, Scorer, silent
from insar_anomaly.schema import pixel_km
from insar_anomaly.simulate import LOOK, PointSource, draw_source

ToTiles = Callable[[xr.Dataset], xr.Dataset]


class Evidence(Protocol):
    """How a stack's pairs become what is scored: see `evidence`."""

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """How many things pairs of these dates (pair, 2) give to be scored."""
        ...

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """Tiles of all of them, to fit on."""
        ...

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """The same in batches, to be scored; with `peak_cm`, one synthetic source in each.

        Coordinates: fused evidence has ``after`` and ``variance`` (see `fusion.fused`); injected evidence ``source_y`` and
        ``source_x``, the source's place as parts of the scene's sides.
        """
        ...


@dataclass(frozen=True)
class Level:
    """What is quiet at each variance v of fused evidence: score = location + slope v, with spread + growth v around it.

    Few acquisitions on a side leave more atmosphere, and a higher score on quiet ground: measured in these terms, looks with
    few and with many are alike and have one threshold. The lines are not drawn out: below `least` and above `most`, the
    variances that were seen, the level at these is taken.
    """

    location: float
    slope: float
    spread: float
    growth: float
    least: float
    most: float

    @classmethod
    def of(cls, scores: NDArray[np.float64], variance: NDArray[np.float64]) -> Level:
        """From quiet scores (look,): a line of medians for the location, then one for the distance from it.

        Medians, because one jump of unwrapping in the quiet time must not lift what is quiet.
        """
        if not len(scores):
            return cls(0.0, 0.0, 1.0, 0.0, 1.0, 1.0)
        ends = np.array([variance.min(), variance.max()])
        location, slope = _line(variance, scores)
        distance = np.abs(scores - location - slope * variance)
        spread, growth = _line(variance, distance)
        usual = float(np.median(distance))
        if (spread + growth * ends).min() <= max(0.25 * usual, 1e-6):  # too few looks to tell: one spread for all
            spread, growth = max(usual, 1e-6 * float(np.abs(scores).max()), 1e-6), 0.0
        return cls(location, slope, spread, growth, float(ends[0]), float(ends[1]))

    def standard(self, scores: Any, variance: Any) -> Any:
        """Scores (or maps of them) in these terms: zero is usual, half of quiet looks are within one of it."""
        at = np.clip(variance, self.least, self.most)
        return (scores - self.location - self.slope * at) / (self.spread + self.growth * at)


@dataclass(frozen=True)
class Seen:
    """A look at an interval and its score, measured by its stack's `Level`."""

    first: date
    last: date
    after: int
    seen: date
    score: float

    @property
    def name(self) -> str:
        """``YYYYMMDD_YYYYMMDD``."""
        return f"{self.first:%Y%m%d}_{self.last:%Y%m%d}"

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Seen:
        """From what `plain` gave."""
        first, last, seen = (date.fromisoformat(plain[i]) for i in (0, 1, 3))
        return cls(first, last, int(plain[2]), seen, float(plain[4]))

    @property
    def plain(self) -> list[Any]:
        """Ready for JSON."""
        return [self.first.isoformat(), self.last.isoformat(), self.after, self.seen.isoformat(), self.score]


@dataclass(frozen=True)
class Trial:
    """Scores made out of sample.

    ``dates`` (look, 2) datetime64[D], ``seen`` (look,) the day from which on each could be made (None: they are single
    pairs), ``negative`` (look,), ``positive`` kind -> scores (look,): a peak in cm, the same "at
    once" (fused evidence with the first acquisition after it only), or "labels"; ``years`` of observation that the negatives
    cover; ``places`` peak -> where the sources were (look, 2), as parts of the scene's sides; ``level`` that fused
    evidence is measured by, and its single ``looks``, "quiet" and by peak. NaN scores (not scorable) are left out already.
    """

    dates: NDArray[np.datetime64]
    negative: NDArray[np.float64]
    positive: Mapping[str, NDArray[np.float64]]
    years: float
    places: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    level: Level | None = None
    seen: NDArray[np.datetime64] | None = None
    looks: Mapping[str, list[Seen]] = field(default_factory=dict)


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
    stack : quiet pairs, lazy, as `store.open` gives them
    evidence : what is made of them; sources are injected into the phase, before anything is made of it
    detector : fitted once per block, on the pairs that share no date with the block
    folds, peaks_cm, seed : see `config.Calibrate`

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


def pair_dates(stack: xr.Dataset) -> NDArray[np.datetime64]:
    """Dates (pair, 2) datetime64[D] of a stack: reference, secondary."""
    return np.stack([stack[n].values.astype("datetime64[D]") for n in ("reference", "secondary")], axis=1)


def inject(stack: xr.Dataset, *, peak_cm: float, seed: int) -> xr.Dataset:
    """The stack, loaded, with one random point source of `peak_cm` in each pair's phase (depth 1-4 km, middle half).

    A pair's source depends on `seed`, its dates and the peak only, so that any batch order gives the same sources.
    """
    phase = stack["phase"].load().copy()
    shape = (phase.sizes["y"], phase.sizes["x"])
    pixel, look = pixel_km(stack), seen_along(stack)
    for i, source in enumerate(drawn(pair_dates(stack), shape, peak_cm=peak_cm, seed=seed)):
        phase[i] += source.phase(shape, pixel_km=pixel, look=look).astype(np.float32)
    return stack.assign(phase=phase)


def places(dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: float, seed: int) -> NDArray[np.float64]:
    """Where `drawn` puts the sources (pair, 2): row and column as parts of the scene's sides, 0 to 1."""
    where = [(one.row / shape[0], one.col / shape[1]) for one in drawn(dates, shape, peak_cm=peak_cm, seed=seed)]
    return np.array(where).reshape(-1, 2)


def drawn(dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: float, seed: int) -> Iterator[PointSource]:
    """A random source for each pair of dates (pair, 2) in a scene of `shape` (y, x)."""
    for first, last in dates.astype("datetime64[D]").astype(int):
        rng = np.random.default_rng([seed, int(first) % 2**31, int(last) % 2**31, round(peak_cm * 1000)])
        yield draw_source(shape, rng, peak_cm=peak_cm)


def seen_along(stack: xr.Dataset) -> tuple[float, float, float]:
    """The stack's mean look vector (east, north, up); the usual one where it is not known."""
    east, north, up = (float(stack[k].mean()) for k in ("e", "n", "u"))
    return (east, north, up) if np.isfinite((east, north, up)).all() else LOOK


@dataclass(frozen=True)
class _Scored:
    """Scores of a batch and what is known of each: all (look, ...)."""

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

    def looks(self, score: NDArray[np.float64]) -> list[Seen]:
        """Each look with its measured `score` (look,)."""
        days = zip(*(column.astype("datetime64[D]").tolist() for column in (*self.dates.T, self.seen)), strict=True)
        known = zip(days, self.after.tolist(), score.tolist(), strict=True)
        return [Seen(first, last, after, seen, value) for (first, last, seen), after, value in known]

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
        positive[_peak_name(peak)], where[_peak_name(peak)] = measured(best), best.place
        if len(ages) > 1:
            positive[f"{_peak_name(peak)} at once"] = measured(these.of_age(int(ages.min())))
    if level is None:
        return Trial(quiet.dates, quiet.score, positive, years, where)
    looks = {name: these.looks(measured(these)) for name, these in {"quiet": quiet, **_by_name(every)}.items()}
    return Trial(quiet.dates, measured(quiet), positive, years, where, level, quiet.seen, looks)


def _by_name(every: Mapping[float, _Scored]) -> dict[str, _Scored]:
    return {_peak_name(peak): these for peak, these in every.items()}


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Intercept and slope of the line of medians (Theil and Sen); a flat one where all x are alike."""
    if np.ptp(x) < 1e-6:
        return float(np.median(y)), 0.0
    one, other = np.triu_indices(len(x), 1)
    apart = np.abs(x[one] - x[other]) > 1e-6
    slope = float(np.median((y[one] - y[other])[apart] / (x[one] - x[other])[apart]))
    return float(np.median(y - slope * x)), slope


def _peak_name(peak_cm: float) -> str:
    return f"{peak_cm:g} cm"
