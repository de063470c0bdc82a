"""A copy of a LiCSAR frame in a local folder, for nights that do not depend on a server far away; see `mirror`.

A file that is whole is never fetched again while the server's size and mark of it stay the same. One whose fetch was broken
off is continued if the server still has the same version. The manifest of a frame (``<frame>/manifest.json``) has size,
SHA-256 and the server's mark of every file. Nothing is ever deleted, also not what the server has no longer.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from insar_anomaly.errors import NotInFrame, UsageError, WrongFolder, from_storage, not_written, writing
from insar_anomaly.names import Pair, day_of
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.licsar_layout import DELAY, DELAY_FOLDERS, FOLDERS, STATIC_FOLDERS, is_used
from insar_anomaly.sources.licsar_places import frames, place_of
from insar_anomaly.sources.web_file import Changed

PORTAL = "https://gws-access.jasmin.ac.uk/public/nceo_geohazards/LiCSAR_products"
"""The public folder of LiCSAR's products."""

_BLOCK = 2**18
_TRIES = 4
_SAVED_EVERY = 50

Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """A file to copy: the server's entry of it, and its place below the frame's folder."""

    entry: Entry
    place: str


@dataclass(frozen=True)
class Kept:
    """A file of the manifest: bytes, SHA-256, and the server's mark of the version."""

    size: int
    sha256: str
    mark: str


@dataclass
class Mirrored:
    """What was done. `failures` maps a file to what went wrong; `gone` names files here that the server lists no longer."""

    frame: str
    folder: str
    files: int = 0
    bytes: int = 0
    fetched: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


def plan(archive: Archive, frame: str, *, since: date | None = None, epochs: bool = False) -> list[Wanted]:
    """The files of a frame that a source reads: phase and coherence of its pairs, metadata, modelled delays if asked for.

    Parameters
    ----------
    since : only pairs whose later date is not before it
    epochs : modelled delays (GACOS) of the pairs' acquisitions, too

    Raises
    ------
    NotInFrame, SourceUnavailable
        where the frame is not there, or the archive cannot be listed whole.
    """
    base = place_of(archive, frame)
    if base is None:
        raise NotInFrame(_not_there(archive, frame))

    def in_time(name: str) -> bool:
        pair = Pair.parse(name.partition(".")[0])
        return is_used(name) and pair is not None and (since is None or pair.last >= since)

    out: dict[str, Wanted] = {}
    days: set[date] = set()
    for folder in FOLDERS:
        for file in _files(archive, f"{base}/{folder}", 2, in_time):
            pair = Pair.parse(file.name.partition(".")[0])
            if pair and PurePosixPath(file.path).parent.name == pair.name:
                days.update(pair.days)
                out.setdefault(f"{folder}/{pair.name}/{file.name}", Wanted(file, f"{folder}/{pair.name}/{file.name}"))
    for folder in STATIC_FOLDERS:
        for file in _files(archive, f"{base}/{folder}", 1, lambda _: True):
            out.setdefault(f"{folder}/{file.name}", Wanted(file, f"{folder}/{file.name}"))
    for folder in DELAY_FOLDERS if epochs else ():
        for file in _files(archive, f"{base}/{folder}", 2, lambda name: day_of(name.removesuffix(DELAY)) in days):
            place = f"epochs/{file.name.removesuffix(DELAY)}/{file.name}"
            out.setdefault(place, Wanted(file, place))
    return list(out.values())


