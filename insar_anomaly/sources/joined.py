"""Several [[source]] that hold one frame, as one source.

A pair that several hold is taken from one of them, by this rule:

1. A pair that is whole comes before one that lacks a file.
2. Where the sizes of all its files are the same, it is a copy, and the first [[source]] of the configuration counts. So
   nothing changes where a source is added, below the others, that holds nothing new.
3. Else the version whose files were written last counts, where that is known of both; where it is not, the first [[source]].

A version of another band is no version of the pair: it is listed apart, and the stack says which of the two it takes.

Static layers come from the first source that has them whole. A source that is out of reach is named in the listing: what
only it holds is not gone, and what others hold in its place is not new.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.errors import HeightUnusable, NotInFrame, SourceUnavailable, StackFailed
from insar_anomaly.sources.bands import another_band
from insar_anomaly.sources.base import Delays, Listed, Listing, Regridding, Source, Window
from insar_anomaly.sources.foreign import guarded
from insar_anomaly.stack.schema import Grid


@dataclass(frozen=True)
class JoinedSource:
    """Several sources as one; see the module's text.

    Parameters
    ----------
    sources : in the order of the configuration
    away : what sources say that are out of reach and might hold the frame too
    """

    sources: tuple[Source, ...]
    away: tuple[str, ...] = ()

    def frames(self) -> list[str]:
        """Names of the frames that any of them holds. Raises SourceUnavailable where one cannot be reached."""
        return sorted({frame for source in self.sources for frame in source.frames()})

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame, each from the source that the rule names (`base.Listed.source`).

        Raises
        ------
        NotInFrame
            where none of them has the frame.
        SourceUnavailable
            where none of them can be reached.
        """
        found, away, missing = self._listings(frame)
        if not found:
            raise SourceUnavailable(away[0]) if away else missing[0]
        versions: dict[str, list[Listed]] = {}
        for number, listing in found:
            for one in listing.pairs:
                versions.setdefault(one.pair, []).append(replace(one, source=number))
        twice = {one.pair: one for _, listing in found for one in listing.twice}
        unlisted = dict.fromkeys(words for _, listing in found for words in listing.unlisted)
        away = list(dict.fromkeys((*self.away, *away)))
        warnings = tuple(dict.fromkeys(words for _, listing in found for words in listing.warnings))
        pairs, bands = [], []
        for several in versions.values():
            others = [one for one in several if another_band(one.wavelength_m, several[0].wavelength_m)]
            pairs.append(chosen([one for one in several if one not in others]))
            bands += [chosen(others)] if others else []
        return Listing(pairs, list(twice.values()), tuple(unlisted), away, warnings, bands)

    def _listings(self, frame: str) -> tuple[list[tuple[int, Listing]], list[str], list[StackFailed]]:
        found, away, missing = [], [], []
        for number, source in enumerate(self.sources):
            try:
                found.append((number, guarded(f"source {number + 1} of frame {frame}", source.pairs, frame)))
            except SourceUnavailable as problem:
                away.append(str(problem))
            except NotInFrame as problem:  # it is gone since the frames were listed
                missing.append(problem)
        return found, away, list(missing)

    def grid(self, frame: str) -> Grid:
        """The frame's whole grid, from the first source that can tell it; what the first says where none can."""
        problems: list[Exception] = []
        for source in self.sources:
            try:
                return source.grid(frame)
            except (StackFailed, SourceUnavailable) as problem:
                problems.append(problem)
        raise problems[0]

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid and static layers of a box, from the first source that has them whole; else from the first that has any.

        Raises
        ------
        MissingLayer, NotInFrame, SourceUnavailable
            what the first source says, where none has what is needed.
        """
        found: list[xr.Dataset] = []
        problems: list[Exception] = []
        for source in self.sources:
            try:
                layers = source.static(frame, box, height=height)
            except (StackFailed, SourceUnavailable) as problem:
                problems.append(problem)
                continue
            if not layers.attrs.get("left_out") and layers.attrs.get("look") != "nominal":
                return layers
            found.append(layers)
        if not found:
            away = [one for one in problems if isinstance(one, SourceUnavailable)]
            # a source that is away may have the height that is broken here
            raise away[0] if away and isinstance(problems[0], HeightUnusable) else problems[0]
        return found[0]

    def pair_grid(self, listed: Listed) -> Grid:
        """The whole grid of a pair's files; see `sources.base.Regridding`, which every one of the sources has to be."""
        source = self.sources[listed.source]
        assert isinstance(source, Regridding)
        return source.pair_grid(listed)

    def static_on(self, frame: str, grid: Grid, *, height: bool) -> xr.Dataset:
        """Static layers on a given grid, from the first source that has what is needed; its errors are the first one's."""
        problems: list[Exception] = []
        for source in self.sources:
            assert isinstance(source, Regridding)
            try:
                return source.static_on(frame, grid, height=height)
            except (StackFailed, SourceUnavailable) as problem:
                problems.append(problem)
        raise problems[0]

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """The windows of several stacks, from the pair's own source; its errors are that source's."""
        return self.sources[listed.source].read(listed, grids)

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:
        """The modelled delays of the stacks' pairs, each pair's from its own source; see `sources.base.Source`."""
        out: Delays = {}
        problems: list[str] = []
        for number, source in enumerate(self.sources):
            mine = {stack: [one for one in listed if one.source == number] for stack, listed in wanted.items()}
            if any(mine.values()):
                found, wrong = source.delays(mine, grids)
                problems += wrong
                for stack, delays in found.items():
                    out.setdefault(stack, {}).update(delays)
        return out, problems


def chosen(versions: Sequence[Listed]) -> Listed:
    """The version of a pair that counts, by the rule in the module's text; the baseline from another where it has none.

    Parameters
    ----------
    versions : at least one, in the order of the configuration
    """
    best = versions[0]
    for other in versions[1:]:
        if _whole(best) != _whole(other):
            best = other if _whole(other) else best
        elif not _copies(best, other) and other.modified > best.modified:  # False where a time is NaN
            best = other
    known = [one.baseline for one in versions if np.isfinite(one.baseline)]
    return replace(best, baseline=known[0]) if known and not np.isfinite(best.baseline) else best


def _whole(one: Listed) -> bool:
    return one.phase_uri is not None and one.coherence_uri is not None and not one.lacks


def _copies(one: Listed, other: Listed) -> bool:
    return bool(one.sizes) and None not in one.sizes and one.sizes == other.sizes
