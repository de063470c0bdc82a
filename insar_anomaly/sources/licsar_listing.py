"""What a LiCSAR frame lists: its pairs under one name each, with baseline, satellites, time and the layers of their delay.

A folder may have its two dates in either order: the first one is the reference that the phase counts from, so a pair with
the later date first is turned when it is read. Where the frame is acquired near midnight UTC (``center_time`` in
``metadata/metadata.txt``), two dates that follow each other are one acquisition, see `midnight`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from insar_anomaly.names import Pair, day_of, direction, stamp, track
from insar_anomaly.sources import midnight, orbits
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.base import Listed, Listing, newest
from insar_anomaly.sources.licsar_layout import (
    COHERENCE,
    DELAY,
    DELAY_FOLDERS,
    FOLDERS,
    PHASE,
    STATIC_FOLDERS,
    baselines,
    by_pair,
    center_time,
    is_used,
    lacking,
    physics_of,
)
from insar_anomaly.units import Platform


@dataclass(frozen=True)
class _Known:
    """What is known of a frame's acquisitions: baseline in m, file of the delay, date that each is kept under, time."""

    perpendicular: Mapping[date, float]
    modelled: Mapping[date, str]
    kept: Mapping[date, date]
    utc_s: float


def pairs(archive: Archive, home: str, frame: str) -> Listing:
    """Pairs of the frame whose folder is `home`, and those that are there a second time (named ``pair (folder)``)."""
    held = []
    unlisted: list[str] = []
    for folder in FOLDERS:
        found = archive.below(f"{home}/{folder}", needed=is_used)
        unlisted += found.unlisted
        held += [(folder, *one) for one in by_pair(found.files, f"{home}/{folder}").items()]
    utc_s = center_time(_text(archive, home, "metadata.txt"))
    days = [day for _, name, _ in held if (pair := Pair.either(name)) for day in pair.days]
    kept = midnight.one_date(days) if midnight.crosses(utc_s) else {}
    known = _Known(baselines(_text(archive, home, "baselines")), _delay_uris(archive, home), kept, utc_s)
    listed: dict[str, Listed] = {}
    twice: list[Listed] = []
    for folder, name, files in held:
        one = _listed(archive, frame, name, files, known)
        if one.pair in listed:
            twice.append(Listed(f"{one.pair} ({folder})", one.phase_uri, one.coherence_uri, one.fingerprint))
        else:
            listed[one.pair] = one
    return Listing(list(listed.values()), twice, unlisted)


def _listed(archive: Archive, frame: str, name: str, files: Mapping[str, Entry], known: _Known) -> Listed:
    wanted = {end: files.get(name + end) for end in (PHASE, COHERENCE)}
    marks = [f"{end} {file.size} {file.mark}" for end, file in wanted.items() if file]
    uris = {end: archive.uri(file.path) if file else None for end, file in wanted.items()}
    out = Listed(
        name,
        uris[PHASE],
        uris[COHERENCE],
        hashlib.sha256("|".join(marks).encode()).hexdigest()[:16],
        lacks="" if all(wanted.values()) else lacking(name, files),
        modified=newest(file.modified for file in wanted.values() if file),
        sizes=tuple(file.size if file else None for file in wanted.values()),
        utc_s=known.utc_s,
        wavelength_m=physics_of(archive.uri(frame) if not wanted[PHASE] else str(uris[PHASE])).wavelength_m,
    )
    pair = Pair.either(name)
    if pair is None:
        return out
    first, last = (known.kept.get(day, day) for day in pair.days)
    if first == last:  # two dates of one acquisition: the name says so, and the listing rejects it
        return replace(out, pair=f"{stamp(first)}_{stamp(last)}")
    baseline = known.perpendicular.get(last, math.nan) - known.perpendicular.get(first, math.nan)
    delays = (known.modelled[first], known.modelled[last]) if {first, last} <= known.modelled.keys() else None
    return replace(
        out,
        pair=Pair(first, last).name,
        baseline=baseline,
        delay_uris=delays,
        platforms=(_platform(frame, first), _platform(frame, last)),
        turned=Pair.parse(name) is None,
    )


def _text(archive: Archive, home: str, name: str) -> str:
    """A small text file beside the static layers; empty where there is none."""
    return next((text for folder in STATIC_FOLDERS if (text := archive.text(f"{home}/{folder}/{name}"))), "")


def _delay_uris(archive: Archive, home: str) -> dict[date, str]:
    """The file of the modelled delay of each acquisition that has one."""
    found: dict[date, str] = {}
    for folder in DELAY_FOLDERS:
        # a delay is no part of its pairs' version: its size and time are not asked for
        for file in archive.below(f"{home}/{folder}", needed=lambda _: False).files:
            if file.name.endswith(DELAY) and (day := day_of(file.name.removesuffix(DELAY))):
                found.setdefault(day, archive.uri(file.path))
    return found


def _platform(frame: str, day: date) -> Platform:
    """The satellite of an acquisition, by the frame's track; LiCSAR does not say it."""
    relative = track(frame)
    return orbits.platform(day, relative, direction(frame)) if relative else Platform.UNKNOWN
