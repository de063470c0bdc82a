"""Write a simulated frame as ARIA writes its GUNW products, version 3; `sources.aria` says what was read.

The reference is the later date, so that phase and baseline are turned. Two products of each pair follow each other along the
track and overlap, each with a constant of its own. Beside them lies a terrain model, which ARIA does not deliver.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from insar_anomaly.names import Pair, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.sources.aria import DATA, GEOMETRY, RADAR
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts._netcdf import put, track_of, whole, write_terrain
from insar_anomaly.units import NOMINAL_LOOK, SENTINEL1_WAVELENGTH_M, SPEED_OF_LIGHT_M_S

VERSION = "v3_0_1"
_CLOCKS = ("015001", "015026")
"""Times of the two products of a pair."""
_HEIGHTS_M = (-1500.0, 0.0, 3000.0, 9000.0)
_OVERLAP = 0.25
_COHERENCE = 0.7
_BASELINE_M = 42.0


def frame_name(frame: str) -> str:
    """What the reader calls a frame."""
    return "".join(track_of(frame)) + "_aria"


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as an archive of ARIA's products. Returns the pairs. Files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    rows, cols = scene.height_m.shape
    grid = Grid(west, north, step, step, (rows, cols))
    write_terrain(Path(root) / f"{frame_name(frame)}.dem.tif", scene.height_m, grid)
    names = []
    for reference, secondary in scene.pairs():
        pair = Pair(scene.dates[reference], scene.dates[secondary])
        phase = scene.phase(reference, secondary)
        for number, (first, last) in enumerate(_parts(rows)):
            here = Grid(west, north - first * step, step, step, (last - first, cols))
            path = Path(root) / product_name(frame, pair, here, clock=_CLOCKS[number])
            if not path.exists():
                constant = np.float32(2 * np.pi * number)
                write_product(path, pair, phase[first:last] + constant, here, direction=track_of(frame)[1])
        names.append(pair.name)
    return names


def product_name(frame: str, pair: Pair, grid: Grid, *, clock: str = _CLOCKS[0], version: str = VERSION) -> str:
    """The name of a product's file; `clock` is the time of its reference, HHMMSS."""
    track, way = track_of(frame)
    east, south = grid.west, grid.north - grid.dy * grid.shape[0]
    place = f"{abs(round(east)):05d}{'W' if east <= 0 else 'E'}_{abs(round(south)):05d}{'N' if south >= 0 else 'S'}"
    dates = f"{stamp(pair.last)}_{stamp(pair.first)}"
    mark = hashlib.sha256(f"{dates}{south:.4f}".encode()).hexdigest()[:4]
    return f"S1-GUNW-{way}-R-{track}-tops-{dates}-{clock}-{place}-PP-{mark}-{version}.nc"


def write_product(path: Path, pair: Pair, phase: NDArray[np.float32], grid: Grid, *, direction: str) -> None:
    """Write one product.

    Parameters
    ----------
    phase : (y, x) float32 rad, positive away with the earlier date as reference; NaN = no measurement
    direction : ``A`` or ``D``, which the look vector follows from
    """
    with whole(path) as file:
        file.attrs.update({"Conventions": "CF-1.6", "product_type": "UNW GEO IFG", "version": "1c"})
        y, x = f"{DATA}/latitude", f"{DATA}/longitude"
        put(file, y, grid.lat, units="degrees_north", standard_name="latitude")
        put(file, x, grid.lon, units="degrees_east", standard_name="longitude")
        put(file, f"{DATA}/crs", np.int32(0), grid_mapping_name="latitude_longitude")
        known = np.isfinite(phase)
        layers = {
            "unwrappedPhase": (np.nan_to_num(-phase), 0, "rad", "Unwrapped phase"),
            "coherence": (np.where(known, _COHERENCE, 0), 0, "unitless", "Coherence"),
            "connectedComponents": (np.where(known, 1, -1), -1, "unitless", "Snaphu connected components"),
            "amplitude": (known * 100.0, 0, "watt", "Amplitude"),
        }
        for name, (values, fill, units, words) in layers.items():
            layer = np.asarray(values, np.float32)
            put(file, f"{DATA}/{name}", layer, along=(y, x), fill=fill, units=units, description=words, grid_mapping="crs")
        _geometry(file, grid, direction)
        _radar(file, pair)


def _geometry(file: h5py.File, grid: Grid, direction: str) -> None:
    """Cubes of 0.1 degrees around the product."""
    e, n, u = NOMINAL_LOOK[direction]
    z, y, x = (f"{GEOMETRY}/{name}" for name in ("heightsMeta", "latitudeMeta", "longitudeMeta"))
    put(file, z, np.array(_HEIGHTS_M), units="meter", positive="up")
    put(file, y, np.arange(grid.north + 0.1, grid.lat[-1] - 0.2, -0.1), units="degrees_north")
    put(file, x, np.arange(grid.west - 0.1, grid.lon[-1] + 0.2, 0.1), units="degrees_east")
    shape = tuple(len(file[name]) for name in (z, y, x))
    away = float(np.degrees(np.arccos(u / np.sqrt(e * e + n * n + u * u))))
    layers = {
        "incidenceAngle": (away, "degrees"),
        "lookAngle": (away - 5, "degrees"),
        "azimuthAngle": (float(np.degrees(np.arctan2(n, e))), "degrees"),
        "perpendicularBaseline": (-_BASELINE_M, "meter"),
        "parallelBaseline": (1.0, "meter"),
    }
    for name, (value, units) in layers.items():
        cube = np.full(shape, value, np.float32)
        put(file, f"{GEOMETRY}/{name}", cube, along=(z, y, x), fill=0, units=units, grid_mapping="crsMeta")


def _radar(file: h5py.File, pair: Pair) -> None:
    put(file, f"{RADAR}/wavelength", np.float64(SENTINEL1_WAVELENGTH_M), units="meter")
    put(file, f"{RADAR}/centerFrequency", np.float64(SPEED_OF_LIGHT_M_S / SENTINEL1_WAVELENGTH_M), units="Hertz")
    for end, day, platform in (("reference", pair.last, "S1A"), ("secondary", pair.first, "S1B")):
        granule = f"{platform}_IW_SLC__1SDV_{stamp(day)}T{_CLOCKS[0]}_{stamp(day)}T015028_038920_0497B4_6267"
        file.create_dataset(f"{RADAR}/inputSLC/{end}/L1InputGranules", data=[granule], dtype=h5py.string_dtype())
    file.create_dataset(f"{RADAR}/missionID", data=["Sentinel-1"], dtype=h5py.string_dtype())


def _parts(rows: int) -> list[tuple[int, int]]:
    """First row, and first row after it, of two products that overlap."""
    half, more = rows // 2, round(rows * _OVERLAP / 2)
    return [(0, half + more), (half - more, rows)]
