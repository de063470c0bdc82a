"""How good is a score: AUROC with bootstrap intervals by date, rates with exact intervals, average precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auroc(negative: ArrayLike, positive: ArrayLike) -> float:
    """Probability that a positive scores higher than a negative, ties counted half. NaN where either side is empty.

    Raises
    ------
    ValueError
        where a score is NaN: decide what an unscored pair means before asking how good the scores are.
    """
    labels, scores = _labelled(negative, positive)
    if not 0 < labels.sum() < labels.size:
        return float("nan")
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


def average_precision(negative: ArrayLike, positive: ArrayLike) -> float:
    """Area under the precision-recall curve. NaN where either side is empty; raises on NaN scores."""
    labels, scores = _labelled(negative, positive)
    if not 0 < labels.sum() < labels.size:
        return float("nan")
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def roc(negative: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """False positive rate, true positive rate and threshold of every operating point, from strict to lax."""
    from sklearn.metrics import roc_curve

    labels, scores = _labelled(negative, positive)
    fpr, tpr, threshold = roc_curve(labels, scores, drop_intermediate=False)
    return fpr, tpr, threshold


def auroc_interval(
    scores: ArrayLike, labels: ArrayLike, dates: Sequence[Sequence[object]], *, seed: int = 0, draws: int = 1000
) -> Estimate:
    """AUROC with a 95 % bootstrap interval resampled by acquisition date.

    Pairs share dates and so share atmosphere: resampling pairs would make the interval too narrow. Each draw resamples the
    acquisition dates with replacement and weights a pair by the product of its dates' counts (Owen's pigeonhole bootstrap).

    Parameters
    ----------
    scores, labels : (pair,), labels are 0 or 1
    dates : (pair,), the acquisition dates of each pair
    """
    values, truth = np.asarray(scores, float), np.asarray(labels, int)
    point = auroc(values[truth == 0], values[truth == 1])
    names = sorted({str(d) for pair in dates for d in pair})
    place = {name: i for i, name in enumerate(names)}
    ends = np.array([[place[str(d)] for d in pair] for pair in dates])
    rng = np.random.default_rng(seed)
    counts = np.stack([np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(draws)])
    drawn = _weighted_aurocs(values, truth, counts[:, ends].prod(axis=2).astype(float))
    known = drawn[np.isfinite(drawn)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (float("nan"), float("nan"))
    return Estimate(point, float(low), float(high))


def proportion(count: int, total: int) -> Estimate:
    """A rate with its exact (Clopper-Pearson) 95 % binomial interval."""
    if total == 0:
        return Estimate(float("nan"), 0.0, 1.0)
    exact = scipy.stats.binomtest(count, total).proportion_ci(0.95, "exact")
    return Estimate(count / total, float(exact.low), float(exact.high))


def rate_per_year(count: int, years: float) -> Estimate:
    """Events per year with their exact (Garwood) 95 % Poisson interval.

    Raises
    ------
    ValueError
        where `years` is not positive.
    """
    if years <= 0:
        raise ValueError(f"years = {years}: a rate needs a positive time")
    low = scipy.stats.chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    high = scipy.stats.chi2.ppf(0.975, 2 * (count + 1)) / 2
    return Estimate(count / years, float(low) / years, float(high) / years)


def _weighted_aurocs(
    values: NDArray[np.float64], truth: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """AUROC (draw,) under each row of weights (draw, pair); NaN where a side weighs nothing. A thousand at once."""
    ranks = np.unique(values, return_inverse=True)[1]
    of_rank = np.eye(int(ranks.max(initial=-1)) + 1)[ranks]
    low, high = (weights * (truth == side) @ of_rank for side in (0, 1))
    below = low.cumsum(axis=1) - low / 2  # a tie counts half
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = (high * below).sum(axis=1) / (high.sum(axis=1) * low.sum(axis=1))
    return found


def _labelled(negative: ArrayLike, positive: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    low, high = np.asarray(negative, float).ravel(), np.asarray(positive, float).ravel()
    scores = np.concatenate([low, high])
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN; leave unscored pairs out first")
    return np.repeat([0, 1], [low.size, high.size]), scores
