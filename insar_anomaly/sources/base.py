"""What a source is: it lists pairs, opens a volcano's window, and normalises sign and reference."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.stack.schema import Grid, Physics
from insar_anomaly.units import Platform


@dataclass(frozen=True)
class Listed:
    """A pair as a source lists it: its name, where its files are, a fingerprint that changes when one of these does, the
    perpendicular baseline in m (NaN = unknown), the files of its two acquisitions' modelled delay, if both have one, and the
    satellites of its two acquisitions."""

    pair: str
    phase_uri: str | None
    coherence_uri: str | None
    fingerprint: str
    baseline: float = float("nan")
    delay_uris: tuple[str, str] | None = None
    platforms: tuple[Platform, Platform] = (Platform.UNKNOWN, Platform.UNKNOWN)
    turned: bool = False
    """The reader turns its phase: the source counts from the later date."""
    utc_s: float = float("nan")
    """Time of the acquisitions, s after midnight UTC; NaN = unknown."""
    lacks: str = ""
    """Where a file of the pair is missing: what is there, what is not, and the remedy."""
    modified: float = float("nan")
    """When the newest of its files was written, seconds since 1970 UTC; NaN = unknown."""
    sizes: tuple[int | None, ...] = ()
    """Bytes of its files, in an order that is the same for every pair of the kind; empty or None = unknown."""
    source: int = 0
    """Its place among the sources that are joined; see `sources.joined`."""
    parts: tuple[str, ...] = ()
    """Further files of the pair, where several products cover it."""
    wavelength_m: float = float("nan")
    """Nominal radar wavelength, m, where the listing tells; the file's own counts when it is read."""


class Listing(NamedTuple):
    """What a source holds of a frame: its pairs, those that are listed a second time, what could not be listed (one
    line each, with its name and the remedy), of joined sources those that are out of reach (what they say), and what else
    is to be said."""

    pairs: list[Listed]
    twice: list[Listed]
    unlisted: Sequence[str] = ()
    away: Sequence[str] = ()
    warnings: Sequence[str] = ()
    bands: Sequence[Listed] = ()
    """Of joined sources, versions of listed pairs that are of another band; see `sources.bands`."""

    @property
    def complete(self) -> bool:
        """True where nothing was left out: only then is a pair that is missing here gone, or a changed one replaced."""
        return not (self.unlisted or self.away)


def newest(times: Iterable[float | None]) -> float:
    """The latest of some files' times (seconds since 1970 UTC); NaN where one of them is unknown, or there is none."""
    known = list(times)
    return float("nan") if None in known else max((one for one in known if one is not None), default=float("nan"))


class Window(NamedTuple):
    """A pair cut to a stack's grid: `phase` (y, x) float32 rad, positive away from the satellite with the earlier date as
    reference, NaN = no measurement; `coherence` (y, x) uint8, 1/255; perpendicular `baseline` in m, NaN = unknown."""

    phase: NDArray[Any]
    coherence: NDArray[Any]
    baseline: float
    physics: Physics = Physics()


Delays = dict[str, dict[str, NDArray[Any]]]
"""Modelled delay (y, x) float32 rad of a stack's pairs, to be subtracted from their phase: stack -> pair -> delay."""


StorageOptions = Mapping[str, Any]
"""fsspec's options for ``s3://`` URLs, as fsspec takes them."""


@runtime_checkable
class Stated(Protocol):
    """A source whose files do not say what their numbers mean: a person states it in the settings, and may correct it."""

    @property
    def convention(self) -> str:
        """Unit and sign as the settings state them, in words; the attribute ``sign`` of a stack that was made with them."""
        ...


class Source(Protocol):
    """A reader of one kind of archive. Cheap to send to a worker: it opens its file system where it is used."""

    def frames(self) -> list[str]:
        """Names of the frames that the archive holds."""
        ...

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame."""
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


@runtime_checkable
class Regridding(Protocol):
    """A source whose pairs may lie on another grid than the frame's layers. One that warps to a grid of its own is none."""

    def pair_grid(self, listed: Listed) -> Grid:
        """The whole grid of a pair's files, from one header."""
        ...

    def static_on(self, frame: str, grid: Grid, *, height: bool) -> xr.Dataset:
        """Static layers as `Source.static` gives them, resampled to this grid where theirs is another."""
        ...


SCHEMES = ("file", "s3", "http", "https")
"""Schemes of the URLs that `sources.archive` reads, and so every kind of this package. A path is a ``file``."""


@dataclass(frozen=True)
class Registration:
    """What `registry.SOURCES` holds of each kind: `open` makes the reader of an archive from what its [[source]] says, and
    fsspec's options.

    `open` must not reach for the archive: what cannot be reached is told when the reader is used. `looks_like` says from the
    names of a folder's entries whether they are of this layout; a kind without one is never suggested. `schemes` are those
    of the URLs that it can read; a URL of another one is refused before anything is opened.
    """

    open: Callable[[SourceSettings, StorageOptions], Source]
    looks_like: Callable[[Sequence[str]], bool] | None = None
    schemes: tuple[str, ...] = SCHEMES
