"""The layers of HyP3's products on a stack's grid: what is masked, how it is resampled, which product a layer comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels

from insar_anomaly.errors import NotNow, PairRejected, Verdict
from insar_anomaly.sources import words
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.grid import resampled
from insar_anomaly.sources.hyp3_products import Product, Unpacked, unpacked
from insar_anomaly.sources.numbers import ANGLE, FLAG, HEIGHT, PHASE, read_coherence, read_numbers
from insar_anomaly.stack.schema import Grid

Floats = NDArray[np.float32]
Part = tuple[Floats, NDArray[np.uint8]]
"""Phase and coherence of one product on the lattice."""


_ALL_WATER, _COHERENT = 0.95, 0.5
"""A water mask that says water for this share of the pixels, whose median coherence is so high, is of land."""


@dataclass(frozen=True)
class Layers:
    """Static layers of a box (y, x): `height` float32 m, NaN = unknown; `water` bool; `look` e, n, u float32, the unit
    vector to the satellite, None where no product has one; `left_out`: what could not be used, one line each."""

    height: Floats
    water: NDArray[np.bool_]
    look: tuple[Floats, Floats, Floats] | None
    left_out: list[str]


def read_pair(files: Unpacked, grids: Mapping[str, Grid], *, full: float | None) -> dict[str, Part]:
    """Phase, rad, positive away with the earlier date as reference, and coherence on several stacks' grids.

    Phase is float32 (y, x), NaN = no measurement, coherence uint8 1/255, 0 = none. A pixel has a phase where the product's
    phase is not 0, its coherence is above 0 and it is not water. A water mask that cannot be read, or that masks the land,
    is not used.

    Raises
    ------
    PairRejected
        naming the file.
    """
    with ExitStack() as held:
        phase, uri = held.enter_context(files.raster("unw_phase"))
        coherence, coherence_uri = held.enter_context(files.raster("corr"))
        _insist_on_same_pixels(phase, coherence, coherence_uri)

        def coherent(pixels: Pixels) -> Floats:
            found = read_coherence(coherence, pixels, full=full, uri=coherence_uri).astype(np.float32)
            found[found == 0] = np.nan
            return found

        def radians(pixels: Pixels) -> Floats:
            found, how_good = read_numbers(phase, pixels, PHASE, uri=uri), coherent(pixels)
            found[(found == 0) | np.isnan(how_good)] = np.nan
            if (water := _water(files, phase, pixels)) is not None and not masks_land(water, how_good):
                found[water] = np.nan
            return -found if files.product.name.turned else found

        return {
            stack: (_onto(phase, grid, radians), np.rint(np.nan_to_num(_onto(coherence, grid, coherent))).astype(np.uint8))
            for stack, grid in grids.items()
        }


def _onto(tif: rasterio.DatasetReader, grid: Grid, read: Callable[[Pixels], Floats]) -> Floats:
    """A layer (y, x) float32 on the lattice; NaN = no measurement.

    Bilinear over the measured pixels, so that a pixel without a measurement never mixes into one with it; NaN where the
    nearest pixel of the product is not measured, so that holes keep their size. `read` gives a window as float32 with NaN.
    """
    once = cache(read)
    out = resampled(tif, grid, once)
    out[np.isnan(resampled(tif, grid, once, how=Resampling.nearest))] = np.nan
    return out


def masks_land(water: NDArray[np.bool_], coherence: Floats) -> bool:
    """True where a water mask (y, x) cannot be right: nearly all is water, and that water is as coherent as land.

    `coherence` is float32 on a scale of 0 to 255, NaN = none.
    """
    measured = coherence[water & np.isfinite(coherence)]
    return bool(water.mean() > _ALL_WATER and measured.size > 0.5 * water.sum() and np.median(measured) > _COHERENT * 255)


def look_vector(theta: Floats, phi: Floats) -> tuple[Floats, Floats, Floats]:
    """East, north and up (y, x) of the unit vector to the satellite, from the angles of HyP3's layers, rad."""
    flat = np.cos(theta)
    return flat * np.cos(phi), flat * np.sin(phi), np.sin(theta)


