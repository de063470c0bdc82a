"""Names of a folder's files, as a person describes them: ``{frame}/{reference:%Y%m%d}_{secondary:%Y%m%d}.unw.tif``.

``{reference}`` and ``{secondary}`` stand for the two dates, in any form of strptime (without a form: YYYYMMDD). ``{frame}``
stands for the frame's name, ``*`` for any text without a slash. GMTSAR counts the days of a year from 000: ``%J`` reads
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

_DIGITS = {"Y": 4, "y": 2, "m": 2, "d": 2, "j": 3, "J": 3, "H": 2, "M": 2, "S": 2}
_DIRECTIVES = {**{one: rf"\d{{{count}}}" for one, count in _DIGITS.items()}, "b": "[A-Za-z]{3}", "B": "[A-Za-z]+"}
_PLAIN_DATE = "%Y%m%d"
_DATES = ("reference", "secondary")
_PART = re.compile(r"\{(?P<name>\w*)(?::(?P<form>[^{}]*))?\}|(?P<any>\*)|(?P<text>[^{}*]+)|(?P<lone>[{}])")
EXAMPLE = "{reference:%Y%m%d}_{secondary:%Y%m%d}.unw.tif"


@dataclass(frozen=True)
class Matched:
    """What a file's name says: its frame (empty where the pattern has none) and its dates, UTC, as they stand in it."""

    frame: str
    reference: datetime
    secondary: datetime


@dataclass(frozen=True)
class Pattern:
    """A pattern of paths below a folder.

    Parameters
    ----------
    text : as it is written

    Raises
    ------
    ValueError
        where it cannot be a pattern; the text says what to write.
    """

    text: str

    def __post_init__(self) -> None:
        missing = [f"{{{name}}}" for name in _DATES if name not in self._forms]
        if missing or self.text.startswith("/"):
            lacks = f"it lacks {' and '.join(missing)}" if missing else "it starts with a slash"
            raise ValueError(f'give a path below url such as "{EXAMPLE}": {lacks}')
        for name in _DATES:
            if not _tells_a_day(self._forms[name]):
                raise ValueError(f"{{{name}:{self._forms[name]}}} tells no day: give year, month and day (%Y%m%d, or %Y%j)")
        assert self._expression

    @property
    def has_frame(self) -> bool:
        """True where the frame's name is a part of it."""
        return "frame" in self._forms

    @property
    def has_time(self) -> bool:
        """True where the dates have their time of day."""
        return "%H" in self._forms["reference"]

    @property
    def folder(self) -> str:
        """The folder below which every file lies, as far as no part of it varies; empty for the root."""
        fixed = re.split(r"[{*]", self.text, maxsplit=1)[0]
        return fixed.rpartition("/")[0]

    @property
    def levels(self) -> int:
        """How many levels below `folder` the files lie; 1 is in it."""
        return self.text.count("/") - (self.folder.count("/") + 1 if self.folder else 0) + 1

    def of(self, frame: str) -> Pattern:
        """The pattern of one frame's files."""
        return Pattern(self.text.replace("{frame}", frame))

    def match(self, path: str) -> Matched | None:
        """What a path below the folder says; None where it is another's.

        Raises
        ------
        ValueError
            where it fits and what stands for a date is none.
        """
        found = self._expression.fullmatch(path)
        if found is None:
            return None
        days = [_moment(found[name], self._forms[name]) for name in _DATES]
        return Matched(found["frame"] if self.has_frame else "", days[0], days[1])

    @cached_property
    def _forms(self) -> dict[str, str]:
        forms: dict[str, str] = {}
        for part in _parts(self.text):
            if name := part["name"]:
                form = "" if name == "frame" else part["form"] or _PLAIN_DATE
                if forms.setdefault(name, form) != form:
                    raise ValueError(f'give {{{name}}} in one form, not as both "{forms[name]}" and "{form}"')
        return forms

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        out, seen = "", set[str]()
        for part in _parts(self.text):
            name = part["name"]
            if part["any"]:
                out += "[^/]*"
            elif not name:
                out += re.escape(part["text"])
            elif name in seen:
                out += f"(?P={name})"
            else:
                out += f"(?P<{name}>{'[^/+{}*]+?' if name == 'frame' else _of_form(self._forms[name])})"
                seen.add(name)
        return re.compile(out)


def _tells_a_day(form: str) -> bool:
    """True where a form of strptime has a year, and a month and a day or the day of the year."""
    held = set(re.findall(r"%(.)", form.replace("%%", "")))
    unknown = held - set(_DIRECTIVES)  # is told by its own name
    return bool(unknown or (held & set("Yy") and (held & set("jJ") or (held & set("mbB") and "d" in held))))


def _parts(text: str) -> Iterator[re.Match[str]]:
    for part in _PART.finditer(text):
        if part["lone"]:
            raise ValueError(f'give a pattern such as "{EXAMPLE}": a brace stands alone in it')
        if part["name"] is not None and part["name"] not in (*_DATES, "frame"):
            raise ValueError(f"give a pattern of {{reference}}, {{secondary}}, {{frame}} and *: {part[0]} means nothing")
        yield part


def _of_form(form: str) -> str:
    """The regular expression of a date in a form of strptime; each directive is a group of its own."""
    out = ""
    for text, directive in re.findall(r"([^%]+)|%(.?)", form):
        if text or directive == "%":
            out += re.escape(text or "%")
        elif directive in _DIRECTIVES:
            out += _DIRECTIVES[directive]
        else:
            known = ", ".join(f"%{one}" for one in _DIRECTIVES)
            raise ValueError(f"give dates in a form of {known}: %{directive} is none of them")
    return out


def _moment(text: str, form: str) -> datetime:
    """The moment that a text stands for. Raises ValueError where it is none."""
    try:
        if "%J" in form:  # from 000: one is added, and %j reads it
            pieces = [re.sub(r"%(.)", lambda part: _DIRECTIVES[part[1]], piece) for piece in form.split("%J")]
            if found := re.fullmatch(rf"({pieces[0]})(\d{{3}})({pieces[1]})", text):
                text, form = f"{found[1]}{int(found[2]) + 1:03d}{found[3]}", form.replace("%J", "%j")
        return datetime.strptime(text, form)  # noqa: DTZ007
    except ValueError:
        raise ValueError(f"{text} is no date of the form {form}") from None
