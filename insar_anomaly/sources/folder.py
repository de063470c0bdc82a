"""A plain folder or bucket prefix of GeoTIFFs, by a pattern: what ISCE, GMTSAR, PyRate, MintPy and others write.

The [[source]] says what such files do not: the pattern of their names, unit, sign, reference date and wavelength. Phase is
turned into the stacks' sign, lengths into phase. Files may have any coordinate system, direction, number type and mask:
where most of them share one geographic grid, that is the stack's; else all are resampled once onto `sources.lattice`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property, partial

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import ConfigError, HeightUnusable, MissingLayer, NotInFrame, NotNow, PairRejected
from insar_anomaly.files.pattern import Matched, Pattern
from insar_anomaly.names import by_date
from insar_anomaly.sources import words
from insar_anomaly.sources._folder_files import below_root, insist, looks_like, matched_files, nothing, pair_of
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.base import Delays, Listed, Listing, Registration, StorageOptions, Window
from insar_anomaly.sources.grid import agreed, cut, grid_of, insist_on_place, on_grid
from insar_anomaly.sources.lattice import Placed, lattice, step_of
from insar_anomaly.sources.layers import Layers, static_layers, unit_vector
from insar_anomaly.sources.numbers import ANGLE, HEIGHT, LOOK, Quantity, read_coherence, read_numbers
from insar_anomaly.sources.numbers import PHASE as RADIANS
from insar_anomaly.stack.schema import Grid, Physics
from insar_anomaly.units import Platform

__all__ = ["REGISTRATION", "FolderSource", "looks_like"]

_NAMES = ("disp", "los", "unw", "phase")
_PHASE = {
    "rad": RADIANS,
    "m": Quantity("displacement", _NAMES, ("m", "metre", "metres", "meter", "meters"), 100.0, integers=False),
    "cm": Quantity("displacement", _NAMES, ("cm", "centimetre", "centimetres", "centimeters"), 1e4, integers=False),
    "mm": Quantity("displacement", _NAMES, ("mm", "millimetre", "millimetres", "millimeters"), 1e5, integers=False),
}
_PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
_DEGREES = Quantity("look angle", (), ("deg", "degree", "degrees"), 361.0, integers=True)
_LOOK = {"enu": LOOK, "incidence-azimuth": _DEGREES, "theta-phi": ANGLE}
_SAMPLED = 5
"""Pairs whose headers tell the frame's grid."""


