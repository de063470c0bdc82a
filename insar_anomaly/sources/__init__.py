"""Where interferograms come from: the readers, by name. `registry.SOURCES` is the table of their kinds."""

from __future__ import annotations

import fsspec

from insar_anomaly.errors import ConfigError
from insar_anomaly.registry import SOURCES
from insar_anomaly.sources.base import Registration, Source, StorageOptions


def open_source(kind: str, url: str, storage: StorageOptions) -> Source:
    """The reader for a configured source. `storage` holds fsspec options for ``s3://``; other URLs go without.

    Raises
    ------
    ValueError
        where the kind is unknown; the message lists the kinds.
    PluginFailed
        where the kind is another package's and cannot be used.
    """
    return SOURCES.load(kind, Registration).open(url, storage if url.startswith("s3://") else {})


def check_source(kind: str, url: str) -> None:
    """Raise UsageError where the kind cannot be used or no file system here understands the URL; nothing is opened."""
    if kind not in SOURCES.own:  # the package's own readers are imported when they are used: GDAL takes its time
        SOURCES.load(kind, Registration)
    protocol = url.split("://", 1)[0] if "://" in url else "file"
    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as problem:
        raise ConfigError(f"{url}: {problem}; write a path, file:// or s3://bucket/prefix") from None
