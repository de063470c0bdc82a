"""Where interferograms come from: the readers, by name. `registry.SOURCES` is the table of their kinds."""

from __future__ import annotations

from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import ConfigError
from insar_anomaly.files.mistakes import shown
from insar_anomaly.registry import SOURCES
from insar_anomaly.sources.base import SCHEMES, Registration, Source, StorageOptions

_FORMS = {"file": "a path, file://", "s3": "s3://bucket/prefix", "https": "https:// of an index page"}


def open_source(settings: SourceSettings, storage: StorageOptions) -> Source:
    """The reader for a [[source]]. `storage` holds fsspec options for ``s3://``; other URLs go without.

    Raises
    ------
    ValueError
        where the kind is unknown; the message lists the kinds.
    PluginFailed
        where the kind is another package's and cannot be used.
    """
    return SOURCES.load(settings.kind, Registration).open(settings, storage if settings.url.startswith("s3://") else {})


def check_source(kind: str, url: str) -> None:
    """Raise UsageError where the kind cannot be used, or cannot read URLs of this scheme; nothing is opened."""
    # the package's own readers are imported when they are used: GDAL takes its time
    known = SCHEMES if kind in SOURCES.own else SOURCES.load(kind, Registration).schemes
    scheme = url.split("://", 1)[0] if "://" in url else "file"
    if scheme not in known:
        forms = [_FORMS.get(one, f"{one}://") for one in known]
        raise ConfigError(
            f"{shown(url)}: kind {kind} reads no {scheme}://; write {', '.join(forms)}, or copy the files there"
        )
