"""What else could look like motion, each with the number that speaks for or against it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOW_COHERENCE = 0.3
"""Coherence below which unwrapping fails often."""
SEASON_DAYS = 45
"""Days on either side of a day of the year that count as its season."""
_FLAT_M = 20.0
"""Spread of height, m, below which a correlation with height tells nothing."""
_LEAST_PX = 50
_RIM_PX = 3


@dataclass(frozen=True)
class Season:
    """Quiet scores of one season: how many, and the highest; `highest` is None without any."""

    quiet: int
    highest: float | None


@dataclass(frozen=True)
class Layers:
    """How a map follows height: the correlation, and what follows height would make at the peak, cm."""

    correlation: float
    cm: float


@dataclass(frozen=True)
class Bands:
    """Bands across the flight direction: the part of a map's variance that is in them, 0 to 1, and their spread, cm."""

    part: float
    cm: float


def bands(
    values: NDArray[np.floating], ground: Bools, look: tuple[float, float], pixel_km: tuple[float, float]
) -> Bands | None:
    """How much of a motion (y, x), cm, on the `ground`, which leaves out what moved, is the same all across the flight.

    The ionosphere changes along the flight, so it draws bands; a volcano's source and the weather do not. A smooth
    ionosphere that fills the box with one slope is removed with the plane, and is not in this number.

    Parameters
    ----------
    look : east and north of the vector from the ground to the satellite; the flight is at a right angle to it
    pixel_km : the pixel's height and width, km; row 0 is north

    Returns None where too little is known, or the satellite looks straight down.
    """
    known = ground & np.isfinite(values)
    if known.sum() < _LEAST_PX or not np.hypot(*look) or not values[known].std():
        return None
    y, x = np.nonzero(known)
    east, north = np.asarray(look) / np.hypot(*look)
    along = -x * pixel_km[1] * north - y * pixel_km[0] * east
    band = np.round((along - along.min()) / max(pixel_km)).astype(np.int64)
    shown = values[known] - values[known].mean()
    number = np.bincount(band)
    profile = (np.bincount(band, shown) / np.maximum(number, 1))[band]
    return Bands(float(profile.var() / shown.var()), float(profile.std()))


def layers(
    values: NDArray[np.floating], ground: Bools, height: NDArray[np.floating], place: tuple[int, int]
) -> Layers | None:
    """How motion (y, x), cm, follows height (y, x), m, on the `ground`, which leaves out what moved: air in layers does.

    `place` is the pixel of the peak. None on flat ground, or where the height is not known.
    """
    known = ground & np.isfinite(height) & np.isfinite(values)
    if known.sum() < _LEAST_PX or not np.isfinite(height[place]) or height[known].std() < _FLAT_M or not values[known].std():
        return None
    correlation = float(np.corrcoef(values[known], height[known])[0, 1])
    slope = correlation * values[known].std() / height[known].std()
    return Layers(correlation, float(slope * (height[place] - height[known].mean())))


def with_rim(area: Bools) -> Bools:
    """An area and the pixels around it."""
    out: Bools = scipy.ndimage.binary_dilation(area, iterations=_RIM_PX)
    return out


def low_coherence(coherence: NDArray[np.floating], area: Bools) -> float | None:
    """The part, 0 to 1, of an area whose `coherence` (y, x), 0 to 1, is below `LOW_COHERENCE`; None of no area."""
    known = area & np.isfinite(coherence)
    return float((coherence[known] < LOW_COHERENCE).mean()) if known.any() else None


def jumps(phases: Iterable[NDArray[np.floating]], area: Bools) -> float | None:
    """The part, 0 to 1, of neighbouring pixels in an area that differ by more than half a cycle, in unwrapped phases.

    `phases` (y, x) rad of the pairs that show the motion, as their source gives them, NaN = no measurement; the mean over
    them. An unwrapping error is bordered by steps of a whole cycle. None where no neighbours are measured.
    """
    shares = []
    for phase in phases:
        known = area & np.isfinite(phase) & (phase != 0)
        steps = [np.abs(np.diff(phase, axis=axis))[_both(known, axis)] for axis in (0, 1)]
        every = np.concatenate(steps)
        if every.size:
            shares.append(float((every > np.pi).mean()))
    return float(np.mean(shares)) if shares else None


def season(quiet: Iterable[tuple[date, float]], day: date) -> Season:
    """Quiet scores (day, score) within `SEASON_DAYS` of the same day of any year."""
    near = [score for when, score in quiet if _apart(when, day) <= SEASON_DAYS]
    return Season(len(near), max(near, default=None))


def _apart(one: date, other: date) -> float:
    """Days between two days of the year, over the turn of the year where that is nearer."""
    days = abs(one.timetuple().tm_yday - other.timetuple().tm_yday)
    return min(days, 365.25 - days)


def _both(known: Bools, axis: int) -> Bools:
    return known[1:] & known[:-1] if axis == 0 else known[:, 1:] & known[:, :-1]
