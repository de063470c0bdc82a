"""Backbones: networks, stored once under the hash of their content, and joined to the models that use them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import xarray as xr

from insar_anomaly.errors import NotFitted
from insar_anomaly.stack.store.counted import counted
from insar_anomaly.stack.store.repository import BRANCH, Repositories, groups, write

NETWORK = "network"
"""The variable of a scorer's dataset that holds its network, dims (byte,), uint8."""
_STORED = "stored_network"
"""Attribute of a stored model that names the network it was parted from."""
_FOLDER = "backbones"

Spare = Callable[[str], xr.DataArray | None]
"""Gives the network of a hash from elsewhere, or None."""


def network_hash(network: xr.DataArray) -> str:
    """The name under which a network (byte,) uint8 is stored, 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(network.values).tobytes()).hexdigest()[:16]


class Backbones(Repositories):
    """The networks of the store's models, in one repository for each: ``models/backbones/<hash>``."""

    def _parted(self, model: xr.Dataset) -> xr.Dataset:
        """The model without its network, which is stored by itself; a model without one as it is."""
        if NETWORK not in model:
            return model
        network = model[NETWORK]
        name = network_hash(network)
        self._write_network(name, network)
        return model.drop_vars(NETWORK).assign_attrs({_STORED: name})

    def _joined(self, stack: str, model: xr.Dataset, spare: Spare | None) -> xr.Dataset:
        """The inverse of `_parted`; models of earlier versions carry their network themselves.

        Where the network is not in the store, `spare` may have it.

        Raises
        ------
        NotFitted
            where the network is nowhere.
        """
        if (name := model.attrs.get(_STORED)) is None:
            return model
        found: xr.DataArray | None
        try:
            found = _network(self, name)
        except KeyError:
            found = None if spare is None else spare(name)
        if found is None:
            raise NotFitted(
                f"{stack}: its model needs the network {name}, which is not under {self.url}/models/{_FOLDER}: "
                "copy that folder back from where the store came from, or run `insar-anomaly fit --again`"
            )
        out = model.assign({NETWORK: found})
        del out.attrs[_STORED]
        return out

    def _write_network(self, name: str, network: xr.DataArray) -> None:
        with self._alone("models", f"{_FOLDER}/{name}"):
            repository = self._repository("models", f"{_FOLDER}/{name}", create=True)
            if name in groups(repository):
                return
            session = repository.writable_session(BRANCH)
            whole = {NETWORK: {"chunks": network.shape}}
            write(xr.Dataset({NETWORK: network}), session.store, group=name, mode="w-", encoding=whole)
            session.commit(f"network {name}")

    def _read_network(self, name: str) -> xr.DataArray:
        if not self._exists("models", f"{_FOLDER}/{name}"):
            raise KeyError(name)
        repository = self._repository("models", f"{_FOLDER}/{name}")
        if name not in groups(repository):
            raise KeyError(name)
        session = repository.readonly_session(BRANCH)
        with xr.open_zarr(counted(session), group=name, consolidated=False, chunks=None) as dataset:
            network: xr.DataArray = dataset[NETWORK].load()
        return network


@lru_cache(maxsize=2)
def _network(store: Backbones, name: str) -> xr.DataArray:
    """A network of the store; a worker reads it once for all stacks. Raises KeyError where it is not there."""
    return store._read_network(name)
