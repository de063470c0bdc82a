"""Arrays that only some pairs came with: an append keeps all arrays of a group equally long."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
import zarr

from insar_anomaly.stack.schema import Array
from insar_anomaly.stack.store.repository import COMPRESSORS


def per_pair(table: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays of a table that grow with every pair."""
    return {name: array for name, array in table.items() if "pair" in array.dims}


def with_optional(batch: xr.Dataset, group: zarr.Group, table: Mapping[str, Array], *, stored: int) -> xr.Dataset:
    """The batch with what the group has, and the group with what the batch has; `Array.missing` where there is nothing.

    A chunk of nothing but that takes no space. `stored` is the number of pairs that the group holds.
    """
    for name, array in per_pair(table).items():
        if array.required or (name in batch) == (name in group):
            continue
        of_pair = tuple({**batch.sizes, "end": 2}[dim] for dim in array.dims[1:])
        if name in group:
            batch = batch.assign({name: (array.dims, np.full((batch.sizes["pair"], *of_pair), array.missing, array.dtype))})
            continue
        group.create_array(
            name,
            shape=(stored, *of_pair),
            chunks=(array.chunk, *of_pair),
            dtype=array.dtype,
            fill_value=array.missing,
            compressors=COMPRESSORS,
            dimension_names=array.dims,
            attributes={"long_name": array.words, "units": array.units},
        )
    return batch
