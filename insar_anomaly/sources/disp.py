"""OPERA L3 DISP-S1 v1.x: displacement since a moving reference, chained to pairs of neighbouring epochs.

Files ``OPERA_L3_DISP-S1_IW_F11116_VV_<reference>_<secondary>_v1.0_<made>.nc`` lie in the folder or at most two below it,
those of several frames together. A frame is named ``<track><A or D>_F11116``: track and direction are read in a product.
Displacement is in metres, positive towards the satellite: it is turned, and becomes phase with the product's wavelength.
Its 30 m pixels are taken together by area on the lattice of 0.001 degrees, after the quality layers have masked them.

Beside them may lie ``OPERA_L3_DISP-S1-STATIC_F11116_..._dem.tif`` and ``..._line_of_sight_enu.tif``: height and look vector.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import rasterio
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import HeightUnusable, MissingLayer, NotInFrame, NotNow, PairRejected, Verdict, WrongFolder
from insar_anomaly.sources import words
from insar_anomaly.sources._disp_chain import Chain, Link, Named, chains, newest
from insar_anomaly.sources._disp_file import opened
from insar_anomaly.sources._disp_pixels import Part, read_part, together
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.base import Delays, Listed, Listing, Registration, StorageOptions, Window
from insar_anomaly.sources.grid import cut, resampled
from insar_anomaly.sources.lattice import lattice
from insar_anomaly.sources.layers import Layers, static_layers, unit_vector
from insar_anomaly.sources.looks_like import misfit
from insar_anomaly.sources.numbers import HEIGHT, Quantity, read_numbers
from insar_anomaly.stack.schema import Grid, Physics
from insar_anomaly.units import Platform, rad_per_m

STEP = 0.001
"""Degrees of a stack's pixels: about 14 pixels of a product."""
_LEVELS = 3
_TRIED = 5
"""Products of a frame that are opened for its track and direction, or its place, before it is given up."""
_STATIC = re.compile(r"OPERA_L3_DISP-S1-STATIC_(F\d{5})_.*_(dem|line_of_sight_enu)\.tif")
_FRAME = re.compile(r"(?:\d{3}[AD]_)?(F\d{5})")
_ENU = [
    Quantity("look vector", names, ("", "1", "unitless"), 1.01, False) for names in (("east",), ("north",), ("vert", "up"))
]


@dataclass(frozen=True)
class Chained(Listed):
    """A pair with the URIs of the products that lead from its earlier to its later epoch, each with its sign."""

    links: tuple[tuple[str, int], ...] = ()
    utc_s: float = float("nan")


