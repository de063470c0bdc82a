"""A notice in words, in the order in which a duty officer asks: what moved, how much, where, when, how sure, what to do.

The sentences are in ``templates/<language>/``: one file for each kind of notice, and ``sentences.j2``, which they share. A
file has a macro for each part of the notice that it has. Their lines are put into plain text here, and into HTML by
``templates/layout/notice.html.j2``, so that both say the same. A kind without a file of its own is told by ``other.j2``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateNotFound

from insar_anomaly.names import EvidenceKind, direction, frame_of, place, span_of, track
from insar_anomaly.notify.alternatives import alternatives
from insar_anomaly.notify.message import FIGURE_ID, disclaimer
from insar_anomaly.notify.payload import Payload
from insar_anomaly.spoken import DEFAULT, LANGUAGES, Language, one_line
from insar_anomaly.spoken.sentences import layouts, sentences
from insar_anomaly.stack.freshness import RECENT, SUMMIT_KM

PARTS = ("lead", "doubts", "next", "numbers")
"""The parts of a notice, in order. The figure stands before the numbers."""


@dataclass(frozen=True)
class Part:
    """One part of a notice: its heading, empty for the first, and its lines, each with a label that may be empty."""

    name: str
    heading: str
    lines: tuple[tuple[str, str], ...]


def subject(told: Payload, language: str = DEFAULT) -> str:
    """One line: what became of the flag, which volcano, what moved, by how much, and when."""
    return one_line(str(_template(told.outcome, language).subject(told)))


def heading(outcome: str, language: str = DEFAULT) -> str:
    """What became of a flag, in a few words."""
    return one_line(str(_template(outcome, language).title(outcome)))


def body(told: Payload, language: str = DEFAULT) -> str:
    """The whole notice as plain text, without the disclaimer."""
    paragraphs = [subject(told, language)]
    for part in parts(told, language):
        lines = [f"{label}: {words}" if label else words for label, words in part.lines]
        paragraphs.append("\n".join([part.heading, *lines] if part.heading else lines))
    return "\n\n".join(paragraphs)


def chat(told: Payload, language: str = DEFAULT) -> str:
    """The notice as a short plain text: its subject, its first part and what to do next."""
    chosen = [part for part in parts(told, language) if part.name in ("lead", "next")]
    lines = [f"{label}: {words}" if label else words for part in chosen for label, words in part.lines]
    return "\n".join([subject(told, language), *lines])


def html(told: Payload, language: str = DEFAULT, *, figure: bool = False) -> str:
    """The notice as an HTML page, with the disclaimer. `figure` puts the picture into it that is called `FIGURE_ID`."""
    every = parts(told, language)
    shown = {
        "language": language,
        "title": subject(told, language),
        "parts": [part for part in every if part.name != "numbers"],
        "numbers": next((part for part in every if part.name == "numbers"), None),
        "figure": f"cid:{FIGURE_ID}" if figure else None,
        "disclaimer": disclaimer(language),
    }
    return layouts("notify").get_template("notice.html.j2").render(shown)


def page(title: str, body: str, language: str = DEFAULT) -> str:
    """A text of lines as an HTML page, with the disclaimer: what is said of a night, in the words of its plain text."""
    shown = {"language": language, "title": title, "body": body, "disclaimer": disclaimer(language)}
    return layouts("notify").get_template("words.html.j2").render(shown)


def parts(told: Payload, language: str = DEFAULT) -> list[Part]:
    """The parts of a notice that have something to say."""
    template, headings = _template(told.outcome, language), _shared(language).headings
    found = []
    for name in PARTS:
        macro = getattr(template, name, None)
        lines = _lines(str(macro(told))) if macro else ()
        if lines:
            found.append(Part(name, headings[name], lines))
    return found


def kinds(language: str) -> set[str]:
    """The kinds of notices that a language has a template for."""
    found = {name.removesuffix(".j2") for name in _sentences(language).list_templates() if "/" not in name}
    return found - {"sentences", "other"}


def _lines(text: str) -> tuple[tuple[str, str], ...]:
    """The lines of a macro's text. A label ends with the mark ``=>``, which no text from elsewhere has, see `clean`."""
    found = []
    for line in filter(None, (one_line(line) for line in text.splitlines())):
        label, mark, words = line.partition("=>")
        found.append((label.strip(), words.strip()) if mark else ("", line))
    return tuple(found)


@lru_cache(maxsize=8)
def _sentences(language: str) -> Environment:
    words, made = LANGUAGES[language], sentences("notify", language)
    made.filters |= {"dates": lambda name: _dates(name, words), "seen_from": lambda stack: _seen_from(stack, words)}
    made.globals |= {
        "alternatives": alternatives,
        "RECENT": RECENT,
        "SUMMIT_KM": SUMMIT_KM,
        "OF_PAIRS": EvidenceKind.PAIR,
    }
    return made


def _template(kind: str, language: str) -> Any:
    """The macros of a kind of notice."""
    sentences = _sentences(language)
    try:
        return sentences.get_template(f"{kind}.j2").module
    except TemplateNotFound:
        return sentences.get_template("other.j2").module


def _shared(language: str) -> Any:
    return _sentences(language).get_template("sentences.j2").module


def _dates(name: str, words: Language) -> str:
    """A pair, an interval or an acquisition as people say it."""
    span = span_of(name) or span_of(f"{name}_{name}")
    return name if span is None else words.span(span.first, span.last)


def _seen_from(name: str, words: Language) -> str:
    """``track 79 (descending)``; the frame's name where it does not tell; both of a couple."""
    told = []
    for frame in (frame_of(str(one)) for one in getattr(place(name), "members", (name,))):
        number, way = track(frame), direction(frame)
        told.append(words.track.format(number=number, way=words.passes[way]) if number and way else frame)
    return words.both.join(told)
