"""What this process has asked of storage so far: requests, commits, bytes. Counted where it happens, for who measures.

Requests to a source on S3 are counted exactly, listings and repeated ones included. In the store every chunk that is read or
written counts as one request, with its compressed bytes, and every commit counts. Icechunk itself keeps no counts: the
requests by which it finds its way (references, snapshots, manifests) and those inside a commit are not in these figures, and
docs/scale.md says how many they are. Of local files only bytes are counted, as the operating system sees them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Traffic:
    """Requests, commits, and bytes that came (`read`) and went (`written`)."""

    requests: int = 0
    commits: int = 0
    read: int = 0
    written: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(Traffic)))

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(*(getattr(self, one.name) - getattr(other, one.name) for one in fields(Traffic)))


_lock = threading.Lock()
_total = Traffic()


def count(*, requests: int = 0, commits: int = 0, read: int = 0, written: int = 0) -> None:
    """Add what was asked. From any thread."""
    global _total
    with _lock:
        _total += Traffic(requests, commits, read, written)


def so_far() -> Traffic:
    """Everything since this process started."""
    return _total


@contextmanager
def reading_files() -> Iterator[None]:
    """Count what this process reads from files in the ``with``, as Linux counts it; elsewhere nothing is counted."""
    before = _bytes_read()
    try:
        yield
    finally:
        count(read=_bytes_read() - before)


def _bytes_read() -> int:
    """What read calls have returned to this process so far."""
    try:
        first, *_ = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return int(first.removeprefix("rchar:"))
