"""The stages of a run and their order: stated once, walked by the command line, by Python and by the Prefect flows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from functools import partial

from insar_anomaly.errors import UsageError
from insar_anomaly.names import Period
from insar_anomaly.pipeline.agreement import agree
from insar_anomaly.pipeline.assess import assess_stacks, something_to_assess
from insar_anomaly.pipeline.canary import fly_canary
from insar_anomaly.pipeline.couples import score_couples
from insar_anomaly.pipeline.fit import fit_stacks, something_to_fit
from insar_anomaly.pipeline.flag import flag_couples, flag_stacks
from insar_anomaly.pipeline.freshness import ingest_and_judge
from insar_anomaly.pipeline.ingest import ingest_stacks, something_new
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import pool_stacks
from insar_anomaly.pipeline.owed import send_owed_and_new
from insar_anomaly.pipeline.regional import hold_together
from insar_anomaly.pipeline.restack import restack_stacks
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.spread import Spread
from insar_anomaly.pipeline.stage import Scope, Stage


def ingest_stages(period: Period | None = None, *, dry: bool = False, take: Collection[str] = ()) -> tuple[Stage, ...]:
    """Bring in what is new inside `period`; None takes everything up to the run's date. `dry` only counts it.

    Replaced files of the stacks in `take` are read now, without waiting for a second night.
    """
    take = tuple(take)
    whole = partial(ingest_and_judge, period=period, take=take)
    work = partial(ingest_stacks, period=period, dry=True) if dry else whole
    pending = partial(something_new, period=period, take=take)
    return (Stage("ingest", work, reads_source=True, leased=not dry, pending=None if dry else pending),)


def restack_stages() -> tuple[Stage, ...]:
    """Build stacks anew on the grid that their pairs have now."""
    return (Stage("restack", restack_stacks, reads_source=True),)


def assess_stages(period: Period | None = None) -> tuple[Stage, ...]:
    """Score what is stored inside `period` and not yet scored, then the couples of both frames."""
    work, pending = partial(assess_stacks, period=period), partial(something_to_assess, period=period)
    couples = Stage("assess couples", partial(score_couples, period=period), Scope.COUPLE)
    return (Stage("assess", work, gpu=True, pending=pending), couples)


def flag_stages() -> tuple[Stage, ...]:
    """Take new scores into account: of stacks, then of couples."""
    return (Stage("flag", flag_stacks), Stage("flag couples", flag_couples, Scope.COUPLE))


def deliver_stages() -> tuple[Stage, ...]:
    """Send what waits, and what a mistaken date held back."""
    return (Stage("notify", send_owed_and_new, Scope.WHOLE),)


def fit_stages(period: Period, *, again: bool = False, new_pairs: bool = True) -> tuple[Stage, ...]:
    """Bring in everything that is new (unless `new_pairs` is False), fit on the pairs inside `period`, find the level that
    tells flags.
    """
    before = ingest_stages() if new_pairs else ()
    work, pending = partial(fit_stacks, period=period, again=again), partial(something_to_fit, period=period, again=again)
    return (*before, Stage("fit", work, leased=False, gpu=True, pending=pending), Stage("level", pool_stacks, Scope.WHOLE))


def night_stages(period: Period | None = None) -> tuple[Stage, ...]:
    """Ingest and assess inside `period` (None: everything up to the run's date), flag, fly the canary, notify."""
    ingest, (assess, assess_both), (flag, flag_both) = ingest_stages(period), assess_stages(period), flag_stages()
    hold = Stage("hold together", _compare, Scope.WHOLE)
    canary = Stage("canary", fly_canary, Scope.WHOLE, gpu=True)
    return (*ingest, assess, flag, assess_both, flag_both, hold, canary, *deliver_stages())


def _compare(s: Installation, run: Run) -> None:
    """What a flag means beside those of other stacks: many on one date are held, one of the other direction agrees."""
    hold_together(s, run)
    agree(s, run)


def walk(stages: Sequence[Stage], s: Installation, run: Run) -> None:
    """Do the stages on the whole installation: those of stacks spread over the workers, see `spread`."""
    Spread(stages, s, run).finish()
    walk_whole(stages, s, run)


def walk_whole(stages: Sequence[Stage], s: Installation, run: Run) -> None:
    """Do those stages that need the whole installation."""
    for stage in stages:
        if stage.scope is Scope.WHOLE:
            with run.meter.stage(stage.name):
                stage.work(s, run)


def ingest(
    s: Installation, run: Run, *, period: Period | None = None, dry: bool = False, take_replaced: Collection[str] = ()
) -> None:
    """Bring every new pair of the installation's volcanoes into its stack, see `freshness.ingest_and_judge`.

    Raises UsageError where `take_replaced` names a stack that is not of this installation.
    """
    if strange := sorted(set(take_replaced) - s.by_stack.keys()):
        raise UsageError(
            f"{strange[0]!r} is not a stack of {s.config.catalogue}; it has {', '.join(sorted(s.by_stack)[:5])}"
        )
    run.dry = dry
    walk(ingest_stages(period, dry=dry, take=tuple(take_replaced)), s, run)


def restack(s: Installation, run: Run, stack: str) -> None:
    """Build one stack anew, see `restack.restack_stacks`. Raises UsageError where the installation has no such stack."""
    if stack not in s.by_stack:
        raise UsageError(f"{stack!r} is not a stack of {s.config.catalogue}; it has {', '.join(sorted(s.by_stack)[:5])}")
    walk(restack_stages(), s.of([stack]), run)


def assess(s: Installation, run: Run, *, period: Period | None = None) -> None:
    """Score what is stored and not yet scored, see `assess.assess_stacks`; then couples of both frames."""
    walk(assess_stages(period), s, run)


def fit(s: Installation, run: Run, *, period: Period, again: bool = False) -> None:
    """Fit and calibrate every stack on what is stored of `period`, see `fit.fit_stacks`."""
    walk(fit_stages(period, again=again, new_pairs=False), s, run)


def flag(s: Installation, run: Run) -> None:
    """Take new scores into account, see `flag.flag_stacks`."""
    walk(flag_stages(), s, run)


def deliver(s: Installation, run: Run) -> None:
    """Send what waits in the outbox, see `deliver.deliver_notices`."""
    walk(deliver_stages(), s, run)


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
    if first and as_of and first >= as_of:
        raise UsageError(f"{called[0]} {first} is not before the run's date, {as_of}")
    until = min((day for day in (last, as_of) if day), default=None)
    return Period(first, until) if first or until else None
