"""How rarely a stack's quiet ground reaches a score: its return period, from the tail of the out-of-sample scores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import ArrayLike, NDArray

from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.names import JsonObject

_EDGE, _LOWEST = 0.8, 0.5
"""Parts of the quiet scores that lie below the tail: of a long record, and at least. Higher leaves too few, lower measures
the middle."""
_WANTED = 10
"""Scores that a short record should have in its tail."""
_FEWEST = 2
"""Peaks without which a tail says nothing."""
_QUANTILES = 200
"""Points at which each of the tail's two unknowns is taken for an interval."""


@dataclass(frozen=True)
class Peak:
    """The highest of quiet scores that touch each other in time: one bad acquisition makes several high scores and one peak.

    `day` is its last acquisition, `excess` its height over the tail's edge.
    """

    day: date
    excess: float


@dataclass(frozen=True)
class Tail:
    """The peaks of a stack's quiet scores over an edge, in `years` of observation.

    Peaks are taken to come at random and their excess to be exponential. Neither the rate nor the scale is known, only
    estimated from n peaks: a new peak passes an excess x with probability (1 + x / sum of excesses)^-n, which is exact for
    exponential peaks and heavier than the exponential with the estimated scale. Real tails may be heavier still; `budget`
    measures that on all stacks together.

    Source: predictive distribution of an exponential sample with unknown scale (Lomax), e.g. Aitchison and Dunsmore,
    Statistical Prediction Analysis, 1975; peaks over a threshold as Davison and Smith, J. R. Stat. Soc. B 52, 1990.
    """

    edge: float
    peaks: tuple[Peak, ...]
    years: float

    @classmethod
    def of(cls, score: ArrayLike, dates: NDArray[np.datetime64], years: float) -> Tail | None:
        """The tail of quiet scores (assessment,) with dates (assessment, 2); None where there are too few peaks.

        No score may be NaN.
        """
        values = np.asarray(score, float)
        if not len(values) or years <= 0:
            return None
        below = min(_EDGE, max(_LOWEST, 1 - _WANTED / len(values)))
        edge = float(np.quantile(values, below))
        over = np.flatnonzero(values > edge)
        days = dates.astype("datetime64[D]")
        peaks = []
        for group in _touching(days[over]):
            top = over[group[np.argmax(values[over[group]])]]
            peaks.append(Peak(days[top, 1].astype(object), float(values[top] - edge)))
        return cls(edge, tuple(peaks), years) if len(peaks) >= _FEWEST else None

    def rate(self, score: float) -> float:
        """Times a year that quiet ground is expected to reach the score; that of the edge for all scores below it."""
        return self._at_edge * self._passes(max(0.0, score - self.edge))

    def score_at(self, rate: float) -> float:
        """The score that quiet ground reaches so many times a year; the edge for rates above the edge's own."""
        if rate >= self._at_edge:
            return self.edge
        if rate <= 0:
            return math.inf
        with np.errstate(over="ignore"):
            return float(self.edge + self._sum * np.expm1(np.log(self._at_edge / rate) / len(self.peaks)))

    def period(self, score: float) -> Estimate:
        """The return period of a score, years, with its 95 % interval; at or below the edge it is that of the edge.

        The interval holds what n peaks leave open of the rate (gamma) and of the scale (inverse gamma).
        """
        n, excess = len(self.peaks), max(0.0, score - self.edge)
        middle = (np.arange(_QUANTILES) + 0.5) / _QUANTILES
        rates = scipy.stats.gamma.ppf(middle, n) / self.years
        scales = self._sum / scipy.stats.gamma.ppf(middle, n)
        logs = (excess / scales[:, None] - np.log(rates)[None, :]).ravel()
        # beyond e^700 years a float ends, and so does every meaning
        low, high = np.exp(np.minimum(np.quantile(logs, [0.025, 0.975]), 690))
        value = 1 / max(self.rate(score), 1e-300)  # heavier than any one scale gives: far out it may lie below them all
        return Estimate(value, min(value, float(low)), max(value, float(high)))

    @property
    def left_out(self) -> NDArray[np.float64]:
        """Rate (peak,) at which each peak's excess is reached by the tail of the other peaks, times a year.

        Where peaks are exponential these rates are uniform between 0 and the edge's own rate: no peak helped to measure
        itself.
        """
        excess = np.array([peak.excess for peak in self.peaks])
        rest = excess.sum() - excess
        out: NDArray[np.float64] = self._at_edge * (1 + excess / np.maximum(rest, 1e-300)) ** (1.0 - len(excess))
        return out

    @property
    def plain(self) -> JsonObject:
        """For JSON."""
        return {
            "edge": self.edge,
            "peaks": [[peak.day.isoformat(), peak.excess] for peak in self.peaks],
            "years": self.years,
        }

    @classmethod
    def read(cls, plain: JsonObject) -> Tail:
        """From `plain`."""
        peaks = tuple(Peak(date.fromisoformat(day), float(excess)) for day, excess in plain["peaks"])
        return cls(float(plain["edge"]), peaks, float(plain["years"]))

    @property
    def _at_edge(self) -> float:
        return len(self.peaks) / self.years

    @property
    def _sum(self) -> float:
        return math.fsum(peak.excess for peak in self.peaks)

    def _passes(self, excess: float) -> float:
        return float(np.exp(-len(self.peaks) * np.log1p(excess / max(self._sum, 1e-300))))


def _touching(days: NDArray[np.datetime64]) -> list[NDArray[np.int64]]:
    """Groups of spans (span, 2) that overlap or share a date, by number, in order of time."""
    order = np.lexsort((days[:, 1], days[:, 0]))
    groups: list[list[int]] = []
    until: np.datetime64 | None = None
    for one in order:
        first, last = days[one]
        if until is None or first > until:
            groups.append([])
            until = last
        groups[-1].append(int(one))
        until = max(until, last)
    return [np.array(group) for group in groups]


def words_of_years(years: float) -> str:
    """A return period in words: two digits, and no more than anybody can mean."""
    if years >= 1e4:
        return "more than 10,000 years"
    if years >= 1:
        return f"{float(f'{years:.2g}'):,g} years"
    return f"{timedelta(days=365.25 * years).days} days"
