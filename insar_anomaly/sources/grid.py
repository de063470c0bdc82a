"""Window and grid arithmetic that every source needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.errors import NotInFrame, PairRejected, Verdict
from insar_anomaly.sources.lattice import Raster
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import turned

T = TypeVar("T", bound=np.generic)

_GEOGRAPHIC = "EPSG:4326"
_MARGIN = 4
"""Pixels of a file that are read around a stack's box, for the interpolation at its edge."""
_LEAST = 16
"""Pixels along each side of a stack, at least."""


def grid_of(tif: Raster, uri: str) -> Grid:
    """The grid of a raster in degrees.

    Raises
    ------
    PairRejected
        WRONG_CRS or ROTATED.
    """
    if tif.crs is None or not tif.crs.is_geographic:
        raise PairRejected(Verdict.WRONG_CRS, f"{uri}: coordinate system {tif.crs}; reproject it to EPSG:4326")
    t = tif.transform
    if t.b or t.d or t.a <= 0 or not t.e:
        raise PairRejected(Verdict.ROTATED, f"{uri}: transform {tuple(t)[:6]}; resample it to a north-up grid")
    north = t.f if t.e < 0 else t.f + t.e * tif.height  # rows may run from south to north: see `upright`
    return Grid(west=t.c, north=north, dx=t.a, dy=abs(t.e), shape=(tif.height, tif.width))


def most_common(grids: Sequence[Grid]) -> Grid:
    """The grid that most of these are; of equals the first. Grids that differ by less than 1/50 of a pixel are one."""
    return max(grids, key=lambda one: (sum(_same(one, other) for other in grids), -grids.index(one)))


def agreed(grids: Sequence[Grid | None]) -> Grid | None:
    """The grid that more than half of these are, None among them; None where there is no such grid."""
    known = [one for one in grids if one is not None]
    best = most_common(known) if known else None
    return best if best and 2 * sum(_same(best, other) for other in known) > len(grids) else None


def _same(one: Grid, other: Grid) -> bool:
    near = abs(one.west - other.west) < 0.02 * one.dx and abs(one.north - other.north) < 0.02 * one.dy
    return near and one.shape == other.shape and _same_pixels(one, other)


def _same_pixels(one: Grid, other: Grid) -> bool:
    return abs(one.dx / other.dx - 1) < 1e-6 and abs(one.dy / other.dy - 1) < 1e-6


def upright(tif: Raster, pixels: Pixels, read: Callable[[Pixels], NDArray[T]]) -> NDArray[T]:
    """What `read` gives for a window whose rows are counted from the north, with row 0 in the north."""
    if tif.transform.e < 0:
        return read(pixels)
    from_south = Pixels(pixels.col_off, tif.height - pixels.row_off - pixels.height, pixels.width, pixels.height)
    return read(from_south)[::-1]


def on_grid(
    tif: Raster,
    grid: Grid,
    read: Callable[[Pixels], NDArray[np.float32]],
    *,
    uri: str,
    how: Resampling = Resampling.bilinear,
) -> NDArray[np.float32]:
    """A layer (y, x) float32 on a stack's grid: its own pixels where they are the stack's, else resampled; NaN = unknown."""
    try:
        return upright(tif, window(grid_of(tif, uri), grid, uri), read)
    except PairRejected as problem:
        if problem.verdict not in (Verdict.WRONG_GRID, Verdict.WRONG_CRS, Verdict.ROTATED):
            raise
    return resampled(tif, grid, read, how=how)


def resampled(
    tif: Raster,
    grid: Grid,
    read: Callable[[Pixels], NDArray[np.float32]],
    *,
    how: Resampling = Resampling.bilinear,
) -> NDArray[np.float32]:
    """What `read` gives of a raster in any coordinate system and direction, on a stack's grid (y, x) float32; NaN = none.

    `read` gives a window of the file's own pixels, float32 with NaN: numbers and masks are settled before pixels are mixed.
    A pixel is NaN where none of the file's pixels around it is measured.

    Raises
    ------
    PairRejected
        WRONG_CRS, where the file states no coordinate system.
    """
    if tif.crs is None:
        name = getattr(tif, "name", "raster")
        raise PairRejected(Verdict.WRONG_CRS, f"{name}: no coordinate system; write it into the file")
    out: NDArray[np.float32] = np.full(grid.shape, np.nan, np.float32)
    pixels = around(tif, grid)
    if pixels is None:
        return out
    reproject(
        read(pixels),
        out,
        src_transform=tif.transform @ Affine.translation(pixels.col_off, pixels.row_off),
        src_crs=tif.crs,
        src_nodata=np.nan,
        dst_transform=_place(tif, grid),
        dst_crs=tif.crs if tif.crs.is_geographic else _GEOGRAPHIC,
        dst_nodata=np.nan,
        resampling=how,
        # GDAL widens its kernel where pixels get larger, and is then wrong by up to an eighth of a pixel
        **({"XSCALE": 1, "YSCALE": 1} if how == Resampling.bilinear else {}),
    )
    return out


def _place(tif: Raster, grid: Grid) -> Affine:
    """From column and row of a grid to degrees, turned by 360 where that brings it to the raster."""
    west, t = grid.west, tif.transform
    if tif.crs.is_geographic:
        west = turned(west, t.c + (t.a * tif.width + t.b * tif.height) / 2)
    return Affine(grid.dx, 0, west, 0, -grid.dy, grid.north)


