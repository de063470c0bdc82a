"""Servers that stand before real ones and misbehave on request: one that answers 503, and a line that can be cut."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from urllib.parse import urlsplit


@contextmanager
def unconditional(endpoint: str) -> Iterator[str]:
    """An HTTP server before `endpoint` that drops the conditions of requests, as some object stores do; its URL."""
    with unavailable(endpoint, every=10**9, dropped=("if-none-match", "if-match")) as (url, _):
        yield url


@contextmanager
def unavailable(endpoint: str, *, every: int, dropped: tuple[str, ...] = ()) -> Iterator[tuple[str, list[int]]]:
    """An HTTP server before `endpoint` that answers 503 to every so many-th request; its URL, and how many it refused.

    Headers named in `dropped` (in lower case) do not reach the endpoint.
    """
    target, number, refused = urlsplit(endpoint), count(1), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if next(number) % every == 0:
                refused[0] += 1
                said = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>"
                self.send_response(503)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(said)
                return
            server = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in dropped:
                    server.putheader(name, value)
            server.endheaders(body or None)
            answer = server.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "server", "date"):
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", size or "0")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
            server.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _answer

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", refused
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Line:
    """A TCP line to a server, which can be cut and joined again."""

    def __init__(self, host: str, port: int) -> None:
        self._to, self._open, self._ended = (host, port), True, False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Drop every connection; new ones are dropped at once."""
        with self._lock:
            self._open = False
            for pair in self._pairs:
                for one in pair:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
            self._pairs = []

    def join(self) -> None:
        """Let connections through again."""
        self._open = True

    def end(self) -> None:
        """For good."""
        self._ended = True
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for a connection
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open:
                    here.close()
                    continue
                there = socket.create_connection(self._to)
                self._pairs.append((here, there))
            threading.Thread(target=_carry, args=(here, there), daemon=True).start()


def _carry(here: socket.socket, there: socket.socket) -> None:
    other = {here: there, there: here}
    try:
        with suppress(OSError, ValueError):
            while True:
                ready, _, _ = select.select([here, there], [], [])
                for one in ready:
                    content = one.recv(65536)
                    if not content:
                        return
                    other[one].sendall(content)
    finally:
        for one in other:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
