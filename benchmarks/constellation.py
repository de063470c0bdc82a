"""What a constellation that changes does to false flags and to detection, with model and threshold from before the change.

    python benchmarks/constellation.py [--archives 6] [--detector filter] [--parts spacing steps] [--json OUT]
    python benchmarks/constellation.py --shared ../shared --work work/erta_ale [--detector padim] [--json OUT]

Every simulated archive (64 x 64 pixels of 400 m, see `changing_archives`) begins with three years of one acquisition each
12 days. Model and threshold (one false flag a year) come from these. Then it goes on for three years in another way.
*Spacing*: other repeats, gaps, unequal spacing. *Steps*: burst-edge steps of 1.5 rad in pairs of two satellites, and
ionospheric stripes. Printed are the flags a year on quiet ground, with their 95 % interval over all archives, and the part
of steps of the ground of 2 and 4 cm that is over the threshold in the first and in the complete assessment. *By number* is
fused evidence as it was: three acquisitions on either side, and a score that knows nothing of an interval's time. *By time
and number* is what the default settings give.

With `--shared`, the steps are put into every pair of Erta Ale 079D in 2021-2022 that mixes two satellites, as if they had
flown in turn, or one after the other; fitted on 2019-2020. The data are no part of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from changing_archives import CHANGE, SPACINGS, STEP_RAD, STEPS, Change, Place, before
from erta_ale import installation
from real_atmosphere import opened

from insar_anomaly import simulate
from insar_anomaly.calibration.metrics import Estimate, proportion, rate_per_year
from insar_anomaly.calibration.scored import Scored
from insar_anomaly.calibration.threshold import Target, choose, count_flags
from insar_anomaly.calibration.trial import Trial, trial
from insar_anomaly.config.sections import Calibrate, Flags, Fusion, Preprocess
from insar_anomaly.detectors.base import BATCH, Detector, Scorer
from insar_anomaly.detectors.matched_filter import MatchedFilter
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence import build
from insar_anomaly.evidence.items import Item
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Evidence, Reach, pair_dates
from insar_anomaly.evidence.shared import Shared
from insar_anomaly.names import EvidenceKind
from insar_anomaly.stack.schema import pixel_km
from insar_anomaly.tiles import preprocess

SETTINGS = Preprocess().model_dump()
AIM = Calibrate()
TARGET = Target(AIM.policy, AIM.false_alarms_per_year, AIM.fpr, AIM.quantile, AIM.min_pairs, Flags().clear_after_days)
INJECTED = 60
"""Intervals of an archive, at most, into which sources are put."""
PEAKS_CM = (2.0, 4.0)
BY_TIME = Reach(**Fusion().model_dump(exclude={"evidence"}))
BY_NUMBER = Reach(BY_TIME.before, BY_TIME.after, BY_TIME.beside, BY_TIME.range_rad)
DETECTORS: dict[str, Callable[[], Detector]] = {
    "padim": lambda: Padim(weights="random", dims=20),
    "filter": lambda: MatchedFilter(block=4),
}
SHIPPED: dict[str, Callable[[], Detector]] = {"padim": Padim, "filter": MatchedFilter}
"""For real data, of 100 m."""


@dataclass(frozen=True)
class Fitted:
    """What the years before the change gave: a scorer, the level that scores are measured by, and the threshold."""

    scorer: Scorer
    level: Level
    threshold: float


@dataclass(frozen=True)
class Found:
    """What an archive gave after its change."""

    flags: int
    years: float
    intervals: int
    assessments: int
    over: dict[str, tuple[int, int]]
    """Sources over the threshold and sources, by peak and age."""


def evidence(reach: Reach) -> Evidence:
    """Intervals with the default settings."""
    step = preprocess.range_step(SETTINGS["range_form"], reach.range_rad)
    return build(EvidenceKind.INTERVAL, partial(preprocess.tiles, **SETTINGS), step, reach)


def fitted(stack: xr.Dataset, detector: Detector, reach: Reach) -> Fitted:
    """Model and threshold from quiet years."""
    planes = Planes(stack, partial(preprocess.tiles, **SETTINGS), alike=True)
    proof = Shared(evidence(reach), planes)
    result = trial(stack, proof, detector, folds=AIM.folds, peaks_cm=(), seed=0)
    threshold = choose(result, TARGET).threshold
    scorer = detector.fit(proof.tiles(stack)[list(detector.inputs)])
    planes.close()
    assert threshold is not None
    assert result.level is not None
    return Fitted(scorer, result.level, threshold)


def tested(stack: xr.Dataset, model: Fitted, reach: Reach, since: date) -> Found:
    """Flags and detection in intervals that end on the first day after the change, or later."""
    planes = Planes(stack, partial(preprocess.tiles, **SETTINGS), alike=True)
    proof = evidence(reach)
    items = [one for one in proof.items(pair_dates(stack), np.arange(stack.sizes["pair"])) if one.last >= since]
    quiet = scored(model, proof, planes, items)
    years = float((quiet.seen.max() - np.datetime64(since)) / np.timedelta64(1, "D")) / 365.25
    record = Trial(quiet.dates, quiet.score, {}, years, seen=quiet.seen)
    flags = count_flags(record, model.threshold, clear_after_days=TARGET.clear_after_days)
    over: dict[str, tuple[int, int]] = {}
    names = sorted({one.name for one in items})
    chosen = set(np.random.default_rng(0).permutation(names)[:INJECTED].tolist())
    tried = [one for one in proof.tried(items) if one.name in chosen]
    for peak in PEAKS_CM:
        moved = scored(model, proof, planes, tried, peak_cm=peak)
        hit, first = moved.score > model.threshold, moved.after == 1
        over[f"{peak:g} cm, first"] = int(hit[first].sum()), int(first.sum())
        over[f"{peak:g} cm"] = int(hit[~first].sum()), int((~first).sum())
    planes.close()
    return Found(flags, years, len(names), len(quiet.score), over)


def scored(model: Fitted, proof: Evidence, planes: Planes, items: Sequence[Item], peak_cm: float = 0.0) -> Scored:
    """These assessments with their measured scores."""
    inputs, parts = list(model.scorer.inputs), []
    for start in range(0, len(items), BATCH):
        batch = proof.make(planes, items[start : start + BATCH], peak_cm=peak_cm, seed=1)
        parts.append(Scored.of(model.scorer.score(batch[inputs])["score"].values, batch))
    joined = Scored.joined(parts)
    return replace(joined, score=np.asarray(model.level.standard(joined.score, joined.variance, joined.days)))


def simulated(
    seed: int, detector: Detector, changes: Mapping[str, Change], reaches: Mapping[str, Reach]
) -> dict[str, Found]:
    """What one archive gives after each of the changes, by change and definition."""
    place, early = Place(seed), before()
    screens = place.screens(early, 0)
    model = fitted(place.stack(early, screens, 0), detector, BY_NUMBER)
    out = {}
    for name, change in changes.items():
        days = change.days()
        late = place.screens(days, 1) + place.added(days, change)
        stack = place.stack(early[-6:] + days, np.concatenate([screens[-6:], late]), 1)
        for how, reach in reaches.items():
            used = model if reach == BY_TIME else replace(model, level=replace(model.level, days=0.0, tail=0.0))
            out[f"{name} | {how}"] = tested(stack, used, reach, CHANGE)
            print(f"  archive {seed}: {name}, {how}: {out[f'{name} | {how}']}", file=sys.stderr, flush=True)
    return out


def real(given: argparse.Namespace, detector: Detector) -> dict[str, Found]:
    """Erta Ale 079D in 2021-2022, with steps as if two satellites had flown."""
    archive = installation(given.work, given.shared, [[]], given.detector, []).parent / "archive"
    read = opened(argparse.Namespace(lat=None, lon=None), archive, None)
    quiet, late = read(date(2019, 1, 1), date(2020, 12, 31)), read(date(2021, 1, 1), date(2022, 12, 31))
    model = fitted(quiet, detector, BY_TIME)
    days, ends = np.unique(pair_dates(late), return_inverse=True)
    ends = ends.reshape(-1, 2)
    out = {}
    for name, edges in (("as it is", ()), ("one edge", (0.0,)), ("two edges", (-4.0, 4.0))):
        for way, other in (("in turn", np.arange(len(days)) % 2), ("for good", np.arange(len(days)) // 15 % 2)):
            if not edges and way == "for good":
                continue
            shape, km = (late.sizes["y"], late.sizes["x"]), pixel_km(late)
            steps = simulate.burst_steps(shape, edges_km=edges, step_rad=STEP_RAD, pixel_km=km)
            mixed = (other[ends[:, 1]] - other[ends[:, 0]])[:, None, None]
            moved = xr.DataArray((mixed * steps).astype(np.float32), dims=("pair", "y", "x"))
            stack = late.assign(phase=late["phase"] + moved)
            found = tested(stack, model, BY_TIME, date(2021, 1, 1))
            print(f"  {name}, {way}: {found}", file=sys.stderr, flush=True)
            out[f"079D, {name}" + (f", {way}" if edges else "") + " | by time and number"] = found
    return out


def table(found: Sequence[dict[str, Found]]) -> list[dict[str, str]]:
    """One row for each change and definition, over all archives."""
    rows = []
    for key in found[0]:
        every = [one[key] for one in found]
        years = sum(one.years for one in every)
        rates = {
            name: proportion(*(sum(one.over[name][n] for one in every) for n in (0, 1))) for name in sorted(every[0].over)
        }
        change, how = key.split(" | ")
        row = {"change": change, "evidence": how, "flags a year": str(rate_per_year(sum(o.flags for o in every), years))}
        row |= {"assessments a year": f"{sum(o.assessments for o in every) / years:.0f}"}
        rows.append(row | {name: _part(rate) for name, rate in rates.items()})
    return rows


def _part(rate: Estimate) -> str:
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def printed(rows: Sequence[dict[str, str]]) -> None:
    """The rows as a table in Markdown."""
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=21, help="choices were made on archives 1 to 3")
    parser.add_argument("--detector", choices=DETECTORS, default="filter")
    parser.add_argument("--parts", nargs="+", choices=("spacing", "steps"), default=["spacing", "steps"])
    parser.add_argument("--only", nargs="+", metavar="CHANGE", help="these changes only")
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data: Erta Ale 079D in place of simulations")
    parser.add_argument("--work", type=Path, help="with --shared: where its archive goes")
    parser.add_argument("--json", type=Path, metavar="OUT")
    given = parser.parse_args()
    detector, tables = (SHIPPED if given.shared else DETECTORS)[given.detector](), {}
    if given.shared:
        tables["079D"] = table([real(given, detector)])
    for part in () if given.shared else given.parts:
        changes, reaches = (SPACINGS, {"by number": BY_NUMBER, "by time and number": BY_TIME})
        if part == "steps":
            changes, reaches = STEPS, {"by time and number": BY_TIME}
        changes = {name: one for name, one in changes.items() if not given.only or name in given.only}
        seeds = range(given.first_seed, given.first_seed + given.archives)
        tables[part] = table([simulated(seed, detector, changes, reaches) for seed in seeds])
    for name, rows in tables.items():
        print(f"\n{name}; detector {given.detector}\n")
        printed(rows)
    if given.json:
        given.json.write_text(
            json.dumps({"settings": {k: str(v) for k, v in vars(given).items()}, "tables": tables}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