def read_static(archive: Archive, places: Sequence[Sequence[Product]], grid: Grid, *, full: float | None) -> Layers:
    """Static layers on a stack's grid; `places` holds the products of each footprint, in the order of trying."""
    left_out: list[str] = []

    def first(read: Callable[[Unpacked], NDArray[np.float32] | None]) -> Floats | None:
        """The layer (..., y, x) of every footprint's first product that has it, together; None where none has."""
        out: Floats | None = None
        for products in places:
            for product in products:
                if (found := _tried(archive, product, read, left_out)) is not None:
                    out = found if out is None else np.where(np.isnan(out), found, out)
                    break
        return out

    height = first(lambda files: _layer(files, "dem", grid))
    look = first(lambda files: _look(files, grid))
    water = first(lambda files: _land(files, grid, full))
    if look is None:
        left_out.append("no look vector in any product, the nominal one is used; order products with look vectors")
    elif np.isnan(look).any():
        # a gap at the frame's edge: the vector changes by less than a degree over a box
        look = np.where(np.isnan(look), np.nanmean(look, axis=(1, 2), keepdims=True), look).astype(np.float32)
    return Layers(
        np.full(grid.shape, np.nan, np.float32) if height is None else height,
        np.zeros(grid.shape, bool) if water is None else water == 0,
        None if look is None else (look[0], look[1], look[2]),
        left_out,
    )


def _tried(
    archive: Archive, product: Product, read: Callable[[Unpacked], Floats | None], left_out: list[str]
) -> Floats | None:
    """What `read` gives of a product; None where it has none, or what it has cannot be used, which is written down."""
    try:
        with unpacked(archive, product) as files:
            found = read(files)
    except (PairRejected, NotNow) as problem:
        left_out.append(words.left_out(problem))
        return None
    return found if found is not None and np.isfinite(found).any() else None


def _layer(files: Unpacked, layer: str, grid: Grid) -> Floats | None:
    if not files.has(layer):
        return None
    with files.raster(layer) as (tif, uri):
        return _onto(tif, grid, lambda pixels: read_numbers(tif, pixels, HEIGHT, uri=uri))


def _look(files: Unpacked, grid: Grid) -> Floats | None:
    """East, north, up (3, y, x) of unit length, from one product's two angles; NaN = unknown."""
    if not (files.has("lv_theta") and files.has("lv_phi")):
        return None
    with files.raster("lv_theta") as (theta, theta_uri), files.raster("lv_phi") as (phi, phi_uri):
        _insist_on_same_pixels(theta, phi, phi_uri)

        def part(which: int) -> Callable[[Pixels], Floats]:
            def read(pixels: Pixels) -> Floats:
                angles = (read_numbers(tif, pixels, ANGLE, uri=uri) for tif, uri in ((theta, theta_uri), (phi, phi_uri)))
                return look_vector(*angles)[which]

            return read

        out = np.stack([_onto(theta, grid, part(which)) for which in range(3)])
    unit: Floats = (out / np.sqrt((out**2).sum(axis=0))).astype(np.float32)
    return unit


def _land(files: Unpacked, grid: Grid, full: float | None) -> Floats | None:
    """The water mask (y, x): 1 = land, 0 = water, NaN = unknown. Raises PairRejected where it masks the land."""
    if not files.has("water_mask"):
        return None
    with files.raster("water_mask") as (tif, uri), files.raster("corr") as (coherence, coherence_uri):
        land = resampled(tif, grid, lambda pixels: _flags(tif, pixels, uri), how=Resampling.nearest)
        how_good = resampled(
            coherence,
            grid,
            lambda pixels: read_coherence(coherence, pixels, full=full, uri=coherence_uri).astype(np.float32),
            how=Resampling.nearest,
        )
    if masks_land(land == 0, how_good):
        raise PairRejected(
            Verdict.WRONG_NUMBERS, f"{uri}: {(land == 0).mean():.0%} of the box is water, and it is coherent as land is"
        )
    return land


def _flags(tif: rasterio.DatasetReader, pixels: Pixels, uri: str) -> Floats:
    """A water mask's window: 1 = land, 0 = water, NaN = unknown. A file that declares 0 as no data means water."""
    found = read_numbers(tif, pixels, FLAG, uri=uri)
    if tif.nodata == 0:
        found = np.nan_to_num(found)
    return np.where(np.isnan(found), np.nan, found > 0).astype(np.float32)


def _water(files: Unpacked, phase: rasterio.DatasetReader, pixels: Pixels) -> NDArray[np.bool_] | None:
    """Where a window of the phase is water; None where the product has no mask that can be used."""
    if not files.has("water_mask"):
        return None
    try:
        with files.raster("water_mask") as (mask, uri):
            _insist_on_same_pixels(phase, mask, uri)
            return np.equal(_flags(mask, pixels, uri), np.float32(0))
    except PairRejected:
        return None


def _insist_on_same_pixels(one: rasterio.DatasetReader, other: rasterio.DatasetReader, uri: str) -> None:
    near = np.allclose(tuple(one.transform)[:6], tuple(other.transform)[:6], rtol=0, atol=0.01 * abs(one.transform.a))
    if not (near and one.shape == other.shape and one.crs == other.crs):
        raise PairRejected(
            Verdict.WRONG_GRID, f"{uri}: its pixels are not those of the product's other layers; bring it again"
        )
