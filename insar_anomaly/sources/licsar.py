"""LiCSAR archives on any fsspec URL, read by windows; and the writer of simulated ones.

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
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue import Box
from insar_anomaly.errors import MissingLayer, NotInFrame, PairRejected, SourceUnavailable, Verdict
from insar_anomaly.schema import LINE_OF_SIGHT, Grid, Listed
from insar_anomaly.simulate import Scene
from insar_anomaly.sources import Delays, remote
from insar_anomaly.units import WAVELENGTH_M

_FOLDERS = ("interferograms", "GEOC")
_PHASE, _COHERENCE, _DELAY = ".geo.unw.tif", ".geo.cc.tif", ".sltd.geo.tif"
_DELAY_FOLDERS = ("epochs", "GACOS")
# east, north, up from ground to satellite where the frame ships no look vector: right-looking Sentinel-1 at mid swath
_NOMINAL_LOOK = {"A": (-0.62, -0.11, 0.78), "D": (0.62, -0.11, 0.78)}


@dataclass(frozen=True)
class LicsarSource:
    """A LiCSAR-layout archive.

    Parameters
    ----------
    url : folder of the frames, any fsspec URL
    storage : options of its file system
    """

    url: str
    storage: dict[str, Any] = field(default_factory=dict)

    def frames(self) -> list[str]:
        """Names of the frames' folders.

        Raises
        ------
        SourceUnavailable
            where the URL cannot be listed.
        """
        with self._reached():
            entries = self._fs.ls(self._root, detail=True)
        return sorted(e["name"].rstrip("/").rsplit("/", 1)[-1] for e in entries if e["type"] == "directory")

    def pairs(self, frame: str) -> tuple[list[Listed], list[Listed]]:
        """Pairs of a frame in one listing, and pairs that stand in a second folder too (named ``pair (folder)``).

        Raises
        ------
        NotInFrame
            where the archive has no such frame; the nearest names are given.
        """
        found: dict[str, dict[str, dict[str, Any]]] = {}
        with self._reached():
            known = self._fs.isdir(f"{self._root}/{frame}")
            for folder in _FOLDERS if known else ():
                found[folder] = self._folders(f"{self._root}/{frame}/{folder}")
        if not known:
            near = difflib.get_close_matches(frame, self.frames(), n=3)
            hint = f"did you mean {', '.join(near)}?" if near else "correct the frame in the catalogue"
            raise NotInFrame(f"frame {frame} is not in {self.url}; {hint}")
        perpendicular, modelled = self._baselines(frame), self._delay_uris(frame)
        listed: dict[str, Listed] = {}
        twice = []
        for folder in found:
            for name, files in found[folder].items():
                one = self._listed(name, files, perpendicular)
                if name[:8] in modelled and name[9:] in modelled:
                    one = replace(one, delay_uris=(modelled[name[:8]], modelled[name[9:]]))
                if name in listed:
                    twice.append(Listed(f"{name} ({folder})", one.phase_uri, one.coherence_uri, one.fingerprint))
                else:
                    listed[name] = one
        return list(listed.values()), twice

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, height, water and look vector of the box, cut to the frame; see `schema.STACK`.

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
        template = layers.get("hgt")
        if template is None and height:
            wanted = f"{self.url}/{frame}/metadata/{frame}.geo.hgt.tif"
            raise MissingLayer(f"{wanted} is missing; add it, or leave height out of [preprocess] remove")
        if template is None:
            pairs, _ = self.pairs(frame)
            template = next((p.phase_uri for p in pairs if p.phase_uri), None)
        if template is None:
            raise NotInFrame(f"{self.url}/{frame} holds no interferogram and no height: its grid is unknown; wait for data")
        try:
            grid = cut(self._frame_grid(template), box, what=f"{frame} in {self.url}")
            arrays = {name: self._layer(uri, grid) for name, uri in layers.items()}
        except PairRejected as problem:
            raise MissingLayer(f"{problem.detail}; replace the file") from None
        nominal = _NOMINAL_LOOK.get(frame[3:4], _NOMINAL_LOOK["A"])
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
        """Phase and coherence of several stacks' windows, each file opened once; see `sources.Window`.

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
        """Modelled delays of the stacks' pairs whose two acquisitions have one; see `sources.Source`.

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
            # s3fs lets botocore's and aiohttp's own exceptions through; they share no base with OSError
            module = type(problem).__module__.split(".")[0]
            if not isinstance(problem, OSError) and module not in ("botocore", "aiobotocore", "aiohttp", "s3fs"):
                raise
            raise SourceUnavailable(
                f"{self.url} cannot be reached ({problem}); check url, [storage] and credentials; nothing was lost"
            ) from problem

    def _folders(self, folder: str) -> dict[str, dict[str, Any]]:
        """Files of each pair's folder, from one recursive listing: pair -> file name -> details."""
        if not self._fs.isdir(folder):
            return {}
        if not self._local:
            # a listing that fsspec remembered would hide what arrived since
            self._fs.invalidate_cache(folder)
        pairs: dict[str, dict[str, Any]] = {}
        for path, details in self._fs.find(folder, detail=True).items():
            parts = path[len(folder) :].strip("/").split("/")
            if len(parts) == 2:
                pairs.setdefault(parts[0], {})[parts[1]] = details
        return pairs

    def _baselines(self, frame: str) -> dict[str, float]:
        with self._reached():
            for folder in ("metadata", "GEOC"):
                path = f"{self._root}/{frame}/{folder}/baselines"
                if self._fs.isfile(path):
                    return baselines(self._fs.cat_file(path).decode("utf-8", "replace"))
        return {}

    def _delay_uris(self, frame: str) -> dict[str, str]:
        """The file of the modelled delay of each acquisition (``YYYYMMDD``) that has one."""
        found: dict[str, str] = {}
        with self._reached():
            for folder in (f"{self._root}/{frame}/{name}" for name in _DELAY_FOLDERS):
                if not self._local:
                    self._fs.invalidate_cache(folder)
                for path in self._fs.find(folder) if self._fs.isdir(folder) else ():
                    day, end = path.rsplit("/", 1)[-1][:8], path.rsplit("/", 1)[-1][8:]
                    if end == _DELAY and day.isdigit():
                        found.setdefault(day, str(self._fs.unstrip_protocol(path)))
        return found

    def _listed(self, name: str, files: Mapping[str, Any], perpendicular: Mapping[str, float]) -> Listed:
        wanted = {end: files.get(name + end) for end in (_PHASE, _COHERENCE)}
        marks = [
            f"{end} {d['size']} {d.get('ETag') or d.get('mtime') or d.get('LastModified')}" for end, d in wanted.items() if d
        ]
        uris = {end: str(self._fs.unstrip_protocol(d["name"])) if d else None for end, d in wanted.items()}
        mark = hashlib.sha256("|".join(marks).encode()).hexdigest()[:16]
        first, last = (perpendicular.get(day, np.nan) for day in (name[:8], name[9:]))
        return Listed(name, uris[_PHASE], uris[_COHERENCE], mark, last - first)

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
            return {stack: _read(tif, window(here, grid, uri)) for stack, grid in grids.items()}

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


