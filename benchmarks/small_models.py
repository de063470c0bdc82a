"""What a small model costs in skill: AUROC of injected sources and bytes of a model, by how PaDiM keeps its covariances.

    python benchmarks/small_models.py [--shared ../shared] [--only WORD ..] [--evidence pair] [--test]

Without `--test` the data are those on which the setting was chosen: four simulated stacks of each kind of climate, and
Erta Ale 079D fitted inside January 2019 to April 2020 and tested inside May to December 2020. With `--test` they are four
other simulated stacks of each kind, and 079D fitted inside 2021-2022 and tested inside 2023. Sources peak at 2 cm. In
brackets: the difference from the first row and its standard error (see `ablation_evidence.error`). Megabytes are of the
arrays of one model of 500 x 500 pixels, without the backbone and before compression.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import ablation_evidence as measure
import numpy as np
from ablation_evidence import Found, Place
from preprocess_ablation import OURS, Case, stacks

from insar_anomaly.detectors.padim import Padim
from insar_anomaly.tools.pretrain.trial import CLIMATES, stack

FILE = "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc"
PEAK_CM = 2.0
WHOLE = {"pool": 1, "factors": "float32"}
ROWS: dict[str, dict[str, Any]] = {
    "each patch its own, float32": WHOLE,
    "each patch its own, float16": WHOLE | {"factors": "float16"},
    "2 x 2 patches share, float16": {"pool": 2, "factors": "float16"},
    "4 x 4 patches share, float32": {"pool": 4, "factors": "float32"},
    "4 x 4 patches share, float16": {"pool": 4, "factors": "float16"},
    "8 x 8 patches share, float16": {"pool": 8, "factors": "float16"},
    "all patches share, float16": {"pool": 100, "factors": "float16"},
    "patches of 16 pixels, own, float16": WHOLE | {"stride": 16, "factors": "float16"},
    "50 channels, own, float16": WHOLE | {"dims": 50, "factors": "float16"},
}


def main() -> int:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="rows whose name holds one of these")
    parser.add_argument("--weights", default="insar", help="backbone of PaDiM")
    parser.add_argument("--evidence", choices=("pair", "interval"), default="pair", help="what is scored")
    parser.add_argument("--test", action="store_true", help="on data on which nothing was chosen")
    given = parser.parse_args()
    cases = places(given.shared, test=given.test)
    ages = (", full", ", first") if given.evidence == "interval" else ("",)
    print(f"| covariances | MB | {' | '.join(place + age for place in cases for age in ages)} | mean | CPU s |")
    print("|---|" + "---|" * (len(cases) * len(ages) + 3), flush=True)
    first: list[list[Found]] = []
    for name, options in ROWS.items():
        if not any(word in name for word in given.only):
            continue
        started = time.process_time()
        detector = Padim(weights=given.weights, **options)
        found = [column for some in cases.values() for column in _columns(some, detector, given.evidence)]
        first = first or found
        cells = " | ".join(_cell([column], [start]) for column, start in zip(found, first, strict=True))
        seconds = time.process_time() - started
        print(f"| {name} | {megabytes(detector):.1f} | {cells} | {_cell(found, first)} | {seconds:.0f} |", flush=True)
        measure.forget()
    return 0


def places(shared: Path | None, *, test: bool) -> dict[str, list[Case]]:
    """Stacks by name, each as cases of training pairs, quiet test pairs, peak and seed of the sources."""
    out: dict[str, list[Case]] = {}
    if shared:
        early = {"fitted": ("20190101", "20200430"), "tested": ("20200501", "20201231")}
        late = {"fitted": ("20210101", "20221231"), "tested": ("20230101", "20231231")}
        real = stacks(shared / FILE, every=1, **(late if test else early))
        out["Erta Ale 079D"] = [(real, PEAK_CM, seed) for seed in range(3)]
    for name, climate in CLIMATES.items():
        seeds = range(31, 35) if test else range(11, 15)
        made = [stack(climate, seed=seed, acquisitions=30, side=128) for seed in seeds]
        out[name] = [(pairs, PEAK_CM, seed) for seed, pairs in enumerate(made)]
    return out


def megabytes(detector: Padim, side: int = 500) -> float:
    """Bytes / 1e6 of the means and factors of a model of `side` x `side` pixels."""
    v = -(-side // detector.stride)
    blocks = (-(-v // (detector.pool or 1))) ** 2
    k = detector.dims
    width = 2 if detector.factors == "float16" else 4
    scale = k * 4 if detector.factors == "float16" else 0
    level = k * width if (detector.pool or 1) > 1 else 0
    return (v * v * (k * 4 + level) + blocks * (k * (k + 1) // 2 * width + scale)) / 1e6


def _columns(cases: list[Case], detector: Padim, evidence: str) -> list[list[Found]]:
    found = []
    for (train, quiet), peak, seed in cases:
        place = Place(train, quiet)
        if evidence == "interval":
            found.append(list(measure.intervals(place, detector, OURS, peak=peak, seed=seed, fused_by={})))
        else:
            found.append(list(measure.pairs(place, detector, OURS, peak=peak, seed=seed)))
    return [list(column) for column in zip(*found, strict=True)]


def _cell(found: list[list[Found]], first: list[list[Found]]) -> str:
    flat, start = ([one for column in columns for one in column] for columns in (found, first))
    mean = np.mean([one.auroc for one in flat])
    change = mean - np.mean([one.auroc for one in start])
    return f"{mean:.3f} ({change:+.3f} ± {measure.error(flat, start):.3f})"


if __name__ == "__main__":
    sys.exit(main())
