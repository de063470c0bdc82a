"""How fast long work goes, and when it will end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Pace:
    """Work of so many pairs under way. Times are seconds on any clock that only goes forward.

    The rate is the mean since the first pair was done, not of the last minutes: pairs of one archive cost about the same,
    and a mean settles while a moment's rate jumps. What the start of workers and the first listing take is no part of it.

    Parameters
    ----------
    width : workers
    longest : pairs that are left of the largest part of the work that one worker does alone: the others may wait for it
    """

    total: int
    width: int = 1
    longest: Callable[[], int] = int
    _first: tuple[float, int] | None = field(default=None, init=False)
    _last: tuple[float, int] | None = field(default=None, init=False)

    def heard(self, done: int, now: float) -> None:
        """So many pairs are done at this time. A number that falls is left out: parts of the work report out of turn."""
        if self._first is None:
            self._first = (now, done)
        if self._last is None or done >= self._last[1]:
            self._last = (now, done)

    @property
    def rate(self) -> float | None:
        """Pairs per second; None where too little is done to tell."""
        if self._first is None or self._last is None or self._last[1] <= self._first[1] or self._last[0] <= self._first[0]:
            return None
        return (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])

    def left_s(self, now: float) -> float | None:
        """Seconds until the end; None where too little is done to tell."""
        rate = self.rate
        if rate is None or self._last is None:
            return None
        left = max(self.total - self._last[1], self.width * self.longest())
        return max(0.0, left / rate - (now - self._last[0]))

    def words(self, now: float) -> str:
        """Rate and rest for people; empty where too little is done to tell."""
        rate, left = self.rate, self.left_s(now)
        if rate is None or left is None:
            return ""
        return f"{60 * rate:,.0f} pairs a minute, about {lasting(left)} left"


def lasting(seconds: float) -> str:
    """A length of time for people: ``40 s``, ``12 min``, ``5 h 20 min``, ``3 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 36 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
