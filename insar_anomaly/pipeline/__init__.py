"""URIs in, URIs out: the one place that opens, calls a pure stage and commits.

``with open_installation(config) as s, s.run("nightly") as run: ingest(s, run); assess(s, run); flag(s, run); deliver(s,
run)``
"""

from insar_anomaly.pipeline.assess import assess, score_rows
from insar_anomaly.pipeline.deliver import deliver
from insar_anomaly.pipeline.fit import fit
from insar_anomaly.pipeline.flag import flag
from insar_anomaly.pipeline.ingest import ingest
from insar_anomaly.pipeline.installation import (
    Installation,
    Run,
    Watch,
    batches,
    open_installation,
    storage_options,
)
from insar_anomaly.pipeline.night import nightly, summary

__all__ = [
    "Installation",
    "Run",
    "Watch",
    "assess",
    "batches",
    "deliver",
    "fit",
    "flag",
    "ingest",
    "nightly",
    "open_installation",
    "score_rows",
    "storage_options",
    "summary",
]
