"""One step of the backbone's training, the running average of its weights, and what held-out crops say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.detectors._training import Draws
from insar_anomaly.detectors.backbone import Weights
from insar_anomaly.tools.pretrain.network import TERMS, Pretext, any_motion, groups, losses
from insar_anomaly.tools.pretrain.stream import Crops, Stream
from insar_anomaly.units import RAD_PER_M

BANDS_CM = ((0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 13.0))
"""Largest motion within a crop, by which the validation counts."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that decides the weights, but the number of crops.

    Parameters
    ----------
    seed : crops, initial weights, dropped channels
    batch : crops in a step
    size, frame : pixels per side of a crop, and of the interferogram that it is cut from
    rate, warm_up, decay : AdamW's learning rate, its rise in steps, and its weight decay; the rate falls as a cosine to 2 %
    average : memory of the running average of the weights, which is what is kept
    clip : largest norm of the gradient
    balance : weights of the losses, in the order of `network.TERMS`
    bfloat16 : whether the maps are computed in 16 bits
    """

    seed: int = 0
    batch: int = 64
    size: int = 96
    frame: int = 208
    rate: float = 1e-3
    warm_up: int = 200
    decay: float = 0.03
    average: float = 0.998
    clip: float = 1.0
    balance: tuple[float, ...] = (1.0, 1.0, 0.3, 0.2)
    bfloat16: bool = True

    @property
    def stream(self) -> Stream:
        """The crops of the training."""
        return Stream(self.seed, size=self.size, frame=self.frame)


def tensors(crops: Crops, device: torch.device) -> dict[str, Tensor]:
    """Crops as tensors by name."""
    return {f.name: torch.from_numpy(getattr(crops, f.name)).to(device) for f in fields(crops)}


class Networks(nn.Module):
    """What the checkpoint keeps: the network in training, the running average of it, and the step they have reached."""

    step: Tensor

    def __init__(self, trained: Pretext) -> None:
        super().__init__()
        self.trained, self.average = trained, deepcopy(trained).requires_grad_(False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))


class PretextLearner:
    """A `detectors._training.Learner` that trains `Pretext` on the stream for `steps` steps."""

    terms: tuple[str, ...] = TERMS

    def __init__(self, recipe: Recipe, steps: int, device: torch.device) -> None:
        self.recipe, self.steps, self.device = recipe, steps, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.networks = Networks(Pretext())
        self.networks.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.latest = np.zeros(len(TERMS))
        decays = [{"params": p, "weight_decay": recipe.decay * d} for d, p in groups(self.networks.trained)]
        self.optimisers: Sequence[torch.optim.Optimizer] = [torch.optim.AdamW(decays, lr=recipe.rate)]

    @property
    def average(self) -> Pretext:
        """The network with the averaged weights, for use."""
        return self.networks.average.eval()

    @property
    def done(self) -> int:
        """Steps made."""
        return int(self.networks.step)

    def step(self, draws: Draws) -> Tensor:  # noqa: ARG002 - crops follow from the step, dropped channels from torch's seed
        """Train on the next crops of the stream."""
        recipe, at = self.recipe, self.done
        truth = tensors(recipe.stream.crops(at * recipe.batch, recipe.batch), self.device)
        trained, (optimiser,) = self.networks.trained, self.optimisers
        for group in optimiser.param_groups:
            group["lr"] = self.rate(at)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bfloat16):
            found = trained(truth["tile"])
        loss = losses(found, truth)
        optimiser.zero_grad(set_to_none=True)
        (loss * torch.tensor(recipe.balance, device=loss.device)).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained.parameters(), recipe.clip)
        optimiser.step()
        self.networks.step += 1
        self._remember()
        self.latest = loss.detach().cpu().numpy()
        return loss.detach()

    def rate(self, at: int) -> float:
        """Learning rate of step `at`: a straight rise, then a cosine down to 2 %."""
        recipe = self.recipe
        if at < recipe.warm_up:
            return recipe.rate * (at + 1) / recipe.warm_up
        done = (at - recipe.warm_up) / max(1, self.steps - recipe.warm_up)
        return recipe.rate * (0.02 + 0.98 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)

    @torch.no_grad()
    def _remember(self) -> None:
        kept = min(self.recipe.average, (1 + self.done) / (10 + self.done))
        new = self.networks.trained.state_dict()
        for name, old in self.networks.average.state_dict().items():
            if old.is_floating_point():
                old.lerp_(new[name], 1 - kept)
            else:
                old.copy_(new[name])

    def weights(self) -> Weights:
        """The averaged trunk, on the CPU, apart from the training."""
        state = self.average.trunk.state_dict()
        return {k: t.detach().to("cpu", copy=True).contiguous() for k, t in state.items()}


@torch.inference_mode()
def validate(network: Pretext, crops: Crops, device: torch.device, *, batch: int = 64) -> dict[str, float]:
    """How well `network` tells crops with a source from those without, by the motion in the crop, and finds the motion.

    Returns AUROC per band of `BANDS_CM`, the correlation of found and true motion at stride 4, and the mean spread of each
    layer's channels over places and crops (0 would be a collapsed layer).
    """
    odds, found, spread = [], [], []
    for at in range(0, len(crops.kind), batch):
        tile = torch.from_numpy(crops.tile[at : at + batch]).to(device)
        dense, image = network(tile)
        odds.append(any_motion(torch.stack(image).mean(0)).cpu().numpy())
        found.append(dense[0][1][:, 0].float().cpu().numpy())
        spread.append([float(m.float().std((0, 2, 3)).mean()) for m in network.trunk(tile)])
    scores, most = np.concatenate(odds), np.abs(crops.motion).max((1, 2)) / RAD_PER_M * 100
    most = np.abs(most)
    none = scores[crops.kind == 0]
    out = {
        f"auroc {low:g}-{high:g} cm": auroc(none, scores[(most >= low) & (most < high) & (crops.kind > 0)])
        for low, high in BANDS_CM
    }
    true = np.arcsinh(crops.motion).ravel()
    out["motion r"] = float(np.corrcoef(np.concatenate(found).ravel(), true)[0, 1])
    out |= {f"spread {i + 1}": float(s) for i, s in enumerate(np.mean(spread, 0))}
    return {k: round(v, 4) for k, v in out.items()}
