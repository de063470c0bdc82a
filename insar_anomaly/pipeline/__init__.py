"""URIs in, URIs out: the one place that opens, calls a pure stage and commits.

``with screening(config) as s, s.run("nightly", as_of) as run: ingest(s, run); score(s, run); flag(s, run); deliver(s, run)``
"""

from insar_anomaly.pipeline._fit import fit
from insar_anomaly.pipeline._flags import flag
from insar_anomaly.pipeline._ingest import ingest
from insar_anomaly.pipeline._night import nightly, summary
from insar_anomaly.pipeline._notices import deliver
from insar_anomaly.pipeline._score import score, score_rows
from insar_anomaly.pipeline._screening import Failure, Period, Run, Screening, Watch, batches, screening, storage_options

__all__ = [
    "Failure",
    "Period",
    "Run",
    "Screening",
    "Watch",
    "batches",
    "deliver",
    "fit",
    "flag",
    "ingest",
    "nightly",
    "score",
    "score_rows",
    "screening",
    "storage_options",
    "summary",
]
