"""ARIA-S1-GUNW, versions 2 and 3: Sentinel-1 interferograms of ARIA, NetCDF-4, one file per pair and frame; see `gunw`.

Name: ``S1-GUNW-A-R-064-tops-20210723_20210711-015001-00119W_00032N-PP-6267-v2_0_4.nc``: direction, looking right, track,
reference and secondary date (the reference is the LATER one), time of the reference, place of a corner, hash, version. The
catalogue's name of the frame is the track with its direction, ``064A_aria``: products follow each other along the track, at
latitudes that differ from version to version and from pair to pair.

Read in the packaging template of the producer (ACCESS-Cloud-Based-InSAR/DockerizedTopsApp, product version 3.0.1,
``nc_packaging_template.json`` and ``makeGeocube.py``) and in the readers ARIA-tools (``product.py``) and MintPy
(``prep_aria.py``, which turns phase and baseline too). 0 is no data in phase and coherence. Azimuth angles are those of the
way from the ground to the satellite, from east, counter-clockwise.
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
from insar_anomaly.sources.products import Chosen, Floats, Product, angles_to_vector, choose, nearest_sea_level
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NOMINAL_LOOK, Platform

DATA, GEOMETRY, RADAR = "science/grids/data", "science/grids/imagingGeometry", "science/radarMetaData"
_NAME = re.compile(
    r"S1-GUNW(?:_CUSTOM)?-(?P<way>[AD])-[RL]-(?P<track>\d{3})-tops-(?P<reference>\d{8})_(?P<secondary>\d{8})-"
    r"(?P<h>\d\d)(?P<m>\d\d)(?P<s>\d\d)-(?P<place>\w+)-\w\w-\w+-v(?P<version>\d+_\d+_\d+)\.nc"
)
_LASTS_S = 35.0
_APART_S = 10.0
"""Products of one pair whose times differ by less are of the same ground: frames follow each other by 20 s and more."""


@dataclass(frozen=True)
class AriaLayout:
    """See the module's text and `products.Layout`."""

    kind: str = "aria"
    sign_words: str = "turned: ARIA writes it with the later date as reference"

    @property
    def nominal(self) -> Mapping[str, tuple[float, float, float]]:
        """Sentinel-1's."""
        return NOMINAL_LOOK

    def product(self, name: str) -> Product | None:
        """The product of a file's name; None where it is no product."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        days = day_of(found["reference"]), day_of(found["secondary"])
        if days[0] is None or days[1] is None:
            return None
        start = 3600.0 * int(found["h"]) + 60 * int(found["m"]) + int(found["s"])
        version = tuple(int(part) for part in re.findall(r"\d+", found["version"]))
        frame, place = f"{found['track']}{found['way']}_aria", f"{found['place']} {round(start / _APART_S)}"
        return Product(name, frame, days[0], days[1], place, version, (start, start + _LASTS_S))

    def meant(self, name: str) -> bool:
        """True where a file's name begins and ends like a product's."""
        return name.startswith("S1-GUNW") and name.endswith(".nc")

    def chosen(self, products: Sequence[Product]) -> Chosen:
        """Products of the newest major version, whose frames are others than those of the version before; of one ground the
        newest."""
        newest = max(one.rank[0] for one in products)
        out = choose([one for one in products if one.rank[0] == newest], _same_ground)
        out.replaced.extend(one for one in products if one.rank[0] != newest)
        return out

    def raster(self, file: h5py.File, uri: str) -> Raster:
        """Where phase and coherence lie: pixel centres in degrees."""
        y, x = (hdf5.coordinates(file, f"{DATA}/{name}", uri=uri) for name in ("latitude", "longitude"))
        return Raster.of(x, y, 4326, uri=uri)

    def phase(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Unwrapped phase (y, x) rad as ARIA writes it; NaN = no data, or in no connected component."""
        layer = hdf5.dataset(file, f"{DATA}/unwrappedPhase", uri=uri, verdict=Verdict.MISSING_PHASE)
        out = hdf5.values(layer, place, pixels, PHASE, uri=uri)
        out[out == 0] = np.nan
        components = file.get(f"{DATA}/connectedComponents")
        if components is not None:
            held = hdf5.stored(components, place, pixels, uri=uri)
            out[(held.astype(np.float32) <= 0) | hdf5.unmeasured(components, held)] = np.nan
        return out

    def coherence(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats:
        """Coherence (y, x), 0 to 1; NaN = none."""
        layer = hdf5.dataset(file, f"{DATA}/coherence", uri=uri, verdict=Verdict.MISSING_COHERENCE)
        return hdf5.values(layer, place, pixels, COHERENCE, uri=uri)

    def water(self, file: h5py.File, place: Raster, pixels: Pixels, *, uri: str) -> Floats | None:  # noqa: ARG002
        """None: the products do not say."""
        return None

    def look(self, file: h5py.File, grid: Grid, height: Floats, *, uri: str) -> tuple[Floats, Floats, Floats]:
        """East, north and up component (y, x) of the unit vector from the ground to the satellite; NaN = unknown."""
        return angles_to_vector(_cube(file, ("incidenceAngle", "azimuthAngle"), uri).over(grid, height))

    def baseline(self, file: h5py.File, *, uri: str) -> float:
        """Perpendicular baseline, m, at sea level; NaN where the product holds none."""
        try:
            return nearest_sea_level(_cube(file, ("perpendicularBaseline",), uri), "perpendicularBaseline")
        except PairRejected:
            return float("nan")

    def wavelength(self, file: h5py.File, *, uri: str) -> float:
        """Radar wavelength, m."""
        return hdf5.number(file, f"{RADAR}/wavelength", uri=uri)

    def platforms(self, file: h5py.File) -> tuple[Platform, Platform]:
        """Satellites of reference and secondary acquisition, from the names of their first granules."""
        first, last = (
            Platform.__members__.get(hdf5.text(file, f"{RADAR}/inputSLC/{end}/L1InputGranules")[:3], Platform.UNKNOWN)
            for end in ("reference", "secondary")
        )
        return first, last


def _same_ground(one: Product, other: Product) -> bool:
    return abs(one.seconds[0] - other.seconds[0]) < _APART_S


def looks_like(names: Sequence[str]) -> bool:
    """True where names of a folder's entries are those of ARIA products."""
    return any(map(AriaLayout().meant, names))


def _cube(file: h5py.File, names: Sequence[str], uri: str) -> Cube:
    z, y, x = (
        hdf5.coordinates(file, f"{GEOMETRY}/{name}", uri=uri) for name in ("heightsMeta", "latitudeMeta", "longitudeMeta")
    )
    layers = {name: hdf5.dataset(file, f"{GEOMETRY}/{name}", uri=uri) for name in names}
    return Cube.of((z, y, x), 4326, layers, uri=uri)


def _open(settings: SourceSettings, storage: StorageOptions) -> GunwSource:
    return GunwSource(settings.url, AriaLayout(), storage, settings.coherence_full)


REGISTRATION = Registration(open=_open, looks_like=looks_like)
