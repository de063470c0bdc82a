"""Every detector on a labelled set -> table and figures: ``python -m flows.benchmark -c FILE --train-until DATE ..``."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import stages
from flows.arguments import checked
from flows.recorded import counted, recorded
from insar_anomaly.tools import benchmark as comparison
from insar_anomaly.tools.benchmark.command import arguments


@flow(name="benchmark", validate_parameters=False, persist_result=False)
def benchmark(config: str, options: list[str]) -> State[Any]:
    """Ingest what is new, measure one system after the other on every stack, write the table."""
    given = _parser().parse_args(["-c", config, *options])
    out = Path(given.out)
    volcanoes = comparison.case_study_volcanoes() if given.cases else None
    with stages.opened(config, "benchmark", None, volcanoes) as (screening, run):
        for part in stages.batches(screening):
            counted(stages.ingest, part, run, None, name=stages.label("ingest", part))
        plan, said = comparison.plan(given, [stack for stack in screening.by_stack if screening.store.has(stack)])
        for system in plan.systems:
            counted(stages.measure, screening, run, plan, system, out, name=f"measure: {system}")
        written = comparison.write(out, plan, comparison.run(screening, run, plan, out))
    text = "\n".join([*said, written[0].read_text(encoding="utf-8"), *(f"written: {path}" for path in written)])
    return Failed(message=text) if run.failures else Completed(message=text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flows.benchmark", description=__doc__)
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration")
    arguments(parser, date.fromisoformat)
    return parser


if __name__ == "__main__":
    asked = _parser().parse_args()
    if not asked.cases and not (asked.train_until and asked.test_from):
        _parser().error("give --train-until and --test-from, or --cases")
    if asked.labels and not Path(asked.labels).is_file():
        _parser().error(f"--labels {asked.labels}: no such file")
    checked("benchmark", asked.config, volcanoes=not asked.cases)
    own = [word for word in sys.argv[1:] if word not in ("-c", "--config", asked.config)]
    state = recorded(benchmark, asked.config, own, return_state=True)
    print(state.message)
    sys.exit(0 if state.is_completed() else 1)
