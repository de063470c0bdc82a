"""How small a source is found in the atmosphere of a real stack: AUROC of injected against clean, single pairs and fused.

    python benchmarks/real_atmosphere.py ARCHIVE --train-from 2019-01-01 --train-to 2020-12-31 \\
        --test-from 2021-01-01 --test-to 2022-12-31 --peaks 2 4 8 --json OUT [--frame F] [--weights random] [--every 2]

ARCHIVE is any LiCSAR-layout archive (the folder of its frames, or one frame's folder). The whole frame is used, unless
`--lat --lon` name a volcano. Every detector is fitted on the pairs inside the training span.

*Single pair*: every second pair inside the test span, as it is and with one point source (depth 1-4 km, middle half of the
scene). *Interval*: every interval between successive acquisitions of the test span, as it is and with a step in it, which
all pairs that bracket the interval carry and no other; *full* is the assessment with three acquisitions after it, *first*
that with one. One model, fitted on all assessments of the intervals of the training span, scores both.
*Acquisition*: each one against its neighbours, as it is and with motion that is there on its day only. *Both views*:
intervals of two frames that share time (`insar_anomaly.evidence.directions`), the second frame from `--second ARCHIVE`;
without it every other acquisition is taken as a second frame, so that each view has half of them (*one view* is the first
alone).
Sources are injected into the phase before preprocessing. AUROC has a 95 % interval resampled by acquisition date.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from insar_anomaly.calibration.metrics import auroc_interval
from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.config.sections import Fusion, Preprocess
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.detectors.base import BATCH, Detector, Scorer
from insar_anomaly.detectors.matched_filter import MatchedFilter
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.errors import PairRejected
from insar_anomaly.evidence import build
from insar_anomaly.evidence.directions import joined
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessed, Evidence, Reach, pair_dates
from insar_anomaly.names import EvidenceKind, Pair, by_date
from insar_anomaly.sources import open_source
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tiles import preprocess

SETTINGS = Preprocess().model_dump()
REACH = Reach(**Fusion().model_dump(exclude={"evidence"}))
RANGE_STEP = preprocess.range_step(SETTINGS["range_form"], REACH.range_rad)
WHOLE = Box(west=-180, south=-90, east=180, north=90)


@dataclass(frozen=True)
class Case:
    """A kind of evidence, the pairs that it is made of, and which assessments are compared (name -> acquisitions after)."""

    kind: EvidenceKind
    train: xr.Dataset
    test: xr.Dataset
    ages: dict[str, int]

    @property
    def evidence(self) -> Evidence:
        """What makes tiles of the pairs."""
        return build(self.kind, tiles if self.kind == "pair" else loaded, RANGE_STEP, REACH)


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
    parser.add_argument("--second", type=Path, metavar="ARCHIVE", help="the volcano on another frame, for both views")
    parser.add_argument("--second-frame", help="where that archive holds several")
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    read = opened(given, given.archive, given.frame)
    train, test = read(given.train_from, given.train_to), read(given.test_from, given.test_to)
    grid = f"{train.sizes['y']} x {train.sizes['x']} pixels"
    print(f"{train.sizes['pair']} training pairs, {test.sizes['pair']} test pairs, {grid}")
    detectors: dict[str, Detector] = {"ours": Padim(weights=given.weights), "matched filter": MatchedFilter()}
    print(f"seed {given.seed}; ours is PaDiM with weights {given.weights!r} and default settings\n")
    print("| evidence | detector | " + " | ".join(f"{p:g} cm" for p in given.peaks) + " |")
    print("|---|---|" + "---|" * len(given.peaks))
    rows = []

    def show(name: str, results: dict[str, dict[float, Any]]) -> None:
        for evidence, found in results.items():
            print(f"| {evidence} | {name} | " + " | ".join(map(str, found.values())) + " |", flush=True)
            figures = {f"{p:g} cm": {"value": i.value, "low": i.low, "high": i.high} for p, i in found.items()}
            rows.append({"evidence": evidence, "detector": name, "auroc": figures})

    for case in cases(train, test, given.every):
        for name, detector in detectors.items():
            show(name, measured(case, detector, given.peaks, given.seed))
    views = [halves(train, test, odd) for odd in (False, True)]
    if given.second:
        other = opened(given, given.second, given.second_frame)
        spans = ((given.train_from, given.train_to), (given.test_from, given.test_to))
        views = [(train, test), (other(*spans[0]), other(*spans[1]))]
    for name, detector in detectors.items():
        show(name, together(views, detector, given.peaks, given.seed))
    if given.json:
        settings = {k: str(v) for k, v in vars(given).items()}
        given.json.write_text(json.dumps({"settings": settings, "rows": rows}, indent=1) + "\n")
    return 0


def cases(train: xr.Dataset, test: xr.Dataset, every: int) -> Iterator[Case]:
    """Single pairs, intervals and acquisitions."""
    yield Case("pair", train, test.isel(pair=slice(None, None, every)), {"single pair": 0})
    yield Case("interval", train, test, {"interval, full": REACH.after, "interval, first": 1})
    yield Case("acquisition", train, test, {"acquisition": REACH.beside})


def measured(case: Case, detector: Detector, peaks: list[float], seed: int) -> dict[str, dict[float, Any]]:
    """AUROC with its interval, by assessment and peak."""
    names = list(detector.inputs)
    scorer = detector.fit(case.evidence.tiles(case.train)[names])
    quiet = scored(scorer, case.evidence.batches(case.test))
    out: dict[str, dict[float, Any]] = {name: {} for name in case.ages}
    for peak in peaks:
        moved = scored(scorer, case.evidence.batches(case.test, peak_cm=peak, seed=seed))
        for name, after in case.ages.items():
            both = sorted(one for one in quiet.keys() & moved.keys() if one[1] == after)
            values = [quiet[one] for one in both] + [moved[one] for one in both]
            labels, dates = [0] * len(both) + [1] * len(both), [one[0].split("_") for one in both] * 2
            out[name][peak] = auroc_interval(values, labels, dates, seed=seed)
    return out


def together(
    views: list[tuple[xr.Dataset, xr.Dataset]], detector: Detector, peaks: list[float], seed: int
) -> dict[str, dict[float, Any]]:
    """AUROC of intervals of the first view alone and of both together, each in its full assessment."""
    kinds: list[dict[str, list[Assessed]]] = []
    for number, (train, test) in enumerate(views):
        proof = build("interval", loaded, RANGE_STEP, REACH)
        scorer = detector.fit(proof.tiles(train)[list(detector.inputs)])
        quiet = assessed(scorer, proof.batches(test))
        level = Level.of(*(np.array(column) for column in zip(*((k.score, v) for k, v in quiet), strict=True)))
        found = {"quiet": quiet}
        for peak in peaks:
            found[f"{peak:g}"] = assessed(scorer, proof.batches(test, peak_cm=peak, seed=seed + number))
        kinds.append(
            {
                kind: [replace(one, score=float(level.standard(one.score, variance))) for one, variance in made]
                for kind, made in found.items()
            }
        )
    out: dict[str, dict[float, Any]] = {"one view": {}, "both views": {}}
    for peak in peaks:
        sides: dict[str, list[dict[str, Any]]] = {
            "one view": [last(kinds[0][k]) for k in ("quiet", f"{peak:g}")],
            "both views": [last(joined(kinds[0][k], kinds[1][k])) for k in ("quiet", f"{peak:g}")],
        }
        for name, (low, high) in sides.items():
            both = sorted(low.keys() & high.keys())
            dates = [key.split("_") for key in both] * 2
            values = [low[key].score for key in both] + [high[key].score for key in both]
            out[name][peak] = auroc_interval(values, [0] * len(both) + [1] * len(both), dates, seed=seed)
    return out


def assessed(scorer: Scorer, batches: Iterator[xr.Dataset]) -> list[tuple[Assessed, float]]:
    """Every assessment that has a score, and its variance."""
    out = []
    for batch in batches:
        score = scorer.score(batch[list(scorer.inputs)])["score"].values
        days = [batch[n].values.astype("datetime64[D]").tolist() for n in ("reference", "secondary", "seen")]
        rows = zip(*days, batch["after"].values.tolist(), score.tolist(), batch["variance"].values.tolist(), strict=True)
        out += [(Assessed(first, end, after, seen, s), v) for first, end, seen, after, s, v in rows if not np.isnan(s)]
    return out


def last(assessments: Iterable[Any]) -> dict[str, Any]:
    """The assessment of each interval with the most acquisitions after it, by the interval's name."""
    return {one.name: one for one in sorted(assessments, key=lambda one: one.after)}


