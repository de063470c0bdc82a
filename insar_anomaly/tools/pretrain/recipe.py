"""Train the backbone, watch it, and write its weights with the record of how they were made."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from insar_anomaly import __version__
from insar_anomaly.detectors._checkpoint import Checkpoint, fingerprint
from insar_anomaly.detectors._training import Course, Draws, seeded, train
from insar_anomaly.detectors.backbone import INSAR, Weights, digest, pack_weights, random_weights, unpack_weights
from insar_anomaly.detectors.base import Progress, silent
from insar_anomaly.names import JsonObject
from insar_anomaly.tools.pretrain.learner import PretextLearner, Recipe, validate
from insar_anomaly.tools.pretrain.network import TERMS
from insar_anomaly.tools.pretrain.stream import Stream
from insar_anomaly.tools.pretrain.trial import trial

LICENCE = (
    "Apache-2.0, as the package. Trained from random weights on simulated interferograms only: no measured data, no labels "
    "and no other weights went into them."
)

HELD_OUT = 1_000_003
"""Added to the seed for the crops and volcanoes that only measure."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """What is measured while a training goes on. None of it changes the weights.

    Parameters
    ----------
    log_every, validate_every, keep_every : steps from one line, one validation, one checkpoint to the next
    export_minutes : minutes from one intermediate file of weights to the next
    held_out : crops of the validation
    trial : acquisitions on either side, and pixels per side, of the simulated volcanoes of the PaDiM trial
    volcanoes : of each climate in that trial
    """

    log_every: int = 20
    validate_every: int = 400
    keep_every: int = 100
    export_minutes: float = 10.0
    held_out: int = 1024
    trial: tuple[int, int] = (24, 128)
    volcanoes: int = 3


SIZES: dict[str, tuple[Recipe, Watching]] = {
    "full": (Recipe(), Watching()),
    "tiny": (
        Recipe(batch=4, size=32, frame=64, warm_up=2, bfloat16=False),
        Watching(log_every=1, validate_every=4, keep_every=2, held_out=24, trial=(5, 32), volcanoes=1),
    ),
}
"""Recipes by name; tiny is for trying the command."""


class TimeUp(Exception):
    """The minutes are over. Not an error: what was reached is written."""


def train_backbone(
    out: Path,
    *,
    length: tuple[int | None, float | None],
    recipe: Recipe,
    watching: Watching,
    device: torch.device,
    progress: Progress = silent,
) -> Path:
    """Train, or go on with, the backbone in the folder `out`; the file of its weights.

    Parameters
    ----------
    length : crops, minutes. Minutes alone are turned into crops by the speed of the first steps; the training ends after
        that many minutes in any case, and the same call goes on from there
    recipe, watching : what is trained, and what is measured on the way
    progress : called with steps done and all steps

    The same seed and crops give the same weights on the same kind of machine, interrupted or not.

    Raises
    ------
    ValueError
        where the folder holds another training.
    """
    out.mkdir(parents=True, exist_ok=True)
    crops, minutes = length
    started = time.monotonic()
    total = _plan(out, crops, minutes, recipe, device)
    file = out / INSAR
    made = unpack_weights(file.read_bytes())[1] if file.exists() else {}
    if made.get("finished") and made.get("crops") == total:
        return file
    learner = PretextLearner(recipe, total // recipe.batch, device)
    identity = fingerprint({"recipe": asdict(recipe), "crops": total, "initial": digest(learner.weights())})
    checkpoint = Checkpoint(out / "training.safetensors", identity)
    watch = _Watch(out, learner, watching, None if minutes is None else started + 60 * minutes, progress)
    with suppress(TimeUp):
        train(learner, Course(learner.steps, recipe.seed, watching.keep_every, checkpoint), progress=watch)
    return watch.export()


def _plan(out: Path, crops: int | None, minutes: float | None, recipe: Recipe, device: torch.device) -> int:
    """Crops of the whole training: those asked for, else those of the folder's plan, else what fits into the minutes."""
    plan = out / "plan.json"
    known = json.loads(plan.read_text(encoding="utf-8")) if plan.exists() else None
    asked = {"recipe": json.loads(json.dumps(asdict(recipe)))}
    if crops:
        crops = max(1, crops // recipe.batch) * recipe.batch
    if known and (known["recipe"] != asked["recipe"] or (crops and known["crops"] != crops)):
        raise ValueError(f"{plan} is of another training (other recipe, seed or crops): name another folder, or delete it")
    if known:
        return int(known["crops"])
    if crops is None:
        # a tenth of the time is left for measuring, and for a machine that others use too
        fitting = 0.9 * 60 * (minutes or 60) * _speed(recipe, device)
        crops = max(1, int(fitting / recipe.batch)) * recipe.batch
    plan.write_text(json.dumps(asked | {"crops": crops}, indent=1), encoding="utf-8")
    return crops


def _speed(recipe: Recipe, device: torch.device) -> float:
    """Crops per second of a training that is thrown away: the stream is drawn group by group, so over whole blocks."""
    learner, draws = PretextLearner(recipe, 10, device), Draws(0)
    stream = recipe.stream
    with seeded(0, device):
        learner.step(draws)
        started = time.monotonic()
        block = stream.groups * stream.frames * stream.cuts
        for _ in range(max(1, block // recipe.batch)):
            learner.step(draws)
    return block / (time.monotonic() - started)


class _Watch:
    """The loop's progress: logs, validates, exports, and stops when the time is over."""

    def __init__(
        self, out: Path, learner: PretextLearner, watching: Watching, until: float | None, progress: Progress
    ) -> None:
        self.out, self.learner, self.watching, self.until, self.progress = out, learner, watching, until, progress
        self._held_out = Stream(learner.recipe.seed + HELD_OUT, size=learner.recipe.size, frame=learner.recipe.frame).crops(
            0, watching.held_out
        )
        self._log = out / "log.jsonl"
        self._seen: list[NDArray[np.float64]] = []
        self._since = self._exported = time.monotonic()
        self._first = True

    def __call__(self, done: int, total: int) -> None:
        if self._first:
            self._trim(done)
            self._first = False
        self.progress(done, total)
        self._seen.append(self.learner.latest)
        if done % self.watching.log_every == 0 or done == total:
            self._line(done)
        if done % self.watching.validate_every == 0 and done < total:
            self._write({"step": done, "validation": self._validated()})
        now = time.monotonic()
        if now - self._exported > 60 * self.watching.export_minutes and done < total:
            self.export()
            self._exported = time.monotonic()
        if self.until is not None and now > self.until and done < total:
            raise TimeUp

    def export(self) -> Path:
        """Write the weights as they are now, with their record."""
        learner, weights = self.learner, self.learner.weights()
        crops = learner.done * learner.recipe.batch
        made: JsonObject = {
            "recipe": asdict(learner.recipe),
            "stream": asdict(learner.recipe.stream),
            "seed": str(learner.recipe.seed),
            "code": __version__,
            "torch": str(torch.__version__),
            "device": learner.device.type,
            "crops": crops,
            "finished": learner.done >= learner.steps,
            "licence": LICENCE,
            "metrics": {
                "validation": self._validated(),
                "padim": self._tried(weights),
                "padim on random weights": self._untrained,
            },
        }
        self._write({"step": learner.done, "export": made["metrics"]})
        path = self.out / INSAR
        part = path.with_suffix(".part")
        part.write_bytes(pack_weights(weights, made))
        part.replace(path)
        return path

    def _validated(self) -> dict[str, float]:
        return validate(self.learner.average, self._held_out, self.learner.device)

    def _tried(self, weights: Weights) -> dict[str, float]:
        acquisitions, side = self.watching.trial
        seeds = range(self.learner.recipe.seed + HELD_OUT, self.learner.recipe.seed + HELD_OUT + self.watching.volcanoes)
        found = [trial(weights, "trial", seed=s, acquisitions=acquisitions, side=side) for s in seeds]
        return {name: round(float(np.mean([one[name] for one in found])), 4) for name in found[0]}

    @cached_property
    def _untrained(self) -> dict[str, float]:
        return self._tried(random_weights("resnet18", 0))

    def _line(self, done: int) -> None:
        now = time.monotonic()
        mean = np.mean(self._seen, 0)
        line: JsonObject = {"step": done, "crops": done * self.learner.recipe.batch}
        line |= {name: round(float(v), 5) for name, v in zip(TERMS, mean, strict=True)}
        line["rate"] = self.learner.rate(done - 1)
        line["crops_per_second"] = round(len(self._seen) * self.learner.recipe.batch / (now - self._since), 1)
        self._write(line)
        self._seen, self._since = [], now

    def _write(self, line: JsonObject) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _trim(self, done: int) -> None:
        """Forget lines of steps that are made again, because the training went on from an earlier checkpoint."""
        if self._log.exists():
            lines = self._log.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if json.loads(line)["step"] < done]
            self._log.write_text("".join(line + "\n" for line in kept), encoding="utf-8")
