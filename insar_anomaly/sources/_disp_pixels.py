"""From the 30 m pixels of a chain's products to a stack's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.sources._disp_file import Product
from insar_anomaly.sources.grid import around, resampled
from insar_anomaly.sources.lattice import Placed
from insar_anomaly.stack.schema import Grid


class Part(NamedTuple):
    """What one product gives of a chain: where its pixels lie, displacement in m along the chain, coherence 0 to 255."""

    placed: Placed
    metres: NDArray[np.float32]
    coherence: NDArray[np.float32]


def read_part(product: Product, grid: Grid, sign: int) -> tuple[Part, float]:
    """The product's own pixels under a stack's grid, and its baseline in the middle of it, both along the chain."""
    placed = product.placed
    pixels = around(placed, grid)
    if pixels is None:
        words = f"{product.uri}: it does not cover the stack's grid; give a product of the same frame"
        raise PairRejected(Verdict.WRONG_GRID, words)
    shifted = placed.transform @ Affine.translation(pixels.col_off, pixels.row_off)
    here = Placed(placed.crs, shifted, int(pixels.width), int(pixels.height))
    baseline = product.baseline(pixels.row_off + pixels.height / 2, pixels.col_off + pixels.width / 2)
    return Part(here, product.metres(pixels) * np.float32(sign), product.coherence(pixels)), sign * baseline


def together(parts: Sequence[Part], grid: Grid) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Displacement (m) and coherence (1/255) of a chain on the stack's grid, both (y, x).

    Products of one grid are added pixel by pixel before they are averaged: a pixel counts where all of them have it.
    """
    if all(one.placed == parts[0].placed for one in parts):
        metres = _sum([one.metres for one in parts])
        coherence = np.min([one.coherence for one in parts], axis=0)
        metres, coherence = _averaged(parts[0].placed, metres, grid), _averaged(parts[0].placed, coherence, grid)
    else:
        metres = _sum([_averaged(one.placed, one.metres, grid) for one in parts])
        coherence = np.min([_averaged(one.placed, one.coherence, grid) for one in parts], axis=0)
    return metres, np.nan_to_num(np.rint(coherence)).astype(np.uint8)


def _averaged(placed: Placed, pixels: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    def read(asked: Pixels) -> NDArray[np.float32]:
        row, col = int(asked.row_off), int(asked.col_off)
        return pixels[row : row + int(asked.height), col : col + int(asked.width)]

    return resampled(placed, grid, read, how=Resampling.average)


def _sum(parts: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    out: NDArray[np.float32] = np.sum(parts, axis=0).astype(np.float32)
    return out
