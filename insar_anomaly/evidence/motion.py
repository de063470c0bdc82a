"""What moved: how far, where, over how much ground, and how sure that is. Arrays in, a small record out.

The motion is the mean of the acquisitions after an event minus the mean of those before it, as `fusion` makes it, at the
place where it is largest on the ground that the flag points at. Trends were fitted to all ground and took part of the motion
with them; here they are fitted anew to the third of the ground that is farthest from the peak, which becomes the zero. The
uncertainty is the scatter of the same number, at the same place, over the stack's quiet time, together with what the zero
and the averaging leave open: how much the number changes where the zero is the farthest sixth, or the square one wider.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from insar_anomaly.stack.schema import Grid
from insar_anomaly.tiles.trends import needs_height, trend
from insar_anomaly.units import KM_PER_DEGREE, rad_per_m

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST_QUIET = 5
"""Quiet spans without which no uncertainty is told."""
_NEAR_PX = 3
"""Side, pixels, of the square over which a value is averaged."""
_FAR, _FARTHER = 2 / 3, 5 / 6
"""Ground farther from the peak than this part of it is the zero; and ground with which the zero is tried."""
_FLAT = 0.2
"""The far ground must have this part of the whole ground's spread of height to tell what follows height."""


@dataclass(frozen=True)
class Ground:
    """The ground of one stack: its `grid`, `height` (y, x) m with NaN = unknown, the vent's latitude and longitude, degrees,
    the radar wavelength in m, and the trends that were removed from its phases (`tiles.trends.PARTS`)."""

    grid: Grid
    height: NDArray[np.floating]
    vent: tuple[float, float]
    wavelength_m: float
    removed: tuple[str, ...]

    @property
    def pixel_km(self) -> tuple[float, float]:
        """Height and width of a pixel, km."""
        north = self.grid.dy * KM_PER_DEGREE
        return north, self.grid.dx * KM_PER_DEGREE * math.cos(math.radians(float(self.grid.lat.mean())))

    def distance_km(self, row: int, column: int) -> Floats:
        """Distance (y, x) of every pixel from one of them, km."""
        high, wide = self.pixel_km
        rows, columns = (np.arange(n) for n in self.grid.shape)
        out: Floats = np.hypot((rows[:, None] - row) * high, (columns[None, :] - column) * wide)
        return out

    def from_vent(self, lat: float, lon: float) -> tuple[float, float]:
        """Distance in km and bearing in degrees, clockwise from north, of a place from the vent."""
        north = (lat - self.vent[0]) * KM_PER_DEGREE
        east = ((lon - self.vent[1] + 180) % 360 - 180) * KM_PER_DEGREE * math.cos(math.radians(self.vent[0]))
        return math.hypot(north, east), math.degrees(math.atan2(east, north)) % 360


@dataclass(frozen=True)
class Map:
    """Line-of-sight motion over one span of time: `phase` (y, x) rad, positive away from the satellite, `valid` (y, x)."""

    phase: NDArray[np.floating]
    valid: Bools


@dataclass(frozen=True)
class Peak:
    """Where a map is largest: pixel, motion in cm (positive towards the satellite), area of at least half of it, km2."""

    row: int
    column: int
    cm: float
    area_km2: float
    open_cm: float
    """What the zero and the averaging leave open, cm."""
    levelled_cm: Floats
    """The whole map (y, x), cm, on the zero of the far ground; NaN = no measurement."""
    area: Bools
    """The ground (y, x) that moved by at least half of the peak in its direction, joined to it."""


@dataclass(frozen=True)
class Scatter:
    """What the same place shows in the quiet time: spread of one standard deviation and the 95 % quantile of the largest
    motion on the ground that was scored, both cm, from `spans` quiet spans."""

    sigma_cm: float
    peak95_cm: float
    spans: int


def peak_of(shown: Map, ground: Ground, where: Bools) -> Peak | None:
    """The largest motion of a map on the ground `where` (y, x); None where none of it is measured."""
    first = _place(averaged(_cm(shown, ground), shown.valid), shown.valid & where)
    if first is None:
        return None
    levelled = levelled_cm(shown, ground, far_from(shown.valid, ground, *first))
    smooth = averaged(levelled, shown.valid)
    place = _place(smooth, shown.valid & where)
    assert place is not None
    area = _around(smooth, shown.valid, place)
    high, wide = ground.pixel_km
    value, km2 = float(smooth[place]), float(area.sum()) * high * wide
    return Peak(*place, value, km2, _open_cm(shown, ground, place, value), np.where(shown.valid, levelled, np.nan), area)


