"""What each choice of preprocessing and of PaDiM's form is worth: AUROC of injected 2 and 4 cm sources, single pairs.

    python benchmarks/preprocess_ablation.py [--shared ../shared] [--only WORD] [--weights random]

On simulated stacks of three kinds (humid hills, dry desert, high cone; 2 cm, two volcanoes each) and, where the evaluation
data lie beside the repository, on Erta Ale 079D: train on pairs inside 2019-2020, every second pair inside 2021-2022, the
same pairs with one source each as positives (three draws). One choice is changed at a time.

Two further tables have stacks of their own, which hold what the choice needs. Rows "coherence: ...": the simulated stacks
with the phase noise of a simulated coherence, filtered (180 looks: about as rough as the real pairs are where they are as
coherent) and not (20 looks), and 30 real pairs with real coherence (PyRate's of Mexico City; every third is tested, the
others are trained on: they share acquisitions, so these figures may be compared with each other only; in brackets the
difference from the first row and its standard error over folds and draws). Rows "GACOS: ...": the simulated stacks with a
weather model's delay: a poor model's (see `simulate.modelled`) of every pair, and of none in the second half of the test, as
where layers come late; a good model's of every pair.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import xarray as xr

from insar_anomaly import preprocess
from insar_anomaly.config import PRESETS, Preprocess
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evaluate import auroc
from insar_anomaly.pretrain.trial import CLIMATES, divided, scene, stack
from insar_anomaly.schema import parse_pair
from insar_anomaly.simulate import LOOK, coherences, modelled, phase_noise
from insar_anomaly.sources.licsar import as_bytes
from insar_anomaly.trials import inject
from insar_anomaly.units import RAD_PER_M

OURS = Preprocess().model_dump()
POSTER = Preprocess(**PRESETS["poster"]["preprocess"]).model_dump()
WINDOWS = {"layout": "windows", "stride": 4, "aggregate": "authors", "ridge": 0.01, "relative_ridge": 0.0, "least_seen": 0.0}
Case = tuple[tuple[xr.Dataset, xr.Dataset], float, int]
"""Training and quiet test pairs, peak in cm, seed of the sources."""
ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("our defaults", OURS, {}),
    ("nothing removed", OURS | {"remove": ()}, {}),
    ("plane removed only", OURS | {"remove": ("plane",)}, {}),
    ("quadratic removed too", OURS | {"remove": ("plane", "quadratic", "height")}, {}),
    ("height piecewise removed too", OURS | {"remove": ("plane", "height", "piecewise-height")}, {}),
    ("quadratic and height piecewise too", OURS | {"remove": ("plane", "quadratic", "height", "piecewise-height")}, {}),
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
_MANY = 10
"""Cases of a place from which on a standard error is printed."""
COHERENCE_ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("coherence: not used", OURS, {}),
    ("coherence: under 0.15 masked", OURS | {"min_coherence": 0.15}, {}),
    ("coherence: under 0.3 masked", OURS | {"min_coherence": 0.3}, {}),
    ("coherence: patches counted by it", OURS | {"weight": "coherence"}, {}),
    ("coherence: smoothed by it, 1 pixel", OURS | {"smooth_px": 1.0}, {}),
    ("coherence: smoothed by it, 2 pixels", OURS | {"smooth_px": 2.0}, {}),
    ("coherence: smoothed by it, 1 pixel, and counted", OURS | {"smooth_px": 1.0, "weight": "coherence"}, {}),
]
GACOS_ROWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("GACOS: not used", OURS, {}),
    ("GACOS: subtracted", OURS | {"gacos": "use"}, {}),
    ("GACOS: not used, nothing removed", OURS | {"remove": ()}, {}),
    ("GACOS: subtracted, nothing else removed", OURS | {"gacos": "use", "remove": ()}, {}),
]


def main() -> int:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--weights", default="random", help="backbone of PaDiM")
    given = parser.parse_args()
    print(f"PaDiM on {given.weights} weights")
    for rows, places in ((ROWS, _plain), (COHERENCE_ROWS, with_coherence), (GACOS_ROWS, with_delays)):
        if wanted := [row for row in rows if given.only in row[0]]:
            _table(wanted, dict(places(given.shared)), given.weights)
    return 0


def _table(rows: list[tuple[str, dict[str, Any], dict[str, Any]]], places: dict[str, list[Case]], weights: str) -> None:
    print(f"\n| change | {' | '.join(places)} | seconds |")
    print("|---|" + "---|" * (len(places) + 1), flush=True)
    first: list[np.ndarray[Any, Any]] = []
    for name, steps, options in rows:
        started = time.perf_counter()
        detector = Padim(weights=weights, **options)
        found = [np.array([_auroc(*case, detector, steps) for case in cases]) for cases in places.values()]
        first = first or found
        figures = " | ".join(_cell(one, other) for one, other in zip(found, first, strict=True))
        print(f"| {name} | {figures} | {time.perf_counter() - started:.0f} |", flush=True)
        _fitted.cache_clear()


def _cell(aurocs: np.ndarray[Any, Any], first: np.ndarray[Any, Any]) -> str:
    if len(aurocs) < _MANY:
        return f"{aurocs.mean():.3f}"
    change = aurocs - first
    return f"{aurocs.mean():.3f} ({change.mean():+.3f} ± {change.std(ddof=1) / len(change) ** 0.5:.3f})"


def _plain(shared: Path | None) -> Iterator[tuple[str, list[Case]]]:
    if shared:
        real = stacks(shared / "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc")
        yield from ((f"Erta Ale {peak:g} cm", [(real, peak, seed) for seed in range(3)]) for peak in (2.0, 4.0))
    yield from simulated()


def with_coherence(shared: Path | None) -> Iterator[tuple[str, list[Case]]]:
    """Stacks with phase noise that follows from their coherence, 2 cm; and a real one, 1 and 2 cm."""
    if shared:
        for peak in (1.0, 2.0):
            folds = [mexico_city(shared / "data/pyrate_crop/geotiffs", fold) for fold in range(3)]
            yield f"Mexico City {peak:g} cm", [(fold, peak, seed) for fold in folds for seed in range(5)]
    for looks in (180, 20):
        for name, climate in CLIMATES.items():
            made = [_noisy(stack(climate, seed=seed, acquisitions=30, side=128), seed, looks) for seed in (11, 12)]
            yield f"{name}, {looks} looks", [(pairs, 2.0, seed) for seed, pairs in enumerate(made)]


def with_delays(shared: Path | None) -> Iterator[tuple[str, list[Case]]]:  # noqa: ARG001
    """Stacks with a weather model's delay, 2 cm: a poor model, a poor one whose layers come late, and a good one."""
    for label, error, change in (("", 0.45, _as_it_is), (", late", 0.45, _late), (", good model", 0.15, _as_it_is)):
        for name, climate in CLIMATES.items():
            cases = []
            for n, seed in enumerate((11, 12)):
                quiet = scene(climate, seed=seed, acquisitions=30, side=128)
                known = modelled(quiet, np.random.default_rng([seed, 9]), error=error)
                cases.append((change(divided(known, 30)), 2.0, n))
            yield f"{name}{label}", cases


