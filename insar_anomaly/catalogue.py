"""Volcanoes and their frames, boxes, exclusion polygons and contacts. Adding a volcano is one entry in TOML or CSV."""

from __future__ import annotations

import csv
import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from insar_anomaly.addresses import checked
from insar_anomaly.errors import CatalogueError
from insar_anomaly.units import KM_PER_DEGREE

DEFAULT_BOX_KM = 50.0


class Box(BaseModel):
    """A rectangle in degrees: west, south, east, north."""

    model_config = ConfigDict(frozen=True)
    west: float
    south: float
    east: float
    north: float


class Volcano(BaseModel):
    """One volcano of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gvp: int = Field(ge=100000, le=999999, description="Smithsonian GVP volcano number")
    name: str = Field(min_length=1)
    lat: float = Field(ge=-90, le=90)
    lon: float = Field(ge=-180, le=180)
    frames: tuple[str, ...] = Field(min_length=1, description="satellite frames that see it")
    box_km: float = Field(DEFAULT_BOX_KM, gt=1, le=500, description="side of the box around it")
    exclude: tuple[tuple[tuple[float, float], ...], ...] = Field((), description="polygons of (lon, lat) never looked at")
    contacts: tuple[str, ...] = Field((), description="e-mail addresses that get this volcano's notices")

    @field_validator("frames")
    @classmethod
    def _no_frame_twice(cls, frames: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(frames)) < len(frames):
            raise ValueError("a frame is listed twice")
        for frame in frames:
            if not frame or "/" in frame or frame != frame.strip():
                raise ValueError(f"{frame!r} is not the name of a frame")
        return frames

    @field_validator("contacts")
    @classmethod
    def _addresses(cls, contacts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked(contact) for contact in contacts)

    @property
    def box(self) -> Box:
        """The square of `box_km` around the volcano, in degrees."""
        half = self.box_km / 2 / KM_PER_DEGREE
        wide = half / max(0.05, math.cos(math.radians(self.lat)))
        return Box(west=self.lon - wide, south=self.lat - half, east=self.lon + wide, north=self.lat + half)

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of its stacks, ``gvp/frame``."""
        return tuple(f"{self.gvp}/{frame}" for frame in self.frames)

    def excluded(self, lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Ground (y, x) inside one of the exclusion polygons, for pixel centres `lat` (y,) and `lon` (x,) in degrees."""
        out = np.zeros((len(lat), len(lon)), bool)
        for polygon in self.exclude:
            out |= _inside(polygon, lat[:, None], lon[None, :])
        return out


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


def _inside(
    polygon: tuple[tuple[float, float], ...], lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]
) -> NDArray[np.bool_]:
    """Even-odd rule: a point is inside where a ray to the east crosses the outline an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(lat.shape, lon.shape), bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > lat) != (y2 > lat)
        inside ^= crosses & (lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1)
    return inside
