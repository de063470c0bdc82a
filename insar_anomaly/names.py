"""Names of what runs through the house, as types. Only this room parses, prints and orders them.

::

    Stack         221080/079D_07694_131313                one volcano on one frame
    Couple        221080/087A_07000_131313+079D_07694_131313   its ascending and its descending frame together
    Pair          20170112_20170124                       an interferogram: reference date, secondary date
    Interval      20170112_20170124                       the time between two acquisitions that follow each other
    Acquisition   20170112_20170112                       one day: its name has the date twice
    FlagName      221080/079D_07694_131313:2              the second flag of a stack or couple
    Target        221080/079D_07694_131313, 221080, 22*   what a person mutes: a stack or couple, a volcano, a region

The printed form of each is its key in the ledger and in the store.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from itertools import product
from typing import Any, Self

JsonObject = dict[str, Any]
"""What the json module makes of an object in a text: the edge of the house. Inside, it becomes a dataclass."""


class EvidenceKind(StrEnum):
    """What is assessed. The order is that of work: each kind is fitted and assessed after those before it."""

    PAIR = "pair"
    INTERVAL = "interval"
    ACQUISITION = "acquisition"
    DIRECTIONS = "directions"

    @property
    def one(self) -> str:
        """What people read for one of it."""
        return _ONE_AND_MANY[self][0]

    @property
    def many(self) -> str:
        """What people read for many of it."""
        return _ONE_AND_MANY[self][1]

    def counted(self, number: int) -> str:
        """``1 interval``, ``2 intervals``."""
        return f"{number} {self.one if number == 1 else self.many}"


_ONE_AND_MANY = {
    EvidenceKind.PAIR: ("pair", "pairs"),
    EvidenceKind.INTERVAL: ("interval", "intervals"),
    EvidenceKind.ACQUISITION: ("acquisition", "acquisitions"),
    EvidenceKind.DIRECTIONS: ("interval from both directions", "intervals from both directions"),
}


def later_of(kind: EvidenceKind, after: int) -> int:
    """Acquisitions strictly after the last date of an assessment, of the `after` that stand in its name.

    `after` counts an interval's own second acquisition too, as the first of those on its later side. Of both directions it
    is the sum of two intervals', of which one at least ends with the time that they share.
    """
    own = kind in (EvidenceKind.INTERVAL, EvidenceKind.DIRECTIONS)
    return max(0, after - 1) if own else after


def later_of_both(members: Sequence[tuple[str, int]]) -> int:
    """The same of the time that two intervals share, from the name and the `after` of each, however they end."""
    ends = [Pair.of(name).last for name, _ in members]
    return sum(max(0, after - (end == min(ends))) for (_, after), end in zip(members, ends, strict=True))


OF_A_STACK = (EvidenceKind.PAIR, EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION)
"""Kinds that are assessed for one stack alone; `EvidenceKind.DIRECTIONS` is assessed for a couple."""


def day_of(text: str) -> date | None:
    """The date of ``YYYYMMDD``; None where the text is not that."""
    if len(text) != 8 or not text.isascii() or not text.isdigit():
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def read_date(text: str) -> date:
    """The date that a person wrote as YYYY-MM-DD or YYYYMMDD. Raises ValueError where the text is neither."""
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    raise ValueError(f"{text!r} is not a date: write YYYY-MM-DD")


def stamp(day: date) -> str:
    """``YYYYMMDD``."""
    return f"{day.year:04d}{day.month:02d}{day.day:02d}"


@dataclass(frozen=True)
class Span:
    """Two days: what pairs, intervals and acquisitions have in common."""

    first: date
    last: date

    @property
    def name(self) -> str:
        """``YYYYMMDD_YYYYMMDD``, the earlier day first."""
        return f"{stamp(self.first)}_{stamp(self.last)}"

    def __str__(self) -> str:
        return self.name

    @property
    def days(self) -> tuple[date, date]:
        """Both days, the earlier one first."""
        return self.first, self.last

    @property
    def order(self) -> tuple[date, date]:
        """The place in time: by the later day, then by the earlier one."""
        return self.last, self.first

    def brackets(self, other: Span) -> bool:
        """True where the other span lies inside this one, common ends included."""
        return self.first <= other.first and other.last <= self.last

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The span of this name; None where it is no such name."""
        first, _, last = name.partition("_")
        days = day_of(first), day_of(last)
        if days[0] is None or days[1] is None or not cls._ordered(days[0], days[1]):
            return None
        return cls(days[0], days[1])

    @classmethod
    def of(cls, name: str) -> Self:
        """The span of a name that is known to be right. Raises ValueError where it is not."""
        found = cls.parse(name)
        if found is None:
            raise ValueError(
                f"{name!r} is not the name of {cls.__name__.lower()}: write YYYYMMDD_YYYYMMDD, earlier date first"
            )
        return found

    @staticmethod
    def _ordered(first: date, last: date) -> bool:
        return first <= last


