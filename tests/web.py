"""A web server on loopback that serves a folder with index pages, as Apache does, and can misbehave on request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, unquote


@dataclass
class Web:
    """A running server. What it does may be changed while it runs.

    Parameters
    ----------
    folder : what is served
    ranges : answer requests for parts of files
    etags : send an ETag, which changes with the content
    heads : answer HEAD
    break_after : bytes of a body after which the connection is closed, once for each path; None never
    asked : method, path and range of every request
    """

    folder: Path
    ranges: bool = True
    etags: bool = True
    heads: bool = True
    break_after: int | None = None
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def count(self, method: str) -> int:
        """How often a method was used."""
        return sum(one[0] == method for one in self.asked)


@contextmanager
def serving(folder: Path, **how: object) -> Iterator[Web]:
    """Serve a folder in the ``with``."""
    web = Web(folder, **how)

    class Handler(_Handler):
        it = web

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    yield web
    server.shutdown()
    thread.join()
    server.server_close()


class _Handler(BaseHTTPRequestHandler):
    it: Web

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        it, path = self.it, unquote(self.path.partition("?")[0])
        it.asked.append((self.command, path, self.headers.get("Range", "")))
        place = it.folder / path.strip("/")
        if not body and not it.heads:
            self._send(405, b"")
        elif place.is_dir():
            self._send(
                200, self._index(path, place) if path.endswith("/") else b"", {"Content-Type": "text/html"}, body=body
            )
        elif place.is_file():
            self._file(path, place, body=body)
        else:
            self._send(404, b"no such file")

    def _index(self, path: str, place: Path) -> bytes:
        names = [f"{p.name}/" if p.is_dir() else p.name for p in sorted(place.iterdir())]
        above = path.rstrip("/").rpartition("/")[0] + "/"
        sort = "".join(f'<a href="?C={key};O=D">{key}</a>' for key in "NMSD")
        rows = "".join(
            f'<img src="/icons/x.gif"> <a href="{quote(name)}">{name}</a> 2024-05-01 12:00 1.2M\n' for name in names
        )
        foot = '<a href="https://example.org/">About</a> <a href="mailto:x@example.org">mail</a> <a href="#top">top</a>'
        return f'<html><pre>{sort}\n<a href="{above}">Parent Directory</a>\n{rows}</pre>{foot}</html>'.encode()

    def _file(self, path: str, place: Path, *, body: bool) -> None:
        content, state = place.read_bytes(), place.stat()
        headers = {"Last-Modified": formatdate(state.st_mtime, usegmt=True), "Content-Type": "image/tiff"}
        if self.it.etags:
            headers["ETag"] = f'"{state.st_size:x}-{state.st_mtime_ns:x}"'
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", headers.get("ETag", "")) == headers.get("ETag", "")
        if not (asked and self.it.ranges and same):
            self._send(200, content, headers, body=body, path=path)
            return
        start, end = int(asked[1]), min(int(asked[2] or len(content) - 1), len(content) - 1)
        if start > end:
            self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
        self._send(206, content[start : end + 1], headers, body=body, path=path)

    def _send(
        self, status: int, content: bytes, headers: dict[str, str] | None = None, *, body: bool = True, path: str = ""
    ) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        limit = self.it.break_after
        if body and limit is not None and path and len(content) > limit and path not in self.it.broken:
            self.it.broken.add(path)
            self.wfile.write(content[:limit])
            self.close_connection = True
            return
        if body:
            self.wfile.write(content)
