"""What an interferogram measures of a volcano: how much of its box, and how much of its summit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.stack.freshness import SUMMIT_KM, Coverage
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE

_WHOLE = 0.97
"""Part of a box from which on a grid holds all of it: its pixels do not end where the box does."""


def coverage_of(phase: NDArray[np.floating], grid: Grid, box: Box, summit: tuple[float, float]) -> Coverage:
    """What a pair measures.

    Parameters
    ----------
    phase : (y, x) rad on `grid`; NaN = no measurement
    box : the volcano's box, which may reach beyond the grid: what lies outside was not measured
    summit : latitude and longitude of the volcano, degrees
    """
    measured = np.isfinite(phase)
    pixels = (box.east - box.west) * (box.north - box.south) / (grid.dx * grid.dy)
    return Coverage(min(1.0, float(measured.sum() / max(1.0, pixels))), summit_part(measured, grid, summit))


def covered_by(grid: Grid, box: Box, summit: tuple[float, float]) -> Coverage:
    """What of a volcano lies on a stack's grid: the part of its box, and of its summit."""
    everything = coverage_of(np.zeros(grid.shape, np.float32), grid, box, summit)
    return Coverage(1.0 if everything.box > _WHOLE else everything.box, everything.summit)


def summit_part(measured: NDArray[np.bool_], grid: Grid, summit: tuple[float, float]) -> float:
    """The part, 0 to 1, of the ground within `SUMMIT_KM` of the summit that is measured.

    Parameters
    ----------
    measured : (y, x), True where there is a phase
    summit : latitude and longitude of the volcano, degrees; ground outside the grid is not measured
    """
    lat, lon = summit
    narrow = max(0.05, math.cos(math.radians(lat)))
    north = (grid.lat - lat) * KM_PER_DEGREE
    east = ((grid.lon - lon + 180) % 360 - 180) * KM_PER_DEGREE * narrow
    high, wide = grid.dy * KM_PER_DEGREE, grid.dx * KM_PER_DEGREE * narrow
    radius = max(SUMMIT_KM, math.hypot(high, wide))  # at least the pixel itself
    inside = np.hypot(north[:, None], east[None, :]) <= radius
    whole = min(north[0], -north[-1]) + high / 2 >= radius and min(-east[0], east[-1]) + wide / 2 >= radius
    # a disc of few pixels has a rough edge: its pixels are counted where the grid holds all of it
    pixels = float(inside.sum()) if whole else max(math.pi * radius**2 / (high * wide), float(inside.sum()))
    return float((inside & measured).sum()) / pixels
