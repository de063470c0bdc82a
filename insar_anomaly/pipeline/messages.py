"""What the rows of the outbox say, as messages: notices of flags, many of them as one, and notices of a night."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from insar_anomaly.ledger.records import NewNotice, NoticeRow
from insar_anomaly.notify import wording
from insar_anomaly.notify.message import Message
from insar_anomaly.notify.parcels import ALONE, GROUP, PARKED, counted
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.spoken import DEFAULT
from insar_anomaly.spoken.sentences import Said, said

_KEPT = 32
"""Messages that are kept for the other channels, which tell the same."""
_SHORT = ("kind", "stack", "gvp", "volcano", "lat", "lon", "pair", "score", "threshold", "return_period_years", "as_of")
"""What a message of many notices has of each one's payload; the whole payload is in the ledger."""


class Make(Protocol):
    """Makes the message of one flag's notice. Without `whole` it goes into a list: no figure, and nothing is measured."""

    def __call__(self, s: Installation, run: Run, row: NoticeRow, *, language: str, whole: bool) -> Message: ...


@dataclass
class Desk:
    """Makes messages, one at a time: figures are not drawn by two threads at once, and none is drawn twice."""

    s: Installation
    run: Run
    make: Make
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _kept: OrderedDict[tuple[str, str], Message] = field(default_factory=OrderedDict)

    def message(self, rows: Sequence[NoticeRow], language: str, *, bundle: str | None, region: str) -> Message:
        """The message of one row, or of all rows of a bundle."""
        if bundle is None:
            return self._single(rows[0], language)
        with self._lock:
            parts = [self.make(self.s, self.run, row, language=language, whole=False) for row in rows]
        return together(bundle, parts, region, language)

    def short(self, row: NoticeRow, language: str) -> Message:
        """The message of a row for a list: nothing is drawn or measured."""
        if row.kind in ALONE:
            return worded(row)
        with self._lock:
            return self.make(self.s, self.run, row, language=language, whole=False)

    def _single(self, row: NoticeRow, language: str) -> Message:
        if row.kind in ALONE:
            return worded(row)
        with self._lock:
            told = row.payload, language
            if told not in self._kept:
                self._kept[told] = self.make(self.s, self.run, row, language=language, whole=True)
            self._kept.move_to_end(told)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return replace(self._kept[told], key=row.key, kind=row.kind)


def together(bundle: str, parts: Sequence[Message], region: str, language: str = DEFAULT) -> Message:
    """One message of many notices: a line for each, with its key, so that each can be found again."""
    kinds = counted(part.kind for part in parts)
    words = said("notify", "messages/group", language, number=len(parts), kinds=kinds, region=region, parts=parts)
    return Message(
        key=bundle,
        kind=GROUP,
        stack="",
        subject=words.subject,
        body=words.body,
        payload={
            "kind": GROUP,
            "region": region,
            "notices": [_entry(part) for part in parts],
        },
        figure=None,
        created=datetime.now(UTC),
        language=language,
        parts=tuple(parts),
    )


def worded(row: NoticeRow) -> Message:
    """The message of a row that holds its words: a digest, or what is said of a night.

    Words of before they were written in more than one language are English.
    """
    content = row.content
    payload, language = content.get("payload"), str(content.get("language", "en"))
    subject, body = str(content.get("subject", "")), str(content.get("body", ""))
    return Message(
        key=row.key,
        kind=row.kind,
        stack=row.stack,
        subject=subject,
        body=body,
        payload=dict(payload) if isinstance(payload, Mapping) else {},
        figure=None,
        created=datetime.now(UTC),
        language=language,
        html=wording.page(subject, body, language),
    )


def in_words(
    key: str, destination: str, kind: str, words: Said, *, payload: Mapping[str, object], language: str
) -> NewNotice:
    """A notice for the outbox that holds its words, which are in `language`."""
    content = {"subject": words.subject, "body": words.body, "payload": dict(payload), "language": language}
    return NewNotice(key, destination, kind, json.dumps(content, allow_nan=False))


def receipt(key: str, destination: str, message: Message) -> NewNotice:
    """What the outbox keeps of a message of many notices that some of their receivers have got."""
    words = Said(message.subject, message.body)
    return in_words(key, destination, GROUP, words, payload=message.payload, language=message.language)


def parked_elsewhere(desk: Desk, rows: Sequence[NoticeRow], key: str, channel: str, language: str = DEFAULT) -> NewNotice:
    """What another channel says of a message that its own channel does not take; `key` is the message's."""
    first, parts = rows[0], [desk.short(row, language) for row in rows]
    words = said(
        "notify",
        "messages/parked",
        language,
        channel=first.channel,
        key=first.key,
        refused=first.refused,
        error=first.parked,
        first=parts[0].subject,
        more=len(rows) - 1,
        said=parts[0].body if len(rows) == 1 else "\n".join(f"{one.subject}  [{one.key}]" for one in parts),
    )
    payload = {
        "kind": PARKED,
        "channel": first.channel,
        "error": first.parked,
        "notices": [one.payload if len(rows) == 1 else _entry(one) for one in parts],
    }
    return in_words(f"{key}:parked:{channel}", channel, PARKED, words, payload=payload, language=language)


def _entry(message: Message) -> dict[str, object]:
    """A notice's place in a list of many."""
    seen = {"figure_url": message.figure_url} if message.figure_url else {}
    return {"key": message.key} | {name: message.payload[name] for name in _SHORT if name in message.payload} | seen