class Pair(Span):
    """An interferogram: `first` is its reference date, `last` its secondary date."""

    @classmethod
    def either(cls, name: str) -> Pair | None:
        """The pair of a name, whichever of its dates is first; None where it is none."""
        first, _, last = name.partition("_")
        return cls.parse(name) or cls.parse(f"{last}_{first}")

    @staticmethod
    def _ordered(first: date, last: date) -> bool:
        return first < last


def versioned(pair: str, version: int) -> str:
    """What names a pair among others of its versions: the first one, 0, has the pair's own name."""
    return f"{pair}#{version}" if version else pair


class Interval(Pair):
    """The time between two acquisitions that follow each other."""


class Acquisition(Span):
    """One acquisition: both days are the same."""

    @staticmethod
    def _ordered(first: date, last: date) -> bool:
        return first == last


def span_of(name: str) -> Span | None:
    """What a name of something assessed stands for: a pair or an interval, or an acquisition; None where it is neither."""
    return Pair.parse(name) or Acquisition.parse(name)


def by_date(name: str) -> tuple[str, str]:
    """What to sort names of pairs, intervals and acquisitions by: later day, then earlier day.

    Works on any text, so that a listing with a wrong name in it can be sorted too.
    """
    return name[9:], name[:8]


def in_order(names: Iterable[str]) -> list[str]:
    """Names of pairs, intervals or acquisitions in order of time."""
    return sorted(names, key=by_date)


@dataclass(frozen=True)
class Period:
    """Pairs that lie inside a span of time, both dates included; None leaves a side open."""

    first: date | None = None
    last: date | None = None

    def holds(self, name: str) -> bool:
        """True where both dates of the pair, interval or acquisition of this name are inside."""
        span = span_of(name)
        if span is None:
            return False
        return self.has(span.first) and self.has(span.last)

    def has(self, day: date) -> bool:
        """True where the day is inside."""
        return (self.first is None or day >= self.first) and (self.last is None or day <= self.last)


ALL_TIME = Period()


@dataclass(frozen=True, order=True)
class Stack:
    """One volcano on one satellite frame: its Smithsonian number and the frame's name."""

    gvp: int
    frame: str

    def __str__(self) -> str:
        return f"{self.gvp}/{self.frame}"

    @classmethod
    def of(cls, name: str) -> Stack:
        """The stack of ``gvp/frame``. Raises ValueError where the name is another."""
        gvp, _, frame = name.partition("/")
        if not gvp.isdigit() or not frame or _JOIN in frame:
            raise ValueError(f"{name!r} is not the name of a stack: write gvp/frame")
        return cls(int(gvp), frame)


