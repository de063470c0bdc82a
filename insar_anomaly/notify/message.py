"""One notice, ready to deliver, and what a channel is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from insar_anomaly.config.channel import ChannelKind, ChannelSettings
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.spoken import DEFAULT

DISCLAIMERS = {
    "en": (
        "This is an automatic screening flag, not an alert level and not a forecast. It says only that recent satellite "
        "radar interferograms of this volcano do not look like its own quiet past. Weather, snow, vegetation or processing "
        "can look the same, and the absence of a flag does not mean that a volcano is quiet. No person has reviewed it. "
        "Alert levels, warnings and the judgement of a volcano's state come from the responsible volcano observatory alone."
    ),
    "es": (
        "Este es un aviso de cribado automático; no es un nivel de alerta ni un pronóstico. Dice únicamente que los "
        "interferogramas de radar satelital recientes de este volcán no se parecen a los de su propio pasado tranquilo. El "
        "tiempo atmosférico, la nieve, la vegetación o el procesamiento pueden dar el mismo aspecto, y la ausencia de un "
        "aviso no significa que el volcán esté tranquilo. Ninguna persona lo ha revisado. Los niveles de alerta, las "
        "advertencias y la evaluación del estado de un volcán corresponden únicamente al observatorio vulcanológico "
        "responsable."
    ),
}
"""What every notice says of itself, by language."""

DISCLAIMER = DISCLAIMERS[DEFAULT]

OF_A_TEST = {
    "en": "This is a test only. It comes from no flag, says nothing of any volcano, and asks nobody to do anything.",
    "es": "Esto es solo una prueba. No procede de ningún aviso, no dice nada de ningún volcán y no pide nada a nadie.",
}
"""What a test says of itself in place of that, by language."""
TEST = "test"
"""Kind of the notice that a person asked for to see whether it arrives."""

FIGURE_ID = "figure@insar-anomaly"
"""What the HTML calls the figure, which an e-mail carries beside it (RFC 2392)."""

FIGURE_LIMIT = 512 * 1024
"""Bytes of a figure up to which it travels inside of a payload; a larger one is described there and left out."""


def disclaimer(language: str) -> str:
    """What every notice says of itself, in a language; in the default one where it has no words for it."""
    return DISCLAIMERS.get(language, DISCLAIMER)


class NotDelivered(InsarAnomalyError):
    """The notice did not arrive, as far as can be told; delivering it again is safe."""


class Unreachable(NotDelivered):
    """Nobody answers at the other end, or not in time: any other notice would not arrive either."""


class Refused(NotDelivered):
    """The receiver answers, and does not want this notice: it may take others."""


@dataclass(frozen=True)
class Message:
    """One notice, ready to deliver.

    `key` is the same on every attempt, so that receivers can drop repeats; `stack` is `gvp/frame`, empty where the notice is
    not of one stack; `body` is plain text; `payload` is JSON-able and free of NaN; `figure` is a PNG; `created` is an aware
    datetime. `language` is that of subject, body, `html` (the same as a page, with the disclaimer; None where there is none)
    and `brief` (a short text for chat, empty where there is none). `figure_url` is where the flag's figure can be seen, as
    it stands when somebody looks; None where nobody serves it. `parts` are the notices that this one tells together, if it
    does: their keys, and what they say.
    """

    key: str
    kind: str
    stack: str
    subject: str
    body: str
    payload: dict[str, object]
    figure: bytes | None
    created: datetime
    language: str = DEFAULT
    html: str | None = None
    brief: str = ""
    figure_url: str | None = None
    parts: tuple[Message, ...] = ()

    @property
    def disclaimer(self) -> str:
        """What the notice says of itself: that it is no alert level, or that it is a test."""
        if self.kind == TEST:
            return OF_A_TEST.get(self.language, OF_A_TEST[DEFAULT])
        return disclaimer(self.language)

    @property
    def text(self) -> str:
        """The body followed by the disclaimer."""
        return f"{self.body.rstrip()}\n\n{self.disclaimer}\n"

    @property
    def data(self) -> dict[str, object]:
        """The payload with the notice in words and its figure: what machines and chats get, ready for JSON."""
        words = {"language": self.language, "subject": self.subject, "text": self.text}
        return {**self.payload, **words, "figure": self._figure_as_dict()}

    def _figure_as_dict(self) -> dict[str, object] | None:
        if self.figure is None:
            return None
        size, digest = len(self.figure), hashlib.sha256(self.figure).hexdigest()
        told: dict[str, object] = {"media_type": "image/png", "bytes": size, "sha256": digest}
        if size <= FIGURE_LIMIT:
            told["base64"] = base64.b64encode(self.figure).decode()
        return told if self.figure_url is None else told | {"url": self.figure_url}

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


def _together(settings: ChannelSettings) -> bool:  # noqa: ARG001
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
    personal : a volcano's contacts get its notices by this channel, and no others
    groups : False where each notice has to go out alone
    """

    settings: type[Settings]
    open: Callable[[Settings, str, Sequence[str]], Channel]
    reaches: Callable[[Settings, Sequence[str]], bool] = _anybody
    personal: bool = False
    groups: Callable[[Settings], bool] = _together


def rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain(message: Message) -> dict[str, object]:
    """The notice as JSON takes it, without its figure: what files and programs get."""
    return {
        "key": message.key,
        "kind": message.kind,
        "stack": message.stack,
        "subject": message.subject,
        "body": message.text,
        "brief": message.brief,
        "html": message.html,
        "payload": message.payload,
        "created": rfc3339(message.created),
        "language": message.language,
    }


def as_json(content: object, indent: int | None = None) -> bytes:
    try:
        return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise NotDelivered(f"notice payload is not JSON: {err}; a NaN must be written as null") from err
