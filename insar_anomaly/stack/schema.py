"""Every stored array: dims, dtype, units, chunks. `check(dataset, table)` says what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.names import Span
from insar_anomaly.units import KM_PER_DEGREE, SENTINEL1_WAVELENGTH_M, Platform

LINE_OF_SIGHT = "positive = away from the satellite"


@dataclass(frozen=True)
class Array:
    """One stored array. `chunk` is the chunk length along ``pair``; other dims are one chunk."""

    dims: tuple[str, ...]
    dtype: str
    units: str
    words: str
    chunk: int = 1
    required: bool = True
    missing: float | int | bool = float("nan")
    """What an optional array holds for pairs that came without it."""


# a coordinate gets one large chunk, or every append would add a file to it
_ALONG = 4096

STACK: dict[str, Array] = {
    "phase": Array(("pair", "y", "x"), "float32", "rad", f"unwrapped phase, {LINE_OF_SIGHT}; NaN = no measurement"),
    "coherence": Array(("pair", "y", "x"), "uint8", "1/255", "coherence; 0 = none or no measurement"),
    "delay": Array(
        ("pair", "y", "x"),
        "float32",
        "rad",
        f"atmospheric delay of a weather model (GACOS), to be subtracted from the phase, {LINE_OF_SIGHT}; NaN = unknown",
        required=False,
    ),
    "reference": Array(("pair",), "datetime64[ns]", "UTC", "earlier acquisition", _ALONG),
    "secondary": Array(("pair",), "datetime64[ns]", "UTC", "later acquisition", _ALONG),
    "baseline": Array(("pair",), "float32", "m", "perpendicular baseline; NaN = unknown", _ALONG),
    "wavelength": Array(("pair",), "float64", "m", "radar wavelength; NaN = unknown", _ALONG, required=False),
    "sign": Array(
        ("pair",),
        "int8",
        "",
        "1: phase as the provider writes it; -1: turned by the reader, to be positive away; 0: not written down",
        _ALONG,
        required=False,
        missing=0,
    ),
    "platforms": Array(
        ("pair", "end"),
        "uint8",
        "",
        "satellites of the earlier and the later acquisition, numbers of units.Platform; 0 = unknown",
        _ALONG,
        required=False,
        missing=0,
    ),
    "utc": Array(
        ("pair",),
        "float32",
        "s",
        "time of the earlier acquisition, after midnight UTC; NaN = unknown",
        _ALONG,
        required=False,
    ),
    "version": Array(
        ("pair",),
        "uint16",
        "",
        "how often the pair was replaced by its provider, or came back, since it was first stored",
        _ALONG,
        required=False,
        missing=0,
    ),
    "withdrawn": Array(
        ("pair",),
        "bool",
        "",
        "the provider has withdrawn the pair: it is left out of new work",
        _ALONG,
        required=False,
        missing=False,
    ),
    "height": Array(("y", "x"), "float32", "m", "terrain height; NaN = unknown"),
    "water": Array(("y", "x"), "bool", "", "water"),
    "e": Array(("y", "x"), "float32", "", "east component of the unit vector from ground to satellite"),
    "n": Array(("y", "x"), "float32", "", "north component"),
    "u": Array(("y", "x"), "float32", "", "up component"),
    "y": Array(("y",), "float64", "degrees_north", "latitude of pixel centres, row 0 is north"),
    "x": Array(("x",), "float64", "degrees_east", "longitude of pixel centres"),
}

SCORES: dict[str, Array] = {
    "score": Array(
        ("pair",), "float64", "", "anomaly score; larger is less like the quiet stack; NaN = not scorable", _ALONG
    ),
    "score_map": Array(("pair", "v", "u"), "float16", "", "score of each patch; NaN = ground that was not scored"),
    "lat": Array(
        ("v",), "float64", "degrees_north", "latitude of the centres of the map's cells, row 0 is north", required=False
    ),
    "lon": Array(("u",), "float64", "degrees_east", "longitude of cell centres", required=False),
    "reference": STACK["reference"],
    "secondary": STACK["secondary"],
    "after": Array(
        ("pair",), "int64", "", "fused evidence: acquisitions after it that were seen", _ALONG, required=False, missing=0
    ),
    "inputs": Array(
        ("pair",),
        "int64",
        "",
        "fused evidence: hash of the pairs that were fused; a single pair: its version",
        _ALONG,
        required=False,
        missing=0,
    ),
    "batch": Array(
        ("pair",),
        "int64",
        "",
        "names the assessments that went through the network together, which decides a score's last digits; 0 = not known",
        _ALONG,
        required=False,
        missing=0,
    ),
    "batch_place": Array(("pair",), "int64", "", "place in that batch, from 0", _ALONG, required=False, missing=0),
}


@dataclass(frozen=True)
class Grid:
    """A north-up grid in degrees: outer edges `west` and `north`, positive pixel sizes `dx` and `dy`, `shape` (y, x)."""

    west: float
    north: float
    dx: float
    dy: float
    shape: tuple[int, int]

    @property
    def lat(self) -> NDArray[np.floating]:
        """Latitude of pixel centres (y,), descending."""
        return self.north - (np.arange(self.shape[0]) + 0.5) * self.dy

    @property
    def lon(self) -> NDArray[np.floating]:
        """Longitude of pixel centres (x,)."""
        return self.west + (np.arange(self.shape[1]) + 0.5) * self.dx

    @classmethod
    def of(cls, stack: xr.Dataset) -> Grid:
        """The grid of a stored stack, from its attributes."""
        west, north, dx, dy = stack.attrs["grid"]
        return cls(west, north, dx, dy, (stack.sizes["y"], stack.sizes["x"]))

    @property
    def attribute(self) -> list[float]:
        """West, north, dx, dy: what a stored stack keeps, exact to the last bit."""
        return [self.west, self.north, self.dx, self.dy]


@dataclass(frozen=True)
class Physics:
    """What the numbers of a product mean, as its source states it.

    Parameters
    ----------
    wavelength_m : radar wavelength, m
    sign : 1 where the provider's phase has the stacks' sign (positive away from the satellite, the earlier date as
        reference), -1 where the reader turned it; 0 = not written down
    platforms : satellites of the earlier and of the later acquisition
    utc_s : time of the earlier acquisition, s after midnight UTC; NaN = unknown
    """

    wavelength_m: float = float("nan")
    sign: int = 0
    platforms: tuple[Platform, Platform] = (Platform.UNKNOWN, Platform.UNKNOWN)
    utc_s: float = float("nan")


def pair_names(dataset: xr.Dataset) -> list[str]:
    """``YYYYMMDD_YYYYMMDD`` of every pair, from its two dates."""
    first, last = (dataset[name].values.astype("datetime64[D]").astype(object) for name in ("reference", "secondary"))
    return [Span(a, b).name for a, b in zip(first, last, strict=True)]


def wavelength_of(stack: xr.Dataset) -> float:
    """A stack's radar wavelength in m. Stacks of versions before it was stored are of Sentinel-1."""
    return float(stack.attrs.get("wavelength_m", SENTINEL1_WAVELENGTH_M))


