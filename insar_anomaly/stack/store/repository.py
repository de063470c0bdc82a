"""Icechunk repositories below one URL, and the small questions that every part of the store asks of one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TextIO

import icechunk
import xarray as xr
import zarr
from zarr.codecs import BloscCodec

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.schema import pair_names
from insar_anomaly.stack.store.counted import Counted, commit, counted
from insar_anomaly.stack.store.writer import FENCE, Writer

BRANCH = "main"
_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses before a commit is tried again because another writer was first."""
_LOCK_WAIT_S = 60.0
"""Longest wait for another process that commits to the same folder: a commit takes well below a second."""
COMPRESSORS = (BloscCodec(cname="zstd", clevel=5, shuffle="bitshuffle"),)


@dataclass(frozen=True)
class Place:
    """An open repository, and what it holds of which stack."""

    kind: str
    stack: str
    repository: icechunk.Repository


@dataclass(frozen=True)
class Repositories:
    """Icechunk repositories below one URL: how they are opened, made, and what is said where that fails.

    Parameters
    ----------
    url : a folder, ``file://`` or ``s3://bucket/prefix``
    endpoint_url, region, anonymous : for S3; credentials come from the environment
    """

    url: str
    endpoint_url: str | None = None
    region: str = "us-east-1"
    anonymous: bool = False

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
        with folder.with_name(f".{folder.name}.lock").open("a+") as file:
            deadline = time.monotonic() + _LOCK_WAIT_S
            while not _locked(file):
                if time.monotonic() >= deadline:
                    file.seek(0)
                    raise StoreFailed(
                        f"{stack}: store {self.url}: {file.name} is locked by process {file.read() or '(unknown)'} for more "
                        f"than {_LOCK_WAIT_S:.0f} s; that process may be stopped: let it go on, or end it, then run again"
                    )
                time.sleep(0.01)
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield

    def _commit(self, place: Place, session: icechunk.Session, message: str, writer: Writer | None) -> str:
        """Commit a session; returns the snapshot id.

        The order matters. The session was opened before the lease is looked at. So a writer that was paused and has been
        overtaken finds either that its lease is gone, or, on S3, that its session does not begin at the newest snapshot: the
        new owner has committed by then, see `seize`. In a folder, the lock keeps the two steps together.
        """
        with self._alone(place.kind, place.stack):
            if writer is None:
                return commit(session, message)
            writer.insist()
            last = place.repository.lookup_snapshot(session.snapshot_id).metadata.get(FENCE, 0)
            if last > writer.fence:
                raise StoreFailed(
                    f"{place.stack}: store {self.url}: a writer with a later lease (number {last}) has committed, and this "
                    f"one (number {writer.fence}) must not any more; run the same command again"
                )
            return commit(session, message, metadata=writer.mark)

    def seize(self, stack: str, writer: Writer) -> None:
        """Move the newest snapshot on, where the lease was taken over from an owner who may only be paused.

        What that owner has begun then cannot be committed any more: the bucket refuses it. A folder has its lock for that.
        """
        for kind in ("stacks", "scores") if self.url.startswith("s3://") else ():
            with self._explained(stack):
                if not self._exists(kind, stack):
                    continue
                for tried in count():
                    try:
                        place = self._place(kind, stack)
                        session = place.repository.writable_session(BRANCH)
                        marks = zarr.open_group(session.store, mode="a").attrs
                        if marks.get(FENCE) != writer.fence:
                            marks[FENCE] = writer.fence
                            self._commit(place, session, f"{stack}: taken over by {writer.owner}", writer)
                        break
                    except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
                        if not repeated(problem, tried):
                            raise

    def _place(self, kind: str, stack: str, *, create: bool = False) -> Place:
        return Place(kind, stack, self._repository(kind, stack, create=create))

    def _exists(self, kind: str, stack: str) -> bool:
        if icechunk.Repository.exists(self._storage(kind, stack)):
            return True
        _OPEN.forget((self, kind, stack))
        return False

    def _repository(self, kind: str, stack: str, *, create: bool = False) -> icechunk.Repository:
        """The open repository. One that this process has opened before is not opened again: that takes three requests.

        It asks the storage for its branch at every session, so it is never out of date.
        """
        key = (self, kind, stack)
        if (found := _OPEN.get(key)) is not None and (not create or self._exists(kind, stack)):
            return found
        storage = self._storage(kind, stack)
        opened = icechunk.Repository.open_or_create(storage) if create else icechunk.Repository.open(storage)
        _OPEN.keep(key, opened)
        return opened

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


class _Open:
    """The repositories that this process opened last, by what they were opened with. They are safe to share by threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[Repositories, str, str], icechunk.Repository] = OrderedDict()

    def get(self, key: tuple[Repositories, str, str]) -> icechunk.Repository | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def keep(self, key: tuple[Repositories, str, str], repository: icechunk.Repository) -> None:
        with self._lock:
            self._held[key] = repository
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    def forget(self, key: tuple[Repositories, str, str]) -> None:
        with self._lock:
            self._held.pop(key, None)


_OPEN = _Open(most=32)


def _locked(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def stored(session: icechunk.Session, group: str | None) -> tuple[list[tuple[str, int, int]], dict[str, Any]]:
    """Assessments in order of arrival, and the group's attributes."""
    with xr.open_zarr(counted(session), group=group, consolidated=False, chunks=None) as dataset:
        return assessments(dataset), {name: value for name, value in dataset.attrs.items() if name != FENCE}


def assessments(dataset: xr.Dataset) -> list[tuple[str, int, int]]:
    """What tells one row from another: pair, acquisitions after it, hash of what was fused (0 where it is a pair)."""
    names = pair_names(dataset)
    after, inputs = (dataset[name].values.tolist() if name in dataset else [0] * len(names) for name in ("after", "inputs"))
    return list(zip(names, after, inputs, strict=True))


def repeated(problem: Exception, tried: int) -> bool:
    """True where a commit came second and is worth another try, after a short pause."""
    if not came_second(problem) or tried >= len(_PAUSES_S):
        return False
    time.sleep(_PAUSES_S[tried] * random.uniform(0.5, 1.5))  # noqa: S311
    return True


def came_second(problem: Exception) -> bool:
    """True where another writer has committed, or made the repository, at the same time."""
    words = ("branch update conflict", "can only be created in clean prefixes")
    return isinstance(problem, icechunk.ConflictError) or any(word in str(problem) for word in words)


def groups(repository: icechunk.Repository) -> set[str]:
    """Names of a repository's groups on its branch."""
    return groups_in(repository.readonly_session(BRANCH))


def groups_in(session: icechunk.Session) -> set[str]:
    """Names of the groups; none where nothing was committed yet. The history stays unread: it only grows."""
    try:
        return set(zarr.open_group(session.store, mode="r").group_keys())
    except zarr.errors.GroupNotFoundError:
        return set()


def write(dataset: xr.Dataset, store: icechunk.IcechunkStore, **how: Any) -> None:
    with warnings.catch_warnings():
        # Zarr v3 has no consolidated metadata in its specification; we ask for none, and xarray still mentions it
        warnings.filterwarnings("ignore", message=".*[Cc]onsolidated.*")
        dataset.to_zarr(Counted(store), consolidated=False, zarr_format=None if "append_dim" in how else 3, **how)
