"""What each choice of preprocessing and of PaDiM's form is worth: AUROC of injected sources, single pairs or intervals.

    python benchmarks/preprocess_ablation.py [--shared ../shared] [--only WORD ..] [--weights random] [--evidence pair]

On simulated stacks of three kinds (humid hills, dry desert, high cone; 2 cm, two volcanoes each) and, where the evaluation
data lie beside the repository, on Erta Ale 079D: train on pairs inside 2019-2020, every second pair inside 2021-2022, the
same pairs with one source each as positives (three draws). One choice is changed at a time.

`--evidence interval` measures the same rows, and some of fusion's own, on intervals fused from all pairs, which raise the
flags: each place at 2 cm (or `--peak`), in columns ``full`` with three acquisitions after the interval and ``first`` with
one.
`--errors` adds each row's difference from the first one and its standard error (see `ablation_evidence.error`).

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
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import ablation_evidence as measure
import numpy as np
import rasterio
import xarray as xr
from ablation_evidence import Found, Place

from insar_anomaly.config.presets import PRESETS
from insar_anomaly.config.sections import Preprocess
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence import inject as injection
from insar_anomaly.names import Pair
from insar_anomaly.simulate import LOOK, coherences, draw_source, modelled, phase_noise
from insar_anomaly.sources.numbers import coherence_bytes
from insar_anomaly.tools.pretrain.trial import CLIMATES, divided, scene, stack
from insar_anomaly.units import RAD_PER_M

OURS = Preprocess().model_dump()
POSTER = Preprocess(**PRESETS["poster"]["preprocess"]).model_dump()
WINDOWS = {"layout": "windows", "stride": 4, "aggregate": "authors", "ridge": 0.01, "relative_ridge": 0.0, "least_seen": 0.0}
Case = tuple[tuple[xr.Dataset, xr.Dataset], float, int]
"""Training and quiet test pairs, peak in cm, seed of the sources."""
Row = tuple[str, dict[str, Any], dict[str, Any]]
"""Name, settings of preprocessing, settings of PaDiM (and of fusion)."""
ROWS: list[Row] = [
    ("our defaults", OURS, {}),
    ("nothing removed", OURS | {"remove": ()}, {}),
    ("plane removed only", OURS | {"remove": ("plane",)}, {}),
    ("quadratic removed too", OURS | {"remove": ("plane", "quadratic", "height")}, {}),
    ("height piecewise removed too", OURS | {"remove": ("plane", "height", "piecewise-height")}, {}),
    ("quadratic and height piecewise too", OURS | {"remove": ("plane", "quadratic", "height", "piecewise-height")}, {}),
    ("holes widened by 2 pixels", OURS | {"fill_grow": 2}, {}),
    ("range tanh(x / 16)", OURS | {"range_rad": 16.0}, {}),
    ("range tanh(x / 32)", OURS | {"range_rad": 32.0}, {}),
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
FUSION_ROWS: list[Row] = [
    ("intervals of 1 and 1 acquisitions", OURS, {"reach": (1, 1)}),
    ("intervals of 2 and 2", OURS, {"reach": (2, 2)}),
    ("intervals of 3 and 3, the default", OURS, {"reach": (3, 3)}),
    ("intervals of 5 and 5", OURS, {"reach": (5, 5)}),
    ("acquisitions count alike", OURS, {"alike": True}),
]
"""What fusion chooses: acquisitions before and after, and whether a noisy one counts less."""
_MANY = 10
"""Cases of a place from which on a standard error is printed."""
COHERENCE_ROWS: list[Row] = [
    ("coherence: not used", OURS, {}),
    ("coherence: under 0.15 masked", OURS | {"min_coherence": 0.15}, {}),
    ("coherence: under 0.3 masked", OURS | {"min_coherence": 0.3}, {}),
    ("coherence: patches counted by it", OURS | {"weight": "coherence"}, {}),
    ("coherence: smoothed by it, 1 pixel", OURS | {"smooth_px": 1.0}, {}),
    ("coherence: smoothed by it, 2 pixels", OURS | {"smooth_px": 2.0}, {}),
    ("coherence: smoothed by it, 1 pixel, and counted", OURS | {"smooth_px": 1.0, "weight": "coherence"}, {}),
]
GACOS_ROWS: list[Row] = [
    ("GACOS: not used", OURS, {}),
    ("GACOS: subtracted", OURS | {"gacos": "use"}, {}),
    ("GACOS: not used, nothing removed", OURS | {"remove": ()}, {}),
    ("GACOS: subtracted, nothing else removed", OURS | {"gacos": "use", "remove": ()}, {}),
]


def main() -> int:
    """Print the table row by row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data")
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="rows whose name holds one of these")
    parser.add_argument("--weights", default="random", help="backbone of PaDiM")
    parser.add_argument("--evidence", choices=("pair", "interval"), default="pair", help="what is scored")
    parser.add_argument("--peak", type=float, default=2.0, metavar="CM", help="of the sources in intervals")
    parser.add_argument("--volcanoes", type=int, default=11, metavar="SEED", help="seed of the first of each simulated two")
    parser.add_argument(
        "--depth", type=float, nargs=2, default=(1.0, 4.0), metavar="KM", help="of the sources, least and most"
    )
    parser.add_argument("--errors", action="store_true", help="add differences from the first row and standard errors")
    given = parser.parse_args()
    print(f"PaDiM on {given.weights} weights")
    with patch.object(injection, "draw_source", partial(draw_source, depth_km=tuple(given.depth))):
        _tables(given)
    return 0