@dataclass(frozen=True)
class FolderSource:
    """A folder of GeoTIFFs.

    Parameters
    ----------
    settings : its [[source]]
    storage : options of its file system
    """

    settings: SourceSettings
    storage: StorageOptions = field(default_factory=dict)

    def frames(self) -> list[str]:
        """Names of the frames: the one that is given, or those that the files' paths hold. Raises SourceUnavailable."""
        found, unlisted = matched_files(self._archive, self._phase)
        if not found:
            insist(self._archive, self._phase, unlisted)
        return sorted({self.settings.frame or matched.frame for _, matched in found})

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame; a pair that a second file stands for is named ``pair (path)``.

        Raises
        ------
        NotInFrame
            where no file of this frame fits the pattern; the text has a path that is there.
        """
        pattern = self._phase.of(frame)
        phase, unlisted = matched_files(self._archive, pattern)
        if not phase or (self.settings.frame or frame) != frame:
            raise NotInFrame(nothing(self._archive, frame, pattern, self.frames()))
        coherence: dict[str, Entry] = {}
        if self._coherence:
            held, wrong = matched_files(self._archive, self._coherence.of(frame))
            unlisted += [words for words in wrong if words not in unlisted]
            for entry, matched in reversed(held):  # the first of a pair is the one that is used
                coherence[pair_of(matched)] = entry
        listed: dict[str, Listed] = {}
        twice = []
        for entry, matched in phase:
            one = self._listed(entry, pair_of(matched), coherence.get(pair_of(matched)))
            if one.pair in listed:
                name = f"{one.pair} ({below_root(self._archive, entry.path)})"
                twice.append(replace(one, pair=name))
            else:
                listed[one.pair] = one
        return Listing(list(listed.values()), twice, unlisted)

    def grid(self, frame: str) -> Grid:
        """The frame's whole grid: that of more than half of a few pairs where it is geographic, else the fixed lattice.

        Raises
        ------
        MissingLayer
            where none of these pairs can be read.
        NotInFrame
            where there is no file of this frame.
        """
        held = sorted(self.pairs(frame).pairs, key=lambda one: by_date(one.pair))
        step = max(1, len(held) // _SAMPLED)
        grids: list[Grid | None] = []
        rasters, wrong = [], ""
        for uri in [str(one.phase_uri) for one in held[::-step][:_SAMPLED]]:
            try:
                with self._archive.opened(uri) as tif:
                    rasters.append(Placed.of(tif, uri))
                    grids.append(_grid_of(tif, uri))
            except (PairRejected, NotNow) as problem:
                wrong = getattr(problem, "detail", str(problem))
        if not rasters:
            raise MissingLayer(f"{wrong}; nothing else tells the frame's grid")
        steps = sorted(map(step_of, rasters))
        return agreed(grids) or lattice(rasters, steps[len(steps) // 2])

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, height and look vector of the box, cut to the frame; see `stack.schema.STACK`.

        Parameters
        ----------
        height : True where the settings need the terrain's height

        Raises
        ------
        MissingLayer
            where the height is needed and missing or unusable.
        NotInFrame
            where the box does not touch the frame.
        """
        its = self.settings
        grid = cut(self.grid(frame), box, what=f"{frame} in {its.url}")
        layers = Layers()
        if its.height:
            layers.height = self._layer(its.height, frame, grid, HEIGHT, layers)
        if height and layers.flat:
            raise self._no_height(frame, layers)
        parts = [self._layer(path, frame, grid, _LOOK[its.look_form], layers) for path in its.look]
        whole = [part for part in parts if part is not None]
        if whole and len(whole) == len(parts):
            layers.look = unit_vector(its.look_form, whole)
        if self._coherence is None:
            layers.left_out.append(
                f"{its.url}: no coherence_pattern in [[source]]: coherence is taken as full where there is phase"
            )
        where = f"folder {its.url}/{frame}"
        return static_layers(grid, layers, frame=frame, source=where, sign=self.convention, wavelength_m=its.wavelength_m)

    @property
    def convention(self) -> str:
        """How the files' numbers are meant, as the settings say; see `sources.base.Stated`."""
        its = self.settings
        return f"files in {its.unit}, positive {its.positive} the satellite, reference {its.reference}"

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """Phase and coherence of several stacks' windows, each file opened once; see `sources.base.Window`.

        Raises
        ------
        PairRejected
            UNREADABLE, WRONG_CRS or WRONG_NUMBERS, naming the file.
        SourceUnavailable
            where storage, not the file, is at fault.
        """
        uri, coherence_uri = str(listed.phase_uri), str(listed.coherence_uri)
        matched = self._phase.match(below_root(self._archive, self._archive.path(uri)))
        assert matched is not None
        turned = self._turned(matched)
        with self._archive.opened(uri) as tif:
            insist_on_place(tif, grids, uri)
            read = partial(self._radians, tif, uri=uri, factor=self._factor * (-1 if turned else 1))
            phase = {stack: on_grid(tif, grid, read, uri=uri) for stack, grid in grids.items()}
        if self._coherence is None:
            coherence = {stack: np.where(np.isfinite(one), 255, 0).astype(np.uint8) for stack, one in phase.items()}
        else:
            coherence = self._coherences(coherence_uri, grids)
        physics = self._physics(matched, turned=turned)
        return {stack: Window(phase[stack], coherence[stack], listed.baseline, physics) for stack in grids}

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:  # noqa: ARG002
        """None: a plain folder has no modelled delays."""
        return {}, []

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _archive(self) -> Archive:
        return Archive(self.settings.url, self.storage)

    @cached_property
    def _phase(self) -> Pattern:
        return Pattern(self.settings.pattern or "")

    @cached_property
    def _coherence(self) -> Pattern | None:
        return Pattern(self.settings.coherence_pattern) if self.settings.coherence_pattern else None

    @property
    def _factor(self) -> float:
        """Radians of one unit of the files, the sign left as it is."""
        unit = self.settings.unit
        return 1.0 if unit == "rad" else 4 * math.pi / self.settings.wavelength_m / _PER_METRE[unit]

    def _listed(self, phase: Entry, pair: str, coherence: Entry | None) -> Listed:
        uri = self._archive.uri
        files = [phase, *([coherence] if coherence else [])]
        marks = "|".join(f"{below_root(self._archive, one.path)} {one.size} {one.mark}" for one in files)
        held = uri(coherence.path) if coherence else None if self._coherence else uri(phase.path)
        wanted = self.settings.coherence_pattern
        lacks = "" if held else f'{uri(phase.path)}: no coherence of {pair} like "{wanted}"; upload it'
        return Listed(
            pair,
            uri(phase.path),
            held,
            hashlib.sha256(marks.encode()).hexdigest()[:16],
            lacks=lacks,
            wavelength_m=self.settings.wavelength_m,
        )

    def _turned(self, matched: Matched) -> bool:
        """True where the file's sign is not the stacks'."""
        its = self.settings
        later = matched.reference > matched.secondary if its.reference == "named" else its.reference == "later"
        return (its.positive == "towards") != later

    def _physics(self, matched: Matched, *, turned: bool) -> Physics:
        first: datetime = min(matched.reference, matched.secondary)
        seconds = first.hour * 3600.0 + first.minute * 60 + first.second if self._phase.has_time else float("nan")
        platform = Platform[self.settings.platform or "UNKNOWN"]
        return Physics(self.settings.wavelength_m, -1 if turned else 1, (platform, platform), seconds)

    def _radians(self, tif: rasterio.DatasetReader, pixels: Pixels, *, uri: str, factor: float) -> NDArray[np.float32]:
        """Phase (y, x) float32 rad of the file's own pixels; in floats, exactly 0 is no measurement."""
        values = read_numbers(tif, pixels, _PHASE[self.settings.unit], uri=uri)
        if all(kind.startswith("float") for kind in tif.dtypes):
            values[values == 0] = np.nan
        out: NDArray[np.float32] = values * np.float32(factor)
        return out

    def _coherences(self, uri: str, grids: Mapping[str, Grid]) -> dict[str, NDArray[np.uint8]]:
        with self._archive.opened(uri) as tif:

            def read(pixels: Pixels) -> NDArray[np.float32]:
                found = read_coherence(tif, pixels, full=self.settings.coherence_full, uri=uri).astype(np.float32)
                found[found == 0] = np.nan
                return found

            mixed = {stack: on_grid(tif, grid, read, uri=uri) for stack, grid in grids.items()}
        return {stack: np.nan_to_num(np.rint(one)).astype(np.uint8) for stack, one in mixed.items()}

    def _no_height(self, frame: str, layers: Layers) -> MissingLayer:
        """Why there is no height, and what mends it."""
        its, archive = self.settings, self._archive
        if not its.height:
            return MissingLayer(
                f"{its.url}: no layer of the terrain's height is given; set height in [[source]], or leave height out of "
                "[preprocess] remove"
            )
        if layers.fault is None:
            return HeightUnusable(f"{its.url}/{its.height}: no height anywhere in the box; give one that covers it")
        error = words.no_height(layers.fault)
        # a path that leads nowhere is a mistake of the settings
        there = archive.exists(f"{archive.root}/{its.height.replace('{frame}', frame)}")
        return error if there else MissingLayer(str(error))

    def _layer(self, path: str, frame: str, grid: Grid, what: Quantity, layers: Layers) -> NDArray[np.float32] | None:
        """A static layer (y, x) on the stack's grid; None, and a line of what is left out, where it cannot be used."""
        archive = self._archive
        uri = archive.uri(f"{archive.root}/{path.replace('{frame}', frame)}")
        try:
            with archive.opened(uri) as tif:
                return on_grid(tif, grid, lambda pixels: read_numbers(tif, pixels, what, uri=uri), uri=uri)
        except (PairRejected, NotNow) as problem:
            layers.left_out.append(words.left_out(problem))
            layers.fault = problem if what is HEIGHT else layers.fault
            return None


def _grid_of(tif: rasterio.DatasetReader, uri: str) -> Grid | None:
    """The raster's grid; None where it is none in degrees, with rows along latitudes."""
    try:
        return grid_of(tif, uri)
    except PairRejected:
        return None


def _open(settings: SourceSettings, storage: StorageOptions) -> FolderSource:
    if wrong := settings.mistakes():
        raise ConfigError("\n".join(f"[[source]] {key}: {why}" for key, why in wrong))
    return FolderSource(settings, storage)


REGISTRATION = Registration(open=_open, looks_like=looks_like)
