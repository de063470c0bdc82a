"""GANomaly: a network that redraws quiet ground, and fails to redraw what it has never seen.

An encoder, a decoder and a second encoder, trained against a discriminator on quiet crops (Akcay, Atapour-Abarghouei
and Breckon 2018, arXiv 1805.06725). What the decoder redraws badly, or the second encoder reads differently, is
unusual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional

from insar_anomaly.detectors._bounds import ABOVE_0, FROM_0, FROM_1, Bounds
from insar_anomaly.detectors._training import Crops, Draws, Trained, Training, seeded, stored
from insar_anomaly.detectors._windows import Windows, cells, too_wide, valid_mean
from insar_anomaly.detectors.backbone import device
from insar_anomaly.detectors.base import Progress, Registration, batches, join, scores, silent

Measure = Literal["reconstruction", "latent"]
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How GANomaly is trained.

    `reconstruction` is the contextual loss of (redrawn, crop); `feature_matching` says what of the discriminator the
    adversarial loss (mean squared difference between crop and redrawn crop) compares: its last features, or its
    output; `optimiser` makes one for the given parameters.
    """

    reconstruction: Loss
    feature_matching: bool
    optimiser: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


RECIPES = {
    "authors": Recipe(functional.mse_loss, False, lambda p: torch.optim.AdamW(p, lr=1e-4)),
    "original": Recipe(functional.l1_loss, True, lambda p: torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999))),
}
"""`authors`: Popescu et al. 2024, their public code. `original`: Akcay et al. 2018."""


@dataclass(frozen=True, kw_only=True)
class Ganomaly(Training):
    """Settings of GANomaly; those of the training are in `Training`.

    Parameters
    ----------
    recipe : authors or original, see `RECIPES`
    measure : reconstruction (mean squared redrawing error) or latent (mean squared distance of the two encodings)
    window : pixels per side of a crop, a power of two from 16 on
    stride : pixels from one window to the next when scoring
    cell : pixels per side of a cell of the score map
    width : features of the first layer
    latent : numbers in an encoding
    loss_weights : of the adversarial, contextual and encoder loss
    learning_rate : None takes the recipe's
    """

    steps: int = 5000
    batch: int = 32
    recipe: Literal["authors", "original"] = "authors"
    measure: Measure = "reconstruction"
    window: int = 128
    stride: int = 32
    cell: int = 8
    width: int = 64
    latent: int = 100
    loss_weights: tuple[float, float, float] = (1.0, 50.0, 1.0)
    learning_rate: float | None = None

    BOUNDS: ClassVar[Bounds] = {
        "recipe": tuple(RECIPES),
        "measure": ("reconstruction", "latent"),
        "stride": FROM_1,
        "cell": FROM_1,
        "width": FROM_1,
        "latent": FROM_1,
        "loss_weights": FROM_0,
        "learning_rate": ABOVE_0,
    }

    def conflicts(self) -> Iterator[str]:
        """See `Training`."""
        yield from super().conflicts()
        if self.window < 16 or self.window & (self.window - 1):
            yield f"window = {self.window}: GANomaly halves it down to 4 pixels, give 16, 32, 64, 128 or 256"
        yield from too_wide(self.stride, self.window)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> GanomalyScorer:
        """Train on random crops of the quiet pairs. Raises as `detectors.base` and `_training.train` say."""
        crops = Crops(tiles, "tile", self.window)
        learner = _Adversaries(self, crops)
        settings = self.settings()
        losses = self.run(learner, settings, crops, progress)
        return GanomalyScorer(Trained(stored(learner.generator), losses, learner.terms, settings, crops.pairs))


class _Adversaries:
    """Generator and discriminator, learning from each other."""

    terms = ("adversarial", "contextual", "encoder", "discriminator")

    def __init__(self, chosen: Ganomaly, crops: Crops) -> None:
        with seeded(chosen.seed, torch.device("cpu")):
            self.generator = Generator(chosen.window, chosen.width, chosen.latent)
            self.discriminator = Discriminator(chosen.window, chosen.width)
        both = {"generator": self.generator, "discriminator": self.discriminator}
        self.networks = nn.ModuleDict(both).to(chosen.where)
        self._recipe, self._crops, self._chosen = RECIPES[chosen.recipe], crops, chosen
        self.optimisers = [self._recipe.optimiser(n.parameters()) for n in (self.generator, self.discriminator)]
        for group in (g for o in self.optimisers for g in o.param_groups if chosen.learning_rate is not None):
            group["lr"] = chosen.learning_rate

    def step(self, draws: Draws) -> Tensor:
        """One step of each: the generator first, as in the original."""
        crops = self._crops.batch(draws, self._chosen.batch).to(self._chosen.where)
        redrawn, latent, again = self.generator(crops)
        seen, taken = self.discriminator(crops), self.discriminator(redrawn)
        which = 1 if self._recipe.feature_matching else 0
        parts = torch.stack(
            [
                functional.mse_loss(taken[which], seen[which].detach()),
                self._recipe.reconstruction(redrawn, crops),
                functional.mse_loss(again, latent),
            ]
        )
        weighted = parts @ torch.tensor(self._chosen.loss_weights, device=parts.device)
        self._descend(0, weighted)
        real, fake = self.discriminator(crops)[0], self.discriminator(redrawn.detach())[0]
        truth, lie = torch.ones_like(real), torch.zeros_like(fake)
        fooled = (functional.binary_cross_entropy(real, truth) + functional.binary_cross_entropy(fake, lie)) / 2
        self._descend(1, fooled)
        return torch.cat([parts.detach(), fooled.detach()[None]])

    def _descend(self, which: int, loss: Tensor) -> None:
        # both are cleared: the generator's loss also left gradients in the discriminator
        self.networks.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[which].step()


