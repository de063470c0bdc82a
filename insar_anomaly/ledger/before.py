"""The copy of an older SQLite ledger that is made before the ledger is brought up to date."""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from insar_anomaly.errors import StoreFailed

log = logging.getLogger(__name__)


def copy_before(database: Path, revision: str) -> Path:
    """Copy a ledger's file to ``<file>.before-<revision>`` beside it and return the copy's path.

    The copy is consistent while others read and write, holds what still waits in the write-ahead log, and is complete once
    it has its name. It is made once: one that is there already, from a change of the tables that did not come to its end, is
    kept. Hold the ledger's lock.

    Raises
    ------
    StoreFailed : the copy cannot be made; nothing of it is left, and the ledger is as it was
    """
    copy = database.with_name(f"{database.name}.before-{revision}")
    if copy.exists():
        log.warning("the ledger %s is brought up to date; its copy %s is there already and is kept", database, copy)
        return copy
    part = copy.with_name(f"{copy.name}.part")
    try:
        _remove(part)  # of a process that was killed
        with closing(sqlite3.connect(database, timeout=30.0)) as old, closing(sqlite3.connect(part)) as new:
            old.backup(new)
        _settle(part)
        part.replace(copy)
    except (sqlite3.Error, OSError) as err:
        with suppress(OSError):
            _remove(part)
        raise StoreFailed(
            f"it is of an older version and is copied to {copy} before it is brought up to date, but that copy cannot be "
            f"made ({err}); the ledger is as it was: make room for {database.stat().st_size / 2**20:.1f} MiB there, make "
            "the folder writable, and run again"
        ) from err
    with suppress(OSError):  # some network file systems know no such thing for folders
        _settle(copy.parent)
    log.warning("the ledger %s is brought up to date; a copy of it as it was is %s", database, copy)
    return copy


def _remove(part: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        part.with_name(part.name + ending).unlink(missing_ok=True)


def _settle(path: Path) -> None:
    """Wait until the file or folder is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
