"""The maps that a page shows of a stack: a scene without the quiet time, read from the pairs around it alone.

A notice says how sure its motion is, which takes the reading of many quiet pairs. A page shows the motion, and is written
for every stack that has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence import motion, timing
from insar_anomaly.evidence.motion import Map
from insar_anomaly.evidence.timing import Series
from insar_anomaly.names import Pair, Period, span_of
from insar_anomaly.pipeline.assess import accepted_until, spans
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.measuring import Measuring
from insar_anomaly.pipeline.scene import Shown, score_map_of
from insar_anomaly.pipeline.scoring import static_loaded
from insar_anomaly.pipeline.weighing import coherence_of
from insar_anomaly.stack.schema import Grid, cell_centres
from insar_anomaly.units import rad_per_m

_AROUND = timedelta(days=150)
"""Time on either side of a span whose pairs are read."""
_CELLS = 24
"""Cells, at most, along a side of the map of places whose motion a person can ask for."""


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
        series=None if peak is None else m.series_at(peak, last),
        cells=_cells(m, last),
    )


def _cells(m: Measuring, through: int) -> Cells | None:
    """The motion of all parts of the map, from the pairs that are in memory already."""
    network, grid = m.cleaned.network, m.ground.grid
    near = range(max(0, through - 9), min(len(m.days), through + 7))
    chosen = [p for p, (one, other) in enumerate(network.ends.tolist()) if one in near and other in near]
    if not chosen:
        return None
    px = max(1, -(-max(grid.shape) // _CELLS))
    values = np.stack([_coarse(Map(*one), px) for one in zip(*m.cleaned.take(chosen), strict=True)])
    values *= 100 / rad_per_m(m.ground.wavelength_m)
    shape, flat = values.shape[1:], values.reshape(len(chosen), -1)
    flat = flat - np.nanmedian(flat, axis=1, keepdims=True)
    ends, days = network.ends[chosen] - near[0], [m.days[k] for k in near]
    found: dict[tuple[date, ...], list[tuple[int, tuple[float, ...]]]] = {}
    for k in range(flat.shape[1]):
        if np.isfinite(flat[:, k]).mean() > 0.5:
            one = timing.series_of(days, ends, flat[:, k], through=through - near[0])
            found.setdefault(one.days, []).append((k, one.cm))
    if not found:
        return None
    most = max(found, key=lambda one: (len(found[one]), len(one)))
    out = np.full((flat.shape[1], len(most)), np.nan)
    for k, cm in found[most]:
        out[k] = cm
    return Cells(most, out.reshape(*shape, -1), grid.north, grid.west, grid.dy * px, grid.dx * px)


def _coarse(one: Map, px: int) -> NDArray[np.float64]:
    """A map as means of squares of `px` pixels; NaN where less than a third of one is measured."""
    high, wide = (-(-side // px) for side in one.valid.shape)
    total, known = (np.zeros((high * px, wide * px)) for _ in range(2))
    rows, columns = one.valid.shape
    total[:rows, :columns], known[:rows, :columns] = np.where(one.valid, one.phase, 0), one.valid
    total, known = (part.reshape(high, px, wide, px).sum((1, 3)) for part in (total, known))
    return np.where(known > px * px / 3, total / np.maximum(known, 1), np.nan)
