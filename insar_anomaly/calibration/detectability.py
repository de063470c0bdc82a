"""How small a source a stack would have seen: chance of detection by peak and place, from injections into quiet pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import ArrayLike, NDArray

from insar_anomaly.names import JsonObject

_CELLS = 9
_PRIOR = 4.0
"""Standard deviation of the curve's slope before any injection is seen: weak beside a hundred injections."""


@dataclass(frozen=True)
class Peak:
    """A peak of line-of-sight motion in cm; `bound` is ``=``, or ``<`` and ``>`` where the injections do not reach it."""

    cm: float
    bound: str = "="

    def __str__(self) -> str:
        return f"{'' if self.bound == '=' else self.bound + ' '}{self.cm:.2g} cm"


@dataclass(frozen=True)
class Detectability:
    """The smallest peaks that are seen in half and in nine tenths of cases, over all places, and by place.

    `map_cm` (v, u) is the peak in cm seen in half of cases on a coarse grid over the scene's middle, row 0 north, `edges`
    the part of the scene (0 to 1, along both sides) that it covers: sources are injected there and nowhere else. The map
    stays within the injected peaks: its ends stand for "or less" and "or more". It is empty where one peak was injected.
    """

    half: Peak
    most: Peak
    map_cm: NDArray[np.float64]
    edges: tuple[float, float]

    def as_dict(self) -> JsonObject:
        """Everything, ready for JSON."""
        return {
            "half": {"cm": self.half.cm, "bound": self.half.bound},
            "most": {"cm": self.most.cm, "bound": self.most.bound},
            "map_cm": np.round(self.map_cm, 3).tolist(),
            "edges": list(self.edges),
        }

    @classmethod
    def of(cls, content: JsonObject) -> Detectability:
        """From what `as_dict` gave."""
        half, most = (Peak(**content[name]) for name in ("half", "most"))
        low, high = content["edges"]
        shape = (len(content["map_cm"]), -1) if content["map_cm"] else (0, 0)
        return cls(half, most, np.array(content["map_cm"], float).reshape(shape), (low, high))


def detectability(peaks_cm: ArrayLike, places: ArrayLike, seen: ArrayLike) -> Detectability:
    """Fit the chance of detection to injections.

    Parameters
    ----------
    peaks_cm : (injection,), cm line of sight, positive
    places : (injection, 2), row and column of the source as parts of the scene's sides, 0 to 1
    seen : (injection,) bool, True where the score was over the stack's threshold

    The chance is a logistic function of the logarithm of the peak and of a quadratic in the place, by maximum likelihood
    with a weak prior on the slope, lightly shrunk towards no dependence on place.

    Raises
    ------
    ValueError
        where there is no injection.
    """
    peaks, where, hits = np.asarray(peaks_cm, float), np.asarray(places, float).reshape(-1, 2), np.asarray(seen, bool)
    if not len(peaks):
        raise ValueError("no injection: detectability needs sources injected into quiet pairs")
    low, high = float(peaks.min()), float(peaks.max())
    edges = (float(where.min()), float(where.max()))
    if hits.all() or not hits.any() or low == high:
        # no curve can be fitted: what was measured at the peaks themselves
        half, most = (Peak(low, "<") if hits.mean() >= share else Peak(high, ">") for share in (0.5, 0.9))
        return Detectability(half, most, np.empty((0, 0)), edges)
    chance = _Chance.fitted(peaks, where, hits)
    centres = edges[0] + (np.arange(_CELLS) + 0.5) / _CELLS * (edges[1] - edges[0])
    grid = np.stack(np.meshgrid(centres, centres, indexing="ij"), -1)
    by_place = np.clip(chance.half(grid.reshape(-1, 2)), low, high).reshape(_CELLS, _CELLS)
    half, most = (chance.reached(share, where, low, high) for share in (0.5, 0.9))
    return Detectability(half, most, by_place, edges)


def words(half: Peak, most: Peak) -> str:
    """The two peaks of a `Detectability`, as a notice says them."""
    nine = {
        "=": f"Nine of ten are detected from {most.cm:.2g} cm.",
        ">": f"Even at {most.cm:.2g} cm, fewer than nine of ten are detected.",
        "<": f"Of sources of {most.cm:.2g} cm, nine of ten are detected.",
    }
    motion = "peak line-of-sight motion"
    if half.bound == ">":
        return f"This stack misses at least half of all sources of {half.cm:.2g} cm {motion}. Larger ones were not tried."
    if half.bound == "<":
        seen = f"This stack detects at least half of all sources of {half.cm:.2g} cm {motion}. Smaller ones were not tried."
    else:
        seen = f"This stack detects half of all sources of {half.cm:.2g} cm {motion}."
    return f"{seen} {nine[most.bound]}"


@dataclass(frozen=True)
class _Chance:
    """logit P = level + slope ln(peak) + a quadratic in the place."""

    level: float
    slope: float
    bend: NDArray[np.float64]

    @classmethod
    def fitted(cls, peaks: NDArray[np.float64], places: NDArray[np.float64], seen: NDArray[np.bool_]) -> _Chance:
        from sklearn.linear_model import LogisticRegression  # half a second, and few commands come here

        # the middle of the range as origin: the level is not shrunk, and must not share in the slope's prior
        origin = float(np.log(peaks).mean())
        columns = np.column_stack([_PRIOR * (np.log(peaks) - origin), _quadratic(places)])
        model = LogisticRegression(C=1.0, max_iter=1000).fit(columns, seen)
        # a larger source is never harder to see: few injections may say so by chance
        slope = max(_PRIOR * float(model.coef_[0, 0]), 0.1)
        return cls(float(model.intercept_[0]) - slope * origin, slope, model.coef_[0, 1:])

    def half(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        """Peak (place,) in cm seen in half of cases."""
        out: NDArray[np.float64] = np.exp(-(self.level + _quadratic(places) @ self.bend) / self.slope)
        return out

    def reached(self, share: float, places: NDArray[np.float64], low: float, high: float) -> Peak:
        """Peak that is seen in `share` of cases over all places."""
        offset = self.level + _quadratic(places) @ self.bend

        def missing(log_peak: float) -> float:
            return float(scipy.special.expit(offset + self.slope * log_peak).mean()) - share

        first, last = np.log(low), np.log(high)
        if missing(first) > 0:
            return Peak(low, "<")
        if missing(last) < 0:
            return Peak(high, ">")
        return Peak(float(np.exp(scipy.optimize.brentq(missing, first, last))))


def _quadratic(places: NDArray[np.float64]) -> NDArray[np.float64]:
    y, x = (2 * places - 1).T
    return np.column_stack([y, x, y * y, x * x, x * y])
