"""Channels: each delivers one notice to people or machines, or says why it could not.

The ledger keeps what has to be tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from insar_anomaly.config.load import secret
from insar_anomaly.config.sections import Channel as Settings
from insar_anomaly.config.sections import EmailChannel, FilesChannel, WebhookChannel
from insar_anomaly.notify.email import Email
from insar_anomaly.notify.files import Files
from insar_anomaly.notify.message import Channel, Message, NotDelivered
from insar_anomaly.notify.webhook import Webhook

# httpx logs every address at INFO, and the path of a webhook's address is often its password
logging.getLogger("httpx").setLevel(logging.WARNING)

__all__ = ["Channel", "Email", "Files", "Message", "NotDelivered", "Webhook", "named", "opened", "reaches"]


def named(channels: Sequence[Settings]) -> dict[str, Settings]:
    """The configured channels under their names in the outbox: the kind, numbered from the second of a kind on."""
    out: dict[str, Settings] = {}
    for channel in channels:
        alike = sum(one.kind == channel.kind for one in out.values())
        out[channel.kind if not alike else f"{channel.kind}-{alike + 1}"] = channel
    return out


def reaches(settings: Settings, contacts: Sequence[str]) -> bool:
    """False for an e-mail channel without recipients, where the volcano has no contacts either: nobody would get it."""
    return not isinstance(settings, EmailChannel) or bool(settings.recipients or contacts)


def opened(settings: Settings, name: str, contacts: Sequence[str]) -> Channel:
    """The channel that a configuration describes, with its secrets; `contacts` get its e-mails too.

    Raises
    ------
    ConfigError
        where it cannot be used: a wrong address, a secret that is none, nobody to write to.
    """
    if isinstance(settings, FilesChannel):
        return Files(settings.folder, name=name)
    if isinstance(settings, WebhookChannel):
        return Webhook(settings.url, secret(settings.secret_env), settings.timeout_s, name=name)
    assert isinstance(settings, EmailChannel)
    return Email(
        settings.host,
        settings.port,
        settings.sender,
        tuple(dict.fromkeys((*settings.recipients, *contacts))),
        settings.username,
        secret(settings.password_env),
        starttls=settings.starttls,
        timeout=settings.timeout_s,
        name=name,
    )
