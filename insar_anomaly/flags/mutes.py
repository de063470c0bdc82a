"""Mutes: for how long nobody is told of a stack, a volcano or a region, as people said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from insar_anomaly.names import Target


@dataclass(frozen=True)
class Mute:
    """A person muted a target until a day, on which people are told again; `until` is None where a mute was taken back."""

    target: Target
    until: date | None


def muted_until(mutes: Iterable[Mute], stack: str, day: date) -> date | None:
    """The day on which people are told of the stack or couple again; None where they are told on this day.

    Parameters
    ----------
    mutes : in the order in which they were said: of one target the last one counts
    """
    last = {mute.target: mute.until for mute in mutes}
    ends = [until for target, until in last.items() if until is not None and until > day and target.covers(stack)]
    return max(ends, default=None)
