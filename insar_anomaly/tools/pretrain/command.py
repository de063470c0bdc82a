"""`insar-anomaly train-backbone`: its arguments and what it prints. Imports nothing heavy before it runs."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

CROPS = 1_000_000
"""Length of a training for which neither crops nor minutes are given."""


def arguments(sub: argparse.ArgumentParser) -> None:
    """Add the training's arguments to a parser."""
    sub.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder for weights, log and checkpoint; the same command continues a stopped training",
    )
    sub.add_argument("--crops", type=_count, metavar="N", help=f"number of simulated crops to train on (default: {CROPS})")
    sub.add_argument("--minutes", type=float, metavar="M", help="stop after this many minutes")
    sub.add_argument("--seed", type=int, default=0, help="seed of the simulation and of the training (default: 0)")
    sub.add_argument("--device", choices=("cpu", "cuda"), help="where to train (default: the GPU, if there is one)")
    sub.add_argument(
        "--size", choices=("full", "tiny"), default="full", help="tiny: a trial of the command that takes seconds"
    )


def run(args: argparse.Namespace, watch: Callable[[str, int, int], None] | None) -> str:
    """Train, and say what was written: words, or JSON where that is asked for.

    Raises
    ------
    UsageError
        where the folder holds another training, or the device is not there.
    """
    import torch

    from insar_anomaly.detectors.backbone import device, unpack_weights
    from insar_anomaly.detectors.base import silent
    from insar_anomaly.tools.pretrain.recipe import SIZES, train_backbone

    if args.device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: this machine has no GPU that torch can use")
    recipe, watching = SIZES[args.size]
    try:
        file = train_backbone(
            Path(args.out),
            length=(args.crops or (None if args.minutes else CROPS), args.minutes),
            recipe=replace(recipe, seed=args.seed),
            watching=watching,
            device=torch.device(args.device) if args.device else device(),
            progress=partial(watch, "train") if watch else silent,
        )
    except ValueError as problem:
        raise UsageError(str(problem)) from problem
    made = unpack_weights(file.read_bytes())[1]
    if args.json:
        return json.dumps({"file": str(file), **made})
    end = "" if made["finished"] else ", not finished: the same command goes on"
    lines = [f"written: {file} ({made['crops']} crops, seed {made['seed']}{end})"]
    lines += [f"{name}: " + ", ".join(f"{k} {v}" for k, v in found.items()) for name, found in made["metrics"].items()]
    return "\n".join(lines)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of crops: write a whole number above 0")
    return int(text)
