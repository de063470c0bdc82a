"""Mutes: for how long nobody is told of a stack, a volcano or a region, as people said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from insar_anomaly.names import Target

LONGEST_YEARS = 5
"""Years after which a mute ends at the latest: nobody remembers why a volcano was muted for longer."""


@dataclass(frozen=True)
class Mute:
    """A person muted a target until a day, on which people are told again; `until` is None where a mute was taken back.

    `by` is the person, `why` the reason that was given, and `at` the moment, UTC.
    """

    target: Target
    until: date | None
    by: str = ""
    why: str = ""
    at: datetime | None = None


def standing(mutes: Iterable[Mute], day: date, stack: str | None = None) -> list[Mute]:
    """The mutes that stand on a day; with `stack` those that cover this stack or couple.

    Parameters
    ----------
    mutes : in the order in which they were said: of one target the last one counts
    """
    last = {mute.target: mute for mute in mutes}.values()
    stand = [mute for mute in last if mute.until is not None and mute.until > day]
    return [mute for mute in stand if stack is None or mute.target.covers(stack)]


def muted_until(mutes: Iterable[Mute], stack: str, day: date) -> date | None:
    """The day on which people are told of the stack or couple again; None where they are told on this day.

    Parameters
    ----------
    mutes : as of `standing`
    """
    return max((mute.until for mute in standing(mutes, day, stack) if mute.until is not None), default=None)


def latest_end(today: date) -> date:
    """The last day until which a mute may be made today."""
    return today + timedelta(days=round(LONGEST_YEARS * 365.25))
