"""Fit distributions, calibrate thresholds, publish both: ``python -m flows.fit -c FILE [--from DATE --to DATE]``."""

from __future__ import annotations

import sys
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows import stages
from flows.arguments import ConfigFile, Day, YesOrNo, parsed
from flows.recorded import finished
from insar_anomaly.names import Period
from insar_anomaly.pipeline import fit_stages, period_asked
from insar_anomaly.pipeline.outcome import failures_of, words_of


@flow(name="fit", persist_result=False)
def fit(
    config: ConfigFile,
    first: Day | None = None,
    last: Day | None = None,
    again: YesOrNo = False,
    ingest: YesOrNo = True,
) -> State[Any]:
    """Ingest what is new (unless told not to), then fit and calibrate every stack on its pairs inside the period."""

    def fitted() -> stages.Ending:
        period = period_asked(first, last, called=("first", "last")) or Period()
        with stages.opened(config, "fit", None) as (screening, run):
            stages.walk(fit_stages(period, again=again, new_pairs=ingest), screening, run)
        words = [*words_of(run, "fit"), *failures_of(run.failures)]
        return stages.Ending(words, bool(run.failures), run.counted)

    return stages.ended("fit", fitted)


if __name__ == "__main__":
    given = parsed("fit", __doc__)
    asked = {"first": given.first, "last": given.last, "again": given.again, "ingest": not given.no_ingest}
    sys.exit(finished(fit, given.config, **asked))
