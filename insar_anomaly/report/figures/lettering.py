"""Text in figures: names that other people have written are drawn as they are, in whichever fonts have their characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypedDict

from matplotlib import font_manager
from matplotlib.figure import FigureBase

from insar_anomaly.spoken import one_line

PLAIN = "DejaVu Sans"
"""Comes with Matplotlib."""
MISSING = "\u25a1"
"""Stands for a character that no font has: an empty square."""
_TEMPLATES = ("Last Resort", "Adobe Blank")
"""Families whose glyphs stand for any character and show none."""


class Lettering(TypedDict):
    """Keyword arguments of a Matplotlib text."""

    s: str
    parse_math: bool
    family: list[str]


def lettered(text: str) -> Lettering:
    """Keyword arguments of a Matplotlib text: the words as they are drawn, no formulas in them, and their fonts."""
    words = drawable(text)
    families = dict.fromkeys([PLAIN, *(found for c in words if (found := _family_with(c)))])
    return {"s": words, "parse_math": False, "family": list(families)}


def drawable(text: str) -> str:
    """Text of one or more lines, with an empty square for each character that no font of this machine has."""
    lines = (one_line(line) for line in text.split("\n"))
    return "\n".join("".join(_shown(c) for c in line) for line in lines)


def any_missing(texts: Iterable[str]) -> bool:
    """True where one of the texts has a character that no font of this machine has."""
    return any(MISSING in drawable(text) and MISSING not in text for text in texts)


def titled(figure: FigureBase, text: str, **style: Any) -> None:
    """Put a title over a figure."""
    how = lettered(text)
    figure.suptitle(how["s"], parse_math=how["parse_math"], family=how["family"], **style)


def _shown(character: str) -> str:
    if unicodedata.category(character) in ("Cf", "Mn", "Me") and _family_with(character) is None:
        return ""  # marks that change the character before them, such as the variation selectors of emoji
    return character if character == "\n" or _family_with(character) is not None else MISSING


@lru_cache(maxsize=4096)
def _family_with(character: str) -> str | None:
    """The family of a font that has a character, the plain one before all others; None where there is none."""
    for family, path in _fonts():
        if ord(character) in _characters(path):
            return family
    return None


@lru_cache(maxsize=1)
def _fonts() -> tuple[tuple[str, str], ...]:
    """Family and file of every upright font of normal weight."""
    every = font_manager.fontManager.ttflist
    chosen = [one for one in every if one.style == "normal" and not one.name.startswith(_TEMPLATES)]
    ordered = sorted(
        chosen, key=lambda one: (one.name != PLAIN, str(one.weight) not in ("400", "normal"), one.name, one.fname)
    )
    return tuple((one.name, one.fname) for one in ordered if str(one.weight) in ("400", "normal", "350", "500"))


@lru_cache(maxsize=256)
def _characters(path: str) -> frozenset[int]:
    """The characters of a font; none of one that cannot be drawn with, as those of coloured bitmaps."""
    try:
        font = font_manager.get_font(path)
        return frozenset(font.get_charmap()) if font.scalable else frozenset()
    except (OSError, RuntimeError):
        return frozenset()