def halves(train: xr.Dataset, test: xr.Dataset, odd: bool) -> tuple[xr.Dataset, xr.Dataset]:
    """Pairs of every other acquisition."""
    days = np.unique(np.concatenate([pair_dates(train), pair_dates(test)]))[int(odd) :: 2]
    kept = [stack.isel(pair=np.flatnonzero(np.isin(pair_dates(stack), days).all(axis=1))) for stack in (train, test)]
    return kept[0], kept[1]


def scored(scorer: Scorer, batches: Iterator[xr.Dataset]) -> dict[tuple[str, int], float]:
    """Score of every assessment that has one, by name and acquisitions after it."""
    out: dict[tuple[str, int], float] = {}
    for batch in batches:
        score = scorer.score(batch[list(scorer.inputs)])["score"].values
        after = batch["after"].values if "after" in batch.coords else [0] * len(score)
        names = zip(map(str, batch["pair"].values), map(int, after), strict=True)
        out |= {name: float(s) for name, s in zip(names, score, strict=True) if not np.isnan(s)}
    return out


def tiles(stack: xr.Dataset) -> xr.Dataset:
    """Tiles with the default settings, lazy where the stack is long."""
    return preprocess.tiles(stack.chunk(pair=BATCH) if stack.sizes["pair"] > 2 * BATCH else stack, **SETTINGS)


