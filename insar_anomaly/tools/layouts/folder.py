"""Write a simulated frame as a plain folder of GeoTIFFs; see `sources.folder`.

The form is that of displacement maps exported from a time series: millimetres towards the satellite, NaN = no data,
coherence from 0 to 1, the look vector as three layers, all of it on one geographic grid.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from insar_anomaly.errors import UsageError
from insar_anomaly.names import Pair, direction, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NOMINAL_LOOK, RAD_PER_M

SOURCE_LINES = """\
pattern = "{frame}/los_{reference:%Y%m%d}-{secondary:%Y%m%d}_mm.tif"
coherence_pattern = "{frame}/coherence_{reference:%Y%m%d}-{secondary:%Y%m%d}.tif"
unit = "mm"
positive = "towards"
height = "{frame}/dem.tif"
look = ["{frame}/look_e.tif", "{frame}/look_n.tif", "{frame}/look_u.tif"]
"""
"""The [[source]] of what is written here, below kind."""


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as a folder of GeoTIFFs. Returns the pairs. Files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    base = Path(root) / frame
    grid = Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1]))
    write_tif(base / "dem.tif", np.rint(scene.height_m).astype(np.int16), grid)
    for name, part in zip("enu", NOMINAL_LOOK[direction(frame) or "A"], strict=True):
        write_tif(base / f"look_{name}.tif", np.full(grid.shape, part, np.float32), grid)
    names = []
    for reference, secondary in scene.pairs():
        first, last = scene.dates[reference], scene.dates[secondary]
        phase = scene.phase(reference, secondary)
        dates = f"{stamp(first)}-{stamp(last)}"
        write_tif(base / f"los_{dates}_mm.tif", (phase / RAD_PER_M * 1000).astype(np.float32), grid, nodata=np.nan)
        coherent = np.where(np.isfinite(phase), 0.7, 0.08).astype(np.float32)
        write_tif(base / f"coherence_{dates}.tif", coherent, grid, nodata=np.nan)
        names.append(Pair(first, last).name)
    return names


def write_tif(path: Path, array: NDArray[Any], grid: Grid, *, nodata: float | None = None, crs: str = "EPSG:4326") -> None:
    """Write an array (y, x) or (band, y, x) as a GeoTIFF, whole or not at all; a file that exists is left alone.

    `grid` is in the units of `crs`. Raises UsageError where it cannot be written.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    bands = array if array.ndim == 3 else array[None]
    profile = {
        "driver": "GTiff",
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": len(bands),
        "dtype": array.dtype,
        "crs": crs,
        "transform": rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north),
        "nodata": nodata,
        "compress": "deflate",
    }
    try:
        with rasterio.open(part, "w", **profile) as tif:
            tif.write(bands)
    except RasterioError as problem:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {problem}; free space on its disk, or name another folder") from problem
    part.replace(path)
