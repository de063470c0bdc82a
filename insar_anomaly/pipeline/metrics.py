"""Metrics of the ledger's newest runs to where the configuration wants them. Nothing that fails here fails a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.errors import StoreFailed
from insar_anomaly.report import metrics

if TYPE_CHECKING:
    from insar_anomaly.config.sections import Metrics
    from insar_anomaly.ledger.ledger import Ledger


def publish(settings: Metrics, ledger: Ledger) -> list[str]:
    """Write the metrics file and push, where these are set; returns what did not work, in words with the remedy."""
    if not settings.file and not settings.push_url:
        return []
    try:
        text = metrics.exposition([(run, ledger.costs(run.run)) for run in ledger.newest_runs()])
    except StoreFailed as problem:
        return [f"no metrics: {problem}"]
    said = []
    if settings.file:
        try:
            metrics.write(text, Path(settings.file))
        except OSError as problem:
            said.append(f"[metrics] file {settings.file}: {problem.strerror}; name a file in a folder that can be written")
    if settings.push_url:
        try:
            metrics.push(text, settings.push_url)
        except metrics.NotPushed as problem:
            said.append(f"{problem}; check [metrics] push_url or --metrics-url")
    return said
