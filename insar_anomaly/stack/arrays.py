"""Datasets as the store writes them: chunks, descriptions, text, and a hash of their content. No storage library here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.schema import Array, check

Encoding = dict[str, dict[str, Any]]
"""Per array, as xarray takes it."""


def content_hash(dataset: xr.Dataset) -> str:
    """Hash of arrays, names, dims and attributes, 16 hexadecimal digits."""
    sha = hashlib.sha256(json.dumps(dataset.attrs, sort_keys=True, default=str).encode())
    for name in sorted(map(str, dataset.variables)):
        variable = dataset[name]
        sha.update(f"{name} {variable.dims} {variable.dtype} {variable.shape}".encode())
        sha.update(np.ascontiguousarray(variable.values).tobytes())
    return sha.hexdigest()[:16]


def encoding(dataset: xr.Dataset, table: Mapping[str, Array], compressors: tuple[object, ...]) -> Encoding:
    """Chunks, compressor and dtype of every array, as `schema` says."""
    out: Encoding = {}
    for name, array in table.items():
        if name not in dataset.variables:
            continue
        chunks = tuple(array.chunk if d == "pair" else max(1, dataset.sizes[d]) for d in array.dims)
        out[name] = {"chunks": chunks, "compressors": compressors}
        if array.dtype.startswith("datetime"):
            out[name] |= {"units": "days since 1970-01-01", "dtype": "int64"}
    return out


def whole_chunks(dataset: xr.Dataset) -> Encoding:
    """Chunks of at most 64 MiB along the first dimension: models are read whole."""
    out = {}
    for name, variable in dataset.variables.items():
        if not variable.ndim:
            continue
        row = max(1, int(np.prod(variable.shape[1:], dtype=np.int64)) * variable.dtype.itemsize)
        first = max(1, min(variable.shape[0], 64 * 2**20 // row))
        out[str(name)] = {"chunks": (first, *variable.shape[1:])}
    return out


def described(dataset: xr.Dataset, table: Mapping[str, Array]) -> xr.Dataset:
    """The dataset with the table's words and units as attributes."""
    out = dataset.copy()
    for name, array in table.items():
        if name in out.variables:
            # time units are encoded, not described
            units = {} if array.dtype.startswith("datetime") else {"units": array.units}
            out[name].attrs = {"long_name": array.words, **units}
    return out


def insist(dataset: xr.Dataset, table: Mapping[str, Array], stack: str) -> None:
    """Raise StoreFailed where the dataset does not fit the table."""
    wrong = check(dataset, table)
    if wrong:
        raise StoreFailed(f"{stack}: refused to store arrays that do not fit the schema: {'; '.join(wrong)}")


def text_to_attributes(dataset: xr.Dataset) -> xr.Dataset:
    """Text arrays as JSON attributes: fixed-width text has no Zarr v3 specification."""
    text = {str(n): v for n, v in dataset.variables.items() if v.dtype.kind in "UO"}
    stored = {n: [list(v.dims), v.values.tolist()] for n, v in text.items()}
    return dataset.drop_vars(list(text)).assign_attrs(text_arrays=json.dumps(stored))


def text_from_attributes(dataset: xr.Dataset) -> xr.Dataset:
    """The inverse of `text_to_attributes`."""
    stored = json.loads(dataset.attrs.pop("text_arrays", "{}"))
    return dataset.assign({n: (dims, np.asarray(values, str)) for n, (dims, values) in stored.items()})
