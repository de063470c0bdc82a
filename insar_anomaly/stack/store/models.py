"""Models: fitted scorers, one group each, named by a hash of their content."""

from __future__ import annotations

import json
from itertools import count

import icechunk
import xarray as xr
import zarr

from insar_anomaly.errors import NotFitted
from insar_anomaly.stack.arrays import content_hash, text_from_attributes, text_to_attributes, whole_chunks
from insar_anomaly.stack.store.backbones import Backbones, Spare
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.repository import BRANCH, groups, repeated, write


class Models(Backbones):
    """The models of the store, each without its network: many models share one."""

    def write_model(self, stack: str, model: xr.Dataset) -> str:
        """Store a fitted scorer; returns its id, a hash of its content. Storing it twice changes nothing.

        Workers may store models of one stack at the same time: one of them waits, or finds that it came second and repeats.
        """
        identity = content_hash(model)
        with self._explained(stack):
            for tried in count():
                try:
                    plain = text_to_attributes(self._parted(model))
                    with self._alone("models", stack):
                        self._write_model(stack, identity, plain)
                    break
                except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                    if not repeated(problem, tried):
                        raise
        return identity

    def _write_model(self, stack: str, identity: str, plain: xr.Dataset) -> None:
        repository = self._repository("models", stack, create=True)
        if identity in groups(repository):
            return
        session = repository.writable_session(BRANCH)
        write(plain, session.store, group=identity, mode="w-", encoding=whole_chunks(plain))
        session.commit(f"{stack}: model {identity}")

    def models(self, stack: str) -> set[str]:
        """Ids of the stored scorers of a stack; empty where there is none."""
        with self._explained(stack):
            if not self._exists("models", stack):
                return set()
            return groups(self._repository("models", stack))

    def fitted(self, stack: str, model: str) -> set[str]:
        """Names of the pairs (or intervals, or acquisitions) that a stored scorer was fitted on; its arrays stay unread."""
        with self._explained(stack):
            session = self._repository("models", stack).readonly_session(BRANCH)
            with xr.open_zarr(counted(session), group=model, consolidated=False, chunks=None) as dataset:
                return set(json.loads(dataset.attrs["text_arrays"])["fitted_pair"][1])

    def read_model(self, stack: str, model: str, *, spare: Spare | None = None) -> xr.Dataset:
        """A stored scorer, loaded. A network that the store has lost is taken from `spare`, where that has it.

        Raises
        ------
        NotFitted
            where there is no model of that id, or its network is nowhere.
        """
        with self._explained(stack):
            if not self._exists("models", stack):
                raise NotFitted(f"{stack}: no model is stored under {self.url}; run `insar-anomaly fit`")
            session = self._repository("models", stack).readonly_session(BRANCH)
            try:
                with xr.open_zarr(counted(session), group=model, consolidated=False, chunks=None) as dataset:
                    return self._joined(stack, text_from_attributes(dataset.load()), spare)
            except zarr.errors.GroupNotFoundError:
                raise NotFitted(f"{stack}: model {model} is not in {self.url}; run `insar-anomaly fit` again") from None
