"""A GUNW product as its file's name tells it, which of several to read, and what a layout has to say of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window as Pixels

from insar_anomaly.names import Pair
from insar_anomaly.sources.hdf5 import Cube, Raster, unmeasured
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import Platform

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Product:
    """A product, as its file's name tells.

    Parameters
    ----------
    name : of the file
    frame : name that the catalogue has for its frame
    reference, secondary : dates of its two acquisitions, in the product's own order
    place : what tells products of one frame by the ground they cover
    rank : the larger is the better, between products of the same ground and pair
    seconds : begin and end of the reference acquisition, s after midnight UTC
    uri, mark : where the file is, and what changes with its content
    """

    name: str
    frame: str
    reference: date
    secondary: date
    place: str
    rank: tuple[int, ...]
    seconds: tuple[float, float]
    uri: str = ""
    mark: str = ""

    @property
    def pair(self) -> str:
        """The pair's name, earlier date first."""
        return Pair(min(self.reference, self.secondary), max(self.reference, self.secondary)).name

    @property
    def sign(self) -> int:
        """1 where the reference is the earlier date, else -1."""
        return 1 if self.reference < self.secondary else -1


class Chosen(NamedTuple):
    """Products of a pair that are read, the best first; those that a better one replaces; those that are there twice."""

    used: list[Product]
    replaced: list[Product]
    twice: list[Product]


class Layout(Protocol):
    """What the two layouts do not share."""

    @property
    def kind(self) -> str:
        """The `kind` in [[source]]."""
        ...

    @property
    def nominal(self) -> Mapping[str, tuple[float, float, float]]:
        """East, north and up of the nominal look vector, by direction of the pass."""
        ...

    @property
    def sign_words(self) -> str:
        """What the provider's sign is."""
        ...

    def product(self, name: str) -> Product | None:
        """The product of a file's name; None where it is no product."""
        ...

    def meant(self, name: str) -> bool:
        """True where a file's name begins and ends like a product's."""
        ...

    def chosen(self, products: Sequence[Product]) -> Chosen:
        """What to read of the products of one pair; see `choose`."""
        ...

    def raster(self, file: h5py.File, uri: str) -> Raster:
        """Where phase and coherence lie."""
        ...

    def phase(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Unwrapped phase (y, x) rad in the provider's sign; NaN = no measurement."""
        ...

    def coherence(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Coherence (y, x) on the source's scale; NaN = none."""
        ...

    def water(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats | None:
        """1 = water, 0 = land, NaN = unknown (y, x); None where the product does not say."""
        ...

    def look(self, file: h5py.File, grid: Grid, height: Floats, *, uri: str) -> tuple[Floats, Floats, Floats]:
        """East, north and up component (y, x) of the unit vector from the ground to the satellite; NaN = unknown."""
        ...

    def baseline(self, file: h5py.File, *, uri: str) -> float:
        """Perpendicular baseline, m, of the secondary acquisition seen from the reference; NaN = unknown."""
        ...

    def wavelength(self, file: h5py.File, *, uri: str) -> float:
        """Radar wavelength, m."""
        ...

    def platforms(self, file: h5py.File) -> tuple[Platform, Platform]:
        """Satellites of reference and secondary acquisition."""
        ...


def choose(products: Sequence[Product], same_ground: Callable[[Product, Product], bool]) -> Chosen:
    """Of products of one pair on the same ground the best, the others apart.

    `same_ground` tells whether the first of two products covers no ground of its own beside the second, better one.
    """
    out = Chosen([], [], [])
    in_time = sorted(products, key=lambda one: (one.seconds[0], one.name, one.uri))
    for one in sorted(in_time, key=lambda one: one.rank, reverse=True):
        better = next((other for other in out.used if same_ground(one, other)), None)
        if better is None:
            out.used.append(one)
        elif better.rank == one.rank:
            out.twice.append(one)
        else:
            out.replaced.append(one)
    return out


def angles_to_vector(cube: Mapping[str, NDArray[np.float64]]) -> tuple[Floats, Floats, Floats]:
    """East, north and up of a unit vector from the ground to the satellite, from ``incidenceAngle`` (from the vertical) and
    ``azimuthAngle`` (from east, counter-clockwise), both (y, x) in degrees."""
    away, azimuth = np.radians(cube["incidenceAngle"]), np.radians(cube["azimuthAngle"])
    parts = np.sin(away) * np.cos(azimuth), np.sin(away) * np.sin(azimuth), np.cos(away)
    e, n, u = (one.astype(np.float32) for one in parts)
    return e, n, u


def nearest_sea_level(cube: Cube, name: str) -> float:
    """The median of a cube's layer at the height nearest to sea level; NaN where it holds nothing there."""
    level = int(np.abs(cube.heights).argmin())
    held = np.asarray(cube.layers[name][level], np.float64)
    held[unmeasured(cube.layers[name], held)] = np.nan
    return float(np.nanmedian(held)) if np.isfinite(held).any() else float("nan")
