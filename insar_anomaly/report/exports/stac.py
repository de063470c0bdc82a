"""Flags, scores and stacks as STAC 1.0 items in one ItemCollection.

Properties of ours begin with ``insar_anomaly:``. The pass and the relative orbit are those of the Satellite extension, band
and mode those of the SAR extension (only of frames whose name is Sentinel-1's; nothing is claimed of others), the coordinate
system of a stack's arrays that of the Projection extension. Days have no time of day here: they stand at 00:00 UTC.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.names import Couple, direction, place, track
from insar_anomaly.report.exports.columns import Column, Flag, Of, Score, StackNow, rows
from insar_anomaly.report.exports.geojson import geometry, identity, properties
from insar_anomaly.report.exports.places import bounds, longitude

VERSION = "1.0.0"
SATELLITE = "https://stac-extensions.github.io/sat/v1.0.0/schema.json"
SAR = "https://stac-extensions.github.io/sar/v1.3.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
_PASSES = {"A": "ascending", "D": "descending"}
_PREFIX = "insar_anomaly:"


def stac_text(columns: Sequence[Column[Of]], every: Sequence[Of], *, disclaimer: str) -> str:
    """The collection. What has no day, such as a stack of which nothing was ever stored, cannot be an item."""
    table = zip(every, rows(columns, every), strict=True)
    items = [_item(one, properties(row)) for one, row in table if _time(one)]
    content = {"type": "FeatureCollection", "disclaimer": disclaimer, "links": [], "features": items}
    return json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n"


def _item(one: Flag | Score | StackNow, row: dict[str, object]) -> dict[str, object]:
    orbit, radar, system = _orbit(one.stack), _radar(one.stack), _system(one)
    extensions = [name for name, part in ((SATELLITE, orbit), (SAR, radar), (PROJECTION, system)) if part]
    own = {f"{_PREFIX}{name}": value for name, value in row.items() if value is not None}
    item: dict[str, object] = {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": extensions,
        "id": identity(one),
        "geometry": geometry(one),
    }
    if one.volcano is not None:
        item["bbox"] = _bbox(one, one.volcano)
    title = {"title": f"{_title(one)} of {one.volcano.name if one.volcano else one.stack}"}
    item["properties"] = {**title, **_time(one), **orbit, **radar, **system, **own}
    return item | {"links": [], "assets": {}}


def _title(one: Flag | Score | StackNow) -> str:
    if isinstance(one, Flag):
        return f"Screening flag {one.name}"
    return f"Score of {one.evidence.one} {one.row.pair}" if isinstance(one, Score) else f"Stack {one.stack}"


def _bbox(one: Flag | Score | StackNow, volcano: Volcano) -> list[float]:
    if isinstance(one, Score):
        lat, lon = round(volcano.lat, 6), round(longitude(volcano.lon), 6)
        return [lon, lat, lon, lat]
    return bounds(volcano.box)


def _time(one: Flag | Score | StackNow) -> dict[str, object]:
    """The item's time: a span of days for flags and scores, one day for stacks; empty where there is none."""
    if isinstance(one, StackNow):
        day = one.state and (one.state.newest or one.state.as_of)
        return {"datetime": _moment(day)} if day else {}
    if one.days is None:
        return {}
    first, last = one.days
    return {"datetime": None, "start_datetime": _moment(first), "end_datetime": _moment(last)}


def _moment(day: date) -> str:
    return f"{day.isoformat()}T00:00:00Z"


def _orbit(stack: str) -> dict[str, object]:
    """Fields of the Satellite extension, as far as the frame's name says them; a couple has both passes, and so none."""
    one = place(stack)
    if isinstance(one, Couple):
        return {}
    frame = one.frame
    found: dict[str, object] = {}
    if way := direction(frame):
        found["sat:orbit_state"] = _PASSES[way]
    if (number := track(frame)) is not None:
        found["sat:relative_orbit"] = number
    return found


def _radar(stack: str) -> dict[str, object]:
    """Fields of the SAR extension for frames of Sentinel-1, which are all of interferometric wide swath in C band."""
    one = place(stack)
    members = one.members if isinstance(one, Couple) else (one,)
    if any(track(member.frame) is None for member in members):
        return {}
    return {"constellation": "sentinel-1", "sar:instrument_mode": "IW", "sar:frequency_band": "C"}


def _system(one: Flag | Score | StackNow) -> dict[str, object]:
    return {"proj:code": "EPSG:4326"} if isinstance(one, StackNow) else {}
