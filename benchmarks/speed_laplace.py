"""Filling masked ground beside its exact factorisation: CPU milliseconds, ratio, and the largest difference.

    python -m benchmarks.speed laplace [--pixels 500] [--share 0.3]

Every fill meets a mask for the first time, as every pair's is. The masks have the same share of masked pixels: in holes of
single pixels up to a fifth of the scene (mixed), in some 165 holes (middling), in a few large holes (large), in one square,
and in single pixels (speckle). Speckle is another task: closing joins it to a region of nearly the whole scene, see
`tiles.laplace.laplace_fill`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from insar_anomaly.simulate import turbulence
from insar_anomaly.tiles import laplace
from insar_anomaly.tiles.laplace import Bools, laplace_fill

SEED = 0
REPEATS = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The part's own options."""
    parser.add_argument("--pixels", type=int, default=500)
    parser.add_argument("--share", type=float, default=0.3, help="masked part of the scene")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """The best of a few fills, and one by factorisation."""
    shape = (given.pixels, given.pixels)
    phase = turbulence(shape, np.random.default_rng(SEED), std_rad=1.5)
    return {name: _one(phase, masked) for name, masked in masks(shape, given.share)}


def masks(shape: tuple[int, int], share: float) -> Iterator[tuple[str, Bools]]:
    """Masks (y, x) by name."""
    rng = np.random.default_rng(SEED)
    sizes = {"mixed": (1, 3, 10, 30), "middling": (5,), "large": (40,), "speckle": (1,)}
    for name, sigmas in sizes.items():
        field = sum(s * ndimage.gaussian_filter(rng.standard_normal(shape), s) for s in sigmas)
        yield name, field > np.quantile(field, 1 - share)
    square = np.zeros(shape, bool)
    side = round(shape[0] * share**0.5)
    first = (shape[0] - side) // 2
    square[first : first + side, first : first + side] = True
    yield "one square", square


def _one(phase: NDArray[np.float64], masked: Bools) -> dict[str, Any]:
    known = np.where(masked, 0, phase)
    took, cpu, wall = [], time.process_time(), time.perf_counter()
    for _ in range(REPEATS):
        started = time.process_time()
        filled = laplace_fill(known, masked, grow=0)
        took.append(time.process_time() - started)
    busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
    closed = ~laplace.dilated(~laplace.dilated(masked, 5), 5) | masked
    exact = known.copy()
    started = time.process_time()
    exact[closed] = laplace._Laplace(closed).solve(np.where(closed, 0, phase))
    factored = time.process_time() - started
    return {
        "ms": round(1e3 * min(took), 1),
        "factorisation / this": round(factored / min(took), 1),
        "largest difference in rad": float(f"{np.abs(filled - np.where(masked, exact, known)).max():.1e}"),
        "unknown pixels": int(closed.sum()),
        "cpu_over_wall": round(busy, 2),
    }
