"""What PaDiM's fit, its scorer and its shared features have in common: embedder and layout, sums, distances, rounding."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from insar_anomaly.detectors._blocks import blocks_of
from insar_anomaly.detectors._padim_layouts import Aligned, InWindows, Layout, Reduction
from insar_anomaly.detectors.backbone import Channels, Embedder, Weights
from insar_anomaly.detectors.gaussians import Distance, Gaussian, Moments, Samples
from insar_anomaly.names import JsonObject

LAYER_WEIGHTS = {
    ("joint", "resnet18"): (0.0, 1.0, 5.0),
    ("joint", "wide_resnet50_2"): (0.0, 5.0, 10.0),
    ("per-layer", "resnet18"): (0.01, 1.0, 30.0),
    ("per-layer", "wide_resnet50_2"): (0.01, 1.0, 30.0),
}
"""The papers' weights of layer1, layer2 and layer3, by form and backbone."""


POOL = 4
"""Side in patches of the squares that share a covariance in layout aligned, where nothing else is asked for."""


class Parts:
    """Embedder and layout of a set of settings, and the number and weights of the features in each part."""

    def __init__(self, settings: JsonObject, weights: Weights, shape: tuple[int, int]) -> None:
        per_layer = settings["form"] == "per-layer"
        backbone = settings["backbone"]
        channels = Channels(backbone, 0 if per_layer else settings["dims"], settings["seed"])
        by_layer = np.asarray(settings["layer_weights"] or LAYER_WEIGHTS[settings["form"], backbone], np.float32)
        weighted = settings["distance"].startswith("w")
        self.embedder = Embedder(backbone, weights, channels, stride=4 if per_layer else settings["stride"])
        self.features = [len(channels.of_layer(i)) for i in range(3)] if per_layer else [len(channels.chosen)]
        # form A weights the layers' distances, form B the features' differences
        self.feature_weights = None if per_layer else torch.as_tensor(by_layer[channels.layer], device=self.embedder.device)
        reduction = Reduction(
            aggregate=settings["aggregate"],
            top_percent=settings["top_percent"],
            smooth=settings["smooth"],
            part_weights=tuple(map(float, by_layer)) if per_layer and weighted else (1.0,) * len(self.features),
        )
        self.layout: Layout
        if settings["layout"] == "aligned":
            self.layout = Aligned(self.embedder, shape, per_layer=per_layer, reduction=reduction)
        else:
            window = {"size": settings["window"], "step": settings["window_step"], "crops": settings["crops"]}
            self.layout = InWindows(
                self.embedder,
                shape,
                per_layer=per_layer,
                reduction=reduction,
                window=window | {"seed": settings["seed"]},
                one_pass=settings["passes"] == "one",
            )


def pool_of(settings: JsonObject) -> int:
    """Patches along each side of the squares that share correlations; models of earlier versions share none."""
    pool: int | None = settings.get("pool", 1)
    return pool or (POOL if settings["layout"] == "aligned" else 1)


def kept_as_samples(units: int, features: int, pool: int) -> bool:
    """True where so few units are smaller than a covariance of each patch."""
    return pool == 1 and units < features


def empty_sum(units: int, grid: tuple[int, int], features: int, pool: int, where: torch.device) -> Moments | Samples:
    """The empty sum of one part."""
    patches = grid[0] * grid[1]
    if pool > 1:
        return Moments.zero(patches, features, where, blocks=blocks_of(grid, pool).to(where))
    return (Samples if kept_as_samples(units, features, pool) else Moments).zero(patches, features, where)


def distance_of(
    gaussians: tuple[Gaussian, ...], settings: JsonObject, feature_weights: Tensor | None, part: int, one: Tensor
) -> Tensor:
    """Distances (pair, patch) float32 of one part's embeddings, as the settings want them."""
    name: Distance = settings["distance"]
    if feature_weights is None and name.startswith("w"):
        name = "maha" if name == "wmaha" else "nlml"  # form A: the layout weights the layers
    distance = gaussians[part].distance(one, name, feature_weights)
    return distance.clamp(min=0) if settings["clamp"] else distance


def rounded(batch: xr.Dataset) -> xr.Dataset:
    """Tiles in 255 steps, as they come back from the papers' 8-bit files."""
    grey = np.rint((batch["tile"] + 1) / 2 * 255) / 255
    return batch.assign(tile=(grey * 2 - 1).astype(np.float32))
