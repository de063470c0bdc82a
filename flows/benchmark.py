"""Every detector on a labelled set -> table and figures: ``python -m flows.benchmark -c FILE --train-until DATE ..``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import stages
from flows.arguments import ConfigFile, checked, day
from flows.recorded import counted, finished
from insar_anomaly.errors import UsageError
from insar_anomaly.pipeline import ingest_stages
from insar_anomaly.pipeline.outcome import failures_of
from insar_anomaly.tools import benchmark as comparison
from insar_anomaly.tools.benchmark.command import arguments, check


@flow(name="benchmark", persist_result=False)
def benchmark(config: ConfigFile, options: list[str]) -> State[Any]:
    """Ingest what is new, measure one system after the other on every stack, write the table."""

    def compared() -> stages.Ending:
        given = _parser().parse_args(["-c", config, *options])
        out = Path(given.out)
        volcanoes = comparison.case_study_volcanoes() if given.cases else None
        with stages.opened(config, "benchmark", None, volcanoes) as (screening, run):
            stages.walk(ingest_stages(), screening, run)
            plan, said = comparison.plan(given, [stack for stack in screening.by_stack if screening.store.has(stack)])
            for system in plan.systems:
                counted(stages.measure, screening, run, plan, system, out, name=f"measure: {system}")
            written = comparison.write(out, plan, comparison.run(screening, run, plan, out))
        table = [written[0].read_text(encoding="utf-8"), *(f"written: {path}" for path in written)]
        return stages.Ending([*said, *table, *failures_of(run.failures)], bool(run.failures))

    return stages.ended("benchmark", compared)


_file = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
_file.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.benchmark", description=__doc__, parents=[_file])
    arguments(parser, day)
    return parser


if __name__ == "__main__":
    asked = _parser().parse_args()
    try:
        check(asked)
    except UsageError as problem:
        _parser().error(str(problem))
    checked("benchmark", asked.config, volcanoes=not asked.cases)
    _, own = _file.parse_known_args()
    sys.exit(finished(benchmark, asked.config, own))
