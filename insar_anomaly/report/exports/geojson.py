"""Flags, scores and stacks as GeoJSON (RFC 7946): a FeatureCollection whose properties are the columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from insar_anomaly.names import file_stem
from insar_anomaly.report.exports.columns import Column, Flag, Of, Row, Score, StackNow, rows
from insar_anomaly.report.exports.places import point, polygon


def geojson_text(columns: Sequence[Column[Of]], every: Sequence[Of], *, disclaimer: str) -> str:
    """The collection: boxes of flags and stacks, points of scores; no geometry where the catalogue has no such volcano."""
    features = [
        {"type": "Feature", "id": identity(one), "geometry": geometry(one), "properties": properties(row)}
        for one, row in zip(every, rows(columns, every), strict=True)
    ]
    content = {"type": "FeatureCollection", "disclaimer": disclaimer, "features": features}
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def properties(row: Row) -> dict[str, object]:
    """A row for JSON: dates as text."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()}


def geometry(one: Flag | Score | StackNow) -> dict[str, object] | None:
    """The box of a flag or stack, the place of a score."""
    volcano = one.volcano
    if volcano is None:
        return None
    return point(volcano.lat, volcano.lon) if isinstance(one, Score) else polygon(volcano.box)


def identity(one: Flag | Score | StackNow) -> str:
    """A name that stays the same from export to export, of letters, digits, ``-``, ``_`` and ``.`` only."""
    stack = file_stem(one.stack).replace("+", ".")
    if isinstance(one, Flag):
        return f"flag-{stack}-{one.episode.number}"
    if isinstance(one, Score):
        after = f"-{one.assessed.after}" if one.assessed else ""
        return f"score-{stack}-{one.evidence}-{one.row.pair}{after}"
    return f"stack-{stack}"
