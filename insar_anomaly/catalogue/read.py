"""Read a catalogue from TOML or CSV. Adding a volcano is one entry."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import CatalogueError


def load(path: str | Path) -> list[Volcano]:
    """Read a catalogue: TOML with ``[[volcano]]`` tables, or CSV with the same columns.

    In CSV, frames and contacts are separated by ``;``; an exclusion polygon is ``lon lat; lon lat; lon lat``, and
    ``|`` stands between polygons. Empty rows are skipped.

    Raises
    ------
    CatalogueError
        naming the file, the entry, the value and the remedy: unreadable file, wrong value, duplicate volcano.
    """
    file = Path(path)
    try:
        entries = _rows(file) if file.suffix.lower() == ".csv" else _tables(file)
    except OSError as problem:
        raise CatalogueError(f"{file}: cannot be read ({problem.strerror}); name a catalogue in `catalogue`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, csv.Error) as problem:
        raise CatalogueError(f"{file}: not a valid catalogue: {problem}") from None
    volcanoes, mistakes = [], []
    for where, entry in entries:
        try:
            volcanoes.append(Volcano(**entry))
        except (ValidationError, TypeError) as problem:
            mistakes += _explained(file, where, problem)
    seen: dict[int, str] = {}
    for volcano in volcanoes:
        if volcano.gvp in seen:
            mistakes.append(
                f"{file}: volcano {volcano.gvp} stands twice ({seen[volcano.gvp]}, {volcano.name}): "
                "keep one entry with all its frames"
            )
        seen[volcano.gvp] = volcano.name
    if not entries:
        mistakes.append(f"{file}: holds no volcano; add a [[volcano]] table (gvp, name, lat, lon, frames)")
    if mistakes:
        raise CatalogueError("\n".join(mistakes))
    return volcanoes


def _tables(file: Path) -> list[tuple[str, dict[str, Any]]]:
    with file.open("rb") as f:
        content = tomllib.load(f)
    unknown = set(content) - {"volcano"}
    if unknown:
        raise CatalogueError(f"{file}: unknown key {sorted(unknown)[0]!r}; a catalogue holds [[volcano]] tables only")
    entries = content.get("volcano", [])
    if not isinstance(entries, list) or not all(isinstance(v, dict) for v in entries):
        raise CatalogueError(f"{file}: volcano: give each volcano a table of its own, with two brackets: [[volcano]]")
    return [(f"[[volcano]] number {i} ({v.get('name', 'no name')})", v) for i, v in enumerate(entries, 1)]


def _rows(file: Path) -> list[tuple[str, dict[str, Any]]]:
    lists = ("frames", "contacts")
    with file.open(newline="", encoding="utf-8-sig") as f:
        reader = csv.DictReader(f, strict=True)
        if len(reader.fieldnames or ()) == 1 and ";" in (reader.fieldnames or ("",))[0]:
            raise CatalogueError(f"{file}: line 1: columns are separated by semicolons; write commas, lists take semicolons")
        entries = []
        for row in reader:
            if row.get(None):
                raise CatalogueError(
                    f"{file}: line {reader.line_num}: more cells than columns ({row[None]!r}); "
                    "put quotes around a cell that holds a comma"
                )
            entry: dict[str, Any] = {str(k): v.strip() for k, v in row.items() if v is not None and v.strip()}
            if not entry:
                continue
            if "exclude" in entry:
                entry["exclude"] = _polygons(entry["exclude"])
            for name in lists:
                if name in entry:
                    entry[name] = tuple(part.strip() for part in str(entry[name]).split(";") if part.strip())
            entries.append((f"line {reader.line_num}", entry))
    return entries


def _polygons(text: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Polygons of a CSV cell; what is no number is left to the volcano's own check."""
    rings = [ring.split(";") for ring in text.split("|") if ring.strip()]
    return tuple(tuple(tuple(corner.split()) for corner in ring if corner.strip()) for ring in rings)


def _explained(file: Path, where: str, problem: ValidationError | TypeError) -> list[str]:
    if isinstance(problem, TypeError):
        return [f"{file}: {where}: {problem}"]
    lines = []
    for error in problem.errors():
        key = ".".join(str(part) for part in error["loc"])
        given = "" if error["type"] == "missing" else f" (given: {error['input']!r})"
        lines.append(f"{file}: {where}: {key}: {error['msg']}{given}")
    return lines
