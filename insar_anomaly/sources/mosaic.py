"""Several products of one pair made one: each was unwrapped alone, so that a constant lies between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Layers = tuple[NDArray[np.float32], NDArray[np.uint8]]
"""Phase (y, x) float32 rad, NaN = no measurement, and coherence (y, x) uint8 1/255."""

_LEAST = 25
"""Pixels that two products must share for the constant between them to be known."""


def mosaic(parts: Sequence[Layers], shape: tuple[int, int]) -> Layers:
    """One phase and one coherence (y, x) of several products of a pair, the best first where they are equally large.

    The product that covers most begins. Each other one is shifted by the median difference where they overlap; where several
    measure, the more coherent one counts. One that does not overlap is left out: the constant between them is unknown.
    """
    phase: NDArray[np.float32] = np.full(shape, np.nan, np.float32)
    coherence: NDArray[np.uint8] = np.zeros(shape, np.uint8)
    left = sorted((one for one in parts if np.isfinite(one[0]).any()), key=lambda one: -_measured(one[0]))
    if not left:
        return phase, coherence
    best = left.pop(0)
    phase, coherence = best[0].copy(), best[1].copy()
    while left:
        shared = [_measured(phase + one[0]) for one in left]
        most = int(np.argmax(shared))
        if shared[most] < _LEAST:
            break
        other, quality = left.pop(most)
        level = np.float32(np.nanmedian(phase - other))
        better = np.isfinite(other) & (np.isnan(phase) | (quality > coherence))
        phase[better] = other[better] + level
        coherence[better] = quality[better]
    return phase, coherence


def _measured(phase: NDArray[Any]) -> int:
    return int(np.isfinite(phase).sum())