def grid_of(tif: rasterio.DatasetReader, uri: str) -> Grid:
    """The grid of an open GeoTIFF.

    Raises
    ------
    PairRejected
        WRONG_CRS or ROTATED.
    """
    if tif.crs is None or not tif.crs.is_geographic:
        raise PairRejected(Verdict.WRONG_CRS, f"{uri}: coordinate system {tif.crs}; reproject it to EPSG:4326")
    t = tif.transform
    if t.b or t.d or t.a <= 0 or t.e >= 0:
        raise PairRejected(Verdict.ROTATED, f"{uri}: transform {tuple(t)[:6]}; resample it to a north-up grid")
    return Grid(west=t.c, north=t.f, dx=t.a, dy=-t.e, shape=(tif.height, tif.width))


def cut(frame: Grid, box: Box, *, what: str) -> Grid:
    """The part of a frame's grid that lies in a box, on the frame's own pixels.

    Raises
    ------
    NotInFrame
        where they do not overlap.
    """
    first_col = max(0, round((box.west - frame.west) / frame.dx))
    last_col = min(frame.shape[1], round((box.east - frame.west) / frame.dx))
    first_row = max(0, round((frame.north - box.north) / frame.dy))
    last_row = min(frame.shape[0], round((frame.north - box.south) / frame.dy))
    if last_col - first_col < 16 or last_row - first_row < 16:
        east, south = frame.west + frame.dx * frame.shape[1], frame.north - frame.dy * frame.shape[0]
        raise NotInFrame(
            f"{what} covers {frame.west:.3f} to {east:.3f} E, {south:.3f} to {frame.north:.3f} N, which leaves less than 16 "
            f"pixels of the volcano's box {box.west:.3f} to {box.east:.3f} E, {box.south:.3f} to {box.north:.3f} N; "
            "correct lat, lon or frames in the catalogue"
        )
    west, north = frame.west + first_col * frame.dx, frame.north - first_row * frame.dy
    return Grid(west, north, frame.dx, frame.dy, (last_row - first_row, last_col - first_col))


