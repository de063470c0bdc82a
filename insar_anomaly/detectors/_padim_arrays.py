"""PaDiM's Gaussians as named arrays, and back: the form in which a model is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from insar_anomaly.detectors.backbone import device
from insar_anomaly.detectors.gaussians import Gaussian, LowRankGaussian, PatchGaussian


def arrays_of(gaussian: Gaussian) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays of a Gaussian by name, each with the patch as first dimension."""
    both = {"count": gaussian.count.to(torch.int32), "mean": gaussian.mean}
    if isinstance(gaussian, PatchGaussian):
        k = gaussian.mean.shape[1]
        row, col = torch.tril_indices(k, k)
        own = {"triangle": gaussian.factor[:, row, col]}
        own |= {} if gaussian.scale is None else {"scale": gaussian.scale}
        both |= {} if gaussian.level is None else {"level": gaussian.level}
        both |= {} if gaussian.blocks is None else {"block": gaussian.blocks.to(torch.int32)}
    else:
        assert isinstance(gaussian, LowRankGaussian)
        own = {"basis": gaussian.basis, "variance": gaussian.variance, "level": gaussian.level}
    return {name: tensor.cpu().numpy() for name, tensor in (both | own).items()}


def gaussian_of(dataset: xr.Dataset, part: int) -> Gaussian:
    """The Gaussian of a part, from `arrays_of` whose names end in its number; also as earlier versions wrote it."""
    where = device()

    def read(name: str) -> Tensor:
        return torch.as_tensor(dataset[f"{name}_{part}"].values).to(where)

    count, mean = read("count").to(torch.int64), read("mean")
    if f"triangle_{part}" not in dataset:
        return LowRankGaussian(count, mean, read("basis"), read("variance"), read("level"))
    k = mean.shape[1]
    row, col = torch.tril_indices(k, k)
    triangle = read("triangle")
    factor = torch.zeros(len(triangle), k, k, dtype=triangle.dtype, device=where)
    factor[:, row, col] = triangle
    blocks = read("block").to(torch.int64) if f"block_{part}" in dataset else None
    scale, level = (read(name) if f"{name}_{part}" in dataset else None for name in ("scale", "level"))
    return PatchGaussian(count, mean, factor, blocks, scale, level)
