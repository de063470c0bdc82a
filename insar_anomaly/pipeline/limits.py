"""A channel's limit per hour, which says itself when it begins and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from insar_anomaly import notify
from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.notify.message import Message
from insar_anomaly.pipeline.run import Run
from insar_anomaly.spoken.sentences import said

_HOUR = timedelta(hours=1)


@dataclass
class Limit:
    """How many messages a channel may still send in this hour. `most` and `left` are None where there is no limit; `since`
    is the moment from which an earlier run had reached it."""

    channel: str
    settings: ChannelSettings
    most: int | None
    left: int | None
    since: datetime | None

    @classmethod
    def of(cls, ledger: Ledger, channel: str, settings: ChannelSettings) -> Limit:
        """What the ledger knows of the last hour."""
        most, since = settings.max_per_hour, ledger.limited().get(channel)
        sent = ledger.sent_since(channel, datetime.now(UTC) - _HOUR) if most is not None else 0
        return cls(channel, settings, most, None if most is None else max(0, most - sent), since)

    @property
    def allows(self) -> bool:
        """True where one more may go out."""
        return self.left is None or self.left > 0

    def count(self, messages: int) -> None:
        """So many more were sent, or tried."""
        if self.left is not None:
            self.left -= messages

    def tell(self, ledger: Ledger, run: Run, waiting: Sequence[str]) -> None:
        """Say by the channel that the limit begins or ends, once each; `waiting` are the keys that it holds back."""
        if waiting:
            run.warn(
                f"channel {self.channel}: its limit of {self.most} messages an hour is reached; {len(waiting)} notices wait "
                "for a later run"
            )
        if bool(waiting) == (self.since is not None):
            return
        try:
            self._announce(_begins(self, waiting) if waiting else _ends(self))
        except InsarAnomalyError as problem:  # the next run tries again
            run.warn(f"channel {self.channel}: its limit could not be announced there: {problem}")
        else:
            ledger.limit(self.channel, datetime.now(UTC) if waiting else None)

    def _announce(self, message: Message) -> None:
        if notify.reaches(self.settings, ()):  # a volcano's contacts are not told of a channel
            notify.opened(self.settings, self.channel, ()).deliver(message)


def _begins(limit: Limit, waiting: Sequence[str]) -> Message:
    key, number = f"limit begins:{limit.channel}:{waiting[0]}", len(waiting)
    return _message(limit, key, "messages/limit_begins", waiting=number, limited=True)


def _ends(limit: Limit) -> Message:
    assert limit.since is not None
    key = f"limit ends:{limit.channel}:{limit.since.isoformat()}"
    return _message(limit, key, "messages/limit_ends", waiting=0, limited=False)


def _message(limit: Limit, key: str, kind: str, *, waiting: int, limited: bool) -> Message:
    language = limit.settings.language
    values = {"channel": limit.channel, "most": limit.most, "waiting": waiting, "since": limit.since}
    words = said("notify", kind, language, **values)
    payload: dict[str, object] = {"kind": "limit", "channel": limit.channel, "max_per_hour": limit.most}
    payload |= {"waiting": waiting, "limited": limited}
    return Message(key, "limit", "", words.subject, words.body, payload, None, datetime.now(UTC), language)
