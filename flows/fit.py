"""Fit distributions, calibrate thresholds, publish both: ``python -m flows.fit -c FILE [--from DATE --to DATE]``."""

from __future__ import annotations

import sys
from datetime import date
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows import stages
from flows.arguments import parsed
from flows.recorded import counted, recorded
from insar_anomaly.names import Period


@flow(name="fit", validate_parameters=False, persist_result=False)
def fit(config: str, first: date | None = None, last: date | None = None, again: bool = False) -> State[Any]:
    """Ingest what is new, then fit and calibrate every stack on its pairs inside the period."""
    period = Period(first, last)
    with stages.opened(config, "fit", None) as (screening, run):
        parts = stages.batches(screening)
        for part in parts:
            counted(stages.ingest, part, run, None, name=stages.label("ingest", part))
        for part in parts:
            counted(stages.fit, part, run, period, again, name=stages.label("fit", part))
    words = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in run.counts.items() if number)
    blind = [f"{stack}: {why}" for stack, why in run.blind.items()]
    text = "\n  ".join([f"fit: {words}", *blind, *run.warnings])
    if run.failures:
        text = "\n".join([text, *(f"  {f.stack} ({f.stage}): {f.error}" for f in run.failures)])
        return Failed(message=text, data=dict(run.counts))
    return Completed(message=text, data=dict(run.counts))


if __name__ == "__main__":
    given = parsed("fit", __doc__)
    state = recorded(fit, given.config, first=given.first, last=given.last, again=given.again, return_state=True)
    print(state.message)
    sys.exit(0 if state.is_completed() else 1)