@dataclass(frozen=True, order=True)
class Couple:
    """An ascending and a descending frame of one volcano."""

    gvp: int
    ascending: str
    descending: str

    def __str__(self) -> str:
        return f"{self.gvp}/{self.ascending}{_JOIN}{self.descending}"

    @property
    def members(self) -> tuple[Stack, Stack]:
        """Its two stacks, ascending first."""
        return Stack(self.gvp, self.ascending), Stack(self.gvp, self.descending)

    @classmethod
    def of(cls, name: str) -> Couple:
        """The couple of ``gvp/ASCENDING+DESCENDING``. Raises ValueError where the name is another."""
        gvp, _, frames = name.partition("/")
        ascending, join, descending = frames.partition(_JOIN)
        if not gvp.isdigit() or not (ascending and join and descending):
            raise ValueError(f"{name!r} is not the name of a couple: write gvp/ASCENDING+DESCENDING")
        return cls(int(gvp), ascending, descending)

    @classmethod
    def among(cls, gvp: int, frames: Iterable[str]) -> list[Couple]:
        """Every couple of a volcano's frames, by their `direction`."""
        by_way: dict[str, list[str]] = {"A": [], "D": []}
        for frame in frames:
            if way := direction(frame):
                by_way[way].append(frame)
        return [cls(gvp, up, down) for up, down in product(by_way["A"], by_way["D"])]


_JOIN = "+"


@dataclass(frozen=True, order=True)
class FlagName:
    """One flag: its stack or couple, and its number there."""

    stack: str
    number: int

    def __str__(self) -> str:
        return f"{self.stack}:{self.number}"

    @classmethod
    def of(cls, name: str) -> FlagName:
        """The flag of ``gvp/frame:number``. Raises ValueError where the name is another."""
        stack, colon, number = name.rpartition(":")
        if not colon or not number.isdigit() or int(number) < 1:
            raise ValueError(f"{name!r} is not the name of a flag: write GVP/FRAME:NUMBER, as `insar-anomaly flags` does")
        return cls(str(place(stack)), int(number))


@dataclass(frozen=True, order=True)
class Target:
    """What a person mutes: one stack or couple, a volcano with all its stacks, or a region.

    A region is the beginning of its volcanoes' numbers, as the Smithsonian's Global Volcanism Program gives them, with a
    star: ``22*`` is Africa, ``221*`` Eritrea, Djibouti and Ethiopia.
    """

    name: str

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, name: str) -> Target:
        """The target of this name. Raises ValueError where it is none."""
        if "/" in name:
            return cls(str(place(name)))
        if re.fullmatch(r"\d{6}|\d{1,5}\*", name):
            return cls(name)
        raise ValueError(f"{name!r} names nothing: write GVP/FRAME, a volcano's number of six digits, or a region as 22*")

    def covers(self, stack: str) -> bool:
        """True where the stack or couple belongs to it. A volcano's couples belong to the volcano, not to their frames."""
        if "/" in self.name:
            return stack == self.name
        gvp = str(volcano_of(stack))
        return gvp.startswith(self.name[:-1]) if self.name.endswith("*") else gvp == self.name


def direction(frame: str) -> str | None:
    """``A`` (ascending) or ``D`` (descending) as the frame's name tells; None where it does not."""
    found = re.match(r"\d+([AD])_", frame)
    return found[1] if found else None


def track(frame: str) -> int | None:
    """The relative orbit of Sentinel-1 with which a frame's name begins: 79 of ``079D_07694_131313``; None without one."""
    found = re.match(r"(\d{3})[AD]_", frame)
    return int(found[1]) if found and 1 <= int(found[1]) <= 175 else None


def place(name: str) -> Stack | Couple:
    """The stack or the couple of this name."""
    return Couple.of(name) if _JOIN in name else Stack.of(name)


def volcano_of(name: str) -> int:
    """The volcano's number in the name of a stack or couple."""
    return place(name).gvp


def frame_of(name: str) -> str:
    """The frame's part of the name of a stack or couple."""
    return name.partition("/")[2]


def columns_of(name: str) -> dict[str, str]:
    """The columns gvp and frame of a table, as text, for the name of a stack or couple."""
    gvp, _, frame = name.partition("/")
    return {"gvp": gvp, "frame": frame}


def stack_name(gvp: int | str, frame: str) -> str:
    """The name of a stack or couple, from the columns gvp and frame of a table."""
    return f"{gvp}/{frame}"


def file_stem(name: str) -> str:
    """The name of a stack or couple as part of a file's name."""
    return name.replace("/", "_")
