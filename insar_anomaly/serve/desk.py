"""What the endpoint does, apart from HTTP: shows a flag, draws its figure, and writes down what a person asks for."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http import HTTPStatus

from insar_anomaly.errors import InsarAnomalyError, UsageError
from insar_anomaly.flags.mutes import LONGEST_YEARS, Mute, latest_end, standing
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.people_rows import ActKind, ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow
from insar_anomaly.names import FlagName, read_date, volcano_of
from insar_anomaly.notify.links import BadLink, Links, Purpose
from insar_anomaly.serve import pages
from insar_anomaly.spoken import DEFAULT, LANGUAGES, one_line

log = logging.getLogger(__name__)

PAGE, PICTURE = "text/html; charset=utf-8", "image/png"
_FIGURES = 16
"""Figures that are kept: whoever opens a page again soon gets the same one."""
_WAITS_S = 20.0
"""Seconds that a request waits while another figure is drawn."""

Draw = Callable[[FlagName, str], bytes]
"""Draws the figure (PNG) of a flag in a language. Raises an InsarAnomalyError where it cannot."""


@dataclass(frozen=True)
class Answer:
    """A status, and a page or a picture; `location` is where the browser goes on, relative to the request's address."""

    status: HTTPStatus
    content: bytes
    media_type: str = PAGE
    location: str = ""

    @classmethod
    def page(cls, status: HTTPStatus, text: str) -> Answer:
        """A page."""
        return cls(status, text.encode())


class Wrong(UsageError):
    """A form that is none of ours, or says what cannot be done: `why` as the page's template calls it."""

    def __init__(self, why: str, *about: object) -> None:
        super().__init__(why)
        self.why, self.about = why, about


