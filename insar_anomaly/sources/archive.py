"""The folder, bucket or server in which a provider's files lie: listed whole, opened for reading, its faults told apart.

What cannot be read is one of three things, and each has its own error. The file is at fault: `PairRejected`, and the pair
gets a verdict. The file cannot be read now, and others can: `NotNow`, and the pair is tried again in the next run. The
archive cannot be reached: `SourceUnavailable`, and reading stops.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import rasterio
from rasterio.errors import RasterioError

from insar_anomaly import stopping
from insar_anomaly.errors import NotNow, PairRejected, SourceUnavailable, Verdict, from_storage
from insar_anomaly.sources import remote, web, web_file
from insar_anomaly.sources.base import StorageOptions
from insar_anomaly.sources.entries import NOT_READABLE, closed, described, is_lost_folder, lost, scanned, walked
from insar_anomaly.sources.entries import Contents as Contents
from insar_anomaly.sources.entries import Entry as Entry
from insar_anomaly.sources.entries import shown as shown
from insar_anomaly.traffic import reading_files


@dataclass(frozen=True)
class Archive:
    """Where a source's files are.

    Parameters
    ----------
    url : any URL that fsspec understands, a path, or the ``http(s)://`` address of an index page; see `sources.web`
    storage : fsspec options for ``s3://``
    named : what people write the URL in, for the remedies in messages
    """

    url: str
    storage: StorageOptions = field(default_factory=dict)
    named: str = "url in [[source]]"

    @property
    def local(self) -> bool:
        """True where the files lie in a folder of this machine."""
        return "://" not in self.url or self.url.startswith("file://")

    @property
    def web(self) -> bool:
        """True where the files are behind index pages of a web server."""
        return self.url.startswith(("http://", "https://"))

    @property
    def fs(self) -> fsspec.AbstractFileSystem:
        """The file system. fsspec keeps one per process and options; it is never carried to another process."""
        if self.web:
            return web.SYSTEM
        return remote.counted(fsspec.core.url_to_fs(self.url, **self._options)[0])

    @property
    def root(self) -> str:
        """The URL's path on the file system."""
        if self.web:
            return self.url.rstrip("/")
        with self.reached():  # some file systems connect when they are made
            root: str = fsspec.core.url_to_fs(self.url, **self._options)[1]
        return root.rstrip("/")

    @property
    def _options(self) -> StorageOptions:
        return self.storage if self.url.startswith("s3://") else {}

    def uri(self, path: str) -> str:
        """A path of the file system with its protocol: what ledger and messages name."""
        return str(self.fs.unstrip_protocol(path))

    def path(self, uri: str) -> str:
        """The inverse of `uri`."""
        return str(self.fs._strip_protocol(uri))  # fsspec has no public name for it

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Turn what a file system says into `SourceUnavailable`."""
        try:
            yield
        except FileNotFoundError as problem:
            missing = os.fspath(problem.filename or "")
            inside = f" ({shown(missing)} is missing)" if missing and missing.rstrip("/") != self.url.rstrip("/") else ""
            raise SourceUnavailable(f"{self.url} does not exist{inside}; correct {self.named}") from problem
        except Exception as problem:
            if not from_storage(problem):
                raise
            if self.local and isinstance(problem, PermissionError):
                place = shown(os.fspath(problem.filename or self.url))
                words = f"{place}: access is refused; allow this account to read it; nothing was lost"
                raise SourceUnavailable(words) from problem
            raise SourceUnavailable(
                f"{self.url} cannot be reached ({problem}); check url, [storage] and credentials; nothing was lost"
            ) from problem

    def entries(self, folder: str, unlisted: list[str] | None = None) -> list[Entry]:
        """What a folder holds, links followed, sorted by name.

        Parameters
        ----------
        unlisted : gets a line for each entry that cannot be used: links to nowhere, names that are not UTF-8, folders that
            may not be listed

        Raises
        ------
        SourceUnavailable
            where the folder cannot be listed.
        """
        with self.reached():
            if self.local:
                problems: list[str] = [] if unlisted is None else unlisted
                found = sorted(scanned(folder, problems), key=lambda one: one.name)
                problems += [lost(one) for one in found if is_lost_folder(one)]
                problems += [closed(one) for one in found if one.is_folder and NOT_READABLE in one.mark]
                return found
            self.fs.invalidate_cache(folder)
            held = [described(details) for details in self.fs.ls(folder, detail=True)]
        return sorted((one for one in held if one.path.rstrip("/") != folder.rstrip("/")), key=lambda one: one.name)

    def below(self, folder: str, *, levels: int = 2, needed: Callable[[str], bool] = lambda _: True) -> Contents:
        """Every file at most `levels` below a folder, links followed; none where there is no such folder.

        Parameters
        ----------
        needed : of a file's name, True where its size and mark are needed: a web server is asked for each

        Raises
        ------
        SourceUnavailable
            where the archive cannot be listed; a folder below it that cannot be is named in the result.
        """
        with self.reached():
            if self.local:
                unlisted: list[str] = []
                files = walked(folder, levels, unlisted) if Path(folder).is_dir() else []
                return Contents(tuple(files), tuple(unlisted))
            if self.web:
                details, left_out = self.fs.walked(folder, levels, needed)
                return Contents(tuple(map(described, details)), tuple(left_out))
            if not self.fs.isdir(folder):
                return Contents()
            # a listing that fsspec remembered would hide what arrived since
            self.fs.invalidate_cache(folder)
            found = [described(details) for details in self.fs.find(folder, detail=True).values()]
        deepest = folder.rstrip("/").count("/") + levels
        return Contents(tuple(one for one in found if one.path.count("/") <= deepest))

    def exists(self, path: str) -> bool:
        """True where there is such a file or folder."""
        with self.reached():
            if not self.local:
                self.fs.invalidate_cache(path)
            return bool(self.fs.exists(path))

    def text(self, path: str) -> str | None:
        """A small text file; None where there is none."""
        with self.reached():
            return self.fs.cat_file(path).decode("utf-8", "replace") if self.fs.isfile(path) else None

    @contextmanager
    def opened(self, uri: str) -> Iterator[rasterio.DatasetReader]:
        """Open a raster for windowed reads.

        Raises
        ------
        PairRejected
            UNREADABLE, where the file is at fault.
        NotNow
            where it cannot be read now, and the archive is there.
        SourceUnavailable
            where the archive cannot be reached.
        """
        path = self.path(uri)
        try:
            if self.local:
                with reading_files(), rasterio.open(path) as tif:
                    yield tif
            else:
                with remote.opened(self.fs, path) as tif:
                    yield tif
        except remote.ReadFailed as problem:
            cause = problem.__cause__ or problem
            raise self.fault(uri, cause) from problem
        except (RasterioError, OSError) as problem:
            raise self.fault(uri, problem) from problem

    @contextmanager
    def file(self, uri: str, *, scattered: bool = False) -> Iterator[Any]:
        """Open any file for reading, binary and by ranges; what goes wrong is told apart as in `opened`.

        `scattered` is for formats that are read here and there, as HDF5 is: smaller blocks, of which the last 32 are kept.
        """
        path = self.path(uri)
        try:
            if self.local:
                with reading_files(), Path(path).open("rb") as held:
                    yield held
            else:
                how = {"block_size": 2**18, "cache_type": "blockcache"} if scattered else {"block_size": 2**20}
                with self.fs.open(path, "rb", **({"cache_type": "readahead"} | how)) as held:
                    yield held
        except Exception as problem:
            if isinstance(problem, RasterioError) or not from_storage(problem):
                raise
            raise self.fault(uri, problem) from problem

    def fault(self, uri: str, problem: BaseException) -> PairRejected | NotNow | SourceUnavailable:
        """The error to raise for a file that could not be read; see the module's text.

        Raises KeyboardInterrupt where the process is to stop: that may be why.
        """
        stopping.insist()
        reason = _reason(problem)
        if isinstance(problem, web_file.Changed):
            return NotNow(f"{uri}: {reason}; it is tried again in the next run")
        try:
            # a plain read of a few bytes tells the file's fault from the storage's
            self.fs.cat_file(self.path(uri), start=0, end=16)
        except FileNotFoundError:
            if lost := self._lost():
                return lost
            gone = f"{uri}: it is listed, but it is not there (removed, or a link to nowhere); bring it back"
            return PairRejected(Verdict.UNREADABLE, gone)
        except PermissionError as refused:
            remedy = "allow this account to read it"
            return self._lost() or NotNow(f"{uri}: reading it is refused ({_reason(refused)}); {remedy}")
        except Exception as failed:
            words = f"{failed!r}{failed.__cause__!r}"
            if "InvalidObjectState" in words:
                cold = f"{uri}: it is in cold storage; restore it to a class that can be read"
                return PairRejected(Verdict.UNREADABLE, cold)
            if not from_storage(failed):
                raise
            if "InvalidRange" in words:
                return PairRejected(Verdict.UNREADABLE, f"{uri}: it is empty; upload it again")
            return self._lost() or NotNow(f"{uri}: {_reason(failed)}; it is tried again in the next run")
        return PairRejected(Verdict.UNREADABLE, f"{uri}: {reason}; upload it again")

    def _lost(self) -> SourceUnavailable | None:
        """What is to say where the archive itself does not answer."""
        try:
            with self.reached():
                self.fs.ls(self.root, detail=False)
        except SourceUnavailable as problem:
            return problem
        return None


def _reason(problem: BaseException) -> str:
    lines = str(problem.__cause__ or problem).splitlines() or [type(problem).__name__]
    return lines[0].rstrip(". ")
