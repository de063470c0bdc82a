"""A real S3 server in a process of its own that counts what it is asked: moto, behind a counter.

``python -m insar_anomaly.tools.rehearse.server`` prints its URL in one line and serves until it is ended. moto looks at
every object of a bucket when it lists a few: here their names are kept in order, so that a listing costs what it returns.
"""

from __future__ import annotations

import bisect
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from urllib.request import ProxyHandler, build_opener

from insar_anomaly.errors import UsageError

COUNTS = "/-/counts"
"""Path at which the server says what it has been asked so far."""
_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "simulated",
    "AWS_SECRET_ACCESS_KEY": "simulated",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True)
class Asked:
    """What a server was asked: requests by (bucket, operation), and bytes of bodies by (bucket, ``read`` or ``written``)."""

    requests: Mapping[tuple[str, str], int]
    bytes: Mapping[tuple[str, str], int]

    def since(self, before: Asked) -> Asked:
        """What came after an earlier count."""
        return Asked(Counter(self.requests) - Counter(before.requests), Counter(self.bytes) - Counter(before.bytes))

    def of(self, bucket: str) -> tuple[int, int, int]:
        """Requests, bytes read and bytes written of one bucket."""
        requests = sum(number for (name, _), number in self.requests.items() if name == bucket)
        return requests, self.bytes.get((bucket, "read"), 0), self.bytes.get((bucket, "written"), 0)


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    pid: int

    def wait_before_answers(self, milliseconds: int) -> None:
        """Answer each request so much later from now on, as a server far away does."""
        with build_opener(ProxyHandler({})).open(f"{self.url}{COUNTS}?{milliseconds}", timeout=30):
            pass

    def asked(self) -> Asked:
        """What it has been asked since it started."""
        with build_opener(ProxyHandler({})).open(self.url + COUNTS, timeout=30) as answer:
            told = json.load(answer)
        return Asked(*({(bucket, what): n for bucket, what, n in told[name]} for name in ("requests", "bytes")))


@contextmanager
def serving() -> Iterator[Server]:
    """A server on a free port of this machine, ended with the ``with``; credentials are put into the environment.

    Raises
    ------
    UsageError
        where moto is not installed.
    """
    before = {name: os.environ.get(name) for name in (*_CREDENTIALS, "NO_PROXY")}
    os.environ |= _CREDENTIALS | {"NO_PROXY": "127.0.0.1,localhost"}
    words = [sys.executable, "-m", __name__]
    # it logs every request: nobody wants to read them
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)  # noqa: S603
    try:
        url = (process.stdout.readline() if process.stdout else "").strip()
        if not url.startswith("http"):
            raise UsageError("the rehearsal's S3 server did not start: `pip install 'moto[server]'`, or give --s3 URL")
        yield Server(url, process.pid)
    finally:
        process.kill()
        process.communicate()  # waits for its end, and closes the pipe
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


class _Counted:
    """A WSGI application that counts what goes through it."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app, self._lock, self._latency_s = app, threading.Lock(), 0.0
        self._requests: Counter[tuple[str, str]] = Counter()
        self._bytes: Counter[tuple[str, str]] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] == COUNTS:
            if environ.get("QUERY_STRING"):
                self._latency_s = int(environ["QUERY_STRING"]) / 1000
            body = self._told()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        bucket = environ["PATH_INFO"].strip("/").partition("/")[0]

        def counted(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            read = int(dict(headers).get("Content-Length", 0)) if environ["REQUEST_METHOD"] == "GET" else 0
            self._count(environ, bucket, read=read)
            return start_response(status, headers, *more)

        time.sleep(self._latency_s)
        return self._app(environ, counted)

    def _count(self, environ: Mapping[str, Any], bucket: str, *, read: int) -> None:
        method = environ["REQUEST_METHOD"]
        what = "LIST" if method == "GET" and "list-type=" in environ.get("QUERY_STRING", "") else method
        with self._lock:
            self._requests[bucket, what] += 1
            self._bytes[bucket, "read"] += read
            self._bytes[bucket, "written"] += int(environ.get("CONTENT_LENGTH") or 0) if method == "PUT" else 0

    def _told(self) -> bytes:
        with self._lock:
            told = {
                "requests": [[*key, number] for key, number in self._requests.items()],
                "bytes": [[*key, number] for key, number in self._bytes.items()],
            }
        return json.dumps(told).encode()


def _lists_in_order() -> None:
    """Let moto keep the names of a bucket's objects in order, and look only at those with the wanted prefix."""
    from moto.s3 import models

    lock = threading.RLock()

    class Ordered(models._VersionedKeyStore):  # type: ignore[misc, unused-ignore]
        """A bucket's objects, with their names in order."""

        def __init__(self) -> None:
            super().__init__()
            self.names: list[str] = []

        def __setitem__(self, key: str, value: Any) -> None:
            with lock:
                if key not in self:
                    bisect.insort(self.names, key)
                super().__setitem__(key, value)

        def setlist(self, key: str, list_: Any) -> Any:
            """Replace all versions of an object."""
            with lock:
                if key not in self:
                    bisect.insort(self.names, key)
                return super().setlist(key, list_)

        def pop(self, key: str) -> None:
            """Take an object out."""
            with lock:
                super().pop(key)
                del self.names[bisect.bisect_left(self.names, key)]

        def below(self, prefix: str) -> dict[str, Any]:
            """The objects whose names begin with `prefix`."""
            with lock:
                first = bisect.bisect_left(self.names, prefix)
                last = bisect.bisect_right(self.names, prefix + chr(sys.maxunicode), first)
                return {name: self[name] for name in self.names[first:last]}

    plain, begin = models.S3Backend.list_objects, models.FakeBucket.__init__

    def beginning(bucket: Any, *given: Any, **named: Any) -> None:
        begin(bucket, *given, **named)
        bucket.keys = Ordered()

    def listing(backend: Any, bucket: Any, prefix: str | None, *given: Any, **named: Any) -> Any:
        few = SimpleNamespace(keys=bucket.keys.below(prefix or "")) if isinstance(bucket.keys, Ordered) else bucket
        return plain(backend, few, prefix, *given, **named)

    models.FakeBucket.__init__ = beginning
    models.S3Backend.list_objects = listing


def main() -> None:
    """Serve until this process is ended."""
    try:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server
    except ImportError:
        return
    _lists_in_order()
    app = _Counted(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=MotoRequestHandler)
    sys.stdout.write(f"http://127.0.0.1:{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
