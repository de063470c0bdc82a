"""Window and grid arithmetic that every GeoTIFF source needs."""

from __future__ import annotations

from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.errors import NotInFrame, PairRejected, Verdict
from insar_anomaly.stack.schema import Grid

_LEAST = 16
"""Pixels along each side of a stack, at least."""


def grid_of(tif: rasterio.DatasetReader, uri: str) -> Grid:
    """The grid of an open GeoTIFF.

    Raises
    ------
    PairRejected
        WRONG_CRS or ROTATED.
    """
    if tif.crs is None or not tif.crs.is_geographic:
        raise PairRejected(Verdict.WRONG_CRS, f"{uri}: coordinate system {tif.crs}; reproject it to EPSG:4326")
    t = tif.transform
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise PairRejected(Verdict.ROTATED, f"{uri}: transform {tuple(t)[:6]}; resample it to a north-up grid")
    return Grid(west=t.c, north=t.f, dx=t.a, dy=-t.e, shape=(tif.height, tif.width))


def cut(frame: Grid, box: Box, *, what: str) -> Grid:
    """The part of a frame's grid that lies in a box, on the frame's own pixels.

    Raises
    ------
    NotInFrame
        where they do not overlap.
    """
    first_row, last_row, first_col, last_col = _overlap(frame, box)
    if not _large_enough(first_row, last_row, first_col, last_col):
        turned = Box(west=box.south, south=box.west, east=box.north, north=box.east)
        swapped = "lat and lon of the volcano seem to be swapped: the box lies in the frame with the two exchanged; "
        hint = swapped if _large_enough(*_overlap(frame, turned)) else ""
        east, south = frame.west + frame.dx * frame.shape[1], frame.north - frame.dy * frame.shape[0]
        raise NotInFrame(
            f"{what} covers {frame.west:.3f} to {east:.3f} E, {south:.3f} to {frame.north:.3f} N, which leaves less than "
            f"{_LEAST} pixels of the volcano's box, {box.west:.3f} to {box.east:.3f} E, {box.south:.3f} to {box.north:.3f} N"
            f"; {hint}correct lat, lon or frames in the catalogue"
        )
    west, north = frame.west + first_col * frame.dx, frame.north - first_row * frame.dy
    return Grid(west, north, frame.dx, frame.dy, (last_row - first_row, last_col - first_col))


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
    col, row = (wanted.west - here.west) / here.dx, (here.north - wanted.north) / here.dy
    height, width = wanted.shape
    same = abs(here.dx / wanted.dx - 1) < 1e-6 and abs(here.dy / wanted.dy - 1) < 1e-6
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


def as_bytes(coherence: NDArray[Any]) -> NDArray[np.uint8]:
    """Coherence as uint8 in 1/255, from LiCSAR's bytes or from floats in [0, 1]; NaN becomes 0."""
    if coherence.dtype == np.uint8:
        return coherence
    scaled = np.nan_to_num(np.asarray(coherence, np.float64)) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def read_window(tif: rasterio.DatasetReader, pixels: Pixels) -> NDArray[Any]:
    array: NDArray[Any] = tif.read(1, window=pixels)
    if tif.nodata is not None and np.issubdtype(array.dtype, np.floating):
        array = np.where(array == tif.nodata, np.nan, array)
    return array