def loaded(stack: xr.Dataset) -> xr.Dataset:
    """The same, never lazy: windows take pairs as they need them."""
    return preprocess.tiles(stack, **SETTINGS)


def opened(given: argparse.Namespace, archive: Path, frame: str | None) -> Callable[[date, date], xr.Dataset]:
    """A reader of the pairs inside a span, as one stack in memory."""
    root, frame = found(archive, frame)
    source = open_source(SourceSettings(url=str(root)), {})
    box = Volcano(gvp=100000, name="here", lat=given.lat, lon=given.lon, frames=(frame,)).box if given.lat else WHOLE
    static = source.static(frame, box, height="height" in SETTINGS["remove"])
    grid = Grid.of(static)
    listed = [one for one in source.pairs(frame)[0] if Pair.parse(one.pair) and one.phase_uri and one.coherence_uri]

    def read(first: date, last: date) -> xr.Dataset:
        kept = []
        for one in sorted(listed, key=lambda one: by_date(one.pair)):
            dates = Pair.of(one.pair)
            if first <= dates.first and dates.last <= last:
                try:
                    kept.append((one.pair, (dates.first, dates.last), *source.read(one, {"": grid})[""]))
                except PairRejected as problem:
                    print(f"{one.pair} left out: {problem}", file=sys.stderr)
        if len(kept) < 8:
            sys.exit(f"{archive}: {len(kept)} pairs lie inside {first} to {last}; at least 8 are needed")
        return stacked(static, kept)

    return read


def stacked(static: xr.Dataset, kept: list[Any]) -> xr.Dataset:
    """Windows of pairs as a stack."""
    names, dates, phase, coherence, *_ = zip(*kept, strict=True)
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
