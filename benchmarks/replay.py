"""Real Erta Ale night by night: the notices that would have gone out around January 2017 and in 2021-2022, and when.

    python benchmarks/replay.py --shared ../shared --work work/replay [--latency-days 1] [--json OUT]

Runs the command line as an operator would, with default settings: `ingest`, `fit`, then `backfill --replay --send` for each
period, which walks through its nights and writes their notices into a folder, the only channel. Two installations are
compared. *2019-2020* takes model and threshold from the years of docs/erta-ale.md: after the first period, before the
second. *before* takes them from everything before 2016-11, and is replayed over the first period alone.

The data name the day of an acquisition, not the day on which its interferograms came. `--latency-days` says how long they
are taken to be on their way: a night's date is that of the acquisition and so many days. A step that is done is not done
again: what a stopped run left in the work folder is taken up. Exit code 1: an aim is missed. The data are no part of the
repository.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from erta_ale import INTRUSION, installation

from insar_anomaly import cli
from insar_anomaly.calibration.metrics import rate_per_year
from insar_anomaly.ledger.records import EpisodeRow, ModelRow
from insar_anomaly.names import Pair, Period
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline import Installation, open_installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.whatif import Policy, whatif

BEFORE, UNREST, QUIET = (
    Period(date(2014, 10, 1), date(2016, 10, 31)),
    Period(date(2016, 11, 1), date(2017, 9, 30)),
    Period(date(2021, 1, 1), date(2022, 12, 31)),
)
"""The first one that is replayed goes on until the flag of January 2017 can have been cleared."""
BUDGETS = (12.0, 1.0, 0.1, 0.01)
"""False flags a year of the whole installation: the default, and what a single stack of a larger one would be left."""


@dataclass(frozen=True)
class Plan:
    """One installation: what it is fitted on, and the periods that are replayed; in `event` the ground moved."""

    name: str
    fit: Period
    periods: tuple[Period, ...]
    event: tuple[date, date] | None = None


@dataclass(frozen=True)
class Told:
    """One notice: the night on which it would have gone out, what it is, and how often quiet ground reaches its score.

    `acquired` is the end of the interval that it tells of, and `newest` the acquisition that the night brought.
    """

    night: date
    outcome: str
    subject: str
    flag: str
    acquired: date
    newest: date
    score: float
    return_period_years: float | None
    figure: str | None

    @property
    def delay_days(self) -> int:
        """Days from the acquisition at the interval's end to the notice."""
        return (self.night - self.acquired).days


@dataclass(frozen=True)
class Replayed:
    """What a period's nights told, and its flags.

    `on_event` names the event's flags; `late_days` are those from the first acquisition after the event to its raise.
    """

    period: Period
    acquisitions: int
    told: tuple[Told, ...]
    flags: tuple[str, ...]
    noted: int
    on_event: tuple[str, ...] = ()
    late_days: int | None = None

    def count(self, outcome: str) -> int:
        """Notices of one kind."""
        return sum(one.outcome == outcome for one in self.told)

    @property
    def false(self) -> list[Told]:
        """Raised flags that are not the event's."""
        return [one for one in self.told if one.outcome == "raised" and one.flag not in self.on_event]


PLANS = (
    Plan("2019-2020", Period(date(2019, 1, 1), date(2020, 12, 31)), (UNREST, QUIET), INTRUSION),
    Plan("before", BEFORE, (UNREST,), INTRUSION),
)


