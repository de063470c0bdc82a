"""History beside the nights: ``python -m flows.backfill -c FILE [--from DATE --to DATE] [--frame FRAME] [--replay]``."""

from __future__ import annotations

import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import stages
from flows.arguments import ConfigFile, Day, YesOrNo, parsed
from flows.recorded import finished
from insar_anomaly.errors import UsageError
from insar_anomaly.names import Period
from insar_anomaly.pipeline import period_asked
from insar_anomaly.pipeline.backfill import backfill_stages, of_frames
from insar_anomaly.pipeline.outcome import failures_of, words_of


@flow(name="backfill", persist_result=False)
def backfill(
    config: ConfigFile,
    first: Day | None = None,
    last: Day | None = None,
    as_of: Day | None = None,
    volcanoes: list[int] | None = None,
    frames: list[str] | None = None,
    replay: YesOrNo = False,
    send: YesOrNo = False,
) -> State[Any]:
    """Read and score a period of history; with `replay`, write the flags and notices that its nights would have given."""

    def filled() -> stages.Ending:
        if send and not replay:
            raise UsageError("send delivers the notices of a replay: give replay too")
        period = period_asked(first, last, as_of, called=("first", "last")) or Period()
        with stages.opened(config, "backfill", as_of, only=volcanoes or ()) as (screening, run):
            until = min(day for day in (period.last, run.as_of) if day is not None)
            mine = of_frames(screening, frames or ())
            split = bool(mine.workers.gpu_wanted())
            work = backfill_stages(Period(period.first, until), replay=replay, send=send, split=split)
            stages.walk(work, mine, run)
        return stages.Ending([*words_of(run, "backfill"), *failures_of(run.failures)], bool(run.failures), run.counted)

    return stages.ended("backfill", filled)


if __name__ == "__main__":
    given = parsed("backfill", __doc__)
    asked = {"first": given.first, "last": given.last, "frames": given.frame, "replay": given.replay, "send": given.send}
    asked |= {"as_of": given.as_of, "volcanoes": given.volcano}
    sys.exit(finished(backfill, given.config, **asked))