def window(here: Grid, wanted: Grid, uri: str) -> Pixels:
    """Where `wanted` lies in the file's grid `here`, in whole pixels.

    Raises
    ------
    PairRejected
        WRONG_GRID, where the pixels differ or the file does not hold all of it.
    """
    col, row = (wanted.west - here.west) / here.dx, (here.north - wanted.north) / here.dy
    height, width = wanted.shape
    same = abs(here.dx / wanted.dx - 1) < 1e-6 and abs(here.dy / wanted.dy - 1) < 1e-6
    whole = abs(col - round(col)) < 0.02 and abs(row - round(row)) < 0.02
    inside = (
        round(row) >= 0 and round(col) >= 0 and round(row) + height <= here.shape[0] and round(col) + width <= here.shape[1]
    )
    if not (same and whole and inside):
        raise PairRejected(
            Verdict.WRONG_GRID,
            f"{uri}: {here.shape[0]} x {here.shape[1]} pixels of {here.dy:.6g} x {here.dx:.6g} degrees from "
            f"{here.north:.5f} N, {here.west:.5f} E do not hold the stack's grid; replace it by a product of the same frame",
        )
    return Pixels(round(col), round(row), width, height)


def as_bytes(coherence: NDArray[Any]) -> NDArray[np.uint8]:
    """Coherence as uint8 in 1/255, from LiCSAR's bytes or from floats in [0, 1]; NaN becomes 0."""
    if coherence.dtype == np.uint8:
        return coherence
    scaled = np.nan_to_num(np.asarray(coherence, np.float64)) * 255
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def write_archive(
    root: str | Path, frame: str, scene: Scene, *, west: float, north: float, step: float = 0.001
) -> list[str]:
    """Write a simulated scene as a LiCSAR-layout archive, with GACOS layers where the scene has modelled delays.

    Returns the pairs. Files that exist are left alone.

    `west` and `north` are the outer edges and `step` the pixel size, degrees.
    """
    base = Path(root) / frame
    grid = Grid(west, north, step, step, (scene.height_m.shape[0], scene.height_m.shape[1]))
    _write_tif(base / "metadata" / f"{frame}.geo.hgt.tif", scene.height_m.astype(np.float32), grid)
    for i, name in enumerate("ENU"):
        layer = np.full(grid.shape, _NOMINAL_LOOK["A"][i], np.float32)
        _write_tif(base / "metadata" / f"{frame}.geo.{name}.tif", layer, grid)
    names = []
    for reference, secondary in scene.pairs():
        pair = f"{scene.dates[reference]:%Y%m%d}_{scene.dates[secondary]:%Y%m%d}"
        phase = scene.phase(reference, secondary)
        folder = base / "interferograms" / pair
        _write_tif(folder / f"{pair}{_PHASE}", np.nan_to_num(phase), grid)
        coherent = np.where(np.isfinite(phase), 180, 20).astype(np.uint8)
        _write_tif(folder / f"{pair}{_COHERENCE}", coherent, grid)
        names.append(pair)
    for day, delay in () if scene.delays is None else zip(scene.dates, scene.delays, strict=True):
        _write_tif(base / "epochs" / f"{day:%Y%m%d}" / f"{day:%Y%m%d}{_DELAY}", delay.astype(np.float32), grid)
    return names


def _write_tif(path: Path, array: NDArray[Any], grid: Grid) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    profile = {
        "driver": "GTiff",
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": 1,
        "dtype": array.dtype,
        "crs": "EPSG:4326",
        "transform": rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north),
        "nodata": 0,
        "compress": "deflate",
        "predictor": 3 if array.dtype == np.float32 else 2,
    }
    with rasterio.open(part, "w", **profile) as tif:
        tif.write(array, 1)
    part.replace(path)


def _read(tif: rasterio.DatasetReader, pixels: Pixels) -> NDArray[Any]:
    array: NDArray[Any] = tif.read(1, window=pixels)
    if tif.nodata is not None and np.issubdtype(array.dtype, np.floating):
        array = np.where(array == tif.nodata, np.nan, array)
    return array


def baselines(text: str) -> dict[str, float]:
    """Perpendicular baseline in m of each acquisition (``YYYYMMDD``), from LiCSAR's ``baselines``: reference date, date,
    baseline, days per line. Lines of another form are skipped: the file is a comment on the pairs, not part of them."""
    out = {}
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 3 and parts[1].isdigit() and len(parts[1]) == 8:
            try:
                out[parts[1]] = float(parts[2])
            except ValueError:
                continue
    return out
