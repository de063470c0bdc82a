"""What CAP 1.2 asks of a message: elements, their order and number, their values; in our own words.

From Common Alerting Protocol Version 1.2, OASIS Standard, 1 July 2010, sections 3.2 and 3.3, and its schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

NAMESPACE = "{urn:oasis:names:tc:emergency:cap:1.2}"
_MOMENT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d"
_NAME = r"[^\s,<&]+"
_NUMBER = r"-?\d+(\.\d+)?"
_ANY = r"(?s).+"


@dataclass(frozen=True)
class Rule:
    """An element: how often it comes, what its text is, and what it holds."""

    name: str
    text: str | None = _ANY
    least: int = 0
    most: float = 1
    inside: Sequence[Rule] = field(default_factory=tuple)


def _words(*choices: str) -> str:
    return "|".join(choices)


_MANY = float("inf")
_PAIR = (Rule("valueName", least=1), Rule("value", least=1))
_AREA = (
    Rule("areaDesc", least=1),
    Rule("polygon", rf"{_NUMBER},{_NUMBER}( {_NUMBER},{_NUMBER}){{3,}}", most=_MANY),
    Rule("circle", rf"{_NUMBER},{_NUMBER} {_NUMBER}", most=_MANY),
    Rule("geocode", None, most=_MANY, inside=_PAIR),
    Rule("altitude", _NUMBER),
    Rule("ceiling", _NUMBER),
)
_CATEGORIES = _words(
    "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE", "Other"
)
_RESPONSES = _words("Shelter", "Evacuate", "Prepare", "Execute", "Avoid", "Monitor", "Assess", "AllClear", "None")
_INFO = (
    Rule("language", r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*"),
    Rule("category", _CATEGORIES, least=1, most=_MANY),
    Rule("event", least=1),
    Rule("responseType", _RESPONSES, most=_MANY),
    Rule("urgency", _words("Immediate", "Expected", "Future", "Past", "Unknown"), least=1),
    Rule("severity", _words("Extreme", "Severe", "Moderate", "Minor", "Unknown"), least=1),
    Rule("certainty", _words("Observed", "Likely", "Possible", "Unlikely", "Unknown"), least=1),
    Rule("audience"),
    Rule("eventCode", None, most=_MANY, inside=_PAIR),
    Rule("effective", _MOMENT),
    Rule("onset", _MOMENT),
    Rule("expires", _MOMENT),
    Rule("senderName"),
    Rule("headline"),
    Rule("description"),
    Rule("instruction"),
    Rule("web"),
    Rule("contact"),
    Rule("parameter", None, most=_MANY, inside=_PAIR),
    Rule("area", None, most=_MANY, inside=_AREA),
)
_ALERT = (
    Rule("identifier", _NAME, least=1),
    Rule("sender", _NAME, least=1),
    Rule("sent", _MOMENT, least=1),
    Rule("status", _words("Actual", "Exercise", "System", "Test", "Draft"), least=1),
    Rule("msgType", _words("Alert", "Update", "Cancel", "Ack", "Error"), least=1),
    Rule("source"),
    Rule("scope", _words("Public", "Restricted", "Private"), least=1),
    Rule("restriction"),
    Rule("addresses"),
    Rule("code", most=_MANY),
    Rule("note"),
    Rule("references", rf"{_NAME},{_NAME},{_MOMENT}( {_NAME},{_NAME},{_MOMENT})*"),
    Rule("incidents"),
    Rule("info", None, most=_MANY, inside=_INFO),
)


def mistakes(text: str) -> list[str]:
    """What a message breaks of the rules, one line each."""
    root = ET.fromstring(text)
    if root.tag != f"{NAMESPACE}alert":
        return [f"the root is {root.tag}"]
    said = {one.tag.removeprefix(NAMESPACE): one.text or "" for one in root}
    found = list(_broken(root, _ALERT, "alert"))
    found += ["Restricted without restriction"] if said["scope"] == "Restricted" and "restriction" not in said else []
    found += ["without references"] if said["msgType"] in ("Update", "Cancel") and "references" not in said else []
    if found:
        return found
    for polygon in root.iter(f"{NAMESPACE}polygon"):
        corners = (polygon.text or "").split(" ")
        found += ["a polygon is open"] if corners[0] != corners[-1] else []
        for corner in corners:
            lat, lon = map(float, corner.split(","))
            found += [] if abs(lat) <= 90 and abs(lon) <= 180 else [f"{corner} is not latitude, longitude"]
    return found


def _broken(element: ET.Element, rules: Sequence[Rule], where: str) -> Iterator[str]:
    names = [child.tag.removeprefix(NAMESPACE) for child in element]
    order = [rule.name for rule in rules]
    if unknown := set(names) - set(order):
        yield f"{where}: unknown {sorted(unknown)}"
        return
    if names != sorted(names, key=order.index):
        yield f"{where}: wrong order {names}"
    for rule in rules:
        mine = [child for child in element if child.tag == NAMESPACE + rule.name]
        if not rule.least <= len(mine) <= rule.most:
            yield f"{where}: {len(mine)} of {rule.name}"
        for child in mine:
            if rule.text is not None and not re.fullmatch(rule.text, child.text or ""):
                yield f"{where}/{rule.name}: {child.text!r}"
            if rule.inside:
                yield from _broken(child, rule.inside, f"{where}/{rule.name}")
