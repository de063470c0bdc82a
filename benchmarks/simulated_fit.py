"""Make a simulated stack in a store, or fit it in this process, for `speed_fit`: prints the MB that are kept, as JSON.

python -m benchmarks.simulated_fit FOLDER PIXELS PAIRS [--make]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from insar_anomaly.calibration.threshold import Target
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Calibrate, Fusion, Preprocess
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.fitting import FitResult, FitTask, StackTask, fit_stack
from insar_anomaly.pipeline.recipe import DetectorChoice, Recipe, Trials
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles.preprocess import Cleaning
from insar_anomaly.tools.pretrain.trial import CLIMATES, stack

NAME = "990001/001A_00001_010101"
KINDS = (EvidenceKind.PAIR, EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION)


def main() -> None:
    """Make or fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("pixels", type=int)
    parser.add_argument("pairs", type=int)
    parser.add_argument("--make", action="store_true", help="make the stack, and fit nothing")
    given = parser.parse_args()
    store = Store(str(given.folder))
    if given.make:
        make(store, given.pixels, given.pairs)
        return
    for result in fit_stack(task(store)):
        if not isinstance(result, FitResult):
            raise result
    sizes = {
        kind: sum(file.stat().st_size for file in (given.folder / kind).rglob("*") if file.is_file()) / 1e6
        for kind in ("stacks", "models", "features")
    }
    print(json.dumps({f"{kind}, MB": round(size, 1) for kind, size in sizes.items()}))


def make(store: Store, pixels: int, pairs: int) -> None:
    """A quiet stack of humid hills; each pair has holes of its own beside those that all share."""
    quiet, _ = stack(CLIMATES["humid hills"], seed=1, acquisitions=(pairs + 6) // 3, side=pixels)
    phase, rng = quiet["phase"].values.copy(), np.random.default_rng(0)
    for plane in phase:
        for row, column in rng.integers(0, pixels, (30, 2)):
            plane[row : row + rng.integers(3, 12), column : column + rng.integers(3, 12)] = np.nan
    quiet = quiet.assign(phase=(("pair", "y", "x"), phase)).assign_coords(baseline=("pair", np.zeros(len(phase), "f4")))
    grid = [float(quiet["x"][0]), float(quiet["y"][0]), 1 / 1113.2, 1 / 1113.2]
    store.create(
        NAME,
        quiet[["height", "water", "e", "n", "u"]]
        .drop_vars(["pair", "reference", "secondary", "baseline"], errors="ignore")
        .assign_attrs(grid=grid),
    )
    plain = quiet.drop_vars("pair").reset_coords(["reference", "secondary", "baseline"])
    for start in range(0, len(phase), 16):
        store.append(NAME, plain.isel(pair=slice(start, start + 16)))


def task(store: Store) -> StackTask:
    """All kinds of evidence with the settings' defaults."""
    aim, fused = Calibrate(), Fusion()
    target = Target(aim.policy, aim.false_alarms_per_year, aim.fpr, aim.quantile, aim.min_pairs, 60)
    pairs = tuple(sorted(store.pairs(NAME)))
    volcano = Volcano(gvp=990001, name="Simulated", lat=0.0, lon=0.0, frames=("001A_00001_010101",))
    models = [
        FitTask(
            store=store,
            stack=NAME,
            volcano=volcano,
            snapshot=store.snapshot(NAME),
            pairs=pairs,
            deforming=(),
            recipe=Recipe(
                evidence=kind,
                cleaning=Cleaning.of(Preprocess().model_dump(mode="json")),
                detector=DetectorChoice("padim"),
                trials=Trials(target, aim.folds, aim.peaks_cm, aim.seed),
                exclude=(),
                pairs="",
                reach=Reach(**fused.model_dump(exclude={"evidence"})),
            ),
            storage={},
            fingerprints=("",) * len(pairs),
            keep=True,
        )
        for kind in KINDS
    ]
    return StackTask(tuple(models))


if __name__ == "__main__":
    main()
