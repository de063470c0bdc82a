"""Laplace's equation on any set of pixels: conjugate gradients, preconditioned by one multigrid cycle.

A *region* is a mask (y, x) of unknown pixels; the other pixels of the scene are known. The equation of an unknown pixel is
``degree * x - sum of unknown neighbours = sum of known neighbours``, over the four neighbours in the scene. A coarser
region has squares of 2 x 2 pixels: unknown where one of them is, and none is known. Transfers are bilinear, smoothers are
Chebyshev polynomials, the coarsest region is solved directly. Sources: McAdams, Sifakis and Teran 2010 (coarse regions of
any shape, multigrid as preconditioner); Adams et al. 2003 (the smoother).
"""

from __future__ import annotations

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Singles = NDArray[np.float32]
_F = np.float32
_DIRECT = 200
"""Unknowns that are few enough to be solved directly."""
_MOST = 100
"""Cycles after which a solution is given up."""
_STEPS = tuple(_F(1 / (1.25 + 0.75 * np.cos(np.pi * (2 * k + 1) / 4))) for k in range(2))
"""Chebyshev's steps for the eigenvalues from 1/2 to 2 of the equations divided by their degree."""


class _Level:
    """The equations of one region, over its unknown pixels in row order.

    Unknowns are followed by one more value that stands for every known pixel and is 0: so each has four neighbours.
    """

    def __init__(self, region: Bools) -> None:
        self.shape = height, width = region.shape
        self.y, self.x = np.divmod(np.flatnonzero(region), width)
        self.number = n = len(self.y)
        self.wide = width + 2
        at = (self.y + 1) * self.wide + self.x + 1
        self.index = np.full((height + 2) * self.wide, n, np.int32)
        self.index[at] = np.arange(n, dtype=np.int32)
        self.degree = np.full(n, 4, _F)
        for edge in (self.y == 0, self.y == height - 1, self.x == 0, self.x == width - 1):
            self.degree -= edge
        self.around = _rows([self.index.take(at + step) for step in (-self.wide, -1, 1, self.wide)], np.ones(4, _F), n + 1)
        self._steps = [(step / self.degree, _F(1) - step) for step in _STEPS]

    def smoothed(self, right: Singles) -> Singles:
        """Values (unknown + 1) after two steps from 0 towards the solution."""
        out = np.zeros(self.number + 1, _F)
        np.multiply(self._steps[0][0], right, out=out[:-1])
        self._step(out, right, *self._steps[1])
        return out

    def smooth(self, values: Singles, right: Singles) -> None:
        """Two steps, in place."""
        for step in self._steps:
            self._step(values, right, *step)

    def residual(self, values: Singles, right: Singles) -> Singles:
        """What is left of `right` (unknown,)."""
        out: Singles = self.around @ values
        out += right
        out -= self.degree * values[:-1]
        return out

    def inverse(self) -> Singles:
        """The inverse of the whole matrix."""
        matrix = np.diag(self.degree.astype(np.float64)) - self.around.toarray()[:, :-1]
        return np.asarray(np.linalg.inv(matrix), _F)

    def _step(self, values: Singles, right: Singles, gain: Singles, kept: np.float32) -> None:
        change = self.around @ values
        change += right
        change *= gain
        own = values[:-1]
        own *= kept
        own += change


class Multigrid:
    """Laplace's equation on one region (y, x) that is not empty and leaves some pixel known."""

    def __init__(self, region: Bools) -> None:
        self._region = region
        self._levels = [_Level(region)]
        self._finer: list[scipy.sparse.csr_matrix] = []
        known = ~region
        while self._levels[-1].number > _DIRECT:
            region, known = _coarser(region, known)
            if not region.any():
                break
            level = _Level(region)
            self._finer.append(_transfer(self._levels[-1], level))
            self._levels.append(level)
        small = self._levels[-1].number <= _DIRECT
        self._inverse = self._levels[-1].inverse() if small else None

    def solve(self, phase: NDArray[np.floating], *, tolerance: float) -> Singles:
        """Values (unknown,) for the known pixels of `phase` (y, x), off by about `tolerance` at most, in the same unit."""
        finest, right = self._levels[0], self._right(phase)
        out, direction, before = np.zeros(finest.number, _F), np.zeros(0, _F), 0.0
        for _ in range(_MOST):
            change = self._cycle(0, right)
            out_of = change[:-1]
            if max(out_of.max(), -out_of.min()) < tolerance:
                out += out_of
                return out
            size = float(np.vdot(right, out_of))
            if before:
                direction *= _F(size / before)
                direction += change
            else:
                direction = change
            before = size
            own = direction[:-1]
            bent = finest.degree * own
            bent -= finest.around @ direction
            length = _F(size / float(np.vdot(own, bent)))
            out += length * own
            bent *= length
            right -= bent
        return out

    def _right(self, phase: NDArray[np.floating]) -> Singles:
        known = np.where(self._region, 0, phase).astype(_F)
        total = np.zeros_like(known)
        total[1:] += known[:-1]
        total[:-1] += known[1:]
        total[:, 1:] += known[:, :-1]
        total[:, :-1] += known[:, 1:]
        return total[self._region]

    def _cycle(self, depth: int, right: Singles) -> Singles:
        """About the solution (unknown + 1) of `right` (unknown,): linear in it, and symmetric."""
        level = self._levels[depth]
        if depth == len(self._finer):
            if self._inverse is not None:
                return np.append(self._inverse @ right, _F(0))
            out = level.smoothed(right)
            level.smooth(out, right)
            return out
        out, finer = level.smoothed(right), self._finer[depth]
        coarse = self._cycle(depth + 1, (finer.T @ level.residual(out, right))[:-1])
        out[:-1] += finer @ coarse
        level.smooth(out, right)
        return out


def _coarser(region: Bools, known: Bools) -> tuple[Bools, Bools]:
    """Region and known pixels of the coarser grid; pixels that are neither lie outside the scene."""
    odd = [(0, n % 2) for n in region.shape]
    if any(after for _, after in odd):
        region, known = np.pad(region, odd), np.pad(known, odd)
    some, fixed = (a[::2, ::2] | a[1::2, ::2] | a[::2, 1::2] | a[1::2, 1::2] for a in (region, known))
    return some & ~fixed, fixed


def _transfer(fine: _Level, coarse: _Level) -> scipy.sparse.csr_matrix:
    """Bilinear interpolation (fine unknown, coarse unknown + 1); its transpose takes residuals to the coarse grid."""
    rows, cols = coarse.shape
    y, x = fine.y >> 1, fine.x >> 1
    beside_y = np.clip(y + (fine.y & 1) * 2 - 1, 0, rows - 1)
    beside_x = np.clip(x + (fine.x & 1) * 2 - 1, 0, cols - 1)
    own, other = (y + 1) * coarse.wide + 1, (beside_y + 1) * coarse.wide + 1
    columns = [coarse.index.take(line + column) for line in (own, other) for column in (x, beside_x)]
    return _rows(columns, np.array([9, 3, 3, 1], _F) / _F(16), coarse.number + 1)


def _rows(columns: list[NDArray[np.int32]], weights: Singles, width: int) -> scipy.sparse.csr_matrix:
    """A sparse matrix with the same `weights` in every row, in the given columns (place, row)."""
    n, some = len(columns[0]), len(columns)
    index = np.empty((n, some), np.int32)
    for place, column in enumerate(columns):
        index[:, place] = column
    starts = np.arange(0, some * n + 1, some, dtype=np.int32)
    return scipy.sparse.csr_matrix((np.tile(weights, n), index.ravel(), starts), shape=(n, width))
