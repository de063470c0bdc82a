"""Flags of many stacks on one acquisition date: weather of a region or a fault of a provider, not many volcanoes."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from insar_anomaly.names import FlagName, direction, frame_of, track

FEWEST, PART = 5, 0.25
"""Stacks over their threshold on one date, and their part of those that were assessed on it, from which on it is one cause.
On quiet ground one stack in some thirty is over on a date."""
FAR_ABOVE = 100.0
"""A flag so many times as rare as asked, or as the others of its date, is a volcano's own."""


@dataclass(frozen=True)
class New:
    """A flag that was raised in this run: the two dates of what raised it, and its return period in years, if known."""

    flag: FlagName
    days: tuple[date, date]
    years: float | None


@dataclass(frozen=True)
class Together:
    """Stacks that are over their thresholds on one date: `over` of `seen` that were assessed on one track.

    `track` is None for those whose frames' names tell none, which count together.

    `held` are the new flags among them that are not a volcano's own.
    """

    day: date
    track: str | None
    over: int
    seen: int
    held: tuple[FlagName, ...]

    @property
    def words(self) -> str:
        """What people read."""
        where = f"on track {self.track}, {self.day}" if self.track else f"of {self.day}"
        return f"probably atmosphere or processing: {self.over} of {self.seen} stacks {where}"


def track_of(stack: str) -> str | None:
    """``014A``: relative orbit and pass of a stack's frame; None where its name does not tell."""
    number, way = track(frame_of(stack)), direction(frame_of(stack))
    return f"{number:03d}{way}" if number and way else None


def together(
    new: Collection[New], assessed: Mapping[date, Mapping[str, bool]], *, asked_years: float | None
) -> list[Together]:
    """Dates on which many stacks crossed, with the flags to hold; a flag is held once, for its largest group.

    Parameters
    ----------
    new : flags that were raised in this run
    assessed : date -> stack -> whether it was over its threshold in an assessment of that date
    asked_years : the return period from which on notices are sent, None where there is none
    """
    found = []
    for day, stacks in sorted(assessed.items()):
        for name in {track_of(stack) for stack in stacks}:
            group = _group(new, {s: over for s, over in stacks.items() if track_of(s) == name}, day, name)
            found += [group] if group else []
    out: list[Together] = []
    taken: set[FlagName] = set()
    for one in sorted(found, key=lambda g: (-len(g.held), g.day, g.track or "")):
        mine = [each for each in new if each.flag in one.held and each.flag not in taken]
        held = tuple(
            each.flag for each in mine if not _stands_out(each, [n for n in new if n.flag in one.held], asked_years)
        )
        taken |= {each.flag for each in mine}
        out += [Together(one.day, one.track, one.over, one.seen, held)] if held else []
    return out


def _group(new: Iterable[New], stacks: Mapping[str, bool], day: date, name: str | None) -> Together | None:
    over, seen = sum(stacks.values()), len(stacks)
    if over < FEWEST or over < PART * seen:
        return None
    mine = tuple(one.flag for one in new if day in one.days and one.flag.stack in stacks)
    return Together(day, name, over, seen, mine) if mine else None


def _stands_out(one: New, beside: Collection[New], asked_years: float | None) -> bool:
    if one.years is None:
        return False
    if asked_years is not None and one.years >= FAR_ABOVE * asked_years:
        return True
    others = [each.years for each in beside if each is not one and each.years is not None]
    return len(others) >= FEWEST - 1 and one.years >= FAR_ABOVE * statistics.median(others)
