"""The stages of the pipeline as Prefect tasks, one call per batch of volcanoes: visible, retried, named after them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from insar_anomaly import pipeline
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.names import Period
from insar_anomaly.pipeline import Installation, Run
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.report.digest import Digest
from insar_anomaly.tools import benchmark as comparison
from insar_anomaly.tools.benchmark import Plan

P = ParamSpec("P")
R = TypeVar("R")


def stage(function: Callable[P, R]) -> Task[P, R]:
    """A stage as a task. No cache: idempotency is the ledger's job, a stage that runs again finds what is already done."""
    wrapped: Task[P, R] = task(retries=1, retry_delay_seconds=10, cache_policy=NO_CACHE, persist_result=False)(function)
    return wrapped


@contextmanager
def opened(
    file: str, kind: str, as_of: date | None, volcanoes: Sequence[Volcano] | None = None
) -> Iterator[tuple[Installation, Run]]:
    """The installation that a configuration file describes (`volcanoes` in place of its catalogue), and a run in it."""
    settings = load_checked(file, volcanoes=volcanoes is None)
    with pipeline.open_installation(settings, volcanoes=volcanoes) as screening, screening.run(kind, as_of) as run:
        yield screening, run


def batches(screening: Installation) -> list[Installation]:
    """The installation in batches of volcanoes, one task each."""
    size = screening.config.cluster.volcanoes_per_task
    return [screening.narrowed(part) for part in pipeline.batches(screening.volcanoes, size)]


def label(stage: str, part: Installation) -> str:
    """Name of a task run: the stage and its volcanoes."""
    names = [volcano.name for volcano in part.volcanoes]
    return f"{stage}: {_some(part.volcanoes)}" if len(names) > 3 else f"{stage}: {', '.join(names)}"


@stage
def ingest(part: Installation, run: Run, period: Period | None) -> None:
    """Bring new interferograms into the stacks."""
    pipeline.ingest(part, run, period=period)
    _report(run, part)


@stage
def fit(part: Installation, run: Run, period: Period, again: bool) -> None:
    """Fit and calibrate."""
    pipeline.fit(part, run, period=period, again=again)
    _report(run, part)


@stage
def score(part: Installation, run: Run, period: Period | None) -> None:
    """Score new pairs."""
    pipeline.assess(part, run, period=period)
    _report(run, part)


@stage
def flag(part: Installation, run: Run) -> None:
    """Raise and clear flags."""
    pipeline.flag(part, run)
    _report(run, part)


@stage
def deliver(screening: Installation, run: Run) -> None:
    """Send what waits in the outbox."""
    pipeline.deliver(screening, run)
    _report(run, screening)


@stage
def digest(screening: Installation, run: Run) -> Digest:
    """Write the night's digest."""
    return pipeline.summary(screening, run)


@stage
def measure(screening: Installation, run: Run, plan: Plan, system: str, out: Path) -> None:
    """Measure one system on every stack of a comparison; what was measured is kept in `out`."""
    comparison.run(screening, run, replace(plan, systems=(system,)), out)
    _report(run, screening)


def _report(run: Run, part: Installation) -> None:
    """Failures of these volcanoes, where Prefect's users look."""
    logger = get_run_logger()
    mine = part.by_stack
    for failure in run.failures:
        if failure.stack in mine:
            logger.error("%s: %s: %s", failure.stack, failure.stage, failure.error)


def _some(volcanoes: list[Volcano]) -> str:
    return f"{volcanoes[0].name} .. {volcanoes[-1].name} ({len(volcanoes)} volcanoes)"
