"""Answers the links of notices. A GET shows a page or a figure and changes nothing; what a person does comes as a POST.

A POST that acts is answered with the address of the page that shows what was done (303), so that nothing is done twice where
somebody loads it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.notify.links import BadLink, Links
from insar_anomaly.serve import pages
from insar_anomaly.serve.desk import PAGE, Answer, Desk, Draw, Wrong, language_of

log = logging.getLogger(__name__)

_LONGEST = 16 * 1024
"""Bytes of a form."""
_HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}
_POLICIES = {
    True: f"default-src 'none'; style-src {pages.STYLE_HASH}; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    False: "default-src 'none'; sandbox; frame-ancestors 'none'",
}
"""The Content-Security-Policy of a page, and of anything else: no script, and nothing from elsewhere."""
Query = Mapping[str, str]


class Endpoint(ThreadingHTTPServer):
    """The server with what its requests need."""

    def __init__(self, address: tuple[str, int], desk: Desk) -> None:
        super().__init__(address, _Handler)
        self.desk = desk


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    server_version, sys_version = "insar-anomaly", ""
    timeout = 30
    server: Endpoint

    def do_GET(self) -> None:
        """Show the page or the figure."""
        desk = self.server.desk
        self._answer({"flag": desk.shown, "figure": desk.figure})

    def do_HEAD(self) -> None:
        """The same without its content."""
        self.do_GET()

    def do_POST(self) -> None:
        """Act."""
        self._answer({"flag": lambda query, language: self.server.desk.done(query, self._form(), language)})

    def log_message(self, *_: Any) -> None:
        """Without the query: who has a link can act."""
        log.info("%s %s", self.command, urlsplit(self.path).path)

    def _answer(self, known: Mapping[str, Callable[[Query, str], Answer]]) -> None:
        place = urlsplit(self.path)
        query = dict(parse_qsl(place.query, max_num_fields=10)) if place.query.count("&") < 10 else {}
        language = language_of(query, self.headers.get("Accept-Language", ""))
        # what stands before the last part is the web server's in front of this one
        do = next((one for name, one in known.items() if place.path.endswith(f"/{name}")), None)
        if do is None:
            answer = Answer.page(HTTPStatus.NOT_FOUND, pages.message("nothing", "nothing", language))
        else:
            answer = _tried(do, query, language)
        with suppress(ConnectionError):  # who asked has gone
            self._send(answer)

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        own = {"Content-Type": answer.media_type, "Content-Length": str(len(answer.content)), "Vary": "Accept-Language"}
        policy = {"Content-Security-Policy": _POLICIES[answer.media_type == PAGE]}
        own |= {"Location": answer.location} if answer.location else {}
        for name, value in (_HEADERS | own | policy).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    def _form(self) -> dict[str, str]:
        size = self.headers.get("Content-Length", "0")
        if not size.isascii() or not size.isdigit() or int(size) > _LONGEST:
            raise Wrong("long")
        text = self.rfile.read(int(size)).decode(errors="replace")
        try:
            return dict(parse_qsl(text, max_num_fields=20))
        except ValueError:
            raise Wrong("form") from None


def _tried(do: Callable[[Query, str], Answer], query: Query, language: str) -> Answer:
    """What became of a request, in words whatever it is."""
    try:
        return do(query, language)
    except BadLink as problem:
        return _said(HTTPStatus.FORBIDDEN, "link", problem.why, language, problem.about)
    except Wrong as problem:
        return _said(HTTPStatus.BAD_REQUEST, "form", problem.why, language, *problem.about)
    except InsarAnomalyError as problem:
        log.warning("%s", problem)
        return _said(HTTPStatus.SERVICE_UNAVAILABLE, "later", "later", language)


def _said(status: HTTPStatus, kind: str, why: str, language: str, *about: object) -> Answer:
    return Answer.page(status, pages.message(kind, why, language, *about))


def server(
    ledger: str,
    links: Links,
    *,
    host: str,
    port: int,
    draw: Draw | None = None,
    volcanoes: Mapping[int, str] | None = None,
) -> Endpoint:
    """The endpoint of a ledger, by its URL, bound and not yet serving. Raises OSError where the address cannot be had.

    Parameters
    ----------
    draw : draws the figure of a flag in a language; None where there are no figures
    volcanoes : names by number
    """
    return Endpoint((host, port), Desk(ledger, links, draw, volcanoes or {}))