def _noisy(pairs: tuple[xr.Dataset, xr.Dataset], seed: int, looks: float) -> tuple[xr.Dataset, xr.Dataset]:
    dates = [[parse_pair(str(name)) or () for name in one["pair"].values] for one in pairs]
    days = sorted({day for one in dates for both in one for day in both})
    ends = [(days.index(a), days.index(b)) for one in dates for a, b in one]
    rng = np.random.default_rng([seed, 5])
    found = coherences(days, ends, (pairs[0].sizes["y"], pairs[0].sizes["x"]), rng)
    noise = phase_noise(found, rng, looks=looks).astype(np.float32)
    fitted = pairs[0].sizes["pair"]
    parts = ((pairs[0], slice(None, fitted)), (pairs[1], slice(fitted, None)))
    dims = ("pair", "y", "x")
    train, test = (
        one.assign(phase=one["phase"] + noise[part], coherence=(dims, np.rint(found[part] * 255).astype(np.uint8)))
        for one, part in parts
    )
    return train, test


def _as_it_is(pairs: tuple[xr.Dataset, xr.Dataset]) -> tuple[xr.Dataset, xr.Dataset]:
    return pairs


def _late(pairs: tuple[xr.Dataset, xr.Dataset]) -> tuple[xr.Dataset, xr.Dataset]:
    train, quiet = pairs
    there = quiet["secondary"] <= quiet["secondary"].quantile(0.5)
    return train, quiet.assign(delay=quiet["delay"].where(there).transpose("pair", "y", "x"))


