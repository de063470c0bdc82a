"""A GeoTIFF on any fsspec file system, read by ranges.

`rasterio.open` reads an open file whole into memory before it looks at it. It can also be given an opener that GDAL reads
through, but an exception in one of GDAL's callbacks ends the process (rasterio 1.4): the file given to it here never raises,
not even where a person stops the process.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import rasterio

from insar_anomaly import stopping
from insar_anomaly.traffic import count

_BLOCK = 2**18
_MARK = "_insar_anomaly_counts"


class ReadFailed(Exception):
    """Storage failed under a read; the cause says how."""


def counted(system: fsspec.AbstractFileSystem) -> fsspec.AbstractFileSystem:
    """The file system, whose requests are counted from now on where it speaks S3: each of them, also what is tried again."""
    if "s3" not in system.protocol or getattr(system, _MARK, False):
        return system
    events = system.s3.meta.events
    events.register("before-send.s3", _sent)
    events.register("response-received.s3", _answered)
    setattr(system, _MARK, True)
    return system


def _sent(request: Any, **_: Any) -> None:
    count(requests=1, written=int(request.headers.get("Content-Length", 0)))


def _answered(response_dict: Any = None, event_name: str = "", **_: Any) -> None:
    if response_dict is not None and "Head" not in event_name:  # it says how long the body would be
        count(read=int(response_dict["headers"].get("content-length", 0)))


@contextmanager
def opened(system: fsspec.AbstractFileSystem, path: str) -> Iterator[rasterio.DatasetReader]:
    """Open a GeoTIFF for windowed reads.

    Raises
    ------
    ReadFailed
        where storage fails, at opening or later in the ``with``; RasterioError where the file is at fault.
    KeyboardInterrupt
        where the process was asked to stop while GDAL read.
    """
    failures: list[BaseException] = []
    try:
        file = system.open(path, "rb", block_size=_BLOCK, cache_type="readahead")
    except Exception as problem:
        raise ReadFailed(path) from problem

    @stopping.called_from_c
    def opener(name: str, *_: Any, **__: Any) -> _Quiet:
        if name != path:  # rasterio tries the opener on a name of its own first
            raise FileNotFoundError(name)
        return _Quiet(file, failures)

    try:
        # without this GDAL asks the server for half a dozen side files that nobody has
        quietly = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR")
        with file, quietly, rasterio.open(path, opener=opener) as tif:
            yield tif
    except Exception:
        stopping.insist()
        if failures:
            raise ReadFailed(path) from failures[0]
        raise
    stopping.insist()


class _Quiet(io.IOBase):
    """A view of an open file with a place of its own: a read that fails gives nothing and is kept in `failures`."""

    @stopping.called_from_c
    def __init__(self, file: Any, failures: list[BaseException]) -> None:
        self._file, self._failures, self._at = file, failures, 0

    @stopping.called_from_c
    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes."""
        if stopping.asked():
            return b""
        try:
            self._file.seek(self._at)
            out: bytes = self._file.read(size)
        except BaseException as problem:  # noqa: BLE001  it would end the process; `opened` raises it
            self._failures.append(problem)
            return b""
        self._at += len(out)
        return out

    @stopping.called_from_c
    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    @stopping.called_from_c
    def tell(self) -> int:
        """The place of the next read."""
        return self._at
