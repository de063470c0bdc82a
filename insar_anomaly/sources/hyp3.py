"""HyP3's Sentinel-1 interferograms (GAMMA, ISCE2 burst and multi-burst) in a folder or a bucket, unpacked or as .zip.

A product lies in UTM and moves by parts of a pixel from one to the next, so each is resampled once onto a fixed lattice in
degrees (`sources.lattice`). HyP3's unwrapped phase is positive away from the satellite with the earlier date as reference:
the sign that stacks have, so nothing is turned; a product whose name has the later date first is turned. 0 means no data.
``lv_theta`` is the elevation of the look vector above the horizon and ``lv_phi`` its angle from east, counter-clockwise,
both rad, pointing to the satellite. ``water_mask`` is 1 on land and 0 on water.

Read in ASFHyP3/hyp3-docs (product guides, April 2026), hyp3-gamma (``ifm_sentinel.py``, templates, May 2025), hyp3-isce2
(``packaging.py``, ``utils.py``, May 2026) and MintPy's ``prep_hyp3.py``.
"""

from __future__ import annotations

import difflib
import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import xarray as xr

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import MissingLayer, NotInFrame, NotNow, PairRejected, WrongFolder
from insar_anomaly.names import direction
from insar_anomaly.sources import words
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.base import Delays, Listed, Listing, Registration, StorageOptions, Window
from insar_anomaly.sources.grid import cut
from insar_anomaly.sources.hyp3_layers import Layers, read_pair, read_static
from insar_anomaly.sources.hyp3_names import looks_like, short_lived
from insar_anomaly.sources.hyp3_products import Facts, Found, Product, Unpacked, find, unpacked
from insar_anomaly.sources.lattice import Placed, covering, touches
from insar_anomaly.sources.looks_like import misfit
from insar_anomaly.sources.mosaic import mosaic
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid, Physics
from insar_anomaly.units import NOMINAL_LOOK, SENTINEL1_WAVELENGTH_M, Platform

__all__ = ["REGISTRATION", "Hyp3Source", "looks_like"]

_WHAT = "HyP3 product (a folder or .zip named S1..._INT80_...)"
_SAMPLED = 3
"""Products of one footprint whose headers are tried, and whose static layers are, the newest first."""


@dataclass(frozen=True)
class Hyp3Pair(Listed):
    """A pair as HyP3's products hold it: several where they cover different ground."""

    products: tuple[Product, ...] = ()


