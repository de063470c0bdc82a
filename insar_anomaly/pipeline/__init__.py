"""URIs in, URIs out: the one place that opens, calls a pure stage and commits.

``with open_installation(config) as s, s.run("nightly") as run: walk(night_stages(), s, run)``
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
from insar_anomaly.pipeline.order import Stage, fit_stages, ingest_stages, night_stages, period_asked, walk

__all__ = [
    "Installation",
    "Run",
    "Stage",
    "Watch",
    "assess",
    "batches",
    "deliver",
    "fit",
    "fit_stages",
    "flag",
    "ingest",
    "ingest_stages",
    "night_stages",
    "nightly",
    "open_installation",
    "period_asked",
    "score_rows",
    "storage_options",
    "summary",
    "walk",
]