def _not_there(archive: Archive, frame: str) -> str:
    """What to say of a frame that the archive does not have; the nearest names, where its frames can be listed."""
    near: list[str] = []
    with suppress(WrongFolder):
        near = difflib.get_close_matches(frame, frames(archive), n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "correct FRAME, or give the folder of the frames in --from"
    return f"frame {frame} is not in {archive.url}; {hint}"


def _files(archive: Archive, folder: str, levels: int, needed: Callable[[str], bool]) -> Iterator[Entry]:
    found = archive.below(folder, levels=levels, needed=needed)
    if found.unlisted:
        raise UsageError(f"{found.unlisted[0]}; nothing was fetched")
    for file in found.files:
        if needed(file.name) and not file.name.startswith(".") and "/" not in file.name and "\\" not in file.name:
            yield file


def mirror(
    archive: Archive, wanted: Sequence[Wanted], *, frame: str, to: Path, at_a_time: int = 4, watch: Watch | None = None
) -> Mirrored:
    """Copy what is not there yet into ``to/<frame>``, several files at a time.

    A file appears under its name when it is whole. One that cannot be fetched is among the failures; the others go on.

    Raises
    ------
    UsageError
        where the folder cannot be made.
    OSError
        where this machine cannot write a file.
    """
    folder = to / frame
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        words = not_written(problem) or f"{folder}: {problem.strerror}"
        raise UsageError(
            f"{words.partition(';')[0]}: it cannot be made; give a folder that can be written in --to"
        ) from None
    kept = manifest_of(folder)
    out = Mirrored(frame, str(folder), len(wanted), sum(one.entry.size or 0 for one in wanted))
    out.gone = sorted(kept.keys() - {one.place for one in wanted})
    todo = [one for one in wanted if not _is_there(folder, one, kept)]
    pool = ThreadPoolExecutor(at_a_time, "insar-anomaly fetch")
    try:
        jobs = {pool.submit(_fetch, archive, one, folder / one.place): one for one in todo}
        for number, job in enumerate(as_completed(jobs), 1):
            one = jobs[job]
            try:
                kept[one.place] = job.result()
                out.fetched += 1
            except OSError as problem:
                if not_written(problem):
                    raise
                out.failures[one.place] = str(problem)
            if watch:
                watch("fetch", number, len(todo))
            if number % _SAVED_EVERY == 0:
                _save(folder, frame, archive.url, kept)
    finally:
        pool.shutdown(cancel_futures=True)
        _save(folder, frame, archive.url, kept)
    return out


def manifest_of(folder: Path) -> dict[str, Kept]:
    """The files of a frame's manifest, by place; none where there is no manifest. Raises UsageError where it is broken."""
    file = folder / "manifest.json"
    if not file.exists():
        return {}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        return {place: Kept(one["size"], one["sha256"], one["mark"]) for place, one in held["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UsageError(f"{file} is no manifest ({problem!r}); remove it: every file is then fetched again") from None


def check(folder: Path) -> dict[str, str]:
    """What is wrong with files of a mirrored frame: place -> words. Raises UsageError where it has no manifest."""
    kept = manifest_of(folder)
    if not kept:
        raise UsageError(f"{folder} has no manifest; fetch the frame first")
    wrong = {}
    for place, one in kept.items():
        file = folder / place
        if not file.is_file():
            wrong[place] = "is not there; fetch again"
        elif file.stat().st_size != one.size:
            wrong[place] = f"has {file.stat().st_size} bytes, not {one.size}; fetch again"
        elif _sha256(file) != one.sha256:
            wrong[place] = "has another checksum; remove it and fetch again"
    return wrong


def _is_there(folder: Path, one: Wanted, kept: dict[str, Kept]) -> bool:
    """True where this version was fetched before; also where a run was ended before it wrote the manifest."""
    file = folder / one.place
    if not file.is_file() or one.entry.size not in (None, file.stat().st_size):
        return False
    known = kept.get(one.place)
    if known:
        return known.mark == one.entry.mark and known.size == file.stat().st_size
    if one.entry.modified is None or abs(file.stat().st_mtime - one.entry.modified) > 1e-3:
        return False
    kept[one.place] = Kept(file.stat().st_size, _sha256(file), one.entry.mark)
    return True


def _fetch(archive: Archive, one: Wanted, file: Path) -> Kept:
    """Fetch a file; what a broken connection has left is continued, unless its version cannot be known."""
    version = hashlib.sha256(f"{one.entry.size} {one.entry.mark}".encode()).hexdigest()[:12]
    part = file.with_name(f".{file.name}.{version}.part")
    with writing(part):
        file.parent.mkdir(parents=True, exist_ok=True)
        for old in file.parent.glob(f".{file.name}.*.part"):
            if old != part or not one.entry.mark:
                old.unlink()
    for last in (*(False,) * (_TRIES - 1), True):
        try:
            _continue(archive, one.entry, part)
            break
        except Changed as problem:
            part.unlink(missing_ok=True)
            raise OSError(f"{one.entry.path}: {problem}; fetch again") from problem
        except OSError as problem:
            if last or not_written(problem) or isinstance(problem, FileNotFoundError | PermissionError):
                raise
    kept = Kept(part.stat().st_size, _sha256(part), one.entry.mark)
    with writing(file):
        if one.entry.modified is not None:
            os.utime(part, (one.entry.modified, one.entry.modified))
        part.replace(file)
    return kept


def _continue(archive: Archive, entry: Entry, part: Path) -> None:
    with _far(archive, entry) as far, writing(part), part.open("ab") as near:
        far.seek(near.tell())
        while block := far.read(_BLOCK):
            near.write(block)
    length = part.stat().st_size
    if entry.size is not None and length != entry.size:
        if length > entry.size:
            part.unlink()
        raise OSError(f"{entry.path}: {length} bytes came, and {entry.size} are listed; fetch again")


@contextmanager
def _far(archive: Archive, entry: Entry) -> Iterator[Any]:
    """A file of the archive; what goes wrong with it is an OSError."""
    try:
        with archive.fs.open(entry.path, "rb", block_size=_BLOCK) as far:
            yield far
    except OSError:
        raise
    except Exception as problem:
        if not from_storage(problem):
            raise
        raise OSError(f"{entry.path}: {problem}") from problem


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _save(folder: Path, frame: str, url: str, kept: dict[str, Kept]) -> None:
    if not kept:
        return
    files = {place: asdict(kept[place]) for place in sorted(kept)}
    part = folder / f".manifest.{os.getpid()}.part"
    with writing(part):
        part.write_text(json.dumps({"version": 1, "frame": frame, "from": url, "files": files}, indent=1), encoding="utf-8")
        part.replace(folder / "manifest.json")
