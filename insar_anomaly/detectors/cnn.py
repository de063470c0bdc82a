"""The supervised yardstick: AlexNet tells deforming from quiet patches of wrapped phase.

After Anantrasirichai et al. 2018 (JGR Solid Earth 123) and 2019 (Remote Sensing of Environment 230): trained on
simulated deformation, stratified and turbulent delay, and on real patches where there are any; one probability per
window, blended into a map.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from insar_anomaly.detectors._bounds import ABOVE_0, FROM_1, Bound, Bounds
from insar_anomaly.detectors._checkpoint import fingerprint
from insar_anomaly.detectors._patches import Atmosphere, Labelled, Patches, SimulatedAtmosphere, grey
from insar_anomaly.detectors._training import Crops, Draws, Trained, Training, seeded, stored
from insar_anomaly.detectors._windows import Windows, cells, too_wide
from insar_anomaly.detectors.backbone import Weights, device, digest
from insar_anomaly.detectors.base import Progress, Registration, batches, join, scores, silent
from insar_anomaly.names import JsonObject

FULL_WIDTH = 64
"""Features of AlexNet's first layer."""
LEAST_VALID = 0.5
"""A window counts where more than this share of it was measured."""


@dataclass(frozen=True, kw_only=True)
class Cnn(Training):
    """Settings of the supervised network; those of the training are in `Training`.

    Parameters
    ----------
    window : pixels per side of a patch, at least 63
    stride : pixels from one window to the next when scoring
    cell : pixels per side of a cell of the score map
    width : features of AlexNet's first layer, 64 in the original; the others in proportion
    dropout : part of the dense layers that is left out in each step
    network : weights to start from, of torchvision's alexnet (a last layer of other classes is drawn anew)
    labelled : real patches (patch, window, window), grey in [0, 1], and their labels (patch,) 1 or 0
    use_quiet : make half of the patches of both labels on the stack's own quiet pairs
    peak_cm, depth_km : ranges of simulated deformation, peak line of sight (uniform) and depth (log-uniform)
    learning_rate : of AdamW
    """

    steps: int = 3000
    batch: int = 32
    window: int = 227
    stride: int = 56
    cell: int = 8
    width: int = FULL_WIDTH
    dropout: float = 0.5
    network: Weights | None = None
    labelled: tuple[NDArray[np.floating], NDArray[np.integer]] | None = None
    use_quiet: bool = False
    peak_cm: tuple[float, float] = (2.0, 15.0)
    depth_km: tuple[float, float] = (1.0, 4.0)
    learning_rate: float = 1e-4

    BOUNDS: ClassVar[Bounds] = {
        "stride": FROM_1,
        "cell": FROM_1,
        "width": FROM_1,
        "dropout": Bound(least=0, under=1),
        "peak_cm": ABOVE_0,
        "depth_km": ABOVE_0,
        "learning_rate": ABOVE_0,
    }

    def conflicts(self) -> Iterator[str]:
        """See `Training`."""
        yield from super().conflicts()
        if self.window < 63:
            yield f"window = {self.window}: AlexNet needs patches of at least 63 pixels"
        yield from too_wide(self.stride, self.window)
        for name, (least, most) in (("peak_cm", self.peak_cm), ("depth_km", self.depth_km)):
            if least > most:
                yield f"{name} = ({least}, {most}): give the smaller number first"

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("phase", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> CnnScorer:
        """Train on patches made for this stack's pixels and look.

        Reads the attributes ``pixel_km``, ``look`` and ``removed`` of *tiles*. See `detectors.base` and
        `_training.train` for what may be raised.
        """
        crops = Crops(tiles, "phase", self.window)
        learner = _Pupil(self, self._patches(tiles.attrs, crops))
        settings = self.settings() | {
            "network": digest(self.network) if self.network else "random",
            "labelled": fingerprint({}, *(np.asarray(a) for a in self.labelled)) if self.labelled else "",
            "removed": json.loads(tiles.attrs.get("removed", "[]")),
        }
        settings |= {name: [float(value) for value in tiles.attrs[name]] for name in ("pixel_km", "look")}
        losses = self.run(learner, settings, crops, progress)
        return CnnScorer(Trained(stored(learner.networks), losses, learner.terms, settings, crops.pairs))

    def _patches(self, attrs: JsonObject, crops: Crops) -> Patches:
        height, width = (float(km) for km in attrs["pixel_km"])
        east, north, up = (float(part) for part in attrs["look"])
        simulated = SimulatedAtmosphere(self.window, (height, width), tuple(json.loads(attrs.get("removed", "[]"))))
        atmospheres: tuple[Atmosphere, ...] = (simulated, crops.draw) if self.use_quiet else (simulated,)
        labelled = Labelled.checked(*self.labelled, self.window) if self.labelled else None
        return Patches(self.window, (height, width), (east, north, up), self.peak_cm, self.depth_km, atmospheres, labelled)


class _Pupil:
    """An AlexNet, learning from patches of which half deform."""

    terms = ("cross_entropy",)

    def __init__(self, chosen: Cnn, patches: Patches) -> None:
        with seeded(chosen.seed, torch.device("cpu")):
            self.networks = alexnet(chosen.width, chosen.dropout)
        if chosen.network is not None:
            self.networks.load_state_dict(_start(self.networks, chosen.network))
        self.networks.to(chosen.where)
        self.optimisers = [torch.optim.AdamW(self.networks.parameters(), lr=chosen.learning_rate)]
        self._chosen, self._patches = chosen, patches

    def step(self, draws: Draws) -> Tensor:
        """Cross entropy of one batch, every second patch deforming."""
        labels = torch.arange(self._chosen.batch) % 2
        patches = np.stack([self._patches.draw(int(label), draws.numpy) for label in labels])
        guess = self.networks(_three(torch.from_numpy(patches)[:, None].to(self._chosen.where)))
        loss = functional.cross_entropy(guess, labels.to(self._chosen.where))
        self.networks.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[0].step()
        return loss.detach()[None]


@dataclass(frozen=True)
class CnnScorer:
    """A fitted `Cnn`."""

    trained: Trained

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("phase", "valid")

    @cached_property
    def _network(self) -> nn.Module:
        network = alexnet(self.trained.settings["width"], self.trained.settings["dropout"])
        network.load_state_dict(self.trained.weights)
        return network.to(device()).eval()

    @torch.inference_mode()
    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Largest blended probability of deformation on measured ground. See `detectors.base`.

        A pair of which no window is more than half measured has no score.
        """
        s = self.trained.settings
        windows = Windows((tiles.sizes["y"], tiles.sizes["x"]), s["window"], s["stride"])
        parts = []
        for batch in batches(tiles, self.inputs):
            valid = torch.as_tensor(batch["valid"].values)
            chance = torch.stack([self._chances(windows, one) for one in batch["phase"].values])
            counted = windows.invalid_fraction(valid) < 1 - LEAST_VALID
            pixels = torch.cat([windows.mean(p[None], c[None]) for p, c in zip(chance, counted, strict=True)])
            known = valid & ~pixels.isnan()
            best = torch.where(known, pixels, -torch.inf).amax((1, 2))
            best = torch.where(known.any((1, 2)), best, torch.nan)
            parts.append(scores(batch, best.numpy(), cells(pixels, valid, s["cell"]).numpy(), stride=s["cell"]))
        return join(parts)

    def _chances(self, windows: Windows, phase: NDArray[np.float32]) -> Tensor:
        """Probability (window,) that a window of phase (y, x) holds deformation, on the CPU."""
        portions = windows.portions(torch.from_numpy(grey(phase.astype(np.float64))))
        return torch.cat([self._network(_three(some.to(device()))).softmax(1)[:, 1].cpu() for some in portions])

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset."""
        return self.trained.to_dataset(type(self).__name__)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> CnnScorer:
        """The inverse of `to_dataset`."""
        return cls(Trained.from_dataset(dataset))


def alexnet(width: int, dropout: float) -> nn.Module:
    """torchvision's AlexNet for two classes, freshly drawn; `width` features in its first layer, others to match."""
    from insar_anomaly.detectors.backbone import torchvision_models

    network: Any = torchvision_models().alexnet(weights=None, num_classes=2, dropout=dropout)
    for part in (network.features, network.classifier):
        for i, layer in enumerate(part):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                part[i] = _narrowed(layer, width)
    return network  # type: ignore[no-any-return]


def _narrowed(layer: nn.Conv2d | nn.Linear, width: int) -> nn.Module:
    """A layer of AlexNet with `width` in 64 of its features, and weights as He et al. 2015 draw them.

    torchvision's own draw shrinks what passes through eight layers without normalisation, and trains slowly from nothing.
    """
    out: nn.Conv2d | nn.Linear
    if isinstance(layer, nn.Conv2d):
        into = 3 if layer.in_channels == 3 else layer.in_channels * width // FULL_WIDTH
        kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
        out = nn.Conv2d(into, layer.out_channels * width // FULL_WIDTH, kernel, stride, padding)
    else:
        features = 2 if layer.out_features == 2 else layer.out_features * width // FULL_WIDTH
        out = nn.Linear(layer.in_features * width // FULL_WIDTH, features)
    nn.init.kaiming_normal_(out.weight, nonlinearity="relu")
    nn.init.zeros_(out.bias)  # type: ignore[arg-type]
    return out


def _start(network: nn.Module, given: Weights) -> Weights:
    """Given weights, with the network's own last layer where theirs tells other classes apart."""
    own = dict(network.state_dict())
    last = list(own)[-2:]
    odd = [k for k in own if k not in given or (given[k].shape != own[k].shape and k not in last)]
    if odd:
        raise ValueError(f"not the weights of this AlexNet: {len(odd)} tensors missing or misshapen, first {odd[:3]}")
    kept = last if any(given[k].shape != own[k].shape for k in last) else []
    return {k: own[k] if k in kept else given[k] for k in own}


def _three(patches: Tensor) -> Tensor:
    """Grey patches (n, 1, y, x) as AlexNet reads pictures: three channels, of mean 0 and spread 1 for uniform grey."""
    return ((patches - 0.5) * 12**0.5).expand(-1, 3, -1, -1)


REGISTRATION = Registration(Cnn, CnnScorer)
