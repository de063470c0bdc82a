"""The stages of the pipeline as Prefect tasks, one call per batch of volcanoes: visible, retried, named after them.

Which stages there are, and in which order, stands in `insar_anomaly.pipeline.order`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.recorded import counted
from insar_anomaly import pipeline
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.pipeline import Installation, Run, Scope, Spread, Stage
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.pipeline.heartbeat import before_the_run
from insar_anomaly.pipeline.tonight import date_of
from insar_anomaly.report.digest import Digest
from insar_anomaly.tools import benchmark as comparison
from insar_anomaly.tools.benchmark import Plan


@dataclass(frozen=True)
class Ending:
    """What a flow says at its end, line by line as its command does, and whether something failed."""

    words: Sequence[str]
    failed: bool
    data: Mapping[str, object] = field(default_factory=dict)


def ended(name: str, work: Callable[[], Ending]) -> State[Any]:
    """Do the work of a flow; its final state says what the command of this name would print at its end."""
    try:
        ending = work()
    except InsarAnomalyError as problem:
        return Failed(message=f"{name}: {problem}")
    message = "\n".join(ending.words)
    return Failed(message=message, data=ending.data) if ending.failed else Completed(message=message, data=ending.data)


@contextmanager
def opened(
    file: str,
    kind: str,
    as_of: date | None,
    volcanoes: Sequence[Volcano] | None = None,
    *,
    only: Sequence[int] = (),
) -> Iterator[tuple[Installation, Run]]:
    """The installation that a configuration file describes (`volcanoes` in place of its catalogue), and a run in it.

    `only` are the GVP numbers of the volcanoes to work on; empty takes all.
    """
    date_of(as_of)  # before anything is opened
    settings = load_checked(file, volcanoes=volcanoes is None)
    with (
        before_the_run(settings.heartbeat, kind) as beat,
        pipeline.open_installation(settings, only=only, volcanoes=volcanoes) as screening,
        screening.run(kind, as_of, beat=beat) as run,
    ):
        yield screening, run


def walk(stages: Sequence[Stage], screening: Installation, run: Run) -> None:
    """Do the stages: one task per batch of volcanoes for all that works on stacks, one for each stage that needs them all.

    The workers go on to the next batch while one is waited for: Prefect shows the batches, Dask does the work.
    """
    size = screening.config.cluster.volcanoes_per_task
    spread = pipeline.Spread(stages, screening, run)
    of_stacks = ", ".join(stage.name for stage in stages if stage.scope is Scope.STACK)
    for batch in pipeline.batches(screening.volcanoes, size) if of_stacks else ():
        counted(stacks, spread, batch, run, name=f"{of_stacks}: {_label(batch)}")
    for stage in stages:
        if stage.scope is Scope.WHOLE:
            counted(work.with_options(name=stage.name), stage, screening, run, name=stage.name)


# No cache: idempotency is the ledger's job, a stage that runs again finds what is already done.
_stage = task(retries=1, retry_delay_seconds=10, cache_policy=NO_CACHE, persist_result=False)


@_stage
def stacks(spread: Spread, batch: Sequence[Volcano], run: Run) -> None:
    """Everything that is done with the stacks of some of the volcanoes."""
    with _reported(run):
        spread.finish(batch)


@_stage
def work(stage: Stage, screening: Installation, run: Run) -> None:
    """One stage that needs all volcanoes."""
    with _reported(run), run.meter.stage(stage.name):
        stage.work(screening, run)


@_stage
def digest(screening: Installation, run: Run) -> Digest:
    """Write the night's digest."""
    return pipeline.summary(screening, run)


@_stage
def measure(screening: Installation, run: Run, plan: Plan, system: str, out: Path) -> None:
    """Measure one system on every stack of a comparison; what was measured is kept in `out`."""
    with _reported(run):
        comparison.run(screening, run, replace(plan, systems=(system,)), out)


@contextmanager
def _reported(run: Run) -> Iterator[None]:
    """Log what fails inside, where Prefect's users look."""
    before = len(run.failures)
    yield
    for failure in run.failures[before:]:
        get_run_logger().error("%s: %s: %s", failure.stack, failure.stage, failure.error)


def _label(batch: Sequence[Volcano]) -> str:
    """The volcanoes of a task, in the name of its run."""
    names = [volcano.name for volcano in batch]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} .. {names[-1]} ({len(names)} volcanoes)"
