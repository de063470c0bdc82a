"""Patches that were seen fewer times than they have features: `Samples` (a sum) and `LowRankGaussian` (its end)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from insar_anomaly.detectors._gaussian import Gaussian, counted, divisor, freedom


@dataclass(frozen=True)
class Samples:
    """The embeddings themselves, kept where there are fewer pairs than features: then they are smaller than a scatter.

    ``embeddings`` (pair, patch, feature) float32, ``seen`` (pair, patch) bool, ``weight`` (pair, patch) float64. A sum like
    `Moments`, closed by `gaussian`.
    """

    embeddings: Tensor
    seen: Tensor
    weight: Tensor

    @classmethod
    def zero(cls, patches: int, features: int, device: torch.device | None = None) -> Samples:
        """The neutral element."""
        seen = torch.zeros(0, patches, dtype=torch.bool, device=device)
        return cls(torch.zeros(0, patches, features, device=device), seen, counted(seen, None))

    @classmethod
    def of(cls, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None) -> Samples:
        """Keep these; see `Moments.of`."""
        return cls(embeddings, seen, counted(seen, weight))

    def like(self, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None) -> Samples:
        """`of`: samples have no blocks."""
        return Samples.of(embeddings, seen, weight)

    def __add__(self, other: Samples) -> Samples:
        """Both."""
        pairs = zip((self.embeddings, self.seen, self.weight), (other.embeddings, other.seen, other.weight), strict=True)
        return Samples(*(torch.cat(both) for both in pairs))

    def gaussian(self, *, ridge: float, relative: float = 0.0, least: int = 2) -> LowRankGaussian:
        """The same Gaussian as `Moments.gaussian` gives, exact, in low-rank form. A ridge of 0 is raised to 1e-12.

        The eigenvectors of the covariance come from the small (pair, pair) Gram matrix of the centred embeddings.
        """
        count = self.seen.sum(0)
        usable = count >= max(2, least)
        if not usable.any():
            raise ValueError(f"no patch was seen in {max(2, least)} pairs (most: {int(count.max())}): fit on more pairs")
        pairs, patches, k = self.embeddings.shape
        mean = torch.empty(patches, k)
        basis, variance = torch.empty(patches, k, pairs), torch.empty(patches, pairs)
        level = torch.empty(patches)
        for start in range(0, patches, 64):  # bounds the float64 copies
            part = slice(start, start + 64)
            wide, weight = self.embeddings[:, part].to(torch.float64), self.weight[:, part]
            mass = weight.sum(0)
            centre = torch.einsum("np,npk->pk", weight, wide) / divisor(mass)[:, None]
            free = divisor(freedom(mass, weight.square().sum(0)))[:, None, None]
            rows = ((wide - centre) * weight.sqrt()[..., None]).transpose(0, 1) / free.sqrt()
            eigenvalue, vector = torch.linalg.eigh(rows @ rows.transpose(1, 2))
            eigenvalue = eigenvalue.clamp(min=0)
            # directions that carry less than rounding of the largest are noise: dropped, the ridge stands for them
            kept = eigenvalue > 1e-10 * eigenvalue[:, -1:].clamp(min=1e-30)
            scale = torch.where(kept, eigenvalue.clamp(min=1e-300).rsqrt(), 0.0)
            basis[part] = ((rows.transpose(1, 2) @ vector) * scale[:, None]).to(torch.float32).cpu()
            variance[part] = torch.where(kept, eigenvalue, 0.0).to(torch.float32).cpu()
            level[part] = (ridge + relative * eigenvalue.sum(1) / k).clamp(min=1e-12).to(torch.float32).cpu()
            mean[part] = centre.to(torch.float32).cpu()
        where = self.embeddings.device
        parts = (mean.to(where), basis.to(where), variance.to(where), level.to(where))
        return LowRankGaussian(torch.where(usable, count, 0), *parts)


@dataclass(frozen=True)
class LowRankGaussian(Gaussian):
    """Gaussians whose covariance is ``V diag(l) V' + e I`` with fewer directions than features.

    ``basis`` V (patch, feature, direction), ``variance`` l (patch, direction) and ``level`` e (patch,), float32. Then
    ``S^-1 = (I - V diag(l / (l + e)) V') / e`` and ``log|S| = sum log(l + e) + (k - r) log e`` (Woodbury).
    """

    count: Tensor
    mean: Tensor
    basis: Tensor
    variance: Tensor
    level: Tensor

    @property
    def log_determinant(self) -> Tensor:
        """``log|S|`` (patch,), float32."""
        directions = (self.variance + self.level[:, None]).log().sum(1)
        return directions + (self.mean.shape[1] - self.variance.shape[1]) * self.level.log()

    def _quadratic(self, difference: Tensor) -> Tensor:
        along = torch.einsum("npk,pkr->npr", difference, self.basis)
        # the part across the basis is the difference minus its projection: no two large numbers are subtracted
        across = difference - torch.einsum("npr,pkr->npk", along, self.basis)
        own = (along.square() / (self.variance + self.level[:, None])).sum(2)
        return own + across.square().sum(2) / self.level
