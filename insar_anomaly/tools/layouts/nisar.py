"""Write a simulated frame as NISAR's GUNW products are written; see `sources.nisar`, which says what was read.

The motion is the scene's in cm, the phase that of the L band. Products are in UTM at 80 m, row 0 in the north. Beside them
lies a terrain model, which the mission delivers apart.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.warp import Resampling, reproject, transform_bounds

from insar_anomaly.names import Pair, stamp
from insar_anomaly.simulate import Scene
from insar_anomaly.sources.nisar import CUBES, FREQUENCY, UNWRAPPED
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts._netcdf import put, track_of, whole, write_terrain
from insar_anomaly.units import NOMINAL_LOOK, SENTINEL1_WAVELENGTH_M, SPEED_OF_LIGHT_M_S

FREQUENCY_HZ = 1.239e9
_STEP_M, _CUBE_M = 80.0, 500.0
_HEIGHTS_M = np.arange(-500.0, 9001.0, 500.0)
_CLOCKS = ("124615", "124650")
_COHERENCE = 0.7
_BASELINE_M = 42.0
_POLARISATION = f"{UNWRAPPED}/HH"


def frame_name(frame: str) -> str:
    """What the reader calls a frame."""
    return "".join(track_of(frame)) + "_024_4000"


class Map(NamedTuple):
    """A grid in metres: coordinate system, coordinates of pixel centres (column,) and (row,)."""

    epsg: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as an archive of NISAR's products. Returns the pairs. Files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    grid = Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1]))
    write_terrain(Path(root) / f"{frame_name(frame)}.dem.tif", scene.height_m, grid)
    place = utm(grid)
    names = []
    for reference, secondary in scene.pairs():
        pair = Pair(scene.dates[reference], scene.dates[secondary])
        name = product_name(frame, pair)
        path = Path(root) / name / f"{name}.h5"
        if not path.exists():
            radians = scene.phase(reference, secondary) * np.float32(SENTINEL1_WAVELENGTH_M / wavelength_m())
            write_product(path, pair, warped(radians, grid, place), place, direction=track_of(frame)[1])
        names.append(pair.name)
    return names


def wavelength_m() -> float:
    """Radar wavelength of the products."""
    return SPEED_OF_LIGHT_M_S / FREQUENCY_HZ


def product_name(frame: str, pair: Pair, *, orbits: str = "P", release: str = "P05023", counter: int = 1) -> str:
    """The name of a product, without its ending."""
    track, way = track_of(frame)
    times = "_".join(f"{stamp(day)}T{clock}" for day in pair.days for clock in _CLOCKS)
    return f"NISAR_L2_PR_GUNW_004_{track}_{way}_024_005_4000_SH_{times}_{release}_{orbits}_F_J_{counter:03d}"


def utm(grid: Grid) -> Map:
    """The map of UTM, in whole steps of 80 m, that a grid in degrees lies in."""
    east, south = grid.west + grid.dx * grid.shape[1], grid.north - grid.dy * grid.shape[0]
    zone = int(((grid.west + east) / 2 + 180) // 6) % 60 + 1
    epsg = (32600 if grid.north + south >= 0 else 32700) + zone
    edges = transform_bounds("EPSG:4326", f"EPSG:{epsg}", grid.west, south, east, grid.north)
    first_x, first_y, last_x, last_y = (_STEP_M * round(edge / _STEP_M) for edge in edges)
    return Map(epsg, np.arange(first_x, last_x, _STEP_M) + _STEP_M / 2, np.arange(last_y, first_y, -_STEP_M) - _STEP_M / 2)


def warped(values: NDArray[np.floating], grid: Grid, place: Map) -> NDArray[np.float32]:
    """A layer (y, x) on a grid in degrees, on a map; NaN = none."""
    out: NDArray[np.float32] = np.full((len(place.y), len(place.x)), np.nan, np.float32)
    corner = place.x[0] - _STEP_M / 2, place.y[0] + _STEP_M / 2
    reproject(
        values.astype(np.float32),
        out,
        src_transform=Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north),
        src_crs="EPSG:4326",
        src_nodata=np.nan,
        dst_transform=Affine(_STEP_M, 0, corner[0], 0, -_STEP_M, corner[1]),
        dst_crs=f"EPSG:{place.epsg}",
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    return out


def write_product(
    path: Path,
    pair: Pair,
    phase: NDArray[np.float32],
    place: Map,
    *,
    direction: str,
    screen: NDArray[np.float32] | None = None,
) -> None:
    """Write one product.

    Parameters
    ----------
    phase : (y, x) float32 rad, positive away with the earlier date as reference; NaN = no measurement
    direction : ``A`` or ``D``, which the look vector follows from
    screen : (y, x) float32 rad, phase of the ionosphere, which is part of `phase`; None: zero
    """
    with whole(path) as file:
        known = np.isfinite(phase)
        put(file, f"{FREQUENCY}/centerFrequency", np.float64(FREQUENCY_HZ), units="hertz")
        for group in (_POLARISATION, UNWRAPPED):
            _axes(file, group, place, _STEP_M)
        y, x = f"{_POLARISATION}/yCoordinates", f"{_POLARISATION}/xCoordinates"
        ionosphere = np.zeros_like(phase) if screen is None else screen
        layers: dict[str, tuple[NDArray[np.generic], float, str]] = {
            "unwrappedPhase": (phase, np.nan, "radians"),
            "coherenceMagnitude": (np.where(known, _COHERENCE, np.nan).astype(np.float32), np.nan, "1"),
            "connectedComponents": (known.astype(np.uint16), 65535, "1"),
            "ionospherePhaseScreen": (ionosphere, np.nan, "radians"),
        }
        for name, (values, fill, units) in layers.items():
            put(file, f"{_POLARISATION}/{name}", values, along=(y, x), fill=fill, units=units, grid_mapping="projection")
        codes = np.where(known, 11, 0).astype(np.uint32)
        put(file, f"{UNWRAPPED}/mask", codes, along=(y, x), units="1", grid_mapping="projection")
        _cubes(file, place, direction)
        _identify(file, pair, direction)


def _axes(file: h5py.File, group: str, place: Map, step: float) -> None:
    put(file, f"{group}/xCoordinates", place.x, units="meters", standard_name="projection_x_coordinate")
    put(file, f"{group}/yCoordinates", place.y, units="meters", standard_name="projection_y_coordinate")
    put(file, f"{group}/xCoordinateSpacing", np.float64(step), units="meters")
    put(file, f"{group}/yCoordinateSpacing", np.float64(-step), units="meters")
    put(file, f"{group}/projection", np.uint32(place.epsg), epsg_code=place.epsg)


def _cubes(file: h5py.File, place: Map, direction: str) -> None:
    """Cubes of 500 m around the product. The satellite looks to the left: it stands on the other side than Sentinel-1."""
    e, n, u = NOMINAL_LOOK[direction]
    size = float(np.sqrt(e * e + n * n + u * u))
    around = Map(
        place.epsg,
        np.arange(place.x[0] - _CUBE_M, place.x[-1] + 2 * _CUBE_M, _CUBE_M),
        np.arange(place.y[0] + _CUBE_M, place.y[-1] - 2 * _CUBE_M, -_CUBE_M),
    )
    _axes(file, CUBES, around, _CUBE_M)
    put(file, f"{CUBES}/heightAboveEllipsoid", _HEIGHTS_M, units="meters", standard_name="height_above_reference_ellipsoid")
    along = tuple(f"{CUBES}/{name}" for name in ("heightAboveEllipsoid", "yCoordinates", "xCoordinates"))
    shape = tuple(len(file[name]) for name in along)
    layers = {
        "losUnitVectorX": (-e / size, np.float32, "1"),
        "losUnitVectorY": (-n / size, np.float32, "1"),
        "incidenceAngle": (float(np.degrees(np.arccos(u / size))), np.float32, "degrees"),
        "perpendicularBaseline": (_BASELINE_M, np.float32, "meters"),
    }
    for name, (value, kind, units) in layers.items():
        put(file, f"{CUBES}/{name}", np.full(shape, value, kind), along=along, fill=np.nan, units=units)


def _identify(file: h5py.File, pair: Pair, direction: str) -> None:
    def moment(day: date, clock: str) -> bytes:
        return f"{day.isoformat()}T{clock[:2]}:{clock[2:4]}:{clock[4:]}.000000000".encode()

    group = "science/LSAR/identification"
    put(file, f"{group}/missionId", np.bytes_("NISAR"))
    put(file, f"{group}/productType", np.bytes_("GUNW"))
    put(file, f"{group}/orbitPassDirection", np.bytes_("Ascending" if direction == "A" else "Descending"))
    put(file, f"{group}/lookDirection", np.bytes_("Left"))
    for end, day in (("reference", pair.first), ("secondary", pair.last)):
        put(file, f"{group}/{end}ZeroDopplerStartTime", np.bytes_(moment(day, _CLOCKS[0])))
        put(file, f"{group}/{end}ZeroDopplerEndTime", np.bytes_(moment(day, _CLOCKS[1])))
