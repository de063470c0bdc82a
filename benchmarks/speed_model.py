"""The stored models of one stack: bytes of each kind of evidence, and what loading one and scoring a pair costs.

    python -m benchmarks.speed model [--pixels 500] [--fitted 104]

Three models, as for pairs, intervals and acquisitions, are stored as the store does it. `before` stores the same fits as it
was done before: a covariance of each patch in 32 bits, and the network in every model (under a name by which it is not
parted). Loading and scoring is measured in a process of its own, the imports of torch and of the store not counted. `first`
is from opening the store to the score of one pair that is in memory. `next` is the median of the models after it: by then a
worker has the network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from benchmarks.speed_score import tiles
from insar_anomaly import detectors
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.stack.store import Store

STACK = "221080/079D_07694_131313"
KINDS = 3
FORMS = {"now": Padim(), "before": Padim(pool=1, factors="float32")}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The part's own options."""
    parser.add_argument("--pixels", type=int, default=500)
    parser.add_argument("--fitted", type=int, default=104, help="pairs that each model is fitted on; over 100")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Store, look at the files, load in a fresh process."""
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    for name, detector in FORMS.items():
        with tempfile.TemporaryDirectory() as folder:
            store, stored = Store(folder), []
            for kind in range(KINDS):
                model = detector.fit(tiles(given.fitted, given.pixels, seed=kind)).to_dataset()
                stored.append(store.write_model(STACK, model if name == "now" else model.rename(network="carried")))
            bones = megabytes(Path(folder, "models", "backbones"))
            kinds = megabytes(Path(folder, "models")) - bones
            report[name] = {"MB of three kinds": round(kinds, 1), "MB of a kind": round(kinds / KINDS, 1)}
            report[name] |= {"MB of the network, once": round(bones, 1)} | _loaded(folder, stored, given.pixels)
    return report


def megabytes(folder: Path) -> float:
    """Bytes / 1e6 of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def _loaded(folder: str, stored: list[str], pixels: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.speed_model", folder, str(pixels), *stored]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def load_and_score(folder: str, pixels: int, stored: list[str]) -> dict[str, float]:
    """CPU milliseconds and CPU over wall of the first load and score of a process, and of the later ones."""
    torch.set_num_threads(1)
    pair, store = tiles(1, pixels, seed=9), Store(folder)
    cpu, wall = time.process_time(), time.perf_counter()
    (load, score), *later = [_once(store, identity, pair) for identity in stored * 3]
    busy = (time.process_time() - cpu) / (time.perf_counter() - wall)
    again = [statistics.median(costs) for costs in zip(*later, strict=True)]
    named = {"first load ms": load, "first score ms": score, "next load ms": again[0], "next score ms": again[1]}
    return {name: round(value, 2) for name, value in (named | {"cpu_over_wall": busy}).items()}


def _once(store: Store, identity: str, pair: xr.Dataset) -> tuple[float, float]:
    begun = time.process_time()
    stored = store.read_model(STACK, identity)
    scorer = detectors.load(stored.rename(carried="network") if "carried" in stored else stored)
    read = time.process_time()
    scorer.score(pair)
    return 1e3 * (read - begun), 1e3 * (time.process_time() - read)


if __name__ == "__main__":
    print(json.dumps(load_and_score(sys.argv[1], int(sys.argv[2]), sys.argv[3:])))
