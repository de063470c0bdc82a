"""Cut tiles into overlapping windows, and blend what was found in them back onto the ground."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

SKIP_FROM = 0.6
"""Windows with this fraction of unmeasured ground say nothing (Popescu et al. 2024, their public code)."""
AT_ONCE = 32
"""Windows that go through a network together when scoring."""
FLOOR = 1e-5
"""Keeps the papers' blend finite where no window reaches."""


def too_wide(stride: int, size: int, name: str = "stride") -> Iterator[str]:
    """What is wrong with windows of `size` pixels `stride` pixels apart; nothing where they leave no ground between them."""
    if not 0 < stride <= size:
        yield f"{name} = {stride}: windows of {size} pixels need a stride from 1 to {size}"


class Windows:
    """Square windows over a tile, in rows from its first pixel; the tile is padded at its far edges by its edge pixels.

    Parameters
    ----------
    shape : pixels of the tile along y and x
    size : pixels per side of a window
    stride : pixels from one window to the next
    """

    def __init__(self, shape: tuple[int, int], size: int, stride: int) -> None:
        if wrong := next(too_wide(stride, size), None):
            raise ValueError(wrong)
        self.shape, self.size, self.stride = shape, size, stride
        rows, cols = (-(-max(0, n - size) // stride) + 1 for n in shape)
        self.grid = (rows, cols)
        self.padded = (size + (rows - 1) * stride, size + (cols - 1) * stride)
        axis = (torch.arange(size) - (size - 1) / 2) / (size / 6)
        bell = torch.exp(-0.5 * axis**2)
        self.weight = bell[:, None] * bell[None]
        """Gaussian weight (size, size) of a window's pixels: sigma a sixth of the window, 1 at its centre."""

    @property
    def number(self) -> int:
        """Windows per tile."""
        return self.grid[0] * self.grid[1]

    def cut(self, batch: Tensor) -> Tensor:
        """Windows (n, window, size, size) of a batch (n, y, x), row by row."""
        wide = self._pad(batch)
        cut = wide.unfold(1, self.size, self.stride).unfold(2, self.size, self.stride)
        return cut.reshape(len(batch), self.number, self.size, self.size)

    def portions(self, tile: Tensor) -> Iterator[Tensor]:
        """The windows of one tile (y, x) as crops (some, 1, size, size) that go through a network together.

        Always the same number, whatever the stack: this bounds the memory, and a pair's neighbours cannot change its
        digits.
        """
        cut = self.cut(tile[None])[0, :, None]
        for start in range(0, self.number, AT_ONCE):
            yield cut[start : start + AT_ONCE]

    def invalid_fraction(self, valid: Tensor) -> Tensor:
        """Fraction of unmeasured ground (n, window) float32, from masks (n, y, x), True where it was measured."""
        masked = 1 - self._pad(valid.float())[:, None]
        return nn.functional.avg_pool2d(masked, self.size, self.stride).flatten(1)

    def blend(self, window_scores: Tensor, invalid_fraction: Tensor) -> Tensor:
        """One score per window (n, window) as a map (n, y, x): the papers' blend.

        ``map = sum_p (1 - z_p) s_p w_p / (1e-5 + sum_p w_p)`` with the invalid fraction ``z_p`` (n, window) and the
        Gaussian weight ``w_p``. Windows with ``z_p >= 0.6`` or a NaN score are left out of both sums; NaN where no
        window remains. Source: Popescu et al. 2024, their public code.
        """
        return self.blend_maps(window_scores[..., None, None].expand(-1, -1, self.size, self.size), invalid_fraction)

    def blend_maps(self, window_maps: Tensor, invalid_fraction: Tensor) -> Tensor:
        """As `blend`, of a map per window (n, window, h, w): one value per pixel or per square cell of pixels.

        The result is (n, ceil(y / cell), ceil(x / cell)) with ``cell = size / h``. NaN cells of a window are left out.

        Raises
        ------
        ValueError
            where the cells of neighbouring windows do not fall on one another.
        """
        counted = (invalid_fraction < SKIP_FROM)[..., None, None] & ~window_maps.isnan()
        gain = (1 - invalid_fraction)[..., None, None]
        return self._mix(torch.where(counted, gain * window_maps, 0), counted, FLOOR)

    def mean(self, window_scores: Tensor, counted: Tensor) -> Tensor:
        """Gaussian-weighted mean (n, y, x) of the scores (n, window) of the windows that are `counted` (n, window).

        NaN where none is. Unlike `blend` it neither discounts half-masked windows nor leans to 0 at the far corners.
        """
        wide = window_scores[..., None, None].expand(-1, -1, self.size, self.size)
        return self.mean_maps(torch.where(counted[..., None, None], wide, torch.nan))

    def mean_maps(self, window_maps: Tensor) -> Tensor:
        """As `mean`, of a map per window (n, window, h, w); NaN cells do not count. Raises as `blend_maps`."""
        counted = ~window_maps.isnan()
        return self._mix(torch.where(counted, window_maps, 0), counted, 0.0)

    def _mix(self, values: Tensor, counted: Tensor, floor: float) -> Tensor:
        """``sum w values / (floor + sum w counted)`` on the ground; NaN where nothing counts."""
        side = values.shape[-1]
        cell = self.size // side
        if values.shape[-2:] != (side, side) or cell * side != self.size or self.stride % cell:
            raise ValueError(
                f"window maps of {tuple(values.shape[-2:])}: need a square whose cells divide "
                f"the window ({self.size} pixels) and the stride ({self.stride})"
            )
        weight = nn.functional.avg_pool2d(self.weight[None].to(values.device), cell)[0]
        total, mass = self._sum(values * weight, cell), self._sum(counted * weight, cell)
        out = torch.where(mass > 0, total / (floor + mass), torch.nan)
        return out[:, : -(-self.shape[0] // cell), : -(-self.shape[1] // cell)]

    def _sum(self, window_maps: Tensor, cell: int) -> Tensor:
        """Sum (n, v, u) of overlapping maps (n, window, h, w) on the padded ground."""
        columns = window_maps.flatten(2).transpose(1, 2)
        ground = (self.padded[0] // cell, self.padded[1] // cell)
        return nn.functional.fold(columns, ground, self.size // cell, stride=self.stride // cell)[:, 0]

    def _pad(self, batch: Tensor) -> Tensor:
        if tuple(batch.shape[1:]) != self.shape:
            raise ValueError(f"a batch of {tuple(batch.shape[1:])} pixels, but these windows are for {self.shape}")
        below, right = self.padded[0] - self.shape[0], self.padded[1] - self.shape[1]
        return nn.functional.pad(batch[:, None], (0, right, 0, below), mode="replicate")[:, 0]


def cells(pixels: Tensor, valid: Tensor, cell: int) -> Tensor:
    """Means (n, v, u) of a map (n, y, x) over the measured pixels of every ``cell x cell`` square, NaN without any.

    `valid` (n, y, x) is True where the ground was measured; NaN pixels do not count. Squares at the far edges may be
    smaller.
    """
    known = valid & ~pixels.isnan()
    both = torch.stack([torch.where(known, pixels, 0), known.to(pixels.dtype)])
    total, mass = nn.functional.avg_pool2d(both, cell, ceil_mode=True, count_include_pad=False)
    return torch.where(mass > 0, total / mass, torch.nan)


def valid_mean(pixels: Tensor, valid: Tensor) -> Tensor:
    """Mean (n,) float64 of a map (n, y, x) over the measured pixels that are not NaN; NaN where there is none."""
    known = valid & ~pixels.isnan()
    total = torch.where(known, pixels, 0).to(torch.float64).sum((1, 2))
    return total / known.sum((1, 2))  # 0 / 0 is the NaN that is meant
