"""Flags of many stacks at once: weather of a region or a fault of a provider, not many volcanoes.

Two kinds of groups tell of one cause. Stacks of one *track and date* have the same weather, and the same acquisition. Stacks
whose pairs join the same two *platforms* have, on whatever track and date, the same processing of these two satellites.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from insar_anomaly.names import FlagName, direction, frame_of, track

FEWEST, PART = 5, 0.25
"""Stacks over their threshold on one date, and their part of those that were assessed on it, from which on it is one cause.
On quiet ground one stack in some thirty is over on a date."""
FAR_ABOVE = 100.0
"""A flag so many times as rare as asked, or as the others of its group, is a volcano's own."""
ONE_PLACE = 0.5
"""Part of a platform pair's stacks over their threshold that one track and date may have: more than that is its weather."""

Joined = tuple[str, str]
"""The platforms that a pair joins, in order of their names."""


@dataclass(frozen=True)
class New:
    """A flag that was raised in this run: the two dates of what raised it, and its return period in years, if known."""

    flag: FlagName
    days: tuple[date, date]
    years: float | None


@dataclass(frozen=True)
class Seen:
    """An assessment of a stack: its two dates, whether it was over its threshold, and the platforms that made them.

    `platforms` is None where one of them is not known.
    """

    stack: str
    days: tuple[date, date]
    over: bool
    platforms: Joined | None = None


@dataclass(frozen=True)
class Together:
    """Stacks that are over their thresholds together: `over` of `seen` that were assessed.

    They share a track and the acquisition of `day`; `track` is None for those whose frames' names tell none, which count
    together. Or they share `platforms`; `day` is then the last of their dates. `held` are the new flags among them that are
    not a volcano's own.
    """

    day: date
    track: str | None
    over: int
    seen: int
    held: tuple[FlagName, ...]
    platforms: Joined | None = None

    @property
    def words(self) -> str:
        """What people read."""
        counted = f"{self.over} of {self.seen} stacks"
        if self.platforms is not None:
            one, other = self.platforms
            joined = f"pairs that join {one} and {other}" if one != other else f"pairs of {one} alone"
            return f"probably processing: {counted} in {joined}, up to {self.day}"
        where = f"on track {self.track}, {self.day}" if self.track else f"of {self.day}"
        return f"probably atmosphere or processing: {counted} {where}"

    @property
    def name(self) -> str:
        """What tells it from the other groups of its date."""
        return "-".join(self.platforms) if self.platforms is not None else self.track or "all"


def track_of(stack: str) -> str | None:
    """``014A``: relative orbit and pass of a stack's frame; None where its name does not tell."""
    number, way = track(frame_of(stack)), direction(frame_of(stack))
    return f"{number:03d}{way}" if number and way else None


def together(new: Collection[New], assessed: Collection[Seen], *, asked_years: float | None) -> list[Together]:
    """Groups of stacks that crossed together, with the flags to hold; a flag is held once, for its largest group.

    Where two groups hold as many, the one of a track and date is told: it says more.

    Parameters
    ----------
    new : flags that were raised in this run
    assessed : what was assessed on the dates of these flags, of all stacks
    asked_years : the return period from which on notices are sent, None where there is none
    """
    found = [*_by_track_and_date(new, assessed), *_by_platforms(new, assessed)]
    out: list[Together] = []
    taken: set[FlagName] = set()
    for one in sorted(found, key=_first):
        mine = [each for each in new if each.flag in one.held and each.flag not in taken]
        beside = [each for each in new if each.flag in one.held]
        held = tuple(each.flag for each in mine if not _stands_out(each, beside, asked_years))
        taken |= {each.flag for each in mine}
        out += [Together(one.day, one.track, one.over, one.seen, held, one.platforms)] if held else []
    return out


def _first(group: Together) -> tuple[int, bool, int, str]:
    """What to sort groups by. Of two dates the newer one is told: the older one has been judged on the night before."""
    return -len(group.held), group.platforms is not None, -group.day.toordinal(), group.name


@dataclass
class _Crossing:
    """Stacks -> whether any of their assessments was over."""

    stacks: dict[str, bool] = field(default_factory=dict)

    def add(self, one: Seen) -> None:
        self.stacks[one.stack] = self.stacks.get(one.stack, False) or one.over

    @property
    def over(self) -> list[str]:
        return [stack for stack, over in self.stacks.items() if over]

    @property
    def many(self) -> bool:
        return len(self.over) >= max(FEWEST, PART * len(self.stacks))


def _by_track_and_date(new: Collection[New], assessed: Iterable[Seen]) -> Iterator[Together]:
    groups: dict[tuple[date, str | None], _Crossing] = {}
    for one in assessed:
        for day in dict.fromkeys(one.days):
            groups.setdefault((day, track_of(one.stack)), _Crossing()).add(one)
    for (day, name), group in groups.items():
        mine = tuple(one.flag for one in new if day in one.days and one.flag.stack in group.stacks)
        if group.many and mine:
            yield Together(day, name, len(group.over), len(group.stacks), mine)


def _by_platforms(new: Collection[New], assessed: Sequence[Seen] | Collection[Seen]) -> Iterator[Together]:
    """Groups by platform pair, where no single track and date explains them."""
    groups: dict[Joined, list[Seen]] = {}
    for one in assessed:
        if one.platforms is not None:
            groups.setdefault(one.platforms, []).append(one)
    for platforms, mine in groups.items():
        group, places = _Crossing(), Counter[tuple[date, str | None]]()
        for one in mine:
            group.add(one)
        for day, stack in {(day, one.stack) for one in mine if one.over for day in one.days}:
            places[day, track_of(stack)] += 1
        names = {(one.stack, one.days) for one in mine}
        flags = tuple(one.flag for one in new if (one.flag.stack, one.days) in names)
        if group.many and flags and max(places.values()) <= ONE_PLACE * len(group.over):
            yield Together(max(one.days[1] for one in mine), None, len(group.over), len(group.stacks), flags, platforms)


def _stands_out(one: New, beside: Collection[New], asked_years: float | None) -> bool:
    if one.years is None:
        return False
    if asked_years is not None and one.years >= FAR_ABOVE * asked_years:
        return True
    others = [each.years for each in beside if each is not one and each.years is not None]
    return len(others) >= FEWEST - 1 and one.years >= FAR_ABOVE * statistics.median(others)


def by_platform(seen: Iterable[Seen], satellites: Mapping[str, Mapping[date, str]]) -> list[Seen]:
    """The same assessments with the platforms that made them, where both are known: stack -> day -> platform."""
    out = []
    for one in seen:
        known = [satellites.get(one.stack, {}).get(day) for day in one.days]
        both = sorted(name for name in known if name)
        out.append(Seen(one.stack, one.days, one.over, (both[0], both[1]) if len(both) == len(known) == 2 else None))
    return out
