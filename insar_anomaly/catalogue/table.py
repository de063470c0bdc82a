"""A catalogue as a table: CSV as people and spreadsheets save it.

Columns may be separated by commas, semicolons or tabs, and may have the names of the Smithsonian Global Volcanism Program
(GVP), whose other columns are left out. What a file leaves open is asked for, with the line and the expected columns.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from insar_anomaly.catalogue.contacts import is_address
from insar_anomaly.files.mistakes import nearest
from insar_anomaly.files.text import NotText, Table, any_encoding

NEEDED = ("gvp", "name", "lat", "lon", "frames")
OPTIONAL = ("box_km", "exclude", "contacts")
FORMS = {
    "name": "the volcano's name",
    "frames": "one name or more, separated by a space, a semicolon or (between quotes) a comma",
    "exclude": "polygons such as 40.6 13.5; 40.7 13.5; 40.7 13.6, each corner as lon lat, with | between two polygons",
    "contacts": "e-mail addresses separated by ;",
}
"""What cells take, in words of a table."""

_ALIASES = {
    "volcanonumber": "gvp",
    "gvpnumber": "gvp",
    "vnum": "gvp",
    "volcanoname": "name",
    "latitude": "lat",
    "longitude": "lon",
    "long": "lon",
    "frame": "frames",
    "boxkm": "box_km",
    "contact": "contacts",
}
_OF_GVP = re.compile(
    "activityevidence|country|dominantrocktype|elevationm?|epochperiod|evidencecategory|geologicalsummary|"
    "geologictimeperiod|lasteruptionyear|lastknowneruption|majorrocktype|primaryvolcanotype|region|remarks|subregion|"
    "tectonicsettings?|volcanicprovince|volcanicregion|volcanicregiongroup|volcanolandform|volcanotype"
)
"""Titles of GVP's other columns, without spaces and signs."""

_EXPECTED = f"the first line names the columns: {', '.join(NEEDED)}, and, where wanted, {', '.join(OPTIONAL)}"
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_NUMBERS = ("lat", "lon", "box_km")


def rows(raw: bytes) -> list[tuple[int, Table]]:
    """Line and values of every volcano of a table; empty rows are left out.

    Raises
    ------
    NotText
        where it cannot be read as a table; the values themselves are not checked.
    """
    text = any_encoding(raw)
    first = next((n for n, line in enumerate(text.splitlines()) if line.strip()), None)
    if first is None:
        return []
    header = text.splitlines()[first]
    separator = max(_SEPARATORS, key=lambda one: sum(map(bool, map(_column, _cells(header, one)))))
    names = _columns(_cells(header, separator), first + 1)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    out = []
    for line, cells in _numbered(reader):
        if line > first + 1 and any(map(str.strip, cells)):
            out.append((line, _entry(names, cells, line, separator)))
    return out


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line on which each ends."""
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as problem:
        words = f"{problem}; put quotes around a whole cell, and write a quote inside one twice"
        raise NotText(max(1, reader.line_num), words) from None


def _cells(line: str, separator: str) -> list[str]:
    return next(csv.reader([line], delimiter=separator), [])


def _column(title: str) -> str | None:
    """The key that a column's title means, however it is written; None where it means none."""
    return next((key for key in (*NEEDED, *OPTIONAL) if key == title.strip().lower()), _ALIASES.get(_plain(title)))


def _plain(title: str) -> str:
    """A title in lower case without spaces and signs."""
    return re.sub(r"[^a-z0-9]", "", title.lower())


def _columns(titles: list[str], line: int) -> list[str | None]:
    """The keys of a table's columns; None for those of GVP's that are not needed."""
    keys = [_column(title) for title in titles]
    if not any(keys):
        raise NotText(line, f"no column has a name that is known here; {_EXPECTED}")
    for title, key in zip(titles, keys, strict=True):
        if key is None and title.strip() and not _OF_GVP.fullmatch(_plain(title)):
            near = nearest(title.strip(), (*NEEDED, *OPTIONAL))
            raise NotText(line, f"unknown column {title.strip()!r}; " + (f"did you mean {near}?" if near else _EXPECTED))
        if key is not None and keys.count(key) > 1:
            both = " and ".join(repr(t.strip()) for t, k in zip(titles, keys, strict=True) if k == key)
            raise NotText(line, f"the columns {both} both mean {key}; leave one out")
    if missing := [name for name in NEEDED if name not in keys]:
        raise NotText(line, f"there is no column {' and no column '.join(missing)}; {_EXPECTED}")
    return keys


def _entry(names: list[str | None], cells: list[str], line: int, separator: str) -> Table:
    more = [cell for cell in cells[len(names) :] if cell.strip()]
    if more:
        what = {",": "a comma", ";": "a semicolon", "\t": "a tab"}[separator]
        raise NotText(line, f"more cells than columns ({more[0].strip()!r}); put quotes around a cell that holds {what}")
    entry: Table = {
        name: cell.strip() for name, cell in zip(names, cells, strict=False) if name is not None and cell.strip()
    }
    if separator != ",":  # where columns are separated otherwise, a comma between digits can only be a decimal one
        entry |= {name: _with_point(entry[name]) for name in (*_NUMBERS, "exclude") if name in entry}
    if "exclude" in entry:
        entry["exclude"] = _polygons(entry["exclude"])
    if "frames" in entry:
        entry["frames"] = tuple(part for part in re.split(r"[,;\s]+", entry["frames"]) if part)
    if "contacts" in entry:
        entry["contacts"] = tuple(_addresses(entry["contacts"]))
    return entry


def _with_point(text: str) -> str:
    return re.sub(r"(?<=\d),(?=\d)", ".", text)


def _addresses(text: str) -> Iterator[str]:
    """Addresses between semicolons; or between commas, where that gives addresses."""
    for part in (one.strip() for one in text.split(";") if one.strip()):
        by_comma = [one.strip() for one in part.split(",") if one.strip()]
        yield from by_comma if not is_address(part) and all(map(is_address, by_comma)) else [part]


def _polygons(text: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Polygons of a cell; what is no number is left to the volcano's own check."""
    rings = [ring.split(";") for ring in text.split("|") if ring.strip()]
    return tuple(tuple(tuple(corner.split()) for corner in ring if corner.strip()) for ring in rings)