def cell_centres(pixels: NDArray[np.floating], stride: int) -> NDArray[np.float64]:
    """Degrees (cell,) of the centres of cells of `stride` pixels, from pixel centres (pixel,); the last may be smaller."""
    return np.array([pixels[start : start + stride].mean() for start in range(0, len(pixels), stride)], np.float64)


def pixel_km(stack: xr.Dataset) -> tuple[float, float]:
    """Height and width of a pixel in km, from the coordinates in degrees."""
    lat, lon = stack["y"].values, stack["x"].values
    north = abs(float(lat[0] - lat[-1])) / max(1, len(lat) - 1) * KM_PER_DEGREE
    east = abs(float(lon[-1] - lon[0])) / max(1, len(lon) - 1) * KM_PER_DEGREE
    return north, east * float(np.cos(np.radians(lat.mean())))


def check(dataset: xr.Dataset, table: Mapping[str, Array]) -> list[str]:
    """What does not fit `table`, one line each: missing arrays, wrong dims, wrong dtype."""
    wrong = []
    for name, array in table.items():
        if name not in dataset.variables:
            if array.required:
                wrong.append(f"{name} is missing")
            continue
        found = dataset[name]
        if found.dims != array.dims:
            wrong.append(f"{name} has dims {found.dims}, not {array.dims}")
        if not np.can_cast(found.dtype, np.dtype(array.dtype), "same_kind"):
            wrong.append(f"{name} is {found.dtype}, not {array.dtype}")
    return wrong
