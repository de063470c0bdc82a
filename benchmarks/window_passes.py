"""One pass over the tile beside one pass per window: where they agree exactly, by how much they differ, what it saves.

    python benchmarks/window_passes.py [--pixels 224] [--window 128] [--step 32]

Convolution commutes with cutting, but a window seen alone has zero padding at its border where the tile has neighbours, and
that spreads inwards layer by layer. Printed per layer: the part of a window's patches whose features agree to 1e-4 of the
layer's spread, and the largest and mean difference in units of that spread; then the time of both and their ratio. What it
costs in AUROC is a row of `preprocess_ablation.py --only windows`.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import torch

from insar_anomaly.detectors._windows import Windows
from insar_anomaly.detectors.backbone import Channels, Embedder, random_weights
from insar_anomaly.simulate import turbulence


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--window", type=int, default=128)
    parser.add_argument("--step", type=int, default=32)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    field = turbulence((given.pixels, given.pixels), rng, std_rad=1.0)
    tile = torch.as_tensor(np.tanh(field).astype(np.float32))[None]
    windows = Windows((given.pixels, given.pixels), given.window, given.step)
    embedder = Embedder("resnet18", random_weights("resnet18", 0), Channels("resnet18", 0, 0), stride=4)
    started = time.perf_counter()
    alone = list(embedder.layers(windows.cut(tile)[0].numpy()))
    seen_alone = time.perf_counter() - started
    height, width = windows.padded
    wide = torch.nn.functional.pad(tile[:, None], (0, width - given.pixels, 0, height - given.pixels), mode="replicate")[
        :, 0
    ]
    started = time.perf_counter()
    whole = list(embedder.layers(wide.numpy()))
    seen_once = time.perf_counter() - started
    rows, cols = windows.grid
    corners = [(r * given.step, c * given.step) for r in range(rows) for c in range(cols)]
    print(f"{windows.number} windows of {given.window} pixels on {given.pixels} x {given.pixels} pixels\n")
    print("| layer | patches equal to 1e-4 | largest difference | mean difference |\n|---|---|---|---|")
    for i, stride in enumerate((4, 8, 16)):
        side = given.window // stride
        cut = torch.stack([whole[i][0, r // stride :, c // stride :][:side, :side] for r, c in corners])
        difference = (cut - alone[i]).abs() / alone[i].std()
        equal = float((difference.amax(-1) < 1e-4).float().mean())
        print(f"| {i + 1} | {equal:.1%} | {float(difference.max()):.2f} | {float(difference.mean()):.4f} |")
    print(f"\nwindows {seen_alone:.2f} s, one pass {seen_once:.2f} s: {seen_alone / seen_once:.1f} times faster")
    return 0


if __name__ == "__main__":
    sys.exit(main())
