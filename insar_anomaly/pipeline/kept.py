"""Features of tiles in the store: a fit reads what an earlier one kept, and computes only what is new."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import FeatureSpace
from insar_anomaly.detectors.feature_file import SHORT, Rows
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.stack.store import Store

_BATCH_BYTES = 16 * 2**20
_MOST_TILES = 64


class StoredFeatures:
    """See `detectors.feature_file.Kept`. What was written is complete after `close`.

    Parameters
    ----------
    store, stack : where
    recipe : names everything but the tile that decides its features, see `recipe_of`
    patches : patches of a tile
    """

    def __init__(self, store: Store, stack: str, recipe: str, *, patches: int) -> None:
        self._store, self._stack, self._recipe, self._patches = store, stack, recipe, patches
        self._used: set[str] = set()
        self._keys: list[str] = []
        self._rows: list[Rows] = []

    def read(self, keys: Collection[str]) -> Iterator[tuple[list[str], Rows]]:
        """Those of these tiles that are there, one stored batch at a time."""
        done: set[str] = set()
        for name, stored in self._store.feature_keys(self._stack, self._recipe).items():
            wanted = [n for n, key in enumerate(stored) if key in keys and key not in done]
            if not wanted:
                continue
            found = [stored[n] for n in wanted]
            done.update(found)
            self._used.add(name)
            batch = self._store.read_features(self._stack, self._recipe, name).isel(tile=wanted)
            yield found, _rows(batch, self._patches)

    def write(self, keys: Sequence[str], rows: Rows) -> None:
        """Keep these; they are stored some batches at a time."""
        self._keys += keys
        self._rows.append(rows)
        if len(self._keys) >= min(_MOST_TILES, _BATCH_BYTES // max(1, rows.values[0].nbytes)):
            self._flush()

    def close(self, kind: EvidenceKind) -> None:
        """Store what is left, and write down what the newest fit of this kind uses."""
        self._flush()
        self._store.use_features(self._stack, self._recipe, kind=kind.value, batches=self._used)

    def _flush(self) -> None:
        if not self._keys:
            return
        batch = xr.concat([_dataset(rows) for rows in self._rows], "tile")
        self._used.add(self._store.write_features(self._stack, self._recipe, batch, keys=self._keys))
        self._keys, self._rows = [], []


def recipe_of(recipe: Recipe, space: FeatureSpace, stack: xr.Dataset) -> str:
    """Names all that decides features but the tile: cleaning, reach, polygons, the detector's part of it, the ground."""
    ground = hashlib.sha256()
    for name in ("height", "water", "e", "n", "u", "y", "x"):
        ground.update(np.ascontiguousarray(stack[name].values).tobytes())
    content = [
        recipe.evidence.value,
        asdict(recipe.cleaning),
        recipe.reach.content if recipe.evidence is not EvidenceKind.PAIR else None,
        recipe.exclude,
        space.identity,
        ground.hexdigest(),
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _dataset(rows: Rows) -> xr.Dataset:
    """Rows as arrays for the store: numbers by their three bytes, which compress better apart, and packed bits."""
    tiles = len(rows.values)
    planes = np.ascontiguousarray(rows.values).view(np.uint8).reshape(tiles, -1, SHORT.itemsize).transpose(0, 2, 1)
    out = xr.Dataset(
        {
            "values": (("tile", "byte", "number"), np.ascontiguousarray(planes)),
            "seen": (("tile", "octet"), np.packbits(rows.seen, axis=1)),
        }
    )
    return out if rows.weight is None else out.assign(weight=(("tile", "patch"), rows.weight))


def _rows(batch: xr.Dataset, patches: int) -> Rows:
    planes = np.ascontiguousarray(batch["values"].values.transpose(0, 2, 1))
    values: NDArray[np.void] = planes.view(SHORT)[..., 0]
    seen = np.unpackbits(batch["seen"].values, axis=1, count=patches).astype(bool)
    return Rows(values, seen, batch["weight"].values if "weight" in batch else None)
