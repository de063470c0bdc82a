"""What the writers of HDF5 layouts share: groups, datasets with attributes and dimensions, files that appear whole."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import h5py
import numpy as np
import rasterio
from numpy.typing import ArrayLike, NDArray

from insar_anomaly.stack.schema import Grid


def track_of(frame: str) -> tuple[str, str]:
    """Track and direction of a frame's name, ``001`` and ``A``. Raises ValueError where it has none."""
    found = re.match(r"(\d{3})([AD])_", frame)
    if found is None:
        raise ValueError(f"frame {frame!r}: begin it with track and direction, as in 064A_aria")
    return found[1], found[2]


@contextmanager
def whole(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file that has its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with h5py.File(part, "w") as file:
        yield file
    part.replace(path)


def put(
    file: h5py.File, path: str, values: ArrayLike, *, along: Sequence[str] = (), fill: float | None = None, **more: object
) -> None:
    """Write a dataset; `along` are paths of the coordinates of its dimensions, `fill` and `more` become attributes."""
    array = np.asarray(values)
    pieces = tuple(min(512, n) for n in array.shape[-2:]) if array.ndim > 1 else ()
    kept = {"chunks": (1,) * (array.ndim - 2) + pieces, "compression": "gzip"} if pieces else {}
    layer = file.create_dataset(path, data=array, **kept)
    if fill is not None:
        layer.attrs["_FillValue"] = np.array([fill], array.dtype)
    layer.attrs.update(more)
    for dimension, name in enumerate(along):
        scale = file[name]
        if not scale.is_scale:
            scale.make_scale(PurePosixPath(name).name)
        layer.dims[dimension].attach_scale(scale)


def write_terrain(path: Path, height_m: NDArray[np.floating], grid: Grid) -> None:
    """Write the terrain's height (y, x) m as the GeoTIFF that readers of GUNW products look for; one that exists stays."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    place = rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": -9999}
    with rasterio.open(path, "w", height=grid.shape[0], width=grid.shape[1], transform=place, **profile) as tif:
        tif.write(height_m.astype(np.float32), 1)
