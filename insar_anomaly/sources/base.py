"""What a source is: it lists pairs, opens a volcano's window, and normalises sign and reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.stack.schema import Grid


@dataclass(frozen=True)
class Listed:
    """A pair as a source lists it: its name, where its files are, a fingerprint that changes when one of these does, the
    perpendicular baseline in m (NaN = unknown), and the files of its two acquisitions' modelled delay, if both have one."""

    pair: str
    phase_uri: str | None
    coherence_uri: str | None
    fingerprint: str
    baseline: float = float("nan")
    delay_uris: tuple[str, str] | None = None


Window = tuple[NDArray[Any], NDArray[Any], float]
"""Phase (y, x) float32 rad positive away, coherence (y, x) uint8, perpendicular baseline in m (NaN = unknown)."""


Delays = dict[str, dict[str, NDArray[Any]]]
"""Modelled delay (y, x) float32 rad of a stack's pairs, to be subtracted from their phase: stack -> pair -> delay."""


StorageOptions = Mapping[str, Any]
"""fsspec's options for ``s3://`` URLs, as fsspec takes them."""


class Source(Protocol):
    """A reader of one kind of archive. Cheap to send to a worker: it opens its file system where it is used."""

    def frames(self) -> list[str]:
        """Names of the frames that the archive holds."""
        ...

    def pairs(self, frame: str) -> tuple[list[Listed], list[Listed]]:
        """Pairs of a frame, and those listed a second time."""
        ...

    def grid(self, frame: str) -> Grid:
        """The frame's whole grid, from as little reading as possible: `doctor` compares every volcano with it."""
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


@dataclass(frozen=True)
class Registration:
    """What `registry.SOURCES` holds of each kind: `open` makes the reader of an archive from its URL and fsspec's options.

    `open` must not reach for the archive: what cannot be reached is told when the reader is used.
    """

    open: Callable[[str, StorageOptions], Source]
