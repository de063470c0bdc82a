"""The file from which an interrupted training goes on, to the last bit.

One safetensors file: tensors as tensors, generator states and counters as JSON in its metadata; nothing in it can run
code. It is written beside its place and moved there, under a lock, so that a crash or a second process never leaves
half a file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from insar_anomaly.errors import Busy
from insar_anomaly.names import JsonObject


def fingerprint(settings: JsonObject, *arrays: NDArray[Any]) -> str:
    """Content hash of what determines a training: its settings (JSON-able) and its arrays (any dims, dtype)."""
    sha = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for array in arrays:
        sha.update(f"{array.shape}{array.dtype}".encode())
        # one first-axis slice at a time: a stack is large, its bytes need no second copy
        for part in array if array.ndim > 1 else [array]:
            sha.update(np.ascontiguousarray(part).data)
    return sha.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """A training's state in the file `path`; `identity` is the `fingerprint` of the training it belongs to."""

    path: Path
    identity: str

    def write(self, tensors: dict[str, Tensor], states: JsonObject) -> None:
        """Replace the file by `tensors` and the JSON-able `states`, whole or not at all. The caller holds the lock."""
        metadata = {"identity": self.identity, "states": json.dumps(states)}
        content = save({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, metadata)
        part = self.path.with_name(self.path.name + ".part")
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)

    def read(self) -> tuple[dict[str, Tensor], JsonObject] | None:
        """Tensors and states of the file; None where there is no file.

        Raises
        ------
        ValueError
            where the file is not a checkpoint or belongs to another training.
        """
        if not self.path.exists():
            return None
        try:
            with safe_open(str(self.path), framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
        except SafetensorError as problem:
            raise ValueError(f"{self.path} is not a training checkpoint ({problem}): {_REMEDY}") from problem
        if metadata.get("identity") != self.identity:
            raise ValueError(
                f"{self.path} belongs to another training (other settings, other pairs or other weights): {_REMEDY}"
            )
        return tensors, json.loads(metadata["states"])

    def remove(self) -> None:
        """Forget the training: it has ended."""
        self.path.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes off this checkpoint.

        Raises
        ------
        Busy
            where another process trains with it now.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(self.path.name + ".lock")
        descriptor = _locked(lock)
        try:
            yield
        finally:
            # unlink first: whoever waits for the old file finds another inode in its place and tries again
            lock.unlink(missing_ok=True)
            os.close(descriptor)


_REMEDY = "delete the file to train anew, or name another checkpoint"


def _locked(lock: Path) -> int:
    """Descriptor of the file `lock`, locked by this process until closed (the kernel does so when the process dies)."""
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            os.close(descriptor)
            raise Busy(
                f"{lock}: another process trains with this checkpoint; wait for it, or name another checkpoint"
            ) from problem
        if lock.exists() and lock.stat().st_ino == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)  # the holder before us removed the file between our open and our lock
