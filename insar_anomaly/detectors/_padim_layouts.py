"""Where PaDiM's Gaussians stand: one per place of the volcano's box (`Aligned`), or one per place of a window (`InWindows`).

Both turn a batch of tiles into *units* (tiles or windows) with embeddings in one part (form B, joint) or three (form A, one
per layer), and turn the units' distances into a score and a score map per pair.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from insar_anomaly.detectors._windows import AT_ONCE, SKIP_FROM, Windows, cells
from insar_anomaly.detectors.backbone import Embedder

Measure = Callable[[int, Tensor], Tensor]
"""Distances (unit, patch) of one part's embeddings (unit, patch, feature), NaN where the patch has no Gaussian."""

LAYER_STRIDES = (4, 8, 16)


@dataclass(frozen=True)
class Units:
    """Embeddings (unit, patch, feature) per part, which patches were seen (unit, patch), and how much they count if said."""

    embeddings: list[Tensor]
    seen: list[Tensor]
    weight: list[Tensor | None]


@dataclass(frozen=True)
class Reduction:
    """How distances become a score: the settings of `Padim` of the same names, and one weight per part."""

    aggregate: str
    top_percent: float
    smooth: float
    part_weights: tuple[float, ...]


class Layout(Protocol):
    """What a scorer asks of a layout."""

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Patches of a unit along y and x, per part."""
        ...

    @property
    def stride(self) -> int:
        """Pixels per cell of the score map."""
        ...

    def training(self, batch: xr.Dataset) -> Units:
        """Units to fit on."""
        ...

    def scored(self, batch: xr.Dataset, measure: Measure) -> tuple[Tensor, Tensor]:
        """Score (pair,) and score map (pair, v, u)."""
        ...


class Aligned:
    """A unit is a tile: every patch of the box has its own Gaussian, which knows what this topography breeds."""

    def __init__(self, embedder: Embedder, shape: tuple[int, int], *, per_layer: bool, reduction: Reduction) -> None:
        self._embedder, self._per_layer, self._reduction = embedder, per_layer, reduction
        self._strides = LAYER_STRIDES if per_layer else (embedder.stride,)
        self._grids = tuple((-(-shape[0] // s), -(-shape[1] // s)) for s in self._strides)

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Patches of the box along y and x, per part."""
        return self._grids

    @property
    def stride(self) -> int:
        """Pixels per patch of the finest part."""
        return self._strides[0]

    def training(self, batch: xr.Dataset) -> Units:
        """The tiles themselves."""
        valid, weight = (
            torch.as_tensor(np.ascontiguousarray(batch[name].values)) if name in batch else None
            for name in ("valid", "weight")
        )
        assert valid is not None
        return _units(embeddings(self._embedder, batch["tile"].values, self._per_layer), valid, weight, self._strides)

    def scored(self, batch: xr.Dataset, measure: Measure) -> tuple[Tensor, Tensor]:
        """Weighted sum over parts of the aggregated distances, and of the distances on the finest grid."""
        units = self.training(batch)
        kind = self._reduction
        total, whole = torch.zeros(()), torch.zeros(())
        for part, (one, seen) in enumerate(zip(units.embeddings, units.seen, strict=True)):
            distance = torch.where(seen, measure(part, one), torch.nan)
            on_grid = distance.reshape(-1, *self._grids[part])
            weight = kind.part_weights[part]
            looked_at = smoothed(on_grid, self._strides[part], kind.smooth).flatten(1) if kind.smooth else distance
            total = total.to(distance.device) + weight * aggregated(looked_at, kind.aggregate, kind.top_percent)
            times = self._strides[part] // self.stride
            fine = on_grid.repeat_interleave(times, 1).repeat_interleave(times, 2)
            whole = whole.to(distance.device) + weight * fine[:, : self._grids[0][0], : self._grids[0][1]]
        return total, whole


