"""One rate of false flags for a whole installation: the level above which a flag is told.

Every stack's own threshold lets through about one flag a year on quiet ground. Three thousand stacks then raise three
thousand a year. What is told must lie above a *level*: the return period that all stacks together are expected to pass as
often as the budget allows. What lies between a stack's own threshold and its level is noted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.return_period import Tail

_TOGETHER_DAYS = 12
"""Peaks of different stacks within so many days of each other may have one cause: weather of a region."""
_HILL = 20
"""Peaks, at most, from which the slope of the common tail is taken beyond the rarest."""
_FLATTEST = 0.3
"""Slope that is taken where so few peaks are known that it may be anything: heavier tails were never seen."""
_ONE_SIDED = 1.64
"""Standard deviations of a one-sided bound of 95 %."""
_BLOCKS = 3.0
"""How many times fewer false flags may come than the quiet record holds. The models that gave the record's scores know a
part of it; fresh scores come from the model of all of it, which fewer days surprise (decision 17)."""
_KEPT = 5000
"""Peaks that a pool keeps, the rarest: enough for two quiet years of 2,500 stacks and one flag a year of each."""


@dataclass(frozen=True)
class Level:
    """What is told of an installation's flags: those that a stack's quiet ground reaches at most `rate` times a year.

    `budget` is the number of false flags a year that was asked for, all stacks together; `expected` what the quiet records
    of `stacks` stacks, `years` years of them, give at the level, with its 95 % interval: Poisson, widened by how many peaks
    come together, and downwards because models of blocks of time are surprised more often than the model of all. `short`:
    the record is too short for the budget; the level is then that of the interval's upper end. `without` counts further
    stacks, of whose tails too little is known: their flags are told from their own threshold on.
    """

    rate: float
    budget: float
    expected: Estimate
    stacks: int
    years: float
    short: bool = False
    without: int = 0

    @property
    def period_years(self) -> float:
        """The return period, years, from which on a flag is told; 0 where the budget asks nothing of the stacks."""
        return 1 / self.rate

    @property
    def words(self) -> str:
        """One sentence for people."""
        if math.isinf(self.rate):
            most = f"fewer than {self.budget:g} false flags a year"
            return f"notices are sent for all flags: {self.stacks} stacks are expected to raise {most}"
        uncounted = f"; {self.without} more stacks know too little to be counted" if self.without else ""
        bound = "; the quiet records are too short for this budget: the upper bound of the expected rate is held to it"
        return (
            f"notices are sent for flags from a return period of {self.period_years:.3g} years on; {self.stacks} stacks "
            f"with {self.years:.3g} quiet years are then expected to raise {self.expected.value:.3g} "
            f"({self.expected.low:.3g} to {self.expected.high:.3g}) false flags a year, of {self.budget:g} allowed"
            f"{bound if self.short else ''}{uncounted}"
        )


@dataclass(frozen=True)
class Pool:
    """The quiet peaks of all stacks and couples of an installation, each measured by the tail of its stack's other peaks.

    `rates` (peak,) ascending, times a year, see `Tail.left_out`; `days` (peak,) their acquisitions as day numbers; `peaks`
    how many there are, of which only the rarest are kept; `stacks` and `years` are those that the peaks come from; `without`
    counts the stacks that have no tail: a budget cannot count their flags, which are told from their own threshold on.
    """

    rates: tuple[float, ...]
    days: tuple[int, ...]
    peaks: int
    stacks: int
    years: float
    without: int = 0

    @classmethod
    def of(cls, tails: Iterable[Tail | None]) -> Pool:
        """The common pool of these stacks' tails, where they have one."""
        every = list(tails)
        known = [tail for tail in every if tail is not None]
        found = sorted(
            (float(rate), peak.day.toordinal())
            for tail in known
            for rate, peak in zip(tail.left_out, tail.peaks, strict=True)
        )
        rates, days = ([one[i] for one in found[:_KEPT]] for i in (0, 1))
        years = math.fsum(tail.years for tail in known)
        return cls(tuple(rates), tuple(map(int, days)), len(found), len(known), years, len(every) - len(known))

    def level(self, budget: float) -> Level:
        """The level that lets through `budget` false flags a year, all stacks together.

        The number of peaks below a rate is what that rate lets through in the years of the record, whatever the form of the
        tails: stacks that are heavier than their own tail says make the common count larger, and the level stricter for all.
        Between two peaks the count follows an exponential tail. Beyond the rarest its slope is the lower bound of Hill's, at
        most that of the exponential, and the upper bound of the count is held to the budget.

        Source of the slope: Hill, Ann. Stat. 3, 1975. The idea of one common tail for places that are scaled by their own
        records is the index flood: Hosking and Wallis, Regional Frequency Analysis, 1997.
        """
        nothing = Level(math.inf, budget, Estimate(0.0, 0.0, 0.0), self.stacks, self.years, without=self.without)
        if not self.stacks:
            return nothing
        rates, days, scale = np.array(self.rates), np.array(self.days), self.stacks / self.years
        allowed = budget / scale
        if self.peaks <= allowed:
            return replace(nothing, expected=_expected(self.peaks, days, scale))
        if allowed < 1:
            return _beyond(rates, days, allowed, nothing)
        rank = min(int(allowed), len(rates) - 1)
        part = min(1.0, math.log(allowed / rank) / math.log((rank + 1) / rank))
        rate = rates[rank - 1] * (rates[rank] / rates[rank - 1]) ** part
        return replace(nothing, rate=float(rate), expected=_expected(allowed, days[:rank], scale))


def _beyond(rates: NDArray[np.float64], days: NDArray[np.int64], allowed: float, found: Level) -> Level:
    """The level of a budget that the record is too short for: its upper bound is held to what is allowed."""
    few = min(_HILL, len(rates))
    together = _together(days[:few])
    high = _garwood(few / together)[1] * together
    edge = float(rates[few - 1])
    slope = min(1.0, few / max(float(np.log(edge / rates[:few]).sum()), 1e-9))
    # its lower bound: a tail that is thought too light is told too often
    slope = max(_FLATTEST, slope * (1 - _ONE_SIDED / math.sqrt(few)))
    rate = edge * (allowed / high) ** (1 / slope)
    most, scale = high / few, found.stacks / found.years
    expected = Estimate(allowed / most * scale, 0.0, allowed * scale)
    return replace(found, rate=rate, expected=expected, short=True)


def _expected(count: float, days: NDArray[np.int64], scale: float) -> Estimate:
    """Flags a year from a count of peaks, with their days, in the record; `scale` turns one into the other."""
    together = _together(days)
    low, high = _garwood(count / together)
    return Estimate(count * scale, low / _BLOCKS * together * scale, high * together * scale)


def _together(days: NDArray[np.int64]) -> float:
    """How many peaks come with one: the mean number, over peaks, of those in the same twelve days. 1 where each is alone."""
    if not len(days):
        return 1.0
    _, counts = np.unique(days // _TOGETHER_DAYS, return_counts=True)
    return float((counts**2).sum() / counts.sum())


def _garwood(count: float) -> tuple[float, float]:
    """Exact 95 % interval of a Poisson mean; the count may be any number from 0 on."""
    low = scipy.stats.gamma.ppf(0.025, count) if count > 0 else 0.0
    return float(low), float(scipy.stats.gamma.ppf(0.975, count + 1))


def told_from(own: float | None, tail: Tail | None, rate: float) -> float | None:
    """The score from which on a stack's flag is told: its own threshold, or the level of all where that is higher."""
    if own is None or tail is None or math.isinf(rate):
        return own
    return max(own, tail.score_at(rate))
