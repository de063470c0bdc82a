"""Slow motion: when did the ground begin to move, where, how fast, and is that more than weather?

A source that begins to move is a *hinge* in the series of acquisitions: nothing before its onset, a line after it. At every
place and depth of a bank of point sources the whitened acquisitions are projected onto the source's pattern, and the
hinge's slope is fitted by weighted least squares beside the place's own level and line. The line takes what has always
crept.

Weather has heavy tails: a few stormy days are many times noisier than the rest. Two things keep them harmless. An
acquisition counts by the inverse of its whitened energy, which is the likelihood's own weight where a day's weather is a
Gaussian field of unknown strength (Tyler 1987; the limit of a multivariate t with few degrees of freedom). And the slope is
divided by the scatter of this very series about its fit, so that the statistic is Student's t whatever the strength of the
noise: what was wrong with the covariance of the training years cancels. All onsets and places then share one scale: the
normal deviate that is as rare as that t.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtri_exp
from scipy.stats import t as student

from insar_anomaly.detectors.matched_filter import ledoit_wolf

Floats = NDArray[np.float64]

SCALES_DAYS = (60.0, 90.0, 120.0, 180.0, 270.0, 365.0, 540.0, 730.0)
"""Ages of motion that are looked for."""
LEAST_AFTER = 4
"""Acquisitions that a slope needs."""
LEAST_BEFORE = 8
"""Acquisitions before the onset, which say what is normal."""
_ROUNDS = 5
_LOG_HALF = float(np.log(0.5))


@dataclass(frozen=True)
class Noise:
    """The weather of a stack: ``factor`` (block, block), the lower Cholesky factor of the shape of its covariance.

    The shape alone: how strong the weather of a day is, the day says itself.
    """

    factor: Floats

    @classmethod
    def of(cls, acquisitions: Floats) -> Noise:
        """From quiet acquisitions (acquisition, block) in order of time, with what is known of place taken off; no NaN.

        From second differences, which motion hardly changes. Each counts by the inverse of its energy, found by turns with
        the shape (Tyler's estimator, shrunk as Ledoit and Wolf do).

        Raises
        ------
        ValueError
            where there are fewer than eight acquisitions, or they do not differ.
        """
        if len(acquisitions) < LEAST_BEFORE:
            raise ValueError(f"{len(acquisitions)} acquisitions say too little of the weather: give at least {LEAST_BEFORE}")
        apart = acquisitions[1:-1] - (acquisitions[:-2] + acquisitions[2:]) / 2
        apart = apart[(apart**2).sum(1) > 0]
        if not len(apart):
            raise ValueError("the acquisitions are all the same: their weather cannot be learned")
        energy = (apart**2).mean(1)
        for _ in range(_ROUNDS):
            even = apart / np.sqrt(energy)[:, None]
            factor: Floats = np.linalg.cholesky(ledoit_wolf(even)).astype(np.float64, copy=False)
            energy = (solve_triangular(factor, apart.T, lower=True) ** 2).mean(0)
        return cls(factor)

    def whitened(self, acquisitions: Floats) -> Floats:
        """Acquisitions (acquisition, block) in which all blocks have the same, independent noise."""
        out: Floats = solve_triangular(self.factor, acquisitions.T, lower=True).T
        return out


@dataclass(frozen=True)
class Projected:
    """Acquisitions as a bank of sources sees them.

    ``days`` (acquisition,) float64; ``size`` (acquisition, source), by how much each source alone, in units of its pattern,
    fits best; ``weight`` (acquisition,), the inverse of the whitened energy.
    """

    days: Floats
    size: Floats
    weight: Floats

    @classmethod
    def of(cls, days: Floats, whitened: Floats, patterns: Floats) -> Projected:
        """From whitened acquisitions (acquisition, block) and whitened patterns (source, block)."""
        size = whitened @ patterns.T / (patterns**2).sum(1)
        return cls(days, size, 1 / (whitened**2).mean(1).clip(np.finfo(float).tiny))


@dataclass(frozen=True)
class Hinges:
    """The best hinge of each acquisition's record up to it, over all places and onsets.

    All (acquisition,): ``deviate``, how rare it is as a normal deviate (-inf where too little is known), ``source``, its
    place in the bank, ``onset`` in days and ``slope`` in size per day.
    """

    deviate: Floats
    source: NDArray[np.int64]
    onset: Floats
    slope: Floats


def hinges(seen: Projected, *, scales_days: tuple[float, ...] = SCALES_DAYS) -> Hinges:
    """Fit a hinge at every age, place and acquisition. See the module.

    A fit takes sums over the record only, so that one more acquisition costs one more row of sums.
    """
    number = len(seen.days)
    out = Hinges(np.full(number, -np.inf), np.zeros(number, np.int64), np.full(number, np.nan), np.full(number, np.nan))
    sums = _Sums.of(seen)
    for age in scales_days:
        ends = np.arange(1, number + 1)
        onset = seen.days[ends - 1] - age
        begins = np.searchsorted(seen.days, onset, side="right")
        fit = (ends - begins >= LEAST_AFTER) & (begins >= LEAST_BEFORE)
        if not fit.any():
            continue
        slope, t = sums.fitted(begins[fit], ends[fit], onset[fit])
        best = np.abs(t).argmax(1)
        rows, last = np.arange(len(best)), ends[fit] - 1
        deviate = _deviate(np.abs(t)[rows, best], np.asarray(ends[fit] - 3, np.float64))
        better = deviate > out.deviate[last]
        out.deviate[last[better]] = deviate[better]
        out.source[last[better]] = best[better]
        out.onset[last[better]] = onset[fit][better]
        out.slope[last[better]] = slope[rows, best][better]
    return out


def _deviate(t: Floats, freedom: Floats) -> Floats:
    """The normal deviate that is exceeded as rarely as this `t` >= 0, both tails together."""
    out: Floats = -ndtri_exp(np.minimum(student.logsf(t, freedom), _LOG_HALF))
    return out


@dataclass(frozen=True)
class _Sums:
    """Running sums over the record: (acquisition + 1,) or (acquisition + 1, source). Time is counted from its middle."""

    middle: float
    one: tuple[Floats, Floats, Floats]
    size: tuple[Floats, Floats]
    square: Floats

    @classmethod
    def of(cls, seen: Projected) -> _Sums:
        middle = float(seen.days.mean())
        w, t = seen.weight[:, None], (seen.days - middle)[:, None]

        def run(values: Floats) -> Floats:
            return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0)])

        return cls(
            middle, (run(w), run(w * t), run(w * t * t)), (run(w * seen.size), run(w * t * seen.size)), run(w * seen.size**2)
        )

    def fitted(self, begins: NDArray[np.int64], ends: NDArray[np.int64], onset: Floats) -> tuple[Floats, Floats]:
        """Slope of the hinge and its t (end, source), from acquisitions before `ends`; `begins`: the first after it."""
        at = (onset - self.middle)[:, None]
        w, wt, wtt = (s[ends] for s in self.one)
        after = [s[ends] - s[begins] for s in self.one]
        h, ht, hh = after[1] - at * after[0], after[2] - at * after[1], after[2] - 2 * at * after[1] + at**2 * after[0]
        a, ta, aa = self.size[0][ends], self.size[1][ends], self.square[ends]
        a_after, ta_after = (s[ends] - s[begins] for s in self.size)
        ha = ta_after - at * a_after
        # take level and line off the hinge and off the sizes, by weighted least squares
        spread = wtt - wt**2 / w
        h_line, a_line = (ht - wt * h / w) / spread, (ta - wt * a / w) / spread
        hinge = hh - h**2 / w - h_line**2 * spread
        both = ha - h * a / w - h_line * a_line * spread
        left = aa - a**2 / w - a_line**2 * spread
        slope = both / hinge
        scatter = np.maximum(left - slope * both, 1e-12 * aa) / (ends - 3.0)[:, None]
        return slope, slope * np.sqrt(hinge / scatter)
