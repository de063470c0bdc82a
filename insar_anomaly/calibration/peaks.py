"""Scores at a given peak, from sources whose peaks were drawn at random.

Each assessment gets one source. What it would have scored with another peak follows from the others: its rank among the
sources of about its own peak is kept, and the score of that rank among the sources of about the wanted peak is taken. So
injection tells of every peak, and none has to be scored twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_WIDTH = 0.2
"""Width (sigma) of what counts as about the same peak, as a part of the whole range of log peaks."""


def at_peaks(peak_cm: Floats, score: Floats, wanted_cm: Sequence[float], *, quiet: Floats) -> Floats:
    """Scores (peak, injection) that injections (injection,) of random peaks would have at each of the wanted peaks.

    The ranks are weighted by a Gaussian in the logarithm of the peak. Sources of a neighbouring peak are moved along the
    local line of scores first: at the ends of the range all neighbours lie on one side. Scores are in proportion to large
    peaks, and hardly depend on small ones: ``asinh`` of the distance from the `quiet` scores (assessment,), in terms of
    their spread, makes that line straight. No rank depends on it.
    """
    middle, spread = _usual(quiet)
    carried = _carried(peak_cm, np.arcsinh((score - middle) / spread), wanted_cm)
    out: Floats = middle + spread * np.sinh(carried)
    return out


def _usual(quiet: Floats) -> tuple[float, float]:
    """Median, and median distance from it; 0 and 1 where there is nothing to tell it from."""
    middle = float(np.median(quiet)) if len(quiet) else 0.0
    spread = float(np.median(np.abs(quiet - middle))) if len(quiet) else 0.0
    return middle, spread or 1.0


def _carried(peak_cm: Floats, score: Floats, wanted_cm: Sequence[float]) -> Floats:
    if not len(score):
        return np.empty((len(wanted_cm), 0))
    x, wanted = np.log(peak_cm), np.log(np.asarray(wanted_cm, float))
    width = _WIDTH * float(wanted.max() - wanted.min())
    if not width:
        return np.repeat(score[None], len(wanted), axis=0)
    usual = _line(x, score, at=x, width=width)
    rank = _ranks(x, score - usual, width=width)
    out = np.empty((len(wanted), len(score)))
    for n, place in enumerate(wanted):
        middle = _line(x, score, at=np.array([place]), width=width)[0]
        out[n] = middle + _quantiles(score - usual, _bell(x - place, width), rank)
    return out


def _bell(distance: Floats, width: float) -> Floats:
    bell: Floats = np.exp(-0.5 * (distance / width) ** 2)
    return bell


def _line(x: Floats, y: Floats, *, at: Floats, width: float) -> Floats:
    """Local linear regression of y on x, at some places."""
    weight = _bell(x - at[:, None], width) + 1e-9
    apart = x - at[:, None]
    mass, first, second = (np.sum(weight * apart**power, axis=1) for power in (0, 1, 2))
    level, slope = np.sum(weight * y, axis=1), np.sum(weight * apart * y, axis=1)
    determinant = mass * second - first**2
    flat = determinant <= 1e-9 * mass**2 * width**2
    out: Floats = np.where(flat, level / mass, (second * level - first * slope) / np.where(flat, 1, determinant))
    return out


def _ranks(x: Floats, left: Floats, *, width: float) -> Floats:
    """Part (injection,) of the sources of about its peak that lie below each; its own weight counts half."""
    weight = _bell(x - x[:, None], width)
    below = np.where(left < left[:, None], 1.0, np.where(left == left[:, None], 0.5, 0.0))
    out: Floats = (weight * below).sum(axis=1) / weight.sum(axis=1)
    return out


def _quantiles(left: Floats, weight: Floats, rank: Floats) -> Floats:
    """Weighted quantiles of `left` at ranks, between its values along straight lines."""
    order = np.argsort(left)
    mass = np.cumsum(weight[order]) - weight[order] / 2
    out: Floats = np.interp(rank, mass / weight.sum(), left[order])
    return out
