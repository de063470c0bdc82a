"""Flags of quiet simulated archives, all of them one installation, beside what its level states. For `alarm_rate`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta

import numpy as np
from quiet_archives import CLEAR, KINDS, Plan, Watched, watched

from insar_anomaly.calibration.budget import Level, Pool, told_from
from insar_anomaly.calibration.metrics import Estimate, rate_per_year
from insar_anomaly.calibration.return_period import Tail
from insar_anomaly.flags import machine as flags

QUIET_YEARS, SIDE = 3.0, 32
WIDTH = 24
ALL, CONTROL = "all", "all, record scored by the model of all"
HEAD = "quiet ground", "stacks", "budget", "stated flags a year", "flags a year with a notice", "inside", "by own thresholds"


@dataclass(frozen=True)
class Count:
    """Flags of some archives over all of their years: those with a notice, and all by own thresholds."""

    told: int
    own: int

    @classmethod
    def of(cls, one: Watched, level: Level) -> Count:
        """Those of one archive, as the flag's machine makes them."""
        threshold = one.calibration.threshold
        if threshold is None:
            return cls(0, 0)
        at = told_from(threshold, one.calibration.tail, level.rate)
        evidence = [
            flags.Evidence(a.first, a.last, a.score, threshold, seen=a.seen, level=threshold if at is None else at)
            for a in one.assessments
        ]
        state, notices = flags.run(flags.State(), evidence, clear_after_days=CLEAR)
        return cls(sum(notice.kind == "raised" for notice in notices), len(state.episodes))

    def __add__(self, other: Count) -> Count:
        return Count(self.told + other.told, self.own + other.own)


def control(one: Watched) -> Watched:
    """The archive as if its record had been scored by the model of all: the first watched years are the record."""
    until = one.assessments[0].first + timedelta(days=round(365.25 * one.calibration.years))
    known = [a for a in one.assessments if a.last <= until]
    later = tuple(a for a in one.assessments if a.first >= until)
    days = np.array([(a.first, a.last) for a in known], "datetime64[D]")
    tail = Tail.of([a.score for a in known], days, one.calibration.years)
    years = (later[-1].last - later[0].first).days / 365.25
    return replace(one, calibration=replace(one.calibration, tail=tail), years=years, assessments=later)


def measured(asked: argparse.Namespace) -> list[dict[str, object]]:
    """Print a table for each detector."""
    rows: list[Row] = []
    for detector in asked.detectors:
        plan = Plan(asked.seed, detector, QUIET_YEARS, asked.stack_years / asked.stacks, SIDE, asked.folds)
        bar = Bar(detector, asked.stacks)
        every = [bar.after(watched(plan, number, asked.work)) for number in range(asked.stacks)]
        rows += table(
            detector, asked.folds, every, sorted({asked.budget, asked.budget / 4, asked.budget / 12}, reverse=True)
        )
    return [asdict(row) for row in rows]


class Bar:
    """How many archives are done, and when the last one will be. On one line where a person watches."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._since, self._slow = what, total, 0, time.monotonic(), 0

    def after(self, found: Watched) -> Watched:
        """The same, after one more step. Archives that were there already take no time, and are not counted in it."""
        self._done += 1
        now = time.monotonic()
        if now - self._since > 0.5 or self._slow:
            self._slow += 1
        else:
            self._since = now
        left = (now - self._since) / max(1, self._slow) * (self._total - self._done) / 60
        full = "#" * (WIDTH * self._done // self._total)
        end = "\r" if sys.stderr.isatty() and self._done < self._total else "\n"
        line = f"{self._what:<7}[{full:.<{WIDTH}}] {self._done} of {self._total} archives, {left:.1f} min left"
        print(line, file=sys.stderr, end=end, flush=True)
        return found


@dataclass(frozen=True)
class Row:
    """What some archives did at a level. Rates are flags a year of all of them together.

    `stated` and `inside` are None for a part of the archives: a level is that of all.
    """

    detector: str
    ground: str
    stacks: int
    years: float
    budget: float
    period_years: float
    short: bool
    stated: Estimate | None
    told: Estimate
    own: Estimate
    flags: Count
    inside: bool | None

    @classmethod
    def of(cls, detector: str, ground: str, some: Sequence[Watched], level: Level) -> Row:
        """Count the flags of these archives."""
        count = sum((Count.of(one, level) for one in some), Count(0, 0))
        years = sum(one.years for one in some) / len(some)
        told, own = rate_per_year(count.told, years), rate_per_year(count.own, years)
        stated = level.expected if ground in (ALL, CONTROL) else None
        inside = None
        if stated is not None:
            inside = stated.low <= told.value <= stated.high or (level.short and told.low <= stated.high)
        period = 0.0 if level.rate == float("inf") else level.period_years
        return cls(detector, ground, len(some), years, level.budget, period, level.short, stated, told, own, count, inside)

    @property
    def words(self) -> str:
        """A row of the table."""
        inside = "" if self.inside is None else "yes" if self.inside else "NO"
        cells = [self.ground, f"{self.stacks}", f"{self.budget:g}", "" if self.stated is None else _words(self.stated)]
        return "| " + " | ".join([*cells, _words(self.told), inside, _words(self.own)]) + " |"


def table(detector: str, folds: int, every: Sequence[Watched], budgets: Sequence[float]) -> list[Row]:
    """Rows of one detector, printed: all archives at each budget, a control, each kind of atmosphere at the first budget."""
    quiet, years = (sum(one) for one in zip(*((w.calibration.years, w.years) for w in every), strict=True))
    blind = sum(one.calibration.threshold is None for one in every)
    print(
        f"{detector}, {folds} blocks of time: {len(every)} stacks, {quiet:.0f} quiet years, {years:.0f} years watched",
        end="",
    )
    print(f"; {blind} stacks have no threshold\n" if blind else "\n")
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD))
    pool, rows = _pool(every), []
    rows += [Row.of(detector, ALL, every, pool.level(budget)) for budget in budgets]
    if years > 2 * quiet:  # else nothing is left to be watched
        again = [control(one) for one in every]
        rows += [Row.of(detector, CONTROL, again, _pool(again).level(budget)) for budget in budgets]
    parts = {kind: [one for one in every if one.kind == kind] for kind in KINDS}
    rows += [Row.of(detector, kind, some, pool.level(budgets[0])) for kind, some in parts.items() if some]
    print("\n".join(row.words for row in rows), end="\n\n", flush=True)
    return rows


def _pool(every: Sequence[Watched]) -> Pool:
    return Pool.of(one.calibration.tail for one in every if one.calibration.threshold is not None)


def _words(rate: Estimate) -> str:
    return f"{rate.value:.2f} ({rate.low:.2f} to {rate.high:.2f})"
