"""Diffusion: noise a pair a little, let a network that knows quiet ground take the noise away, look at what changed.

A denoising diffusion model (Ho et al. 2020) of quiet crops, used without guidance (Wolleb et al. 2022, arXiv
2203.04306, as Popescu et al. 2024 use it): forward to step `noise_to`, back to step 0, score = mean squared
difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Protocol

import torch
import xarray as xr
from torch import Tensor
from torch.nn import functional

from insar_anomaly.detectors._bounds import ABOVE_0, FROM_0, FROM_1, Bound, Bounds
from insar_anomaly.detectors._training import Crops, Draws, Trained, Training, seeded, stored
from insar_anomaly.detectors._unet import UNet
from insar_anomaly.detectors._windows import Windows, cells, too_wide, valid_mean
from insar_anomaly.detectors.backbone import device
from insar_anomaly.detectors.base import Progress, Registration, batches, join, scores, silent


class Noise(Protocol):
    """Stationary noise of unit variance."""

    def __call__(self, number: int, size: int, generator: torch.Generator) -> Tensor:
        """Independent fields (number, 1, size, size), on the CPU."""
        ...


class WhiteNoise:
    """Every pixel for itself, as in the paper of Ho et al."""

    def __call__(self, number: int, size: int, generator: torch.Generator) -> Tensor:
        """See `Noise`."""
        white: Tensor = torch.randn(number, 1, size, size, generator=generator)
        return white


@dataclass(frozen=True)
class CorrelatedNoise:
    """Noise that looks like turbulent delay: power spectrum ``k^-slope``, flat below one cycle per `outer` pixels.

    Coloured by its amplitude in the Fourier domain on a field twice as large, of which a quarter is kept, so that
    opposite edges are independent; scaled to unit variance by Parseval's theorem. (The authors multiply by a Cholesky
    factor from the wrong side, which gives another covariance.)
    """

    slope: float
    outer: float

    def __call__(self, number: int, size: int, generator: torch.Generator) -> Tensor:
        """See `Noise`."""
        big = 2 * size
        ky, kx = torch.fft.fftfreq(big)[:, None], torch.fft.rfftfreq(big)[None]
        amplitude = (ky**2 + kx**2 + self.outer**-2) ** (-self.slope / 4)
        twice = torch.full((big // 2 + 1,), 2.0)  # the half spectrum stands for both of its halves, but for two columns
        twice[0] = twice[-1] = 1
        gain = ((amplitude**2 * twice).sum() / big**2).sqrt()
        white = torch.fft.rfft2(torch.randn(number, 1, big, big, generator=generator))
        field: Tensor = torch.fft.irfft2(white * (amplitude / gain), (big, big))
        return field[..., :size, :size].contiguous()


def noise_of(settings: dict[str, object]) -> Noise:
    """The noise that settings ask for."""
    if settings["noise"] == "white":
        return WhiteNoise()
    if settings["noise"] == "correlated":
        return CorrelatedNoise(float(str(settings["slope"])), float(str(settings["outer"])))
    raise ValueError(f"noise = {settings['noise']!r}: choose white or correlated")


class Ladder:
    """The forward process: parts of the crop (`signal`) and of the noise (`noise`) after each step, (T,) float32.

    Linear betas 1e-4 to 0.02 over T = 1000 steps, as in Ho et al. 2020, section 4.
    """

    STEPS = 1000

    def __init__(self, where: torch.device) -> None:
        self.beta = torch.linspace(1e-4, 0.02, self.STEPS, dtype=torch.float64)
        self.kept = (1 - self.beta).cumprod(0)
        self.signal, self.noise = (a.sqrt().float().to(where) for a in (self.kept, 1 - self.kept))

    def up(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """Noisy crops at steps (n,) from clean ones and unit noise (n, 1, y, x)."""
        at = step[:, None, None, None]
        return self.signal[at] * clean + self.noise[at] * noise

    def clean(self, noisy: Tensor, guess: Tensor, step: int) -> Tensor:
        """The clean crop that noisy crops and guessed noise mean, kept inside [-1, 1] as all tiles are."""
        return ((noisy - self.noise[step] * guess) / self.signal[step]).clamp(-1, 1)


class Sampler(Protocol):
    """A way back from step `start` to the clean crop."""

    def __call__(self, network: UNet, noisy: Tensor, start: int, generator: torch.Generator) -> Tensor:
        """Denoised crops (n, 1, y, x)."""
        ...


@dataclass(frozen=True)
class Ancestral:
    """Every step, with fresh noise: Ho et al. 2020, algorithm 2, in the form of its equation 7."""

    ladder: Ladder
    noise: Noise

    def __call__(self, network: UNet, noisy: Tensor, start: int, generator: torch.Generator) -> Tensor:
        """See `Sampler`."""
        beta, kept = self.ladder.beta, self.ladder.kept
        for step in range(start, -1, -1):
            before = float(kept[step - 1]) if step else 1.0
            rest = 1 - float(kept[step])
            clean = self.ladder.clean(noisy, _guess(network, noisy, step), step)
            toward = before**0.5 * float(beta[step]) / rest
            stay = (1 - float(beta[step])) ** 0.5 * (1 - before) / rest
            noisy = toward * clean + stay * noisy
            if step:
                fresh = self.noise(len(noisy), noisy.shape[-1], generator).to(noisy.device)
                noisy = noisy + ((1 - before) / rest * float(beta[step])) ** 0.5 * fresh
        return noisy


@dataclass(frozen=True)
class Ddim:
    """A few of the steps, without fresh noise: Song et al. 2021, equation 12 with sigma 0."""

    ladder: Ladder
    steps: int

    def __call__(self, network: UNet, noisy: Tensor, start: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """See `Sampler`."""
        path = sorted({round(float(s)) for s in torch.linspace(0, start, self.steps + 1)[1:]}, reverse=True)
        for step, after in zip(path, [*path[1:], -1], strict=True):
            clean = self.ladder.clean(noisy, _guess(network, noisy, step), step)
            guess = (noisy - self.ladder.signal[step] * clean) / self.ladder.noise[step]
            noisy = self.ladder.signal[after] * clean + self.ladder.noise[after] * guess if after >= 0 else clean
        return noisy


def _guess(network: UNet, noisy: Tensor, step: int) -> Tensor:
    guess: Tensor = network(noisy, torch.full((len(noisy),), step, device=noisy.device))
    return guess


@dataclass(frozen=True, kw_only=True)
class Diffusion(Training):
    """Settings of the diffusion model; those of the training are in `Training`.

    Parameters
    ----------
    window : pixels per side of a crop, a multiple of 2^(levels - 1)
    stride : pixels from one window to the next when scoring
    cell : pixels per side of a cell of the score map
    width, multipliers, blocks, attention_at : of the U-Net, see `_unet.UNet`
    noise : white or correlated (power spectrum ``k^-slope``, flat beyond `outer` pixels)
    noise_to : steps, of 1000, that a pair is noised and denoised
    train_to : steps that are learnt; `noise_to` would do, 1000 is what the papers train
    sampler : ancestral (every step, fresh noise) or ddim (`ddim_steps` of them, no fresh noise)
    learning_rate : of AdamW
    """

    steps: int = 20_000
    batch: int = 16
    window: int = 128
    stride: int = 64
    cell: int = 8
    width: int = 64
    multipliers: tuple[int, ...] = (1, 2, 2, 4, 8)
    blocks: int = 2
    attention_at: int = 8
    noise: Literal["white", "correlated"] = "white"
    slope: float = 8 / 3
    outer: float = 300.0
    noise_to: int = 100
    train_to: int = Ladder.STEPS
    sampler: Literal["ancestral", "ddim"] = "ancestral"
    ddim_steps: int = 10
    learning_rate: float = 1e-4

    BOUNDS: ClassVar[Bounds] = {
        "noise": ("white", "correlated"),
        "sampler": ("ancestral", "ddim"),
        "window": FROM_1,
        "stride": FROM_1,
        "cell": FROM_1,
        "width": Bound(least=4),
        "multipliers": FROM_1,
        "blocks": FROM_1,
        "attention_at": FROM_1,
        "slope": FROM_0,
        "outer": ABOVE_0,
        "noise_to": Bound(least=1, most=Ladder.STEPS),
        "train_to": Bound(least=1, most=Ladder.STEPS),
        "ddim_steps": FROM_1,
        "learning_rate": ABOVE_0,
    }

    def conflicts(self) -> Iterator[str]:
        """See `Training`."""
        yield from super().conflicts()
        if self.noise_to > self.train_to:
            yield f"noise_to = {self.noise_to}: give at most train_to, which is {self.train_to}"
        deepest = 2 ** (len(self.multipliers) - 1)
        if self.window % deepest:
            yield (
                f"window = {self.window}: {len(self.multipliers)} levels halve it to its {deepest}th part, "
                f"give a multiple of {deepest}"
            )
        if self.width % 2:
            yield f"width = {self.width}: give an even number of features"
        yield from too_wide(self.stride, self.window)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> DiffusionScorer:
        """Train on random crops of the quiet pairs. Raises as `detectors.base` and `_training.train` say."""
        crops, settings = Crops(tiles, "tile", self.window), self.settings()
        learner = _Denoiser(self, crops, noise_of(settings))
        losses = self.run(learner, settings, crops, progress)
        return DiffusionScorer(Trained(stored(learner.networks), losses, learner.terms, settings, crops.pairs))


class _Denoiser:
    """A U-Net, learning to see the noise."""

    terms = ("noise",)

    def __init__(self, chosen: Diffusion, crops: Crops, noise: Noise) -> None:
        with seeded(chosen.seed, torch.device("cpu")):
            self.networks = UNet(chosen.width, chosen.multipliers, chosen.blocks, chosen.attention_at).to(chosen.where)
        self.optimisers = [torch.optim.AdamW(self.networks.parameters(), lr=chosen.learning_rate)]
        self._crops, self._noise, self._chosen, self._ladder = crops, noise, chosen, Ladder(chosen.where)

    def step(self, draws: Draws) -> Tensor:
        """Mean squared error of the guessed noise at random steps (Ho et al. 2020, equation 14)."""
        c = self._chosen
        crops = self._crops.batch(draws, c.batch).to(c.where)
        noise = self._noise(c.batch, c.window, draws.torch).to(c.where)
        step = torch.randint(c.train_to, (c.batch,), generator=draws.torch).to(c.where)
        loss = functional.mse_loss(self.networks(self._ladder.up(crops, noise, step), step), noise)
        self.networks.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[0].step()
        return loss.detach()[None]


@dataclass(frozen=True)
class DiffusionScorer:
    """A fitted `Diffusion`."""

    trained: Trained

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("tile", "valid")

    @cached_property
    def _network(self) -> UNet:
        s = self.trained.settings
        network = UNet(s["width"], s["multipliers"], s["blocks"], s["attention_at"])
        network.load_state_dict(self.trained.weights)
        return network.to(device()).eval()

    @torch.inference_mode()
    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Mean over the measured ground of the squared change, blended from windows. See `detectors.base`."""
        s = self.trained.settings
        windows = Windows((tiles.sizes["y"], tiles.sizes["x"]), s["window"], s["stride"])
        parts = []
        for batch in batches(tiles, self.inputs):
            tile, valid = torch.as_tensor(batch["tile"].values), torch.as_tensor(batch["valid"].values)
            pixels = torch.cat([self._change(windows, one) for one in tile])
            score_map = cells(pixels, valid, s["cell"])
            parts.append(scores(batch, valid_mean(pixels, valid).numpy(), score_map.numpy(), stride=s["cell"]))
        return join(parts)

    def _change(self, windows: Windows, tile: Tensor) -> Tensor:
        """Squared change per pixel (1, y, x) of one tile (y, x), on the CPU.

        Every pair meets the same noise: what differs between two scores is then the pairs.
        """
        s, where = self.trained.settings, device()
        ladder, noise = Ladder(where), noise_of(s)
        back: Sampler = Ddim(ladder, s["ddim_steps"]) if s["sampler"] == "ddim" else Ancestral(ladder, noise)
        generator, start = torch.Generator().manual_seed(s["seed"]), s["noise_to"] - 1
        changes = []
        for some in windows.portions(tile):
            crops = some.to(where)
            fresh = noise(len(crops), windows.size, generator).to(where)
            noisy = ladder.up(crops, fresh, torch.full((len(crops),), start, device=where))
            changes.append((back(self._network, noisy, start, generator) - crops)[:, 0].square().cpu())
        return windows.mean_maps(torch.cat(changes)[None])

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset."""
        return self.trained.to_dataset(type(self).__name__)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> DiffusionScorer:
        """The inverse of `to_dataset`."""
        return cls(Trained.from_dataset(dataset))


REGISTRATION = Registration(Diffusion, DiffusionScorer)
