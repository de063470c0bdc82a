"""The maps that a page shows of a stack: a scene without the quiet time, read from the pairs around it alone.

A notice says how sure its motion is, which takes the reading of many quiet pairs. A page shows the motion, and is written
for every stack that has changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence import motion, timing
from insar_anomaly.evidence.timing import Series
from insar_anomaly.names import Pair, Period, span_of
from insar_anomaly.pipeline.assess import accepted_until, spans
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.measuring import Measuring
from insar_anomaly.pipeline.scene import Shown, score_map_of
from insar_anomaly.pipeline.scoring import static_loaded
from insar_anomaly.pipeline.weighing import coherence_of
from insar_anomaly.stack.schema import Grid, cell_centres
from insar_anomaly.tiles.preprocess import corrected
from insar_anomaly.tiles.trends import trend
from insar_anomaly.units import rad_per_m

_AROUND = timedelta(days=150)
"""Time on either side of a span whose pairs are read."""
_BESIDE = 8, 6
"""Acquisitions before and after a span whose motion is drawn."""
_FINE, _CELLS = 96, 24
"""Cells, at most, along a side: those that trends are fitted to, and places whose motion a person can ask for."""


@dataclass(frozen=True)
class Cells:
    """Motion (row, column, day) of the parts of a map, cm towards the satellite, zero at the first day; NaN = unknown."""

    days: tuple[date, ...]
    cm: NDArray[np.float64]
    north: float
    west: float
    dy: float
    dx: float


@dataclass(frozen=True)
class Glance:
    """What a stack shows of one span: arrays as in `scene.Scene`; `peak` is a place (latitude, longitude)."""

    shown: Shown
    grid: Grid
    height: NDArray[np.floating]
    look: tuple[float, float, float]
    wavelength_m: float
    first: date
    last: date
    cm: NDArray[np.floating]
    coherence: NDArray[np.floating]
    score_map: NDArray[np.floating]
    stride: int
    peak: tuple[float, float] | None
    series: Series | None
    cells: Cells | None

    @property
    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitudes (v,) and longitudes (u,) of the centres of the score map's cells."""
        return cell_centres(self.grid.lat, self.stride), cell_centres(self.grid.lon, self.stride)


def glance_of(s: Installation, shown: Shown) -> Glance:
    """The maps of one stack. Raises StoreFailed where the model, the score map or the pairs are gone."""
    model, span = s.ledger.model(shown.stack, shown.model), span_of(shown.pair)
    if model is None or span is None:
        raise StoreFailed(f"the ledger has no model {shown.model} of {shown.stack}")
    near = Period(span.first - _AROUND, span.last + _AROUND)
    pairs = [pair for pair in accepted_until(s, shown.stack, Period(last=shown.as_of)) if near.holds(pair)]
    if not any(spans(pair, shown.pair) for pair in pairs):
        raise StoreFailed(f"{shown.stack}: no pair that spans {shown.pair} is left in the store")
    score_map, cell_px = score_map_of(s, shown)
    dataset = static_loaded(s.store.open(shown.stack, pairs=pairs))
    return _glance(Measuring(s, shown, model, dataset, score_map, cell_px))


def _glance(m: Measuring) -> Glance:
    first, last = m.ends(*Pair.of(m.shown.pair).days)
    seen = m.map_of(first, last)
    if seen is None:
        raise StoreFailed(f"{m.shown.stack}: the pairs of {m.shown.pair} cannot be fused any more")
    ground = m.ground
    peak = motion.peak_of(seen, ground, m.flagged)
    plain = np.where(seen.valid, seen.phase, np.nan) / rad_per_m(ground.wavelength_m) * 100
    look = [float(m.dataset[name].mean()) for name in ("e", "n", "u")]
    series, cells = _tracks(m, first, last, peak)
    return Glance(
        shown=m.shown,
        grid=ground.grid,
        height=ground.height,
        look=(look[0], look[1], look[2]),
        wavelength_m=ground.wavelength_m,
        first=m.days[first],
        last=m.days[last],
        cm=plain if peak is None else peak.levelled_cm,
        coherence=np.where(seen.valid, coherence_of(m, first, last), np.nan),
        score_map=m.score_map,
        stride=m.stride,
        peak=None if peak is None else (float(ground.grid.lat[peak.row]), float(ground.grid.lon[peak.column])),
        series=series,
        cells=cells,
    )