@dataclass(frozen=True)
class Desk:
    """What the endpoint needs: `ledger` is its URL, opened for each request. Without `draw` there are no figures;
    `volcanoes` are names by number, as far as they are known."""

    ledger: str
    links: Links
    draw: Draw | None = None
    volcanoes: Mapping[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _drawn: OrderedDict[tuple[object, ...], bytes] = field(default_factory=OrderedDict)

    def shown(self, query: Mapping[str, str], language: str) -> Answer:
        """The page of a link. Changes nothing."""
        flag = self.links.read(query, datetime.now(UTC))
        with Ledger(self.ledger) as ledger:
            return Answer.page(HTTPStatus.OK, self._page(ledger, flag, query, language))

    def done(self, query: Mapping[str, str], form: Mapping[str, str], language: str) -> Answer:
        """Do what a person asks for on the page of a link, and lead to the page that shows it.

        Whoever loads that page again asks for a page and does nothing twice. Raises Wrong where the form is not one of ours.
        """
        flag = self.links.read(query, datetime.now(UTC))
        with Ledger(self.ledger) as ledger:
            _row(ledger, flag)
            for act in _acts(ledger, flag, form):
                ledger.record_act(act)
            number = len(_of(ledger, flag))
        reference = self.links.reference(flag, int(query["expires"]), Purpose.FLAG, language)
        return Answer(HTTPStatus.SEE_OTHER, b"", location=f"{reference}&done={number}")

    def figure(self, query: Mapping[str, str], language: str) -> Answer:
        """The figure of a link, drawn anew where the flag has changed. Changes nothing."""
        flag = self.links.read(query, datetime.now(UTC), Purpose.FIGURE)
        with Ledger(self.ledger) as ledger:
            row = _row(ledger, flag)
        if self.draw is None:
            return _no_figure(HTTPStatus.NOT_FOUND, "figure", language)
        if not self._lock.acquire(timeout=_WAITS_S):
            return _no_figure(HTTPStatus.SERVICE_UNAVAILABLE, "busy", language)
        try:
            return Answer(HTTPStatus.OK, self._picture(self.draw, row, flag, language), PICTURE)
        except (InsarAnomalyError, LookupError, OSError) as problem:
            log.warning("the figure of %s cannot be drawn: %s", flag, problem)
            return _no_figure(HTTPStatus.NOT_FOUND, "figure", language)
        finally:
            self._lock.release()

    def _picture(self, draw: Draw, row: EpisodeRow, flag: FlagName, language: str) -> bytes:
        key = (flag, language, row.state, row.until, row.peak_pair, row.peak_score)
        if key not in self._drawn:
            self._drawn[key] = draw(flag, language)
        self._drawn.move_to_end(key)
        while len(self._drawn) > _FIGURES:
            self._drawn.popitem(last=False)
        return self._drawn[key]

    def _page(self, ledger: Ledger, flag: FlagName, query: Mapping[str, str], language: str) -> str:
        row, gvp, expires = _row(ledger, flag), volcano_of(flag.stack), int(query["expires"])
        mine, muted, today = _of(ledger, flag), _muted(ledger, flag), datetime.now(UTC).date()
        here = {code: self.links.reference(flag, expires, Purpose.FLAG, code) for code in LANGUAGES}
        shown = pages.Shown(
            volcano=self.volcanoes.get(gvp, ""),
            action=here[language],
            figure=self.links.reference(flag, expires, Purpose.FIGURE, language) if self.draw else None,
            languages=[(code, address) for code, address in here.items() if code != language],
            mutes=muted,
            unmutable=any(_may_end(mute) for mute in muted),
            latest=latest_end(today),
            done=_number(query.get("done", ""), mine),
        )
        return pages.flag_page(row, mine, shown, language)


def _of(ledger: Ledger, flag: FlagName) -> list[ActRow]:
    """What people did with a flag, its stack and its volcano, oldest first."""
    acts = ledger.acts(flag.stack, str(volcano_of(flag.stack)))
    return [act for act in acts if act.episode in (flag.number, None)]


def _muted(ledger: Ledger, flag: FlagName) -> list[Mute]:
    """The mutes that keep back the flag's notices today."""
    return standing(ledger.mutes(), datetime.now(UTC).date(), flag.stack)


def _may_end(mute: Mute) -> bool:
    """True where the link of a flag ends a mute: one of its stack or volcano, none of a region, which others have too."""
    return not mute.target.name.endswith("*")


def _number(text: str, acts: Sequence[ActRow]) -> int | None:
    """Which act the page says was written down just now; None where the address names none of them."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return number - 1 if 1 <= number <= len(acts) else None


def _no_figure(status: HTTPStatus, why: str, language: str) -> Answer:
    return Answer.page(status, pages.message("figure", why, language))


def _row(ledger: Ledger, flag: FlagName) -> EpisodeRow:
    row = next((one for one in ledger.episodes(flag.stack) if one.number == flag.number), None)
    if row is None:
        raise BadLink(f"there is no flag {flag} any more", "gone", flag)
    return row


def _acts(ledger: Ledger, flag: FlagName, form: Mapping[str, str]) -> list[ActRow]:
    """What a form asks for."""
    by, note = one_line(form.get("by", ""))[:100], one_line(form.get("note", ""))[:1000]
    if not by:
        raise Wrong("name")
    now = datetime.now(UTC)
    match form.get("act"):
        case "ack":
            return [ActRow(flag.stack, flag.number, ActKind.ACKNOWLEDGED, by, now, note)]
        case "label" if form.get("label") in list(Label):
            label = Label(form["label"])
            return [ActRow(flag.stack, flag.number, ActKind.LABELLED, by, now, note, label=label, confidence=1.0)]
        case "mute":
            until = _until(form.get("until", ""), now.date())
            return [ActRow(str(volcano_of(flag.stack)), None, ActKind.MUTED, by, now, note, until=until)]
        case "unmute":
            ended = [mute for mute in _muted(ledger, flag) if _may_end(mute)]
            if not ended:
                raise Wrong("unmuted")
            return [ActRow(str(mute.target), None, ActKind.UNMUTED, by, now, note) for mute in ended]
    raise Wrong("form")


def _until(text: str, today: date) -> date:
    """The day on which a mute ends."""
    until = _day(text)
    if until <= today:
        raise Wrong("past", until)
    if until > latest_end(today):
        raise Wrong("far", until, LONGEST_YEARS, latest_end(today))
    return until


def _day(text: str) -> date:
    try:
        return read_date(text)
    except ValueError:
        raise Wrong("date", repr(text)) from None


def language_of(query: Mapping[str, str], accepted: str) -> str:
    """The language of a page: that of the link, else the first of the browser's (``Accept-Language``) that there is."""
    if (named := query.get("language")) in LANGUAGES:
        return str(named)
    found = []
    for place, part in enumerate(accepted.split(",")[:20]):
        name, _, weight = part.partition(";")
        code = name.strip().partition("-")[0].lower()
        if code in LANGUAGES and (how := _weight(weight)) > 0:
            found.append((-how, place, code))
    return min(found)[2] if found else DEFAULT


def _weight(text: str) -> float:
    """``q=0.8`` -> 0.8; 1 where it says nothing, 0 where it cannot be read."""
    value = text.strip().removeprefix("q=")
    try:
        return float(value) if value else 1.0
    except ValueError:
        return 0.0
