"""Where interferograms come from: the readers, by name."""

from __future__ import annotations

from typing import Any

import fsspec

from insar_anomaly.errors import ConfigError
from insar_anomaly.sources.base import Source


def open_source(kind: str, url: str, storage: dict[str, Any]) -> Source:
    """The reader for a configured source. `storage` holds fsspec options for ``s3://``.

    Raises
    ------
    ValueError
        where the kind is unknown.
    """
    if kind != "licsar":
        raise ValueError(f"source kind {kind!r} is unknown; there is licsar")
    from insar_anomaly.sources.licsar import LicsarSource

    return LicsarSource(url, storage)


def check_source(url: str) -> None:
    """Raise ConfigError where no file system here understands the URL; nothing is opened."""
    protocol = url.split("://", 1)[0] if "://" in url else "file"
    try:
        fsspec.get_filesystem_class(protocol)
    except (ValueError, ImportError) as problem:
        raise ConfigError(f"{url}: {problem}; write a path, file:// or s3://bucket/prefix") from None
