"""A map of the world in degrees: coastlines and places as they stand in an SVG, cut where it hurts nobody."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache

from insar_anomaly.report.site.plain import asset

Point = tuple[float, float]
"""Right and down from the map's north-western corner, degrees: 0 to 360, and 0 to 180."""
_ATLANTIC = -32.0
"""Where the map is cut where nothing asks for another place: no land and few islands lie there."""


def cut_of(lons: Sequence[float]) -> float:
    """The meridian at which to cut the map: the middle of the widest gap between volcanoes, or the Atlantic where it is as
    good, so that volcanoes on both sides of the antimeridian stay together."""
    east = sorted({(lon + 180) % 360 for lon in lons})
    if not east:
        return _ATLANTIC
    gaps = [(after - before, before) for before, after in zip(east, [*east[1:], east[0] + 360], strict=True)]
    wide, start = max(gaps)
    middle = (start + wide / 2) % 360 - 180
    around = min(abs((lon - _ATLANTIC + 180) % 360 - 180) for lon in lons)
    return _ATLANTIC if around > 8 else round(middle, 1)


def place(lat: float, lon: float, cut: float) -> Point:
    """A place on the map."""
    return round((lon - cut) % 360, 2), round(90 - lat, 2)


@lru_cache(maxsize=8)
def coastline(cut: float) -> str:
    """The coastlines as the ``d`` of an SVG path. A line over the cut ends at one edge and goes on at the other."""
    lines: list[list[Point]] = json.loads(asset("coastline.json"))["lines"]
    return "".join(_path(part) for line in lines for part in _parts(line, cut))


def _parts(line: Iterable[Point], cut: float) -> Iterable[list[Point]]:
    """The line on the map, in pieces that cross no edge."""
    part: list[Point] = []
    for lon, lat in line:
        here = ((lon - cut) % 360, 90 - lat)
        if part and abs(here[0] - part[-1][0]) > 180:
            before = part[-1]
            turn = 360 if before[0] > 180 else -360
            edge = 360.0 if turn > 0 else 0.0
            along = (edge - before[0]) / (here[0] + turn - before[0] or 1)
            down = before[1] + along * (here[1] - before[1])
            yield [*part, (edge, down)]
            part = [(360 - edge, down)]
        part.append(here)
    yield part


def _path(part: Sequence[Point]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in part) if len(part) > 1 else ""


def frame_of(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """What of the map is shown first: left, top, width and height. All of it where the volcanoes are all over the world."""
    whole = (0.0, 8.0, 360.0, 150.0)
    if not points:
        return whole
    xs, ys = [x for x, _ in points], [y for _, y in points]
    wide = max(max(xs) - min(xs), (max(ys) - min(ys)) * 2.4, 14) * 1.3
    if wide > 240:
        return whole
    high = wide / 2.4
    left = min(max(0.0, (min(xs) + max(xs) - wide) / 2), 360 - wide)
    top = min(max(0.0, (min(ys) + max(ys) - high) / 2), 180 - high)
    return round(left, 2), round(top, 2), round(wide, 2), round(high, 2)
