"""What a webhook posts: CloudEvents, or the forms that PagerDuty and Alertmanager take."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import cast

from insar_anomaly.notify.message import Message, as_json, rfc3339

SENT_BY = "insar_anomaly"
LONGEST_KEY = 255
"""Characters of a key by which PagerDuty takes events together."""
_LONGEST_SUMMARY = 1024
_ENDED = {"cleared", "withdrawn"}
_WORTH_A_PAGE = {"raised", "escalated", "released", "reopened"}
_FOR_EVER = timedelta(days=3650)
"""Alertmanager ends an alert that is not sent again, and a notice is sent once: it gets an end far away."""


@dataclass(frozen=True)
class Form:
    """How a notice is written: the content type and the function that makes the body; `groups`: it can tell many at once."""

    content_type: str
    body: Callable[[Message, str | None], bytes]
    groups: bool = True


def episode_key(message: Message) -> str:
    """The same for all notices of one episode of a flag, other for every other episode; at most 255 characters."""
    episode = message.payload.get("episode")
    number = cast("Mapping[str, object]", episode).get("number") if isinstance(episode, Mapping) else None
    key = message.key if number is None else f"{SENT_BY}/{message.stack}/{number}"
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()[:32]
    return f"{key[: LONGEST_KEY - len(digest) - 1]}-{digest}"


def ended(message: Message) -> bool:
    """True where the notice says that a flag is over."""
    return outcome(message) in _ENDED


def outcome(message: Message) -> str:
    """What became of the flag; the kind of the notice where it is of no flag."""
    episode = message.payload.get("episode")
    withdrawn = isinstance(episode, Mapping) and bool(episode.get("withdrawn"))
    return "withdrawn" if withdrawn and message.kind == "cleared" else message.kind


def cloud_event(message: Message, key: str | None) -> bytes:  # noqa: ARG001
    """A CloudEvents 1.0 envelope in structured JSON."""
    event: dict[str, object] = {
        "specversion": "1.0",
        "id": message.key,
        "source": SENT_BY,
        "type": f"{SENT_BY}.flag.{message.kind}",
        "time": rfc3339(message.created),
        "subject": message.stack,
        "datacontenttype": "application/json",
        "disclaimer": message.disclaimer,  # an extension attribute
        "data": message.data,
    }
    return as_json(event if message.stack else {name: value for name, value in event.items() if name != "subject"})


def pagerduty(message: Message, key: str | None) -> bytes:
    """An event for PagerDuty's Events API v2: a flag triggers an incident, its end resolves it."""
    event: dict[str, object] = {
        "routing_key": key or "",
        "event_action": "resolve" if ended(message) else "trigger",
        "dedup_key": episode_key(message),
        "payload": {
            "summary": message.subject[:_LONGEST_SUMMARY],
            "source": message.stack or SENT_BY,
            "severity": "warning" if message.kind in _WORTH_A_PAGE else "info",
            "timestamp": rfc3339(message.created),
            "component": str(message.payload.get("volcano", SENT_BY)),
            "class": message.kind,
            "custom_details": {"text": message.text, "key": message.key},
        },
    }
    if message.figure_url:
        event["images"] = [{"src": message.figure_url, "href": message.figure_url, "alt": message.subject}]
    return as_json(event)


def alertmanager(message: Message, key: str | None) -> bytes:  # noqa: ARG001
    """A list of alerts for Alertmanager's API v2, one for each notice that is told."""
    return as_json([_alert(one) for one in message.parts or (message,)])


def _alert(message: Message) -> dict[str, object]:
    flag = message.kind in _WORTH_A_PAGE or ended(message)
    labels = {
        "alertname": "ScreeningFlag" if flag else f"InsarAnomaly{message.kind.title()}",
        "episode": episode_key(message),
        "stack": message.stack,
        "gvp": str(message.payload.get("gvp", "")),
        "volcano": str(message.payload.get("volcano", "")),
        "severity": "warning" if flag else "info",
    }
    end = message.created if ended(message) else message.created + _FOR_EVER
    return {
        "labels": {name: value for name, value in labels.items() if value},
        "annotations": {"summary": message.subject, "description": message.text}
        | ({"figure": message.figure_url} if message.figure_url else {}),
        "startsAt": rfc3339(message.created.astimezone(UTC)),
        "endsAt": rfc3339(end.astimezone(UTC)),
    }


FORMS = {
    "cloudevents": Form("application/cloudevents+json; charset=utf-8", cloud_event),
    "pagerduty": Form("application/json", pagerduty, groups=False),
    "alertmanager": Form("application/json", alertmanager),
}
"""Every form by its name in the configuration."""