def mexico_city(folder: Path, fold: int) -> tuple[xr.Dataset, xr.Dataset]:
    """PyRate's 30 real pairs with their coherence, as the store would give them; every third of them to test on."""
    files = sorted(folder.glob("*_eqa_unw.tif"))
    names = [file.name[6:23].replace("-", "_") for file in files]
    phase = np.stack([_tif(file) for file in files])
    coherence = np.stack([_tif(file.with_name(file.name.replace("_eqa_unw", "_flat_eqa_cc"))) for file in files])
    dates = [parse_pair(name) or () for name in names]
    rows, cols = phase.shape[1:]
    dims, flat = ("pair", "y", "x"), ("y", "x")
    whole = xr.Dataset(
        {
            "phase": (dims, np.where(phase == 0, np.nan, phase).astype(np.float32)),
            "coherence": (dims, as_bytes(coherence)),
            "water": (flat, np.zeros((rows, cols), bool)),
            "height": (flat, _tif(folder / "cropA_T005A_dem.tif").astype(np.float32)),
            **{k: (flat, np.full((rows, cols), v, np.float32)) for k, v in zip("enu", LOOK, strict=True)},
        },
        coords={
            "pair": names,
            "reference": ("pair", np.array([a for a, _ in dates], "datetime64[ns]")),
            "secondary": ("pair", np.array([b for _, b in dates], "datetime64[ns]")),
            "y": 19.4506 - np.arange(rows) / 720,
            "x": -99.1904 + np.arange(cols) / 720,
        },
    )
    tested = np.arange(len(names)) % 3 == fold
    return whole.isel(pair=~tested), whole.isel(pair=tested)


def _tif(file: Path) -> np.ndarray[Any, Any]:
    with rasterio.open(file) as tif:
        return np.asarray(tif.read(1))


def simulated() -> Iterator[tuple[str, list[Case]]]:
    """Stacks of each kind of climate, 2 cm."""
    for name, climate in CLIMATES.items():
        made = [stack(climate, seed=seed, acquisitions=30, side=128) for seed in (11, 12)]
        yield f"{name} 2 cm", [(pairs, 2.0, seed) for seed, pairs in enumerate(made)]


def _auroc(pairs: tuple[xr.Dataset, xr.Dataset], peak: float, seed: int, detector: Padim, steps: dict[str, Any]) -> float:
    train, quiet = pairs
    scorer, low = _fitted(_Place(train, quiet), detector, json.dumps(steps))
    moved = preprocess.tiles(inject(quiet, peak_cm=peak, seed=seed), **steps)
    return auroc(low, scorer.score(moved)["score"].values)


@dataclass(frozen=True, eq=False)
class _Place:
    train: xr.Dataset
    quiet: xr.Dataset

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self.train is other.train

    def __hash__(self) -> int:
        return id(self.train)


@lru_cache(maxsize=8)
def _fitted(place: _Place, detector: Padim, steps: str) -> tuple[Any, Any]:
    """The scorer fitted on a place's training pairs, and the scores of its quiet ones."""
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(steps).items()}
    scorer = detector.fit(preprocess.tiles(place.train, **settings))
    return scorer, scorer.score(preprocess.tiles(place.quiet, **settings))["score"].values


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