class InWindows:
    """The papers' layout: a unit is a window of 128 pixels; the same Gaussians serve the whole box.

    Fitted on random windows of each tile; scored on windows every `step` pixels whose scores are blended onto the ground.
    With `one_pass` the trunk runs once over the padded tile and its maps are cut into windows: convolution commutes with
    the cut but for the padding at each window's border.
    """

    def __init__(
        self,
        embedder: Embedder,
        shape: tuple[int, int],
        *,
        per_layer: bool,
        reduction: Reduction,
        window: dict[str, int],
        one_pass: bool,
    ) -> None:
        self._embedder, self._per_layer, self._reduction, self._one_pass = embedder, per_layer, reduction, one_pass
        self._size, self._crops, self._seed = window["size"], window["crops"], window["seed"]
        self._windows = Windows(shape, self._size, window["step"])
        self._strides = LAYER_STRIDES if per_layer else (embedder.stride,)
        self._sides = [self._size // s for s in self._strides]

    @property
    def grids(self) -> tuple[tuple[int, int], ...]:
        """Patches of a window along y and x, per part."""
        return tuple((side, side) for side in self._sides)

    @property
    def stride(self) -> int:
        """Pixels per patch of the finest part."""
        return self._strides[0]

    def training(self, batch: xr.Dataset) -> Units:
        """Random windows of every tile; which ones depends on the seed and the pair's name only."""
        tiles, valid = (self._padded(batch[name].values) for name in ("tile", "valid"))
        weight = self._padded(batch["weight"].values) if "weight" in batch else None
        parts: list[list[Tensor]] = [[] for _ in self._strides]
        masks, weights = [], []
        for i, pair in enumerate(map(str, batch["pair"].values)):
            rng = np.random.default_rng([self._seed, *pair.encode()])
            spare = (tiles.shape[1] - self._size, tiles.shape[2] - self._size)
            corners = np.stack([rng.integers(0, n + 1, self._crops) for n in spare], 1)
            if self._one_pass:
                corners -= corners % LAYER_STRIDES[-1]  # only there do all three maps have a cell's corner
                found = self._cut_maps(tiles[i], corners)
            else:
                crops = torch.stack([tiles[i, r : r + self._size, c : c + self._size] for r, c in corners])
                found = embeddings(self._embedder, crops.numpy(), self._per_layer)
            for part, one in zip(parts, found, strict=True):
                part.append(one)
            places = [(i, slice(r, r + self._size), slice(c, c + self._size)) for r, c in corners]
            masks += [valid[place] for place in places]
            weights += [weight[place] for place in places] if weight is not None else []
        joined = [torch.cat(part) for part in parts]
        return _units(joined, torch.stack(masks), torch.stack(weights) if weights else None, self._strides)

    def scored(self, batch: xr.Dataset, measure: Measure) -> tuple[Tensor, Tensor]:
        """The papers' aggregate (mean of the blended map of window scores), or one over the blended map of patches."""
        out = [self._scored_one(*both, measure) for both in zip(batch["tile"].values, batch["valid"].values, strict=True)]
        return torch.stack([score for score, _ in out]), torch.stack([score_map for _, score_map in out])

    def _scored_one(self, tile: Any, valid: Any, measure: Measure) -> tuple[Tensor, Tensor]:
        kind, mask = self._reduction, torch.as_tensor(np.ascontiguousarray(valid))[None]
        maps = self._distances(torch.as_tensor(np.ascontiguousarray(tile)), mask, measure)
        looked_at = [smoothed(m, s, kind.smooth) for m, s in zip(maps, self._strides, strict=True)] if kind.smooth else maps
        per_part = [aggregated(m.flatten(1), "max", kind.top_percent) for m in looked_at]
        window_scores = torch.stack([w * s for w, s in zip(kind.part_weights, per_part, strict=True)]).sum(0)[None].cpu()
        invalid = self._windows.invalid_fraction(mask)
        if kind.aggregate == "authors":
            blended = self._windows.blend(window_scores, invalid)
            score = torch.nan_to_num(blended).mean() if not blended.isnan().all() else torch.tensor(torch.nan)
            return score, cells(blended, mask, self.stride)[0]
        whole = self._windows.mean_maps(self._joined(maps)[None].cpu())
        if kind.aggregate == "max":
            counted = torch.where(invalid < SKIP_FROM, window_scores, torch.nan)
            return aggregated(counted, "max", kind.top_percent)[0], whole[0]
        return aggregated(whole.flatten(1), kind.aggregate, kind.top_percent)[0], whole[0]

    def _joined(self, maps: list[Tensor]) -> Tensor:
        """Weighted sum (window, v, u) of the parts' distances on the finest grid."""
        finest = self._sides[0]
        total = torch.zeros_like(maps[0])
        for weight, one, side in zip(self._reduction.part_weights, maps, self._sides, strict=True):
            times = finest // side
            total = total + weight * one.repeat_interleave(times, 1).repeat_interleave(times, 2)
        return total

    def _distances(self, tile: Tensor, mask: Tensor, measure: Measure) -> list[Tensor]:
        """Distances (window, v, u) of every window, per part; NaN where the patch was not seen."""
        masks = self._windows.cut(mask.float())[0] > 0.5
        out: list[list[Tensor]] = [[] for _ in self._strides]
        whole = self._cut_maps(self._padded(tile[None].numpy())[0], self._corners) if self._one_pass else None
        crops = self._windows.cut(tile[None])[0]
        for start in range(0, self._windows.number, AT_ONCE):
            some = slice(start, start + AT_ONCE)
            found = [m[some] for m in whole] if whole else embeddings(self._embedder, crops[some].numpy(), self._per_layer)
            for part, one in enumerate(found):
                distance = measure(part, one.flatten(1, 2))
                seen = seen_patches(masks[some], self._strides[part]).to(distance.device)
                side = self._sides[part]
                out[part].append(torch.where(seen, distance, torch.nan).reshape(-1, side, side))
        return [torch.cat(part) for part in out]

    @property
    def _corners(self) -> Any:
        rows, cols = self._windows.grid
        return [(r * self._windows.stride, c * self._windows.stride) for r in range(rows) for c in range(cols)]

    def _cut_maps(self, tile: Tensor, corners: Any) -> list[Tensor]:
        """Embeddings (window, v, u, feature) per part, cut from one pass over the padded tile (y, x)."""
        maps = embeddings(self._embedder, tile[None].numpy(), self._per_layer)
        return [
            torch.stack([m[0, r // s : r // s + side, c // s : c // s + side] for r, c in corners])
            for m, s, side in zip(maps, self._strides, self._sides, strict=True)
        ]

    def _padded(self, tiles: Any) -> Tensor:
        tensor = torch.as_tensor(np.ascontiguousarray(tiles))
        height, width = self._windows.padded
        wide = nn.functional.pad(
            tensor[:, None].float(), (0, width - tensor.shape[2], 0, height - tensor.shape[1]), mode="replicate"
        )[:, 0]
        return wide > 0.5 if tensor.dtype == torch.bool else wide


def embeddings(embedder: Embedder, tiles: Any, per_layer: bool) -> list[Tensor]:
    """Embeddings (unit, v, u, feature) of tiles (unit, y, x): joint on one grid, or one part per layer."""
    return list(embedder.layers(tiles)) if per_layer else [embedder(tiles)]


def seen_patches(valid: Tensor, stride: int) -> Tensor:
    """Patches (unit, patch) of which at least half of the pixels (unit, y, x) were measured."""
    share = nn.functional.avg_pool2d(valid[:, None].float(), stride, ceil_mode=True, count_include_pad=False)
    return share[:, 0].flatten(1) >= 0.5


def patch_weights(weight: Tensor, valid: Tensor, stride: int) -> Tensor:
    """Mean weight (unit, patch), float64, of the measured pixels (unit, y, x) of each patch; 0 where there is none."""
    total, share = (
        nn.functional.avg_pool2d(z[:, None].double(), stride, ceil_mode=True, count_include_pad=False)[:, 0].flatten(1)
        for z in (weight, valid)
    )
    return total / torch.where(share > 0, share, 1.0)


def smoothed(distances: Tensor, stride: int, sigma: float) -> Tensor:
    """Distances (unit, v, u) interpolated to pixels and blurred by a Gaussian of `sigma` pixels, as plain PaDiM does.

    Patches that are NaN take no part; a pixel with nothing but NaN around it is NaN.
    """
    known = ~distances.isnan()
    both = torch.stack([torch.where(known, distances, 0.0), known.to(distances.dtype)], 1)
    fine = nn.functional.interpolate(both, scale_factor=stride, mode="bilinear", align_corners=False)
    reach = int(4 * sigma + 0.5)
    axis = torch.arange(-reach, reach + 1, device=distances.device, dtype=distances.dtype)
    bell = torch.exp(-0.5 * (axis / sigma) ** 2)
    bell = (bell / bell.sum()).view(1, 1, -1, 1).expand(2, 1, -1, 1)
    for kernel, pad in ((bell, (0, 0, reach, reach)), (bell.transpose(2, 3), (reach, reach, 0, 0))):
        fine = nn.functional.conv2d(nn.functional.pad(fine, pad, mode="replicate"), kernel, groups=2)
    value, mass = fine[:, 0], fine[:, 1]
    return torch.where(mass > 1e-3, value / mass, torch.nan)


def aggregated(patch: Tensor, aggregate: str, top_percent: float) -> Tensor:
    """One score per unit from distances (unit, patch); NaN patches are left out, a unit of nothing but NaN stays NaN."""
    known = ~patch.isnan()
    number = known.sum(1)
    if aggregate == "mean":
        return patch.nansum(1) / number.where(number > 0, torch.nan)
    if aggregate == "max":
        return torch.where(known, patch, -torch.inf).max(1).values.where(number > 0, torch.nan)
    if aggregate != "top":
        raise ValueError(f"aggregate = {aggregate!r}: choose max, mean or top (authors needs layout = 'windows')")
    ranked = torch.where(known, patch, -torch.inf).sort(1, descending=True).values
    take = (number * top_percent / 100).ceil().clamp(min=1)
    place = torch.arange(ranked.shape[1], device=patch.device)
    total = torch.where(place < take[:, None], ranked, 0.0).sum(1)
    return (total / take).where(number > 0, torch.nan)


def _units(found: list[Tensor], valid: Tensor, weight: Tensor | None, strides: tuple[int, ...]) -> Units:
    flat = [one.flatten(1, 2) for one in found]
    where = flat[0].device
    counted = [None if weight is None else patch_weights(weight, valid, s).to(where) for s in strides]
    return Units(flat, [seen_patches(valid, s).to(where) for s in strides], counted)
