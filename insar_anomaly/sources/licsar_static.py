"""The layers of a LiCSAR frame that do not change: height, look vector, land; which are there, and what can be used."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import Resampling

from insar_anomaly.errors import HeightUnusable, NotNow, PairRejected
from insar_anomaly.sources import words
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.grid import on_grid
from insar_anomaly.sources.licsar_layout import STATIC_FOLDERS
from insar_anomaly.sources.numbers import FLAG, HEIGHT, LOOK, read_numbers
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid
from insar_anomaly.units import NOMINAL_LOOK

_QUANTITY = {"hgt": HEIGHT, "E": LOOK, "N": LOOK, "U": LOOK, "landmask": FLAG}


def uris(archive: Archive, home: str, frame: str) -> dict[str, str]:
    """The file of each layer that a frame has: layer (``hgt``, ``E``, ``N``, ``U``, ``landmask``) -> URI."""
    out: dict[str, str] = {}
    for folder in STATIC_FOLDERS:
        held = {one.name: one for one in archive.below(f"{home}/{folder}", levels=1, needed=lambda _: False).files}
        for stem in (f"{frame}.geo", "geo"):
            for name in _QUANTITY:
                if name not in out and (file := held.get(f"{stem}.{name}.tif")):
                    out[name] = archive.uri(file.path)
    return out


def static(archive: Archive, layers: Mapping[str, str], grid: Grid, *, height: bool, way: str) -> xr.Dataset:
    """Height, water and look vector on a stack's grid; see `stack.schema.STACK`.

    Parameters
    ----------
    layers : as `uris` gives them
    height : True where the settings need the terrain's height
    way : ``A`` or ``D``, the direction of the pass, for the nominal look vector

    Raises
    ------
    HeightUnusable
        where the height is needed and its file is at fault.
    MissingLayer
        where it is needed and cannot be read now.
    """
    arrays, left_out = _usable(archive, layers, grid, height=height)
    look = {k: arrays[k] for k in "ENU"} if all(k in arrays for k in "ENU") else {}
    if not look and (some := [k for k in "ENU" if k in layers]):
        left_out.append(f"{layers[some[0]]}: the look vector is not whole, the nominal one is used; add E, N and U")
    nominal = dict(zip("ENU", NOMINAL_LOOK[way], strict=True))
    land = arrays.get("landmask")
    return xr.Dataset(
        {
            "height": (("y", "x"), arrays.get("hgt", np.full(grid.shape, np.nan, np.float32))),
            "water": (("y", "x"), np.zeros(grid.shape, bool) if land is None else ~(land > 0)),
            **{k.lower(): (("y", "x"), look.get(k, np.full(grid.shape, v, np.float32))) for k, v in nominal.items()},
        },
        coords={"y": grid.lat, "x": grid.lon},
        attrs={
            "grid": grid.attribute,
            "crs": "EPSG:4326",
            "line_of_sight": LINE_OF_SIGHT,
            "look": "frame's layers" if look else "nominal",
            "left_out": left_out,
        },
    )


def _usable(
    archive: Archive, layers: Mapping[str, str], grid: Grid, *, height: bool
) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """The layers that can be used, and what is wrong with the others; an error where the height is needed."""
    found: dict[str, NDArray[np.float32]] = {}
    left_out = []
    for name, uri in layers.items():
        try:
            layer = _layer(archive, uri, grid, name)
        except (PairRejected, NotNow) as problem:
            if name == "hgt" and height:
                raise words.no_height(problem) from None
            left_out.append(words.left_out(problem))
            continue
        if np.isfinite(layer).any():
            found[name] = layer
        elif name == "hgt" and height:
            raise HeightUnusable(f"{uri}: no height anywhere in the box; replace the file")
        else:
            left_out.append(f"{uri}: empty over the box; the stack is made without it")
    return found, left_out


def _layer(archive: Archive, uri: str, grid: Grid, name: str) -> NDArray[np.float32]:
    """A layer (y, x) on the stack's grid, resampled where it has another; NaN = unknown."""
    with archive.opened(uri) as tif:
        how = Resampling.nearest if _QUANTITY[name] is FLAG else Resampling.bilinear
        return on_grid(tif, grid, partial(read_numbers, tif, what=_QUANTITY[name], uri=uri), uri=uri, how=how)
