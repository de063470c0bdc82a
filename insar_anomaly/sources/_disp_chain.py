"""Products of OPERA DISP-S1 by their names, and how pairs of neighbouring epochs follow from them.

A product holds the displacement of one epoch since a reference epoch, and the reference moves on every now and then. The
epochs of a frame are all dates that its products name. Each two that follow each other make a pair, where the products lead
from one to the other: the difference of two products with the same reference, the product itself, or a longer chain where
the reference moved in between. Of several ways, that of the fewest products is taken. Where none leads there, there is no
pair.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise

from insar_anomaly.names import Pair
from insar_anomaly.sources.archive import Entry

_NAME = re.compile(r"OPERA_L3_DISP-S1_IW_(F\d{5})_(?:VV|HH)_(\d{8}T\d{6})Z_(\d{8}T\d{6})Z_v([\d.]+)_(\d{8}T\d{6})Z\.nc")


@dataclass(frozen=True)
class Named:
    """A product as its name tells it: times are UTC, `version` and `made` order those that stand for the same."""

    entry: Entry
    frame: str
    reference: datetime
    secondary: datetime
    version: tuple[int, ...]
    made: datetime

    @classmethod
    def of(cls, entry: Entry) -> Named | None:
        """The product of a file; None where it is something else. Raises ValueError where a date in the name is none."""
        if (found := _NAME.fullmatch(entry.name)) is None:
            return None
        times = [datetime.strptime(found[i], "%Y%m%dT%H%M%S") for i in (2, 3, 5)]  # noqa: DTZ007
        version = tuple(int(part) for part in found[4].strip(".").split(".") if part)
        return cls(entry, found[1], times[0], times[1], version, times[2])

    @property
    def days(self) -> tuple[date, date]:
        """Dates of the reference and of the epoch."""
        return self.reference.date(), self.secondary.date()


@dataclass(frozen=True)
class Link:
    """A product in a chain: `sign` is 1 where it is walked from its reference to its epoch, -1 for the way back."""

    named: Named
    sign: int


@dataclass(frozen=True)
class Chain:
    """A pair, the products that lead from its earlier to its later epoch, and the time of the earlier one (UTC)."""

    pair: Pair
    links: tuple[Link, ...]
    since: datetime


def newest(products: Iterable[Named]) -> list[Named]:
    """One product for each reference and epoch: the highest version, then the one that was made last. Ordered by dates."""
    best: dict[tuple[date, date], Named] = {}
    for one in products:
        held = best.get(one.days)
        if held is None or (one.version, one.made, one.entry.path) > (held.version, held.made, held.entry.path):
            best[one.days] = one
    return sorted(best.values(), key=lambda one: (one.days[1], one.days[0]))


def chains(products: Iterable[Named]) -> tuple[list[Chain], list[Pair]]:
    """The pairs of neighbouring epochs, in order of dates, and those to which no products lead."""
    links: dict[date, list[tuple[date, Link]]] = {}
    when: dict[date, datetime] = {}
    for one in newest(products):
        reference, epoch = one.days
        links.setdefault(reference, []).append((epoch, Link(one, 1)))
        links.setdefault(epoch, []).append((reference, Link(one, -1)))
        when[reference], when[epoch] = one.reference, one.secondary
    made, broken = [], []
    for first, last in pairwise(sorted(links)):
        way = _way(links, first, last)
        if way:
            made.append(Chain(Pair(first, last), way, when[first]))
        else:
            broken.append(Pair(first, last))
    return made, broken


def _way(links: dict[date, list[tuple[date, Link]]], first: date, last: date) -> tuple[Link, ...]:
    """The fewest products that lead from one epoch to another; empty where none do."""
    known: dict[date, tuple[Link, ...]] = {first: ()}
    waiting = deque([first])
    while waiting and last not in known:
        here = waiting.popleft()
        for there, link in links[here]:
            if there not in known:
                known[there] = (*known[here], link)
                waiting.append(there)
    return known.get(last, ())
