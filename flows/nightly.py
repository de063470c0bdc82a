"""Every night, every stack: ingest, score, flag, notify, digest. ``python -m flows.nightly -c FILE [--as-of DATE]``."""

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
from insar_anomaly.report.digest import lines


@flow(name="nightly", validate_parameters=False, persist_result=False)
def nightly(config: str, as_of: date | None = None, first: date | None = None, last: date | None = None) -> State[Any]:
    """Screen every stack of the catalogue; the flow fails where a stack did, after all others are done."""
    period = Period(first, last) if first or last else None
    with stages.opened(config, "nightly", as_of) as (screening, run):
        parts = stages.batches(screening)
        for part in parts:
            counted(stages.ingest, part, run, period, name=stages.label("ingest", part))
        for part in parts:
            counted(stages.score, part, run, period, name=stages.label("score", part))
        for part in parts:
            counted(stages.flag, part, run, name=stages.label("flag", part))
        counted(stages.deliver, screening, run, name="notify")
        digest = counted(stages.digest, screening, run, name="digest")
    text = "\n".join(lines(digest))
    if run.failures:
        return Failed(message=text, data=digest.as_dict())
    return Completed(message=text, data=digest.as_dict())


if __name__ == "__main__":
    given = parsed("nightly", __doc__)
    state = recorded(nightly, given.config, as_of=given.as_of, first=given.first, last=given.last, return_state=True)
    print(state.message)
    sys.exit(0 if state.is_completed() else 1)
