"""How small a source is found in the atmosphere of a real stack: AUROC of injected against clean, single pairs and fused.

    python benchmarks/real_atmosphere.py ARCHIVE --train-from 2019-01-01 --train-to 2020-12-31 \\
        --test-from 2021-01-01 --test-to 2022-12-31 --peaks 2 4 8 --json OUT [--frame F] [--weights random] [--every 2]

ARCHIVE is any LiCSAR-layout archive (the folder of its frames, or one frame's folder). The whole frame is looked at, unless
`--lat --lon` name a volcano. Every detector is fitted on the pairs inside the training span.

*Single pair*: every second pair inside the test span, as it is and with one point source (depth 1-4 km, middle half of the
scene). *Fused*: every interval between successive acquisitions of the test span, as it is and with a step in it, which all
pairs that bracket the interval carry and no other; `fused` sees three acquisitions after it, `newest` only the first.
Sources are injected into the phase before preprocessing. AUROC has a 95 % interval resampled by acquisition date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from insar_anomaly import fusion, preprocess
from insar_anomaly.calibrate import inject, pair_dates
from insar_anomaly.catalogue import Box, Volcano
from insar_anomaly.config import Preprocess
from insar_anomaly.detectors.base import BATCH, Detector, Scorer
from insar_anomaly.detectors.matched_filter import MatchedFilter
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.errors import PairRejected
from insar_anomaly.evaluate import auroc_interval
from insar_anomaly.schema import Grid, parse_pair
from insar_anomaly.sources import open_source

SETTINGS = Preprocess().model_dump()
RANGE_STEP = preprocess.range_step(SETTINGS["range_form"], SETTINGS["range_rad"])
WHOLE = Box(west=-180, south=-90, east=180, north=90)


@dataclass(frozen=True)
class Case:
    """What is compared: scores of clean pairs, and how to score them with a source of `peak` cm."""

    name: str
    train: xr.Dataset
    clean: xr.Dataset
    moved: Callable[[float], xr.Dataset]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE")
    for name in ("train-from", "train-to", "test-from", "test-to"):
        parser.add_argument(f"--{name}", type=date.fromisoformat, required=True, metavar="DATE")
    parser.add_argument("--peaks", type=float, nargs="+", default=[2.0, 4.0, 8.0], metavar="CM")
    parser.add_argument("--frame", help="where the archive holds several")
    parser.add_argument("--lat", type=float, help="with --lon: only this volcano's box of 50 km")
    parser.add_argument("--lon", type=float)
    parser.add_argument("--every", type=int, default=2, metavar="N", help="take each N-th test pair")
    parser.add_argument("--weights", default=Padim().weights, help="backbone: random, imagenet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    read = opened(given)
    train, test = read(given.train_from, given.train_to), read(given.test_from, given.test_to)
    grid = f"{train.sizes['y']} x {train.sizes['x']} pixels"
    print(f"{train.sizes['pair']} training pairs, {test.sizes['pair']} test pairs, {grid}")
    detectors: dict[str, Detector] = {"ours": Padim(weights=given.weights), "matched filter": MatchedFilter()}
    print(f"seed {given.seed}; ours is PaDiM with weights {given.weights!r} and default settings\n")
    print("| evidence | detector | " + " | ".join(f"{p:g} cm" for p in given.peaks) + " |")
    print("|---|---|" + "---|" * len(given.peaks))
    rows = []
    for case in cases(train, test, given):
        for name, detector in detectors.items():
            found = measured(case, detector, given.peaks, given.seed)
            print(f"| {case.name} | {name} | " + " | ".join(map(str, found.values())) + " |", flush=True)
            figures = {f"{p:g} cm": {"value": i.value, "low": i.low, "high": i.high} for p, i in found.items()}
            rows.append({"evidence": case.name, "detector": name, "auroc": figures})
    if given.json:
        settings = {k: str(v) for k, v in vars(given).items()}
        given.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    return 0


def cases(train: xr.Dataset, test: xr.Dataset, given: argparse.Namespace) -> Iterator[Case]:
    """Single pairs, and intervals with three acquisitions and with one after them."""
    some = test.isel(pair=slice(None, None, given.every))
    yield Case("single pair", tiles(train), tiles(some), lambda peak: tiles(inject(some, peak_cm=peak, seed=given.seed)))
    for name, after in (("fused", 3), ("newest", 1)):
        clean = whole(fusion.intervals(tiles(test), RANGE_STEP, after=after), after)
        fitted = whole(fusion.intervals(tiles(train), RANGE_STEP, after=after), after)
        yield Case(name, fitted, clean, lambda peak, c=clean, a=after: stepped(test, c, peak, after=a, seed=given.seed))


def whole(intervals: xr.Dataset, after: int) -> xr.Dataset:
    """Intervals that are seen with all of the acquisitions asked for."""
    return intervals.isel(pair=np.flatnonzero(intervals["after"].values == after))


def stepped(stack: xr.Dataset, clean: xr.Dataset, peak: float, *, after: int, seed: int) -> xr.Dataset:
    """Every interval of `clean` again, with a step source of its own in all pairs that bracket it and in no other."""
    dates = pair_dates(stack)
    acquired = np.unique(dates)
    out = []
    for name, opens, closes in zip(clean["pair"].values, clean["reference"].values, clean["secondary"].values, strict=True):
        opens, closes = opens.astype("datetime64[D]"), closes.astype("datetime64[D]")
        at = int(np.searchsorted(acquired, opens))
        around = acquired[max(0, at - 5) : at + 2 + after]
        near = stack.isel(pair=np.flatnonzero(np.isin(dates, around).all(axis=1)))
        ends = pair_dates(near)
        carries = (ends[:, 0] <= opens) & (ends[:, 1] >= closes)
        # one source for the interval: that of a pair which spans just it
        one = near.isel(pair=[int(np.flatnonzero(carries)[0])])
        one = one.assign(phase=one["phase"].load() * 0).assign_coords(
            reference=("pair", [opens]), secondary=("pair", [closes])
        )
        source = inject(one.fillna(0), peak_cm=peak, seed=seed)["phase"].values[0]
        phase = near["phase"].values + np.where(carries[:, None, None], source, 0).astype(np.float32)
        moved = tiles(near.assign(phase=(near["phase"].dims, phase)))
        out.append(fusion.intervals(moved, RANGE_STEP, after=after, wanted=[str(name)]))
    return xr.concat(out, "pair", coords="minimal", compat="override", join="override", combine_attrs="override")


def measured(case: Case, detector: Detector, peaks: list[float], seed: int) -> dict[float, Any]:
    """AUROC with its interval, by peak."""
    names = list(detector.inputs)
    scorer = detector.fit(case.train[names])
    low, out = scored(scorer, case.clean), {}
    for peak in peaks:
        high = scored(scorer, case.moved(peak))
        known = ~np.isnan(low) & ~np.isnan(high)
        dates = [str(p).split("_") for p in case.clean["pair"].values[known]]
        labels = [0] * int(known.sum()) + [1] * int(known.sum())
        out[peak] = auroc_interval([*low[known], *high[known]], labels, dates * 2, seed=seed)
    return out


def scored(scorer: Scorer, these: xr.Dataset) -> Any:
    """Score of every pair or interval."""
    return scorer.score(these[list(scorer.inputs)])["score"].values


def tiles(stack: xr.Dataset) -> xr.Dataset:
    """Tiles with the default settings, lazy where the stack is long."""
    return preprocess.tiles(stack.chunk(pair=BATCH) if stack.sizes["pair"] > 2 * BATCH else stack, **SETTINGS)


def opened(given: argparse.Namespace) -> Callable[[date, date], xr.Dataset]:
    """A reader of the pairs inside a span, as one stack in memory."""
    root, frame = found(given.archive, given.frame)
    source = open_source("licsar", str(root), {})
    box = Volcano(gvp=100000, name="here", lat=given.lat, lon=given.lon, frames=(frame,)).box if given.lat else WHOLE
    static = source.static(frame, box, height="height" in SETTINGS["remove"])
    grid = Grid.of(static)
    listed = [one for one in source.pairs(frame)[0] if parse_pair(one.pair) and one.phase_uri and one.coherence_uri]

    def read(first: date, last: date) -> xr.Dataset:
        kept = []
        for one in sorted(listed, key=lambda one: (one.pair[9:], one.pair)):
            dates = parse_pair(one.pair)
            if dates and first <= dates[0] and dates[1] <= last:
                try:
                    kept.append((one.pair, dates, *source.read(one, {"": grid})[""]))
                except PairRejected as problem:
                    print(f"{one.pair} left out: {problem}", file=sys.stderr)
        if len(kept) < 8:
            sys.exit(f"{given.archive}: {len(kept)} pairs lie inside {first} to {last}; at least 8 are needed")
        return stacked(static, kept)

    return read


def stacked(static: xr.Dataset, kept: list[Any]) -> xr.Dataset:
    """Windows of pairs as a stack."""
    names, dates, phase, coherence, _ = zip(*kept, strict=True)
    days = np.array(dates, "datetime64[ns]")
    return static.assign(
        phase=(("pair", "y", "x"), np.stack(phase)), coherence=(("pair", "y", "x"), np.stack(coherence))
    ).assign_coords(pair=list(names), reference=("pair", days[:, 0]), secondary=("pair", days[:, 1]))


def found(archive: Path, frame: str | None) -> tuple[Path, str]:
    """Root and frame of what was given."""
    if (archive / "interferograms").is_dir() or (archive / "GEOC").is_dir():
        return archive.resolve().parent, archive.resolve().name
    frames = sorted(p.name for p in archive.iterdir() if (p / "interferograms").is_dir() or (p / "GEOC").is_dir())
    if frame is None and len(frames) != 1:
        sys.exit(f"{archive} holds {len(frames)} frames ({', '.join(frames[:5])}): choose one with --frame")
    return archive, frame or frames[0]


if __name__ == "__main__":
    sys.exit(main())
