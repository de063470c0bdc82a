"""Which pairs join which acquisitions, and which of them an assessment sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.names import Span

_MORE = 2
"""Acquisitions before those that are averaged, which help to tell how noisy each is."""


@dataclass(frozen=True)
class Window:
    """What one assessment sees: acquisitions as indices into the network's days, pairs as indices into its pairs.

    `before` ends with the acquisition that opens the interval, `after` begins with the one that closes it; for an
    acquisition alone (`centre`) they are its neighbours on either side. `group` is solved together, from `pairs`.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    group: tuple[int, ...]
    pairs: tuple[int, ...]
    centre: int | None = None

    @property
    def ends(self) -> tuple[int, int]:
        """The interval's acquisitions; twice the same where an acquisition stands alone."""
        return (self.before[-1], self.after[0]) if self.centre is None else (self.centre, self.centre)

    @property
    def variance(self) -> float:
        """Variance of what is shown where each acquisition's atmosphere has variance one and all are independent."""
        sides = 1 / len(self.before) + 1 / len(self.after)
        return sides if self.centre is None else 1 + sides / 4


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

    def intervals(self, before: int, after: int) -> Iterator[Window]:
        """Every assessment of every interval that pairs join across, in order of time; those with fewer acquisitions first.

        Up to `before` acquisitions that end with the interval's first date, and 1, 2, .. `after` from its second on, as far
        as the pairs among them join them: an assessment sees no pair that was not there when its last acquisition came.
        """
        for last in range(len(self.days) - 1):
            seen = 0
            for newest in range(last + 1, min(len(self.days), last + 1 + after)):
                group = self._joined(range(max(0, last - before + 1 - _MORE), newest + 1), last)
                sides = tuple(k for k in group if last - before < k <= last), tuple(k for k in group if k > last)
                if last + 1 in group and len(sides[1]) > seen:
                    seen = len(sides[1])
                    yield Window(*sides, group, self._within(group))

    def acquisitions(self, reach: int) -> Iterator[Window]:
        """An assessment of every acquisition that has `reach` joined neighbours on either side, in order of time."""
        for centre in range(reach, len(self.days) - reach):
            group = self._joined(range(centre - reach, centre + reach + 1), centre)
            if len(group) == 2 * reach + 1:
                yield Window(group[:reach], group[reach + 1 :], group, self._within(group), centre)

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
