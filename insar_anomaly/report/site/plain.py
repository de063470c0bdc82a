"""What all pages share: templates, styles and scripts under names that change with their content, and data as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from insar_anomaly.spoken import DEFAULT, LANGUAGES, one_line

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'"
"""The Content-Security-Policy of every page: nothing from elsewhere, and no script that a name or a note could bring."""
DASH = "\u2013"
_ASSETS = ("site.css", "site.js", "front.js", "chart.js", "volcano.js")
_HARMLESS = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


@lru_cache(maxsize=1)
def furniture() -> Mapping[str, bytes]:
    """Styles and scripts: name, as ``assets/site.0123456789.css``, -> content. Another content has another name."""
    return {full: asset(name) for name, full in _names().items()}


@lru_cache(maxsize=1)
def form() -> str:
    """A hash of the pages' form: of all templates, styles and scripts. Where it is another, all pages are."""
    templates = files("insar_anomaly.report.site").joinpath("templates").iterdir()
    every = {one.name: one.read_bytes() for one in templates} | {name: asset(name) for name in _ASSETS}
    return hashlib.sha256(repr(sorted(every.items())).encode()).hexdigest()


@lru_cache(maxsize=1)
def _names() -> Mapping[str, str]:
    """The file in the folder of assets -> its name in the site."""
    return {name: named(f"assets/{name}", asset(name)) for name in _ASSETS}


def asset(name: str) -> bytes:
    """A file of the folder of assets."""
    return files("insar_anomaly.report.site").joinpath("assets", name).read_bytes()


def named(name: str, content: bytes) -> str:
    """A file's name with a hash of its content before the ending: a page never meets another content under it."""
    stem, dot, ending = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(content).hexdigest()[:10]}{dot}{ending}"


def page(template: str, *, up: str = "", **values: object) -> bytes:
    """A page from its template. `up` is the way from the page to the site's root: empty, or ``../``."""
    here = {name: f"{up}{full}" for name, full in _names().items()}
    text = _environment().get_template(template).render(asset=here, up=up, policy=POLICY, **values)
    return text.encode()


def data(content: object) -> Markup:
    """JSON as it may stand inside a ``script`` element of a page: no character of it can end that element."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), default=_as_text)
    return Markup("".join(_HARMLESS.get(one, one) for one in text))  # noqa: S704  escaped here


def figure(value: float | None) -> str:
    """A score with four digits; a dash where there is none."""
    return DASH if value is None else f"{value:.4g}"


def years(value: float | None) -> str:
    """A return period with two digits; a dash where it is not known."""
    if value is None:
        return DASH
    return ">10,000" if value >= 1e4 else f"{float(f'{value:.2g}'):g}"


def _as_text(value: Any) -> str:
    if isinstance(value, date | datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is no part of JSON")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("insar_anomaly.report.site", "templates"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = LANGUAGES[DEFAULT]
    made.filters |= {"line": one_line, "figure": figure, "years": years, "day": words.one_day}
    made.globals |= {"place": LANGUAGES[DEFAULT].place, "span": words.span, "data": data}
    return made
