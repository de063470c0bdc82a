"""What is quiet at each variance of fused evidence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALONE = 1.0
"""Variance from which on one side has one acquisition: see `network.Window.variance`."""
_FEW = 20
"""Assessments of which a tail can be told."""


@dataclass(frozen=True)
class Level:
    """What is quiet at each variance v of fused evidence: score = location + slope v, with spread + growth v around it.

    Few acquisitions on a side leave more atmosphere, and a higher score on quiet ground: measured in these terms,
    assessments with few and with many are alike and have one threshold. `least` and `most` are the variances that were seen.
    Above `most` the lines are not drawn out. Below `least`, where acquisitions come faster than in the quiet time, they are:
    but neither location nor spread falls faster than the root of the variance, as the noise itself does.

    False flags are allowed for in a year. Quiet intervals took `days` each, as a rule, and their scores have an exponential
    `tail`. An interval that takes less time has its share only: its score is lowered by ``tail * log(days / its days)``.
    Assessments that see one acquisition on a side have a tail of their own, `early`: the weather of one day has a longer one
    than the mean of several. None: it is `tail` (levels of earlier versions, and where too few were seen).
    Where `days` is 0 (levels of earlier versions) all intervals are alike.
    """

    location: float
    slope: float
    spread: float
    growth: float
    least: float
    most: float
    days: float = 0.0
    tail: float = 0.0
    early: float | None = None

    @property
    def text(self) -> str:
        """The stored form, JSON: a model keeps the level that its scores are measured by."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Level:
        """From the stored form."""
        return cls(**json.loads(text))

    @classmethod
    def of(
        cls, scores: NDArray[np.float64], variance: NDArray[np.float64], days: NDArray[np.float64] | None = None
    ) -> Level:
        """From quiet scores (assessment,): a line of medians for the location, then one for the distance from it.

        Medians, because one jump of unwrapping in the quiet time must not lift what is quiet. `days` (assessment,) is how
        long each one's interval took; None where its share of the false flags does not matter.
        """
        if not len(scores):
            return cls(0.0, 0.0, 1.0, 0.0, 1.0, 1.0)
        ends = np.array([variance.min(), variance.max()])
        location, slope = _line(variance, scores)
        distance = np.abs(scores - location - slope * variance)
        spread, growth = _line(variance, distance)
        usual = float(np.median(distance))
        if (spread + growth * ends).min() <= max(0.25 * usual, 1e-6):  # too few assessments to tell: one spread for all
            spread, growth = max(usual, 1e-6 * float(np.abs(scores).max()), 1e-6), 0.0
        plain = cls(location, slope, spread, growth, float(ends[0]), float(ends[1]))
        if days is None:
            return plain
        measured, alone = plain.standard(scores, variance), variance >= _ALONE
        tails = [_mean_excess(measured[which]) if which.sum() >= _FEW else None for which in (~alone, alone)]
        tail = _mean_excess(measured) if tails[0] is None else tails[0]
        return replace(plain, days=float(np.median(days)), tail=tail, early=tails[1])

    def standard(self, scores: Any, variance: Any, days: Any = np.inf) -> Any:
        """Scores (or maps of them) in these terms: zero is usual, half of quiet assessments are within one of it.

        `days` is how long the interval took, infinite where its share of the false flags does not matter.
        """
        at = np.clip(variance, self.least, self.most)
        above, spread = scores - self.location - self.slope * at, self.spread + self.growth * at
        if np.any(below := variance < self.least):
            slower = np.sqrt(np.minimum(variance, self.least) / self.least)
            location = self.location + self.slope * self.least
            location = np.maximum(self.location + self.slope * variance, np.minimum(location, location * slower))
            above = np.where(below, scores - location, above)
            spread = np.where(below, np.maximum(self.spread + self.growth * variance, spread * slower), spread)
        tail = self.tail if self.early is None else np.where(variance >= _ALONE, self.early, self.tail)
        share = tail * np.log(np.maximum(1.0, self.days / np.maximum(days, 1e-6)))
        return above / spread - share


def _mean_excess(scores: NDArray[np.float64]) -> float:
    """By how much those over the 80 % quantile exceed it on average."""
    over = scores - np.quantile(scores, 0.8)
    return float(over[over > 0].mean()) if (over > 0).any() else 0.0


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Intercept and slope of the line of medians (Theil and Sen); a flat one where all x are alike."""
    if np.ptp(x) < 1e-6:
        return float(np.median(y)), 0.0
    one, other = np.triu_indices(len(x), 1)
    apart = np.abs(x[one] - x[other]) > 1e-6
    slope = float(np.median((y[one] - y[other])[apart] / (x[one] - x[other])[apart]))
    return float(np.median(y - slope * x)), slope
