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
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["maha", "nlml", "wmaha", "wnlml"]
DISTANCES: tuple[Distance, ...] = ("maha", "nlml", "wmaha", "wnlml")


@dataclass(frozen=True)
class Moments:
    """Count, mean and scatter per patch: everything a Gaussian needs, and a sum.

    ``count`` (patch,) int64 is the number of pairs that saw the patch; ``mass`` and ``square`` (patch,) float64 are the sums
    of their weights and of the weights' squares, both equal to the count where every weight is 1; ``mean`` (patch, feature)
    and ``scatter`` (patch, feature, feature) float64, the scatter being the weighted sum of squared differences from the
    weighted mean. A patch that was masked in a pair does not count that pair. ``a + b`` is commutative and associative to
    rounding; it is *not* idempotent, so the caller must not add a pair twice.
    """

    count: Tensor
    mass: Tensor
    square: Tensor
    mean: Tensor
    scatter: Tensor

    @classmethod
    def zero(cls, patches: int, features: int, device: torch.device | None = None) -> Moments:
        """The neutral element."""
        wide = {"dtype": torch.float64, "device": device}
        return cls(
            torch.zeros(patches, dtype=torch.int64, device=device),
            torch.zeros(patches, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, features, **wide),  # type: ignore[arg-type]
            torch.zeros(patches, features, features, **wide),  # type: ignore[arg-type]
        )

    @classmethod
    def of(cls, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None) -> Moments:
        """Moments of embeddings (pair, patch, feature); `seen` (pair, patch) bool says which of them count.

        `weight` (pair, patch), positive where seen, says how much each of them counts; None takes 1. Centred before squaring
        and summed in float64: the naive float32 sum of squares loses every digit when the mean is large beside the spread.
        """
        counted = _counted(seen, weight)
        mass = counted.sum(0)
        wide = embeddings.to(torch.float64)
        mean = torch.einsum("np,npk->pk", counted, wide) / _divisor(mass)[:, None]
        centred = ((wide - mean) * counted.sqrt()[..., None]).transpose(0, 1)
        return cls(seen.sum(0), mass, counted.square().sum(0), mean, centred.transpose(1, 2) @ centred)

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque 1983: exact merge of two sets of moments."""
        mass = self.mass + other.mass
        total = _divisor(mass)
        delta = other.mean - self.mean
        share = (other.mass / total)[:, None]
        mean = torch.where(mass[:, None] > 0, self.mean + delta * share, 0.0)
        cross = (self.mass * other.mass / total)[:, None, None]
        scatter = self.scatter + other.scatter
        # in place: whole temporaries of this size cost more than the arithmetic
        scatter.baddbmm_(delta[:, :, None] * cross, delta[:, None, :])
        return Moments(self.count + other.count, mass, self.square + other.square, mean, scatter)

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
        factor = torch.empty(self.mean.shape[0], k, k, dtype=torch.float32, device=self.mean.device)
        eye = torch.eye(k, dtype=torch.float64, device=self.mean.device)
        for start in range(0, len(self.count), 512):  # bounds the float64 copies
            part = slice(start, start + 512)
            cov = self.scatter[part] / _freedom(self.mass[part], self.square[part])[:, None, None]
            level = ridge + relative * cov.diagonal(dim1=1, dim2=2).mean(1)
            cov += level.clamp(min=1e-12)[:, None, None] * eye
            factor[part] = torch.linalg.cholesky(cov).to(torch.float32)
        return PatchGaussian(torch.where(usable, self.count, 0), self.mean.to(torch.float32), factor)


def _counted(seen: Tensor, weight: Tensor | None) -> Tensor:
    """How much each embedding counts (pair, patch), float64: its weight where it was seen, else 0."""
    one = seen.to(torch.float64)
    return one if weight is None else torch.where(seen, weight.to(torch.float64), 0.0)


def _divisor(mass: Tensor) -> Tensor:
    """`mass`, and 1 where there is none."""
    return torch.where(mass > 0, mass, 1.0)


def _freedom(mass: Tensor, square: Tensor) -> Tensor:
    """``sum w - sum w^2 / sum w`` (patch,), N - 1 for weights of 1; 1 where a patch was seen less than twice."""
    free = mass - square / _divisor(mass)
    return torch.where(free > 1e-9 * mass, free, 1.0)


class Gaussian(ABC):
    """One Gaussian per patch, in whatever form its covariance is kept.

    ``count`` (patch,) int64 is 0 where the patch has no Gaussian; ``mean`` (patch, feature) float32.
    """

    count: Tensor
    mean: Tensor

    @property
    @abstractmethod
    def log_determinant(self) -> Tensor:
        """``log|S|`` (patch,), float32."""

    @abstractmethod
    def _quadratic(self, difference: Tensor) -> Tensor:
        """``D' S^-1 D`` (pair, patch) of differences (pair, patch, feature)."""

    @property
    def usable(self) -> Tensor:
        """Patches (patch,) that have a Gaussian."""
        return self.count > 0

    def quadratic(self, embeddings: Tensor, weights: Tensor | None = None) -> Tensor:
        """``D' S^-1 D`` (pair, patch) of embeddings (pair, patch, feature); `weights` (feature,) multiplies ``D``."""
        difference = embeddings - self.mean
        return self._quadratic(difference if weights is None else difference * weights)

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


@dataclass(frozen=True)
class PatchGaussian(Gaussian):
    """Gaussians with a whole covariance each.

    ``factor`` (patch, feature, feature) float32 is the lower Cholesky factor of the covariance: one triangular solve gives
    the quadratic form, which is then never negative, and its diagonal gives ``log|S|``. Nothing is ever inverted.
    """

    count: Tensor
    mean: Tensor
    factor: Tensor

    @property
    def log_determinant(self) -> Tensor:
        """``log|S|`` (patch,), float32."""
        return 2 * self.factor.diagonal(dim1=1, dim2=2).log().sum(1)

    def _quadratic(self, difference: Tensor) -> Tensor:
        solved: Tensor = torch.linalg.solve_triangular(self.factor, difference.permute(1, 2, 0), upper=False)
        return solved.square().sum(1).T


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
        return cls(torch.zeros(0, patches, features, device=device), seen, _counted(seen, None))

    @classmethod
    def of(cls, embeddings: Tensor, seen: Tensor, weight: Tensor | None = None) -> Samples:
        """Keep these; see `Moments.of`."""
        return cls(embeddings, seen, _counted(seen, weight))

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
            centre = torch.einsum("np,npk->pk", weight, wide) / _divisor(mass)[:, None]
            free = _freedom(mass, weight.square().sum(0))[:, None, None]
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
