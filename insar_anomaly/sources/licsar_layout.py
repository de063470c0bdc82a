"""LiCSAR's layout: where a frame's folder is, what its files are called, what its small text files say. Nothing is opened.

The folder of a frame is ``<root>/<frame>``, as people copy it, or ``<root>/<track>/<frame>``, as the portal has it: a track
is a folder named by its number, 1 to 175. A mission beside Sentinel-1 has a folder of its own above its tracks, named by
mission and band: ``<root>/nisar.L/<track>/<frame>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeVar

from insar_anomaly.names import Pair, day_of, direction
from insar_anomaly.stack.schema import Physics
from insar_anomaly.units import NISAR_WAVELENGTH_M, SENTINEL1_WAVELENGTH_M, Platform

PHASE, COHERENCE, DELAY = ".geo.unw.tif", ".geo.cc.tif", ".sltd.geo.tif"
FOLDERS = ("interferograms", "GEOC")
"""Folders of a frame that hold its pairs."""
STATIC_FOLDERS = ("metadata", "GEOC")
DELAY_FOLDERS = ("epochs", "GACOS")
OF_A_FRAME = (*FOLDERS, "metadata")
"""Folders by which the folder of a frame is known."""

_TRACKS = range(1, 176)
_SENTINEL1 = Physics(wavelength_m=SENTINEL1_WAVELENGTH_M, sign=1)
_MISSIONS = {"nisar.L": Physics(NISAR_WAVELENGTH_M, sign=1, platforms=(Platform.NISAR, Platform.NISAR))}
"""Folders of the missions whose wavelength is known."""

_File = TypeVar("_File")


def is_track(name: str) -> bool:
    """True for the name of a track's folder: a number from 1 to 175, zeros before it allowed."""
    return name.isascii() and name.isdigit() and len(name) <= 3 and int(name) in _TRACKS


def is_mission(name: str) -> bool:
    """True for the name of a mission's folder that is known."""
    return name in _MISSIONS


def physics_of(uri: str) -> Physics:
    """The physics of a file: that of the mission in whose folder it is, Sentinel-1's where none is named."""
    return next((_MISSIONS[part] for part in reversed(uri.split("/")) if part in _MISSIONS), _SENTINEL1)


def homes(frame: str) -> list[str]:
    """Where a frame can be below the root, in the order in which it is looked for."""
    number = re.match(r"\d{1,3}", frame)
    tracks = dict.fromkeys((str(int(number[0])), number[0])) if number else {}
    above = [*tracks, *(f"{mission}/{track}" for mission in _MISSIONS for track in tracks)]
    return [frame, *(f"{folder}/{frame}" for folder in above)]


def is_used(name: str) -> bool:
    """True for a file whose change makes another version of its pair."""
    return name.endswith((PHASE, COHERENCE))


def by_pair(files: Iterable[_File], folder: str, path: str = "path") -> dict[str, dict[str, _File]]:
    """Files of each pair's folder: pair -> file name -> file. `path` is the attribute that has a file's path."""
    pairs: dict[str, dict[str, _File]] = {}
    for file in files:
        parts = str(getattr(file, path))[len(folder) :].strip("/").split("/")
        if len(parts) == 2:
            pairs.setdefault(parts[0], {})[parts[1]] = file
    return pairs


def lacking(name: str, files: Mapping[str, object]) -> str:
    """What a pair's folder lacks, and what it holds."""
    missing = [f"{name}{end}" for end in (PHASE, COHERENCE) if name + end not in files]
    held = ", ".join(sorted(files)[:4]) or "nothing"
    wrapped = " (a wrapped phase: it has to be unwrapped first)" if f"{name}.geo.diff_pha.tif" in files else ""
    return f"{name} holds {held}{wrapped} and no {' and no '.join(missing)}; upload what is missing"


def baselines(text: str) -> dict[date, float]:
    """Perpendicular baseline in m of each acquisition, from LiCSAR's ``baselines``: reference date, date,
    baseline, days per line. Lines of another form are skipped: the file is a comment on the pairs, not part of them."""
    out = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 3 and (day := day_of(parts[1])):
            try:
                out[day] = float(parts[2])
            except ValueError:
                continue
    return out


def center_time(text: str) -> float:
    """Time of the acquisitions, s after midnight UTC, from LiCSAR's ``metadata.txt`` (``center_time=17:23:45.6``); NaN where
    it is not there."""
    found = re.search(r"^center_time=(\d+):(\d+):([\d.]+)\s*$", text, re.M)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else float("nan")


def looks_like(names: Sequence[str]) -> bool:
    """True where these are the entries of a LiCSAR archive, of one of its tracks, or of a frame or a folder in it."""
    pairs = [name for name in names if Pair.parse(name)]
    ends = (PHASE, COHERENCE, ".geo.diff_pha.tif")
    frames = any(re.fullmatch(r"\d{3}[AD]_\d{5}_\d{6}", name) and direction(name) for name in names)
    inside = any(name in OF_A_FRAME for name in names) or any(name.endswith(ends) for name in names)
    return frames or inside or bool(pairs and len(pairs) * 2 > len(names))
