"""What is quiet at each variance of fused evidence."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Level:
    """What is quiet at each variance v of fused evidence: score = location + slope v, with spread + growth v around it.

    Few acquisitions on a side leave more atmosphere, and a higher score on quiet ground: measured in these terms,
    assessments with few and with many are alike and have one threshold. The lines are not drawn out: below `least` and above
    `most`, the variances that were seen, the level at these is taken.
    """

    location: float
    slope: float
    spread: float
    growth: float
    least: float
    most: float

    @property
    def text(self) -> str:
        """The stored form, JSON: a model keeps the level that its scores are measured by."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Level:
        """From the stored form."""
        return cls(**json.loads(text))

    @classmethod
    def of(cls, scores: NDArray[np.float64], variance: NDArray[np.float64]) -> Level:
        """From quiet scores (assessment,): a line of medians for the location, then one for the distance from it.

        Medians, because one jump of unwrapping in the quiet time must not lift what is quiet.
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
        return cls(location, slope, spread, growth, float(ends[0]), float(ends[1]))

    def standard(self, scores: Any, variance: Any) -> Any:
        """Scores (or maps of them) in these terms: zero is usual, half of quiet assessments are within one of it."""
        at = np.clip(variance, self.least, self.most)
        return (scores - self.location - self.slope * at) / (self.spread + self.growth * at)


def _line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Intercept and slope of the line of medians (Theil and Sen); a flat one where all x are alike."""
    if np.ptp(x) < 1e-6:
        return float(np.median(y)), 0.0
    one, other = np.triu_indices(len(x), 1)
    apart = np.abs(x[one] - x[other]) > 1e-6
    slope = float(np.median((y[one] - y[other])[apart] / (x[one] - x[other])[apart]))
    return float(np.median(y - slope * x)), slope
