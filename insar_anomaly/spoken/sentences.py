"""Sentences in Jinja templates: a room keeps its own in ``templates/<language>/``, one file for each kind of text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from insar_anomaly.spoken import DEFAULT, LANGUAGES, one_line, rounded
from insar_anomaly.spoken.reasons import in_language, name_in_language


@dataclass(frozen=True)
class Said:
    """A text for people: a line for its subject, and its body."""

    subject: str
    body: str


def said(room: str, kind: str, language: str = DEFAULT, **values: object) -> Said:
    """What a room says of `values`: the macros ``subject`` and ``body`` of its template of this kind.

    Raises jinja2's TemplateNotFound where the room has no such template.
    """
    words = template(room, kind, language)
    return Said(one_line(str(words.subject(values))), str(words.body(values)).strip("\n"))


def template(room: str, kind: str, language: str = DEFAULT) -> Any:
    """The macros of a template: ``template("report", "digest").day(...)``."""
    return sentences(room, language).get_template(f"{kind}.j2").module


@lru_cache(maxsize=32)
def sentences(room: str, language: str) -> Environment:
    """A room's templates of one language; of the default one where it has none of this."""
    chosen = language if language in LANGUAGES else DEFAULT
    words = LANGUAGES[chosen]
    made = Environment(
        loader=PackageLoader(f"insar_anomaly.{room}", f"templates/{chosen}"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  plain text; what goes into HTML is escaped there
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"clean": clean, "r": rounded, "years": words.years, "day": words.one_day, "compass": words.compass}
    made.globals |= {"span": words.span, "place": words.place, "states": words.states, "told": words.told}
    made.filters["reason"] = lambda text: in_language(text, chosen)
    made.filters["named"] = lambda name: name_in_language(name, chosen)
    return made


@lru_cache(maxsize=8)
def layouts(room: str) -> Environment:
    """A room's HTML, which is the same in every language; what is put into it is escaped."""
    return Environment(
        loader=PackageLoader(f"insar_anomaly.{room}", "templates/layout"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def clean(text: str) -> str:
    """A name that somebody has written, as it may stand in a line of a template."""
    return one_line(text).replace("=>", "= >")
