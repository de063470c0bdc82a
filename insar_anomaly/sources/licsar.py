"""LiCSAR archives on any fsspec URL, read by windows.

`licsar_layout` says where a frame's folder is. It holds ``interferograms/<pair>/<pair>.geo.unw.tif`` and ``.geo.cc.tif`` (or
``GEOC`` for ``interferograms``), and static layers in ``metadata/<frame>.geo.hgt.tif`` (or ``GEOC/``); optional beside it
``.geo.E.tif``, ``.geo.N.tif``, ``.geo.U.tif`` (look vector), ``.geo.landmask.tif`` (0 = water), ``baselines`` and
``metadata.txt``. LiCSAR's unwrapped phase is positive away from the satellite with the first date as reference; 0 means no
data. With the earlier date first, as LiCSAR names its pairs, that is the sign that stacks have, and nothing is turned. The
satellites of a pair are not written down: they follow from the frame's track and the dates, see `sources.orbits`.

GACOS: an acquisition may have ``<frame>/epochs/YYYYMMDD/YYYYMMDD.sltd.geo.tif``, as on the portal, or
``<frame>/GACOS/YYYYMMDD.sltd.geo.tif``, as LiCSBAS downloads it. It is the slant total delay in rad, larger where the way is
longer, 0 = no data; a pair's is the later acquisition's minus the earlier one's, and is subtracted from the phase. Read in
``LiCSBAS03op_GACOS.py`` 1.5.10 (LiCSBAS2) and in licsar_proc's ``make_gacos_ifg``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import MissingLayer, NotInFrame, NotNow, PairRejected, SourceUnavailable
from insar_anomaly.names import by_date, direction
from insar_anomaly.sources import licsar_layout as layout
from insar_anomaly.sources import licsar_listing, licsar_places, licsar_static, looks_like
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.base import Delays, Listed, Listing, Registration, StorageOptions, Window
from insar_anomaly.sources.grid import cut, grid_of, most_common, resampled, upright, window
from insar_anomaly.sources.licsar_layout import OF_A_FRAME, physics_of
from insar_anomaly.sources.numbers import PHASE as PHASE_NUMBERS
from insar_anomaly.sources.numbers import read_coherence, read_numbers
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import Platform

T = TypeVar("T", bound=np.generic)

_SAMPLED = 5
"""Pairs whose headers tell the frame's grid."""