@dataclass(frozen=True)
class GanomalyScorer:
    """A fitted `Ganomaly`: the generator. The discriminator has done its work."""

    trained: Trained

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    @cached_property
    def _generator(self) -> Generator:
        s = self.trained.settings
        network = Generator(s["window"], s["width"], s["latent"])
        network.load_state_dict(self.trained.weights)
        return network.to(device()).eval()

    @torch.inference_mode()
    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Mean over the measured ground of the error, blended from overlapping windows. See `detectors.base`."""
        s = self.trained.settings
        windows = Windows((tiles.sizes["y"], tiles.sizes["x"]), s["window"], s["stride"])
        parts = []
        for batch in batches(tiles, self.inputs):
            tile, valid = torch.as_tensor(batch["tile"].values), torch.as_tensor(batch["valid"].values)
            pixels = torch.cat([self._unusual(windows, *pair) for pair in zip(tile, valid, strict=True)])
            score_map = cells(pixels, valid, s["cell"])
            parts.append(scores(batch, valid_mean(pixels, valid).numpy(), score_map.numpy(), stride=s["cell"]))
        return join(parts)

    def _unusual(self, windows: Windows, tile: Tensor, valid: Tensor) -> Tensor:
        """Error per pixel (1, y, x) of one tile (y, x), on the CPU."""
        errors, distances = [], []
        for some in windows.portions(tile):
            crops = some.to(device())
            redrawn, latent, again = self._generator(crops)
            errors.append((redrawn - crops)[:, 0].square().cpu())
            distances.append((again - latent).square().mean(1).cpu())
        if self.trained.settings["measure"] == "latent":
            return windows.mean(torch.cat(distances)[None], windows.invalid_fraction(valid[None]) < 1)
        return windows.mean_maps(torch.cat(errors)[None])

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset."""
        return self.trained.to_dataset(type(self).__name__)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> GanomalyScorer:
        """The inverse of `to_dataset`."""
        return cls(Trained.from_dataset(dataset))


def _pyramid(window: int, width: int) -> list[int]:
    """Features of the layers that halve a window down to 4 pixels: width, 2 width, ..."""
    return [width << i for i in range(window.bit_length() - 3)]


def _initialised(network: nn.Module) -> None:
    """Normal weights, spread 0.02, as in DCGAN (Radford et al. 2016) and the original GANomaly."""
    for part in network.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)


def _halving(window: int, width: int) -> nn.Sequential:
    """(n, 1, window, window) to (n, features, 4, 4)."""
    sizes = _pyramid(window, width)
    layers: list[nn.Module] = [nn.Conv2d(1, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for some, more in pairwise(sizes):
        layers += [nn.Conv2d(some, more, 4, 2, 1, bias=False), nn.BatchNorm2d(more), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _doubling(window: int, width: int, latent: int) -> nn.Sequential:
    """(n, latent, 1, 1) to (n, 1, window, window), in [-1, 1]."""
    sizes = _pyramid(window, width)[::-1]
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent, sizes[0], 4, 1, 0, bias=False)]
    for many, fewer in pairwise(sizes):
        layers += [nn.BatchNorm2d(many), nn.ReLU(), nn.ConvTranspose2d(many, fewer, 4, 2, 1, bias=False)]
    layers += [nn.BatchNorm2d(width), nn.ReLU(), nn.ConvTranspose2d(width, 1, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """Crops (n, 1, window, window) to: the redrawn crops, their encoding (n, latent), and that of what was redrawn."""

    def __init__(self, window: int, width: int, latent: int) -> None:
        super().__init__()
        deep = _pyramid(window, width)[-1]
        self.encoder = nn.Sequential(_halving(window, width), nn.Conv2d(deep, latent, 4, bias=False))
        self.decoder = _doubling(window, width, latent)
        self.second = nn.Sequential(_halving(window, width), nn.Conv2d(deep, latent, 4, bias=False))
        _initialised(self)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        latent = self.encoder(crops)
        redrawn = self.decoder(latent)
        return redrawn, latent.flatten(1), self.second(redrawn).flatten(1)


class Discriminator(nn.Module):
    """Crops (n, 1, window, window) to the probability that they are real (n,), and the last features."""

    def __init__(self, window: int, width: int) -> None:
        super().__init__()
        self.features = _halving(window, width)
        self.verdict = nn.Sequential(nn.Conv2d(_pyramid(window, width)[-1], 1, 4, bias=False), nn.Sigmoid())
        _initialised(self)

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        features = self.features(crops)
        return self.verdict(features).flatten(), features


REGISTRATION = Registration(Ganomaly, GanomalyScorer)
