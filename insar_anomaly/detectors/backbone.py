"""Frozen backbone -> patch embeddings.

A ResNet trunk (conv1 .. layer3) turns a tile into three maps at 1/4, 1/8 and 1/16 of its size. Deeper maps are repeated
onto the patch grid, joined, and a seeded subset of the channels is kept (Defard et al. 2021, section III).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn

from insar_anomaly.detectors._folded import FoldedTrunk
from insar_anomaly.names import JsonObject

log = logging.getLogger(__name__)

CHANNELS = {"resnet18": (64, 128, 256), "wide_resnet50_2": (256, 512, 1024)}
"""Channels of layer1, layer2 and layer3 of every backbone on offer."""

Weights = dict[str, Tensor]


@cache
def _torchvision() -> Any:
    """Import torchvision, also beside a CPU-only torch.

    The wheel on the package index is built for CUDA torch: its compiled half does not load beside a CPU-only torch, and the
    import then stops at `operator torchvision::nms does not exist`, because a fake for an operator without a schema is
    registered. Declaring the two schemas lets the import pass; models and transforms work, the two operators do not (we
    use neither). Read for torchvision 0.28. Everything here imports torchvision through this one place.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as problem:
        if "torchvision::nms does not exist" not in str(problem):
            raise
    for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = importlib.import_module("torchvision")
    module.__dict__["_insar_anomaly_schemas"] = library  # the schemas live as long as this object
    return module


def torchvision_models() -> ModuleType:
    """`torchvision.models`, importable on every kind of machine."""
    _torchvision()
    return importlib.import_module("torchvision.models")


