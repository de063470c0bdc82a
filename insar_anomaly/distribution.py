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

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["maha", "nlml", "wmaha", "wnlml"]
DISTANCES: tuple[Distance, ...] = ("maha", "nlml", "wmaha", "wnlml")


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter per patch: everything a Gaussian needs, and a sum.

    ``count`` (patch,) int64; ``mean`` (patch, feature) and ``scatter`` (patch, feature, feature) float64, the scatter being
    the sum of squared differences from the mean. A patch that was masked in a pair does not count that pair. ``a + b`` is
    commutative and associative to rounding; it is *not* idempotent, so the caller must not add a pair twice.
    """

    count: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def zero(cls, patches: int, features: int, device: torch.device | None = None) -> Moments:
        """The neutral element."""
        wide = {"dtype": torch.float64, "device": device}
        return cls(
            torch.zeros(patches, dtype=torch.int64, device=device),
            torch.zeros(patches, features, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, features, features, **wide),  # type: ignore[arg-type]
        )

    @classmethod
    def of(cls, embeddings: Tensor, seen: Tensor) -> Moments:
        """Moments of embeddings (pair, patch, feature); `seen` (pair, patch) bool says which of them count.

        Centred before squaring and summed in float64: the naive float32 sum of squares loses every digit when the mean is
        large beside the spread.
        """
        weight = seen.to(torch.float64)
        count = seen.sum(0)
        wide = embeddings.to(torch.float64)
        mean = torch.einsum("np,npk->pk", weight, wide) / count.clamp(min=1)[:, None]
        centred = ((wide - mean) * weight[..., None]).transpose(0, 1)
        return cls(count, mean, centred.transpose(1, 2) @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque 1983: exact merge of two sets of moments."""
        count = self.count + other.count
        total = count.clamp(min=1).to(torch.float64)
        delta = other.mean - self.mean
        share = (other.count / total)[:, None]
        mean = torch.where(count[:, None] > 0, self.mean + delta * share, 0.0)
        cross = (self.count * other.count / total)[:, None, None]
        return Moments(count, mean, self.scatter + other.scatter + cross * delta[:, :, None] * delta[:, None, :])

    def gaussian(self, *, ridge: float, relative: float = 0.0, least: int = 2) -> PatchGaussian:
        """Close the sum: covariance ``scatter / (N - 1) + (ridge + relative * mean variance) I`` and its Cholesky factor.

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
        factor = torch.empty(self.mean.shape[0], k, k, dtype=torch.float32, device=self.mean.device)
        eye = torch.eye(k, dtype=torch.float64, device=self.mean.device)
        for start in range(0, len(self.count), 512):  # bounds the float64 copies
            part = slice(start, start + 512)
            cov = self.scatter[part] / (self.count[part] - 1).clamp(min=1)[:, None, None]
            level = ridge + relative * cov.diagonal(dim1=1, dim2=2).mean(1)
            cov = cov + level.clamp(min=1e-12)[:, None, None] * eye
            factor[part] = torch.linalg.cholesky(cov).to(torch.float32)
        return PatchGaussian(torch.where(usable, self.count, 0), self.mean.to(torch.float32), factor)


@dataclass(frozen=True)
class PatchGaussian:
    """One Gaussian per patch.

    ``count`` (patch,) int64, 0 where the patch has no Gaussian; ``mean`` (patch, feature) float32; ``factor``
    (patch, feature, feature) float32, the lower Cholesky factor of the covariance: one triangular solve gives the
    quadratic form, which is then never negative, and its diagonal gives ``log|S|``. Nothing is ever inverted.
    """

    count: Tensor
    mean: Tensor
    factor: Tensor

    @property
    def usable(self) -> Tensor:
        """Patches (patch,) that have a Gaussian."""
        return self.count > 0

    @property
    def log_determinant(self) -> Tensor:
        """``log|S|`` (patch,), float32."""
        return 2 * self.factor.diagonal(dim1=1, dim2=2).log().sum(1)

    def quadratic(self, embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        """``D' S^-1 D`` (pair, patch) of embeddings (pair, patch, feature); `weights` (feature,) multiplies ``D``."""
        difference = embeddings - self.mean
        if weights is not None:
            difference = difference * weights
        solved: Tensor = torch.linalg.solve_triangular(self.factor, difference.permute(1, 2, 0), upper=False)
        return solved.square().sum(1).T

    def distance(self, embeddings: Tensor, name: Distance, weights: Tensor | None = None) -> Tensor:
        """One of the four distances (pair, patch) float32; NaN for a patch without a Gaussian.

        `weights` (feature,) are used by `wmaha` and `wnlml` only.
        """
        if name not in DISTANCES:
            raise ValueError(f"distance = {name!r}: choose one of {', '.join(DISTANCES)}")
        weighted = name.startswith("w")
        if weighted and weights is None:
            raise ValueError(f"distance = {name!r} needs layer weights")
        square = self.quadratic(embeddings, weights if weighted else None)
        if name.endswith("maha"):
            out = square.sqrt()
        else:
            out = 0.5 * (square + self.log_determinant + self.mean.shape[1] * math.log(2 * math.pi))
        return torch.where(self.usable, out, torch.nan)
