"""One notice, ready to deliver, and what a channel is."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from insar_anomaly.config.sections import ChannelKind, ChannelSettings
from insar_anomaly.errors import InsarAnomalyError

DISCLAIMER = (
    "This is an automatic screening flag, not an alert level and not a forecast. It says only that recent satellite radar "
    "interferograms of this volcano do not look like its own quiet past. Weather, snow, vegetation or processing can look "
    "the same, and the absence of a flag does not mean that a volcano is quiet. No person has reviewed it. Alert levels, "
    "warnings and the judgement of a volcano's state come from the responsible volcano observatory alone."
)


class NotDelivered(InsarAnomalyError):
    """The notice did not arrive, as far as can be told; delivering it again is safe."""


@dataclass(frozen=True)
class Message:
    """One notice, ready to deliver.

    `key` is the same on every attempt, so that receivers can drop repeats; `stack` is `gvp/frame`; `body` is plain text;
    `payload` is JSON-able and free of NaN; `figure` is a PNG; `created` is an aware datetime.
    """

    key: str
    kind: str
    stack: str
    subject: str
    body: str
    payload: dict[str, object]
    figure: bytes | None
    created: datetime

    @property
    def text(self) -> str:
        """The body followed by the disclaimer."""
        return f"{self.body.rstrip()}\n\n{DISCLAIMER}\n"

    @property
    def file_stem(self) -> str:
        """A short file name without ending, different for different keys."""
        readable = re.sub(r"[^A-Za-z0-9-]+", "_", self.key)[:100].strip("_")
        return f"{readable}-{hashlib.sha256(self.key.encode()).hexdigest()[:8]}"


class Channel(Protocol):
    """A way to deliver notices. `name` is what the ledger's outbox calls it."""

    @property
    def name(self) -> str:
        """The channel's name, different for each channel of an installation."""

    def deliver(self, message: Message) -> None:
        """Deliver the notice. Raises NotDelivered; delivering twice does no harm."""


Settings = TypeVar("Settings", bound=ChannelSettings)


def _anybody(settings: ChannelSettings, contacts: Sequence[str]) -> bool:  # noqa: ARG001
    return True


@dataclass(frozen=True)
class Registration(ChannelKind, Generic[Settings]):
    """What `registry.CHANNELS` holds of each kind.

    Parameters
    ----------
    settings : the class of its [[channel]] tables
    open : makes the channel from its settings, its name in the outbox and a volcano's contacts. Raises ConfigError where the
        settings cannot be used. Nothing is sent and no server is asked.
    reaches : False where nobody would get a notice of a volcano with these contacts
    """

    settings: type[Settings]
    open: Callable[[Settings, str, Sequence[str]], Channel]
    reaches: Callable[[Settings, Sequence[str]], bool] = _anybody


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_json(content: dict[str, object], indent: int | None = None) -> bytes:
    try:
        return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise NotDelivered(f"notice payload is not JSON: {err}; a NaN must be written as null") from err
