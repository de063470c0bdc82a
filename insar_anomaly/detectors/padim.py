"""PaDiM: one Gaussian per place, over the embeddings of the stack's quiet pairs (Defard et al. 2021; Popescu et al. 2024).

The *aligned* layout: every patch of the volcano's box has a Gaussian of its own, which knows the atmosphere that this piece
of topography breeds.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from insar_anomaly.detectors.base import (
    Progress,
    batches,
    join,
    pack_network,
    scores,
    settings_of,
    silent,
    unpack_network,
)
from insar_anomaly.distribution import Distance, Moments, PatchGaussian
from insar_anomaly.features import Channels, Embedder, Weights, digest, named_weights

log = logging.getLogger(__name__)

Aggregate = Literal["max", "mean", "top"]


@dataclass(frozen=True)
class Padim:
    """Settings of location-aligned PaDiM.

    Parameters
    ----------
    backbone : resnet18 or wide_resnet50_2
    weights : imagenet or random; ignored where `network` is given
    network : weights read from a file, with `network_name` for the record
    dims : channels kept out of all, 0 for all
    stride : pixels per patch, 4 (the papers' layer1 grid), 8 or 16
    distance : maha, nlml, wmaha or wnlml
    layer_weights : weight of layer1, layer2 and layer3 in the weighted distances, form B (0, 1, 5 in the papers)
    aggregate : how a score map becomes one score: max, mean, or mean of the top `top_percent`
    ridge, relative_ridge : added to each covariance's diagonal, absolute (0.01 in the papers) and as a part of its mean
    least_seen : a patch masked in more than ``1 - least_seen`` of the quiet pairs gets no Gaussian and is never scored
    seed : draws the channel subset, and the weights where they are random
    """

    backbone: str = "resnet18"
    weights: str = "imagenet"
    network: Weights | None = None
    network_name: str = ""
    dims: int = 100
    stride: int = 8
    distance: Distance = "maha"
    layer_weights: tuple[float, float, float] = (0.0, 1.0, 5.0)
    aggregate: Aggregate = "max"
    top_percent: float = 2.0
    ridge: float = 0.0
    relative_ridge: float = 0.01
    least_seen: float = 0.5
    seed: int = 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> PadimScorer:
        """Sum the moments of all pairs of *tiles*, batch by batch, and close the sum. See `detectors.base`."""
        weights, name = (
            (self.network, self.network_name)
            if self.network is not None
            else named_weights(self.backbone, self.weights, seed=self.seed)
        )
        embedder = Embedder(self.backbone, weights, Channels(self.backbone, self.dims, self.seed), stride=self.stride)
        shape = (tiles.sizes["y"], tiles.sizes["x"])
        v, u = embedder.grid(shape)
        total = tiles.sizes["pair"]
        moments = Moments.zero(v * u, len(embedder.channels.chosen), embedder.device)
        done = 0
        for batch in batches(tiles, self.inputs):
            embeddings, seen = embed(embedder, batch)
            moments = moments + Moments.of(embeddings, seen)
            done += batch.sizes["pair"]
            progress(done, total)
        least = int(np.ceil(self.least_seen * total))
        gaussian = moments.gaussian(ridge=self.ridge, relative=self.relative_ridge, least=least)
        settings = {k: w for k, w in asdict(self).items() if k not in ("network", "network_name")} | {"weights": name}
        return PadimScorer(gaussian, weights, settings, shape, tuple(str(p) for p in tiles["pair"].values))


@dataclass(frozen=True)
class PadimScorer:
    """A fitted `Padim`: its patch Gaussians, its backbone's weights, its settings and the pairs it was fitted on."""

    gaussian: PatchGaussian
    weights: Weights
    settings: dict[str, Any]
    shape: tuple[int, int]
    pairs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    @cached_property
    def _embedder(self) -> Embedder:
        s = self.settings
        return Embedder(s["backbone"], self.weights, Channels(s["backbone"], s["dims"], s["seed"]), stride=s["stride"])

    @cached_property
    def _feature_weights(self) -> Tensor:
        by_layer = np.asarray(self.settings["layer_weights"], np.float32)
        return torch.as_tensor(by_layer[self._embedder.channels.layer], device=self._embedder.device)

    @torch.inference_mode()
    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Distance of every patch to its Gaussian, and one score per pair. See `detectors.base`."""
        shape = (tiles.sizes["y"], tiles.sizes["x"])
        if shape != self.shape:
            raise ValueError(f"tiles of {shape} pixels, but the model was fitted on {self.shape}: fit this stack again")
        grid = self._embedder.grid(shape)
        parts = []
        for batch in batches(tiles, self.inputs):
            embeddings, seen = embed(self._embedder, batch)
            distance = self.gaussian.distance(embeddings, self.settings["distance"], self._feature_weights)
            patch = torch.where(seen, distance, torch.nan)
            image = aggregated(patch, self.settings["aggregate"], self.settings["top_percent"])
            score_map = patch.reshape(-1, *grid).cpu().numpy()
            parts.append(scores(batch, image.cpu().numpy(), score_map, stride=self.settings["stride"]))
        return join(parts)

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset: the packed lower triangle of every factor, means, counts, weights and settings."""
        k = self.gaussian.mean.shape[1]
        row, col = torch.tril_indices(k, k)
        out = xr.Dataset(
            {
                "count": ("patch", self.gaussian.count.cpu().numpy().astype(np.int32)),
                "mean": (("patch", "feature"), self.gaussian.mean.cpu().numpy()),
                "factor": (("patch", "triangle"), self.gaussian.factor[:, row, col].cpu().numpy()),
                "network": pack_network(self.weights),
                "fitted_pair": ("fitted_pair", np.asarray(self.pairs)),
            }
        )
        out.attrs = {
            "detector": type(self).__name__,
            "settings": json.dumps(self.settings),
            "shape": list(self.shape),
            "backbone": digest(self.weights),
        }
        return out

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> PadimScorer:
        """The inverse of `to_dataset`."""
        mean = torch.as_tensor(dataset["mean"].values)
        patches, k = mean.shape
        row, col = torch.tril_indices(k, k)
        factor = torch.zeros(patches, k, k)
        factor[:, row, col] = torch.as_tensor(dataset["factor"].values)
        weights = unpack_network(dataset["network"])
        where = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        gaussian = PatchGaussian(
            torch.as_tensor(dataset["count"].values.astype(np.int64)).to(where), mean.to(where), factor.to(where)
        )
        shape = (int(dataset.attrs["shape"][0]), int(dataset.attrs["shape"][1]))
        pairs = tuple(str(p) for p in dataset["fitted_pair"].values)
        return cls(gaussian, weights, settings_of(dataset), shape, pairs)


def embed(embedder: Embedder, batch: xr.Dataset) -> tuple[Tensor, Tensor]:
    """Embeddings (pair, patch, feature) of a batch, and which patches were seen (pair, patch): at least half measured."""
    embeddings = embedder(batch["tile"].values).flatten(1, 2)
    return embeddings, seen_patches(torch.as_tensor(batch["valid"].values), embedder.stride).to(embeddings.device)


def seen_patches(valid: Tensor, stride: int) -> Tensor:
    """Patches (pair, patch) of which at least half of the pixels (pair, y, x) were measured."""
    share = torch.nn.functional.avg_pool2d(valid[:, None].float(), stride, ceil_mode=True, count_include_pad=False)
    return share[:, 0].flatten(1) >= 0.5


def aggregated(patch: Tensor, aggregate: str, top_percent: float) -> Tensor:
    """One score per pair from distances (pair, patch); NaN patches are left out, a pair of nothing but NaN stays NaN."""
    known = ~patch.isnan()
    number = known.sum(1)
    if aggregate == "mean":
        return patch.nansum(1) / number.where(number > 0, torch.nan)
    ranked = torch.where(known, patch, -torch.inf).sort(1, descending=True).values
    if aggregate == "max":
        return ranked[:, 0].where(number > 0, torch.nan)
    if aggregate != "top":
        raise ValueError(f"aggregate = {aggregate!r}: choose max, mean or top")
    take = (number * top_percent / 100).ceil().clamp(min=1)
    place = torch.arange(ranked.shape[1], device=patch.device)
    total = torch.where(place < take[:, None], ranked, 0.0).sum(1)
    return (total / take).where(number > 0, torch.nan)
