"""The order of the stages of a run: stated once, walked by the command line and by the Prefect flows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import partial

from insar_anomaly.errors import UsageError
from insar_anomaly.names import Period
from insar_anomaly.pipeline.assess import assess
from insar_anomaly.pipeline.deliver import deliver
from insar_anomaly.pipeline.fit import fit
from insar_anomaly.pipeline.flag import flag
from insar_anomaly.pipeline.ingest import ingest
from insar_anomaly.pipeline.installation import Installation, Run


@dataclass(frozen=True)
class Stage:
    """One step of a run: what people call it, and the function that does it.

    `divisible` is False where the step needs all volcanoes of the installation at the same time.
    """

    name: str
    work: Callable[[Installation, Run], None]
    divisible: bool = True


def ingest_stages(period: Period | None = None) -> tuple[Stage, ...]:
    """Bring in what is new inside `period`; None takes everything up to the run's date."""
    return (Stage("ingest", partial(ingest, period=period)),)


def fit_stages(period: Period, *, again: bool = False, new_pairs: bool = True) -> tuple[Stage, ...]:
    """Bring in everything that is new (unless `new_pairs` is False), then fit on the pairs inside `period`."""
    before = ingest_stages() if new_pairs else ()
    return (*before, Stage("fit", partial(fit, period=period, again=again)))


def night_stages(period: Period | None = None) -> tuple[Stage, ...]:
    """Ingest and assess inside `period` (None: everything up to the run's date), flag, notify."""
    return (
        *ingest_stages(period),
        Stage("assess", partial(assess, period=period)),
        Stage("flag", flag),
        Stage("notify", deliver, divisible=False),
    )


def walk(stages: Iterable[Stage], s: Installation, run: Run) -> None:
    """Do one stage after the other on the whole installation."""
    for stage in stages:
        stage.work(s, run)


def period_asked(
    first: date | None, last: date | None, as_of: date | None = None, *, called: tuple[str, str] = ("--from", "--to")
) -> Period | None:
    """The period that a person asked for, which ends with the run's date at the latest; None where it is open on both sides.

    Parameters
    ----------
    first, last : its first and its last day; None leaves a side open
    as_of : the run's date where a person gave one
    called : what the person calls `first` and `last`

    Raises
    ------
    UsageError
        where it ends before it begins.
    """
    if first and last and first >= last:
        raise UsageError(f"{called[0]} {first} is not before {called[1]} {last}")
    until = min((day for day in (last, as_of) if day), default=None)
    return Period(first, until) if first or until else None