@dataclass(frozen=True)
class LicsarSource:
    """A LiCSAR-layout archive.

    Parameters
    ----------
    url : folder of the frames or of their tracks, any fsspec URL, or an index page
    storage : options of its file system
    coherence_full : value that stands for full coherence; None: 255 for integers, as LiCSAR writes them, 1 for floats
    """

    url: str
    storage: StorageOptions = field(default_factory=dict)
    coherence_full: float | None = None

    def frames(self) -> list[str]:
        """Names of the frames' folders: those in the root, in the tracks' folders, and in the tracks of each mission.

        Raises
        ------
        SourceUnavailable
            where the URL cannot be listed.
        WrongFolder
            where it leads into a frame, or holds another layout; the text has the lines to write.
        """
        return licsar_places.frames(self._archive)

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame in one listing, and pairs that are in a second folder too (named ``pair (folder)``).

        Raises
        ------
        NotInFrame
            where the archive has no such frame, with the nearest names; or where its folder holds another layout.
        """
        archive, home = self._archive, licsar_places.home(self._archive, frame)
        found = licsar_listing.pairs(archive, home, frame)
        nothing = not (found.pairs or found.unlisted)
        if nothing and (wrong := looks_like.no_frame(archive, "licsar", home, OF_A_FRAME)):
            raise NotInFrame(wrong)
        return found

    def grid(self, frame: str) -> Grid:
        """The frame's whole grid: that of most of a few pairs, by their headers; the height's counts as one more.

        Raises
        ------
        MissingLayer
            where that file is unusable.
        NotInFrame
            where the archive has no such frame, or nothing in it yet.
        """
        return self._grid(frame, licsar_static.uris(self._archive, licsar_places.home(self._archive, frame), frame))

    def _grid(self, frame: str, layers: Mapping[str, str]) -> Grid:
        every = self.pairs(frame).pairs
        held = [one.phase_uri for one in sorted(every, key=lambda one: by_date(one.pair)) if one.phase_uri]
        step = max(1, len(held) // _SAMPLED)
        found, wrong = [], ""
        for uri in [*held[::-step][:_SAMPLED], *([layers["hgt"]] if "hgt" in layers else [])]:
            try:
                found.append(self._frame_grid(uri))
            except (PairRejected, NotNow) as problem:
                wrong = getattr(problem, "detail", str(problem))
        if found:
            return most_common(found)
        if wrong:
            raise MissingLayer(f"{wrong}; nothing else tells the frame's grid")
        raise NotInFrame(f"{self.url}/{frame} holds no interferogram and no height: its grid is unknown; wait for data")

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, height, water and look vector of the box, cut to the frame; see `stack.schema.STACK`.

        Parameters
        ----------
        height : True where the settings need the terrain's height

        Raises
        ------
        MissingLayer
            where the height is needed and missing or unusable, or nothing tells the frame's grid.
        NotInFrame
            where the box does not touch the frame.
        """
        home = licsar_places.home(self._archive, frame)
        layers = licsar_static.uris(self._archive, home, frame)
        grid = cut(self._grid(frame, layers), box, what=f"{frame} in {self.url}")
        return self._static(home, frame, grid, height=height)

    def static_on(self, frame: str, grid: Grid, *, height: bool) -> xr.Dataset:
        """The same on a given grid.

        Raises
        ------
        MissingLayer
            as `static` does.
        """
        return self._static(licsar_places.home(self._archive, frame), frame, grid, height=height)

    def pair_grid(self, listed: Listed) -> Grid:
        """The whole grid of a pair's phase, from its header.

        Raises
        ------
        PairRejected
            UNREADABLE, WRONG_CRS or ROTATED, naming the file.
        """
        assert listed.phase_uri is not None
        return self._frame_grid(listed.phase_uri)

    def _static(self, home: str, frame: str, grid: Grid, *, height: bool) -> xr.Dataset:
        layers = licsar_static.uris(self._archive, home, frame)
        if "hgt" not in layers and height:
            wanted = f"{self._archive.uri(home)}/metadata/{frame}.geo.hgt.tif"
            raise MissingLayer(f"{wanted} is missing; add it, or leave height out of [preprocess] remove")
        found = licsar_static.static(self._archive, layers, grid, height=height, way=direction(frame) or "A")
        return found.assign_attrs(
            source=f"licsar {self.url}/{frame}",
            sign="as LiCSAR writes it, not turned",
            wavelength_m=physics_of(home).wavelength_m,
        )

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """Phase and coherence of several stacks' windows, each file opened once; see `sources.base.Window`.

        Raises
        ------
        PairRejected
            UNREADABLE, WRONG_CRS, ROTATED or WRONG_GRID, naming the file.
        SourceUnavailable
            where storage, not the file, is at fault.
        """
        assert listed.phase_uri is not None
        assert listed.coherence_uri is not None
        phase_uri, coherence_uri = listed.phase_uri, listed.coherence_uri
        phase = self._windows(phase_uri, grids, partial(read_numbers, what=PHASE_NUMBERS, uri=phase_uri))
        full = self.coherence_full
        coherence = self._windows(coherence_uri, grids, partial(read_coherence, full=full, uri=coherence_uri))
        for radians in phase.values():
            radians[radians == 0] = np.nan
            if listed.turned:
                np.negative(radians, out=radians)
        physics = replace(physics_of(phase_uri), sign=-1 if listed.turned else 1, utc_s=listed.utc_s)
        if Platform.UNKNOWN in physics.platforms:  # LiCSAR does not say which satellite of Sentinel-1 it was
            physics = replace(physics, platforms=listed.platforms)
        return {stack: Window(phase[stack], coherence[stack], listed.baseline, physics) for stack in grids}

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:
        """Modelled delays of the stacks' pairs whose two acquisitions have one; see `sources.base.Source`.

        Each acquisition's file is opened once for all of them. One that cannot be used, whatever the cause, is as good as
        absent: no pair depends on it.
        """
        held: dict[str, dict[str, NDArray[np.float32]]] = {}
        problems = []
        for uri in {uri: None for listed in wanted.values() for one in listed for uri in one.delay_uris or ()}:
            try:
                held[uri] = self._epochs(uri, {stack: grids[stack] for stack in wanted})
            except (PairRejected, NotNow, SourceUnavailable) as problem:
                problems.append(f"delay left out: {problem}")
        out: Delays = {}
        for stack, listed in wanted.items():
            for one in listed:
                if one.delay_uris and all(uri in held for uri in one.delay_uris):
                    first, last = (held[uri][stack] for uri in one.delay_uris)
                    if np.isfinite(last - first).any():
                        out.setdefault(stack, {})[one.pair] = last - first
        return out, problems

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _archive(self) -> Archive:
        return Archive(self.url, self.storage)

    def _frame_grid(self, uri: str) -> Grid:
        with self._archive.opened(uri) as tif:
            return grid_of(tif, uri)

    def _windows(
        self, uri: str, grids: Mapping[str, Grid], read: Callable[[rasterio.DatasetReader, Pixels], NDArray[T]]
    ) -> dict[str, NDArray[T]]:
        with self._archive.opened(uri) as tif:
            here = grid_of(tif, uri)
            return {stack: upright(tif, window(here, grid, uri), partial(read, tif)) for stack, grid in grids.items()}

    def _epochs(self, uri: str, grids: Mapping[str, Grid]) -> dict[str, NDArray[np.float32]]:
        """An acquisition's delay (y, x) rad on the stacks' grids, whatever its own: it is smooth. NaN = no data."""
        with self._archive.opened(uri) as tif:
            grid_of(tif, uri)

            def read(pixels: Pixels) -> NDArray[np.float32]:
                found = read_numbers(tif, pixels, PHASE_NUMBERS, uri=uri)
                found[found == 0] = np.nan
                return found

            return {stack: resampled(tif, grid, read) for stack, grid in grids.items()}


def _open(settings: SourceSettings, storage: StorageOptions) -> LicsarSource:
    return LicsarSource(settings.url, storage, settings.coherence_full)


REGISTRATION = Registration(open=_open, looks_like=layout.looks_like)
