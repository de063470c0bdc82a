"""URIs in, URIs out: the one place that opens, calls a pure stage and commits.

``with open_installation(config) as s, s.run("nightly") as run: walk(night_stages(), s, run)``
"""

from insar_anomaly.pipeline.assess import score_rows
from insar_anomaly.pipeline.installation import (
    Installation,
    batches,
    open_installation,
    storage_options,
)
from insar_anomaly.pipeline.night import nightly, summary
from insar_anomaly.pipeline.order import (
    assess,
    deliver,
    fit,
    fit_stages,
    flag,
    ingest,
    ingest_stages,
    night_stages,
    period_asked,
    restack,
    walk,
    walk_whole,
)
from insar_anomaly.pipeline.run import Run, Watch
from insar_anomaly.pipeline.spread import Spread
from insar_anomaly.pipeline.stage import Scope, Stage

__all__ = [
    "Installation",
    "Run",
    "Scope",
    "Spread",
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
    "restack",
    "score_rows",
    "storage_options",
    "summary",
    "walk",
    "walk_whole",
]
