"""What STAC 1.0 and three of its extensions ask of an item, as JSON schemas in our own words.

From the Item Specification 1.0.0, and the extensions Satellite 1.0.0, SAR 1.3.0 and Projection 2.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

_POSITION = {
    "type": "array",
    "prefixItems": [{"type": "number", "minimum": -180, "maximum": 180}, {"type": "number", "minimum": -90, "maximum": 90}],
    "minItems": 2,
    "maxItems": 2,
}
_RING = {"type": "array", "minItems": 4, "items": _POSITION}
_FORMS = {"Point": _POSITION, "Polygon": {"type": "array", "minItems": 1, "items": _RING}}
_FORMS["MultiPolygon"] = {"type": "array", "items": _FORMS["Polygon"]}
GEOMETRY = {
    "oneOf": [
        {"type": "null"},
        *(
            {
                "type": "object",
                "required": ["type", "coordinates"],
                "properties": {"type": {"const": name}, "coordinates": form},
            }
            for name, form in _FORMS.items()
        ),
    ]
}
_MOMENT = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z$"}
ITEM = {
    "type": "object",
    "required": ["stac_version", "type", "id", "geometry", "properties", "links", "assets"],
    "properties": {
        "stac_version": {"const": "1.0.0"},
        "stac_extensions": {"type": "array", "uniqueItems": True, "items": {"type": "string", "format": "uri"}},
        "type": {"const": "Feature"},
        "id": {"type": "string", "pattern": r"^[A-Za-z0-9._-]+$"},
        "geometry": GEOMETRY,
        "bbox": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
        "links": {"type": "array", "items": {"type": "object", "required": ["rel", "href"]}},
        "assets": {"type": "object"},
        "collection": False,  # needs a link of that relation
        "properties": {
            "type": "object",
            "required": ["datetime"],
            "properties": {
                "datetime": {"oneOf": [{"type": "null"}, _MOMENT]},
                "start_datetime": _MOMENT,
                "end_datetime": _MOMENT,
                "title": {"type": "string"},
                "constellation": {"type": "string"},
            },
            "dependentRequired": {"start_datetime": ["end_datetime"], "end_datetime": ["start_datetime"]},
            "if": {"properties": {"datetime": {"type": "null"}}},
            "then": {"required": ["start_datetime", "end_datetime"]},
        },
    },
    "if": {"properties": {"geometry": {"type": "object"}}},
    "then": {"required": ["bbox"]},
    "else": {"not": {"required": ["bbox"]}},
}
_FIELDS: dict[str, dict[str, Any]] = {
    "sat": {
        "sat:orbit_state": {"enum": ["ascending", "descending", "geostationary"]},
        "sat:relative_orbit": {"type": "integer", "minimum": 1},
    },
    "sar": {
        "sar:instrument_mode": {"type": "string", "minLength": 1},
        "sar:frequency_band": {"enum": ["P", "L", "S", "C", "X", "Ku", "K", "Ka"]},
    },
    "proj": {"proj:code": {"type": "string", "pattern": r"^[A-Z]+:\d+$"}},
}
_ADDRESSES = {
    "sat": "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.3.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
}


def mistakes(item: dict[str, Any]) -> Iterator[str]:
    """What an item breaks of the rules, one line each."""
    for error in Draft202012Validator(ITEM).iter_errors(item):
        yield f"{error.json_path}: {error.message}"
    properties = item["properties"]
    for prefix, fields in _FIELDS.items():
        used = {name: value for name, value in properties.items() if name.startswith(f"{prefix}:")}
        declared = _ADDRESSES[prefix] in item["stac_extensions"]
        if bool(used) != declared:
            yield f"{prefix}: fields {sorted(used)}, declared {declared}"
        rules = {"properties": fields, "additionalProperties": False}
        yield from (f"{prefix}: {error.message}" for error in Draft202012Validator(rules).iter_errors(used))
    if properties.get("start_datetime", "") > properties.get("end_datetime", ""):  # as text: both are UTC
        yield "it ends before it begins"
