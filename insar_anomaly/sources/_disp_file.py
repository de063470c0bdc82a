"""One product of OPERA DISP-S1 as a file: HDF5 groups, names and fill values of product specification v1.x.

Read in opera-adt/disp-s1 v0.5.9 (``product_info.py``, ``product.py``), which writes them: grids in the root group, with
their place in ``spatial_ref`` (``crs_wkt``, ``GeoTransform``), what was used in ``identification``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window as Pixels

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.lattice import Placed
from insar_anomaly.sources.numbers import LENGTH, coherence_bytes, plausible
from insar_anomaly.units import SENTINEL1_WAVELENGTH_M, Platform

LEAST_COHERENCE = 0.6
"""Temporal coherence of a pixel that is used, where a product has no recommended mask: the threshold of OPERA's own."""
_QUALITY = ("estimated_phase_quality", "interferometric_correlation", "temporal_coherence")
"""What stands for the coherence of a product, the best first; the first was named as the second before v1.0."""
_LAND, _NOT_LAND = 1, 0


@dataclass(frozen=True)
class Product:
    """An open product."""

    uri: str
    file: h5py.File

    @property
    def placed(self) -> Placed:
        """Where its pixels lie. Raises PairRejected, WRONG_CRS."""
        place = self._layer("spatial_ref").attrs
        try:
            numbers = [float(part) for part in _text(place["GeoTransform"]).split()]
            crs = CRS.from_wkt(_text(place["crs_wkt"]))
            affine = Affine.from_gdal(*numbers)
        except (KeyError, ValueError, TypeError, RasterioError):
            wrong = f"{self.uri}: spatial_ref does not tell where its pixels lie; download it again"
            raise PairRejected(Verdict.WRONG_CRS, wrong) from None
        rows, cols = self._layer("displacement").shape
        return Placed(crs, affine, cols, rows)

    @property
    def wavelength_m(self) -> float:
        """Radar wavelength, m; Sentinel-1's where the product does not say it."""
        held = self._said("identification/radar_wavelength")
        return SENTINEL1_WAVELENGTH_M if held is None else float(held)

    @property
    def frame(self) -> str:
        """Track and direction, as names of frames start: ``064A_``; empty where the product does not say them."""
        track, way = self._said("identification/track_number"), self._said("identification/orbit_pass_direction")
        return "" if track is None or way is None else f"{int(track):03d}{_text(way).strip()[:1].upper()}_"

    @property
    def platform(self) -> Platform:
        """The satellite, where all acquisitions of the product are of one."""
        names = _text(self._said("identification/source_data_satellite_names") or "").replace("Sentinel-1", "S1").split(",")
        found = {name.strip() for name in names}
        return Platform[found.pop()] if len(found) == 1 and found <= set(Platform.__members__) else Platform.UNKNOWN

    def metres(self, pixels: Pixels) -> NDArray[np.float32]:
        """Displacement (y, x) float32 m, positive towards the satellite; NaN where its quality layers say not to use it.

        Raises
        ------
        PairRejected
            WRONG_NUMBERS.
        """
        layer = self._layer("displacement")
        unit = _text(layer.attrs.get("units", "meters"))
        if unit not in ("meters", *LENGTH.units):
            words = f"{self.uri}: displacement in {unit}, and m is needed; download it again"
            raise PairRejected(Verdict.WRONG_NUMBERS, words)
        found = _window(layer, pixels).astype(np.float32)
        found[~np.isfinite(found) | ~self._usable(pixels)] = np.nan
        return plausible(found, LENGTH, uri=self.uri)

    def coherence(self, pixels: Pixels) -> NDArray[np.float32]:
        """The correlation of the product's own phase (y, x) float32, 0 to 255; NaN where there is none."""
        name = next((name for name in _QUALITY if name in self.file), _QUALITY[-1])
        found = _window(self._layer(name), pixels).astype(np.float32)
        out: NDArray[np.float32] = coherence_bytes(found, 1.0, uri=self.uri).astype(np.float32)
        out[out == 0] = np.nan
        return out

    def water(self, pixels: Pixels) -> NDArray[np.float32]:
        """1 on water, 0 on land (y, x) float32; NaN = unknown."""
        if "water_mask" not in self.file:
            return np.full((int(pixels.height), int(pixels.width)), np.nan, np.float32)
        found = _window(self._layer("water_mask"), pixels)
        known = np.where(found == _NOT_LAND, np.float32(1), np.where(found == _LAND, np.float32(0), np.float32(np.nan)))
        return known.astype(np.float32)

    def baseline(self, row: float, col: float) -> float:
        """Perpendicular baseline, m, at a pixel; NaN = unknown."""
        name = "corrections/perpendicular_baseline"
        if name not in self.file:
            return float("nan")
        rows, cols = self.file[name].shape
        return float(self.file[name][int(np.clip(row, 0, rows - 1)), int(np.clip(col, 0, cols - 1))])

    def _usable(self, pixels: Pixels) -> NDArray[np.bool_]:
        if "recommended_mask" in self.file:
            use: NDArray[np.bool_] = _window(self._layer("recommended_mask"), pixels) == 1
        else:
            use = _window(self._layer("temporal_coherence"), pixels) >= LEAST_COHERENCE
        use &= self.water(pixels) != 1
        return use

    def _layer(self, name: str) -> h5py.Dataset:
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset):
            words = f"{self.uri}: no {name} in it; give a product of OPERA_L3_DISP-S1 v1.x"
            raise PairRejected(Verdict.UNREADABLE, words)
        return found

    def _said(self, name: str) -> Any:
        found = self.file.get(name)
        return found[()] if isinstance(found, h5py.Dataset) else None


@contextmanager
def opened(archive: Archive, uri: str) -> Iterator[Product]:
    """Open a product for windowed reads; what goes wrong is told apart as in `sources.archive.Archive.opened`."""
    with archive.file(uri) as held:
        try:
            with h5py.File(held, "r") as file:
                yield Product(uri, file)
        except (RuntimeError, KeyError) as problem:  # h5py's words for a file that is damaged
            raise archive.fault(uri, problem) from problem


def _window(layer: h5py.Dataset, pixels: Pixels) -> NDArray[Any]:
    row, col = int(pixels.row_off), int(pixels.col_off)
    out: NDArray[Any] = layer[row : row + int(pixels.height), col : col + int(pixels.width)]
    return out


def _text(value: object) -> str:
    held = value.item() if isinstance(value, np.ndarray | np.generic) else value
    return held.decode() if isinstance(held, bytes) else str(held)
