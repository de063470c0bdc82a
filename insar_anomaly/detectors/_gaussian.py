"""What all forms of patch distributions have in common: the distances, and how weights count."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["maha", "nlml", "wmaha", "wnlml"]
DISTANCES: tuple[Distance, ...] = ("maha", "nlml", "wmaha", "wnlml")


def counted(seen: Tensor, weight: Tensor | None) -> Tensor:
    """How much each embedding counts (pair, patch), float64: its weight where it was seen, else 0."""
    one = seen.to(torch.float64)
    return one if weight is None else torch.where(seen, weight.to(torch.float64), 0.0)


def divisor(mass: Tensor) -> Tensor:
    """`mass`, and 1 where there is none."""
    return torch.where(mass > 0, mass, 1.0)


def freedom(mass: Tensor, square: Tensor) -> Tensor:
    """``sum w - sum w^2 / sum w`` (patch,), N - 1 for weights of 1; 0 where a patch was seen less than twice."""
    free = mass - square / divisor(mass)
    return torch.where(free > 1e-9 * mass, free, 0.0)


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
