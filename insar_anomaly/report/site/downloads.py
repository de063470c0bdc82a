"""Files to take away from a page: a score map as a GeoTIFF, and what the page shows of a stack as NetCDF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from insar_anomaly.stack.schema import Grid


def geotiff(score_map: NDArray[Any], lat: NDArray[Any], lon: NDArray[Any], tags: Mapping[str, str]) -> bytes:
    """A score map (v, u) with the centres of its cells in degrees: float32, EPSG:4326, NaN = not scored."""
    dy, dx = (abs(float(axis[1] - axis[0])) if len(axis) > 1 else 1e-3 for axis in (lat, lon))
    profile = {
        "driver": "GTiff",
        "height": len(lat),
        "width": len(lon),
        "count": 1,
        "dtype": "float32",
        "crs": "EPSG:4326",
        "transform": rasterio.Affine(dx, 0, float(lon[0]) - dx / 2, 0, -dy, float(lat[0]) + dy / 2),
        "nodata": float("nan"),
        "compress": "deflate",
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as tif:
            tif.write(np.asarray(score_map, np.float32), 1)
            tif.update_tags(**tags)
            tif.set_band_description(1, "anomaly score")
        found: bytes = memory.read()
    return found


@dataclass(frozen=True)
class Piece:
    """What a page shows of a stack: motion (y, x) in cm, positive towards the satellite, between two days, the coherence
    (y, x), 0 to 1, and the score map (v, u) with the centres of its cells."""

    grid: Grid
    first: date
    last: date
    cm: NDArray[Any]
    coherence: NDArray[Any]
    height: NDArray[Any]
    look: tuple[float, float, float]
    score_map: NDArray[Any]
    lat: NDArray[Any]
    lon: NDArray[Any]


def netcdf(piece: Piece, attributes: Mapping[str, str]) -> bytes:
    """The piece as NetCDF 3 with CF attributes, which needs no further library to be read."""
    flat, cells = ("lat", "lon"), ("cell_lat", "cell_lon")
    signs = {"units": "cm", "long_name": "line-of-sight motion, positive towards the satellite"}
    dataset = xr.Dataset(
        {
            "motion": (flat, np.asarray(piece.cm, np.float32), signs),
            "coherence": (flat, np.asarray(piece.coherence, np.float32), {"units": "1", "long_name": "coherence"}),
            "height": (flat, np.asarray(piece.height, np.float32), {"units": "m", "long_name": "terrain height"}),
            "score": (cells, np.asarray(piece.score_map, np.float32), {"units": "1", "long_name": "anomaly score"}),
        },
        coords={
            "lat": ("lat", piece.grid.lat, {"units": "degrees_north", "standard_name": "latitude"}),
            "lon": ("lon", piece.grid.lon, {"units": "degrees_east", "standard_name": "longitude"}),
            "cell_lat": ("cell_lat", np.asarray(piece.lat, float), {"units": "degrees_north"}),
            "cell_lon": ("cell_lon", np.asarray(piece.lon, float), {"units": "degrees_east"}),
        },
        attrs={
            "Conventions": "CF-1.8",
            "first_acquisition": piece.first.isoformat(),
            "last_acquisition": piece.last.isoformat(),
            "look_east_north_up": ", ".join(f"{part:.4f}" for part in piece.look),
            **attributes,
        },
    )
    return bytes(dataset.to_netcdf(engine="scipy"))
