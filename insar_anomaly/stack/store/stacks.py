"""Stacks: phase, coherence and static layers of one volcano on one frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import icechunk
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.arrays import described, encoding, insist
from insar_anomaly.stack.schema import STACK, pair_names
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.optional import per_pair, with_optional
from insar_anomaly.stack.store.repository import (
    BRANCH,
    COMPRESSORS,
    Place,
    Repositories,
    assessments,
    repeated,
    stored,
    write,
)
from insar_anomaly.stack.store.writer import FENCE, Writer

_PER_PAIR = per_pair(STACK)
_COORDINATES = [name for name, array in _PER_PAIR.items() if "y" not in array.dims]


@dataclass(frozen=True)
class Kept:
    """How a stack keeps a pair: its version (0 = as it was first stored), and whether it is withdrawn."""

    version: int = 0
    withdrawn: bool = False


class Stacks(Repositories):
    """The stacks of the store."""

    def has(self, stack: str) -> bool:
        """True where the stack was created.

        A process that was killed between making the repository and its first commit leaves one without arrays: that is none.
        """
        with self._explained(stack):
            if not self._exists("stacks", stack):
                return False
            session = self._repository("stacks", stack).readonly_session(BRANCH)
            try:
                return "phase" in zarr.open_group(session.store, mode="r")
            except zarr.errors.GroupNotFoundError:
                return False

    def create(self, stack: str, static: xr.Dataset, *, writer: Writer | None = None, branch: str = BRANCH) -> str:
        """Make an empty stack with its static layers; returns the snapshot id. On a `branch` of its own, anew."""
        empty = static.assign(
            phase=(("pair", "y", "x"), np.empty((0, static.sizes["y"], static.sizes["x"]), np.float32)),
            coherence=(("pair", "y", "x"), np.empty((0, static.sizes["y"], static.sizes["x"]), np.uint8)),
            reference=("pair", np.empty(0, "datetime64[ns]")),
            secondary=("pair", np.empty(0, "datetime64[ns]")),
            baseline=("pair", np.empty(0, np.float32)),
        )
        insist(empty, STACK, stack)
        with self._explained(stack):
            place = self._place("stacks", stack, create=True)
            session = place.repository.writable_session(branch)
            mode = "w-" if branch == BRANCH else "w"
            write(described(empty, STACK), session.store, mode=mode, encoding=encoding(empty, STACK, COMPRESSORS))
            return self._commit(place, session, f"{stack}: created", writer)

    def append(self, stack: str, batch: xr.Dataset, *, writer: Writer | None = None, branch: str = BRANCH) -> str:
        """Append pairs in one transaction; returns the snapshot id.

        Pairs already stored are left out, so a retry after a crash stores nothing twice. An optional array that the batch
        lacks is `Array.missing` for its pairs; one that the stack lacks is that for the pairs before.
        """
        batch = batch.drop_vars([n for n in batch.variables if "pair" not in batch[n].dims or n == "pair"])
        # an array that is missing here would make the stack's arrays differ in length, without a word from Zarr
        insist(batch, _PER_PAIR, stack)
        with self._explained(stack):
            for tried in count():
                try:
                    return self._append(self._place("stacks", stack), batch, writer, branch)
                except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                    if not repeated(problem, tried):
                        raise
        raise AssertionError

    def _append(self, place: Place, batch: xr.Dataset, writer: Writer | None, branch: str) -> str:
        # one session reads and writes: another one would ask the store again for all that leads to the arrays
        session = place.repository.writable_session(branch)
        before, attributes = stored(session, None)
        known = set(before)
        fresh = [i for i, assessment in enumerate(assessments(batch)) if assessment not in known]
        if not fresh:
            return str(session.snapshot_id)
        # an append replaces the group's attributes by the batch's: hand the old ones on
        group = zarr.open_group(session.store, mode="r+")
        batch = with_optional(batch.isel(pair=fresh), group, STACK, stored=len(before))
        write(batch.assign_attrs(attributes), session.store, append_dim="pair")
        return self._commit(place, session, f"{place.stack}: {len(fresh)} pairs", writer)

    def pairs(self, stack: str, *, branch: str = BRANCH) -> list[str]:
        """Stored pairs that are not withdrawn, in the order in which they came."""
        return [pair for pair, state in self.versions(stack, branch=branch).items() if not state.withdrawn]

    def versions(self, stack: str, *, branch: str = BRANCH) -> dict[str, Kept]:
        """Every stored pair, in the order in which they came, with its version and whether it is withdrawn."""
        with self._explained(stack):
            session = self._repository("stacks", stack).readonly_session(branch)
            with xr.open_zarr(counted(session), consolidated=False, chunks=None) as held:
                names, version, gone = pair_names(held), *(_marks(held, name) for name in ("version", "withdrawn"))
        return {pair: Kept(int(n), bool(out)) for pair, n, out in zip(names, version, gone, strict=True)}

    def snapshot(self, stack: str) -> str:
        """Id of the stack's newest snapshot."""
        with self._explained(stack):
            return self._repository("stacks", stack).lookup_branch(BRANCH)

    def open(
        self,
        stack: str,
        *,
        snapshot: str | None = None,
        pairs: Sequence[str] | None = None,
        withdrawn: bool = False,
    ) -> xr.Dataset:
        """A stack sorted by date, as in `stack.schema.STACK` plus coordinate ``pair``; nothing but coordinates is read yet.

        Coherence stays uint8. Attribute ``snapshot`` says what is read. Chunk the result to compute on it lazily.

        Parameters
        ----------
        snapshot : an earlier state of the stack; None takes the newest
        pairs : only these; StoreFailed where one is not stored
        withdrawn : with the pairs that are withdrawn in that state; without it they are not there
        """
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            identity = snapshot or repository.lookup_branch(BRANCH)
            session = repository.readonly_session(snapshot_id=identity)
            # not chunked here: a Dask chunk of many pairs is then one request to the store, not one per pair
            dataset = xr.open_zarr(counted(session), consolidated=False, chunks=None)
        dataset = dataset.set_coords([name for name in _COORDINATES if name in dataset])
        dataset = dataset.assign_coords(pair=pair_names(dataset))
        order = np.lexsort((dataset["reference"].values, dataset["secondary"].values))
        dataset = dataset.isel(pair=order if withdrawn else order[~_marks(dataset, "withdrawn")[order].astype(bool)])
        if pairs is not None:
            place = {name: i for i, name in enumerate(map(str, dataset["pair"].values))}
            if lost := [name for name in pairs if name not in place]:
                raise StoreFailed(
                    f"{stack}: {len(lost)} pairs are not in {self.url} (snapshot {identity}), first {lost[0]}; "
                    "run `insar-anomaly ingest`, which reads again what was lost"
                )
            dataset = dataset.isel(pair=sorted(place[name] for name in pairs))
        out: xr.Dataset = dataset.assign_attrs(snapshot=identity)
        out.attrs.pop(FENCE, None)
        return out


def _marks(held: xr.Dataset, name: str) -> NDArray[Any]:
    """An optional array (pair,), or what it is where the stack has none."""
    if name in held:
        return np.asarray(held[name].values)
    return np.full(held.sizes["pair"], STACK[name].missing, STACK[name].dtype)
