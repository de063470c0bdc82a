"""Rasters and cubes in HDF5 and NetCDF-4 files, read by windows: where they lie, and what the file says of their numbers.

`sources.numbers` does the same for GeoTIFFs. HDF5 reads through an open file of fsspec, so that a window of a file in a
bucket costs the pieces it touches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import h5py
import numpy as np
import scipy
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform
from rasterio.windows import Window as Pixels

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.numbers import Quantity, plausible, scaled
from insar_anomaly.stack.schema import Grid

Doubles = NDArray[np.float64]

COHERENCE = Quantity("coherence", (), ("1", "unitless", ""), np.inf, integers=True)
"""Coherence, on the scale that the source states."""


@dataclass(frozen=True)
class Raster:
    """Where a raster lies, with the names that rasterio gives these things: `sources.grid` takes either.

    Parameters
    ----------
    transform : from column and row to coordinates of `crs`, at outer corners of pixels
    crs : coordinate system
    height, width : rows and columns
    name : the file, for messages
    """

    transform: Affine
    crs: CRS
    height: int
    width: int
    name: str

    @property
    def bounds(self) -> BoundingBox:
        """West, south, east and north edge, in coordinates of `crs`."""
        t = self.transform
        xs, ys = (t.c, t.c + t.a * self.width), (t.f, t.f + t.e * self.height)
        return BoundingBox(min(xs), min(ys), max(xs), max(ys))

    @classmethod
    def of(cls, x: Doubles, y: Doubles, epsg: int, *, uri: str) -> Raster:
        """From the coordinates of pixel centres (column,) and (row,).

        Raises
        ------
        PairRejected
            WRONG_CRS or ROTATED, where they do not make a grid.
        """
        crs = _crs(epsg, uri)
        dx, dy = _step(x), _step(y)
        if dx <= 0 or not dy:
            raise PairRejected(Verdict.ROTATED, f"{uri}: its coordinates are not evenly spaced; download it again")
        return cls(Affine(dx, 0, x[0] - dx / 2, 0, dy, y[0] - dy / 2), crs, len(y), len(x), uri)


@contextmanager
def opened(archive: Archive, uri: str) -> Iterator[h5py.File]:
    """Open an HDF5 or NetCDF-4 file for windowed reads. What goes wrong is told apart as in `Archive.opened`."""
    with archive.file(uri, scattered=True) as held, h5py.File(held, "r") as file:
        yield file


def dataset(file: h5py.File, path: str, *, uri: str, verdict: Verdict = Verdict.UNREADABLE) -> h5py.Dataset:
    """A dataset that must be there. Raises PairRejected with `verdict` where it is not."""
    found = file.get(path)
    if not isinstance(found, h5py.Dataset):
        raise PairRejected(verdict, f"{uri}: it holds no {path}; download it again")
    return found


def number(file: h5py.File, path: str, *, uri: str) -> float:
    """A dataset of one number. Raises PairRejected, UNREADABLE or WRONG_NUMBERS."""
    found = np.asarray(dataset(file, path, uri=uri)[()]).ravel()
    if found.size != 1 or found.dtype.kind not in "iuf" or not np.isfinite(found[0]):
        raise PairRejected(Verdict.WRONG_NUMBERS, f"{uri}: {path} is not one number; download it again")
    return float(found[0])


def text(file: h5py.File, path: str) -> str:
    """A dataset of text, the first entry where it holds several; empty where it is not there."""
    found = file.get(path)
    values = np.asarray(found[()]).ravel() if isinstance(found, h5py.Dataset) else np.array([])
    return _words(values[0]) if values.size else ""


def coordinates(file: h5py.File, path: str, *, uri: str) -> Doubles:
    """Coordinates (n,) float64. Raises PairRejected, UNREADABLE, where there are none."""
    return np.asarray(dataset(file, path, uri=uri)[()], np.float64).ravel()


def values(layer: h5py.Dataset, place: Raster, pixels: Pixels, what: Quantity, *, uri: str) -> NDArray[np.float32]:
    """A window (y, x) float32 in the quantity's first unit; NaN where the file holds no measurement.

    Raises
    ------
    PairRejected
        WRONG_GRID, where the layer has another shape than its coordinates; WRONG_NUMBERS.
    """
    raw = stored(layer, place, pixels, uri=uri)
    unit = _words(layer.attrs.get("units", "")).strip().lower()
    if unit and unit not in what.units:
        raise _wrong(uri, f"{what.words} in {unit}, and {what.units[0]} is needed", "convert it")
    if np.iscomplexobj(raw):
        raise _wrong(uri, f"{what.words} is complex, so a wrapped interferogram", "give the unwrapped product")
    scale, offset = (float(_one(layer, name, default)) for name, default in (("scale_factor", 1.0), ("add_offset", 0.0)))
    out = scaled(raw, scale, offset, what, uri=uri)
    out[unmeasured(layer, raw)] = np.nan
    return plausible(out, what, uri=uri)


def stored(layer: h5py.Dataset, place: Raster, pixels: Pixels, *, uri: str) -> NDArray[np.generic]:
    """A window (y, x) as the file stores it. Raises PairRejected, WRONG_GRID."""
    if layer.shape != (place.height, place.width):
        shape = " x ".join(map(str, layer.shape))
        raise PairRejected(
            Verdict.WRONG_GRID,
            f"{uri}: {layer.name} has {shape} pixels, and its coordinates {place.height} x {place.width}; download it again",
        )
    row, col = int(pixels.row_off), int(pixels.col_off)
    return np.asarray(layer[row : row + int(pixels.height), col : col + int(pixels.width)])


def unmeasured(layer: h5py.Dataset, raw: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Where (y, x) the stored numbers are the layer's own value for no data."""
    none = np.zeros(raw.shape, bool)
    for name in ("_FillValue", "missing_value"):
        if name in layer.attrs:
            none |= raw == np.asarray(_one(layer, name, np.nan)).astype(raw.dtype)
    return none