@dataclass(frozen=True)
class Hyp3Source:
    """An archive of HyP3's interferograms.

    Parameters
    ----------
    url : folder that holds the products, or the folders of the frames, any fsspec URL
    storage : options of its file system
    coherence_full : value that stands for full coherence; None: 1, as HyP3 writes it
    """

    url: str
    storage: StorageOptions = field(default_factory=dict)
    coherence_full: float | None = None

    def frames(self) -> list[str]:
        """Names of the frames that have a product; SourceUnavailable where the URL cannot be listed, or holds none."""
        return sorted({one.frame for one in self._found().products})

    def pairs(self, frame: str) -> Listing:
        """Pairs of a frame. Of a product that was made twice the newest is taken, and the others are listed as twice.

        Newest is what was changed last in the archive; of those at the same time, the last by name.

        Raises
        ------
        NotInFrame
            where the archive has no such frame; the nearest names are given.
        WrongFolder
            where it holds no product; the text has the lines to write.
        """
        found = self._found(frame)
        mine = [one for one in found.products if one.frame == frame]
        if not mine:
            raise NotInFrame(f"frame {frame} is not in {self.url}; {self._instead(frame)}")
        chosen: dict[str, list[Product]] = {}
        twice: list[Listed] = []
        for key, same in groupby(sorted(mine, key=_identity), key=_identity):
            *older, newest = sorted(same, key=lambda one: (np.nan_to_num(one.modified), one.name.text))
            chosen.setdefault(key[0], []).append(newest)
            twice += [self._listed(f"{key[0]} ({one.name.text})", [one]) for one in older]
        warning = short_lived(self.url, [one.modified for one in mine], now=time.time())
        listed: list[Listed] = [self._listed(pair, parts) for pair, parts in chosen.items()]
        return Listing(listed, twice, found.unlisted, [warning] if warning else [])

    def grid(self, frame: str) -> Grid:
        """The part of the lattice that holds every footprint of the frame, by the header of one product of each.

        Raises
        ------
        MissingLayer
            where none can be read.
        NotInFrame
            where the archive has no such frame.
        """
        return covering([place for _, place in self._sampled(frame)])

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        """Grid, height, water and look vector of the box, cut to the frame; see `stack.schema.STACK`.

        Each layer is that of the newest product that has it; where footprints differ, they fill each other's gaps.

        Raises
        ------
        MissingLayer
            where the height is needed and no product has one, or nothing tells the frame's grid.
        NotInFrame
            where the box does not touch the frame.
        """
        sampled = self._sampled(frame)
        grid = cut(covering([place for _, place in sampled]), box, what=f"{frame} in {self.url}")
        here = [products for products, place in sampled if touches(place, grid)]
        layers = read_static(self._archive, here, grid, full=self.coherence_full)
        if height and not np.isfinite(layers.height).any():
            why = "; ".join(map(words.reason, layers.left_out)) or "no _dem.tif"
            raise MissingLayer(
                f"{self.url}: no product of {frame} has a height over the box ({why}); "
                "order products with the DEM, or leave height out of [preprocess] remove"
            )
        return self._dataset(frame, grid, layers)

    def read(self, listed: Listed, grids: Mapping[str, Grid]) -> dict[str, Window]:
        """Phase and coherence of several stacks' windows, each file opened once; see `sources.base.Window`.

        Raises
        ------
        PairRejected
            UNREADABLE, WRONG_CRS, WRONG_GRID, WRONG_NUMBERS, MISSING_PHASE or MISSING_COHERENCE, naming the file.
        NotNow, SourceUnavailable
            where storage, not the file, is at fault.
        """
        assert isinstance(listed, Hyp3Pair)
        read = []
        for product in listed.products:
            with unpacked(self._archive, product) as files:
                read.append((product, _told(files), read_pair(files, grids, full=self.coherence_full)))
        out = {}
        for stack in grids:
            main, facts, _ = max(read, key=lambda one: int(np.isfinite(one[2][stack][0]).sum()))
            phase, coherence = mosaic([windows[stack] for _, _, windows in read], grids[stack].shape)
            baseline = -facts.baseline if main.name.turned else facts.baseline
            out[stack] = Window(phase, coherence, baseline, _physics(main, facts))
        return out

    def delays(
        self,
        wanted: Mapping[str, Sequence[Listed]],  # noqa: ARG002
        grids: Mapping[str, Grid],  # noqa: ARG002
    ) -> tuple[Delays, list[str]]:
        """None: HyP3's products bring no modelled delay."""
        return {}, []

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _archive(self) -> Archive:
        return Archive(self.url, self.storage)

    def _found(self, frame: str | None = None) -> Found:
        """Products of the archive, or of one frame's own folder where it has one directly below the URL."""
        archive = self._archive
        own = f"{archive.root}/{frame}"
        found = find(archive, own if frame and direction(frame) and archive.exists(own) else archive.root)
        if not (found.products or found.unlisted):
            raise WrongFolder(misfit(archive, "hyp3", what=_WHAT))
        return found

    def _instead(self, frame: str) -> str:
        held = self.frames()
        near = difflib.get_close_matches(frame, held, n=3)
        return (
            f"did you mean {', '.join(near)}?"
            if near
            else f"it holds {', '.join(held[:5]) or 'none that can be read'}; correct frames in the catalogue"
        )

    def _listed(self, pair: str, parts: Sequence[Product]) -> Hyp3Pair:
        marks = "|".join(sorted(part.mark for part in parts))
        lacking = [
            f"{part.name.text}_{layer}.tif" for layer in ("unw_phase", "corr") for part in parts if not part.uri(layer)
        ]
        phase, coherence = (
            parts[0].uri(layer) if all(part.uri(layer) for part in parts) else None for layer in ("unw_phase", "corr")
        )
        lacks = f"{pair}: {' and '.join(lacking)} missing; bring the product again" if lacking else ""
        mark = hashlib.sha256(marks.encode()).hexdigest()[:16]
        return Hyp3Pair(
            pair, phase, coherence, mark, lacks=lacks, wavelength_m=SENTINEL1_WAVELENGTH_M, products=tuple(parts)
        )

    def _sampled(self, frame: str) -> list[tuple[list[Product], Placed]]:
        """A few products of each footprint, the newest pairs first, and where the footprint lies."""
        found = self.pairs(frame).pairs
        every = [part for one in found if isinstance(one, Hyp3Pair) for part in one.products]
        every.sort(key=lambda one: (one.name.place, one.name.pair), reverse=True)
        out, wrong = [], ""
        for _, same in groupby(every, key=lambda one: one.name.place):
            tried = list(same)[:_SAMPLED]
            for product in tried:
                try:
                    with unpacked(self._archive, product) as files, files.raster("unw_phase") as (tif, uri):
                        out.append((tried, Placed.of(tif, uri)))
                    break
                except (PairRejected, NotNow) as problem:
                    wrong = getattr(problem, "detail", str(problem))
        if not out:
            raise MissingLayer(f"{wrong}; the grid of {frame} is unknown until a product can be read")
        return out

    def _dataset(self, frame: str, grid: Grid, layers: Layers) -> xr.Dataset:
        nominal = NOMINAL_LOOK[direction(frame) or "A"]
        look = [np.full(grid.shape, part, np.float32) for part in nominal] if layers.look is None else list(layers.look)
        return xr.Dataset(
            {
                "height": (("y", "x"), layers.height),
                "water": (("y", "x"), layers.water),
                **{name: (("y", "x"), part) for name, part in zip("enu", look, strict=True)},
            },
            coords={"y": grid.lat, "x": grid.lon},
            attrs={
                "grid": grid.attribute,
                "crs": "EPSG:4326",
                "source": f"hyp3 {self.url}/{frame}",
                "line_of_sight": LINE_OF_SIGHT,
                "sign": "as HyP3 writes it, not turned",
                "wavelength_m": SENTINEL1_WAVELENGTH_M,
                "look": "nominal" if layers.look is None else "products' layers",
                "left_out": layers.left_out,
            },
        )


def _told(files: Unpacked) -> Facts:
    """What the parameter file says; a broken one says nothing, and costs no pair."""
    try:
        return files.facts()
    except PairRejected:
        return Facts()


def _identity(product: Product) -> tuple[str, str]:
    """Equal for two products of which one replaces the other."""
    return product.name.pair, product.name.ground


def _physics(product: Product, facts: Facts) -> Physics:
    name = product.name
    told = [a or b for a, b in zip(name.platforms, facts.platforms, strict=True)]
    ends = [Platform(one) for one in (reversed(told) if name.turned else told)]
    starts = name.starts_s[1 if name.turned else 0]
    utc = starts if not np.isnan(starts) or name.turned else facts.utc_s
    return Physics(SENTINEL1_WAVELENGTH_M, -1 if name.turned else 1, (ends[0], ends[1]), utc)


def _open(settings: SourceSettings, storage: StorageOptions) -> Hyp3Source:
    return Hyp3Source(settings.url, storage, settings.coherence_full)


REGISTRATION = Registration(open=_open, looks_like=looks_like)
