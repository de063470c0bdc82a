"""Write a simulated frame as HyP3 writes its interferograms; see `sources.hyp3`.

File sets, dtypes, nodata, tags, coordinate systems and the parameter file's lines are those of hyp3-gamma (May 2025) and
hyp3-isce2 (May 2026), and of ASF's product guides: float32 GeoTIFFs in UTM with nodata 0, the water mask uint8 (1 = land);
GAMMA pixel-is-point, ISCE2 pixel-is-area, tiled, LZW; all of it in a folder named as the product, or in a .zip that holds
this folder. GAMMA's files are not compressed; here they are, to save room.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.warp import reproject, transform

from insar_anomaly.errors import UsageError
from insar_anomaly.names import direction, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.sources.hyp3_names import parse
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NOMINAL_LOOK

Layers = Mapping[str, NDArray[Any]]

_UTC = "022252"
_COHERENT = 0.71


@dataclass(frozen=True)
class Form:
    """What kind of products to write.

    Parameters
    ----------
    kind : HyP3's job
    zipped : True for .zip files, as HyP3 hands them out
    pixel_m : pixel spacing, m
    shift : parts of a pixel by which the products' pixels lie east and south of the round coordinates
    zone : UTM zone, -60 to 60, negative in the south; None takes that of the frame's middle
    end : last four digits of the name, which tell products of the same pair apart
    bursts : name of the ground that ISCE2's products cover; None takes one that fits the frame's direction
    """

    kind: Literal["gamma", "burst", "multi_burst"] = "gamma"
    zipped: bool = False
    pixel_m: int = 80
    shift: tuple[float, float] = (0.0, 0.0)
    zone: int | None = None
    end: str = "77F1"
    bursts: str | None = None


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as GAMMA products in a folder named as the frame.

    Returns the pairs. Products that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    grid = Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1]))
    return write_products(Path(root) / frame, scene, grid, way=direction(frame) or "A")


def write_products(folder: Path, scene: Scene, grid: Grid, *, way: str = "A", form: Form | None = None) -> list[str]:
    """Write a product of every pair of a scene below a folder; see `write_archive`. `way` is "A" or "D"."""
    form = form or Form()
    utm = _Utm.under(grid, form)
    east, north, up = NOMINAL_LOOK[way]
    whole = np.ones(grid.shape, np.float32)
    fixed: dict[str, NDArray[Any]] = {
        "dem": utm.of(np.where(scene.height_m == 0, 0.1, scene.height_m)),
        "lv_theta": utm.of(whole * np.float32(np.arctan2(up, np.hypot(east, north)))),
        "lv_phi": utm.of(whole * np.float32(np.arctan2(north, east))),
        "water_mask": np.ones(utm.shape, np.uint8),
    }
    pairs = []
    for reference, secondary in scene.pairs():
        days = scene.dates[reference], scene.dates[secondary]
        phase = scene.phase(reference, secondary)
        moving: dict[str, NDArray[Any]] = {
            "unw_phase": utm.of(phase),
            "corr": utm.coherence(np.isfinite(phase)),
            "amp": utm.of(whole * 0.1),
        }
        write_product(folder, product_name(days, way, form), fixed | moving, utm, way=way, form=form)
        pairs.append(f"{stamp(days[0])}_{stamp(days[1])}")
    return pairs


def product_name(days: tuple[date, date], way: str, form: Form) -> str:
    """The name of the product of two acquisitions, the reference first."""
    a, b = map(stamp, days)
    end = f"INT{form.pixel_m}"
    if form.kind == "gamma":
        apart = abs((days[1] - days[0]).days)
        return f"S1AA_{a}T{_UTC}_{b}T{_UTC}_VVP{apart:03d}_{end}_G_ueF_{form.end}"
    if form.kind == "burst":
        return f"S1_{form.bursts or ('136231_IW2' if way == 'D' else '135231_IW2')}_{a}_{b}_VV_{end}_{form.end}"
    ground = form.bursts or f"000000s1n00-{'136231' if way == 'D' else '135231'}s2n02-000000s3n00"
    return f"S1_064_{ground}_IW_{a}_{b}_VV_{end}_{form.end}"


def write_product(folder: Path, name: str, layers: Layers, utm: _Utm, *, way: str, form: Form) -> None:
    """Write one product, as a folder or a .zip; one that is there is left alone."""
    done = folder / (f"{name}.zip" if form.zipped else name)
    if done.exists():
        return
    part = folder / f"{name}.{os.getpid()}.part"
    inside = part / name
    inside.mkdir(parents=True, exist_ok=True)
    try:
        for layer, array in layers.items():
            utm.write(inside / f"{name}_{layer}.tif", array, form)
        (inside / f"{name}.txt").write_text(parameters(name, way))
        (inside / f"{name}{'.' if form.kind == 'gamma' else '_'}README.md.txt").write_text("A simulated product.\n")
        if form.zipped:
            Path(shutil.make_archive(str(part / "whole"), "zip", part, name)).replace(done)
        else:
            inside.replace(done)
    except (RasterioError, OSError) as problem:
        raise UsageError(f"{done} cannot be written: {problem}; free space on its disk, or name another folder") from problem
    finally:
        shutil.rmtree(part, ignore_errors=True)


def parameters(name: str, way: str) -> str:
    """The parameter file: the lines that hyp3-gamma and hyp3-isce2 have in common and that a reader may ask for.

    The orbits are of track 64 on Sentinel-1A.
    """
    named = parse(name)
    assert named is not None
    days = [f"{stamp(day)}T{_UTC}" for day in named.days]
    if name.startswith("S1A"):
        granules = [f"S1A_IW_SLC__1SDV_{day}" for day in days]
    else:
        granules = [f"S1_136231_IW2_{day}_VV_7C85-BURST" for day in days]
    pass_ = "ASCENDING" if way == "A" else "DESCENDING"
    return (
        f"Reference Granule: {granules[0]}\nSecondary Granule: {granules[1]}\n"
        f"Reference Pass Direction: {pass_}\nReference Orbit Number: 32861\n"
        f"Secondary Pass Direction: {pass_}\nSecondary Orbit Number: 33036\n"
        "Baseline: 58.3898\nUTC time: 8572.691361\nHeading: 193.2939317\nRange looks: 20\nAzimuth looks: 4\n"
        "Unwrapping type: mcf\nSpeckle filter: no\n"
    )


@dataclass(frozen=True)
class _Utm:
    """A product's pixels: coordinate system and transform, and the grid in degrees that is brought onto them."""

    grid: Grid
    crs: str
    place: Affine
    shape: tuple[int, int]

    @classmethod
    def under(cls, grid: Grid, form: Form) -> _Utm:
        """The pixels that hold a grid, on round coordinates but for the form's shift."""
        east, south = grid.west + grid.shape[1] * grid.dx, grid.north - grid.shape[0] * grid.dy
        middle = (grid.west + east) / 2
        zone = form.zone or (int((middle + 180) // 6) % 60 + 1) * (1 if (grid.north + south) / 2 >= 0 else -1)
        crs = f"EPSG:{32600 + zone if zone > 0 else 32700 - zone}"
        lons = [*np.linspace(grid.west, east, 9)] * 2
        x, y = (np.array(found) for found in transform("EPSG:4326", crs, lons, [grid.north] * 9 + [south] * 9))
        size = form.pixel_m
        left, top = np.floor(x.min() / size) * size, np.ceil(y.max() / size) * size
        shape = int(np.ceil((top - y.min()) / size)) + 1, int(np.ceil((x.max() - left) / size)) + 1
        return cls(grid, crs, Affine(size, 0, left + form.shift[0] * size, 0, -size, top - form.shift[1] * size), shape)

    def of(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """A layer of the grid on the product's pixels (y, x) float32; 0 = no data. Holes keep their size."""
        nearest = self._warped(array, Resampling.nearest)
        return np.nan_to_num(np.where(np.isnan(nearest), np.nan, self._warped(array, Resampling.cubic)))

    def coherence(self, measured: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Coherence on the product's pixels (y, x) float32: one value where the phase is measured, else 0."""
        return np.nan_to_num(self._warped(np.where(measured, _COHERENT, 0.0), Resampling.nearest))

    def _warped(self, array: NDArray[Any], how: Resampling) -> NDArray[np.float32]:
        out = np.full(self.shape, np.nan, np.float32)
        reproject(
            array.astype(np.float32),
            out,
            src_transform=Affine(self.grid.dx, 0, self.grid.west, 0, -self.grid.dy, self.grid.north),
            src_crs="EPSG:4326",
            src_nodata=np.nan,
            dst_transform=self.place,
            dst_crs=self.crs,
            dst_nodata=np.nan,
            resampling=how,
        )
        return out

    def write(self, path: Path, array: NDArray[Any], form: Form) -> None:
        """Write a layer as GAMMA or ISCE2 writes it."""
        gamma = form.kind == "gamma"
        more: dict[str, Any] = {"compress": "deflate"} if gamma else {"tiled": True, "compress": "lzw"}
        size = {"height": self.shape[0], "width": self.shape[1], "count": 1, "dtype": array.dtype}
        nodata = 0 if array.dtype == np.float32 else 255
        with rasterio.open(path, "w", "GTiff", crs=self.crs, transform=self.place, nodata=nodata, **size, **more) as tif:
            tif.update_tags(AREA_OR_POINT="Point" if gamma else "Area")
            tif.write(array, 1)
