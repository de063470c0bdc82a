"""One pair of a source, read from end to end as a night reads it, with its physics."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import InsarAnomalyError, PairRejected, SourceUnavailable
from insar_anomaly.names import Pair, by_date
from insar_anomaly.sources.base import Listed, Listing, Source, Window
from insar_anomaly.sources.foreign import guarded
from insar_anomaly.sources.listing import precheck_listing
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.coverage import coverage_of
from insar_anomaly.stack.prechecks import precheck
from insar_anomaly.stack.schema import Grid, Physics
from insar_anomaly.tiles.trends import needs_height
from insar_anomaly.tools.doctor.finding import Finding, within
from insar_anomaly.units import Platform

_NAMED = 5
"""Things that are named of those that cannot be listed."""
_TRIED = 3
"""Newest pairs that are tried before a source is said to have none that can be read."""
_SIGNS = {
    1: "phase positive away from the satellite, as the provider writes it",
    -1: "phase turned by the reader, to be positive away from the satellite",
    0: "sign of the phase not written down",
}


@dataclass(frozen=True)
class PairRead:
    """What a pair is like; None where nobody says.

    Times of listing and reading in s, wavelength in m, `utc_s` in s after midnight; `grid` is west, north, dx, dy in
    degrees, `shape` (y, x); measured parts and coherence are 0 to 1.
    """

    pair: str
    wavelength_m: float | None
    sign: int
    platforms: tuple[str, str]
    utc_s: float | None
    shape: tuple[int, int]
    grid: tuple[float, ...]
    box_measured: float
    summit_measured: float
    mean_coherence: float | None
    pairs: int = 0
    listing_s: float = 0.0
    read_s: float = 0.0

    @property
    def words(self) -> str:
        """The same for people."""
        west, north, dx, dy = self.grid
        unknown = Platform.UNKNOWN.words
        known = [one for one in self.platforms if one != unknown]
        parts = [
            f"{counted(self.pairs, 'pair')} listed in {self.listing_s:.2g} s",
            f"{self.pair} read in {self.read_s:.2g} s",
            f"wavelength {'unknown' if self.wavelength_m is None else f'{self.wavelength_m * 100:.3f} cm'}",
            _SIGNS.get(self.sign, "sign unknown"),
            f"satellites {' and '.join(self.platforms) if known else unknown}",
            "time of day unknown" if self.utc_s is None else f"{time.strftime('%H:%M:%S', time.gmtime(self.utc_s))} UTC",
            f"{self.shape[0]} x {self.shape[1]} pixels of {dy:.4g} x {dx:.4g} degrees from {north:.4f} N, {west:.4f} E",
            f"{self.box_measured:.0%} of the box and {self.summit_measured:.0%} of the summit measured",
            "no coherence" if self.mean_coherence is None else f"mean coherence {self.mean_coherence:.2f}",
        ]
        return "; ".join(parts)


@dataclass(frozen=True)
class Sample:
    """A frame of a source as a night uses it, for one of its volcanoes.

    Parameters
    ----------
    source : holds the pairs
    layers : holds the grid and the static layers: all sources of the frame, joined
    what : the source and the frame in the finding
    """

    source: Source
    layers: Source
    volcano: Volcano
    frame: str
    what: str


def examine_pair(config: Config, sample: Sample, *, limit_s: float) -> Iterator[Finding]:
    """List a frame, say what of it cannot be used, and read its newest pair for a volcano.

    Parameters
    ----------
    limit_s : longest time in seconds for each step
    """
    frame, what = sample.frame, sample.what
    try:
        ask = partial(guarded, what, sample.source.pairs, frame)
        listing, listing_s = within(limit_s, f"listing of {frame}", ask)
        yield from _unusable(listing, what)
        yield _read(config, sample, listing, listing_s, limit_s=limit_s)
    except InsarAnomalyError as problem:
        yield Finding(what, False, str(problem))


def _read(config: Config, sample: Sample, listing: Listing, listing_s: float, *, limit_s: float) -> Finding:
    """The newest pair that is not of the future, read from end to end. Raises what is wrong with it."""
    frame, what, volcano, listed = sample.frame, sample.what, sample.volcano, listing.pairs
    usable = [one for one in sorted(listed, key=lambda one: by_date(one.pair)) if _whole(one) and not _to_come(one)]
    if not usable:
        words = f"{counted(len(listed), 'pair')} listed in {listing_s:.2g} s, none of which has all its files"
        return Finding(what, False, words)
    height = needs_height(config.preprocess.remove)
    ask = partial(guarded, what, sample.layers.static, frame, volcano.box, height=height)
    grid = Grid.of(within(limit_s, f"static layers of {frame}", ask)[0])
    one, window, read_s = _first_readable(sample.source, usable[: -_TRIED - 1 : -1], grid, limit_s=limit_s)
    read = _described(one.pair, window, volcano=volcano, grid=grid)
    read = replace(read, pairs=len(listed), listing_s=round(listing_s, 3), read_s=round(read_s, 3))
    return Finding(what, True, read.words + _rejection(config, one, window), asdict(read))


def _unusable(listing: Listing, what: str) -> Iterator[Finding]:
    """What is in the frame and cannot be listed, and pairs of the future."""
    if listing.unlisted:
        several = f"{counted(len(listing.unlisted), 'thing')} left out of the listing"
        yield Finding(what, False, f"{several}: {'; '.join(listing.unlisted[:_NAMED])}", {"unlisted": [*listing.unlisted]})
    if future := sorted(one.pair for one in listing.pairs if _to_come(one)):
        words = f"{counted(len(future), 'pair')} of the future, first {future[0]}; correct its name, or remove it"
        yield Finding(what, False, words, {"future": future})


def _to_come(one: Listed) -> bool:
    pair = Pair.parse(one.pair)
    return pair is not None and pair.last > datetime.now(UTC).date() + timedelta(days=1)  # a clock may be wrong by hours


def _described(pair: str, window: Window, *, volcano: Volcano, grid: Grid) -> PairRead:
    """What a window says of itself."""
    coverage = coverage_of(window.phase, grid, volcano.box, (volcano.lat, volcano.lon))
    coherent = window.coherence[np.isfinite(window.phase)]
    physics: Physics = window.physics
    return PairRead(
        pair=pair,
        wavelength_m=_known(physics.wavelength_m),
        sign=physics.sign,
        platforms=(Platform(physics.platforms[0]).words, Platform(physics.platforms[1]).words),
        utc_s=_known(physics.utc_s),
        shape=grid.shape,
        grid=tuple(grid.attribute),
        box_measured=round(coverage.box, 3),
        summit_measured=round(coverage.summit, 3),
        mean_coherence=round(float(coherent.mean()) / 255, 3) if coherent.size else None,
    )


def _whole(one: Listed) -> bool:
    try:
        precheck_listing(one)
    except PairRejected:
        return False
    return True


def _first_readable(source: Source, pairs: Sequence[Listed], grid: Grid, *, limit_s: float) -> tuple[Listed, Window, float]:
    """The first of these pairs that can be read, and the seconds that took. Raises what is wrong with the last of them."""
    why: InsarAnomalyError = SourceUnavailable("there is no pair to read")
    for one in pairs:
        try:
            ask = partial(guarded, str(one.phase_uri), source.read, one, {"": grid})
            windows, seconds = within(limit_s, f"reading of {one.phase_uri}", ask)
        except PairRejected as rejection:
            why = rejection
            continue
        return one, windows[""], seconds
    raise why


def _rejection(config: Config, one: Listed, window: Window) -> str:
    """What a night would say of the pair; nothing where it would take it."""
    limits = {"min_valid": config.ingest.min_valid, "min_coherence": config.ingest.min_coherence}
    try:
        precheck(window.phase, window.coherence, uri=str(one.phase_uri), **limits)
    except PairRejected as rejection:
        return f"; a night would reject it: {rejection}"
    return ""


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
