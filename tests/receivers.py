"""Web servers on loopback that take POSTs and misbehave on purpose."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Receiver:
    """A running server. `answer` gives the status of a POST from its body; what it does may be changed while it runs.

    `drip` sends one header line each so many seconds, for ever; `hang` never answers; `came` has headers and body of every
    POST, whatever was answered.
    """

    answer: Callable[[bytes], int] = lambda body: 204
    drip: float = 0.0
    hang: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Where it takes POSTs."""
        return f"http://127.0.0.1:{self.port}/hook"


@contextmanager
def receiving(**how: object) -> Iterator[Receiver]:
    """A server for the length of the ``with``."""
    it = Receiver(**how)

    class Handler(_Handler):
        receiver = it

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    it.port = int(server.server_port)
    try:
        yield it
    finally:
        it.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_POST(self) -> None:
        it = self.receiver
        body = self.rfile.read(int(self.headers["content-length"]))
        it.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
        if it.hang:
            it.ended.wait(60)
            return
        if it.drip:
            self._drip()
            return
        self.send_response(it.answer(body))
        for name, value in it.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _drip(self) -> None:
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.receiver.ended.is_set():
                self.wfile.write(b"X-Slow: a\r\n")
                self.wfile.flush()
                time.sleep(self.receiver.drip)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Say nothing."""