def _open_cm(shown: Map, ground: Ground, place: tuple[int, int], value: float) -> float:
    """What the zero and the averaging leave open of a peak's value.

    Motion of a source at depth falls with about the third power of the distance: from the farthest third to the farthest
    sixth the zero comes nearer by a quarter of what is left, or more. The mean over a wider square is off by more than that.
    """
    farther = averaged(levelled_cm(shown, ground, far_from(shown.valid, ground, *place, beyond=_FARTHER)), shown.valid)
    levelled = levelled_cm(shown, ground, far_from(shown.valid, ground, *place))
    wider = averaged(levelled, shown.valid, side=_NEAR_PX + 2)
    return math.hypot(4 * (float(farther[place]) - value), float(wider[place]) - value)


def scatter_of(quiet: Sequence[Map], ground: Ground, where: Bools, peak: Peak) -> Scatter | None:
    """How much quiet maps show at a peak's place, on the same zero; None where too few of them measured it."""
    here, largest = [], []
    for one in quiet:
        if not one.valid[peak.row, peak.column] or not (one.valid & where).any():
            continue
        smooth = averaged(levelled_cm(one, ground, far_from(one.valid, ground, peak.row, peak.column)), one.valid)
        here.append(float(smooth[peak.row, peak.column]))
        largest.append(float(np.abs(smooth[one.valid & where]).max()))
    if len(here) < LEAST_QUIET:
        return None
    return Scatter(float(np.sqrt(np.mean(np.square(here)))), float(np.quantile(largest, 0.95)), len(here))


def levelled_cm(shown: Map, ground: Ground, far: Bools) -> Floats:
    """A map in cm (y, x), positive towards the satellite, with trends and zero taken from the `far` ground alone."""
    remove = ground.removed
    if needs_height(remove) and not _tells_height(ground.height, shown.valid, far):
        remove = tuple(part for part in remove if not needs_height((part,)))
    phase = np.where(shown.valid, shown.phase, 0).astype(np.float64)
    return _to_cm(phase - trend(phase, far, ground.height, remove), ground)


def far_from(valid: Bools, ground: Ground, row: int, column: int, *, beyond: float = _FAR) -> Bools:
    """The measured ground that is farther from a pixel than the part `beyond` of it: by default the farthest third."""
    away = ground.distance_km(row, column)
    out: Bools = valid & (away >= np.quantile(away[valid], beyond))
    return out


def averaged(values: Floats, valid: Bools, *, side: int = _NEAR_PX) -> Floats:
    """Mean over the measured pixels of the square around each pixel; NaN where it is not measured itself."""
    total, known = (
        scipy.ndimage.uniform_filter(one, side, mode="constant") for one in (np.where(valid, values, 0.0), valid * 1.0)
    )
    out: Floats = np.where(valid, total / np.maximum(known, 1e-9), np.nan)
    return out


def _place(values: Floats, where: Bools) -> tuple[int, int] | None:
    if not where.any():
        return None
    row, column = np.unravel_index(int(np.argmax(np.where(where, np.abs(values), -1.0))), values.shape)
    return int(row), int(column)


def _around(values: Floats, valid: Bools, place: tuple[int, int]) -> Bools:
    """The ground joined to a place that has at least half of its value."""
    peak = values[place]
    like = valid & (np.where(valid, values, 0.0) * np.sign(peak) >= abs(peak) / 2)
    labels = scipy.ndimage.label(like)[0]
    out: Bools = labels == labels[place] if labels[place] else np.zeros(valid.shape, bool)
    return out


def _tells_height(height: NDArray[np.floating], valid: Bools, far: Bools) -> bool:
    known = np.isfinite(height)
    if not (known & far).any():
        return False
    return bool(height[known & far].std() >= _FLAT * height[known & valid].std())


def _cm(shown: Map, ground: Ground) -> Floats:
    return _to_cm(np.where(shown.valid, shown.phase, 0).astype(np.float64), ground)


def _to_cm(phase: Floats, ground: Ground) -> Floats:
    return phase / rad_per_m(ground.wavelength_m) * 100