def _tracks(m: Measuring, first: int, last: int, peak: motion.Peak | None) -> tuple[Series | None, Cells | None]:
    """The motion of the peak's place and of all parts of the map around a span, from pairs made coarse before their trends
    are removed: what is small is drawn small."""
    near = range(max(0, first - _BESIDE[0]), min(len(m.days), last + _BESIDE[1] + 1))
    ends = m.cleaned.network.ends
    chosen = [p for p, (one, other) in enumerate(ends.tolist()) if one in near and other in near]
    if not chosen:
        return None, None
    grid = m.ground.grid
    px = max(1, -(-max(grid.shape) // _FINE))
    fine = _detrended(m, chosen, px)
    days, ends = [m.days[k] for k in near], ends[chosen] - near[0]

    def track(values: NDArray[np.float64]) -> Series:
        return timing.series_of(days, ends, values, through=last - near[0])

    series = None if peak is None else track(fine[:, peak.row // px, peak.column // px])
    several = -(-max(fine.shape[1:]) // _CELLS)
    known = np.isfinite(fine)
    parts = np.stack([_coarse(np.where(ok, one, 0), ok, several) for one, ok in zip(fine, known, strict=True)])
    return series, _cells(grid, parts, px * several, track)


def _cells(grid: Grid, parts: NDArray[np.float64], px: int, track: Callable[[NDArray[np.float64]], Series]) -> Cells | None:
    """The motion of each part (pair, row, column) that most pairs measured, on the days that most parts have."""
    flat = parts.reshape(len(parts), -1)
    known = np.flatnonzero(np.isfinite(flat).mean(0) > 0.5)
    found = {int(k): track(flat[:, k]) for k in known}
    if not found:
        return None
    days = Counter(one.days for one in found.values()).most_common(1)[0][0]
    out = np.full((flat.shape[1], len(days)), np.nan)
    for k, one in found.items():
        if one.days == days:
            out[k] = one.cm
    return Cells(days, out.reshape(*parts.shape[1:], -1), grid.north, grid.west, grid.dy * px, grid.dx * px)


def _detrended(m: Measuring, chosen: Sequence[int], px: int) -> NDArray[np.float64]:
    """Motion (pair, row, column) of these pairs in cm, as means of squares of `px` pixels without their trends, zero where
    most of the map is; NaN = not measured."""
    some = m.dataset.isel(pair=list(chosen))
    water, remove = m.dataset["water"].values.astype(bool), m.recipe.cleaning.remove
    height = _coarse(np.nan_to_num(m.ground.height), np.isfinite(m.ground.height), px)
    delay = some["delay"].values if m.recipe.cleaning.gacos == "use" and "delay" in some else None
    out = []
    for number, phase in enumerate(some["phase"].values):
        ground = np.isfinite(phase) & (phase != 0) & ~water
        if delay is not None:
            phase = corrected(phase, ~ground, delay[number])
        mean = _coarse(np.where(ground, phase, 0), ground, px)
        known = np.isfinite(mean)
        if known.any():
            mean = mean - trend(np.where(known, mean, 0), known, height, remove)
            mean = mean - np.median(mean[known])
        out.append(np.where(known, mean, np.nan))
    return np.stack(out) * 100 / rad_per_m(m.ground.wavelength_m)


def _coarse(values: NDArray[np.floating], known: NDArray[np.bool_], px: int) -> NDArray[np.float64]:
    """Means of squares of `px` pixels of an array (y, x); NaN where less than a third of one is known."""
    rows, columns = known.shape
    high, wide = -(-rows // px), -(-columns // px)
    total, count = (np.zeros((high * px, wide * px)) for _ in range(2))
    total[:rows, :columns], count[:rows, :columns] = np.where(known, values, 0), known
    total, count = (part.reshape(high, px, wide, px).sum((1, 3)) for part in (total, count))
    return np.where(count > px * px / 3, total / np.maximum(count, 1), np.nan)
