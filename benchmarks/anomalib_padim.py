"""PaDiM's distances, speed and peak memory beside anomalib's Padim, fed the same weights, channels and tiles.

    python benchmarks/anomalib_padim.py [--anomalib PYTHON] [--fit 200 --score 64 --pixels 224 --batch 8]

Needs anomalib (`pip install anomalib`; read about and run with 2.7.0), which is no dependency of this package: an
environment of its own is best (`--anomalib PYTHON`; it needs xarray, scipy and safetensors too), with this repository on
PYTHONPATH. Each side runs in a process of its own, on one thread: `ours` has anomalib's patches of 4 pixels, each with its
covariance, and its distances must agree; `default` has this package's default patches and covariances. Printed are CPU
seconds of the fit and of scoring, peak memory, and the ratios. Exit code 1 where `ours` and anomalib disagree.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from insar_anomaly.detectors._blocks import blocks_of
from insar_anomaly.detectors._padim_parts import POOL
from insar_anomaly.detectors.backbone import Channels, Embedder, random_weights, torchvision_models
from insar_anomaly.detectors.gaussians import Moments
from insar_anomaly.detectors.padim import Padim

SEED = 0


SIDES = ("ours", "default", "anomalib")
Measured = tuple[np.ndarray[Any, Any], dict[str, float]]
"""Distances (pair, patch), and CPU seconds of the fit and of scoring."""


def main() -> int:
    """Run all sides and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=200)
    parser.add_argument("--score", type=int, default=64)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--anomalib", metavar="PYTHON", default=sys.executable, help="interpreter that has anomalib")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        torch.set_num_threads(1)
        before = peak_mb()
        found, seconds = {"ours": ours, "default": default, "anomalib": anomalib}[given.side](given)
        np.save(given.out, found)
        peak = peak_mb()
        rounded = {name: round(value, 2) for name, value in seconds.items()}
        print(json.dumps(rounded | {"peak_MB": round(peak), "peak_MB over imports": round(peak - before)}))
        return 0
    figures = compared(given)
    print(json.dumps(figures, indent=1))
    return 0 if figures["largest relative difference"] < 1e-3 else 1


def compared(given: argparse.Namespace) -> dict[str, Any]:
    """Each side in a process of its own, and ratios of anomalib to the others."""
    figures: dict[str, Any] = {}
    arrays = {}
    with tempfile.TemporaryDirectory() as folder:
        for side in SIDES:
            out = Path(folder) / f"{side}.npy"
            python = given.anomalib if side == "anomalib" else sys.executable
            command = [python, __file__, "--side", side, "--out", str(out)]
            for name in ("fit", "score", "pixels", "batch"):
                command += [f"--{name}", str(getattr(given, name))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            figures[side] = json.loads(done.stdout.splitlines()[-1])
            arrays[side] = np.load(out)
    difference = np.abs(arrays["ours"] - arrays["anomalib"]) / arrays["anomalib"]
    figures["largest relative difference"] = float(difference.max())
    for side in ("ours", "default"):
        figures[f"anomalib / {side}"] = {
            name: round(value / figures[side][name], 2) for name, value in figures["anomalib"].items()
        }
    return figures


def peak_mb() -> float:
    """Most memory this program has had, in MiB; `getrusage` would count that of the program that started it too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10


def tiles(given: argparse.Namespace) -> np.ndarray[Any, Any]:
    """Smooth random tiles (pair, y, x): fit, then score."""
    rng = np.random.default_rng(SEED)
    coarse = rng.standard_normal((given.fit + given.score, given.pixels // 8, given.pixels // 8))
    fine = coarse.repeat(8, 1).repeat(8, 2) + 0.3 * rng.standard_normal((len(coarse), given.pixels, given.pixels))
    return np.tanh(fine).astype(np.float32)


def ours(given: argparse.Namespace) -> Measured:
    """Patches of 4 pixels with a covariance each, as anomalib has them."""
    return _own(given, stride=4, pool=1)


def default(given: argparse.Namespace) -> Measured:
    """Patches and covariances of this package's default."""
    return _own(given, stride=Padim.stride, pool=POOL)


def _own(given: argparse.Namespace, *, stride: int, pool: int) -> Measured:
    images = tiles(given)
    started = time.process_time()
    embedder = Embedder("resnet18", random_weights("resnet18", SEED), Channels("resnet18", 100, SEED), stride=stride)
    v, u = embedder.grid(images.shape[1:])
    moments = Moments.zero(v * u, 100, blocks=blocks_of((v, u), pool) if pool > 1 else None)
    for start in range(0, given.fit, given.batch):
        found = embedder(images[start : min(start + given.batch, given.fit)]).flatten(1, 2)
        moments = moments + moments.like(found, torch.ones(found.shape[:2], dtype=torch.bool))
    gaussian = moments.gaussian(ridge=0.01)
    fitted = time.process_time()
    parts = [
        gaussian.distance(embedder(images[start : start + given.batch]).flatten(1, 2), "maha")
        for start in range(given.fit, len(images), given.batch)
    ]
    return torch.cat(parts).numpy(), {"fit_s": fitted - started, "score_s": time.process_time() - fitted}


def anomalib(given: argparse.Namespace) -> Measured:
    """The same of anomalib."""
    torchvision_models()  # anomalib imports torchvision too: make that possible beside CPU torch
    from anomalib.models.image.padim.torch_model import PadimModel

    images = torch.as_tensor(tiles(given))[:, None].expand(-1, 3, -1, -1)
    model = PadimModel(backbone="resnet18", pre_trained=False, n_features=100)
    own = random_weights("resnet18", SEED)
    renamed = {k.replace("stem.0.", "conv1.").replace("stem.1.", "bn1."): w for k, w in own.items()}
    missing = model.feature_extractor.feature_extractor.load_state_dict(renamed, strict=False)
    if missing.missing_keys:
        raise SystemExit(f"anomalib's backbone wants other weights: {missing.missing_keys[:3]}")
    model.idx = torch.as_tensor(Channels("resnet18", 100, SEED).chosen)
    started = time.process_time()
    model.train()
    model.feature_extractor.eval()
    for start in range(0, given.fit, given.batch):
        model(images[start : min(start + given.batch, given.fit)])
    model.fit()
    fitted = time.process_time()
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(given.fit, len(images), given.batch):
            found = model.generate_embedding(model.feature_extractor(images[start : start + given.batch]))
            stats = [model.gaussian.mean, model.gaussian.inv_covariance]
            parts.append(model.anomaly_map_generator.compute_distance(found, stats).flatten(1))
    return torch.cat(parts).numpy(), {"fit_s": fitted - started, "score_s": time.process_time() - fitted}


if __name__ == "__main__":
    sys.exit(main())
