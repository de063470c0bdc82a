"""What each choice of preprocessing and of PaDiM's form is worth on real atmosphere: AUROC of injected 2 and 4 cm sources.

    python benchmarks/preprocess_ablation.py --shared ../shared [--only WORD]

Erta Ale 079D: train on pairs inside 2019-2020, every second pair inside 2021-2022, the same pairs with one source each as
positives; random ResNet18 weights. One choice is changed at a time. Needs the evaluation data beside the repository.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from insar_anomaly import preprocess
from insar_anomaly.calibrate import inject
from insar_anomaly.config import PRESETS, Preprocess
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evaluate import auroc
from insar_anomaly.simulate import LOOK
from insar_anomaly.units import RAD_PER_M

OURS = Preprocess().model_dump()
POSTER = Preprocess(**PRESETS["poster"]["preprocess"]).model_dump()
WINDOWS = {"layout": "windows", "stride": 4, "aggregate": "authors", "ridge": 0.01, "relative_ridge": 0.0, "least_seen": 0.0}
ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("our defaults", OURS, {}),
    ("nothing removed", OURS | {"remove": ()}, {}),
    ("plane removed only", OURS | {"remove": ("plane",)}, {}),
    ("holes widened by 2 pixels", OURS | {"fill_grow": 2}, {}),
    ("range tanh(x / 16)", OURS | {"range_rad": 16.0}, {}),
    ("range clip at 30 rad", OURS | {"range_form": "clip", "range_rad": 30.0}, {}),
    ("patches of 4 pixels", OURS, {"stride": 4}),
    ("patches of 16 pixels", OURS, {"stride": 16}),
    ("all channels, exact low rank", OURS, {"dims": 0, "stride": 16}),
    ("mean of the top 2 %", OURS, {"aggregate": "top"}),
    ("mean", OURS, {"aggregate": "mean"}),
    ("weighted, form B", OURS, {"distance": "wmaha"}),
    ("NLML per layer, form A", OURS, {"form": "per-layer", "distance": "nlml"}),
    ("windows, our tiles, maximum", OURS, {"layout": "windows", "stride": 4}),
    ("windows in one pass, our tiles, maximum", OURS, {"layout": "windows", "stride": 4, "passes": "one"}),
    ("authors' windows, tiles, aggregate", POSTER, WINDOWS),
    ("authors' with NLML form A, clamped", POSTER, WINDOWS | {"form": "per-layer", "distance": "nlml", "clamp": True}),
]


def main() -> int:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--only", default="", help="rows whose name holds this")
    given = parser.parse_args()
    train, quiet = stacks(given.shared / "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc")
    moved = [inject(quiet, peak_cm=peak, seed=0) for peak in (2.0, 4.0)]
    print("| change | AUROC 2 cm | AUROC 4 cm | seconds |\n|---|---|---|---|")
    for name, steps, options in ROWS:
        if given.only not in name:
            continue
        started = time.perf_counter()
        fitted, low, *high = (preprocess.tiles(stack, **steps).load() for stack in (train, quiet, *moved))
        scorer = Padim(weights="random", **options).fit(fitted)
        scores = [scorer.score(tiles)["score"].values for tiles in (low, *high)]
        figures = " | ".join(f"{auroc(scores[0], one):.3f}" for one in scores[1:])
        print(f"| {name} | {figures} | {time.perf_counter() - started:.0f} |", flush=True)
    return 0


def stacks(file: Path) -> tuple[xr.Dataset, xr.Dataset]:
    """Training and quiet test pairs as `store.open` would give them."""
    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        dataset = dataset.sortby("lat", ascending=False).load()
    days = dataset["time"].dt.strftime("%Y%m%d").values
    network = [(i, i + span) for i in range(len(days)) for span in (1, 2, 3) if i + span < len(days)]
    train = [(i, j) for i, j in network if days[i] >= "20190101" and days[j] <= "20201231"]
    test = [(i, j) for i, j in network if days[i] >= "20210101" and days[j] <= "20221231"][::2]
    return _stack(dataset, train), _stack(dataset, test)


def _stack(dataset: xr.Dataset, pairs: list[tuple[int, int]]) -> xr.Dataset:
    cumulative = dataset["ifg_cml"].values
    phase = np.stack([np.nan_to_num((cumulative[j] - cumulative[i]) * RAD_PER_M) for i, j in pairs]).astype(np.float32)
    times = dataset["time"].values
    shape = phase.shape[1:]
    return xr.Dataset(
        {
            "phase": (("pair", "y", "x"), np.where(phase == 0, np.nan, phase).astype(np.float32)),
            "coherence": (("pair", "y", "x"), np.full(phase.shape, 180, np.uint8)),
            "water": (("y", "x"), np.zeros(shape, bool)),
            "height": (("y", "x"), np.nan_to_num(dataset["dem"].values).astype(np.float32)),
            **{k: (("y", "x"), np.full(shape, v, np.float32)) for k, v in zip("enu", LOOK, strict=True)},
        },
        coords={
            "pair": [f"{str(times[i])[:10]}_{str(times[j])[:10]}".replace("-", "") for i, j in pairs],
            "reference": ("pair", times[[i for i, _ in pairs]]),
            "secondary": ("pair", times[[j for _, j in pairs]]),
            "y": dataset["lat"].values,
            "x": dataset["lon"].values,
        },
    )


if __name__ == "__main__":
    sys.exit(main())
