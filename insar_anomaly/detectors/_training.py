"""The one training loop of the networks: seeded, logged, and resumed to the last bit after a crash."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from insar_anomaly.detectors._bounds import FROM_0, FROM_1, Bounds, insist
from insar_anomaly.detectors._checkpoint import Checkpoint, fingerprint
from insar_anomaly.detectors.backbone import Weights, device, digest
from insar_anomaly.detectors.base import Progress, batches, pack_network, settings_of, silent, unpack_network
from insar_anomaly.errors import NotFitted
from insar_anomaly.names import JsonObject


class Draws:
    """Every random number of a training. Both generators live on the CPU, so that all kinds of machine draw the same."""

    def __init__(self, seed: int) -> None:
        self.numpy = np.random.default_rng(seed)
        self.torch = torch.Generator().manual_seed(seed)


class Learner(Protocol):
    """What the loop needs to know of a network in training."""

    @property
    def networks(self) -> nn.Module:
        """All that is trained, as one module."""
        ...

    @property
    def optimisers(self) -> Sequence[torch.optim.Optimizer]:
        """Their states are part of the checkpoint."""
        ...

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the losses that `step` returns."""
        ...

    def step(self, draws: Draws) -> Tensor:
        """Train on one mini-batch drawn from `draws`; its losses (term,), detached."""
        ...


@contextmanager
def seeded(seed: int, where: torch.device) -> Iterator[None]:
    """Torch's global randomness (initial weights, dropout) from `seed`; the process gets its own back afterwards."""
    gpu = where.type == "cuda"
    with torch.random.fork_rng(devices=[where] if gpu else []):
        torch.default_generator.manual_seed(seed)
        if gpu:
            torch.cuda.manual_seed(seed)
        yield


@dataclass(frozen=True)
class Course:
    """How long a training goes on, from which seed, and where its state is kept (or not at all)."""

    steps: int
    seed: int
    every: int
    checkpoint: Checkpoint | None


def train(learner: Learner, course: Course, *, progress: Progress = silent) -> NDArray[np.float64]:
    """Train until ``course.steps``, going on from the checkpoint where there is one; losses (step, term) float64.

    An interrupted and resumed training gives the same weights, bit for bit, as one that ran through (on a CPU with
    the same number of threads). The checkpoint is removed at the end.

    Raises
    ------
    ValueError
        where the checkpoint belongs to another training.
    Busy
        where another process trains with the same checkpoint.
    NotFitted
        where a loss is not finite.
    """
    kept = course.checkpoint
    with kept.held() if kept else nullcontext():
        draws, losses = Draws(course.seed), torch.empty(0, len(learner.terms), dtype=torch.float64)
        saved = kept.read() if kept else None
        if saved is not None:
            losses = _restore(learner, draws, *saved)
        learner.networks.train()
        where = next(learner.networks.parameters()).device
        for done in range(len(losses) + 1, course.steps + 1):
            with seeded(int(draws.numpy.integers(2**62)), where):
                loss = learner.step(draws).to("cpu", torch.float64)
            if not loss.isfinite().all():
                raise NotFitted(f"training diverged at step {done} (losses {loss.tolist()}): lower learning_rate")
            losses = torch.cat([losses, loss[None]])
            if kept and done % course.every == 0 and done < course.steps:
                kept.write(*_state(learner, draws, losses))
            progress(done, course.steps)
        if kept:
            kept.remove()
    learner.networks.eval()
    return losses.numpy()


def _state(learner: Learner, draws: Draws, losses: Tensor) -> tuple[dict[str, Tensor], JsonObject]:
    """Tensors and JSON states of a training between two steps."""
    tensors = {"losses": losses, "torch": draws.torch.get_state()}
    tensors |= {f"network/{name}": t for name, t in learner.networks.state_dict().items()}
    for i, optimiser in enumerate(learner.optimisers):
        for place, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{i}/{place}/{name}": t for name, t in moments.items()}
    return tensors, {"numpy": draws.numpy.bit_generator.state}


def _restore(learner: Learner, draws: Draws, tensors: dict[str, Tensor], states: JsonObject) -> Tensor:
    """Put a training back where `_state` found it; its losses so far."""
    draws.numpy.bit_generator.state = states["numpy"]
    draws.torch.set_state(tensors["torch"])
    weights = {k.removeprefix("network/"): t for k, t in tensors.items() if k.startswith("network/")}
    learner.networks.load_state_dict(weights)
    for i, optimiser in enumerate(learner.optimisers):
        moments: dict[int, dict[str, Tensor]] = {}
        for key in (k for k in tensors if k.startswith(f"optimiser/{i}/")):
            _, _, place, name = key.split("/")
            moments.setdefault(int(place), {})[name] = tensors[key]
        # the groups (rates, betas) are settings: the fresh ones are right, the checkpoint's identity says so
        optimiser.load_state_dict({"state": moments, "param_groups": optimiser.state_dict()["param_groups"]})
    return tensors["losses"]


