"""Read a catalogue from TOML or CSV. Adding a volcano is one entry; docs/catalogue.md describes every column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from insar_anomaly.catalogue.table import FORMS, rows
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import CatalogueError
from insar_anomaly.files.lines import Lines
from insar_anomaly.files.mistakes import Mistake, validated
from insar_anomaly.files.text import NotText, Table, toml


@dataclass(frozen=True)
class _Entry:
    """One volcano as the file gives it.

    `name` says which one it is, `line` is where it stands, `lines` where its keys stand, as far as that is another line.
    """

    values: Table
    line: int
    name: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)

    def place(self, file: Path, key: str = "") -> str:
        """``file: line 3: [[volcano]] number 1 (Taal)``."""
        return f"{file}: line {self.lines.get(key, self.line)}" + (f": {self.name}" if self.name else "")


def load(path: str | Path) -> list[Volcano]:
    """Read a catalogue: TOML with ``[[volcano]]`` tables, or CSV with one row for each volcano.

    Raises
    ------
    CatalogueError
        naming the file, the line, the entry, the value and the remedy: unreadable file, wrong value, duplicate volcano.
    """
    file = Path(path)
    try:
        entries = _rows(file) if file.suffix.lower() == ".csv" else _tables(file)
    except OSError as problem:
        raise CatalogueError(f"{file}: cannot be read ({problem.strerror}); name a catalogue in `catalogue`") from None
    except NotText as problem:
        raise CatalogueError(f"{file}: line {problem.line}: not a valid catalogue: {problem}") from None
    mistakes: list[str] = []
    volcanoes: list[tuple[_Entry, Volcano]] = []
    for entry in entries:
        volcano, wrong = validated(Volcano, entry.values, entry.forms)
        mistakes += [_told(file, entry, mistake) for mistake in wrong]
        if volcano is not None:
            volcanoes.append((entry, volcano))
    seen: dict[int, tuple[_Entry, Volcano]] = {}
    for entry, volcano in volcanoes:
        if volcano.gvp in seen:
            first, other = seen[volcano.gvp]
            mistakes.append(
                f"{entry.place(file, 'gvp')}: volcano {volcano.gvp} is listed twice ({other.name}, {volcano.name}): "
                f"keep one entry with all its frames (the other is in line {first.line})"
            )
        seen.setdefault(volcano.gvp, (entry, volcano))
    if not entries:
        mistakes.append(f"{file}: holds no volcano; add a [[volcano]] table, or a row in CSV (gvp, name, lat, lon, frames)")
    if mistakes:
        raise CatalogueError("\n".join(mistakes))
    return [volcano for _, volcano in volcanoes]


def _tables(file: Path) -> list[_Entry]:
    text, content = toml(file)
    lines = Lines.of(text)
    if unknown := sorted(set(content) - {"volcano"}):
        line = lines.line((unknown[0],))
        raise CatalogueError(f"{file}: line {line}: unknown key {unknown[0]!r}; a catalogue holds [[volcano]] tables only")
    tables = content.get("volcano", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        line = lines.line(("volcano",))
        raise CatalogueError(
            f"{file}: line {line}: volcano: give each volcano a table of its own, with two brackets: [[volcano]]"
        )
    return [
        _Entry(
            table,
            lines.line(("volcano", number)),
            f"[[volcano]] number {number + 1} ({table.get('name', 'no name')})",
            {key: lines.line(("volcano", number, key)) for key in table},
        )
        for number, table in enumerate(tables)
    ]


def _rows(file: Path) -> list[_Entry]:
    return [_Entry(values, line, forms=FORMS) for line, values in rows(file.read_bytes())]


def _told(file: Path, entry: _Entry, mistake: Mistake) -> str:
    if not mistake.names:  # of keys that do not go together: the words name them
        return f"{entry.place(file, 'lat')}: {mistake}"
    key = mistake.names[-1]
    if key == "lat" and _swapped(entry.values):
        mistake = replace(mistake, words=f"{mistake.words}; lat and lon seem to be swapped")
    return f"{entry.place(file, key)}: {key}: {mistake}"


def _swapped(values: Table) -> bool:
    """True where lat is no latitude, but would be a longitude, and lon would be a latitude."""
    try:
        lat, lon = float(values["lat"]), float(values["lon"])
    except (KeyError, TypeError, ValueError):
        return False
    return 90 < abs(lat) <= 180 and abs(lon) <= 90