def device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Trunk(nn.Module):
    """conv1 .. layer3 of a torchvision ResNet, frozen; `forward` gives the maps of layer1, layer2 and layer3."""

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in CHANNELS:
            raise ValueError(f"backbone = {name!r}: choose one of {', '.join(CHANNELS)}")
        full = getattr(torchvision_models(), name)(weights=None)
        self.stem = nn.Sequential(full.conv1, full.bn1, full.relu, full.maxpool)
        self.layer1, self.layer2, self.layer3 = full.layer1, full.layer2, full.layer3
        self.eval().requires_grad_(False)

    def forward(self, grey: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of three layers for grey tiles (n, y, x), the one channel repeated to three."""
        first = self.layer1(self.stem(grey[:, None].expand(-1, 3, -1, -1)))
        second = self.layer2(first)
        return first, second, self.layer3(second)


def from_torchvision(name: str, state: Weights) -> Weights:
    """Weights of a `Trunk` from the state dict of a whole torchvision ResNet (or of a `Trunk`).

    Raises
    ------
    ValueError
        where tensors are missing or of the wrong shape; names the first ones.
    """
    stem = {"conv1.": "stem.0.", "bn1.": "stem.1."}
    renamed = {}
    for key, value in state.items():
        for old, new in stem.items():
            if key.startswith(old):
                renamed[new + key[len(old) :]] = value
                break
        else:
            renamed[key] = value
    wanted = Trunk(name).state_dict()
    wrong = [k for k, v in wanted.items() if k not in renamed or renamed[k].shape != v.shape]
    if wrong:
        raise ValueError(
            f"these weights are not those of {name}: {len(wrong)} tensors missing or misshapen, first {wrong[:3]}"
        )
    return {k: renamed[k].to(v.dtype) for k, v in wanted.items()}


def random_weights(name: str, seed: int) -> Weights:
    """Weights of an untrained trunk, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return dict(Trunk(name).state_dict())


NAMES = ("insar", "imagenet", "random")
"""What `named_weights` knows; any other word is the path or URL of a file."""

INSAR = "insar-resnet18.safetensors"
"""The file of the weights that come with the package, in its folder `weights`."""


def check_backbone(name: str) -> None:
    """That there are `insar` weights of this backbone.

    Raises
    ------
    ValueError
        where it is not resnet18.
    """
    if name != "resnet18":
        raise ValueError(f'weights = "insar" is a resnet18, not a {name}: give imagenet, random or a .safetensors file')


def insar_weights(name: str) -> tuple[Weights, JsonObject]:
    """The weights that come with the package, trained on simulated interferograms, and how they were made.

    Raises
    ------
    ValueError
        where the backbone is not resnet18, or the package was installed without the file.
    """
    check_backbone(name)
    file = resources.files("insar_anomaly.detectors") / "weights" / INSAR
    if not file.is_file():
        raise ValueError(f"{file} is missing: install the package again, or give imagenet, random or a .safetensors file")
    return unpack_weights(file.read_bytes())


def pack_weights(weights: Weights, made: JsonObject) -> bytes:
    """A safetensors file of weights in 16 bits, with `made` (JSON-able: how they were made) in its metadata."""
    half = {k: (t.half() if t.is_floating_point() else t).contiguous().cpu() for k, t in weights.items()}
    return bytes(save(half, {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in made.items()}))


def unpack_weights(content: bytes) -> tuple[Weights, JsonObject]:
    """The inverse of `pack_weights`: weights float32, and how they were made."""
    size = int.from_bytes(content[:8], "little")
    made: JsonObject = dict(json.loads(content[8 : 8 + size]).get("__metadata__", {}))
    for key, value in made.items():
        with suppress(json.JSONDecodeError):
            made[key] = json.loads(value)
    return {k: t.float() if t.is_floating_point() else t for k, t in load(content).items()}, made


def named_weights(name: str, weights: str, *, seed: int) -> tuple[Weights, str]:
    """Weights by name, and what was really loaded.

    `insar` comes with the package, `imagenet` is torchvision's default recipe, `random` is an untrained trunk.
    Where ImageNet's weights cannot be downloaded the answer is `random`, said loudly: a random convolutional trunk is a
    usable texture bank, but not what was asked for.
    """
    if weights == "random":
        return random_weights(name, seed), f"random (seed {seed})"
    if weights == "insar":
        found, made = insar_weights(name)
        return found, f"insar ({digest(found)}, seed {made['seed']}, {made['crops']} crops)"
    if weights != "imagenet":
        raise ValueError(f"weights = {weights!r}: give insar, imagenet, random, or the path of a .safetensors file")
    try:
        full = getattr(torchvision_models(), name)(weights="DEFAULT")
    except OSError as problem:  # URLError is one: no network, no such host, no space for the cache
        log.warning(
            "ImageNet weights of %s cannot be had (%s): RANDOM weights (seed %d) are used instead. "
            "Name a .safetensors file in [detector] weights to choose your own.",
            name,
            problem,
            seed,
        )
        return random_weights(name, seed), f"random (seed {seed}; imagenet could not be downloaded)"
    return from_torchvision(name, dict(full.state_dict())), "imagenet"


def digest(weights: Weights) -> str:
    """Content hash of weights, 16 hexadecimal digits."""
    sha = hashlib.sha256()
    for key in sorted(weights):
        sha.update(key.encode())
        sha.update(np.ascontiguousarray(weights[key].cpu().numpy()).tobytes())
    return sha.hexdigest()[:16]


@dataclass(frozen=True)
class Channels:
    """A seeded, sorted subset of a backbone's channels, split by layer.

    `dims` channels out of all; `dims = 0` keeps all of them.
    """

    backbone: str
    dims: int
    seed: int

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Indices (feature) into the joined channels of all layers, ascending."""
        total = sum(CHANNELS[self.backbone])
        if not 0 <= self.dims <= total:
            raise ValueError(f"dims = {self.dims}: {self.backbone} has {total} channels; 0 keeps them all")
        if self.dims == 0:
            return np.arange(total)
        rng = np.random.default_rng(self.seed)
        return np.asarray(np.sort(rng.choice(total, self.dims, replace=False)))

    @property
    def layer(self) -> NDArray[np.int64]:
        """Layer (0, 1, 2) of each chosen channel."""
        edges = np.cumsum(CHANNELS[self.backbone])
        layer: NDArray[np.int64] = np.searchsorted(edges, self.chosen, side="right")
        return layer

    def of_layer(self, layer: int) -> NDArray[np.int64]:
        """Indices of the chosen channels within one layer."""
        start = int(np.cumsum((0, *CHANNELS[self.backbone]))[layer])
        return np.asarray(self.chosen[self.layer == layer] - start)


class Embedder:
    """Turns tiles into embeddings with one trunk and one channel subset.

    Parameters
    ----------
    backbone, weights : the trunk's name and weights
    channels : which channels to keep
    stride : pixels per patch, 4, 8 or 16; maps finer than the patch grid are averaged onto it, coarser ones repeated
    """

    def __init__(self, backbone: str, weights: Weights, channels: Channels, *, stride: int = 4) -> None:
        if stride not in (4, 8, 16):
            raise ValueError(f"stride = {stride}: patches are 4, 8 or 16 pixels wide")
        if backbone not in CHANNELS:
            raise ValueError(f"backbone = {backbone!r}: choose one of {', '.join(CHANNELS)}")
        self.channels, self.stride = channels, stride
        self.device = device()
        first, second, third = (torch.as_tensor(channels.of_layer(i), device=self.device) for i in range(3))
        self._trunk = FoldedTrunk(weights, (first, second, third), self.device)

    def grid(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Patches along y and x of a tile of `shape` pixels."""
        return -(-shape[0] // self.stride), -(-shape[1] // self.stride)

    @torch.inference_mode()
    def __call__(self, tiles: NDArray[np.float32]) -> Tensor:
        """Embeddings (pair, v, u, feature) float32 of tiles (pair, y, x) in [-1, 1], on the trunk's device.

        Where a GPU's memory is too small for so many tiles, half of them are tried, and so on down to one.
        """
        try:
            return self._embedded(tiles)
        except torch.OutOfMemoryError:
            if len(tiles) < 2:
                raise
        log.warning("%d tiles do not fit into the GPU's memory; they go through the network by halves", len(tiles))
        torch.cuda.empty_cache()
        half = len(tiles) // 2
        return torch.cat([self(tiles[:half]), self(tiles[half:])])

    def _embedded(self, tiles: NDArray[np.float32]) -> Tensor:
        grey = torch.as_tensor(np.ascontiguousarray(tiles, np.float32), device=self.device)
        v, u = self.grid((grey.shape[1], grey.shape[2]))
        parts = [self._on_grid(one, 4 << k, (v, u)) for k, one in enumerate(self._trunk(grey))]
        return torch.cat(parts, 1).permute(0, 2, 3, 1).contiguous()

    def layers(self, tiles: NDArray[np.float32]) -> Iterator[Tensor]:
        """The chosen channels of each layer on the layer's own grid, (pair, v, u, feature) float32."""
        with torch.inference_mode():
            grey = torch.as_tensor(np.ascontiguousarray(tiles, np.float32), device=self.device)
            for one in self._trunk(grey):
                yield one.permute(0, 2, 3, 1).contiguous()

    def _on_grid(self, one: Tensor, stride: int, grid: tuple[int, int]) -> Tensor:
        if stride < self.stride:
            return nn.functional.avg_pool2d(one, self.stride // stride, ceil_mode=True, count_include_pad=False)
        times = stride // self.stride
        # repeat by the ratio of strides, then cut: nearest interpolation to the grid's size would shift the far edge
        return one.repeat_interleave(times, 2).repeat_interleave(times, 3)[:, :, : grid[0], : grid[1]]
