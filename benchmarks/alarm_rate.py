"""Whether a whole installation raises as many false flags a year as its budget says.

    python benchmarks/alarm_rate.py [--stack-years 1000] [--budget 12] [--json OUT]
    OMP_NUM_THREADS=1 python benchmarks/alarm_rate.py --archives --work DIR [--stack-years 1000] [--json OUT]

Stacks of several kinds of quiet ground are drawn: scores with exponential, normal, Gumbel, lognormal (0.6) and Pareto (4)
tails and Student's t (4), each stack with a place and a scale of its own; alone, mixed, and with weather of a region (one
acquisition in fifty shifts the scores of half of the stacks by two scales on one day). Two years at one acquisition each
12 days are the quiet record; the level comes from these. Then stack-years of the same are watched. Printed are the flags a
year that are told on them, all stacks together, beside what the level stated, and the flags by each stack's own threshold.

The drawn scores stand for assessments: the tails of real ones lie between the normal and the lognormal form. What is tested
is the way from quiet scores to a level, not the detector; `constellation.py` and `erta_ale.py` test that.

With `--archives` nothing stands for anything: archives are simulated (`quiet_archives`), cleaned, fitted in blocks of time,
given thresholds and brought to one level by the functions that `insar-anomaly fit` calls; the years after that are scored
and flagged as a night does it. What each archive gave is kept in DIR, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.calibration.budget import Pool, told_from
from insar_anomaly.calibration.metrics import rate_per_year
from insar_anomaly.calibration.threshold import Target, choose, count_flags
from insar_anomaly.calibration.trial import Trial

SEED = 20261127
REPEAT, RECORD = 12, 2.0
PER_YEAR = 365.25 / REPEAT
CLEAR = 60

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
KINDS: dict[str, Draw] = {
    "exponential": lambda rng, n: rng.exponential(size=n),
    "normal": lambda rng, n: rng.standard_normal(n),
    "Gumbel": lambda rng, n: rng.gumbel(size=n),
    "lognormal": lambda rng, n: np.exp(0.6 * rng.standard_normal(n)),
    "Student t 4": lambda rng, n: rng.standard_t(4, n),
    "Pareto 4": lambda rng, n: rng.pareto(4, n),
}


@dataclass(frozen=True)
class Row:
    """What one installation did. Rates are flags a year of all stacks together."""

    ground: str
    stacks: int
    stated: float
    low: float
    high: float
    told: float
    told_low: float
    told_high: float
    own: float
    short: bool

    @property
    def words(self) -> str:
        """A row of the table."""
        inside = "yes" if self.low <= self.told <= self.high or (self.short and self.told_low <= self.high) else "NO"
        return (
            f"| {self.ground} | {self.stacks} | {self.stated:.2f} ({self.low:.2f} to {self.high:.2f}) | "
            f"{self.told:.2f} ({self.told_low:.2f} to {self.told_high:.2f}) | {inside} | {self.own:.0f} |"
        )


def trial_of(score: NDArray[np.float64]) -> Trial:
    """Scores of intervals that follow each other, as a trial gives them."""
    days = np.datetime64("2018-01-01") + np.arange(len(score) + 1) * REPEAT
    return Trial(np.stack([days[:-1], days[1:]], axis=1), score, {}, len(score) / PER_YEAR)


def season(rng: np.random.Generator, number: int, weather: float) -> NDArray[np.float64]:
    """Shift (acquisition,) that half of the stacks share, in scales."""
    return np.where(rng.random(number) < weather, 2.0, 0.0)


def installation(ground: str, stacks: int, *, budget: float, stack_years: float, weather: float, seed: int = SEED) -> Row:
    """Calibrate, find the level, watch."""
    rng = np.random.default_rng([seed, stacks, sum(map(ord, ground))])
    kinds = list(KINDS) if ground.startswith("mixed") else [ground]
    target = Target("false-alarms-per-year", 1.0, 0.01, 0.95, 40, CLEAR)
    watched = max(1.0, stack_years / stacks)
    known, later = round(RECORD * PER_YEAR), round(watched * PER_YEAR)
    shared = season(rng, known + later, weather)
    made = []
    for number in range(stacks):
        draw, place, scale = KINDS[kinds[number % len(kinds)]], rng.normal(0, 5), np.exp(rng.normal(0, 0.5))
        score = place + scale * (draw(rng, known + later) + (shared if number % 2 else 0.0))
        found = choose(trial_of(score[:known]), target)
        made.append((found, trial_of(score[known:])))
    level = Pool.of(found.tail for found, _ in made).level(budget)
    told = own = 0
    for found, after in made:
        assert found.threshold is not None
        own += count_flags(after, found.threshold, clear_after_days=CLEAR)
        at = told_from(found.threshold, found.tail, level.rate)
        told += count_flags(after, at if at is not None else found.threshold, clear_after_days=CLEAR)
    rate = rate_per_year(told, watched)
    stated = level.expected
    return Row(ground, stacks, stated.value, stated.low, stated.high, *asdict(rate).values(), own / watched, level.short)


def drawn(asked: argparse.Namespace) -> list[dict[str, object]]:
    """Print the table of drawn scores."""
    print("| quiet ground | stacks | stated flags a year | flags a year with a notice | inside | by own thresholds |")
    print("|---|---|---|---|---|---|")
    rows, how = [], {"budget": asked.budget, "stack_years": asked.stack_years, "seed": asked.seed}
    for ground in (*KINDS, "mixed", "mixed, weather of a region"):
        for stacks in (30, 300):
            weather = 0.02 if ground.endswith("region") else 0.0
            rows.append(installation(ground, stacks, weather=weather, **how))
            print(rows[-1].words, flush=True)
    return [asdict(row) for row in rows]


def main(arguments: list[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack-years", type=float, default=1000.0)
    parser.add_argument("--budget", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--json", type=Path, metavar="OUT")
    parser.add_argument("--archives", action="store_true", help="simulated archives in place of drawn scores")
    parser.add_argument("--work", type=Path, metavar="DIR", help="with --archives: where the result of each archive is kept")
    parser.add_argument("--stacks", type=int, default=120, help="with --archives: stacks that share the stack-years")
    parser.add_argument("--detectors", nargs="+", choices=("filter", "padim"), default=["filter", "padim"])
    parser.add_argument("--folds", type=int, default=4, help="with --archives: blocks of time of the quiet years")
    asked = parser.parse_args(arguments)
    if asked.archives and asked.work is None:
        parser.error("--archives needs --work DIR: the result of each archive is kept there")
    print(f"seed {asked.seed}; budget {asked.budget:g} a year; {asked.stack_years:g} stack-years watched in each row\n")
    if asked.archives:
        from quiet_years import measured  # it imports the pipeline, which drawn scores do not need

        rows = measured(asked)
    else:
        rows = drawn(asked)
    if asked.json:
        asked.json.write_text(json.dumps({"seed": asked.seed, "rows": rows}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