@dataclass(frozen=True)
class DispSource:
    """A folder of OPERA DISP-S1 products.

    Parameters
    ----------
    url : the folder, any fsspec URL
    storage : options of its file system
    """

    url: str
    storage: StorageOptions = field(default_factory=dict)

    def frames(self) -> list[str]:
        """Names of the frames; of each one product is opened. SourceUnavailable where there is none."""
        of: dict[str, list[Named]] = {}
        for one in self._products()[0]:
            of.setdefault(one.frame, []).append(one)
        return sorted(self._prefix(held) + frame for frame, held in of.items())

    def pairs(self, frame: str) -> Listing:
        """Pairs of neighbouring epochs; see `_disp_chain`. A pair to which no products lead is named as not listed.

        Raises
        ------
        NotInFrame
            where there is no product of this frame.
        """
        products, unlisted = self._products()
        of = _opera(frame)
        its = [one for one in products if one.frame == of]
        if not its:
            there = ", ".join(sorted({one.frame for one in products})[:5]) or "no product of OPERA_L3_DISP-S1"
            raise NotInFrame(f"frame {frame} is not in {self.url}, which holds {there}; correct the frame in the catalogue")
        made, broken = chains(its)
        if broken:
            unlisted.append(
                f"{words.counted(len(broken), 'pair')} of neighbouring epochs, first {broken[0].name}: "
                "no products lead between the two; "
                "add the product that is missing between them"
            )
        return Listing([self._listed(one) for one in made], [], unlisted)

    def grid(self, frame: str) -> Grid:
        """The lattice of 0.001 degrees under the frame's products, by the header of the newest that can be read.

        Raises
        ------
        MissingLayer
            where none can be read.
        NotInFrame
            where there is no product of this frame.
        """
        return self._newest(frame)[1]

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, height, water and look vector of the box, cut to the frame; see `stack.schema.STACK`.

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
        uri, whole = self._newest(frame)
        grid = cut(whole, box, what=f"{frame} in {self.url}")
        found = self._static_uris(_opera(frame))
        layers = Layers()
        if "dem" in found:
            for layer in self._raster(found["dem"], grid, [HEIGHT], layers) or ():
                layers.height = layer
        if height and layers.flat:
            raise self._no_height(frame, found, layers)
        if "line_of_sight_enu" in found and (parts := self._raster(found["line_of_sight_enu"], grid, _ENU, layers)):
            layers.look = unit_vector("enu", parts)
        with opened(self._archive, uri) as product:
            layers.water = resampled(product.placed, grid, product.water, how=Resampling.average) > 0.5
            wavelength = product.wavelength_m
        sign = "displacement of OPERA, positive towards the satellite, turned"
        where = f"disp {self.url}/{_opera(frame)}"
        return static_layers(grid, layers, frame=frame, source=where, sign=sign, wavelength_m=wavelength)

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """Phase and coherence of several stacks' windows, each product of the chain opened once; see `sources.base.Window`.

        Raises
        ------
        PairRejected
            UNREADABLE, WRONG_CRS or WRONG_NUMBERS, naming the product.
        SourceUnavailable
            where storage, not the product, is at fault.
        """
        assert isinstance(listed, Chained)
        parts: dict[str, list[Part]] = {stack: [] for stack in grids}
        baselines = dict.fromkeys(grids, 0.0)
        platforms, wavelengths = set(), []
        for uri, sign in listed.links:
            with opened(self._archive, uri) as product:
                platforms.add(product.platform)
                wavelengths.append(product.wavelength_m)
                for stack, grid in grids.items():
                    part, baseline = read_part(product, grid, sign)
                    parts[stack].append(part)
                    baselines[stack] += baseline
        if max(wavelengths) / min(wavelengths) - 1 > 1e-3:
            why = f"{listed.phase_uri}: products of its chain are of different wavelengths; keep those of one band"
            raise PairRejected(Verdict.WRONG_WAVELENGTH, why)
        platform = platforms.pop() if len(platforms) == 1 else Platform.UNKNOWN
        physics = Physics(wavelengths[-1], -1, (platform, platform), listed.utc_s)
        out = {}
        for stack, grid in grids.items():
            metres, coherence = together(parts[stack], grid)
            phase = (metres * np.float32(rad_per_m(wavelengths[-1]))).astype(np.float32)
            out[stack] = Window(phase, coherence, baselines[stack], physics)
        return out

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:  # noqa: ARG002
        """None: the products have no modelled tropospheric delay."""
        return {}, []

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _archive(self) -> Archive:
        return Archive(self.url, self.storage)

    def _products(self) -> tuple[list[Named], list[str]]:
        """Products of all frames, by path, and what could not be listed. WrongFolder where there is neither."""
        archive = self._archive
        found = archive.below(archive.root, levels=_LEVELS)
        products, unlisted = [], list(found.unlisted)
        for entry in sorted(found.files, key=lambda one: one.path):
            try:
                if one := Named.of(entry):
                    products.append(one)
            except ValueError:
                unlisted.append(f"{archive.uri(entry.path)}: a date in its name is none; download it again")
        if not (products or unlisted):
            raise WrongFolder(misfit(archive, "disp", what="product named OPERA_L3_DISP-S1_..."))
        return products, unlisted

    def _prefix(self, products: Sequence[Named]) -> str:
        """Track and direction of a frame's products, from the newest that can be read; empty where none can."""
        for one in newest(products)[::-1][:_TRIED]:
            try:
                with opened(self._archive, self._archive.uri(one.entry.path)) as product:
                    return product.frame
            except (PairRejected, NotNow):
                continue
        return ""

    def _newest(self, frame: str) -> tuple[str, Grid]:
        """The newest product of a frame that can be read, and the frame's grid."""
        links = [one for pair in self.pairs(frame).pairs if isinstance(pair, Chained) for one, _ in pair.links]
        if not links:
            raise NotInFrame(f"{self.url} holds no pair of {frame}: its grid is unknown; wait for data")
        wrong = ""
        for uri in list(dict.fromkeys(links[::-1]))[:_TRIED]:
            try:
                with opened(self._archive, uri) as product:
                    return uri, lattice([product.placed], STEP)
            except (PairRejected, NotNow) as problem:
                wrong = getattr(problem, "detail", str(problem))
        raise MissingLayer(f"{wrong}; nothing else tells the frame's grid")

    def _listed(self, chain: Chain) -> Chained:
        uris = [self._archive.uri(link.named.entry.path) for link in chain.links]
        marks = "|".join(map(_mark, chain.links))
        since = chain.since
        return Chained(
            chain.pair.name,
            uris[-1],
            uris[-1],
            hashlib.sha256(marks.encode()).hexdigest()[:16],
            links=tuple((uri, link.sign) for uri, link in zip(uris, chain.links, strict=True)),
            utc_s=since.hour * 3600.0 + since.minute * 60 + since.second,
        )

    def _static_uris(self, frame: str) -> dict[str, str]:
        """Layer of the static product -> its URI; the last by name where there are several."""
        archive, out = self._archive, {}
        for entry in sorted(archive.below(archive.root, levels=_LEVELS).files, key=lambda one: one.name):
            if (found := _STATIC.fullmatch(entry.name)) and found[1] == frame:
                out[found[2]] = archive.uri(entry.path)
        return out

    def _raster(self, uri: str, grid: Grid, wanted: Sequence[Quantity], layers: Layers) -> list[NDArray[np.float32]] | None:
        """Layers (y, x) of a GeoTIFF, averaged by area; None, and a line of what is left out, where it cannot be used."""
        try:
            with self._archive.opened(uri) as tif:
                reads = [partial(_component, tif, what=what, uri=uri) for what in wanted]
                return [resampled(tif, grid, read, how=Resampling.average) for read in reads]
        except (PairRejected, NotNow) as problem:
            layers.left_out.append(words.left_out(problem))
            layers.fault = problem if HEIGHT in wanted else layers.fault
            return None

    def _no_height(self, frame: str, found: Mapping[str, str], layers: Layers) -> MissingLayer:
        """Why there is no height, and what mends it."""
        if layers.fault is not None:
            return words.no_height(layers.fault)
        if "dem" in found:
            return HeightUnusable(f"{found['dem']}: no height anywhere in the box; give one that covers it")
        wanted = f"{self.url}/OPERA_L3_DISP-S1-STATIC_{_opera(frame)}_..._dem.tif is missing"
        return MissingLayer(f"{wanted}; add it, or leave height out of [preprocess] remove")


def _component(tif: rasterio.DatasetReader, pixels: Pixels, *, what: Quantity, uri: str) -> NDArray[np.float32]:
    """A layer's own pixels; a component of the look vector of exactly 0 is none."""
    found = read_numbers(tif, pixels, what, uri=uri)
    if what is not HEIGHT:
        found[found == 0] = np.nan
    return found


def _opera(frame: str) -> str:
    """OPERA's own name of a frame, F and five digits; what cannot be one is given back as it is."""
    found = _FRAME.fullmatch(frame)
    return found[1] if found else frame


def _mark(link: Link) -> str:
    entry: Entry = link.named.entry
    return f"{entry.name} {entry.size} {entry.mark} {link.sign}"


def looks_like(names: Iterable[str]) -> bool:
    """True where names of a folder's entries are OPERA DISP-S1 products."""
    return any(name.startswith("OPERA_L3_DISP-S1_") for name in names)


def _open(settings: SourceSettings, storage: StorageOptions) -> DispSource:
    return DispSource(settings.url, storage)


REGISTRATION = Registration(open=_open, looks_like=looks_like)
