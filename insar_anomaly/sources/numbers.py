"""What a raster file says of its numbers: band, kind, scale, offset, masks, unit, values that mean no data.

GDAL hands over what is stored. Scale, offset, nodata, internal masks and alpha bands are left to the reader, and so is the
question whether the numbers can be what the layer should hold. That is settled here, once for all readers. A file whose
numbers cannot be trusted gets a verdict that names the file, the value and the remedy; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.windows import Window as Pixels

from insar_anomaly.errors import PairRejected, Verdict

_WHOLE_FILLS = (-9999, -99999, -32768, -32767)
_FILLS = (*map(float, _WHOLE_FILLS), -3.4028234663852886e38, 3.4028234663852886e38, 1e20, -1e20)
"""Values that stand for no data in files whose tags do not say so. No layer here can hold them as measurements."""


@dataclass(frozen=True)
class Quantity:
    """What a layer should hold.

    Parameters
    ----------
    words : the layer, in words
    names : beginnings of words in a band's description that tell this layer among several bands
    units : units that a file may state, lower case; what it does not state is taken as the first
    most : largest absolute value that can be right, in the first unit
    integers : True where plain integers without a scale can be right
    """

    words: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    most: float
    integers: bool


PHASE = Quantity("phase", ("phase", "unw", "unwrapped"), ("rad", "radian", "radians"), 5000.0, integers=False)
"""Unwrapped phase, rad. 5000 rad are 22 m of motion in C band."""

HEIGHT = Quantity("height", ("height", "dem", "elevation", "hgt"), ("m", "metre", "metres", "meter", "meters"), 9000.0, True)
"""Terrain height, m: -500 to 8,850 on land."""

LOOK = Quantity("look vector", (), ("", "1"), 1.01, integers=False)
"""A component of a unit vector."""

ANGLE = Quantity("look angle", ("lv", "inc", "theta", "phi"), ("rad", "radian", "radians"), 7.0, integers=False)
"""An angle, rad."""

LENGTH = Quantity("displacement", ("disp",), ("m", "metre", "metres", "meter", "meters"), 100.0, integers=False)
"""Displacement, m."""

FLAG = Quantity("mask", ("mask", "water", "land"), ("", "1"), 1e9, integers=True)
"""A mask or a count."""


_UNIT_TAGS = ("units", "unit", "data_units")
"""Tags in which programs write the unit; GDAL has a place of its own for it, which counts first."""
_LENGTHS = [f"{small}{one}" for small in ("", "centi", "milli") for one in ("metre", "metres", "meter", "meters")]
_UNITS = frozenset(["rad", "radian", "radians", "deg", "degree", "degrees", "m", "cm", "mm", *_LENGTHS])
"""What counts as a unit in a tag: other programs write other things there."""


def read_numbers(tif: rasterio.DatasetReader, pixels: Pixels | None, what: Quantity, *, uri: str) -> NDArray[np.float32]:
    """A window (y, x) float32 in the quantity's first unit; NaN where the file holds no measurement.

    Parameters
    ----------
    pixels : the window; None reads the whole file

    Raises
    ------
    PairRejected
        WRONG_NUMBERS.
    """
    band = _band(tif, what, uri)
    _insist_on_unit(tif, band, what, uri)
    with _about(uri):
        raw, none = _read(tif, band, pixels)
    if np.iscomplexobj(raw):
        raise _wrong(uri, f"{what.words} is complex, so a wrapped interferogram", "give the unwrapped file")
    out = scaled(
        raw, tif.scales[band - 1], tif.offsets[band - 1], what, uri=uri, declared=tif.nodatavals[band - 1] is not None
    )
    out[none] = np.nan
    return plausible(out, what, uri=uri)


def scaled(
    raw: NDArray[np.generic], scale: float, offset: float, what: Quantity, *, uri: str, declared: bool = False
) -> NDArray[np.float32]:
    """Stored numbers (y, x) as float32, with scale and offset; values that always mean no data are NaN.

    `declared`: the file states its own nodata value, so that integers such as -9999 may be measurements.

    Raises
    ------
    PairRejected
        WRONG_NUMBERS, where integers without a scale cannot be this quantity.
    """
    out: NDArray[np.float32] = raw.astype(np.float32)
    none = ~np.isfinite(out)
    if raw.dtype.kind == "f":
        none |= np.isin(raw, np.array(_FILLS).astype(raw.dtype))
    elif not declared:  # under a scale, -9999 can be a measurement
        none |= np.isin(raw, _WHOLE_FILLS)
    if (scale, offset) != (1.0, 0.0):
        out = (raw.astype(np.float64) * scale + offset).astype(np.float32)
    elif raw.dtype.kind in "iu" and not what.integers:
        raise _wrong(uri, f"{what.words} is kept as {raw.dtype} without a scale", "write the scale into the file, or floats")
    out[none] = np.nan
    return out


def plausible(values: NDArray[np.float32], what: Quantity, *, uri: str) -> NDArray[np.float32]:
    """The values (y, x), where all of them can be right.

    Raises
    ------
    PairRejected
        WRONG_NUMBERS, with the value that cannot.
    """
    size = np.abs(values)
    if (size > what.most).any():
        worst = float(values.flat[int(np.nanargmax(size))])
        raise _wrong(
            uri,
            f"{what.words} of {worst:g} {what.units[0]}, and at most {what.most:g} can be right",
            "declare it as nodata in the file, or mend the unit",
        )
    return values


def read_coherence(tif: rasterio.DatasetReader, pixels: Pixels | None, *, full: float | None, uri: str) -> NDArray[np.uint8]:
    """Coherence (y, x) uint8 in 1/255; 0 where the file holds none.

    Parameters
    ----------
    full : value that stands for full coherence, as the source states it; None: 1 for floats, 255 for integers

    Raises
    ------
    PairRejected
        WRONG_NUMBERS, where a value lies above `full`, so that the scale is another.
    """
    what = Quantity("coherence", ("coh", "cor", "cc"), ("", "1"), np.inf, integers=True)
    band = _band(tif, what, uri)
    with _about(uri):
        raw, none = _read(tif, band, pixels)
    if np.iscomplexobj(raw):
        raise _wrong(uri, "coherence is complex", "give its magnitude")
    out = scaled(
        raw, tif.scales[band - 1], tif.offsets[band - 1], what, uri=uri, declared=tif.nodatavals[band - 1] is not None
    )
    out[none] = np.nan
    most = full or (255.0 if raw.dtype.kind in "iu" and tif.scales[band - 1] == 1 else 1.0)
    return coherence_bytes(out, most, uri=uri)


def coherence_bytes(values: NDArray[np.float32], full: float, *, uri: str) -> NDArray[np.uint8]:
    """Coherence (y, x) on a scale that ends at `full`, NaN = none, as uint8 in 1/255.

    Raises
    ------
    PairRejected
        WRONG_NUMBERS, where a value lies outside the scale.
    """
    share = np.nan_to_num(values) / full
    low, high = (float(end) for end in (share.min(initial=0.0), share.max(initial=0.0)))
    if low < -0.01 or high > 1.01:
        worst = (high if high > 1.01 else low) * full
        raise _wrong(
            uri,
            f"coherence of {worst:g}, and this source's scale is 0 to {full:g}",
            "set coherence_full in [[source]] to the value of full coherence (1, 100 or 255)",
        )
    out: NDArray[np.uint8] = np.clip(np.rint(share * 255), 0, 255).astype(np.uint8)
    return out


def _band(tif: rasterio.DatasetReader, what: Quantity, uri: str) -> int:
    """The number of the band that holds the quantity."""
    real = [i for i, colour in zip(tif.indexes, tif.colorinterp, strict=True) if colour != ColorInterp.alpha]
    if len(real) == 1:
        return int(real[0])
    described = {i: (tif.descriptions[i - 1] or "").lower() for i in real}
    words = {i: text.replace("_", " ").split() for i, text in described.items()}
    named = [i for i, found in words.items() if any(word.startswith(what.names) for word in found)]
    if what.names and len(named) == 1:
        return int(named[0])
    held = ", ".join(text or "without a name" for text in described.values())
    raise _wrong(uri, f"{len(real)} bands ({held}), and none is named {what.words}", f"give a file of {what.words} alone")


def _insist_on_unit(tif: rasterio.DatasetReader, band: int, what: Quantity, uri: str) -> None:
    unit = (tif.units[band - 1] or "").strip().lower()
    tagged = (str(value).strip().lower() for name, value in _tags(tif, band) if name.lower() in _UNIT_TAGS)
    unit = unit or next((one for one in tagged if one in _UNITS), "")
    if unit and unit not in what.units:
        raise _wrong(uri, f"{what.words} in {unit}, and {what.units[0] or 'no unit'} is needed", "convert it")


def _tags(tif: rasterio.DatasetReader, band: int) -> list[tuple[str, str]]:
    """The tags of the band, then those of the file."""
    return [*tif.tags(band).items(), *tif.tags().items()]


@contextmanager
def _about(uri: str) -> Iterator[None]:
    """Let an error of GDAL say which file it is about, in ``about``: several may be open."""
    try:
        yield
    except RasterioError as problem:
        problem.about = uri
        raise


def _read(tif: rasterio.DatasetReader, band: int, pixels: Pixels | None) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """A window (y, x) as it is stored, and where the file itself says that there is no measurement."""
    raw: NDArray[np.generic] = tif.read(band, window=pixels)
    return raw, _unmeasured(tif, band, pixels, raw)


def _unmeasured(
    tif: rasterio.DatasetReader, band: int, pixels: Pixels | None, raw: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Where the file itself says that there is no measurement: its nodata value, its mask or its alpha band."""
    flags = tif.mask_flag_enums[band - 1]
    none = np.zeros(raw.shape, bool)
    nodata = tif.nodatavals[band - 1]
    if nodata is not None and not np.isnan(nodata):
        none |= raw == np.asarray(nodata).astype(raw.dtype)
    if raw.dtype.kind == "f" and tif.tags(band, ns="IMAGE_STRUCTURE").get("NBITS") == "16":
        # half floats keep 11 bits: -9999 comes back as -9992 or -10000
        for value in (*_FILLS[:4], *([] if nodata is None else [nodata])):
            none |= (value != 0) & (np.abs(raw - value) <= abs(value) / 1024)
    if MaskFlags.per_dataset in flags:
        none |= tif.read_masks(band, window=pixels) == 0
    for alpha in (i for i, colour in zip(tif.indexes, tif.colorinterp, strict=True) if colour == ColorInterp.alpha):
        none |= tif.read(alpha, window=pixels) == 0  # GDAL makes no mask of an alpha band of floats
    return none


def _wrong(uri: str, found: str, remedy: str) -> PairRejected:
    return PairRejected(Verdict.WRONG_NUMBERS, f"{uri}: {found}; {remedy}")