def _tables(given: argparse.Namespace) -> None:
    if given.evidence == "interval":
        wanted = _chosen([*ROWS, *FUSION_ROWS], given.only)
        _table(wanted, dict(for_intervals(given.shared, given.peak, given.volcanoes)), given)
        return
    for rows, places in (
        (ROWS, partial(_plain, first=given.volcanoes)),
        (COHERENCE_ROWS, with_coherence),
        (GACOS_ROWS, with_delays),
    ):
        if wanted := _chosen(rows, given.only):
            _table(wanted, dict(places(given.shared)), given)


def _chosen(rows: list[Row], words: list[str]) -> list[Row]:
    return [row for row in rows if any(word in row[0] for word in words)]


def _table(rows: list[Row], places: dict[str, list[Case]], given: argparse.Namespace) -> None:
    ages = (", full", ", first") if given.evidence == "interval" else ("",)
    print(f"\n| change | {' | '.join(place + age for place in places for age in ages)} | seconds |")
    print("|---|" + "---|" * (len(places) * len(ages) + 1), flush=True)
    first: list[list[Found]] = []
    for name, steps, options in rows:
        started = time.perf_counter()
        found: list[list[Found]] = []
        for cases in places.values():
            measured = [_measured(case, steps, options, given) for case in cases]
            found += [list(column) for column in zip(*measured, strict=True)]
        figures = " | ".join(_cell(n, found, first, errors=given.errors) for n in range(len(found)))
        first = first or found
        print(f"| {name} | {figures} | {time.perf_counter() - started:.0f} |", flush=True)
        measure.forget()


def _measured(case: Case, steps: dict[str, Any], options: dict[str, Any], given: argparse.Namespace) -> list[Found]:
    """What a case gives for each of its columns."""
    (train, quiet), peak, seed = case
    fused_by = {k: v for k, v in options.items() if k in ("reach", "alike")}
    detector = Padim(weights=given.weights, **{k: v for k, v in options.items() if k not in fused_by})
    place = Place(train, quiet)
    if given.evidence == "interval":
        return list(measure.intervals(place, detector, steps, peak=peak, seed=seed, fused_by=fused_by))
    return list(measure.pairs(place, detector, steps, peak=peak, seed=seed))


def _cell(column: int, found: list[list[Found]], first: list[list[Found]], *, errors: bool) -> str:
    aurocs = np.array([one.auroc for one in found[column]])
    change = aurocs - np.array([one.auroc for one in (first or found)[column]])
    if len(aurocs) >= _MANY:
        return f"{aurocs.mean():.3f} ({change.mean():+.3f} ± {change.std(ddof=1) / len(change) ** 0.5:.3f})"
    if not errors:
        return f"{aurocs.mean():.3f}"
    if not first:
        return f"{aurocs.mean():.3f} ± {measure.error(found[column]):.3f}"
    return f"{aurocs.mean():.3f} ({change.mean():+.3f} ± {measure.error(found[column], first[column]):.3f})"


def _plain(shared: Path | None, first: int) -> Iterator[tuple[str, list[Case]]]:
    if shared:
        real = stacks(shared / "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc")
        yield from ((f"Erta Ale {peak:g} cm", [(real, peak, seed) for seed in range(3)]) for peak in (2.0, 4.0))
    yield from simulated(2.0, first)


def for_intervals(shared: Path | None, peak: float, first: int) -> Iterator[tuple[str, list[Case]]]:
    """The same stacks at one peak; the real one with all of its test pairs, as a network has them."""
    if shared:
        real = stacks(shared / "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc", every=1)
        yield f"Erta Ale {peak:g} cm", [(real, peak, seed) for seed in range(3)]
    yield from simulated(peak, first)


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
    dates = [[(p.first, p.last) for p in map(Pair.of, map(str, one["pair"].values))] for one in pairs]
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
    dates = [(p.first, p.last) for p in map(Pair.of, names)]
    rows, cols = phase.shape[1:]
    dims, flat = ("pair", "y", "x"), ("y", "x")
    whole = xr.Dataset(
        {
            "phase": (dims, np.where(phase == 0, np.nan, phase).astype(np.float32)),
            "coherence": (dims, coherence_bytes(coherence.astype(np.float32), 1.0, uri=str(folder))),
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


def simulated(peak: float, first: int) -> Iterator[tuple[str, list[Case]]]:
    """Two stacks of each kind of climate, of this and of the next seed."""
    for name, climate in CLIMATES.items():
        made = [stack(climate, seed=seed, acquisitions=30, side=128) for seed in (first, first + 1)]
        yield f"{name} {peak:g} cm", [(pairs, peak, seed) for seed, pairs in enumerate(made)]


def stacks(
    file: Path,
    every: int = 2,
    *,
    fitted: tuple[str, str] = ("20190101", "20201231"),
    tested: tuple[str, str] = ("20210101", "20221231"),
) -> tuple[xr.Dataset, xr.Dataset]:
    """Training pairs and each `every`-th quiet test pair as `stack.store.Store.open` would give them."""
    with xr.open_dataset(file, engine="h5netcdf") as dataset:
        dataset = dataset.sortby("lat", ascending=False).load()
    days = dataset["time"].dt.strftime("%Y%m%d").values
    network = [(i, i + span) for i in range(len(days)) for span in (1, 2, 3) if i + span < len(days)]
    train = [(i, j) for i, j in network if days[i] >= fitted[0] and days[j] <= fitted[1]]
    test = [(i, j) for i, j in network if days[i] >= tested[0] and days[j] <= tested[1]][::every]
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
