"""Names of HyP3's products, files and storage: what they say of dates, satellites, footprint, track, pass and life.

Three kinds of name, as ASF's product guides define them (ASFHyP3/hyp3-docs, April 2026) and as hyp3-gamma and hyp3-isce2
write them::

    S1AA_20200604T022252_20200616T022253_VVP012_INT80_G_ueF_77F1                       INSAR_GAMMA
    S1_136231_IW2_20200604_20200616_VV_INT80_77F1                                      INSAR_ISCE_BURST
    S1_064_000000s1n00-136231s2n02-000000s3n00_IW_20200604_20200616_VV_INT80_77F1      INSAR_ISCE_MULTI_BURST
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isnan
from urllib.parse import urlsplit

from insar_anomaly.names import Pair, day_of
from insar_anomaly.sources.words import counted
from insar_anomaly.units import Platform

LAYERS = ("unw_phase", "corr", "dem", "lv_theta", "lv_phi", "water_mask")
"""The rasters of a product that are read, as their file names end."""

TEXT, ZIP = "txt", "zip"

_SAR = r"S1(?P<sats>[A-D]{2})_(?P<first>\d{8})T(?P<from>\d{6})_(?P<last>\d{8})T(?P<to>\d{6})_(?:VV|HH)[A-Z]\d{3}"
_BURSTS = r"(?P<ground>\d{6}s1n\d\d-\d{6}s2n\d\d-\d{6}s3n\d\d)_IW"
_DAYS = r"_(?P<first>\d{8})_(?P<last>\d{8})_(?:VV|HH)_INT(?P<pixel>\d+)_[0-9A-F]{4}"
_KINDS = (
    re.compile(_SAR + r"_INT(?P<pixel>\d+)_G_[uw][ec][F123]_[0-9A-F]{4}"),
    re.compile(r"S1_(?P<ground>\d{6}_IW[123])" + _DAYS),
    re.compile(r"S1_(?P<track>\d{3})_" + _BURSTS + _DAYS),
)
_REST = re.compile(rf"(?:\.(?P<whole>{TEXT}|{ZIP})|_(?P<layer>{'|'.join(LAYERS)})(?:_clip(?:ped)?)?\.tif)")

_ORBIT_S = 12 * 86400 / 175
"""Sentinel-1 flies 175 orbits in 12 days."""
_BURST_S, _BEFORE_S = 2.758273, 2.299849
"""Time between bursts, and from the ascending node of track 1 to the first: ESA's definition of the relative burst ID."""
_TENS = 10
"""Scenes of one track that start within so many seconds of the day count as one footprint when footprints are sampled."""

_OLD_DAYS = 12
"""HyP3 deletes a product 14 days after it was made."""


@dataclass(frozen=True)
class Name:
    """What the name of a product says.

    Parameters
    ----------
    text : the name
    days : date of the reference and of the secondary, as the name has them
    ground : what tells the product's footprint from others of the same dates; equal for a product that was made again
    place : the same for all dates, so that footprints can be sampled
    pixel_m : pixel spacing, m
    platforms : satellites of reference and secondary
    starts_s : their start after midnight UTC, s; NaN = unknown
    track : relative orbit, 1 to 175; None where the name does not tell
    way : "A" (ascending) or "D" (descending); None where the name does not tell
    """

    text: str
    days: tuple[date, date]
    ground: str
    place: str
    pixel_m: int
    platforms: tuple[Platform, Platform] = (Platform.UNKNOWN, Platform.UNKNOWN)
    starts_s: tuple[float, float] = (float("nan"), float("nan"))
    track: int | None = None
    way: str | None = None

    @property
    def turned(self) -> bool:
        """True where the reference is the later date, so that the phase has to be turned."""
        return self.days[0] > self.days[1]

    @property
    def pair(self) -> str:
        """The pair's name, the earlier date first."""
        return Pair(min(self.days), max(self.days)).name


def parse(text: str) -> Name | None:
    """What the name of a product says; None where it is no such name."""
    found = next((match for kind in _KINDS if (match := kind.fullmatch(text))), None)
    if found is None:
        return None
    part = found.groupdict()
    first, last = day_of(part["first"]), day_of(part["last"])
    if first is None or last is None or first == last:
        return None
    days, pixel = (first, last), int(part["pixel"])
    if sats := part.get("sats"):
        starts = _seconds(part["from"]), _seconds(part["to"])
        a, b = (Platform[f"S1{letter}"] for letter in sats)
        earlier = starts[first > last]
        return Name(text, days, f"{earlier:.0f} s", f"{earlier // _TENS:.0f}", pixel, (a, b), starts)
    track, way = on_orbit(next(int(number) for number in re.findall(r"\d{6}", part["ground"]) if int(number)))
    ground = part["ground"]
    return Name(text, days, ground, ground, pixel, track=int(part.get("track") or track), way=way)


def split(file: str) -> tuple[Name, str] | None:
    """The product that a file belongs to, and which of its files it is: a layer, `TEXT`, or `ZIP` for all of them.

    Files that are cut out (``_unw_phase_clip.tif``, ``_clipped.tif``), as HyP3's tutorials name them, are taken for the
    layer. None for any other file.
    """
    for end in re.finditer(r"[._]", file):
        if (rest := _REST.fullmatch(file, end.start())) and (name := parse(file[: end.start()])):
            return name, rest["whole"] or rest["layer"]
    return None


def looks_like(names: Sequence[str]) -> bool:
    """True where the entries of a folder are HyP3's: products as folders or .zip, or the files of one."""
    return any(parse(name) or split(name) for name in names)


def short_lived(url: str, modified: Sequence[float], *, now: float) -> str | None:
    """What is to be said where HyP3 will delete the products; None where it will not, as far as the URL tells.

    HyP3's own storage is a bucket or host named ``hyp3...contentbucket...`` or ``hyp3-download...``: always said. Any other
    remote URL with hyp3 in its bucket or host: said where a product is older than 12 days.

    Parameters
    ----------
    modified : when the products were changed last, s since 1970; NaN = unknown
    """
    host = urlsplit(url).netloc.lower()
    if url.startswith("file://") or "hyp3" not in host:
        return None
    oldest = max([(now - one) / 86400 for one in modified if not isnan(one)], default=0.0)
    own = re.search(r"contentbucket|hyp3-download", host) is not None
    if not own and oldest < _OLD_DAYS:
        return None
    age = f"; the oldest here is {counted(round(oldest), 'day')} old" if oldest >= 1 else ""
    whose = "is HyP3's own storage" if own else "may be HyP3's storage"
    return f"{url} {whose}, which deletes a product 14 days after it was made{age}; copy products to storage of your own"


def on_orbit(burst: int) -> tuple[int, str]:
    """Track and pass ("A" or "D") of a relative burst ID, by ESA's definition.

    At the equator's ascending crossing the track may be one more than that of the granule, which keeps its number.
    """
    orbit, at = divmod((burst - 1) * _BURST_S + _BEFORE_S, _ORBIT_S)
    return int(orbit) % 175 + 1, "D" if 0.25 <= at / _ORBIT_S < 0.75 else "A"


def track_of(granule: str, orbit: int) -> int | None:
    """Track of a granule of Sentinel-1A, B or C from its absolute orbit number; None for any other."""
    offset = {"S1A": 73, "S1B": 27, "S1C": 172}.get(granule[:3])
    return None if offset is None else (orbit - offset) % 175 + 1


def _seconds(clock: str) -> float:
    return int(clock[:2]) * 3600.0 + int(clock[2:4]) * 60 + int(clock[4:])
