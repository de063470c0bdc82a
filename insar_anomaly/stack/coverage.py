"""What an interferogram measures of a volcano: how much of its box, and how much of its summit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.stack.freshness import SUMMIT_KM, Coverage
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE, turned

_EDGE_PX = 1.5
"""Pixels by which a grid may fall short of a box and still hold all of it."""


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
    """What of a volcano lies on a stack's grid: the part of its box, and of its summit.

    A grid is cut at whole pixels: an edge that falls short of the box's by less than `_EDGE_PX` does not count.
    """
    pixel, middle = _EDGE_PX * max(grid.dx, grid.dy), grid.west + grid.dx * grid.shape[1] / 2
    turn = turned((box.west + box.east) / 2, middle) - (box.west + box.east) / 2
    west, east = box.west + turn, box.east + turn
    grid_east, grid_south = grid.west + grid.dx * grid.shape[1], grid.north - grid.dy * grid.shape[0]
    short = (grid.west - west, east - grid_east, grid_south - box.south, box.north - grid.north)
    lost = [max(0.0, one) if one > pixel else 0.0 for one in short]
    part = max(0.0, 1 - (lost[0] + lost[1]) / (east - west)) * max(0.0, 1 - (lost[2] + lost[3]) / (box.north - box.south))
    return Coverage(part, summit_part(np.ones(grid.shape, bool), grid, summit))


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
