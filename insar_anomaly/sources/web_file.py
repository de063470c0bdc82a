"""Requests to a web server, with their faults told apart, and a file that is read by ranges."""

from __future__ import annotations

import atexit
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx

from insar_anomaly.sources.entries import Details
from insar_anomaly.traffic import count

_TIMEOUT_S = 30.0
_CONNECTIONS = 64
_TRIES = 3
_BUSY = (429, 500, 502, 503, 504)
WHOLE_BYTES = 256 * 2**20
"""Size up to which a file is read whole from a server that does not send parts."""


class Changed(OSError):
    """A file is not what it was when it was opened."""


@cache
def _client() -> httpx.Client:
    limits = httpx.Limits(max_connections=_CONNECTIONS)
    client = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=True, limits=limits, headers={"Accept-Encoding": "identity"})
    atexit.register(client.close)
    return client


@contextmanager
def _asked(method: str, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
    try:
        with _client().stream(method, url, headers=dict(headers)) as answer:
            count(requests=1)
            yield answer
    except httpx.TransportError as problem:
        raise ConnectionError(f"{url}: {problem or type(problem).__name__}") from problem
    except httpx.HTTPError as problem:
        raise OSError(f"{url}: {problem}") from problem


@contextmanager
def asked(method: str, url: str, *, allowed: Sequence[int] = (), **headers: str) -> Iterator[httpx.Response]:
    """The answer to a request, its body not yet read. A server that is busy is asked again.

    Parameters
    ----------
    allowed : statuses from 400 on that are an answer, and no error
    headers : ``_`` in a name stands for ``-``

    Raises
    ------
    FileNotFoundError, PermissionError, OSError
        where the server says so, or cannot be reached.
    """
    named = {name.replace("_", "-"): text for name, text in headers.items() if text}
    for last in (False,) * (_TRIES - 1) + (True,):
        with _asked(method, url, named) as answer:
            if answer.status_code not in _BUSY or last:
                _refuse(answer, url, allowed)
                yield answer
                return
        time.sleep(0.5)


def _refuse(answer: httpx.Response, url: str, allowed: Sequence[int]) -> None:
    status = answer.status_code
    if status < 400 or status in allowed:
        return
    words = f"{url}: the server answers {status} {answer.reason_phrase}"
    if status in (404, 410):
        raise FileNotFoundError(words)
    raise PermissionError(words) if status in (401, 403) else OSError(words)


def body(answer: httpx.Response, url: str, limit: int) -> bytes:
    """The whole body. Raises OSError where it is longer than `limit` bytes."""
    parts, length = [], 0
    for part in answer.iter_bytes():
        parts.append(part)
        length += len(part)
        if length > limit:
            raise OSError(f"{url}: longer than {limit // 2**20} MB")
    count(read=length)
    return b"".join(parts)


class WebFile(io.RawIOBase):
    """An open file. What the server sends whole although a part was asked for is kept whole, up to `WHOLE_BYTES`."""

    def __init__(self, url: str, known: Details, block: int) -> None:
        super().__init__()
        self._url, self._known, self._block = url, known, block
        self._at, self._begins, self._held = 0, 0, b""
        if known["size"] is None:
            self._whole()
        self.size = len(self._held) if known["size"] is None else int(known["size"])

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; returns it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        """The place of the next read."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; returns the number of bytes, 0 at the end of the file."""
        end = min(self._at + len(buffer), self.size)
        if end <= self._at:
            return 0
        if not (self._begins <= self._at and end <= self._begins + len(self._held)):
            self._fetch(self._at, min(max(end, self._at + self._block), self.size))
        part = self._held[self._at - self._begins : end - self._begins]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def _fetch(self, start: int, end: int) -> None:
        with asked("GET", self._url, allowed=(416,), Range=f"bytes={start}-{end - 1}") as answer:
            if answer.status_code != 206:
                if answer.status_code == 416:
                    raise Changed("it changed while it was read")
                self._keep_whole(answer)
                return
            total = answer.headers.get("content-range", "").rpartition("/")[2]
            before, now = self._known.get("ETag"), answer.headers.get("etag")
            if (total.isdigit() and int(total) != self.size) or (before and now and before != now):
                raise Changed("it changed while it was read")
            self._begins, self._held = start, body(answer, self._url, end - start)

    def _whole(self) -> None:
        with asked("GET", self._url) as answer:
            self._keep_whole(answer)

    def _keep_whole(self, answer: httpx.Response) -> None:
        if (self._known["size"] or 0) > WHOLE_BYTES:
            megabytes = WHOLE_BYTES // 2**20
            raise OSError(
                f"the server sends no parts of files, and this one is longer than {megabytes} MB; "
                "copy the frame with `insar-anomaly licsar fetch`"
            )
        self._begins, self._held = 0, body(answer, self._url, WHOLE_BYTES)
        if self._known["size"] not in (None, len(self._held)):
            raise Changed("it changed while it was read")