def around(tif: Raster, grid: Grid) -> Pixels | None:
    """The raster's pixels under a grid and a few around it; None where there are none."""
    place, shape = _place(tif, grid), grid.shape
    rows, cols = np.meshgrid(np.linspace(0, shape[0], 21), np.linspace(0, shape[1], 21), indexing="ij")
    lon, lat = _applied(place, cols.ravel(), rows.ravel())
    x, y = (lon, lat) if tif.crs.is_geographic else (np.array(a) for a in transform(_GEOGRAPHIC, tif.crs, lon, lat))
    col, row = _applied(~tif.transform, x, y)
    first_col, first_row = max(0, int(np.floor(col.min())) - _MARGIN), max(0, int(np.floor(row.min())) - _MARGIN)
    last_col = min(tif.width, int(np.ceil(col.max())) + _MARGIN)
    last_row = min(tif.height, int(np.ceil(row.max())) + _MARGIN)
    if last_col <= first_col or last_row <= first_row:
        return None
    return Pixels(first_col, first_row, last_col - first_col, last_row - first_row)


def insist_on_place(tif: Raster, grids: Mapping[str, Grid], uri: str) -> None:
    """Raise PairRejected, WRONG_CRS, where a raster lies on none of the stacks' grids: that is no loss of signal."""
    if tif.crs is None or any(around(tif, grid) is not None for grid in grids.values()):
        return
    (west, east), (south, north) = (
        sorted(one) for one in _applied(tif.transform, np.r_[0, tif.width], np.r_[0, tif.height])
    )
    stack = next(iter(grids))
    raise PairRejected(
        Verdict.WRONG_CRS,
        f"{uri}: in its coordinate system, {tif.crs}, it lies from {west:.6g} to {east:.6g} and from {south:.6g} to "
        f"{north:.6g}, nowhere near {stack}; write the right system and transform into the file, or take it out",
    )


def _applied(
    affine: Affine, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return affine.a * x + affine.b * y + affine.c, affine.d * x + affine.e * y + affine.f


def cut(frame: Grid, box: Box, *, what: str) -> Grid:
    """The part of a frame's grid that lies in a box, on the frame's own pixels.

    Longitudes are turned by 360 degrees where that brings the box to the frame: either may lie over the antimeridian.

    Raises
    ------
    NotInFrame
        where they do not overlap.
    """
    box = _beside(frame, box)
    first_row, last_row, first_col, last_col = _overlap(frame, box)
    if not _large_enough(first_row, last_row, first_col, last_col):
        turned = Box(west=box.south, south=box.west, east=box.north, north=box.east)
        swapped = "lat and lon of the volcano seem to be swapped: the box lies in the frame with the two exchanged; "
        hint = swapped if _large_enough(*_overlap(frame, turned)) else ""
        east, south = frame.west + frame.dx * frame.shape[1], frame.north - frame.dy * frame.shape[0]
        raise NotInFrame(
            f"{what} covers {frame.west:.3f} to {east:.3f} E, {south:.3f} to {frame.north:.3f} N, which leaves less than "
            f"{_LEAST} pixels along a side of the volcano's box, "
            f"{box.west:.3f} to {box.east:.3f} E, {box.south:.3f} to {box.north:.3f} N"
            f"; {hint}correct lat, lon or frames in the catalogue"
        )
    west, north = frame.west + first_col * frame.dx, frame.north - first_row * frame.dy
    return Grid(west, north, frame.dx, frame.dy, (last_row - first_row, last_col - first_col))


def _beside(frame: Grid, box: Box) -> Box:
    middle = (box.west + box.east) / 2
    turn = turned(middle, frame.west + frame.dx * frame.shape[1] / 2) - middle
    return Box(west=box.west + turn, south=box.south, east=box.east + turn, north=box.north)


def _overlap(frame: Grid, box: Box) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the frame that a box covers; the last is before the first outside."""
    first_col = max(0, round((box.west - frame.west) / frame.dx))
    last_col = min(frame.shape[1], round((box.east - frame.west) / frame.dx))
    first_row = max(0, round((frame.north - box.north) / frame.dy))
    last_row = min(frame.shape[0], round((frame.north - box.south) / frame.dy))
    return first_row, last_row, first_col, last_col


def _large_enough(first_row: int, last_row: int, first_col: int, last_col: int) -> bool:
    return last_col - first_col >= _LEAST and last_row - first_row >= _LEAST


def window(here: Grid, wanted: Grid, uri: str) -> Pixels:
    """Where `wanted` lies in the file's grid `here`, in whole pixels.

    Raises
    ------
    PairRejected
        WRONG_GRID, where the pixels differ or the file does not hold all of it.
    """
    west = turned(wanted.west, here.west + here.dx * here.shape[1] / 2)
    col, row = (west - here.west) / here.dx, (here.north - wanted.north) / here.dy
    height, width = wanted.shape
    same = _same_pixels(here, wanted)
    whole = abs(col - round(col)) < 0.02 and abs(row - round(row)) < 0.02
    inside = (
        round(row) >= 0 and round(col) >= 0 and round(row) + height <= here.shape[0] and round(col) + width <= here.shape[1]
    )
    if not (same and whole and inside):
        raise PairRejected(
            Verdict.WRONG_GRID,
            f"{uri}: {here.shape[0]} x {here.shape[1]} pixels of {here.dy:.6g} x {here.dx:.6g} degrees from "
            f"{here.north:.5f} N, {here.west:.5f} E do not hold the stack's grid; replace it by a product of the same frame",
        )
    return Pixels(round(col), round(row), width, height)
