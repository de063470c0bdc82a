"""Blocks of neighbouring patches: which patch belongs to which, and arrays ordered by them."""

from __future__ import annotations

import torch
from torch import Tensor


def blocks_of(grid: tuple[int, int], side: int) -> Tensor:
    """Block (patch,) int64 of each patch of a `grid` (v, u), in rows: squares of `side` patches, cut at the far edges."""
    v, u = grid
    rows, cols = torch.arange(v) // side, torch.arange(u) // side
    return (rows[:, None] * -(-u // side) + cols).flatten()


def members(blocks: Tensor) -> Tensor:
    """Patches (block, member) int64 of each block, -1 in the places that smaller blocks leave free."""
    order = blocks.argsort(stable=True)
    sizes = blocks.bincount()
    place = torch.arange(len(blocks), device=blocks.device) - (sizes.cumsum(0) - sizes)[blocks[order]]
    out = torch.full((len(sizes), int(sizes.max())), -1, device=blocks.device)
    out[blocks[order], place] = order
    return out


def gathered(patches: Tensor, table: Tensor) -> Tensor:
    """Rows (block, member, ...) of `patches` (patch, ...) by a table of `members`; 0 in free places."""
    known = (table >= 0).reshape(*table.shape, *(1,) * (patches.ndim - 1))
    return torch.where(known, patches[table.clamp(min=0)], 0)


def scattered(rows: Tensor, table: Tensor, patches: int) -> Tensor:
    """The inverse of `gathered`: (patch, ...) from rows (block, member, ...)."""
    known = table >= 0
    out = rows.new_empty(patches, *rows.shape[2:])
    out[table[known]] = rows[known]
    return out
