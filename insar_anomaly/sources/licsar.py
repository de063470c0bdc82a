"""LiCSAR archives on any fsspec URL, read by windows.

Layout: ``<frame>/interferograms/<pair>/<pair>.geo.unw.tif`` and ``.geo.cc.tif`` (or ``GEOC`` for ``interferograms``), static
layers in ``<frame>/metadata/<frame>.geo.hgt.tif`` (or ``GEOC/``); optional beside it ``.geo.E.tif``, ``.geo.N.tif``,
``.geo.U.tif`` (look vector), ``.geo.landmask.tif`` (0 = water) and ``baselines``. LiCSAR's unwrapped phase is positive away
from the satellite with the earlier date as reference: the sign that stacks have, so nothing is turned; 0 means no data.

GACOS: an acquisition may have ``<frame>/epochs/YYYYMMDD/YYYYMMDD.sltd.geo.tif``, as on the portal, or
``<frame>/GACOS/YYYYMMDD.sltd.geo.tif``, as LiCSBAS downloads it. It is the slant total delay in rad, larger where the way is
longer, 0 = no data; a pair's is the later acquisition's minus the earlier one's, and is subtracted from the phase. Read in
``LiCSBAS03op_GACOS.py`` 1.5.10 (LiCSBAS2) and in licsar_proc's ``make_gacos_ifg``.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import fsspec
import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.errors import (
    MissingLayer,
    NotInFrame,
    PairRejected,
    SourceUnavailable,
    Verdict,
    WrongFolder,
    from_storage,
)
from insar_anomaly.names import Pair, day_of, direction
from insar_anomaly.sources import misplaced, remote
from insar_anomaly.sources.base import Delays, Listed, Registration, StorageOptions
from insar_anomaly.sources.grid import as_bytes, cut, grid_of, read_window, window
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid
from insar_anomaly.units import NOMINAL_LOOK, WAVELENGTH_M

PHASE, COHERENCE, DELAY = ".geo.unw.tif", ".geo.cc.tif", ".sltd.geo.tif"
_DELAY_FOLDERS = ("epochs", "GACOS")


Details = dict[str, Any]
"""What fsspec says of a file: name, size, type and a mark of its age."""


@dataclass(frozen=True)
class LicsarSource:
    """A LiCSAR-layout archive.

    Parameters
    ----------
    url : folder of the frames, any fsspec URL
    storage : options of its file system
    """

    url: str
    storage: StorageOptions = field(default_factory=dict)

    def frames(self) -> list[str]:
        """Names of the frames' folders.

        Raises
        ------
        SourceUnavailable
            where the URL cannot be listed.
        WrongFolder
            where it leads into a frame; the text has the URL to write.
        """
        with self._reached():
            entries = self._fs.ls(self._root, detail=True)
        named = [(e["name"].rstrip("/").rsplit("/", 1)[-1], e["type"] == "directory") for e in entries]
        if wrong := misplaced.too_deep(self.url, named):
            raise WrongFolder(wrong)
        return sorted(name for name, is_folder in named if is_folder)

    def pairs(self, frame: str) -> tuple[list[Listed], list[Listed]]:
        """Pairs of a frame in one listing, and pairs that stand in a second folder too (named ``pair (folder)``).

        Raises
        ------
        NotInFrame
            where the archive has no such frame; the nearest names are given.
        """
        found: dict[str, dict[str, Details]] = {}
        with self._reached():
            known = self._fs.isdir(f"{self._root}/{frame}")
            for folder in misplaced.FOLDERS if known else ():
                found[folder] = self._folders(f"{self._root}/{frame}/{folder}")
        if not known:
            near = difflib.get_close_matches(frame, self.frames(), n=3)
            hint = f"did you mean {', '.join(near)}?" if near else self._elsewhere(frame)
            raise NotInFrame(f"frame {frame} is not in {self.url}; {hint}")
        perpendicular, modelled = self._baselines(frame), self._delay_uris(frame)
        listed: dict[str, Listed] = {}
        twice = []
        for folder in found:
            for name, files in found[folder].items():
                one = self._listed(name, files, perpendicular)
                if (pair := Pair.parse(name)) and pair.first in modelled and pair.last in modelled:
                    one = replace(one, delay_uris=(modelled[pair.first], modelled[pair.last]))
                if name in listed:
                    twice.append(Listed(f"{name} ({folder})", one.phase_uri, one.coherence_uri, one.fingerprint))
                else:
                    listed[name] = one
        return list(listed.values()), twice

    def _elsewhere(self, frame: str) -> str:
        with self._reached():
            deeper = misplaced.too_high(self._fs, self._root, self.url, frame)
        return deeper or "correct the frame in the catalogue, or the url in [[source]]"

    def grid(self, frame: str) -> Grid:
        """The frame's whole grid, from the header of one file.

        Raises
        ------
        MissingLayer
            where that file is unusable.
        NotInFrame
            where the archive has no such frame, or nothing in it yet.
        """
        return self._grid(frame, self._static_uris(frame))

    def _grid(self, frame: str, layers: Mapping[str, str]) -> Grid:
        template = layers.get("hgt")
        if template is None:
            pairs, _ = self.pairs(frame)
            template = next((p.phase_uri for p in pairs if p.phase_uri), None)
        if template is None:
            raise NotInFrame(f"{self.url}/{frame} holds no interferogram and no height: its grid is unknown; wait for data")
        try:
            return self._frame_grid(template)
        except PairRejected as problem:
            raise MissingLayer(f"{problem.detail}; replace the file") from None

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
        layers = self._static_uris(frame)
        if "hgt" not in layers and height:
            wanted = f"{self.url}/{frame}/metadata/{frame}.geo.hgt.tif"
            raise MissingLayer(f"{wanted} is missing; add it, or leave height out of [preprocess] remove")
        grid = cut(self._grid(frame, layers), box, what=f"{frame} in {self.url}")
        try:
            arrays = {name: self._layer(uri, grid) for name, uri in layers.items()}
        except PairRejected as problem:
            raise MissingLayer(f"{problem.detail}; replace the file") from None
        nominal = NOMINAL_LOOK[direction(frame) or "A"]
        look = {k.lower(): arrays.get(k, np.full(grid.shape, v, np.float32)) for k, v in zip("ENU", nominal, strict=True)}
        land = arrays.get("landmask")
        elevation = arrays.get("hgt", np.full(grid.shape, np.nan, np.float32))
        return xr.Dataset(
            {
                "height": (("y", "x"), elevation.astype(np.float32)),
                "water": (("y", "x"), np.zeros(grid.shape, bool) if land is None else ~(land > 0)),
                **{k: (("y", "x"), v.astype(np.float32)) for k, v in look.items()},
            },
            coords={"y": grid.lat, "x": grid.lon},
            attrs={
                "grid": grid.attribute,
                "crs": "EPSG:4326",
                "source": f"licsar {self.url}/{frame}",
                "line_of_sight": LINE_OF_SIGHT,
                "sign": "as LiCSAR writes it, not turned",
                "wavelength_m": WAVELENGTH_M,
                "look": "frame's layers" if "E" in arrays else "nominal",
            },
        )

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, tuple[Any, Any, float]]:
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
        phase = self._windows(listed.phase_uri, grids)
        coherence = self._windows(listed.coherence_uri, grids)
        out = {}
        for stack in grids:
            radians = phase[stack].astype(np.float32)
            radians[(radians == 0) | ~np.isfinite(radians)] = np.nan
            out[stack] = (radians, as_bytes(coherence[stack]), listed.baseline)
        return out

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
            except (PairRejected, SourceUnavailable) as problem:
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
    def _fs(self) -> fsspec.AbstractFileSystem:
        # fsspec keeps one instance per process and options; never carried between processes, s3fs is not fork-safe
        return fsspec.core.url_to_fs(self.url, **(self.storage if "://" in self.url and not self._local else {}))[0]

    @property
    def _local(self) -> bool:
        return "://" not in self.url or self.url.startswith("file://")

    @property
    def _root(self) -> str:
        root: str = fsspec.core.url_to_fs(self.url, **({} if self._local else self.storage))[1]
        return root.rstrip("/")

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn what a file system says into `SourceUnavailable`."""
        try:
            yield
        except FileNotFoundError as problem:
            raise SourceUnavailable(f"{self.url} does not exist ({problem}); correct url in [[source]]") from problem
        except Exception as problem:
            if not from_storage(problem):
                raise
            raise SourceUnavailable(
                f"{self.url} cannot be reached ({problem}); check url, [storage] and credentials; nothing was lost"
            ) from problem

    def _folders(self, folder: str) -> dict[str, dict[str, Details]]:
        """Files of each pair's folder, from one recursive listing: pair -> file name -> details."""
        if not self._fs.isdir(folder):
            return {}
        if not self._local:
            # a listing that fsspec remembered would hide what arrived since
            self._fs.invalidate_cache(folder)
        pairs: dict[str, dict[str, Details]] = {}
        for path, details in self._fs.find(folder, detail=True).items():
            parts = path[len(folder) :].strip("/").split("/")
            if len(parts) == 2:
                pairs.setdefault(parts[0], {})[parts[1]] = details
        return pairs

    def _baselines(self, frame: str) -> dict[date, float]:
        with self._reached():
            for folder in ("metadata", "GEOC"):
                path = f"{self._root}/{frame}/{folder}/baselines"
                if self._fs.isfile(path):
                    return baselines(self._fs.cat_file(path).decode("utf-8", "replace"))
        return {}

    def _delay_uris(self, frame: str) -> dict[date, str]:
        """The file of the modelled delay of each acquisition that has one."""
        found: dict[date, str] = {}
        with self._reached():
            for folder in (f"{self._root}/{frame}/{name}" for name in _DELAY_FOLDERS):
                if not self._local:
                    self._fs.invalidate_cache(folder)
                for path in self._fs.find(folder) if self._fs.isdir(folder) else ():
                    name = path.rsplit("/", 1)[-1]
                    if name.endswith(DELAY) and (day := day_of(name.removesuffix(DELAY))):
                        found.setdefault(day, str(self._fs.unstrip_protocol(path)))
        return found

    def _listed(self, name: str, files: Mapping[str, Details], perpendicular: Mapping[date, float]) -> Listed:
        wanted = {end: files.get(name + end) for end in (PHASE, COHERENCE)}
        marks = [
            f"{end} {d['size']} {d.get('ETag') or d.get('mtime') or d.get('LastModified')}" for end, d in wanted.items() if d
        ]
        uris = {end: str(self._fs.unstrip_protocol(d["name"])) if d else None for end, d in wanted.items()}
        mark = hashlib.sha256("|".join(marks).encode()).hexdigest()[:16]
        pair = Pair.parse(name)
        first, last = (perpendicular.get(day, np.nan) for day in (pair.first, pair.last)) if pair else (np.nan, np.nan)
        return Listed(name, uris[PHASE], uris[COHERENCE], mark, last - first)

    def _static_uris(self, frame: str) -> dict[str, str]:
        base = f"{self._root}/{frame}"
        out: dict[str, str] = {}
        with self._reached():
            for folder in ("metadata", "GEOC"):
                for stem in (f"{frame}.geo", "geo"):
                    for name in ("hgt", "E", "N", "U", "landmask"):
                        path = f"{base}/{folder}/{stem}.{name}.tif"
                        if name not in out and self._fs.isfile(path):
                            out[name] = str(self._fs.unstrip_protocol(path))
        return out

    def _frame_grid(self, uri: str) -> Grid:
        with self._opened(uri) as tif:
            return grid_of(tif, uri)

    def _layer(self, uri: str, grid: Grid) -> NDArray[Any]:
        layer = self._windows(uri, {"": grid})[""]
        if np.issubdtype(layer.dtype, np.floating) and not np.isfinite(layer).any():
            raise PairRejected(Verdict.NO_DATA, f"{uri}: all NaN over the box")
        return layer

    def _windows(self, uri: str, grids: Mapping[str, Grid]) -> dict[str, NDArray[Any]]:
        with self._opened(uri) as tif:
            here = grid_of(tif, uri)
            return {stack: read_window(tif, window(here, grid, uri)) for stack, grid in grids.items()}

    def _epochs(self, uri: str, grids: Mapping[str, Grid]) -> dict[str, NDArray[np.float32]]:
        """An acquisition's delay (y, x) rad on the stacks' grids, whatever its own: it is smooth. NaN = no data."""
        out = {}
        with self._opened(uri) as tif:
            grid_of(tif, uri)
            for stack, grid in grids.items():
                rows, cols = grid.shape
                place = rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north)
                size = {"crs": tif.crs, "transform": place, "width": cols, "height": rows, "resampling": Resampling.bilinear}
                with WarpedVRT(tif, src_nodata=0, nodata=np.nan, dtype="float32", **size) as warped:
                    out[stack] = warped.read(1)
        return out

    @contextmanager
    def _opened(self, uri: str) -> Iterator[rasterio.DatasetReader]:
        """A GeoTIFF opened for windowed reads; what goes wrong is told apart: the file's fault or the storage's."""
        path = fsspec.core.strip_protocol(uri)
        try:
            if self._local:
                with rasterio.open(path) as tif:
                    yield tif
            else:
                with remote.opened(self._fs, path) as tif:
                    yield tif
        except remote.ReadFailed as problem:
            with self._reached():
                raise problem.__cause__ or problem from None
        except (RasterioError, OSError) as problem:
            if self._local:
                with self._reached():  # a plain read that fails too says that storage is at fault
                    self._fs.cat_file(path, start=0, end=16)
            reason = str(problem.__cause__ or problem).splitlines()[0]
            raise PairRejected(Verdict.UNREADABLE, f"{uri}: {reason}; upload it again") from problem


def baselines(text: str) -> dict[date, float]:
    """Perpendicular baseline in m of each acquisition, from LiCSAR's ``baselines``: reference date, date,
    baseline, days per line. Lines of another form are skipped: the file is a comment on the pairs, not part of them."""
    out = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 3 and (day := day_of(parts[1])):
            try:
                out[day] = float(parts[2])
            except ValueError:
                continue
    return out


REGISTRATION = Registration(open=LicsarSource)
