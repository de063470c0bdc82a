"""A volcano's box on a map, as GeoJSON wants it (RFC 7946): rings counterclockwise, longitudes -180 to 180.

A box over the antimeridian is cut there, into two (section 3.1.9); its bounding box begins in the west, so that its first
longitude is larger than its third number (section 5.2).
"""

from __future__ import annotations

from insar_anomaly.catalogue.volcano import Box

Position = tuple[float, float]
Ring = tuple[Position, ...]
"""Positions (longitude, latitude) in degrees; the last is the first."""
_DIGITS = 6
"""Decimals of a degree: 0.1 m."""


def longitude(lon: float) -> float:
    """The same longitude from -180 up to, and without, 180."""
    return (lon + 180) % 360 - 180


def rings(box: Box) -> tuple[Ring, ...]:
    """The outline of a box, one ring or, over the antimeridian, two: the western part first."""
    west = longitude(box.west)
    east = west + min(360.0, box.east - box.west)
    if east <= 180:
        return (_ring(west, box.south, east, box.north),)
    return (_ring(west, box.south, 180.0, box.north), _ring(-180.0, box.south, east - 360, box.north))


def polygon(box: Box) -> dict[str, object]:
    """A Polygon, or a MultiPolygon over the antimeridian."""
    found = [[[list(position) for position in ring]] for ring in rings(box)]
    if len(found) == 1:
        return {"type": "Polygon", "coordinates": found[0]}
    return {"type": "MultiPolygon", "coordinates": found}


def point(lat: float, lon: float) -> dict[str, object]:
    """A Point."""
    return {"type": "Point", "coordinates": [round(longitude(lon), _DIGITS), round(lat, _DIGITS)]}


def bounds(box: Box) -> list[float]:
    """West, south, east, north; west is larger than east over the antimeridian."""
    first, last = rings(box)[0], rings(box)[-1]
    return [first[0][0], first[0][1], last[1][0], last[2][1]]


def _ring(west: float, south: float, east: float, north: float) -> Ring:
    west, south, east, north = (round(edge, _DIGITS) for edge in (west, south, east, north))
    return ((west, south), (east, south), (east, north), (west, north), (west, south))
