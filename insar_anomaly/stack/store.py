"""The only reader and writer of stacks, models and scores, in Icechunk repositories. One append is one transaction.

Layout below the store's URL: ``stacks/<gvp>/<frame>``, ``models/<gvp>/<frame>`` and ``scores/<gvp>/<frame>``, the last two
with one group per model. A commit either happens as a whole or not at all, so a reader never sees half a batch.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

# a local store warns at every open that concurrent commits are unsafe there; the ledger's lock allows one writer only
os.environ.setdefault("ICECHUNK_LOG", "error")

import icechunk
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from insar_anomaly.errors import NotFitted, StoreFailed
from insar_anomaly.stack.arrays import (
    content_hash,
    described,
    encoding,
    insist,
    text_from_attributes,
    text_to_attributes,
    whole_chunks,
)
from insar_anomaly.stack.schema import SCORES, STACK, pair_names

_BRANCH = "main"
_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, None)
"""Pauses before a commit is repeated because another writer was first; None: not again."""
_COMPRESSORS = (BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),)
_PER_PAIR = {name: array for name, array in STACK.items() if "pair" in array.dims}


@dataclass(frozen=True)
class Store:
    """Stacks, models and scores below one URL. Cheap to make and to send to a worker: nothing is open in it.

    Parameters
    ----------
    url : a folder, ``file://`` or ``s3://bucket/prefix``
    endpoint_url, region, anonymous : for S3; credentials come from the environment
    """

    url: str
    endpoint_url: str | None = None
    region: str = "us-east-1"
    anonymous: bool = False

    def probe(self) -> None:
        """Commit something to a repository of its own, so as to see whether that can be done; on S3 a few kB stay.

        Raises StoreFailed where the store cannot be written.
        """
        with self._explained("probe"):
            session = self._repository("probe", "doctor", create=True).writable_session(_BRANCH)
            zarr.open_group(session.store, mode="a").attrs["probed"] = datetime.now(UTC).isoformat()
            session.commit("probed")
            if not self.url.startswith("s3://"):
                shutil.rmtree(Path(self.url.removeprefix("file://")) / "probe")

    # -- stacks ------------------------------------------------------------------------------------------------------

    def has(self, stack: str) -> bool:
        """True where the stack was created.

        A process that was killed between making the repository and its first commit leaves one without arrays: that is none.
        """
        with self._explained(stack):
            if not icechunk.Repository.exists(self._storage("stacks", stack)):
                return False
            session = self._repository("stacks", stack).readonly_session(_BRANCH)
            try:
                return "phase" in zarr.open_group(session.store, mode="r")
            except zarr.errors.GroupNotFoundError:
                return False

    def create(self, stack: str, static: xr.Dataset) -> str:
        """Make an empty stack with its static layers; returns the snapshot id."""
        empty = static.assign(
            phase=(("pair", "y", "x"), np.empty((0, static.sizes["y"], static.sizes["x"]), np.float32)),
            coherence=(("pair", "y", "x"), np.empty((0, static.sizes["y"], static.sizes["x"]), np.uint8)),
            reference=("pair", np.empty(0, "datetime64[ns]")),
            secondary=("pair", np.empty(0, "datetime64[ns]")),
            baseline=("pair", np.empty(0, np.float32)),
        )
        insist(empty, STACK, stack)
        with self._explained(stack):
            session = self._repository("stacks", stack, create=True).writable_session(_BRANCH)
            _write(described(empty, STACK), session.store, mode="w", encoding=encoding(empty, STACK, _COMPRESSORS))
            return session.commit(f"{stack}: created")

    def append(self, stack: str, batch: xr.Dataset) -> str:
        """Append pairs in one transaction; returns the snapshot id.

        Pairs already stored are left out, so a retry after a crash stores nothing twice. An optional array that the batch
        lacks is NaN for its pairs; one that the stack lacks is NaN for the pairs before.
        """
        batch = batch.drop_vars([n for n in batch.variables if "pair" not in batch[n].dims or n == "pair"])
        # an array that is missing here would make the stack's arrays differ in length, without a word from Zarr
        insist(batch, _PER_PAIR, stack)
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            known, attributes = _stored(repository, None)
            fresh = [i for i, assessment in enumerate(_assessments(batch)) if assessment not in known]
            if not fresh:
                return repository.lookup_branch(_BRANCH)
            session = repository.writable_session(_BRANCH)
            # an append replaces the group's attributes by the batch's: hand the old ones on
            batch = _with_optional(batch.isel(pair=fresh), session.store, len(known))
            _write(batch.assign_attrs(attributes), session.store, append_dim="pair")
            return session.commit(f"{stack}: {len(fresh)} pairs")

    def pairs(self, stack: str) -> list[str]:
        """Stored pairs, in the order in which they came."""
        with self._explained(stack):
            return [name for name, _, _ in _stored(self._repository("stacks", stack), None)[0]]

    def snapshot(self, stack: str) -> str:
        """Id of the stack's newest snapshot."""
        with self._explained(stack):
            return self._repository("stacks", stack).lookup_branch(_BRANCH)

    def open(self, stack: str, *, snapshot: str | None = None, pairs: Sequence[str] | None = None) -> xr.Dataset:
        """A stack sorted by date, as in `stack.schema.STACK` plus coordinate ``pair``; nothing but coordinates is read yet.

        Coherence stays uint8. Attribute ``snapshot`` says what is read. Chunk the result to compute on it lazily.

        Parameters
        ----------
        snapshot : an earlier state of the stack; None takes the newest
        pairs : only these; StoreFailed where one is not stored
        """
        with self._explained(stack):
            repository = self._repository("stacks", stack)
            identity = snapshot or repository.lookup_branch(_BRANCH)
            session = repository.readonly_session(snapshot_id=identity)
            # not chunked here: a Dask chunk of many pairs is then one request to the store, not one per pair
            dataset = xr.open_zarr(session.store, consolidated=False, chunks=None)
        dataset = dataset.set_coords(["reference", "secondary", "baseline"])
        dataset = dataset.assign_coords(pair=pair_names(dataset))
        dataset = dataset.isel(pair=np.lexsort((dataset["reference"].values, dataset["secondary"].values)))
        if pairs is not None:
            place = {name: i for i, name in enumerate(map(str, dataset["pair"].values))}
            if lost := [name for name in pairs if name not in place]:
                raise StoreFailed(
                    f"{stack}: {len(lost)} pairs are not in {self.url} (snapshot {identity}), first {lost[0]}; "
                    "run `insar-anomaly ingest`, which reads again what was lost"
                )
            dataset = dataset.isel(pair=sorted(place[name] for name in pairs))
        out: xr.Dataset = dataset.assign_attrs(snapshot=identity)
        return out

    # -- models ------------------------------------------------------------------------------------------------------

    def write_model(self, stack: str, model: xr.Dataset) -> str:
        """Store a fitted scorer; returns its id, a hash of its content. Storing it twice changes nothing.

        Workers may store models of one stack at the same time: one of them waits, or finds that it came second and repeats.
        """
        identity, plain = content_hash(model), text_to_attributes(model)
        with self._explained(stack):
            for pause in _PAUSES_S:
                try:
                    with self._alone("models", stack):
                        self._write_model(stack, identity, plain)
                    break
                except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                    if pause is None or not _came_second(problem):
                        raise
                    time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311
        return identity

    def _write_model(self, stack: str, identity: str, plain: xr.Dataset) -> None:
        repository = self._repository("models", stack, create=True)
        if identity in _groups(repository):
            return
        session = repository.writable_session(_BRANCH)
        _write(plain, session.store, group=identity, mode="w-", encoding=whole_chunks(plain))
        session.commit(f"{stack}: model {identity}")

    def models(self, stack: str) -> set[str]:
        """Ids of the stored scorers of a stack; empty where there is none."""
        with self._explained(stack):
            if not icechunk.Repository.exists(self._storage("models", stack)):
                return set()
            return _groups(self._repository("models", stack))

    def fitted(self, stack: str, model: str) -> set[str]:
        """Names of the pairs (or intervals, or acquisitions) that a stored scorer was fitted on; its arrays stay unread."""
        with self._explained(stack):
            session = self._repository("models", stack).readonly_session(_BRANCH)
            with xr.open_zarr(session.store, group=model, consolidated=False, chunks=None) as dataset:
                return set(json.loads(dataset.attrs["text_arrays"])["fitted_pair"][1])

    def read_model(self, stack: str, model: str) -> xr.Dataset:
        """A stored scorer, loaded. Raises `NotFitted` where there is none of that id."""
        with self._explained(stack):
            storage = self._storage("models", stack)
            if not icechunk.Repository.exists(storage):
                raise NotFitted(f"{stack}: no model is stored under {self.url}; run `insar-anomaly fit`")
            repository = self._repository("models", stack)
            if model not in _groups(repository):
                raise NotFitted(f"{stack}: model {model} is not in {self.url}; run `insar-anomaly fit` again")
            session = repository.readonly_session(_BRANCH)
            with xr.open_zarr(session.store, group=model, consolidated=False, chunks=None) as dataset:
                return text_from_attributes(dataset.load())

    # -- scores ------------------------------------------------------------------------------------------------------

    def append_scores(self, stack: str, model: str, scores: xr.Dataset) -> str:
        """Append scores of one model in one transaction, without assessments already stored; returns the snapshot id.

        An assessment that was scored again because other pairs were fused for it is appended: the last one counts.
        """
        batch = scores.assign(score_map=scores["score_map"].astype(np.float16))
        batch = batch.drop_vars([n for n in batch.coords if n not in SCORES]).reset_coords()
        insist(batch, SCORES, stack)
        with self._explained(stack):
            repository = self._repository("scores", stack, create=True)
            started = model in _groups(repository)
            known, attributes = _stored(repository, model) if started else ([], {})
            fresh = [i for i, assessment in enumerate(_assessments(batch)) if assessment not in known]
            if not fresh:
                return repository.lookup_branch(_BRANCH)
            session = repository.writable_session(_BRANCH)
            batch = batch.isel(pair=fresh)
            if started:  # where the cells of the map lie was written with the first batch
                batch = batch.drop_vars(["lat", "lon"], errors="ignore")
                _write(batch.assign_attrs(attributes), session.store, group=model, append_dim="pair")
            else:
                _write(
                    described(batch, SCORES),
                    session.store,
                    group=model,
                    mode="w-",
                    encoding=encoding(batch, SCORES, _COMPRESSORS),
                )
            return session.commit(f"{stack}: {len(fresh)} scores of {model}")

    def read_scores(self, stack: str, model: str) -> xr.Dataset | None:
        """Scores of one model, lazy, in order of arrival, with coordinate ``pair``; None where there are none."""
        with self._explained(stack):
            if not icechunk.Repository.exists(self._storage("scores", stack)):
                return None
            repository = self._repository("scores", stack)
            if model not in _groups(repository):
                return None
            session = repository.readonly_session(_BRANCH)
            dataset = xr.open_zarr(session.store, group=model, consolidated=False, chunks={})
        named: xr.Dataset = dataset.assign_coords(pair=pair_names(dataset))
        return named

    # -- housekeeping ------------------------------------------------------------------------------------------------

    def expire(self, stack: str, *, older_than: timedelta) -> int:
        """Forget snapshots older than `older_than` and collect what only they held; returns the number of snapshots.

        The newest snapshot always stays. A score whose snapshot has expired can no longer be recomputed from it.
        """
        limit = datetime.now(UTC) - older_than
        forgotten = 0
        for kind in ("stacks", "models", "scores"):
            with self._explained(stack):
                if icechunk.Repository.exists(self._storage(kind, stack)):
                    repository = self._repository(kind, stack)
                    forgotten += len(repository.expire_snapshots(limit))
                    repository.garbage_collect(limit)
        return forgotten

    # -- inside ------------------------------------------------------------------------------------------------------

    def _storage(self, kind: str, stack: str) -> icechunk.Storage:
        if not self.url.startswith("s3://"):
            folder = Path(self.url.removeprefix("file://")) / kind / stack
            # icechunk makes it too, but panics where it cannot: no `except Exception` would catch that
            folder.mkdir(parents=True, exist_ok=True)
            return icechunk.local_filesystem_storage(str(folder))
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return icechunk.s3_storage(
            bucket=bucket,
            prefix="/".join(part for part in (prefix.strip("/"), kind, stack) if part),
            region=self.region,
            endpoint_url=self.endpoint_url,
            allow_http=(self.endpoint_url or "").startswith("http://"),
            force_path_style=self.endpoint_url is not None,
            anonymous=self.anonymous or None,
            from_env=None if self.anonymous else True,
        )

    @contextmanager
    def _alone(self, kind: str, stack: str) -> Iterator[None]:
        """The exclusive right to write this repository where it is a folder: Icechunk would lose one of two commits there.

        On S3 the bucket itself refuses the second.
        """
        if self.url.startswith("s3://"):
            yield
            return
        folder = Path(self.url.removeprefix("file://")) / kind / stack
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder.with_name(f".{folder.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _repository(self, kind: str, stack: str, *, create: bool = False) -> icechunk.Repository:
        storage = self._storage(kind, stack)
        return icechunk.Repository.open_or_create(storage) if create else icechunk.Repository.open(storage)

    @contextmanager
    def _explained(self, stack: str) -> Iterator[None]:
        """Turn what storage says into one line with the stack, the place and a remedy."""
        try:
            yield
        except (icechunk.ConflictError, icechunk.IcechunkError, OSError, zarr.errors.BaseZarrError) as problem:
            first = next((line.strip(" x|`->") for line in str(problem).splitlines() if line.strip(" x|`->")), "unknown")
            raise StoreFailed(
                f"{stack}: store {self.url}: {first}. What was committed before is intact; check free space, permissions "
                "and (for S3) endpoint and credentials, then run the same command again"
            ) from problem


def _came_second(problem: Exception) -> bool:
    """True where another writer has committed, or made the repository, at the same time."""
    words = ("branch update conflict", "can only be created in clean prefixes")
    return isinstance(problem, icechunk.ConflictError) or any(word in str(problem) for word in words)


def _stored(repository: icechunk.Repository, group: str | None) -> tuple[list[tuple[str, int, int]], dict[str, Any]]:
    """Assessments in order of arrival, and the group's attributes."""
    session = repository.readonly_session(_BRANCH)
    with xr.open_zarr(session.store, group=group, consolidated=False, chunks=None) as dataset:
        return _assessments(dataset), dict(dataset.attrs)


def _assessments(dataset: xr.Dataset) -> list[tuple[str, int, int]]:
    """What tells one row from another: pair, acquisitions after it, hash of what was fused (0 where it is a pair)."""
    names = pair_names(dataset)
    after, inputs = (dataset[name].values.tolist() if name in dataset else [0] * len(names) for name in ("after", "inputs"))
    return list(zip(names, after, inputs, strict=True))


def _with_optional(batch: xr.Dataset, store: Any, stored: int) -> xr.Dataset:
    """The batch with what the stack has, and the stack with what the batch has; NaN where there is nothing.

    A chunk of nothing but NaN takes no space.
    """
    group = zarr.open_group(store, mode="r+")
    for name, array in _PER_PAIR.items():
        shape = batch["phase"].shape
        if array.required or (name in batch) == (name in group):
            continue
        if name in group:
            batch = batch.assign({name: (array.dims, np.full(shape, np.nan, array.dtype))})
            continue
        group.create_array(
            name,
            shape=(stored, *shape[1:]),
            chunks=(array.chunk, *shape[1:]),
            dtype=array.dtype,
            fill_value=np.nan,
            compressors=_COMPRESSORS,
            dimension_names=array.dims,
            attributes={"long_name": array.words, "units": array.units},
        )
    return batch


def _groups(repository: icechunk.Repository) -> set[str]:
    root = zarr.open_group(repository.readonly_session(_BRANCH).store, mode="r") if _started(repository) else None
    return set(root.group_keys()) if root is not None else set()


def _started(repository: icechunk.Repository) -> bool:
    return len(list(repository.ancestry(branch=_BRANCH))) > 1


def _write(dataset: xr.Dataset, store: Any, **how: Any) -> None:
    with warnings.catch_warnings():
        # Zarr v3 has no consolidated metadata in its specification; we ask for none, and xarray still mentions it
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated.*")
        dataset.to_zarr(store, consolidated=False, zarr_format=None if "append_dim" in how else 3, **how)
