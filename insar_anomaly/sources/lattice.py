"""One lattice in degrees for the whole Earth: the grid of stacks whose products are projected, or differ from one another.

Pixels of a step start at whole multiples of it, so that a product which is shifted by a part of a pixel lands on the same
pixels as its neighbours. Every product is resampled onto them once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.warp import transform

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE, turned

_NICE = (1.0, 2.0, 2.5, 5.0, 10.0)
_WHOLE = 1e-6
"""Part by which a step may differ from a whole fraction of a degree: files keep few digits."""
_ALONG = 33
"""Points along each edge of a raster that are placed on the Earth."""


class Raster(Protocol):
    """What says where pixels lie: an open raster of rasterio is one."""

    @property
    def crs(self) -> Any:
        """Coordinate system, a `rasterio.crs.CRS`."""
        ...

    @property
    def transform(self) -> Affine:
        """From column and row to coordinates."""
        ...

    @property
    def width(self) -> int:
        """Columns."""
        ...

    @property
    def height(self) -> int:
        """Rows."""
        ...


@dataclass(frozen=True)
class Placed:
    """Where a raster's pixels lie, kept after it is closed; the parameters are those of `Raster`."""

    crs: Any
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, raster: Raster, uri: str) -> Placed:
        """Where an open raster lies. Raises PairRejected, WRONG_CRS, where it does not say so."""
        if raster.crs is None:
            raise PairRejected(Verdict.WRONG_CRS, f"{uri}: no coordinate system; write it into the file")
        return cls(raster.crs, raster.transform, raster.width, raster.height)


def step_of(raster: Raster) -> float:
    """The step of the lattice, degrees, nearest to a raster's pixels.

    It is theirs where they are degrees and a whole fraction of one, as 3 seconds of arc are; else 1, 2, 2.5 or 5 times a
    power of ten.
    """
    t = raster.transform
    size = math.sqrt(abs(t.a * t.e - t.b * t.d))
    parts = round(1 / size) if raster.crs.is_geographic and size < 1 else 0
    if parts and abs(1 / size - parts) < _WHOLE * parts:
        return 1 / parts
    if not raster.crs.is_geographic:
        size *= raster.crs.linear_units_factor[1] / (1000 * KM_PER_DEGREE)
    power = 10.0 ** math.floor(math.log10(size))
    return float(f"{min(_NICE, key=lambda nice: abs(math.log(nice * power / size))) * power:.3g}")


def lattice(rasters: Sequence[Raster], step: float) -> Grid:
    """The part of the lattice under these rasters, at least one; see the module's text."""
    edges = [_edges(one) for one in rasters]
    first = edges[0][0][0]
    lon = np.concatenate([one[0] + 360 * np.round((first - one[0]) / 360) for one in edges])  # over the antimeridian
    lat = np.concatenate([one[1] for one in edges])
    west, east = math.floor(lon.min() / step + 1e-6), math.ceil(lon.max() / step - 1e-6)
    south, north = math.floor(lat.min() / step + 1e-6), math.ceil(lat.max() / step - 1e-6)
    return Grid(round(west * step, 9), round(north * step, 9), step, step, (north - south, east - west))


def covering(rasters: Sequence[Raster]) -> Grid:
    """The part of the lattice under these rasters, at least one, with the step of most of them; of equals the first's."""
    steps = list(map(step_of, rasters))
    return lattice(rasters, max(steps, key=steps.count))


def touches(raster: Raster, grid: Grid) -> bool:
    """True where the rectangle around a raster and a grid have ground in common."""
    under = lattice([raster], grid.dx)
    west = turned(under.west + under.dx * under.shape[1] / 2, grid.west + grid.dx * grid.shape[1] / 2)
    apart = abs(west - grid.west - grid.dx * grid.shape[1] / 2)
    south, bottom = under.north - under.dy * under.shape[0], grid.north - grid.dy * grid.shape[0]
    beside = apart < (under.shape[1] * under.dx + grid.shape[1] * grid.dx) / 2
    return beside and south < grid.north and under.north > bottom


def _edges(raster: Raster) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitudes and latitudes (point,) of points along a raster's edges."""
    along, none = np.linspace(0, 1, _ALONG), np.zeros(_ALONG)
    col = np.concatenate([along, along, none, none + 1]) * raster.width
    row = np.concatenate([none, none + 1, along, along]) * raster.height
    t = raster.transform
    x, y = t.a * col + t.b * row + t.c, t.d * col + t.e * row + t.f
    lon, lat = (x, y) if raster.crs.is_geographic else transform(raster.crs, "EPSG:4326", x, y)
    return np.asarray(lon), np.asarray(lat)
