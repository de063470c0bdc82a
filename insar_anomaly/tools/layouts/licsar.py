"""Write a simulated frame as LiCSAR writes it; see `sources.licsar`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from insar_anomaly.errors import UsageError
from insar_anomaly.names import Pair, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.sources.licsar_layout import COHERENCE, DELAY, PHASE
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NOMINAL_LOOK


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as a LiCSAR-layout archive, with GACOS layers where the scene has modelled delays.

    Returns the pairs. Files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    base = Path(root) / frame
    grid = Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1]))
    _write_tif(base / "metadata" / f"{frame}.geo.hgt.tif", scene.height_m.astype(np.float32), grid)
    for i, name in enumerate("ENU"):
        layer = np.full(grid.shape, NOMINAL_LOOK["A"][i], np.float32)
        _write_tif(base / "metadata" / f"{frame}.geo.{name}.tif", layer, grid)
    names = []
    for reference, secondary in scene.pairs():
        pair = Pair(scene.dates[reference], scene.dates[secondary]).name
        phase = scene.phase(reference, secondary)
        folder = base / "interferograms" / pair
        _write_tif(folder / f"{pair}{PHASE}", np.nan_to_num(phase), grid)
        coherent = np.where(np.isfinite(phase), 180, 20).astype(np.uint8)
        _write_tif(folder / f"{pair}{COHERENCE}", coherent, grid)
        names.append(pair)
    for day, delay in () if scene.delays is None else zip(scene.dates, scene.delays, strict=True):
        _write_tif(base / "epochs" / stamp(day) / f"{stamp(day)}{DELAY}", delay.astype(np.float32), grid)
    return names


def _write_tif(path: Path, array: NDArray[Any], grid: Grid) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    profile = {
        "driver": "GTiff",
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": 1,
        "dtype": array.dtype,
        "crs": "EPSG:4326",
        "transform": rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north),
        "nodata": 0,
        "compress": "deflate",
        "predictor": 3 if array.dtype == np.float32 else 2,
    }
    try:
        with rasterio.open(part, "w", **profile) as tif:
            tif.write(array, 1)
    except RasterioError as problem:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {problem}; free space on its disk, or name another folder") from problem
    part.replace(path)
