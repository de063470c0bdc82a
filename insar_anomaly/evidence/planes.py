"""Pairs of a stack, each made into a tile once, whatever reads them: every kind of evidence, every block of a trial.

The tiles are kept in a scratch file, so that memory does not grow with the number of pairs. Injected sources need no second
tile: what is done to a phase before the range step is linear once its mask is known, so that a pair with a source in it is
the pair's tile plus what is left of the source's own phase.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import BATCH
from insar_anomaly.evidence.network import Network
from insar_anomaly.evidence.protocol import ToTiles, pair_dates

Floats = NDArray[np.floating]
_TINY = np.float32(1e-30)


class Planes:
    """The tiles of a stack's pairs, by number of the pair.

    Parameters
    ----------
    stack : lazy or loaded, as `stack.store.Store.open` gives it
    to_tiles : `tiles.preprocess.tiles` with its settings
    alike : True where what is left of a source depends on a pair's mask only, and not on its coherence (no smoothing)
    """

    def __init__(self, stack: xr.Dataset, to_tiles: ToTiles, *, alike: bool) -> None:
        self.stack, self._to_tiles, self._alike = stack, to_tiles, alike
        self.network = Network.of(pair_dates(stack))
        self.none = to_tiles(stack.isel(pair=slice(0, 0)))
        self.shape = (stack.sizes["y"], stack.sizes["x"])
        self.made: set[int] = set()
        """Pairs of which a tile was made, and whose phase was read."""
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
        names = [name for name in ("phase", "valid", "tile", "weight") if name in self.none]
        pixels = self.shape[0] * self.shape[1]
        self._size = {name: pixels * self.none[name].dtype.itemsize for name in names}
        self._kept: dict[int, dict[str, NDArray[Any]]] = {}

    def close(self) -> None:
        """Give the scratch file back."""
        self._file.close()

    def take(self, pairs: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Phases and masks (pair, y, x) of these pairs, copies; those of all others leave the memory."""
        self._kept = {p: kept for p, kept in self._kept.items() if p in pairs}
        self._make(pairs)
        for pair in pairs:
            if pair not in self._kept:
                self._kept[pair] = {name: self._read(name, pair) for name in ("phase", "valid")}
        kept = [self._kept[pair] for pair in pairs]
        return np.stack([one["phase"] for one in kept]), np.stack([one["valid"] for one in kept])

    def phases(self, pairs: Sequence[int]) -> list[NDArray[np.float32]]:
        """Phases (y, x) of these pairs, not to be written to."""
        self._make(pairs)
        return [self._kept[p]["phase"] if p in self._kept else self._read("phase", p) for p in pairs]

    def tiles(self, pairs: Sequence[int]) -> xr.Dataset:
        """Tiles of these pairs, loaded; see `tiles.preprocess.tiles`."""
        self._make(pairs)
        arrays = {n: (("pair", "y", "x"), self._stacked(n, pairs)) for n in self._size}
        flat = {"y": self.none["y"], "x": self.none["x"]}
        return xr.Dataset(arrays, coords=self._coordinates(pairs) | flat, attrs=self.none.attrs)

    def lazy(self, pairs: Sequence[int]) -> xr.Dataset:
        """`tiles` that are made and read when they are asked for, in chunks; needs Dask."""
        numbers = xr.DataArray(np.asarray(pairs, np.int64), dims="pair").chunk(pair=BATCH)
        sizes = {"output_sizes": dict(zip(("y", "x"), self.shape, strict=True))}
        arrays = {
            name: xr.apply_ufunc(
                lambda some, name=name: self._asked(name, some),
                numbers,
                output_core_dims=[["y", "x"]],
                dask="parallelized",
                output_dtypes=[self.none[name].dtype],
                dask_gufunc_kwargs=sizes,
            )
            for name in self._size
        }
        return self.tiles([]).drop_dims("pair").assign(arrays).assign_coords(self._coordinates(pairs))

    def left_of(self, pattern: Floats, pairs: Sequence[int]) -> list[NDArray[np.float32]]:
        """What a phase (y, x), rad, leaves in the phase of each of these pairs' tiles, (y, x) each.

        Ground that a pair has not measured takes no part.
        """
        self._make(pairs)
        valid = np.stack([self._kept[p]["valid"] if p in self._kept else self._read("valid", p) for p in pairs])
        masks = [np.packbits(mask).tobytes() if self._alike else pair for mask, pair in zip(valid, pairs, strict=True)]
        first = {mask: n for n, mask in reversed(list(enumerate(masks)))}
        chosen = list(first.values())
        # a phase of exactly 0 means that there is no measurement
        plain = np.where(pattern == 0, _TINY, pattern).astype(np.float32)
        phase = np.where(valid[chosen], plain, np.float32(np.nan))
        near = self.stack.isel(pair=[pairs[n] for n in chosen]).drop_vars("delay", errors="ignore")
        left = self._to_tiles(near.assign(phase=(("pair", "y", "x"), phase)))["phase"].values
        by_mask = dict(zip(first, left, strict=True))
        return [by_mask[mask] for mask in masks]

    def _coordinates(self, pairs: Sequence[int]) -> dict[str, Any]:
        names = ("pair", *(name for name in self.none.coords if name != "pair" and "pair" in self.none[name].dims))
        return {str(name): ("pair", self.stack[name].values[list(pairs)]) for name in names}

    def _asked(self, name: str, pairs: NDArray[np.int64]) -> NDArray[Any]:
        self._make(pairs.tolist())
        return self._stacked(name, pairs.tolist())

    def _make(self, pairs: Sequence[int]) -> None:
        missing = sorted({p for p in pairs if p not in self.made})
        for start in range(0, len(missing), BATCH):
            some = missing[start : start + BATCH]
            tiles = self._to_tiles(self.stack.isel(pair=some))[list(self._size)].load()
            for n, pair in enumerate(some):
                self._write(pair, {name: tiles[name].values[n] for name in self._size})
            self.made.update(some)

    def _write(self, pair: int, arrays: dict[str, NDArray[Any]]) -> None:
        record = b"".join(np.ascontiguousarray(arrays[name]).tobytes() for name in self._size)
        os.pwrite(self._file.fileno(), record, pair * len(record))

    def _read(self, name: str, pair: int) -> NDArray[Any]:
        size, before = self._size[name], 0
        for other in self._size:
            if other == name:
                break
            before += self._size[other]
        found = os.pread(self._file.fileno(), size, pair * sum(self._size.values()) + before)
        return np.frombuffer(found, self.none[name].dtype).reshape(self.shape)

    def _stacked(self, name: str, pairs: Sequence[int]) -> NDArray[Any]:
        planes = [self._read(name, pair) for pair in pairs]
        return np.stack(planes) if planes else np.empty((0, *self.shape), self.none[name].dtype)
