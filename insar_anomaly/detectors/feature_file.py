"""Features of many tiles in a scratch file: written tile by tile, read patch by patch.

Memory therefore grows neither with the number of tiles nor with that of patches. A feature that is the same over squares of
patches (`FeatureSpace.repeats`) is kept once for each square.

A number is kept in 24 bits: float32 without its last byte, rounded. Float16 would move scores by up to 4e-3 of their spread,
because a covariance makes much of small differences between large features; 24 bits move them by 1e-4.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

_MOST_MB = 96
"""Size of the features, as float32, and of the sums over them that are in memory at the same time."""
SHORT = np.dtype("V3")
"""A number in 24 bits."""
_SUMS = 16
"""Sums over groups of tiles that are in memory with them."""
_SIDES = (4, 8)
"""Patches along a rectangle's sides. No layer repeats over more than 4."""


@dataclass(frozen=True)
class Rectangle:
    """Patches that are read together: rows and columns of the grid, both from a multiple of 4 on."""

    rows: slice
    columns: slice

    def places(self, grid: tuple[int, int]) -> NDArray[np.int64]:
        """Indices (patch,) into the grid, row by row."""
        every: NDArray[np.int64] = np.arange(grid[0] * grid[1]).reshape(grid)
        return every[self.rows, self.columns].ravel()


class Packing:
    """How the features of a tile become one row of 24-bit numbers, and back.

    The row holds one part for each number of repeats, ascending: (v, u, feature) on that part's coarser grid, raveled.
    """

    def __init__(self, grid: tuple[int, int], repeats: NDArray[np.int64]) -> None:
        self.grid, self.features = grid, len(repeats)
        self._channels = {int(r): np.flatnonzero(repeats == r) for r in np.unique(repeats)}
        self._shapes = {r: (-(-grid[0] // r), -(-grid[1] // r), len(own)) for r, own in self._channels.items()}

    @property
    def width(self) -> int:
        """Numbers in a row."""
        return sum(int(np.prod(shape)) for shape in self._shapes.values())

    def packed(self, values: NDArray[np.float32]) -> NDArray[np.void]:
        """Rows (tile, number) of features (tile, v, u, feature)."""
        parts = [values[:, ::r, ::r, own].reshape(len(values), -1) for r, own in self._channels.items()]
        return shortened(np.concatenate(parts, axis=1))

    def cut(self, rows: NDArray[np.void], one: Rectangle) -> NDArray[np.void]:
        """What rows (tile, number) hold of a rectangle, (tile, number)."""
        parts, start = [], 0
        for r, shape in self._shapes.items():
            stop = start + int(np.prod(shape))
            part = rows[:, start:stop].reshape(len(rows), *shape)[:, _coarse(one.rows, r), _coarse(one.columns, r)]
            parts.append(part.reshape(len(rows), -1))
            start = stop
        return np.concatenate(parts, axis=1)

    def unpacked(self, short: NDArray[np.void], one: Rectangle) -> NDArray[np.float32]:
        """Features (tile, patch, feature) of a rectangle, from what `cut` gave."""
        cut = lengthened(short)
        height, width = one.rows.stop - one.rows.start, one.columns.stop - one.columns.start
        out = np.empty((len(cut), height, width, self.features), np.float32)
        start = 0
        for r, own in self._channels.items():
            shape = (-(-height // r), -(-width // r), len(own))
            stop = start + int(np.prod(shape))
            part = cut[:, start:stop].reshape(len(cut), *shape)
            out[..., own] = part.repeat(r, axis=1).repeat(r, axis=2)[:, :height, :width]
            start = stop
        return out.reshape(len(cut), height * width, self.features)


@dataclass(frozen=True)
class Rows:
    """Features of tiles, packed: `values` (tile, number) of `SHORT`, `seen` (tile, patch) bool, `weight` (tile, patch)
    float64 or None.
    """

    values: NDArray[np.void]
    seen: NDArray[np.bool_]
    weight: NDArray[np.float64] | None


class Kept(Protocol):
    """Where features are kept from one fit to the next, by a key for each tile."""

    def read(self, keys: Collection[str]) -> Iterator[tuple[list[str], Rows]]:
        """Those of these tiles that are there, some at a time."""
        ...

    def write(self, keys: Sequence[str], rows: Rows) -> None:
        """Keep the features of these tiles."""
        ...


class Nothing:
    """Nothing is kept."""

    def read(self, keys: Collection[str]) -> Iterator[tuple[list[str], Rows]]:  # noqa: ARG002
        """See `Kept`."""
        return iter(())

    def write(self, keys: Sequence[str], rows: Rows) -> None:
        """See `Kept`."""


class FeatureFile:
    """Rows of features in a scratch file, which is gone when it is closed.

    Parameters
    ----------
    packing : the form of a row
    rows : how many there will be
    """

    def __init__(self, packing: Packing, rows: int) -> None:
        self.packing, self.rows = packing, rows
        size = max(4 * rows * packing.features, _SUMS * 8 * packing.features**2)
        self.rectangles = list(_rectangles(packing.grid, size))
        empty = np.empty((1, packing.width), SHORT)
        self._bytes = [SHORT.itemsize * packing.cut(empty, one).shape[1] for one in self.rectangles]
        self._start = np.concatenate([[0], np.cumsum(self._bytes)]) * rows
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115

    def write(self, first: int, rows: NDArray[np.void]) -> None:
        """Write rows (tile, number) from the row `first` on."""
        for n, one in enumerate(self.rectangles):
            content = np.ascontiguousarray(self.packing.cut(rows, one)).tobytes()
            os.pwrite(self._file.fileno(), content, int(self._start[n]) + first * self._bytes[n])

    def read(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Places (patch,) in the grid and features (tile, patch, feature) of all tiles, some patches at a time."""
        for n, one in enumerate(self.rectangles):
            content = os.pread(self._file.fileno(), self._bytes[n] * self.rows, int(self._start[n]))
            cut = np.frombuffer(content, SHORT).reshape(self.rows, -1)
            yield one.places(self.packing.grid), self.packing.unpacked(cut, one)

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


def shortened(values: NDArray[np.float32]) -> NDArray[np.void]:
    """Finite numbers in 24 bits, rounded to the nearest; of the same shape."""
    bits = np.ascontiguousarray(values, "<f4").view("<u4") + np.uint32(0x80)
    short = np.ascontiguousarray(bits.view(np.uint8).reshape(*values.shape, 4)[..., 1:])
    return short.view(SHORT)[..., 0]


def lengthened(short: NDArray[np.void]) -> NDArray[np.float32]:
    """The inverse of `shortened`, to its rounding."""
    bits = np.zeros((*short.shape, 4), np.uint8)
    bits[..., 1:] = np.ascontiguousarray(short)[..., None].view(np.uint8).reshape(*short.shape, 3)
    return bits.view("<f4")[..., 0]


def _rectangles(grid: tuple[int, int], patch_bytes: int) -> Iterator[Rectangle]:
    """Squares of 4 or 8 patches, as large as the memory allows at `patch_bytes` for each patch."""
    side = max((s for s in _SIDES if s * s * patch_bytes <= _MOST_MB * 2**20), default=_SIDES[0])
    for row in range(0, grid[0], side):
        for column in range(0, grid[1], side):
            stop = min(row + side, grid[0]), min(column + side, grid[1])
            yield Rectangle(slice(row, stop[0]), slice(column, stop[1]))


def _coarse(one: slice, repeats: int) -> slice:
    return slice(one.start // repeats, -(-one.stop // repeats))
