"""What a constellation that changes does to false flags and to detection, with model and threshold from before the change.

    python benchmarks/constellation.py [--archives 6] [--detector filter] [--parts spacing steps] [--json OUT]
    python benchmarks/constellation.py --shared ../shared --work work/erta_ale [--detector padim] [--json OUT]

Every simulated archive (64 x 64 pixels of 400 m, see `changing_archives`) begins with three years of one acquisition each
12 days. Model and threshold (one false flag a year) come from these. Then it goes on for three years in another way.
*Spacing*: other repeats, gaps, unequal spacing. *Steps*: burst-edge steps of 1.5 rad in pairs of two satellites, and
ionospheric stripes. *By number* is fused evidence as it was: three acquisitions on either side, and a score that knows
nothing of an interval's time. *By time and number* is what the default settings give.

Sources of 2 and 4 cm come as steps of the ground on days that are spread evenly over the three years. A source is found on
the day of the first acquisition with which an assessment of its interval is over the threshold. Printed are the part of the
sources that is found, and the days from the source to the one on which half and nine tenths of all are found, with 95 %
intervals from the counts.

The bounds are stated here and follow from counts alone, see `within_bounds`. Archives 1 to 10 served to make choices.

With `--shared`, the steps are put into every pair of Erta Ale 079D in 2021-2022 that mixes two satellites, as if they had
flown in turn, or one after the other; fitted on 2019-2020. The data are no part of the repository.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from changing_archives import CHANGE, SPACINGS, STEP_RAD, STEPS, Change, Place, before
from erta_ale import installation
from real_atmosphere import opened
from scipy.stats import binom

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
EVENTS = 60
"""Sources of an archive."""
BEGINNING, END = 10, 90
"""Days after the change, and before the last acquisition, in which no source comes: each has the time to be found."""
PEAKS_CM = (2.0, 4.0)
NEVER = 10**6
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
    delays: dict[float, tuple[int, ...]]
    """Days from each source to the assessment that is over the threshold, `NEVER` where none is, by peak."""


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
    events = sources(items, since)
    tried = [one for one in items if one.name in set(events.values())]
    delays = {}
    for peak in PEAKS_CM:
        moved = scored(model, proof, planes, tried, peak_cm=peak)
        days: dict[str, list[date]] = {}
        for one in moved.assessments(moved.score):
            days.setdefault(one.name, []).extend([one.seen] if one.score > model.threshold else [])
        delays[peak] = tuple(min(((day - when).days for day in days[name]), default=NEVER) for when, name in events.items())
    planes.close()
    return Found(flags, years, len({one.name for one in items}), len(quiet.score), delays)


def sources(items: Sequence[Item], since: date) -> dict[date, str]:
    """The days on which sources come, evenly in time, and the interval that each is in."""
    last = max(one.last for one in items)
    number = np.linspace(BEGINNING, (last - since).days - END, EVENTS)
    days = [since + timedelta(days=int(n)) for n in number]
    held = {day: next((one.name for one in items if one.first < day <= one.last), None) for day in days}
    return {day: name for day, name in held.items() if name is not None}


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
            used = model if reach == BY_TIME else replace(model, level=replace(model.level, days=0.0, tail=0.0, early=None))
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
    """One row for each change and definition, over all archives; the first is what the bounds compare with."""
    rows, before = [], joined([one[next(iter(found[0]))] for one in found])
    for key in found[0]:
        one = joined([archive[key] for archive in found])
        change, _, how = key.partition(" | ")
        row = {"change": change, "evidence": how, "flags a year": str(rate_per_year(one.flags, one.years))}
        row |= {"assessments a year": f"{one.assessments / one.years:.0f}"}
        for peak, delays in one.delays.items():
            row[f"{peak:g} cm found"] = _part(proportion(sum(day < NEVER for day in delays), len(delays)))
            for part in (0.5, 0.9):
                row[f"{peak:g} cm, days until {part:.0%}"] = days_until(delays, part)
        rows.append(row | {"bounds": ", ".join(within_bounds(before, one)) or "kept"})
    return rows


def joined(every: Sequence[Found]) -> Found:
    """Several archives as one."""
    sums = (sum(getattr(one, name) for one in every) for name in ("flags", "years", "intervals", "assessments"))
    return Found(*sums, {peak: tuple(day for one in every for day in one.delays[peak]) for peak in every[0].delays})


def days_until(delays: Sequence[int], part: float) -> str:
    """Days until that part of all sources is found, with this quantile's 95 % binomial interval."""
    ordered, number = sorted(delays), len(delays)
    low, high = binom.ppf(0.025, number, part), binom.ppf(0.975, number, part)
    at = [ordered[min(number - 1, max(0, int(rank) - 1))] for rank in (np.ceil(part * number), low, high + 1)]
    value, least, most = ("never" if day == NEVER else f"{day}" for day in at)
    return value if value == least == most else f"{value} [{least}, {most}]"


def within_bounds(before: Found, after: Found) -> list[str]:
    """The bounds that a change breaks; all follow from counts.

    *aim*: not more flags than one a year, so the 95 % Poisson interval of the rate begins below one. *rate*: not more flags
    than the same archives raise that go on as before: of the flags of both, the part after the change has a 95 % binomial
    interval that begins below that change's part of the time. *found*: decision 16 gives no source up, so the part that is
    found is not lower than before beyond the 95 % interval of a difference of two parts (Newcombe). *days*: decision 16 lets
    no acquisition come for nothing, so where they come at least as often, half of the sources of 4 cm are found no later.
    """
    broken = []
    if rate_per_year(after.flags, after.years).low > AIM.false_alarms_per_year:
        broken.append("aim")
    both, share = after.flags + before.flags, after.years / (after.years + before.years)
    if both and proportion(after.flags, both).low > share:
        broken.append("rate")
    for peak in PEAKS_CM:
        was, now = (
            proportion(sum(day < NEVER for day in one.delays[peak]), len(one.delays[peak])) for one in (before, after)
        )
        if now.value - was.value + np.hypot(now.high - now.value, was.value - was.low) < 0:
            broken.append(f"{peak:g} cm found")
    if after.intervals / after.years >= before.intervals / before.years:
        was_days, now_days = (np.median(one.delays[PEAKS_CM[-1]]) for one in (before, after))
        broken += ["days"] if now_days > was_days else []
    return broken


def _part(rate: Estimate) -> str:
    return f"{rate.value:.2f} [{rate.low:.2f}, {rate.high:.2f}]"


def printed(rows: Sequence[dict[str, str]]) -> None:
    """The rows as two tables in Markdown: how many, and how soon."""
    soon = [name for name in rows[0] if "days until" in name]
    for names in ([name for name in rows[0] if name not in soon], ["change", "evidence", *soon]):
        print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
        for row in rows:
            print("| " + " | ".join(row[name] for name in names) + " |")
        print()


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archives", type=int, default=6)
    parser.add_argument("--first-seed", type=int, default=41, help="choices were made on archives 1 to 10")
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
