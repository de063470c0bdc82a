"""Which pairs join which acquisitions, and which of them an assessment sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.names import Span

_MORE = 2
"""Acquisitions before those that are averaged, which help to tell how noisy each is."""


@dataclass(frozen=True)
class Window:
    """What one assessment sees: acquisitions as indices into the network's days, pairs as indices into its pairs.

    `before` ends with the acquisition that opens the interval, `after` begins with the one that closes it; for an
    acquisition alone (`centre`) they are its neighbours on either side. `group` is solved together, from `pairs`. `complete`
    is True where no later acquisition will be averaged with those after the interval.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    group: tuple[int, ...]
    pairs: tuple[int, ...]
    centre: int | None = None
    complete: bool = field(default=False, compare=False)

    @property
    def ends(self) -> tuple[int, int]:
        """The interval's acquisitions; twice the same where an acquisition stands alone."""
        return (self.before[-1], self.after[0]) if self.centre is None else (self.centre, self.centre)

    @property
    def variance(self) -> float:
        """Variance of what is shown where each acquisition's atmosphere has variance one and all are independent."""
        sides = 1 / len(self.before) + 1 / len(self.after)
        return sides if self.centre is None else 1 + sides / 4

    def renumbered(self, days: Sequence[int], pairs: Sequence[int]) -> Window:
        """The same window in terms of a larger network, of which this one's are `days` and `pairs`."""
        before, after, group = (tuple(days[k] for k in side) for side in (self.before, self.after, self.group))
        centre = None if self.centre is None else days[self.centre]
        return Window(before, after, group, tuple(pairs[p] for p in self.pairs), centre, self.complete)


@dataclass(frozen=True)
class Side:
    """Which acquisitions on one side of an interval are averaged, by number and time: the nearest `least` of those within
    `within_days` of the interval's end on that side, and further ones up to `most`, as far as they are within `days`.

    At one acquisition each 12 days, 3 within 24 days are the same whatever `most` is. Where they come faster, more of them
    share the same time, and each adds weather of its own. Across a gap longer than `within_days` nothing is averaged.
    """

    least: int
    most: int
    days: float
    within_days: float

    @classmethod
    def numbered(cls, number: int) -> Side:
        """By number alone, whatever their time."""
        return cls(number, number, 0.0, float("inf"))

    def of(self, away: Sequence[float]) -> int:
        """How many of acquisitions at these distances (acquisition,), days, ascending from 0, are averaged."""
        near = sum(day <= self.within_days for day in away[: self.least])
        return max(near, sum(day <= self.days for day in away[: self.most]))

    def closed(self, away: Sequence[float]) -> bool:
        """True where no acquisition that comes after those at these distances would be averaged with them."""
        number = self.of(away)
        if number < len(away) or number >= self.most:
            return True
        return number >= self.least and away[-1] >= self.days


@dataclass(frozen=True)
class Network:
    """Which pair joins which acquisitions: `days` (acquisition,) datetime64[D] ascending, `ends` (pair, 2) indices."""

    days: NDArray[np.datetime64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, dates: NDArray[np.datetime64]) -> Network:
        """The network of pairs, from their dates (pair, 2): reference, secondary."""
        days, ends = np.unique(dates.astype("datetime64[D]"), return_inverse=True)
        return cls(days, ends.reshape(dates.shape))

    def intervals(self, before: Side, after: Side) -> Iterator[Window]:
        """Every assessment of every interval that pairs join across, in order of time; those with fewer acquisitions first.

        1, 2, .. of the acquisitions that `after` says from the interval's second date on, and those that `before` says up to
        its first date, beyond `Side.least` no more of them than after it, as far as the pairs among them join them: an
        assessment sees no pair that was not there when its last acquisition came.
        """
        for last in range(len(self.days) - 1):
            earlier = self._away(range(last, max(-1, last - before.most - _MORE), -1))
            later = self._away(range(last + 1, min(len(self.days), last + 2 + after.most)))  # one more, to know that it came
            number, reached = before.of(earlier), after.of(later)
            seen = 0
            for newest in range(last + 1, last + 1 + reached):
                # the side with fewer says how much weather is left: more on the other would only look quieter than it is
                early = min(number, max(before.least, newest - last))
                more = sum(day <= before.within_days for day in earlier[early : early + _MORE])
                group = self._joined(range(last - early + 1 - more, newest + 1), last)
                sides = tuple(k for k in group if last - early < k <= last), tuple(k for k in group if k > last)
                if last + 1 in group and len(sides[1]) > seen:
                    seen = len(sides[1])
                    complete = newest == last + reached and after.closed(later)
                    yield Window(*sides, group, self._within(group), complete=complete)

    def acquisitions(self, reach: int, within_days: float = float("inf")) -> Iterator[Window]:
        """An assessment of every acquisition that has `reach` joined neighbours on either side, in order of time.

        None of them is further than `within_days` from it.
        """
        for centre in range(reach, len(self.days) - reach):
            near = range(centre - reach, centre + reach + 1)
            alone = max(self._away([centre, near[0], near[-1]])) > within_days
            group = () if alone else self._joined(near, centre)
            if len(group) == 2 * reach + 1:
                yield Window(group[:reach], group[reach + 1 :], group, self._within(group), centre, complete=True)

    def spanning(
        self, first: int, last: int, *, before: int, after: int, within_days: float = float("inf")
    ) -> Window | None:
        """The window from one acquisition to a later one, however many lie between them.

        Up to `before` acquisitions are averaged on its first side and up to `after` on the other, none further than
        `within_days` from it. None where no pairs among them join the two.
        """
        sides = range(first, max(-1, first - before), -1), range(last, min(len(self.days), last + after))
        early, late = (sum(day <= within_days for day in self._away(side)) for side in sides)
        group = self._joined(range(first - early + 1, last + late), first)
        if last not in group:
            return None
        opening, closing = (tuple(k for k in group if k <= first), tuple(k for k in group if k >= last))
        return Window(opening, closing, group, self._within(group), complete=True)

    def name(self, window: Window) -> str:
        """``YYYYMMDD_YYYYMMDD`` of the interval; an acquisition's has its date twice."""
        first, last = (self.days[k].astype(object) for k in window.ends)
        return Span(first, last).name

    def carried(self, window: Window) -> NDArray[np.int64]:
        """How often (pair,) each of the window's pairs carries what happened in it: 1, 0, or -1 for an acquisition's start.

        A step inside the interval is in every pair that brackets it; what one acquisition shows is in those that begin
        (with the other sign) or end with it.
        """
        first, last = self.ends[list(window.pairs)].T
        opens, closes = window.ends
        if window.centre is None:
            return np.asarray((first <= opens) & (last >= closes), np.int64)
        return np.asarray(last == opens, np.int64) - np.asarray(first == opens, np.int64)

    def _away(self, acquisitions: Sequence[int]) -> list[float]:
        """Days of each acquisition from the first of them."""
        days = self.days[list(acquisitions)].astype("datetime64[D]").astype(np.int64)
        return [float(day) for day in np.abs(days - days[0])] if len(days) else []

    def _within(self, acquisitions: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(p) for p in np.flatnonzero(np.isin(self.ends, acquisitions).all(axis=1)))

    def _joined(self, acquisitions: Sequence[int], one: int) -> tuple[int, ...]:
        """Those of the acquisitions that pairs among them join to `one`."""
        edges = self.ends[list(self._within(acquisitions))]
        group, size = {one}, 0
        while len(group) > size:
            size = len(group)
            group.update(*(edge for edge in edges.tolist() if group.intersection(edge)))
        return tuple(sorted(group))
