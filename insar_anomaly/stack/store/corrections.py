"""What a provider corrects: pairs overwritten by a new version, pairs withdrawn. Snapshots of before stay as they were."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, cast

import icechunk
import numpy as np
import xarray as xr
import zarr

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.arrays import insist
from insar_anomaly.stack.schema import STACK, pair_names
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.optional import per_pair, with_optional
from insar_anomaly.stack.store.repository import BRANCH, Place, repeated, stored, write
from insar_anomaly.stack.store.stacks import Stacks
from insar_anomaly.stack.store.writer import Writer

_PER_PAIR = per_pair(STACK)


class Corrections(Stacks):
    """Stacks whose pairs can be replaced and withdrawn."""

    def put(self, stack: str, batch: xr.Dataset, *, writer: Writer | None = None) -> str:
        """Store pairs in one transaction, in place of what is stored of them; returns the snapshot id.

        Pairs that are not stored yet are appended. ``version`` of the batch says which version each pair is; one that was
        withdrawn is so no more. An optional array that the batch lacks is `Array.missing` for its pairs.
        """
        batch = batch.drop_vars([n for n in batch.variables if "pair" not in batch[n].dims or n == "pair"])
        batch = batch.assign(withdrawn=("pair", np.zeros(batch.sizes["pair"], bool)))
        insist(batch, _PER_PAIR, stack)
        return self._changed(stack, lambda session: _put(session, batch), writer)

    def withdraw(self, stack: str, pairs: Sequence[str], *, writer: Writer | None = None) -> str:
        """Mask pairs out of the stack in one transaction; returns the snapshot id. Their values stay where they are.

        Raises StoreFailed where one is not stored.
        """
        return self._changed(stack, lambda session: _withdraw(session, pairs, stack), writer)

    def _changed(self, stack: str, change: Callable[[icechunk.Session], str], writer: Writer | None) -> str:
        with self._explained(stack):
            for tried in count():
                try:
                    place: Place = self._place("stacks", stack)
                    session = place.repository.writable_session(BRANCH)
                    if not (words := change(session)):
                        return str(session.snapshot_id)
                    return self._commit(place, session, f"{stack}: {words}", writer)
                except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                    if not repeated(problem, tried):
                        raise
        raise AssertionError


def _put(session: icechunk.Session, batch: xr.Dataset) -> str:
    before, attributes = stored(session, None)
    place = {name: i for i, (name, _, _) in enumerate(before)}
    names = pair_names(batch)
    known = [i for i, name in enumerate(names) if name in place]
    fresh = [i for i, name in enumerate(names) if name not in place]
    group = zarr.open_group(counted(session), mode="r+")
    batch = with_optional(batch, group, STACK, stored=len(before))
    at = np.array([place[names[i]] for i in known], int)
    for name in _PER_PAIR.keys() & set(batch.variables) - {"reference", "secondary"} if known else ():
        _overwrite(group[name], at, batch[name].values[known])
    if fresh:
        write(batch.isel(pair=fresh).assign_attrs(attributes), session.store, append_dim="pair")
    return f"{len(known)} pairs replaced, {len(fresh)} added"


def _withdraw(session: icechunk.Session, pairs: Sequence[str], stack: str) -> str:
    place = {name: i for i, (name, _, _) in enumerate(stored(session, None)[0])}
    if strange := [name for name in pairs if name not in place]:
        raise StoreFailed(f"{stack}: pair {strange[0]} is not stored, and cannot be withdrawn; run `insar-anomaly ingest`")
    group = zarr.open_group(counted(session), mode="r+")
    marks = xr.Dataset({"withdrawn": ("pair", np.ones(len(pairs), bool))})
    with_optional(marks, group, {"withdrawn": STACK["withdrawn"]}, stored=len(place))
    at, array = np.array([place[name] for name in pairs], int), cast("zarr.Array[Any]", group["withdrawn"])
    if np.asarray(array[:])[at].all():
        return ""
    _overwrite(array, at, marks["withdrawn"].values)
    return f"{len(at)} pairs withdrawn"


def _overwrite(array: Any, at: np.ndarray[Any, np.dtype[np.int64]], values: np.ndarray[Any, Any]) -> None:
    """Replace rows of an array along its first dimension: chunk by chunk where each row is one, else the whole array."""
    if array.ndim == 1 or array.chunks[0] > 1:
        whole = array[:]
        whole[at] = values
        array[:] = whole
        return
    for row, value in zip(at.tolist(), values, strict=True):
        array[row] = value
