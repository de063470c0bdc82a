"""Patch distributions: `Moments` (a sum) and `PatchGaussian` (its end).

The distances are those of the matching likelihood (Blanco et al., IEEE T-RO 2012; Popescu et al. 2024, 2025). With the
difference ``D = e - mu`` and covariance ``S`` of a patch, ``k`` features and layer weights ``W = diag(w)``:

=====  =============================================
Maha   ``sqrt(D' S^-1 D)``
NLML   ``(D' S^-1 D + log|S| + k log 2 pi) / 2``
wMaha  Maha with ``W D`` for ``D``
wNLML  NLML with ``W D`` for ``D``
=====  =============================================

The weight enters at scoring only: weighting the embeddings before the fit changes nothing, the distance is invariant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from insar_anomaly.detectors._blocks import gathered, members, scattered
from insar_anomaly.detectors._gaussian import DISTANCES, Distance, Gaussian, counted, divisor, freedom
from insar_anomaly.detectors._low_rank import LowRankGaussian, Samples

__all__ = ["DISTANCES", "Distance", "Gaussian", "LowRankGaussian", "Moments", "PatchGaussian", "Samples"]


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter per patch: everything a Gaussian needs, and a sum.

    ``count`` (patch,) int64 is the number of pairs that saw the patch; ``mass`` and ``square`` (patch,) float64 are the sums
    of their weights and of the weights' squares, both equal to the count where every weight is 1; ``mean`` (patch, feature)
    and ``scatter`` (patch, feature, feature) float64, the scatter being the weighted sum of squared differences from the
    weighted mean. A patch that was masked in a pair does not count that pair. ``a + b`` is commutative and associative to
    rounding; it is *not* idempotent, so the caller must not add a pair twice.

    With ``blocks`` (patch,) int64 the patches of one number share their correlations. Then ``scatter`` is (block, feature,
    feature), the sum of the scatters of the block's patches, each about its own mean; ``spread`` (patch, feature) float64
    is the diagonal of each patch's own scatter. Blocks are numbered from 0 without a gap. None gives every patch its own.
    """

    count: Tensor
    mass: Tensor
    square: Tensor
    mean: Tensor
    scatter: Tensor
    blocks: Tensor | None = None
    spread: Tensor | None = None

    @classmethod
    def zero(
        cls, patches: int, features: int, device: torch.device | None = None, *, blocks: Tensor | None = None
    ) -> Moments:
        """The neutral element."""
        wide = {"dtype": torch.float64, "device": device}
        number = patches if blocks is None else int(blocks.max()) + 1
        return cls(
            torch.zeros(patches, dtype=torch.int64, device=device),
            torch.zeros(patches, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, features, **wide),  # type: ignore[arg-type]
            torch.zeros(number, features, features, **wide),  # type: ignore[arg-type]
            blocks,
            None if blocks is None else torch.zeros(patches, features, **wide),  # type: ignore[arg-type]
        )

    @classmethod
    def of(cls, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None, *, blocks: Tensor | None = None) -> Moments:
        """Moments of embeddings (pair, patch, feature); `seen` (pair, patch) bool says which of them count.

        `weight` (pair, patch), positive where seen, says how much each of them counts; None takes 1. Centred before squaring
        and summed in float64: the naive float32 sum of squares loses every digit when the mean is large beside the spread.
        """
        counts = counted(seen, weight)
        mass = counts.sum(0)
        wide = embeddings.to(torch.float64)
        mean = torch.einsum("np,npk->pk", counts, wide) / divisor(mass)[:, None]
        centred = ((wide - mean) * counts.sqrt()[..., None]).transpose(0, 1)
        rows = centred if blocks is None else gathered(centred, members(blocks)).flatten(1, 2)
        spread = None if blocks is None else centred.square().sum(1)
        return cls(seen.sum(0), mass, counts.square().sum(0), mean, rows.transpose(1, 2) @ rows, blocks, spread)

    def like(self, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None) -> Moments:
        """`of`, with the blocks of this sum."""
        return Moments.of(embeddings, seen, weight, blocks=self.blocks)

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque 1983: exact merge of two sets of moments."""
        mass = self.mass + other.mass
        total = divisor(mass)
        delta = other.mean - self.mean
        share = (other.mass / total)[:, None]
        mean = torch.where(mass[:, None] > 0, self.mean + delta * share, 0.0)
        rows = (delta * (self.mass * other.mass / total).sqrt()[:, None])[:, None]
        spread = None
        if self.blocks is not None and self.spread is not None and other.spread is not None:
            spread = self.spread + other.spread + rows[:, 0].square()
            rows = gathered(rows, members(self.blocks)).flatten(1, 2)
        scatter = self.scatter + other.scatter
        # in place: whole temporaries of this size cost more than the arithmetic
        scatter.baddbmm_(rows.transpose(1, 2), rows)
        return Moments(self.count + other.count, mass, self.square + other.square, mean, scatter, self.blocks, spread)

    def gaussian(self, *, ridge: float, relative: float = 0.0, least: int = 2) -> PatchGaussian:
        """Close the sum: covariance ``scatter / (N - 1) + (ridge + relative * mean variance) I`` and its Cholesky factor.

        With weights w, N - 1 is ``sum w - sum w^2 / sum w``: unbiased where the spread does not depend on the weight.

        Parameters
        ----------
        ridge : absolute ridge (0.01 in the papers)
        relative : ridge as a part of the patch's mean variance, for features of any scale
        least : patches seen in fewer pairs get no Gaussian; they are never scored

        Raises
        ------
        ValueError
            where no patch was seen often enough.
        """
        usable = self.count >= max(2, least)
        if not usable.any():
            raise ValueError(
                f"no patch was seen in {max(2, least)} pairs (most: {int(self.count.max())}): "
                "fit on more pairs, or mask less"
            )
        k = self.mean.shape[1]
        factor = torch.empty(len(self.scatter), k, k, dtype=torch.float32, device=self.mean.device)
        eye = torch.eye(k, dtype=torch.float64, device=self.mean.device)
        free = self._freedom()
        for start in range(0, len(factor), 512):  # bounds the float64 copies
            part = slice(start, start + 512)
            cov = self.scatter[part] / free[part, None, None]
            cov += _floor(cov.diagonal(dim1=1, dim2=2), ridge, relative)[:, None, None] * eye
            factor[part] = torch.linalg.cholesky(cov).to(torch.float32)
        level = self._level(free, ridge, relative)
        mean = self.mean.to(torch.float32)
        return PatchGaussian(torch.where(usable, self.count, 0), mean, factor, self.blocks, level=level)

    def _level(self, free: Tensor, ridge: float, relative: float) -> Tensor | None:
        """By what each patch's standard deviations differ from its block's (patch, feature), both with their ridge.

        The geometric mean of the block's and the patch's own: these are known from fewer pairs.
        """
        if self.blocks is None or self.spread is None:
            return None
        own = self.spread / divisor(freedom(self.mass, self.square))[:, None]
        shared = self.scatter.diagonal(dim1=1, dim2=2) / free[:, None]
        own, shared = (one + _floor(one, ridge, relative)[:, None] for one in (own, shared))
        return (own / shared[self.blocks]).pow(0.25).to(torch.float32)

    def _freedom(self) -> Tensor:
        """What each scatter is divided by: N - 1 of its patch, or the sum over the patches of its block."""
        free = freedom(self.mass, self.square)
        if self.blocks is None:
            return torch.where(free > 0, free, 1.0)
        summed = torch.zeros(len(self.scatter), dtype=free.dtype, device=free.device).index_add_(0, self.blocks, free)
        return torch.where(summed > 0, summed, 1.0)


def _floor(variance: Tensor, ridge: float, relative: float) -> Tensor:
    """What is added to the variances (patch, feature) of each patch."""
    return (ridge + relative * variance.mean(1)).clamp(min=1e-12)


@dataclass(frozen=True)
class PatchGaussian(Gaussian):
    """Gaussians with a whole covariance each, or one for the patches of a block.

    ``factor`` (patch, feature, feature) is the lower Cholesky factor of the covariance: one triangular solve gives the
    quadratic form, which is then never negative, and its diagonal gives ``log|S|``. With ``blocks`` (patch,) int64 it is
    (block, feature, feature), see `Moments`. It is float32; or float16 and to be multiplied by ``scale`` (patch or block,
    feature) float32, the length of each of its rows: features of any scale keep their eleven bits. Patches of a block share
    its correlations; ``level`` (patch, feature), float32 or float16, is by what each patch's standard deviations differ.
    """

    count: Tensor
    mean: Tensor
    factor: Tensor
    blocks: Tensor | None = None
    scale: Tensor | None = None
    level: Tensor | None = None

    def halved(self) -> PatchGaussian:
        """The same with a factor in 16 bits; as it is where that would make it singular."""
        scale = self.factor.square().sum(2).sqrt()
        half = (self.factor / scale[..., None]).to(torch.float16)
        if not half.diagonal(dim1=1, dim2=2).all():
            return self
        return replace(self, factor=half, scale=scale, level=None if self.level is None else self.level.to(torch.float16))

    def lengthened(self) -> PatchGaussian:
        """The inverse of `halved`, to its rounding."""
        return replace(self, factor=self._whole, scale=None)

    def ordered(self, places: Tensor) -> PatchGaussian:
        """The same patches in another order: the one that stands first comes to `places` (patch,) int64 [0], and so on."""
        order = places.argsort()
        level = None if self.level is None else self.level[order]
        if self.blocks is None:
            scale = None if self.scale is None else self.scale[order]
            return replace(self, count=self.count[order], mean=self.mean[order], factor=self.factor[order], scale=scale)
        return replace(self, count=self.count[order], mean=self.mean[order], blocks=self.blocks[order], level=level)

    @classmethod
    def joined(cls, parts: Sequence[PatchGaussian]) -> PatchGaussian:
        """Gaussians of patches that follow one another, as one; all with blocks, or none."""
        arrays: dict[str, Any] = {}
        for name in ("count", "mean", "factor", "scale", "level"):
            some = [one for part in parts if (one := getattr(part, name)) is not None]
            arrays[name] = torch.cat(some) if some else None
        starts = [0, *accumulate(len(part.factor) for part in parts)]
        blocks = [part.blocks + start for part, start in zip(parts, starts, strict=False) if part.blocks is not None]
        return replace(parts[0], **arrays, blocks=torch.cat(blocks) if blocks else None)

    @property
    def log_determinant(self) -> Tensor:
        """``log|S|`` (patch,), float32."""
        own = 2 * self._whole.diagonal(dim1=1, dim2=2).log().sum(1)
        own = own if self.blocks is None else own[self.blocks]
        return own if self.level is None else own + 2 * self.level.to(torch.float32).log().sum(1)

    def _quadratic(self, difference: Tensor) -> Tensor:
        if self.blocks is None:
            solved: Tensor = torch.linalg.solve_triangular(self._whole, difference.permute(1, 2, 0), upper=False)
            return solved.square().sum(1).T
        if self.level is not None:
            difference = difference / self.level.to(torch.float32)
        table, pairs = self._table, len(difference)
        rows = gathered(difference.transpose(0, 1), table).flatten(1, 2)
        square = (rows @ self._whitening).square().sum(2).reshape(*table.shape, pairs)
        return scattered(square, table, difference.shape[1]).T

    @property
    def _whole(self) -> Tensor:
        return self.factor if self.scale is None else self.factor.to(torch.float32) * self.scale[..., None]

    @cached_property
    def _table(self) -> Tensor:
        assert self.blocks is not None
        return members(self.blocks)

    @cached_property
    def _whitening(self) -> Tensor:
        """``L^-T`` (block, feature, feature), by a triangular solve: blocks are few, and every pair is multiplied by it."""
        whole = self._whole
        eye = torch.eye(whole.shape[1], device=whole.device).expand_as(whole)
        inverse: Tensor = torch.linalg.solve_triangular(whole, eye, upper=False)
        return inverse.transpose(1, 2).contiguous()