@dataclass(frozen=True)
class Cube:
    """Layers of a coarse grid at several heights, as GUNW products hold what changes slowly.

    Parameters
    ----------
    heights, y, x : coordinates (z,), (y,), (x,) of its nodes, m and units of `crs`
    crs : coordinate system
    layers : the cube (z, y, x) of each layer
    """

    heights: Doubles
    y: Doubles
    x: Doubles
    crs: CRS
    layers: Mapping[str, h5py.Dataset]

    @classmethod
    def of(cls, axes: tuple[Doubles, Doubles, Doubles], epsg: int, layers: Mapping[str, h5py.Dataset], *, uri: str) -> Cube:
        """From heights, y and x. Raises PairRejected, WRONG_GRID or WRONG_CRS, where layers and axes do not fit."""
        shape = tuple(map(len, axes))
        for layer in layers.values():
            if layer.shape != shape:
                found, wanted = (" x ".join(map(str, one)) for one in (layer.shape, shape))
                what = f"{layer.name} has {found} nodes, and its coordinates {wanted}"
                raise PairRejected(Verdict.WRONG_GRID, f"{uri}: {what}; download it again")
        return cls(*axes, _crs(epsg, uri), layers)

    def over(self, grid: Grid, height: NDArray[np.float32]) -> dict[str, Doubles]:
        """Each layer (y, x) on a grid, at the terrain's `height` (y, x) m, where NaN stands for sea level.

        Interpolated linearly, in the cube's own coordinates; NaN outside the cube. Only the part over the grid is read.
        """
        lon, lat = np.meshgrid(grid.lon, grid.lat)
        if self.crs.is_geographic:
            at_x, at_y = lon + 360 * np.rint((self.x.mean() - lon) / 360), lat
        else:
            found = transform("EPSG:4326", self.crs, lon.ravel(), lat.ravel())
            at_x, at_y = (np.asarray(one).reshape(grid.shape) for one in found)
        rows, cols = _between(self.y, at_y), _between(self.x, at_x)
        if rows is None or cols is None or not _orderly(self.heights):
            return {name: np.full(grid.shape, np.nan) for name in self.layers}
        at_z = np.clip(np.nan_to_num(height.astype(np.float64)), self.heights.min(), self.heights.max())
        where = np.stack([at_z, at_y, at_x], axis=-1)
        out = {}
        for name, layer in self.layers.items():
            held = np.asarray(layer[:, rows, cols], np.float64)
            held[unmeasured(layer, held)] = np.nan
            axes = self.heights, self.y[rows], self.x[cols]
            turned = tuple(slice(None, None, -1) if axis[0] > axis[-1] else slice(None) for axis in axes)
            ascending = tuple(axis[way] for axis, way in zip(axes, turned, strict=True))
            along = scipy.interpolate.RegularGridInterpolator(ascending, held[turned], bounds_error=False)
            out[name] = np.asarray(along(where), np.float64)
        return out


def _crs(epsg: int, uri: str) -> CRS:
    try:
        return CRS.from_epsg(epsg)
    except CRSError:
        raise PairRejected(Verdict.WRONG_CRS, f"{uri}: coordinate system EPSG:{epsg}; download it again") from None


def _between(nodes: Doubles, at: Doubles) -> slice | None:
    """The nodes around some places, two at least; None where no place lies between nodes."""
    if not _orderly(nodes):
        return None
    inside = (at >= nodes.min()) & (at <= nodes.max())
    if not inside.any():
        return None
    near = np.flatnonzero((nodes >= at[inside].min()) & (nodes <= at[inside].max()))
    if not near.size:
        near = np.array([int(np.abs(nodes - at[inside].mean()).argmin())])
    return slice(max(0, int(near[0]) - 1), min(len(nodes), int(near[-1]) + 2))


def _orderly(nodes: Doubles) -> bool:
    """True where nodes rise or fall all the way."""
    return len(nodes) > 1 and bool((np.diff(nodes) > 0).all() or (np.diff(nodes) < 0).all())


def _step(centres: Doubles) -> float:
    """The distance of evenly spaced coordinates; 0 where they are not."""
    if len(centres) < 2 or not np.isfinite(centres).all():
        return 0.0
    step = float(centres[-1] - centres[0]) / (len(centres) - 1)
    even = np.abs(np.diff(centres) - step).max() < 0.01 * abs(step)
    return step if even else 0.0


def _one(layer: h5py.Dataset, name: str, default: float) -> np.generic | float:
    found = np.asarray(layer.attrs.get(name, default)).ravel()
    one: np.generic | float = found[0]
    return one


def _words(value: object) -> str:
    value = np.asarray(value).ravel()[0] if np.asarray(value).size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _wrong(uri: str, found: str, remedy: str) -> PairRejected:
    return PairRejected(Verdict.WRONG_NUMBERS, f"{uri}: {found}; {remedy}")
