"""Every night, every stack: ingest, score, flag, notify, digest. ``python -m flows.nightly -c FILE [--as-of DATE]``."""

from __future__ import annotations

import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import stages
from flows.arguments import ConfigFile, Day, parsed
from flows.recorded import counted, finished
from insar_anomaly.pipeline import night_stages, period_asked
from insar_anomaly.report.digest import lines


@flow(name="nightly", persist_result=False)
def nightly(config: ConfigFile, as_of: Day | None = None, first: Day | None = None, last: Day | None = None) -> State[Any]:
    """Screen every stack of the catalogue; the flow fails where a stack did, after all others are done."""

    def night() -> stages.Ending:
        period = period_asked(first, last, as_of, called=("first", "last"))
        with stages.opened(config, "nightly", as_of) as (screening, run):
            stages.walk(night_stages(period), screening, run)
            digest = counted(stages.digest, screening, run, name="digest")
        return stages.Ending(lines(digest), bool(run.failures), digest.as_dict())

    return stages.ended("nightly", night)


if __name__ == "__main__":
    given = parsed("nightly", __doc__)
    sys.exit(finished(nightly, given.config, as_of=given.as_of, first=given.first, last=given.last))
