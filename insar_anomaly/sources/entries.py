"""What a folder of an archive holds: files and folders as each file system describes them; the walk of a local folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from insar_anomaly.names import JsonObject

_COLD = ("GLACIER", "DEEP_ARCHIVE")
"""Storage classes of S3 from which nothing can be read before it is restored."""


Details = JsonObject
"""What fsspec says of a file: ``name``, ``type``, ``size`` and what its file system adds."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of an archive.

    Parameters
    ----------
    path : as its file system names it
    name : last part of the path
    is_folder : True for a folder, also where it is a link to one
    size : bytes, None where that is not known
    mark : changes when the content does: ETag, or the time of the last change, and what keeps it from being read
    modified : when it was written, seconds since 1970 UTC; None where that is not known
    """

    path: str
    name: str
    is_folder: bool
    size: int | None = None
    mark: str = ""
    modified: float | None = None


@dataclass(frozen=True)
class Contents:
    """Files below a folder, and what could not be listed, one line each, with its name and the reason."""

    files: tuple[Entry, ...] = ()
    unlisted: tuple[str, ...] = ()


def described(details: Details) -> Entry:
    """An entry from what fsspec says of it."""
    path = str(details["name"])
    is_folder = details.get("type") == "directory"
    parts = [details.get(key) for key in ("ETag", "mtime", "LastModified")]
    kept = [str(part) for part in parts if part is not None][:1]
    if (cold := details.get("StorageClass")) in _COLD:
        kept.append(str(cold))
    size, name = details.get("size"), PurePosixPath(unquote(path) if path.startswith("http") else path).name
    return Entry(path, name, is_folder, size, " ".join(kept), _seconds(details))


def _seconds(details: Details) -> float | None:
    """When a file was written, as its file system says it."""
    for key in ("LastModified", "mtime"):
        if (value := details.get(key)) is not None:
            return value.timestamp() if isinstance(value, datetime) else float(value)
    return None


def walked(folder: str, levels: int, unlisted: list[str], seen: Sequence[tuple[int, int]] = ()) -> list[Entry]:
    """Files at most `levels` below a local folder. A link that leads back to a folder above it is not followed."""
    try:
        here = Path(folder).stat()
        mark = (here.st_dev, here.st_ino)
        if mark in seen:
            return []
        entries = sorted(scanned(folder, unlisted), key=lambda one: one.name)
    except OSError as problem:
        unlisted.append(f"{shown(folder)}: {problem.strerror}; allow this account to list it")
        return []
    files = [one for one in entries if not one.is_folder]
    if levels > 1:
        unlisted += [lost(one) for one in entries if is_lost_folder(one)]
        for one in entries:
            if one.is_folder:
                files += walked(one.path, levels - 1, unlisted, (*seen, mark))
    return files


NOT_THERE = "not there"
"""Mark of a link to nowhere."""


NOT_READABLE = " not readable"
"""End of the mark of what this account may not read."""


def closed(one: Entry) -> str:
    """What is to say of a folder that may not be listed."""
    return f"{shown(one.path)}: listing it is refused; allow this account to list it"


def is_lost_folder(one: Entry) -> bool:
    """True for a link to nowhere whose name has no ending: what it led to was a folder."""
    return one.mark == NOT_THERE and not PurePosixPath(one.name).suffix


def lost(one: Entry) -> str:
    """What is to say of a link to nowhere."""
    return f"{shown(one.path)}: it is a link to nowhere; bring back what it leads to, or remove it"


def scanned(folder: str, unlisted: list[str]) -> list[Entry]:
    out = []
    with os.scandir(folder) as entries:
        for one in entries:
            if shown(one.name) != one.name:
                unlisted.append(f"{shown(one.path)}: its name is not UTF-8; rename it")
                continue
            try:
                found: os.stat_result | None = one.stat()
            except OSError:
                found = None  # a link to nowhere: listed, so that the pair it belongs to is named
            if found is None:
                out.append(Entry(one.path, one.name, False, None, NOT_THERE))
                continue
            barred = "" if os.access(one.path, os.R_OK, effective_ids=True) else NOT_READABLE
            is_folder = stat.S_ISDIR(found.st_mode)
            if not is_folder and not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for whoever writes into it
                unlisted.append(f"{shown(one.path)}: it is neither a file nor a folder; remove it")
                continue
            mark = f"{found.st_mtime}{barred}"
            out.append(Entry(one.path, one.name, is_folder, found.st_size, mark, found.st_mtime))
    return out


def shown(path: str) -> str:
    """A path as text that can be printed, kept in the ledger and sent: bytes that are not UTF-8 as ``\\xe9``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
