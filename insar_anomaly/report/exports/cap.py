"""A screening flag as a message of the Common Alerting Protocol, CAP 1.2 (OASIS, 1 July 2010).

The message is for an observatory's own systems. Its status is Draft, Exercise or Test and never Actual: nobody has reviewed
the flag, and receivers act on an Actual message. Its scope is Restricted and its certainty Possible; urgency and severity
are Unknown, since a score measures neither. The disclaimer stands in its description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from xml.etree import ElementTree as ET

from insar_anomaly.names import file_stem
from insar_anomaly.report.exports.columns import Flag
from insar_anomaly.report.exports.places import Ring, rings

NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that no XML 1.0 document may hold."""
_RESTRICTION = "For the volcano observatory's own staff. Not for the public, and not to be passed on."
_INSTRUCTION = (
    "Compare the interferograms around these dates with weather, other satellites and ground instruments, and judge by the "
    "observatory's own procedure."
)


@dataclass(frozen=True)
class Sender:
    """Who sends: the observatory's name for itself, the status of its messages, and whom to ask."""

    name: str
    status: str
    disclaimer: str
    contact: str | None = None


@dataclass(frozen=True)
class Sent:
    """When a flag was raised and when it ended, as its notices say; None where there is none."""

    raised: datetime | None = None
    ended: datetime | None = None


def cap_text(flag: Flag, sent: Sent, sender: Sender) -> str:
    """The message as XML: an Alert while the flag is open, a Cancel that refers to that Alert once it has ended.

    The same flag gives the same message, however often it is exported.
    """
    opened, episode = _identifier(flag, "raised"), flag.episode
    ended = episode.cleared is not None
    raised_at = sent.raised or _midnight(episode.until)
    ended_at = (sent.ended or _midnight(episode.cleared)) if episode.cleared else raised_at
    alert = ET.Element("alert", xmlns=NAMESPACE)
    head: list[tuple[str, str]] = [
        ("identifier", _identifier(flag, episode.state.value) if ended else opened),
        ("sender", sender.name),
        ("sent", _stamp(max(raised_at, ended_at))),
        ("status", sender.status),
        ("msgType", "Cancel" if ended else "Alert"),
        ("source", "insar_anomaly, automatic screening of interferograms"),
        ("scope", "Restricted"),
        ("restriction", _RESTRICTION),
        ("note", sender.disclaimer),
    ]
    head += [("references", f"{sender.name},{opened},{_stamp(raised_at)}")] if ended else []
    for name, text in head:
        _add(alert, name, text)
    _info(_add(alert, "info"), flag, sender)
    ET.indent(alert)
    return ET.tostring(alert, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def file_name(flag: Flag) -> str:
    """The name of its file."""
    return f"{_identifier(flag, flag.episode.state.value)}.xml"


def _info(info: ET.Element, flag: Flag, sender: Sender) -> None:
    name = flag.volcano.name if flag.volcano else flag.stack
    episode = flag.episode
    what = f"the ground at {name} between {episode.since} and {episode.until}"
    for key, text in (
        ("language", "en"),
        ("category", "Geo"),
        ("event", "Screening flag of a volcano"),
        ("responseType", "Assess"),
        ("urgency", "Unknown"),
        ("severity", "Unknown"),
        ("certainty", "Possible"),
        ("onset", _stamp(_midnight(episode.since))),
        ("headline", f"Screening flag {flag.name} of {name}: {episode.state.value}"),
        ("description", f"Interferograms of {what} do not look like its quiet past. {sender.disclaimer}"),
        ("instruction", _INSTRUCTION),
    ):
        _add(info, key, text)
    if sender.contact:
        _add(info, "contact", sender.contact)
    for key, text in _numbers(flag):
        _pair(_add(info, "parameter"), key, text)
    _area(_add(info, "area"), flag)


def _numbers(flag: Flag) -> Iterator[tuple[str, str]]:
    episode = flag.episode
    yield "flag", flag.name
    yield "state", episode.state.value
    yield "peak_pair", episode.peak_pair
    yield "peak_score", f"{episode.peak_score:.6g}"
    yield "threshold", f"{episode.threshold:.6g}"
    if flag.evidence:
        yield "evidence", flag.evidence.value


def _area(area: ET.Element, flag: Flag) -> None:
    volcano = flag.volcano
    if volcano is None:
        _add(area, "areaDesc", flag.stack)
    else:
        _add(area, "areaDesc", f"{volcano.name}, a box of {volcano.box_km:g} km around the volcano")
        for ring in rings(volcano.box):
            _add(area, "polygon", _polygon(ring))
    _pair(_add(area, "geocode"), "GVP", str(flag.episode.gvp))


def _polygon(ring: Ring) -> str:
    """Pairs of latitude and longitude, the last the first."""
    return " ".join(f"{lat:.6f},{lon:.6f}" for lon, lat in ring)


def _identifier(flag: Flag, state: str) -> str:
    return f"insar-anomaly.{file_stem(flag.stack)}.{flag.episode.number}.{state}"


def _pair(place: ET.Element, name: str, value: str) -> None:
    _add(place, "valueName", name)
    _add(place, "value", value)


def _add(place: ET.Element, name: str, text: str | None = None) -> ET.Element:
    new = ET.SubElement(place, name)
    new.text = text if text is None else _NOT_XML.sub("\ufffd", text)
    return new


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _stamp(moment: datetime) -> str:
    """A moment as CAP writes it: whole seconds, and UTC as ``-00:00`` (section 3.3.2)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S-00:00")
