"""Answers the links of notices. A GET shows a page and changes nothing; what a person does comes as a POST."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from insar_anomaly.errors import InsarAnomalyError, UsageError
from insar_anomaly.flags.mutes import muted_until
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.people_rows import ActKind, ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import FlagName, read_date, volcano_of
from insar_anomaly.notify.links import BadLink, Links
from insar_anomaly.serve import pages

log = logging.getLogger(__name__)

_LONGEST = 16 * 1024
"""Bytes of a form."""
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Answer:
    """A status and a page."""

    status: HTTPStatus
    page: str


@dataclass(frozen=True)
class Desk:
    """What the endpoint does, apart from HTTP: `ledger` is its URL, opened for each request."""

    ledger: str
    links: Links

    def shown(self, query: dict[str, str]) -> Answer:
        """The page of a link. Changes nothing."""
        flag = self.links.read(query, datetime.now(UTC))
        with Ledger(self.ledger) as ledger:
            return Answer(HTTPStatus.OK, self._page(ledger, flag, _row(ledger, flag), query))

    def done(self, query: dict[str, str], form: dict[str, str]) -> Answer:
        """What a person asks for on the page of a link. Raises UsageError where the form is not one of ours."""
        flag = self.links.read(query, datetime.now(UTC))
        act = _act(flag, form)
        with Ledger(self.ledger) as ledger:
            _row(ledger, flag)
            ledger.record_act(act)
            return Answer(HTTPStatus.OK, self._page(ledger, flag, _row(ledger, flag), query))

    def _page(self, ledger: Ledger, flag: FlagName, row: EpisodeRow, query: dict[str, str]) -> str:
        volcano = str(volcano_of(flag.stack))
        mine = [act for act in ledger.acts(flag.stack, volcano) if act.episode in (flag.number, None)]
        until = muted_until(ledger.mutes(), flag.stack, datetime.now(UTC).date())
        action = f"?{urlencode({name: query[name] for name in ('flag', 'expires', 'signature')})}"
        return pages.flag_page(row, mine, action=action, muted=str(until) if until else None)


def _row(ledger: Ledger, flag: FlagName) -> EpisodeRow:
    row = next((one for one in ledger.episodes(flag.stack) if one.number == flag.number), None)
    if row is None:
        raise BadLink(f"there is no flag {flag} any more")
    return row


def _act(flag: FlagName, form: dict[str, str]) -> ActRow:
    """What a form asks for."""
    by, note = form.get("by", "").strip()[:100], form.get("note", "").strip()[:1000]
    if not by:
        raise UsageError("give your name: who reads this later wants to ask somebody")
    now = datetime.now(UTC)
    match form.get("act"):
        case "ack":
            return ActRow(flag.stack, flag.number, ActKind.ACKNOWLEDGED, by, now, note)
        case "label" if form.get("label") in list(Label):
            return ActRow(
                flag.stack, flag.number, ActKind.LABELLED, by, now, note, label=Label(form["label"]), confidence=1.0
            )
        case "mute":
            until = _day(form.get("until", ""))
            if until <= now.date():
                raise UsageError(f"{until} is not after today: a mute ends on that day")
            return ActRow(str(volcano_of(flag.stack)), None, ActKind.MUTED, by, now, note, until=until)
    raise UsageError("this form is incomplete: open the link from the notice again")


def _day(text: str) -> date:
    try:
        return read_date(text)
    except ValueError as problem:
        raise UsageError(str(problem)) from None


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
        """Show the page."""
        self._answer(self.server.desk.shown)

    def do_HEAD(self) -> None:
        """The same without its text."""
        self._answer(self.server.desk.shown)

    def do_POST(self) -> None:
        """Act."""
        self._answer(lambda query: self.server.desk.done(query, self._form()))

    def log_message(self, *_: Any) -> None:
        """Without the query: who has a link can act."""
        log.info("%s %s", self.command, urlsplit(self.path).path)

    def _answer(self, do: Callable[[dict[str, str]], Answer]) -> None:
        place = urlsplit(self.path)
        if place.path.endswith("/flag"):
            answer = _tried(do, place.query)
        else:
            answer = Answer(HTTPStatus.NOT_FOUND, pages.message("Nothing here", "Open the link of a notice."))
        body = answer.page.encode()
        self.send_response(answer.status)
        for name, value in (_HEADERS | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _form(self) -> dict[str, str]:
        size = self.headers.get("Content-Length", "0")
        if not size.isdigit() or int(size) > _LONGEST:
            raise UsageError("the form is too long")
        text = self.rfile.read(int(size)).decode(errors="replace")
        return dict(parse_qsl(text, max_num_fields=20))


def _tried(do: Callable[[dict[str, str]], Answer], query: str) -> Answer:
    """What became of a request, in words whatever it is."""
    try:
        return do(dict(parse_qsl(query, max_num_fields=10)))
    except BadLink as problem:
        return Answer(HTTPStatus.FORBIDDEN, pages.message("This link cannot be used", str(problem)))
    except (UsageError, ValueError) as problem:
        return Answer(HTTPStatus.BAD_REQUEST, pages.message("Nothing was done", str(problem)))
    except InsarAnomalyError as problem:
        log.warning("%s", problem)
        words = "The ledger cannot be reached now; nothing was done. Try again, or use the command line."
        return Answer(HTTPStatus.SERVICE_UNAVAILABLE, pages.message("Not now", words))


def server(ledger: str, links: Links, *, host: str, port: int) -> Endpoint:
    """The endpoint of a ledger, by its URL, bound and not yet serving. Raises OSError where the address cannot be had."""
    return Endpoint((host, port), Desk(ledger, links))
