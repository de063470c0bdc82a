"""Which Sentinel-1 satellite passed on a day: from its repeat of 12 days, where a provider does not say.

All Sentinel-1 satellites fly the same 175 ground tracks, the *relative orbits*, in 12 days. They pass a track at the same
time of the day and differ by whole days. So a track and a day name the satellite, unless two of them could have passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from insar_anomaly.units import Platform

_REPEAT = timedelta(days=12)
_ORBIT = _REPEAT / 175
_NODE = datetime(2014, 1, 2, 17, 58, 34, tzinfo=UTC)
"""When Sentinel-1A's orbit would have crossed the equator northwards on relative orbit 1, good to two minutes.

Every product's name holds its start and its absolute orbit, which begins at that crossing. Names of 36 public products of
four satellites (tests/test_31_orbits.py has them) leave 3.3 minutes: from 17:56:52 to 18:00:04.
"""
_DOUBT = timedelta(minutes=3)
_PARTS = {"A": ((0.0, 0.25), (0.75, 1.0)), "D": ((0.25, 0.75),), None: ((0.0, 1.0),)}
"""Parts of an orbit, from its crossing of the equator on, in which the satellite flies north (A) or south (D)."""


@dataclass(frozen=True)
class _Stay:
    """A satellite that passes each track `behind` days after Sentinel-1A's, from `first` to `last`."""

    platform: Platform
    behind: int
    first: date
    last: date = date.max


_STAYS = (
    # first public acquisitions, and the end of operations (hyp3-docs pull request 722)
    _Stay(Platform.S1A, 0, date(2014, 10, 3), date(2026, 6, 29)),
    # data opened in September 2016; the anomaly that ended it was on 23 December 2021
    _Stay(Platform.S1B, 6, date(2016, 9, 26), date(2021, 12, 23)),
    # data opened on 26 March 2025; manoeuvred from 8 to 24 June 2026 (isce2 pull request 28130)
    _Stay(Platform.S1C, 6, date(2025, 3, 26), date(2026, 6, 8)),
    _Stay(Platform.S1C, 1, date(2026, 6, 24)),
    # data opened on 14 April 2026, one day after 1C (isce2 pull request 28123); it had drifted into place in March
    _Stay(Platform.S1D, 7, date(2026, 4, 14)),
)


def platform(day: date, track: int, direction: str | None = None) -> Platform:
    """The satellite that passed a track on a day.

    Parameters
    ----------
    day : UTC date of the acquisition
    track : relative orbit, 1 to 175, as a LiCSAR frame's name begins with it
    direction : ``A`` or ``D``, of the pass; it narrows the time of the day

    Returns
    -------
    `Platform.UNKNOWN` where none could, or two.

    Raises
    ------
    ValueError
        where the track is not between 1 and 175, or the direction is another letter.
    """
    if not 1 <= track <= 175:
        raise ValueError(f"track = {track}: Sentinel-1 has relative orbits 1 to 175")
    if direction not in _PARTS:
        raise ValueError(f"direction = {direction!r}: write 'A' (ascending) or 'D' (descending)")
    could = {one.platform for one in _STAYS if one.first <= day <= one.last and _passes(one, day, track, direction)}
    return could.pop() if len(could) == 1 else Platform.UNKNOWN


def _passes(one: _Stay, day: date, track: int, direction: str | None) -> bool:
    """True where some part of the satellite's pass of the track may lie on the day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    node = _NODE + (track - 1) * _ORBIT + timedelta(days=one.behind)
    for begin, end in _PARTS[direction]:
        opens, closes = node + begin * _ORBIT - _DOUBT, node + end * _ORBIT + _DOUBT
        # the last pass that opens before the day ends: does it close after the day began?
        repeats = (midnight + timedelta(days=1) - opens) // _REPEAT
        if closes + repeats * _REPEAT >= midnight:
            return True
    return False