def main() -> int:
    """Run it, print what was told; exit code 1 where an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the evaluation data")
    parser.add_argument("--work", type=Path, required=True, help="where archive, stores and notices go")
    parser.add_argument("--latency-days", type=int, default=1, help="days from an acquisition to its interferograms")
    parser.add_argument("--only", choices=[plan.name for plan in PLANS], help="one of the two installations")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    ingested = given.work / "ingested"
    installation(ingested, given.shared, [[]], "padim", [])
    plans = [plan for plan in PLANS if given.only in (None, plan.name)]
    return replay(ingested, given.work, plans, latency=timedelta(given.latency_days), out=given.json)


def replay(ingested: Path, work: Path, plans: Sequence[Plan], *, latency: timedelta, out: Path | None = None) -> int:
    """Replay every plan in a copy of the installation `ingested`, which has its archive; print and write what was told.

    Returns 0 where all aims are met, 1 where one is missed.
    """
    steps = [*_steps(ingested, work, plans)]
    for number, (name, step) in enumerate(steps, 1):
        begun, mark = time.monotonic(), work / f"{name}.done"
        if not mark.exists():
            print(f"step {number} of {len(steps)}: {name}", file=sys.stderr, flush=True)
            with redirect_stdout(sys.stderr):
                step()
            mark.write_text(f"{time.monotonic() - begun:.0f} s\n")
    found = {}
    for plan in plans:
        with open_installation(work / plan.name / "config.toml") as s:
            found[plan.name] = [_replayed(s, work / plan.name / "notices", plan, one, latency) for one in plan.periods]
            print("\n".join(_lines(s, plan, found[plan.name], latency)))
    aims = {words: met for plan in plans for words, met in _aims(plan, found[plan.name])}
    for words, met in aims.items():
        print(f"aim: {words}: {'met' if met else 'MISSED'}")
    if out:
        parts = {name: [asdict(one) for one in some] for name, some in found.items()}
        out.write_text(json.dumps({"installations": parts, "aims": aims}, indent=1, default=str) + "\n")
    return 0 if all(aims.values()) else 1


def _steps(ingested: Path, work: Path, plans: Sequence[Plan]) -> Iterator[tuple[str, Callable[[], object]]]:
    """What there is to do, in order: its name, and how."""
    last = max(day for plan in plans for one in plan.periods if (day := one.last))
    yield "ingest", lambda: command(ingested, "ingest", "--as-of", f"{last}")
    for plan in plans:
        here = work / plan.name
        yield f"{plan.name} copy", lambda here=here: _copied(ingested, here)
        yield f"{plan.name} fit", lambda here=here, plan=plan: command(here, "fit", *_words(plan.fit))
        for one in plan.periods:
            words = ("backfill", *_words(one), "--replay", "--send")
            yield f"{plan.name} replay {one.first} to {one.last}", lambda here=here, words=words: command(here, *words)


def command(folder: Path, *words: str) -> None:
    """One command of the command line; ends the program where it fails."""
    print("insar-anomaly", *words, flush=True)
    if (code := cli.main(["-c", str(folder / "config.toml"), *words])) not in (0, 3):  # 3: some stacks are blind
        sys.exit(f"insar-anomaly {' '.join(words)}: exit code {code}")


def _words(period: Period) -> tuple[str, ...]:
    return "--from", f"{period.first}", "--to", f"{period.last}"


def _copied(ingested: Path, here: Path) -> None:
    """The ingested installation once more; the archive is shared."""
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(ingested, here, ignore=shutil.ignore_patterns("archive"))
    config = here / "config.toml"
    config.write_text(config.read_text().replace('url = "archive"', f'url = "{(ingested / "archive").resolve()}"'))


def _replayed(s: Installation, folder: Path, plan: Plan, period: Period, latency: timedelta) -> Replayed:
    """What was told in a period, from the notices in the folder and the flags of the ledger."""
    told = tuple(one for one in _notices(folder, latency) if period.has(one.newest))
    flags = [row for row in s.ledger.episodes() if period.has(row.since)]
    on_event = tuple(f"{row.stack}:{row.number}" for row in flags if plan.event and _sees(row, plan.event))
    days = sorted({day for stack in s.by_stack for name in s.ledger.seen(stack) for day in Pair.of(name).days})
    raised = min((one.night for one in told if one.outcome == "raised" and one.flag in on_event), default=None)
    after = None if plan.event is None else next((day for day in days if day >= plan.event[1]), None)
    return Replayed(
        period,
        sum(map(period.has, days)),
        told,
        tuple(map(_flag, flags)),
        sum(row.told is None for row in flags),
        on_event,
        (raised - after).days if raised and after else None,
    )


def _flag(row: EpisodeRow) -> str:
    ended = f"{row.state} {row.cleared}" if row.cleared else f"still {row.state}"
    return (
        f"flag {row.number}: {row.since} to {row.until}, {row.pairs_over} over the threshold, "
        f"highest {row.peak_score:.4g} in {row.peak_pair}; {ended}"
    )


def _sees(row: EpisodeRow, event: tuple[date, date]) -> bool:
    return row.since < event[1] and event[0] < row.until


def _notices(folder: Path, latency: timedelta) -> list[Told]:
    """Every notice in a folder, in order of nights."""
    out = []
    for file in folder.glob("*.json"):
        content = json.loads(file.read_text())
        told = Payload.read(json.dumps(content["payload"]))
        out.append(
            Told(
                night=told.as_of + latency,
                outcome=told.outcome,
                subject=content["subject"],
                flag=told.flag,
                acquired=Pair.of(told.pair).last,
                newest=told.as_of,
                score=told.score,
                return_period_years=told.return_period_years,
                figure=content["figure"],
            )
        )
    return sorted(out, key=lambda one: (one.night, one.flag, one.outcome))


def _lines(s: Installation, plan: Plan, found: Sequence[Replayed], latency: timedelta) -> Iterator[str]:
    """What people read of one installation."""
    yield f"== fitted on {plan.fit.first} to {plan.fit.last}; data arrive {_days(latency.days)} after an acquisition"
    level = level_of(s)
    for stack in s.by_stack:
        model, why = s.resting(stack)
        if model is None or model.threshold is None:
            yield f"{stack}: not calibrated: {why or (model and model.why) or 'not fitted'}"
            continue
        yield f"{stack}: {_rests_on(model)}"
        told = Telling.of(model, level).above(model.threshold)
        yield f"flags have a notice from score {told:.4g} on; the threshold is {model.threshold:.4g}"
    if level is not None:
        yield level.words
    for one in found:
        yield ""
        yield f"-- {one.period.first} to {one.period.last}, {one.acquisitions} acquisitions"
        yield from map(_line, one.told)
        counts = ", ".join(f"{kind} {one.count(kind)}" for kind in ("raised", "escalated", "cleared", "withdrawn"))
        yield f"notices: {counts}; flags only noted: {one.noted}"
        yield from one.flags
        if plan.event and one.period.has(plan.event[0]):
            late = "no flag" if one.late_days is None else _days(one.late_days)
            yield f"event of {plan.event[0]} to {plan.event[1]}: first acquisition at or after its end to the notice: {late}"
        yield f"false flags raised: {len(one.false)}, {_rate(one)} a year"
        yield from _budgets(s, one)
    yield ""


def _rests_on(model: ModelRow) -> str:
    return f"the threshold of each {model.evidence} comes from {model.pairs} pairs of {model.fit_from} to {model.fit_to}"


def _line(one: Told) -> str:
    years = one.return_period_years
    rare = "" if years is None else f"; quiet ground reaches it once in {years:.3g} years"
    return (
        f"{one.night}  {one.outcome:<9}  {one.flag.rpartition(':')[2]}  {one.subject}\n"
        f"{'':25}score {one.score:.4g}{rare}; interval ends {one.acquired}, {_days(one.delay_days)} before"
    )


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


def _years(period: Period) -> float:
    assert period.first is not None
    assert period.last is not None
    return round(((period.last - period.first).days + 1) / 365.25, 2)  # two calendar years are two, leap day or not


def _rate(one: Replayed) -> str:
    return str(rate_per_year(len(one.false), _years(one.period)))


def _budgets(s: Installation, one: Replayed) -> Iterator[str]:
    """How many flags the period has by other budgets of the installation."""
    assert one.period.last is not None
    for budget in BUDGETS:
        counted = whatif(s, Policy(budget=budget), as_of=one.period.last, years=_years(one.period))
        flags, notices = (sum(getattr(row, name) for row in counted) for name in ("flags_then", "notices_then"))
        yield f"with a budget of {budget:g} false flags a year: {flags} flags, {notices} with a notice"


def _aims(plan: Plan, found: Sequence[Replayed]) -> Iterator[tuple[str, bool]]:
    for one in found:
        name = f"fitted on {plan.fit.first} to {plan.fit.last}, {one.period.first} to {one.period.last}"
        if plan.event and one.period.has(plan.event[0]):
            ended = [each for each in one.told if each.outcome == "cleared" and each.flag in one.on_event]
            raised = [each for each in one.told if each.outcome == "raised" and each.flag in one.on_event]
            yield f"{name}: one raise and one clear of the event", (len(raised), len(ended)) == (1, 1)
            yield f"{name}: no other flag", not one.false
        else:
            yield f"{name}: at most one false flag a year", len(one.false) <= _years(one.period)


if __name__ == "__main__":
    sys.exit(main())
