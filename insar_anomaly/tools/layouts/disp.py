"""Write a simulated frame as OPERA L3 DISP-S1 v1.0 products with their static layers; see `sources.disp`.

Names of files, groups, variables, types, fill values and attributes as in opera-adt/disp-s1 v0.5.9 (``product.py``,
``product_info.py``, ``main_static_layers.py``) and in opera-utils' pattern of file names; what no screening reads is left
out. The grid is UTM with 30 m pixels. The reference moves to the newest epoch after every 15, as in a historical run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import h5py
import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform_bounds

from insar_anomaly.errors import UsageError
from insar_anomaly.names import Pair, direction, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts.folder import write_tif
from insar_anomaly.units import NOMINAL_LOOK, RAD_PER_M, SENTINEL1_WAVELENGTH_M

_PIXEL_M = 30.0
_MINISTACK = 15
"""Epochs after which the reference moves on."""
_TIME, _MADE, _VERSION = "T003021Z", "20250415T000000Z", "1.0"
_CHUNK = 256


@dataclass(frozen=True)
class _Place:
    """The scene's own grid in degrees, and the UTM grid of the products."""

    own: Grid
    utm: Grid
    crs: CRS

    @classmethod
    def of(cls, own: Grid) -> _Place:
        """The UTM grid under a grid in degrees, from whole multiples of the pixel."""
        east, south = own.west + own.dx * own.shape[1], own.north - own.dy * own.shape[0]
        zone = int((own.west + 180) // 6) % 60 + 1
        crs = CRS.from_epsg((32600 if own.north > 0 else 32700) + zone)
        edges = np.array(transform_bounds("EPSG:4326", crs, own.west, south, east, own.north)) / _PIXEL_M
        left, bottom, right, top = int(edges[0]), int(edges[1]), int(np.ceil(edges[2])), int(np.ceil(edges[3]))
        utm = Grid(left * _PIXEL_M, top * _PIXEL_M, _PIXEL_M, _PIXEL_M, (top - bottom, right - left))
        return cls(own, utm, crs)

    def warped(self, layer: NDArray[np.floating], how: Resampling = Resampling.bilinear) -> NDArray[np.float32]:
        """A layer (y, x) of the scene on the products' pixels, float32; NaN outside."""
        out = np.full(self.utm.shape, np.nan, np.float32)
        reproject(
            layer.astype(np.float32),
            out,
            src_transform=_affine(self.own),
            src_crs="EPSG:4326",
            src_nodata=np.nan,
            dst_transform=_affine(self.utm),
            dst_crs=self.crs,
            dst_nodata=np.nan,
            resampling=how,
        )
        return out


def frame_name(frame: str) -> str:
    """The name that the reader gives to a frame that is written under the name `frame`, such as 064A_00017_010101."""
    track, number = _numbers(frame)
    return f"{track:03d}{direction(frame) or 'A'}_F{number:05d}"


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as products of one frame. Returns the pairs of neighbouring epochs that follow from them.

    Files that exist are left alone. `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    _, number = _numbers(frame)
    place = _Place.of(Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1])))
    _write_static(Path(root), frame, place, place.warped(scene.height_m))
    lost = place.warped(scene.lost.astype(np.float32), Resampling.nearest)
    for epoch in range(1, len(scene.dates)):
        reference = (epoch - 1) // _MINISTACK * _MINISTACK
        days = scene.dates[reference], scene.dates[epoch]
        first, last = (f"{stamp(day)}{_TIME}" for day in days)
        name = f"OPERA_L3_DISP-S1_IW_F{number:05d}_VV_{first}_{last}_v{_VERSION}_{_MADE}.nc"
        path = Path(root) / name
        if path.exists():
            continue
        whole = Scene(scene.dates, scene.screens, scene.height_m, np.zeros_like(scene.lost), scene.motion, scene.pixel_km)
        metres = place.warped(whole.phase(reference, epoch) / RAD_PER_M)
        metres[lost == 1] += 0.1  # what is masked must not be read
        _write_product(path, frame, days, place=place, layers=_layers(metres, lost))
    return [Pair(*scene.dates[i : i + 2]).name for i in range(len(scene.dates) - 1)]


def _layers(metres: NDArray[np.float32], lost: NDArray[np.float32]) -> dict[str, tuple[NDArray[np.generic], float, str]]:
    """Layers of a product: name -> pixels, fill value, units."""
    there, good = np.isfinite(metres), lost == 0
    quality = np.where(there, np.where(good, 0.8, 0.2), np.nan).astype(np.float32)
    byte = np.uint8
    return {
        "displacement": (metres, np.nan, "meters"),
        "short_wavelength_displacement": (np.where(good, metres, np.float32(np.nan)), np.nan, "meters"),
        "recommended_mask": (np.where(there, good, 255).astype(byte), 255, "unitless"),
        "connected_component_labels": (np.where(there, 1, 65535).astype(np.uint16), 65535, "unitless"),
        "temporal_coherence": (quality, np.nan, "unitless"),
        "estimated_phase_quality": (quality, np.nan, "unitless"),
        "persistent_scatterer_mask": (np.where(there, 0, 255).astype(byte), 255, "unitless"),
        "shp_counts": (np.where(there, 60, 0).astype(np.int16), 0, "unitless"),
        "water_mask": (np.where(there, 1, 255).astype(byte), 255, "unitless"),
        "phase_similarity": (quality, np.nan, "unitless"),
    }


def _write_product(
    path: Path,
    frame: str,
    days: tuple[date, date],
    *,
    place: _Place,
    layers: Mapping[str, tuple[NDArray[np.generic], float, str]],
) -> None:
    track, number = _numbers(frame)
    way = "Descending" if direction(frame) == "D" else "Ascending"
    said: dict[str, object] = {
        "frame_id": number,
        "product_version": _VERSION,
        "radar_band": "C",
        "radar_wavelength": SENTINEL1_WAVELENGTH_M,
        "reference_datetime": f"{days[0]} 00:30:21.000000",
        "secondary_datetime": f"{days[1]} 00:30:21.000000",
        "track_number": track,
        "orbit_pass_direction": way,
        "look_direction": "Right",
        "source_data_satellite_names": "S1A",
    }
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with h5py.File(part, "w") as file:
            _write_place(file, place)
            for name, (pixels, fill, units) in layers.items():
                held = file.create_dataset(name, data=pixels, fillvalue=fill, **_stored(pixels))
                held.attrs.update({"units": units, "grid_mapping": "spatial_ref", "_FillValue": pixels.dtype.type(fill)})
            flat = np.full(place.utm.shape, 10.0 * (days[1] - days[0]).days / 12, np.float32)
            file.create_dataset("corrections/perpendicular_baseline", data=flat, fillvalue=np.nan, **_stored(flat))
            file.create_dataset("metadata/platform_id", data=np.bytes_("S1A"))
            for name, value in said.items():
                file.create_dataset(f"identification/{name}", data=np.bytes_(value) if isinstance(value, str) else value)
    except OSError as problem:
        part.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {problem}; free space on its disk, or name another folder") from problem
    part.replace(path)


def _stored(pixels: NDArray[np.generic]) -> dict[str, object]:
    chunk = tuple(min(_CHUNK, size) for size in pixels.shape)
    return {"chunks": chunk, "compression": "gzip", "compression_opts": 4, "shuffle": True}


def _write_place(file: h5py.File, place: _Place) -> None:
    grid = place.utm
    held = file.create_dataset("spatial_ref", data=0)
    held.attrs["crs_wkt"] = place.crs.to_wkt()
    held.attrs["GeoTransform"] = " ".join(str(float(one)) for one in _affine(grid).to_gdal())
    file.create_dataset("x", data=grid.west + (np.arange(grid.shape[1]) + 0.5) * grid.dx)
    file.create_dataset("y", data=grid.north - (np.arange(grid.shape[0]) + 0.5) * grid.dy)


def _write_static(root: Path, frame: str, place: _Place, height: NDArray[np.float32]) -> None:
    """Height and look vector of the frame, as the static product has them."""
    stem = f"OPERA_L3_DISP-S1-STATIC_F{_numbers(frame)[1]:05d}_20140403_S1A_v1.0"
    crs = str(place.crs)
    write_tif(root / f"{stem}_dem.tif", height, place.utm, nodata=np.nan, crs=crs)
    parts = NOMINAL_LOOK[direction(frame) or "A"]
    look = np.stack([np.where(np.isfinite(height), part, 0) for part in parts]).astype(np.float32)
    path = root / f"{stem}_line_of_sight_enu.tif"
    if not path.exists():
        write_tif(path, look, place.utm, crs=crs)
        with rasterio.open(path, "r+") as tif:
            for band, name in enumerate(("East", "North", "Vertical"), 1):
                tif.set_band_description(band, f"{name} component of line of sight unit vector (ground to satellite)")


def _affine(grid: Grid) -> Affine:
    return Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north)


def _numbers(frame: str) -> tuple[int, int]:
    """Track and number of a frame named like 064A_00017_010101; 1 where the name has none."""
    found = re.match(r"(\d+)[AD]?_F?(\d+)", frame)
    return (int(found[1]), int(found[2]) % 100000) if found else (1, 1)
