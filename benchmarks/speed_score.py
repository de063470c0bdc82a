"""Scoring one pair and fitting: the default PaDiM beside the papers' windows and beside anomalib.

    python -m benchmarks.speed score [--pixels 500] [--fitted 16] [--anomalib PYTHON]

`windows` is the papers' form A as its authors run it: torchvision's network on each window of 128 pixels every 32, all
channels, each layer on its own grid, NLML. `windows, our network` is the same with the arithmetic of `detectors._folded`.
anomalib's figures are those of `anomalib_padim.py`; without an interpreter that has it they are left out.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from benchmarks import anomalib_padim
from insar_anomaly.detectors.backbone import Embedder, Trunk
from insar_anomaly.detectors.padim import Padim, PadimScorer
from insar_anomaly.simulate import Spectrum

SEED = 0
REPEATS = 7
AUTHORS = Padim(
    layout="windows",
    form="per-layer",
    distance="nlml",
    stride=4,
    aggregate="authors",
    factors="float32",
    ridge=0.01,
    relative_ridge=0.0,
    least_seen=0.0,
    clamp=True,
    crops=2,
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The part's own options."""
    parser.add_argument("--pixels", type=int, default=500)
    parser.add_argument("--fitted", type=int, default=16, help="pairs that the models are fitted on")
    parser.add_argument("--anomalib", metavar="PYTHON", help="interpreter that has anomalib, xarray, scipy and safetensors")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Best of a few repeats on one thread."""
    torch.set_num_threads(1)
    quiet, new = tiles(given.fitted, given.pixels), tiles(1, given.pixels, seed=1)
    cpu, wall = time.process_time(), time.perf_counter()
    ours, authors = Padim().fit(quiet), AUTHORS.fit(quiet)
    found = {
        "default ms": best(lambda: ours.score(new), REPEATS),
        "windows, our network ms": best(lambda: authors.score(new), 2),
    }
    shares = shares_of(lambda: ours.score(new))
    with_torchvision(authors)
    found["windows ms"] = best(lambda: authors.score(new), 2)
    report: dict[str, Any] = {name: round(value, 1) for name, value in found.items()}
    for name in ("windows", "windows, our network"):
        report[f"{name} / default"] = round(found[f"{name} ms"] / found["default ms"], 1)
    report["cpu_over_wall"] = round((time.process_time() - cpu) / (time.perf_counter() - wall), 2)
    return report | {"default, % of its CPU": shares, "anomalib": _anomalib(given.anomalib)}


def tiles(pairs: int, side: int, *, seed: int = SEED) -> xr.Dataset:
    """Tiles of turbulent air with nothing masked."""
    fields = Spectrum().fields((side, side), np.random.default_rng(seed), number=pairs, pixel_km=0.1)
    dims = ("pair", "y", "x")
    tile = np.tanh(1.5 * np.asarray(fields) / 8).astype(np.float32)
    names = [f"2019{n // 28 + 1:02d}{n % 28 + 1:02d}_20200101" for n in range(pairs)]
    return xr.Dataset({"tile": (dims, tile), "valid": (dims, np.ones(tile.shape, bool))}, coords={"pair": names})


def best(call: Callable[[], object], repeats: int) -> float:
    """Fewest CPU milliseconds of a call, after one that is not counted."""
    call()
    took = []
    for _ in range(repeats):
        started = time.process_time()
        call()
        took.append(time.process_time() - started)
    return 1e3 * min(took)


def shares_of(call: Callable[[], object], *, most: int = 8) -> dict[str, float]:
    """The functions in which a call spends most of its CPU time, in percent."""
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    for _ in range(REPEATS):
        call()
    profile.disable()
    spent: Counter[str] = Counter()
    for (_, _, name), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        spent[name] += own
    return {name: round(100 * seconds / spent.total(), 1) for name, seconds in spent.most_common(most)}


def with_torchvision(scorer: PadimScorer) -> None:
    """Let a scorer use torchvision's network as it is."""
    embedder: Embedder = scorer._parts.embedder
    trunk = Trunk("resnet18")
    trunk.load_state_dict(scorer.weights)
    wanted = [torch.as_tensor(embedder.channels.of_layer(i)) for i in range(3)]

    def run(grey: Tensor) -> list[Tensor]:
        return [one[:, index] for one, index in zip(trunk(grey), wanted, strict=True)]

    embedder.__dict__["_trunk"] = run


def _anomalib(python: str | None) -> Any:
    if python is None:
        return "left out: give --anomalib PYTHON"
    if subprocess.run([python, "-c", "import anomalib"], check=False, capture_output=True).returncode:
        return f"left out: {Path(python)} has no anomalib"
    given = argparse.Namespace(anomalib=python, fit=200, score=64, pixels=224, batch=8)
    return anomalib_padim.compared(given)
