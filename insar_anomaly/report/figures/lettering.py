"""Text in figures: names that other people have written are drawn as they are, in whichever fonts have their characters.

A character that no font of this machine has is written as its number, ``[U+5BCC]``, and the log says once which font to
install.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from itertools import groupby
from typing import Any, TypedDict

from matplotlib import font_manager
from matplotlib.figure import FigureBase

from insar_anomaly.spoken import one_line

PLAIN = "DejaVu Sans"
"""Comes with Matplotlib."""
_MOST = 8
"""Characters of one name that are written as their numbers; of a longer one it says that there are more."""
_INSTALL = {
    "CJK": "Noto Sans CJK (Debian package fonts-noto-cjk)",
    "symbols": "Symbola (Debian package fonts-symbola)",
    "letters": "Noto Sans (Debian package fonts-noto-core)",
}
"""Free fonts by what they have. Coloured emoji fonts are bitmaps, which Matplotlib does not draw."""
_TEMPLATES = ("Last Resort", "Adobe Blank")
"""Families whose glyphs stand for any character and show none."""


log = logging.getLogger(__name__)
_said: set[str] = set()
"""The fonts that this process has asked for."""


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
    """Text of one or more lines, with the number of each character that no font of this machine has: ``[U+5BCC U+58EB]``."""
    return "\n".join(_line(one_line(line)) for line in text.split("\n"))


def any_missing(texts: Iterable[str]) -> bool:
    """True where one of the texts has a character that no font of this machine has."""
    return any(_missing(c) for text in texts for line in text.split("\n") for c in one_line(line))


def titled(figure: FigureBase, text: str, **style: Any) -> None:
    """Put a title over a figure."""
    how = lettered(text)
    figure.suptitle(how["s"], parse_math=how["parse_math"], family=how["family"], **style)


def _line(line: str) -> str:
    kept = "".join(c for c in line if not _silent(c))
    return "".join(_numbers(list(run)) if missing else "".join(run) for missing, run in groupby(kept, _missing))


def _numbers(characters: list[str]) -> str:
    """The numbers of characters, for who wants to look them up."""
    _say_what_to_install(_fonts_for(characters[0]), characters[0])
    more = " ..." if len(characters) > _MOST else ""
    return f"[{' '.join(f'U+{ord(c):04X}' for c in characters[:_MOST])}{more}]"


def _missing(character: str) -> bool:
    return character != "\n" and not _silent(character) and _family_with(character) is None


def _silent(character: str) -> bool:
    """True for a mark that changes the one before it, such as variation selectors of emoji, and cannot be drawn."""
    return unicodedata.category(character) in ("Cf", "Mn", "Me") and _family_with(character) is None


def _fonts_for(character: str) -> str:
    """Which of the free fonts has a character, as a rule."""
    if unicodedata.category(character) in ("So", "Sk", "Sm"):
        return "symbols"
    wide = unicodedata.east_asian_width(character) in ("W", "F", "H")
    return "CJK" if wide else "letters"


def _say_what_to_install(fonts: str, character: str) -> None:
    """Once for each font that is wanting."""
    if fonts in _said:
        return
    _said.add(fonts)
    name = unicodedata.name(character, "without a name")
    log.warning(
        "figures: no font on this machine has %s (U+%04X, %s); such characters are written as their numbers. Install a font "
        "that has them, such as %s",
        character,
        ord(character),
        name,
        _INSTALL[fonts],
    )


@lru_cache(maxsize=4096)
def _family_with(character: str) -> str | None:
    """The family of a font that has a character, the plain one before all others; None where there is none."""
    found = _in_fonts(character)
    if found is None and _newly_installed():
        found = _in_fonts(character)
    return found


def _in_fonts(character: str) -> str | None:
    return next((family for family, path in _fonts() if ord(character) in _characters(path)), None)


@lru_cache(maxsize=1)
def _newly_installed() -> bool:
    """Take up fonts that were installed after Matplotlib made its list of them, which it keeps; True where there are any."""
    known = {one.fname for one in font_manager.fontManager.ttflist}
    new = [path for path in font_manager.findSystemFonts() if path not in known]
    for path in new:
        with suppress(OSError, RuntimeError, ValueError):  # of a kind that cannot be drawn with
            font_manager.fontManager.addfont(path)
    _fonts.cache_clear()
    return bool(new)


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
