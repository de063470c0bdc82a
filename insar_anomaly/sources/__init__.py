"""Where interferograms come from: list, open a window, normalise sign and reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import fsspec
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.catalogue import Box
from insar_anomaly.errors import ConfigError
from insar_anomaly.schema import Grid, Listed

Window = tuple[NDArray[Any], NDArray[Any], float]
"""Phase (y, x) float32 rad positive away, coherence (y, x) uint8, perpendicular baseline in m (NaN = unknown)."""

Delays = dict[str, dict[str, NDArray[Any]]]
"""Modelled delay (y, x) float32 rad of a stack's pairs, to be subtracted from their phase: stack -> pair -> delay."""


class Source(Protocol):
    """A reader of one kind of archive. Cheap to send to a worker: it opens its file system where it is used."""

    def frames(self) -> list[str]:
        """Names of the frames that the archive holds."""
        ...

    def pairs(self, frame: str) -> tuple[list[Listed], list[Listed]]:
        """Pairs of a frame, and those listed a second time."""
        ...

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid and static layers of a box, cut to the frame."""
        ...

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """The windows of several stacks, the pair's files opened once."""
        ...

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:
        """The modelled delays of the stacks' pairs that have one, and what was wrong with files that could not be used."""
        ...


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
