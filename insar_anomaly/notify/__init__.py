"""Channels: each delivers one notice to people or machines, or says why it could not.

`registry.CHANNELS` is the table of their kinds. The ledger keeps what has to be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.routes import named
from insar_anomaly.config.sections import Config
from insar_anomaly.notify.message import Channel, Message, NotDelivered, Registration
from insar_anomaly.notify.routing import Destination, destination_of, destinations
from insar_anomaly.registry import CHANNELS

__all__ = [
    "SOMEBODY",
    "Channel",
    "Destination",
    "Message",
    "NotDelivered",
    "Reach",
    "destination_of",
    "destinations",
    "groups",
    "named",
    "opened",
    "personal",
    "reached",
    "reaches",
]


SOMEBODY = ("nobody@example.org",)
"""Contacts to open a channel with where nothing is sent, to see whether its settings can be used."""


@dataclass(frozen=True)
class Reach:
    """What a destination is to a volcano; true where somebody gets its notices there."""

    destination: Destination
    volcano: Volcano
    somebody: bool

    def __bool__(self) -> bool:
        return self.somebody

    def takes(self, kind: str) -> bool:
        """True where somebody gets the volcano's notices of this kind."""
        return self.somebody and self.destination.takes(kind, self.volcano.gvp, self.volcano.name)


def reached(config: Config, volcano: Volcano) -> dict[str, Reach]:
    """Every destination that is for this volcano, by its name in the outbox, and whether somebody gets its notices there."""
    every = destinations(config.channel, config.route)
    return {
        name: Reach(one, volcano, reaches(one.settings, volcano.contacts if one.personal else ()))
        for name, one in every.items()
        if one.covers(volcano.gvp, volcano.name)
    }


def reaches(settings: ChannelSettings, contacts: Sequence[str]) -> bool:
    """False where nobody would get a notice of a volcano with these contacts."""
    return _registration(settings).reaches(settings, contacts)


def personal(settings: ChannelSettings) -> bool:
    """True where a volcano's contacts get its notices by this channel, so that notices cannot be mixed."""
    return _registration(settings).personal


def groups(settings: ChannelSettings) -> bool:
    """True where one message may tell several notices."""
    return _registration(settings).groups(settings)


def opened(settings: ChannelSettings, name: str, contacts: Sequence[str]) -> Channel:
    """The channel that a configuration describes, with its secrets; `contacts` get its e-mails too.

    Raises
    ------
    ConfigError
        where it cannot be used: a wrong address, a secret that is none, nobody to write to.
    PluginFailed
        where its kind is another package's and cannot be used.
    """
    return _registration(settings).open(settings, name, contacts)


def _registration(settings: ChannelSettings) -> Registration[Any]:
    return CHANNELS.load(settings.kind, Registration)


def __getattr__(name: str) -> object:
    """`Webhook`, imported when it is asked for: it brings an HTTP client."""
    if name == "Webhook":
        from insar_anomaly.notify.webhook import Webhook

        return Webhook
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
