"""Fill masked ground with the solution of Laplace's equation, so that the network sees no edge."""

from __future__ import annotations

import threading
from functools import lru_cache
from math import isqrt
from typing import TYPE_CHECKING

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from insar_anomaly.tiles._multigrid import Multigrid

if TYPE_CHECKING:
    from scipy.sparse.linalg import SuperLU

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
TOLERANCE_RAD = 1e-4
"""How far a filled value may be from the solution where there is much to fill; a coherent pixel's noise is some 0.1 rad."""
_FACTOR_UP_TO = 1000
"""Pixels of a region up to which the equation is factored and solved exactly: factoring more of them costs too much."""


def laplace_fill(phase: Floats, masked: Bools, *, grow: int, close: int = 5) -> Floats:
    """Fill masked ground with the solution of Laplace's equation, so that no edge is left for a network to see.

    The equation is solved over ``closing(dilate(masked, disk grow), disk close)`` with the surrounding ring as Dirichlet
    values; pixels at the scene's edge use the neighbours they have; the solution is written into ``dilate(masked, disk
    grow)``. It is exact where the region has at most 1,000 pixels, and off by about `TOLERANCE_RAD` where it is larger.
    Ground with no measured pixel around it becomes 0. Source: Popescu et al. 2024, their public code.
    """
    if not masked.any():
        return phase
    written = dilated(masked, grow)
    region = ~dilated(~dilated(written, close), close) | written
    if region.all():  # too little ground is left for a ring: grow nothing
        written = region = masked
    if region.all():
        return np.zeros_like(phase)
    solved = phase.copy()
    if np.count_nonzero(region) > _FACTOR_UP_TO:
        solved[region] = Multigrid(region).solve(phase, tolerance=TOLERANCE_RAD)
    else:
        equations = _FACTORED.equations(region.shape, np.packbits(region).tobytes())
        solved[region] = equations.solve(np.where(region, 0.0, phase))
    return np.where(written, solved, phase)


def dilated(mask: Bools, radius: int) -> Bools:
    """`mask` (y, x) and all pixels within a disk of `radius` pixels around it, as shifts of whole rows of the disk."""
    if radius == 0:
        return mask
    height, width = mask.shape
    reach = [isqrt(radius**2 - dy**2) for dy in range(radius + 1)]
    wide = np.zeros((height + 2 * radius, width + 2 * radius), bool)
    wide[radius:-radius, radius:-radius] = mask
    row, out = wide.copy(), np.zeros((height, width), bool)
    for half in range(radius + 1):
        if half:
            row[:, half:] |= wide[:, :-half]
            row[:, :-half] |= wide[:, half:]
        for dy in (dy for dy, own in enumerate(reach) if own == half):
            for top in {radius - dy, radius + dy}:
                out |= row[top : top + height, radius : radius + width]
    return out


_ALL, _NEAR, _FAR = slice(None), slice(None, -1), slice(1, None)
_NEIGHBOURS = (((_NEAR, _ALL), (_FAR, _ALL)), ((_ALL, _NEAR), (_ALL, _FAR)))


class _Laplace:
    """The factored Laplace equation of one region, exact; reused by every pair with the same mask."""

    def __init__(self, region: Bools) -> None:
        index = np.full(region.shape, -1)
        index[region] = np.arange(region.sum())
        degree = np.zeros(region.shape)
        rows, cols, edges, borders = [], [], [], []
        flat = np.arange(region.size).reshape(region.shape)
        for a, b in _NEIGHBOURS:
            for here, there in ((a, b), (b, a)):
                degree[here] += 1
                inner = region[here] & region[there]
                rows.append(index[here][inner])
                cols.append(index[there][inner])
                ring = region[here] & ~region[there]
                edges.append(index[here][ring])
                borders.append(flat[there][ring])
        self._at, self._from = np.concatenate(edges), np.concatenate(borders)
        parts, n_parts = scipy.ndimage.label(region)
        anchored = np.zeros(n_parts + 1, bool)
        anchored[parts[region][self._at]] = True
        self._loose = ~anchored[parts[region]]
        diagonal = degree[region] + self._loose  # an island without a ring would be singular; its right side is zero
        i, j = np.concatenate([*rows, np.arange(len(diagonal))]), np.concatenate([*cols, np.arange(len(diagonal))])
        values = np.concatenate([-np.ones(len(i) - len(diagonal)), diagonal])
        matrix = scipy.sparse.csc_matrix((values, (i, j)), shape=(len(diagonal), len(diagonal)))
        self._lu: SuperLU = scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})

    def solve(self, phase: Floats) -> Floats:
        """Values of the region's pixels, in row order, for `phase` (y, x) around it."""
        right = np.zeros(len(self._loose))
        np.add.at(right, self._at, phase.ravel()[self._from])
        out: Floats = np.where(self._loose, 0.0, self._lu.solve(right))
        return out


def _laplace(shape: tuple[int, int], packed: bytes) -> _Laplace:
    bits = np.unpackbits(np.frombuffer(packed, np.uint8), count=shape[0] * shape[1])
    return _Laplace(bits.reshape(shape).astype(bool))


class _Factored(threading.local):
    """The last regions that each thread has met.

    SciPy's SuperLU gives memory back only in the thread that took it: a cache that threads share loses a factor's memory
    with every entry that another thread evicts (24 GB within minutes, seen with SciPy 1.17.1).
    """

    def __init__(self) -> None:
        self.equations = lru_cache(maxsize=16)(_laplace)


_FACTORED = _Factored()
