"""A web server on loopback that serves a folder with index pages, as Apache and others do, and can misbehave on request."""

from __future__ import annotations

import html
import re
import threading
import time
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
    pages : whose index pages it sends: see `PAGES`
    break_after : bytes of a body after which the connection is closed, once for each path; None never
    refused : paths that contain one of these are refused
    pause_s : time before a part of a file is sent
    asked : method, path and range of every request
    """

    folder: Path
    ranges: bool = True
    etags: bool = True
    heads: bool = True
    pages: str = "apache"
    break_after: int | None = None
    refused: set[str] = field(default_factory=set)
    pause_s: float = 0.0
    url: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    def count(self, method: str) -> int:
        """How often a method was used."""
        return sum(one[0] == method for one in self.asked)


def _names(place: Path) -> list[str]:
    return [f"{p.name}/" if p.is_dir() else p.name for p in sorted(place.iterdir())]


def _apache(path: str, place: Path) -> str:
    """mod_autoindex: links that sort, the folder above as an absolute path, names relative."""
    above = path.rstrip("/").rpartition("/")[0] + "/"
    sort = "".join(f'<a href="?C={key};O=D">{key}</a>' for key in "NMSD")
    rows = "".join(
        f'<img src="/icons/x.gif"> <a href="{quote(name)}">{name[:20]}..&gt;</a> 2024-05-01 12:00 1.2M\n'
        for name in _names(place)
    )
    foot = '<a href="https://example.org/">About</a> <a href="mailto:x@example.org">mail</a> <a href="#top">top</a>'
    return f'<html><pre>{sort}\n<a href="{above}">Parent Directory</a>\n{rows}</pre>{foot}</html>'


def _nginx(path: str, place: Path) -> str:
    """autoindex: the folder above as ``../``, names relative, in capitals what HTML allows."""
    rows = "".join(f'<A HREF="{quote(name)}">{html.escape(name)}</A>   01-May-2024 12:00   1\r\n' for name in _names(place))
    return f'<html>\r\n<head><title>Index of {path}</title></head><pre><A HREF="../">../</A>\r\n{rows}</pre></html>'


def _fancy(path: str, place: Path) -> str:
    """fancyindex, h5ai: links that sort with ``&amp;``, names absolute, every letter that may be escaped is."""
    targets = ("".join(f"%{ord(c):02X}" if c in "_~" else quote(c, safe="/") for c in path + name) for name in _names(place))
    rows = "".join(f'<tr><td><a href="{target}">x</a></td></tr>' for target in targets)
    return (
        f'<table><th><a href="?C=M&amp;O=A">date</a> <a href="./">.</a></th><a href="../?C=N&amp;O=D">..</a>{rows}</table>'
    )


def _static(path: str, place: Path) -> str:
    """A static site, as a bucket serves one: every folder has an ``index.html``, links are relative to a ``<base>``."""
    rows = "".join(
        f"<li><a href='.{quote(path + name)}{'index.html' if name.endswith('/') else ''}'>{html.escape(name)}</a>"
        for name in _names(place)
    )
    return f'<head><base href="/"></head><a href="./index.html">home</a><ul>{rows}</ul>'


def _bucket(path: str, place: Path) -> str:
    """The listing of a bucket, which is no index page."""
    return f"<?xml version='1.0'?><ListBucketResult><Name>{path}{place.name}</Name></ListBucketResult>"


PAGES = {"apache": _apache, "nginx": _nginx, "fancy": _fancy, "static": _static, "bucket": _bucket}
"""Index pages as several servers write them."""


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
        elif place.is_dir() and not path.endswith("/"):
            self._send(301, b"", {"Location": f"{quote(path)}/"})
        elif place.is_dir():
            kind = "application/xml" if it.pages == "bucket" else "text/html; charset=utf-8"
            self._send(200, PAGES[it.pages](path, place).encode(), {"Content-Type": kind}, body=body)
        elif any(one in path for one in it.refused) and self.headers.get("Range"):
            self._send(403, b"not for you")
        elif place.is_file():
            self._file(path, place, body=body)
        else:
            self._send(404, b"no such file")

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
        time.sleep(self.it.pause_s)
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
