"""What is trained on the simulated crops: the trunk, a light decoder, and small heads on every layer.

Only the trunk is kept. PaDiM reads a random subset of the channels of all three layers, so every layer has linear heads of
its own that see a random part of its channels in each step: what matters is then spread over many channels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from insar_anomaly.detectors.backbone import CHANNELS, Trunk
from insar_anomaly.tools.pretrain.motions import KINDS

DROPPED = 0.6
"""Part of the channels that the linear heads do not see in a step."""

Dense = tuple[int, Tensor]
"""Pixels per cell, and a map (crop, 2, v, u): motion in `squeezed` rad, and the logit of where it is."""


def squeezed(motion: Tensor) -> Tensor:
    """Ground motion (rad, any shape) on the scale of the losses: linear when weak, logarithmic when strong."""
    return torch.asinh(motion)


class Pretext(nn.Module):
    """A trainable `detectors.backbone.Trunk` with heads for where, how much and which kind of motion a crop holds."""

    def __init__(self, backbone: str = "resnet18") -> None:
        super().__init__()
        self.trunk = Trunk(backbone).requires_grad_(True)
        channels = CHANNELS[backbone]
        self.lateral = nn.ModuleList(nn.Conv2d(c, 64, 1) for c in channels)
        self.smooth = nn.Sequential(nn.ReLU(), nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 2, 1))
        self.linear = nn.ModuleList(nn.Conv2d(c, 2, 1) for c in (*channels, sum(channels)))
        self.image = nn.ModuleList(nn.Linear(2 * c, len(KINDS) + 2) for c in channels)

    def forward(self, grey: Tensor) -> tuple[list[Dense], list[Tensor]]:
        """Maps at several strides, and each layer's logits of kind and nuisance (crop, kinds + 2), of tiles (crop, y, x)."""
        maps = self.trunk(grey)
        dense = [(4, self.smooth(self._merged(maps)))]
        seen = [functional.dropout2d(m, DROPPED, self.training) for m in (*maps, _joined(maps))]
        dense += [(stride, head(m)) for stride, head, m in zip((4, 8, 16, 8), self.linear, seen, strict=True)]
        pooled = [torch.cat([m.mean((2, 3)), m.amax((2, 3))], 1) for m in maps]
        image = [head(functional.dropout(p, DROPPED, self.training)) for head, p in zip(self.image, pooled, strict=True)]
        return dense, image

    def _merged(self, maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        out = None
        for lateral, one in zip(reversed(list(self.lateral)), reversed(maps), strict=True):
            own: Tensor = lateral(one)
            out = own if out is None else own + functional.interpolate(out, scale_factor=2, mode="bilinear")
        assert out is not None
        return out


def _joined(maps: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """All layers on the grid of layer2, as PaDiM joins them."""
    deep = maps[2].repeat_interleave(2, 2).repeat_interleave(2, 3)
    return torch.cat([functional.avg_pool2d(maps[0], 2), maps[1], deep], 1)


TERMS = ("motion", "where", "kind", "nuisance")


def losses(found: tuple[list[Dense], list[Tensor]], truth: dict[str, Tensor]) -> Tensor:
    """Losses (term,) in the order of `TERMS`, each averaged over the heads. `truth` is `stream.Crops` as tensors."""
    dense, image = found
    motion = torch.stack([_motion_loss(d, truth) for d in dense]).mean()
    where = torch.stack([_where_loss(d, truth) for d in dense]).mean()
    kinds = len(KINDS)
    asked = bool((truth["kind"] >= 0).any())
    kind = torch.stack([_kind_loss(i[:, :kinds], truth["kind"]) for i in image]).mean() if asked else motion * 0
    nuisance = torch.stack(
        [functional.binary_cross_entropy_with_logits(i[:, kinds:].float(), truth["nuisance"]) for i in image]
    )
    return torch.stack([motion, where, kind, nuisance.mean()])


def _motion_loss(dense: Dense, truth: dict[str, Tensor]) -> Tensor:
    stride, found = dense
    wanted = squeezed(functional.avg_pool2d(truth["motion"][:, None], stride // 4)[:, 0])
    weight = 1 + 2 * functional.avg_pool2d(truth["where"][:, None], stride // 4)[:, 0]
    return (functional.smooth_l1_loss(found[:, 0].float(), wanted, reduction="none", beta=0.5) * weight).mean()


def _where_loss(dense: Dense, truth: dict[str, Tensor]) -> Tensor:
    stride, found = dense
    wanted = functional.avg_pool2d(truth["where"][:, None], stride // 4)[:, 0]
    return functional.binary_cross_entropy_with_logits(found[:, 1].float(), wanted, pos_weight=wanted.new_tensor(3.0))


def _kind_loss(logits: Tensor, kind: Tensor) -> Tensor:
    return functional.cross_entropy(logits.float(), kind, ignore_index=-100, label_smoothing=0.02)


def any_motion(image: Tensor) -> Tensor:
    """Log odds (crop,) of any source against none, from logits (crop, kinds + 2)."""
    kinds = image[:, : len(KINDS)].float()
    return kinds[:, 1:].logsumexp(1) - kinds[:, 0]


def groups(network: nn.Module) -> Iterator[tuple[bool, list[nn.Parameter]]]:
    """Parameters with and without weight decay (norms and biases have none)."""
    trained = [p for p in network.parameters() if p.requires_grad]
    yield True, [p for p in trained if p.ndim > 1]
    yield False, [p for p in trained if p.ndim <= 1]
