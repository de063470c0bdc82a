"""PaDiM: Gaussians over the embeddings of the stack's quiet pairs (Defard et al. 2021; Popescu et al. 2024, 2025).

Every form of the papers is here. What is better than theirs is the default: one Gaussian per place of the box, masks kept
as masks, the largest distance on the ground as the score.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
import torch
import xarray as xr

from insar_anomaly.detectors._bounds import FROM_0, FROM_1, PART, Bound, insist
from insar_anomaly.detectors._padim_arrays import arrays_of, gaussian_of
from insar_anomaly.detectors._padim_features import PadimFeatures
from insar_anomaly.detectors._padim_parts import POOL, Parts, distance_of, empty_sum, pool_of, rounded
from insar_anomaly.detectors._windows import too_wide
from insar_anomaly.detectors.backbone import Channels, Weights, check_backbone, digest, named_weights
from insar_anomaly.detectors.base import (
    FeatureSpace,
    Progress,
    Registration,
    batches,
    join,
    pack_network,
    scores,
    settings_of,
    silent,
    unpacked_once,
)
from insar_anomaly.detectors.gaussians import Distance, Gaussian, Moments, PatchGaussian, Samples
from insar_anomaly.names import JsonObject

_BOUNDS = {
    "top_percent": Bound(over=0, most=100),
    "pool": FROM_1,
    "ridge": FROM_0,
    "relative_ridge": FROM_0,
    "least_seen": PART,
    "layer_weights": FROM_0,
    "smooth": FROM_0,
    "window": Bound(least=16),
    "window_step": FROM_1,
    "crops": FROM_1,
    "seed": FROM_0,
}


@dataclass(frozen=True)
class Padim:
    """Settings of PaDiM in all of its forms.

    Parameters
    ----------
    layout : aligned (one Gaussian per place of the box) or windows (the papers': per place of a random 128-pixel window)
    form : joint (B: layers joined on one grid) or per-layer (A: each layer on its own grid, distances added)
    backbone : resnet18 or wide_resnet50_2
    weights : insar (resnet18, comes with the package), imagenet, random, or the path or URL of a .safetensors file
    network : weights read from a file, with `network_name` for the record
    dims : channels kept out of all, 0 for all; form per-layer always keeps all
    stride : pixels per patch of the joint form, 4 (the papers' layer1 grid), 8 or 16
    distance : maha, nlml, wmaha or wnlml
    layer_weights : weight of layer1, layer2 and layer3 in the weighted distances; unset takes the papers' for the form
    aggregate : how a score map becomes one score: max, mean, top (mean of the top `top_percent`), or authors (windows only)
    top_percent : percentage of patches that `aggregate` top averages over
    pool : patches along each side of the squares whose patches share one correlation matrix (each keeps its own mean, and
        variances between its own and the square's); 1 gives every patch a covariance of its own; unset takes 4 for layout
        aligned, 1 for windows
    factors : float16 or float32, the precision in which covariances are kept
    ridge : added to each covariance's diagonal (0.01 in the papers)
    relative_ridge : the same, as a part of the patch's mean variance
    least_seen : a patch masked in more than ``1 - least_seen`` of the quiet pairs gets no Gaussian and is never scored
    smooth : sigma in pixels of the blur before the maximum, 0 for none (4 in plain PaDiM)
    clamp : True sets negative distances to 0, as the papers' code does with NLML
    eight_bit : True rounds tiles to 255 steps, as the papers' PNG files do
    window : pixels per side of a window (layout windows)
    window_step : pixels from one window to the next when scoring
    crops : random windows per tile when fitting
    passes : windows (the trunk sees each window alone) or one (it sees the tile once, the maps are cut)
    seed : draws channels and windows, and the weights where they are random
    """

    layout: Literal["aligned", "windows"] = "aligned"
    form: Literal["joint", "per-layer"] = "joint"
    backbone: Literal["resnet18", "wide_resnet50_2"] = "resnet18"
    weights: str = "insar"
    network: Weights | None = None
    network_name: str = ""
    dims: int = 100
    stride: int = 8
    distance: Distance = "maha"
    layer_weights: tuple[float, float, float] | None = None
    aggregate: Literal["max", "mean", "top", "authors"] = "max"
    top_percent: float = 2.0
    pool: int | None = None
    factors: Literal["float16", "float32"] = "float16"
    ridge: float = 0.0
    relative_ridge: float = 0.01
    least_seen: float = 0.5
    smooth: float = 0.0
    clamp: bool = False
    eight_bit: bool = False
    window: int = 128
    window_step: int = 32
    crops: int = 5
    passes: Literal["windows", "one"] = "windows"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.weights == "insar" and self.network is None:
            check_backbone(self.backbone)
        if self.aggregate == "authors" and self.layout != "windows":
            raise ValueError('aggregate = "authors" blends windows: set layout = "windows", or choose max, mean or top')
        if self.stride not in (4, 8, 16):
            raise ValueError(f"stride = {self.stride}: patches are 4, 8 or 16 pixels wide")
        insist(self, _BOUNDS, (too_wide(self.window_step, self.window, "window_step") if self.layout == "windows" else ()))
        _ = Channels(self.backbone, self.dims, self.seed).chosen

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> PadimScorer:
        """Sum over all pairs of *tiles*, batch by batch, and close the sum. See `detectors.base`.

        Where *tiles* have a ``weight``, each patch of a pair counts by its mean; `least_seen` counts pairs all the same.
        Where a patch is seen fewer times than it has features the exact low-rank form is kept instead of a covariance.
        """
        weights, settings = self._loaded()
        shape = (tiles.sizes["y"], tiles.sizes["x"])
        parts = Parts(settings, weights, shape)
        total = tiles.sizes["pair"]
        units = total * (self.crops if self.layout == "windows" else 1)
        pool = pool_of({"layout": self.layout, "pool": self.pool})
        sums: list[Moments | Samples] = [
            empty_sum(units, grid, k, pool, parts.embedder.device)
            for grid, k in zip(parts.layout.grids, parts.features, strict=True)
        ]
        done = 0
        for batch in batches(tiles, (*self.inputs, *(["weight"] if "weight" in tiles else []))):
            found = parts.layout.training(rounded(batch) if self.eight_bit else batch)
            for i, (one, seen, weight) in enumerate(zip(found.embeddings, found.seen, found.weight, strict=True)):
                sums[i] = sums[i] + sums[i].like(one, seen, weight)  # type: ignore[operator]
            done += batch.sizes["pair"]
            progress(done, total)
        least = int(np.ceil(self.least_seen * units))
        gaussians: tuple[Gaussian, ...] = tuple(
            s.gaussian(ridge=self.ridge, relative=self.relative_ridge, least=least) for s in sums
        )
        if self.factors == "float16":
            gaussians = tuple(g.halved() if isinstance(g, PatchGaussian) else g for g in gaussians)
        return PadimScorer(gaussians, weights, settings, shape, tuple(str(p) for p in tiles["pair"].values))

    def space(self, shape: tuple[int, int]) -> FeatureSpace | None:
        """See `detectors.base.Summed`: for the joint form with a Gaussian per place of the box."""
        pool = pool_of({"layout": self.layout, "pool": self.pool})
        if (self.layout, self.form) != ("aligned", "joint") or POOL % pool:
            return None
        return PadimFeatures(*self._loaded(), shape, PadimScorer)

    def _loaded(self) -> tuple[Weights, JsonObject]:
        """The backbone's weights, and the settings that a model keeps, with what was really loaded."""
        weights, name = (
            (self.network, self.network_name)
            if self.network is not None
            else named_weights(self.backbone, self.weights, seed=self.seed)
        )
        settings = {k: w for k, w in asdict(self).items() if k not in ("network", "network_name")} | {"weights": name}
        return weights, settings


@dataclass(frozen=True)
class PadimScorer:
    """A fitted `Padim`: its Gaussians (one set per part), its backbone's weights, its settings and the pairs of the fit."""

    gaussians: tuple[Gaussian, ...]
    weights: Weights
    settings: JsonObject
    shape: tuple[int, int]
    pairs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self.settings, self.weights, self.shape)

    @torch.inference_mode()
    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Distance of every patch to its Gaussian, and one score per pair. See `detectors.base`."""
        shape = (tiles.sizes["y"], tiles.sizes["x"])
        if shape != self.shape:
            raise ValueError(f"tiles of {shape} pixels, but the model was fitted on {self.shape}: fit this stack again")
        measure = partial(distance_of, self.gaussians, self.settings, self._parts.feature_weights)
        layout = self._parts.layout
        parts = []
        for batch in batches(tiles, self.inputs):
            image, patch = layout.scored(rounded(batch) if self.settings["eight_bit"] else batch, measure)
            parts.append(scores(batch, image.cpu().numpy(), patch.cpu().numpy(), stride=layout.stride))
        return join(parts)

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset: Gaussians, weights and settings. A covariance is kept as the triangle of its factor."""
        out = xr.Dataset({"network": pack_network(self.weights), "fitted_pair": ("fitted_pair", np.asarray(self.pairs))})
        for i, gaussian in enumerate(self.gaussians):
            for name, array in arrays_of(gaussian).items():
                first = f"patch_{i}" if len(array) == len(gaussian.mean) else f"block_{i}_0"
                dims = [first, *(f"{name}_{i}_{axis}" for axis in range(1, array.ndim))]
                out[f"{name}_{i}"] = (dims, array)
        out.attrs = {
            "detector": type(self).__name__,
            "settings": json.dumps(self.settings),
            "shape": list(self.shape),
            "backbone": digest(self.weights),
            "parts": len(self.gaussians),
        }
        return out

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> PadimScorer:
        """The inverse of `to_dataset`."""
        gaussians = tuple(gaussian_of(dataset, i) for i in range(int(dataset.attrs["parts"])))
        shape = (int(dataset.attrs["shape"][0]), int(dataset.attrs["shape"][1]))
        pairs = tuple(str(p) for p in dataset["fitted_pair"].values)
        return cls(gaussians, unpacked_once(dataset["network"]), settings_of(dataset), shape, pairs)


REGISTRATION = Registration(Padim, PadimScorer)
