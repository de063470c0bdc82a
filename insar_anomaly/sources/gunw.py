"""What ARIA-S1-GUNW and NISAR GUNW have in common: one file per pair and frame, many pairs in one folder, cubes of geometry.

Both form ``reference * conj(secondary)``: the unwrapped phase is positive where the secondary acquisition is farther away.
It has the stacks' sign where the reference is the earlier date, as NISAR has it, and is turned where the reference is the
later one, as ARIA has it. The dates in the file's name decide, for each file alone; so do they for the baseline.

Files lie in the URL's folder or one folder below. Products of one pair that overlap are made one (`sources.mosaic`); of
products that cover the same ground the best replaces the others. Ground outside every connected component of the unwrapping
(component 0) is not measured. Every product is resampled once onto the lattice (`sources.lattice`), bilinearly.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import h5py
import numpy as np
import xarray as xr
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.errors import MissingLayer, NotInFrame, NotNow, PairRejected, Verdict, WrongFolder
from insar_anomaly.names import by_date, direction
from insar_anomaly.sources import hdf5, lattice, words
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.base import Delays, Listed, Listing, StorageOptions, Window
from insar_anomaly.sources.grid import cut, on_grid, resampled
from insar_anomaly.sources.hdf5 import Raster
from insar_anomaly.sources.looks_like import misfit
from insar_anomaly.sources.mosaic import Layers, mosaic
from insar_anomaly.sources.numbers import HEIGHT, coherence_bytes, read_numbers
from insar_anomaly.sources.products import Floats, Layout, Product
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid, Physics
from insar_anomaly.units import NISAR_WAVELENGTH_M, SENTINEL1_WAVELENGTH_M

_TRIED = 5
"""Products of a place that are opened before the place is given up."""


@dataclass(frozen=True)
class GunwSource:
    """A folder, bucket or server of GUNW products.

    Parameters
    ----------
    url : folder of the products, any fsspec URL
    layout : whose products they are
    storage : options of its file system
    coherence_full : value that stands for full coherence; None: 1
    """

    url: str
    layout: Layout
    storage: StorageOptions = field(default_factory=dict)
    coherence_full: float | None = None

    def frames(self) -> list[str]:
        """Names of the frames of which a product is there. SourceUnavailable where there is none, or no such place."""
        return sorted({one.frame for one in self._products()[0]})

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame in one listing.

        Raises
        ------
        NotInFrame
            where the archive has no such frame; the nearest names are given.
        """
        every, unlisted = self._products()
        out, twice = [], []
        nominal = NISAR_WAVELENGTH_M if self.layout.kind == "nisar" else SENTINEL1_WAVELENGTH_M
        for pair, products in sorted(_by_pair(self._of(frame, every)).items(), key=lambda one: by_date(one[0])):
            chosen = self.layout.chosen(products)
            first, *others = chosen.used
            marks = "|".join(sorted(f"{one.name} {one.mark}" for one in chosen.used))
            mark = hashlib.sha256(marks.encode()).hexdigest()[:16]
            out.append(
                Listed(pair, first.uri, first.uri, mark, parts=tuple(one.uri for one in others), wavelength_m=nominal)
            )
            twice += [Listed(f"{pair} ({one.name})", one.uri, one.uri, one.mark) for one in chosen.twice]
        return Listing(out, twice, unlisted)

    def grid(self, frame: str) -> Grid:
        """The part of the lattice that the frame's products cover, by the newest product of each place.

        Raises
        ------
        MissingLayer
            where no product can be opened.
        NotInFrame
            where the archive has no such frame.
        """
        return lattice.covering([place for _, place in self._places(frame)])

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, look vector, water and height of the box, cut to the frame; see `stack.schema.STACK`.

        Height comes from a GeoTIFF that is put beside the products: they hold none.

        Raises
        ------
        MissingLayer
            where the height is needed and not there, or no product can be opened.
        NotInFrame
            where the box does not touch the frame.
        """
        places = self._places(frame)
        grid = cut(lattice.covering([place for _, place in places]), box, what=f"{frame} in {self.url}")
        left_out: list[str] = []
        terrain = self._terrain(frame, grid, left_out, needed=height)
        near = [one for one, place in places if lattice.touches(place, grid)]
        look, water, wavelength = self._geometry(near, grid, terrain, left_out)
        nominal = self.layout.nominal[direction(frame) or "A"]
        whole = look is not None
        components = look or tuple(np.full(grid.shape, value, np.float32) for value in nominal)
        return xr.Dataset(
            {
                "height": (("y", "x"), terrain),
                "water": (("y", "x"), water),
                **{name: (("y", "x"), layer) for name, layer in zip("enu", components, strict=True)},
            },
            coords={"y": grid.lat, "x": grid.lon},
            attrs={
                "grid": grid.attribute,
                "crs": "EPSG:4326",
                "source": f"{self.layout.kind} {self.url} {frame}",
                "line_of_sight": LINE_OF_SIGHT,
                "sign": self.layout.sign_words,
                "wavelength_m": wavelength,
                "look": "products' cubes" if whole else "nominal",
                "left_out": left_out,
            },
        )

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """Phase and coherence of several stacks' windows, each file opened once; see `sources.base.Window`.

        Raises
        ------
        PairRejected
            UNREADABLE, MISSING_PHASE, MISSING_COHERENCE, WRONG_CRS, ROTATED, WRONG_GRID or WRONG_NUMBERS, naming the file.
        SourceUnavailable
            where storage, not the file, is at fault.
        """
        assert listed.phase_uri is not None
        parts: dict[str, list[Layers]] = {stack: [] for stack in grids}
        said: list[tuple[float, Physics]] = []
        for uri in (listed.phase_uri, *listed.parts):
            product = self.layout.product(PurePosixPath(uri).name)
            assert product is not None
            with self._opened(uri) as (file, place):
                said.append(self._physics(file, product, uri))
                for stack, grid in grids.items():
                    parts[stack].append(self._layers(file, place, grid, product.sign, uri=uri))
        baseline, physics = said[0]
        return {stack: Window(*mosaic(parts[stack], grid.shape), baseline, physics) for stack, grid in grids.items()}

    def delays(self, wanted: Mapping[str, Sequence[Listed]], grids: Mapping[str, Grid]) -> tuple[Delays, list[str]]:  # noqa: ARG002
        """None: these products bring no modelled delay that is read here."""
        return {}, []

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _archive(self) -> Archive:
        return Archive(self.url, self.storage)

    def _products(self) -> tuple[list[Product], list[str]]:
        """Every product, and files that seem to be one and cannot be, with the reason. WrongFolder where nothing is."""
        archive = self._archive
        contents = archive.below(archive.root)
        found, unlisted = [], list(contents.unlisted)
        for file in contents.files:
            product = self.layout.product(file.name)
            if product:
                found.append(replace(product, uri=archive.uri(file.path), mark=f"{file.size} {file.mark}"))
            elif self.layout.meant(file.name):
                unlisted.append(f"{archive.uri(file.path)}: its name is not that of a product; give it the provider's name")
        if not (found or unlisted):
            raise WrongFolder(misfit(archive, self.layout.kind, what=f"product of {self.layout.kind}"))
        return found, unlisted

    def _of(self, frame: str, every: Sequence[Product]) -> list[Product]:
        found = [one for one in every if one.frame == frame]
        if not found:
            frames = sorted({one.frame for one in every})
            near = difflib.get_close_matches(frame, frames, n=3) or frames[:3]
            hint = f"did you mean {', '.join(near)}?" if near else "correct the frame in the catalogue, or url in [[source]]"
            raise NotInFrame(f"frame {frame} is not in {self.url}; {hint}")
        return found

    def _places(self, frame: str) -> list[tuple[Product, Raster]]:
        """The newest product of each place that can be opened, newest first, and where it lies."""
        places: dict[str, list[Product]] = {}
        every = self._of(frame, self._products()[0])
        for one in sorted(every, key=lambda one: (by_date(one.pair), one.rank), reverse=True):
            places.setdefault(one.place, []).append(one)
        found, wrong = [], ""
        for products in places.values():
            for one in products[:_TRIED]:
                try:
                    with self._opened(one.uri) as (_, place):
                        found.append((one, place))
                    break
                except (PairRejected, NotNow) as problem:
                    wrong = getattr(problem, "detail", str(problem))
        if not found:
            raise MissingLayer(f"{wrong}; nothing else tells the frame's grid")
        return found

    @contextmanager
    def _opened(self, uri: str) -> Iterator[tuple[h5py.File, Raster]]:
        with hdf5.opened(self._archive, uri) as file:
            yield file, self.layout.raster(file, uri)

    def _physics(self, file: h5py.File, product: Product, uri: str) -> tuple[float, Physics]:
        """Baseline of the later acquisition seen from the earlier one, m, and the pair's physics."""
        satellites = self.layout.platforms(file)[:: product.sign]
        wavelength = self.layout.wavelength(file, uri=uri)
        physics = Physics(wavelength, product.sign, (satellites[0], satellites[1]), product.seconds[0])
        return self.layout.baseline(file, uri=uri) * product.sign, physics

    def _layers(self, file: h5py.File, place: Raster, grid: Grid, sign: int, *, uri: str) -> Layers:
        """A product's phase and coherence on a stack's grid."""
        radians = on_grid(place, grid, lambda pixels: self.layout.phase(file, place, pixels, uri=uri), uri=uri)
        share = on_grid(place, grid, lambda pixels: self.layout.coherence(file, place, pixels, uri=uri), uri=uri)
        return np.float32(sign) * radians, coherence_bytes(share, self.coherence_full or 1.0, uri=uri)

    def _terrain(self, frame: str, grid: Grid, left_out: list[str], *, needed: bool) -> Floats:
        """Height (y, x) m of a GeoTIFF beside the products; NaN = unknown. An error where it is needed and not there."""
        archive = self._archive
        held = {one.name: one for one in archive.entries(archive.root) if not one.is_folder}
        wanted = [f"{frame}.dem.tif", "dem.tif"]
        wrong = f"{self.url} holds no {' and no '.join(wanted)}, and GUNW products hold no height; put a terrain model there"
        uris = [archive.uri(held[name].path) for name in wanted if name in held]
        if uris:
            try:
                return self._height(uris[0], grid)
            except (PairRejected, NotNow) as problem:
                if needed:
                    raise words.no_height(problem) from None
                left_out.append(words.left_out(problem))
        elif needed:
            raise MissingLayer(f"{wrong}, or leave height out of [preprocess] remove")
        return np.full(grid.shape, np.nan, np.float32)

    def _height(self, uri: str, grid: Grid) -> Floats:
        """A terrain model (y, x) m on a grid, NaN = unknown."""
        with self._archive.opened(uri) as tif:
            found = on_grid(tif, grid, lambda pixels: read_numbers(tif, pixels, HEIGHT, uri=uri), uri=uri)
        if not np.isfinite(found).any():
            raise PairRejected(Verdict.NO_DATA, f"{uri}: no height anywhere in the box; give one that covers it")
        return found

    def _geometry(
        self, products: Sequence[Product], grid: Grid, terrain: Floats, left_out: list[str]
    ) -> tuple[tuple[Floats, ...] | None, NDArray[np.bool_], float]:
        """Look vector (None where it is not whole), water, and wavelength in m, from the first products that have them."""
        look = np.full((3, *grid.shape), np.nan, np.float32)
        water = np.full(grid.shape, np.nan, np.float32)
        wavelength = float("nan")
        for one in products:
            if np.isfinite(look).all() and np.isfinite(water).any():
                break
            try:
                with self._opened(one.uri) as (file, place):
                    if np.isnan(wavelength):
                        wavelength = self.layout.wavelength(file, uri=one.uri)
                    wet = _water(self.layout, file, place, grid, one.uri)
                    water[np.isnan(water)] = wet[np.isnan(water)]
                    seen = np.stack(self.layout.look(file, grid, terrain, uri=one.uri))
            except (PairRejected, NotNow) as problem:
                left_out.append(f"{getattr(problem, 'detail', problem)}; its geometry is not used")
                continue
            fills = np.isnan(look).any(axis=0) & np.isfinite(seen).all(axis=0)
            look[:, fills] = seen[:, fills]
        if np.isnan(wavelength):
            raise MissingLayer(f"{self.url}: no product over the box tells its wavelength ({'; '.join(left_out)})")
        if np.isnan(look).any():
            left_out.append("the products' look vectors do not cover the box; the nominal one is used")
            return None, water > 0.5, wavelength
        return tuple(look), water > 0.5, wavelength


def _water(layout: Layout, file: h5py.File, place: Raster, grid: Grid, uri: str) -> Floats:
    def read(pixels: Pixels) -> Floats:
        found = layout.water(file, place, pixels, uri=uri)
        return found if found is not None else np.full((int(pixels.height), int(pixels.width)), np.nan, np.float32)

    return resampled(place, grid, read, how=Resampling.nearest)


def _by_pair(products: Iterable[Product]) -> dict[str, list[Product]]:
    pairs: dict[str, list[Product]] = {}
    for one in products:
        pairs.setdefault(one.pair, []).append(one)
    return pairs
