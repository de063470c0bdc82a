"""Acquisitions that cross midnight: one of them may stand under two dates, as some products take the day of its first line
and others that of its last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

_NEAR_S = 60.0
"""Seconds before or after midnight UTC within which an acquisition may stand under either date. A frame takes about 30 s."""
_DAY_S = 86400.0


def crosses(utc_s: float) -> bool:
    """True where an acquisition may stand under two dates: its middle is `utc_s` s after midnight UTC. Not for NaN."""
    return min(utc_s % _DAY_S, -utc_s % _DAY_S) < _NEAR_S


def one_date(days: Iterable[date]) -> dict[date, date]:
    """The date under which each acquisition of a frame that `crosses` midnight is kept.

    Two dates that follow each other are one acquisition, kept under the one that occurs in more pairs; of equals, under the
    earlier. Satellites that follow each other by a day pass at the same time of day, so their acquisitions cannot be told
    apart here from one that crosses midnight: a frame with both loses the tandem's second day, never the first.

    Parameters
    ----------
    days : both dates of every pair
    """
    times = Counter(days)
    kept: dict[date, date] = {}
    alone: date | None = None
    for day in sorted(times):
        kept[day] = day
        if alone is not None and day - alone == timedelta(1):
            kept[alone] = kept[day] = alone if times[alone] >= times[day] else day
            alone = None
        else:
            alone = day
    return kept
