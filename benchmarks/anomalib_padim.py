"""PaDiM's distances, speed and peak memory beside anomalib's Padim, fed the same weights, channels and tiles.

    python benchmarks/anomalib_padim.py [--fit 200 --score 64 --pixels 224 --batch 8]

Needs anomalib (`pip install anomalib`; read about and run with 2.7.0), which is no dependency of this package: an
environment of its own is best, with this repository on PYTHONPATH. Each side
runs in a process of its own; printed are the largest relative difference of the distances, and time and peak memory of
both and their ratio. Exit code 1 where they disagree.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from insar_anomaly.detectors.backbone import Channels, Embedder, random_weights, torchvision_models
from insar_anomaly.detectors.gaussians import Moments

SEED = 0


def main() -> int:
    """Run both sides and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", type=int, default=200)
    parser.add_argument("--score", type=int, default=64)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--side", choices=("ours", "anomalib"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        found, seconds = {"ours": ours, "anomalib": anomalib}[given.side](given)
        np.save(given.out, found)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": round(seconds, 2), "peak_GiB": round(peak, 2)}))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures: dict[str, Any] = {}
        arrays = {}
        for side in ("ours", "anomalib"):
            out = Path(folder) / f"{side}.npy"
            command = [sys.executable, __file__, "--side", side, "--out", str(out)]
            for name in ("fit", "score", "pixels", "batch"):
                command += [f"--{name}", str(getattr(given, name))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            figures[side] = json.loads(done.stdout.splitlines()[-1])
            arrays[side] = np.load(out)
    largest = float((np.abs(arrays["ours"] - arrays["anomalib"]) / arrays["anomalib"]).max())
    figures["largest relative difference"] = largest
    figures["time ours / anomalib"] = round(figures["ours"]["seconds"] / figures["anomalib"]["seconds"], 2)
    figures["memory ours / anomalib"] = round(figures["ours"]["peak_GiB"] / figures["anomalib"]["peak_GiB"], 2)
    print(json.dumps(figures, indent=1))
    return 0 if largest < 1e-3 else 1


def tiles(given: argparse.Namespace) -> np.ndarray[Any, Any]:
    """Smooth random tiles (pair, y, x): fit, then score."""
    rng = np.random.default_rng(SEED)
    coarse = rng.standard_normal((given.fit + given.score, given.pixels // 8, given.pixels // 8))
    fine = coarse.repeat(8, 1).repeat(8, 2) + 0.3 * rng.standard_normal((len(coarse), given.pixels, given.pixels))
    return np.tanh(fine).astype(np.float32)


def ours(given: argparse.Namespace) -> tuple[np.ndarray[Any, Any], float]:
    """Distances (pair, patch) and seconds of this package."""
    images = tiles(given)
    embedder = Embedder("resnet18", random_weights("resnet18", SEED), Channels("resnet18", 100, SEED), stride=4)
    started = time.perf_counter()
    v, u = embedder.grid(images.shape[1:])
    moments = Moments.zero(v * u, 100)
    for start in range(0, given.fit, given.batch):
        found = embedder(images[start : min(start + given.batch, given.fit)]).flatten(1, 2)
        moments = moments + Moments.of(found, torch.ones(found.shape[:2], dtype=torch.bool))
    gaussian = moments.gaussian(ridge=0.01)
    parts = [
        gaussian.distance(embedder(images[start : start + given.batch]).flatten(1, 2), "maha")
        for start in range(given.fit, len(images), given.batch)
    ]
    return torch.cat(parts).numpy(), time.perf_counter() - started


def anomalib(given: argparse.Namespace) -> tuple[np.ndarray[Any, Any], float]:
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
    started = time.perf_counter()
    model.train()
    model.feature_extractor.eval()
    for start in range(0, given.fit, given.batch):
        model(images[start : min(start + given.batch, given.fit)])
    model.fit()
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(given.fit, len(images), given.batch):
            found = model.generate_embedding(model.feature_extractor(images[start : start + given.batch]))
            stats = [model.gaussian.mean, model.gaussian.inv_covariance]
            parts.append(model.anomaly_map_generator.compute_distance(found, stats).flatten(1))
    return torch.cat(parts).numpy(), time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
