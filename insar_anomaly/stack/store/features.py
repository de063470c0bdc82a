"""Features of tiles, kept from one fit to the next: batches named by a hash of their content, with the tiles' keys inside.

They are a copy of what the stack's pairs give, and can be made again from these. A *recipe* names everything but the tile
that decides them, a key the tile. What no fit uses any more is dropped by `drop_features`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

import icechunk
import xarray as xr
import zarr

from insar_anomaly.stack.arrays import content_hash, whole_chunks
from insar_anomaly.stack.store.repository import BRANCH, COMPRESSORS, Repositories, write

_KIND = "features"


class Features(Repositories):
    """The features of the store."""

    def feature_keys(self, stack: str, recipe: str) -> dict[str, list[str]]:
        """The keys of the tiles in each batch of a recipe, by the batch's name, in the order of its rows."""
        with self._explained(stack):
            root = self._features(stack)
            if root is None or recipe not in root:
                return {}
            batches = root.require_group(recipe).groups()
            return {name: list(json.loads(str(batch.attrs["keys"]))) for name, batch in batches}

    def read_features(self, stack: str, recipe: str, batch: str) -> xr.Dataset:
        """A batch, loaded, as it was written; without its keys."""
        with self._explained(stack):
            session = self._repository(_KIND, stack).readonly_session(BRANCH)
            with xr.open_zarr(session.store, group=f"{recipe}/{batch}", consolidated=False, chunks=None) as dataset:
                found: xr.Dataset = dataset.load().drop_attrs()
            return found

    def write_features(self, stack: str, recipe: str, batch: xr.Dataset, *, keys: Collection[str]) -> str:
        """Keep a batch in one transaction; returns its name. Keeping it twice changes nothing."""
        batch = batch.assign_attrs(keys=json.dumps(list(keys)))
        name = content_hash(batch)
        with self._explained(stack), self._alone(_KIND, stack):
            repository = self._repository(_KIND, stack, create=True)
            session = repository.writable_session(BRANCH)
            root = zarr.open_group(session.store, mode="a")
            if name in root.require_group(recipe):
                return name
            chunks = {one: {**how, "compressors": COMPRESSORS} for one, how in whole_chunks(batch).items()}
            write(batch, session.store, group=f"{recipe}/{name}", mode="w-", encoding=chunks)
            session.commit(f"{stack}: features of {len(keys)} tiles", rebase_with=icechunk.ConflictDetector())
        return name

    def use_features(self, stack: str, recipe: str, *, kind: str, batches: Collection[str]) -> None:
        """Write down that the newest fit of this kind of evidence used these batches of a recipe, and no others."""
        used = {"kind": kind, "used": sorted(batches)}
        with self._explained(stack), self._alone(_KIND, stack):
            root = self._features(stack)
            newest = None if root is None else _newest(root).get(kind)
            if root is None or recipe not in root:
                return
            if newest == recipe and dict(root.require_group(recipe).attrs) | used == dict(root.require_group(recipe).attrs):
                return
            session = self._repository(_KIND, stack).writable_session(BRANCH)
            group = zarr.open_group(session.store, mode="a").require_group(recipe)
            group.attrs.update(used | {"fitted": datetime.now(UTC).isoformat()})
            session.commit(f"{stack}: features in use", rebase_with=icechunk.ConflictDetector())

    def drop_features(self, stack: str) -> int:
        """Delete batches that the newest fit of their kind of evidence did not use; returns their number.

        Their space is free once the snapshots that held them have expired.
        """
        with self._explained(stack):
            if self._features(stack) is None:
                return 0
        with self._explained(stack), self._alone(_KIND, stack):
            root = self._features(stack)
            lost = [] if root is None else _unused(root)
            if not lost:
                return 0
            session = self._repository(_KIND, stack).writable_session(BRANCH)
            opened = zarr.open_group(session.store, mode="a")
            for name in lost:
                del opened[name]
            session.commit(f"{stack}: {len(lost)} batches of features dropped", rebase_with=icechunk.ConflictDetector())
            return len(lost)

    def _features(self, stack: str) -> zarr.Group | None:
        """The group of the stack's recipes, to be read; None where nothing was kept."""
        if not self._exists(_KIND, stack):
            return None
        session = self._repository(_KIND, stack).readonly_session(BRANCH)
        try:
            return zarr.open_group(session.store, mode="r")
        except zarr.errors.GroupNotFoundError:  # a process was killed before the first commit
            return None


def _newest(root: zarr.Group) -> Mapping[str, str]:
    """The recipe of the newest fit of each kind of evidence."""
    fitted = sorted(
        (str(group.attrs["fitted"]), str(group.attrs["kind"]), recipe)
        for recipe, group in root.groups()
        if "fitted" in group.attrs
    )
    return {kind: recipe for _, kind, recipe in fitted}


def _unused(root: zarr.Group) -> list[str]:
    """Batches, ``recipe/name``, that no newest fit of any kind of evidence has used."""
    current = {recipe: json.dumps(root.require_group(recipe).attrs["used"]) for recipe in _newest(root).values()}
    return [
        f"{recipe}/{name}"
        for recipe, group in root.groups()
        for name in group.group_keys()
        if json.dumps(name) not in current.get(recipe, "")
    ]
