"""Channels: each delivers one notice to people or machines, or says why it could not.

`registry.CHANNELS` is the table of their kinds. The ledger keeps what has to be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insar_anomaly.config.sections import ChannelSettings
from insar_anomaly.notify.message import Channel, Message, NotDelivered, Registration
from insar_anomaly.registry import CHANNELS

__all__ = ["SOMEBODY", "Channel", "Message", "NotDelivered", "named", "opened", "reaches"]


SOMEBODY = ("nobody@example.org",)
"""Contacts to open a channel with where nothing is sent, to see whether its settings can be used."""


def named(channels: Sequence[ChannelSettings]) -> dict[str, ChannelSettings]:
    """The configured channels under their names in the outbox: the kind, numbered from the second of a kind on."""
    out: dict[str, ChannelSettings] = {}
    for channel in channels:
        alike = sum(one.kind == channel.kind for one in out.values())
        out[channel.kind if not alike else f"{channel.kind}-{alike + 1}"] = channel
    return out


def reaches(settings: ChannelSettings, contacts: Sequence[str]) -> bool:
    """False where nobody would get a notice of a volcano with these contacts."""
    return _registration(settings).reaches(settings, contacts)


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
