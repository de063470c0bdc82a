"""NISAR GUNW: the mission's own unwrapped interferograms, level 2, HDF5, one file per pair and frame; see `gunw`.

Name, here on two lines: ``NISAR_L2_PR_GUNW_004_077_A_024_005_4000_SH_20251103T124615_20251103T124650_``
``20251115T124615_20251115T124650_X05010_N_F_J_001.h5``: processing (PR routine, UR urgent), cycle of the reference, track,
direction, frame, cycle of the secondary, mode (bandwidths in MHz of both bands), polarisation, begin and end of reference
and secondary, release, accuracy of the orbits (P precise, M medium, N near real time, F forecast), coverage of the frame
(F full, P partial), place, counter. The catalogue's name of the frame is ``077A_024_4000``: track with direction, frame and
mode, since modes differ in wavelength.

Of products of one pair and the same ground the one of better orbits replaces the others, then the later release and counter;
urgent ones come last. Partial products of one frame that follow each other are made one.

Read in isce3's ``GUNW_writer.py``, which fills in the product specification D-102272, in ASF's NISAR documentation, and in
the readers ARIA-tools (``product.py``) and MintPy (``prep_nisar.py``). The reference is the earlier acquisition and the
phase is positive away from the satellite: MintPy takes it as it is, ARIA-tools turns it (pull request 495) to the sign of
its own products. Grids are UTM or polar stereographic, 80 m. Tides and troposphere are not applied; the ionosphere is
subtracted where ``[[source]] ionosphere = true``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from rasterio.windows import Window as Pixels

from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.names import day_of
from insar_anomaly.sources import hdf5
from insar_anomaly.sources.base import Registration, StorageOptions
from insar_anomaly.sources.gunw import GunwSource
from insar_anomaly.sources.hdf5 import COHERENCE, Cube, Raster
from insar_anomaly.sources.numbers import PHASE
from insar_anomaly.sources.products import Chosen, Floats, Product, choose, nearest_sea_level
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NOMINAL_LOOK, SPEED_OF_LIGHT_M_S, Platform

FREQUENCY = "science/LSAR/GUNW/grids/frequencyA"
UNWRAPPED, CUBES = f"{FREQUENCY}/unwrappedInterferogram", "science/LSAR/GUNW/metadata/radarGrid"
POLARISATIONS = ("HH", "VV")
_TIMES = "_".join(rf"(?P<day{i}>\d{{8}})T(?P<h{i}>\d\d)(?P<m{i}>\d\d)(?P<s{i}>\d\d)" for i in range(4))
_NAME = re.compile(
    r"NISAR_L2_(?P<processing>[A-Z]{2})_GUNW_\d{3}_(?P<track>\d{3})_(?P<way>[AD])_(?P<frame>\d{3})_\d{3}_(?P<mode>\w{4})_"
    rf"[A-Z]{{2,4}}_{_TIMES}_[A-Z](?P<release>\d{{5}})_(?P<orbits>[PMNF])_(?P<covers>[FP])_[A-Z]_(?P<counter>\d{{3}})\.h5"
)
_ORBITS = "FNMP"
"""Accuracy of orbits, the better the later."""


@dataclass(frozen=True)
class NisarLayout:
    """See the module's text and `products.Layout`.

    Parameters
    ----------
    ionosphere : True subtracts the product's ionospheric phase screen
    """

    ionosphere: bool = False
    kind: str = "nisar"
    sign_words: str = "as NISAR writes it, not turned"

    @property
    def nominal(self) -> Mapping[str, tuple[float, float, float]]:
        """NISAR looks to the left: east and north of what Sentinel-1 has, the other way."""
        return {way: (-e, -n, u) for way, (e, n, u) in NOMINAL_LOOK.items()}

    def product(self, name: str) -> Product | None:
        """The product of a file's name; None where it is no product."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        first, last = day_of(found["day0"]), day_of(found["day2"])
        if first is None or last is None:
            return None
        begin, end = (3600.0 * int(found[f"h{i}"]) + 60 * int(found[f"m{i}"]) + int(found[f"s{i}"]) for i in (0, 1))
        rank = (
            int(found["processing"] == "PR"),
            _ORBITS.index(found["orbits"]),
            int(found["release"]),
            int(found["counter"]),
        )
        frame = f"{found['track']}{found['way']}_{found['frame']}_{found['mode']}"
        seconds = (begin, end if end > begin else end + 86400)
        return Product(name, frame, first, last, found["covers"], rank, seconds)

    def meant(self, name: str) -> bool:
        """True where a file's name begins and ends like a product's; files of quality control beside it are not meant."""
        return name.startswith("NISAR_L2_") and "_GUNW_" in name and name.endswith(".h5") and "_QA_" not in name

    def chosen(self, products: Sequence[Product]) -> Chosen:
        """Of products that overlap in time by half of the worse one, the best."""
        return choose(products, lambda one, other: _overlap(one, other) >= 0.5)

    def raster(self, file: h5py.File, uri: str) -> Raster:
        """Where phase and coherence lie: pixel centres in the coordinates of a map."""
        group = _group(file, uri)
        y, x = (hdf5.coordinates(file, f"{group}/{name}", uri=uri) for name in ("yCoordinates", "xCoordinates"))
        return Raster.of(x, y, _epsg(file, group, uri), uri=uri)

    def phase(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Unwrapped phase (y, x) rad; NaN = no data, in no connected component, or outside a focused swath."""
        group = _group(file, uri)
        layer = hdf5.dataset(file, f"{group}/unwrappedPhase", uri=uri, verdict=Verdict.MISSING_PHASE)
        out = hdf5.values(layer, place, pixels, PHASE, uri=uri)
        if self.ionosphere:
            screen = hdf5.dataset(file, f"{group}/ionospherePhaseScreen", uri=uri)
            out -= hdf5.values(screen, place, pixels, PHASE, uri=uri)
        components = file.get(f"{group}/connectedComponents")
        if components is not None:
            held = hdf5.stored(components, place, pixels, uri=uri)
            out[(held == 0) | hdf5.unmeasured(components, held)] = np.nan
        codes = _codes(file, place, pixels, uri)
        if codes is not None:
            out[(codes // 10 % 10 == 0) | (codes % 10 == 0)] = np.nan
        return out

    def coherence(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Coherence (y, x), 0 to 1; NaN = none."""
        path = f"{_group(file, uri)}/coherenceMagnitude"
        layer = hdf5.dataset(file, path, uri=uri, verdict=Verdict.MISSING_COHERENCE)
        return hdf5.values(layer, place, pixels, COHERENCE, uri=uri)

    def water(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats | None:
        """1 = water, 0 = land, NaN = unknown (y, x); None where the product has no mask."""
        codes = _codes(file, place, pixels, uri)
        return None if codes is None else np.where(np.isnan(codes), np.nan, codes // 100 == 1).astype(np.float32)

    def look(self, file: h5py.File, grid: Grid, height: Floats, *, uri: str) -> tuple[Floats, Floats, Floats]:
        """East, north and up component (y, x) of the unit vector from the ground to the satellite; NaN = unknown."""
        found = _cube(file, ("losUnitVectorX", "losUnitVectorY"), uri).over(grid, height)
        e, n = found["losUnitVectorX"], found["losUnitVectorY"]
        u = np.sqrt(np.maximum(1 - e**2 - n**2, 0))
        return e.astype(np.float32), n.astype(np.float32), u.astype(np.float32)

    def baseline(self, file: h5py.File, *, uri: str) -> float:
        """Perpendicular baseline, m, at sea level; NaN where the product holds none."""
        try:
            return nearest_sea_level(_cube(file, ("perpendicularBaseline",), uri), "perpendicularBaseline")
        except PairRejected:
            return float("nan")

    def wavelength(self, file: h5py.File, *, uri: str) -> float:
        """Radar wavelength, m, of the product's own centre frequency."""
        return SPEED_OF_LIGHT_M_S / hdf5.number(file, f"{FREQUENCY}/centerFrequency", uri=uri)

    def platforms(self, file: h5py.File) -> tuple[Platform, Platform]:  # noqa: ARG002
        """NISAR, twice."""
        return Platform.NISAR, Platform.NISAR


def looks_like(names: Sequence[str]) -> bool:
    """True where names of a folder's entries are those of NISAR's GUNW products or of their folders."""
    return any(name.startswith("NISAR_L2_") and "_GUNW_" in name for name in names)


def _overlap(one: Product, other: Product) -> float:
    """The part of the first product's time that the second one covers."""
    common = min(one.seconds[1], other.seconds[1]) - max(one.seconds[0], other.seconds[0])
    return common / (one.seconds[1] - one.seconds[0])


def _group(file: h5py.File, uri: str) -> str:
    """The group of the product's only polarisation."""
    held = [name for name in POLARISATIONS if f"{UNWRAPPED}/{name}" in file]
    if not held:
        raise PairRejected(Verdict.MISSING_PHASE, f"{uri}: it holds no {UNWRAPPED}/HH and no VV; download it again")
    return f"{UNWRAPPED}/{held[0]}"


def _epsg(file: h5py.File, group: str, uri: str) -> int:
    return round(hdf5.number(file, f"{group}/projection", uri=uri))


def _codes(file: h5py.File, place: Raster, pixels: Pixels, uri: str) -> Floats | None:
    """The mask (y, x): hundreds 1 = water, tens and ones the swath of reference and secondary, 0 = none; NaN = unknown."""
    layer = file.get(f"{UNWRAPPED}/mask")
    if layer is None:
        return None
    raw = hdf5.stored(layer, place, pixels, uri=uri)
    out: Floats = raw.astype(np.float32)
    out[hdf5.unmeasured(layer, raw) | (out > 199)] = np.nan
    return out


def _cube(file: h5py.File, names: Sequence[str], uri: str) -> Cube:
    z, y, x = (
        hdf5.coordinates(file, f"{CUBES}/{name}", uri=uri)
        for name in ("heightAboveEllipsoid", "yCoordinates", "xCoordinates")
    )
    layers = {name: hdf5.dataset(file, f"{CUBES}/{name}", uri=uri) for name in names}
    return Cube.of((z, y, x), _epsg(file, CUBES, uri), layers, uri=uri)


def _open(settings: SourceSettings, storage: StorageOptions) -> GunwSource:
    return GunwSource(settings.url, NisarLayout(settings.ionosphere), storage, settings.coherence_full)


REGISTRATION = Registration(open=_open, looks_like=looks_like)