class Crops:
    """Random square crops of a stack's quiet tiles.

    The whole variable is kept in memory, float32, with its mask: 5 bytes per pixel and pair. Tiles smaller than a
    crop are padded by their edge pixels.

    Parameters
    ----------
    tiles : as in `detectors.base`, lazy or loaded
    name : the variable to cut, ``tile`` or ``phase``
    size : pixels per side of a crop

    Raises
    ------
    ValueError
        where there are fewer than two pairs with measured ground.
    """

    MEASURED = 0.4
    """A crop should have this share of measured ground (the papers skip windows with 60 % water)."""

    def __init__(self, tiles: xr.Dataset, name: str, size: int) -> None:
        shape = tuple(max(size, tiles.sizes[axis]) for axis in ("y", "x"))
        margin = [(0, 0), *((0, n - tiles.sizes[axis]) for n, axis in zip(shape, ("y", "x"), strict=True))]
        self.size = size
        self.values = np.empty((tiles.sizes["pair"], *shape), np.float32)
        self.valid = np.empty(self.values.shape, np.bool_)
        done = 0
        for batch in batches(tiles, (name, "valid")):
            part = slice(done, done := done + batch.sizes["pair"])
            self.values[part] = np.pad(batch[name].values, margin, mode="edge")
            self.valid[part] = np.pad(batch["valid"].values, margin, mode="edge")
        self.pairs = tuple(str(p) for p in tiles["pair"].values)
        self._usable = np.flatnonzero(self.valid.any((1, 2)))
        if len(self._usable) < 2:
            raise ValueError(
                f"{len(self._usable)} of {len(self.valid)} pairs have measured ground: give at least two quiet pairs"
            )

    def draw(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """One crop (size, size) of one pair: the first of eight tries with enough measured ground, else the best one."""
        best, most = self.values[0, : self.size, : self.size], -1.0
        for _ in range(8):
            pair = rng.choice(self._usable)
            row, col = (int(rng.integers(n - self.size + 1)) for n in self.values.shape[1:])
            place = (pair, slice(row, row + self.size), slice(col, col + self.size))
            measured = float(self.valid[place].mean())
            if measured > most:
                best, most = self.values[place], measured
            if measured >= self.MEASURED:
                break
        return best

    def batch(self, draws: Draws, number: int) -> Tensor:
        """`number` crops as (number, 1, size, size) float32, on the CPU."""
        return torch.from_numpy(np.stack([self.draw(draws.numpy) for _ in range(number)]))[:, None]


@dataclass(frozen=True)
class Trained:
    """What remains of a training: weights (on the CPU), losses (step, term), their names, settings, pairs."""

    weights: Weights
    losses: NDArray[np.float64]
    terms: tuple[str, ...]
    settings: JsonObject
    pairs: tuple[str, ...]

    def to_dataset(self, detector: str) -> xr.Dataset:
        """As one Dataset; `detector` is the name of the scorer's class."""
        out = xr.Dataset(
            {
                "network": pack_network(self.weights),
                "loss": (("step", "term"), self.losses),
                "fitted_pair": ("fitted_pair", np.asarray(self.pairs)),
            },
            coords={"term": list(self.terms)},
        )
        out.attrs = {"detector": detector, "settings": json.dumps(self.settings), "network": digest(self.weights)}
        return out

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Trained:
        """The inverse of `to_dataset`."""
        return cls(
            unpack_network(dataset["network"]),
            np.asarray(dataset["loss"].values, np.float64),
            tuple(str(t) for t in dataset["term"].values),
            settings_of(dataset),
            tuple(str(p) for p in dataset["fitted_pair"].values),
        )


_BOUNDS = {"steps": FROM_1, "batch": FROM_1, "seed": FROM_0, "checkpoint_every": FROM_1}


@dataclass(frozen=True, kw_only=True)
class Training:
    """The settings that every trained network shares; a detector adds its own.

    Parameters
    ----------
    steps, batch : mini-batches, and crops in each
    seed : initial weights, crops, noise
    checkpoint : file that keeps the training's state while it runs, so that a killed one goes on; None for none
    checkpoint_every : steps from one state to the next
    device : cuda or cpu; None takes the GPU where there is one
    """

    steps: int
    batch: int
    seed: int = 0
    checkpoint: Path | None = None
    checkpoint_every: int = 250
    device: str | None = None

    BOUNDS: ClassVar[Bounds] = {}
    """Bounds of the settings that a detector adds."""
    UNRECORDED = ("checkpoint", "checkpoint_every", "device", "network", "labelled")
    """Fields that say where, not what: or arrays, which are recorded by their hash."""

    def __post_init__(self) -> None:
        insist(self, _BOUNDS | dict(self.BOUNDS), self.conflicts())

    def conflicts(self) -> Iterator[str]:
        """What is wrong with settings that are right one by one; asked only where they are."""
        if self.device is not None and not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            yield f"device = {self.device!r}: give cpu, cuda or cuda:NUMBER, or leave it out"

    @property
    def where(self) -> torch.device:
        """The device to train on."""
        return torch.device(self.device) if self.device else device()

    def settings(self) -> JsonObject:
        """What determines the result, as JSON gives it back (tuples as lists)."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in self.UNRECORDED}
        out: JsonObject = json.loads(json.dumps(chosen))
        return out

    def run(self, learner: Learner, settings: JsonObject, crops: Crops, progress: Progress) -> NDArray[np.float64]:
        """Train `learner` on `crops`; losses (step, term). `settings` and the crops are the training's identity."""
        checkpoint = None
        if self.checkpoint is not None:
            # the initial weights are in it too: a training from other weights is another training
            initial = {"initial": digest(dict(learner.networks.state_dict())), "pairs": crops.pairs, **settings}
            checkpoint = Checkpoint(Path(self.checkpoint), fingerprint(initial, crops.values, crops.valid))
        return train(learner, Course(self.steps, self.seed, self.checkpoint_every, checkpoint), progress=progress)


def stored(network: nn.Module) -> Weights:
    """A trained network's weights on the CPU, apart from the network."""
    return {k: t.detach().to("cpu", copy=True) for k, t in network.state_dict().items()}
