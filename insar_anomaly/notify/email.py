"""Notices as e-mail."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Annotated

from pydantic import AfterValidator, Field

from insar_anomaly.catalogue.contacts import checked, is_address
from insar_anomaly.config.load import secret
from insar_anomaly.config.sections import ChannelSettings
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.message import Message, NotDelivered, Registration

Address = Annotated[str, AfterValidator(checked)]


class EmailSettings(ChannelSettings):
    """Notices as e-mail. A volcano's contacts are added to the recipients."""

    host: str = Field(description="SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    sender: Address = Field(description="From address")
    recipients: tuple[Address, ...] = Field((), description="To addresses of every notice")
    username: str | None = Field(None, description="SMTP user")
    password_env: str | None = Field(None, description="environment variable with the SMTP password")
    starttls: bool = Field(True, description="encrypt the connection before signing in")
    timeout_s: float = Field(30.0, gt=0, le=300, description="seconds to wait for an answer")


@dataclass(frozen=True)
class Email:
    """Sends one e-mail to all recipients: plain text, the figure inline.

    With `starttls` the connection is encrypted before anything is said; port 465 is encrypted from the start. `timeout` is
    in seconds. Raises ConfigError for addresses that cannot be used and for a password that would travel unencrypted.
    """

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    starttls: bool = True
    timeout: float = 30.0
    name: str = "email"

    def __post_init__(self) -> None:
        object.__setattr__(self, "recipients", tuple(self.recipients))
        for address in (self.sender, *self.recipients):
            if not is_address(address):
                raise ConfigError(f"channel {self.name}: {address!r} is not an e-mail address")
        if not self.recipients:
            raise ConfigError(
                f"channel {self.name}: nobody to write to; add recipients to the channel or contacts to the volcano"
            )
        if self.username and not (self.starttls or self.port == smtplib.SMTP_SSL_PORT or self.host in _LOOPBACK):
            raise ConfigError(f"channel {self.name}: would send a password unencrypted to {self.host}: set starttls = true")

    def deliver(self, message: Message) -> None:
        """Send the e-mail. Where a recipient is refused the others have got it; NotDelivered names the refused."""
        where = f"notice {message.key}: mail server {self.host}:{self.port}"
        try:
            with self._server() as server:
                if self.starttls and self.port != smtplib.SMTP_SSL_PORT:
                    server.starttls(context=ssl.create_default_context())
                if self.username:
                    server.login(self.username, self.password or "")
                refused = server.send_message(self._mail(message))
        except smtplib.SMTPRecipientsRefused as err:
            refused = err.recipients
        except (smtplib.SMTPException, OSError) as err:
            raise NotDelivered(f"{where}: {type(err).__name__}: {err}") from err
        if refused:
            reasons = ", ".join(f"{who} ({code} {why.decode(errors='replace')})" for who, (code, why) in refused.items())
            raise NotDelivered(f"{where} refused {reasons}; mend or remove the address")

    def _server(self) -> smtplib.SMTP:
        if self.port != smtplib.SMTP_SSL_PORT:
            return smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        return smtplib.SMTP_SSL(self.host, self.port, timeout=self.timeout, context=ssl.create_default_context())

    def _mail(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = _one_line(message.subject)
        mail["From"] = self.sender
        mail["To"] = ", ".join(self.recipients)
        mail["Date"] = format_datetime(message.created.astimezone(UTC))
        # the same on every attempt: mail programs then show a repeated mail once
        domain = parseaddr(self.sender)[1].rpartition("@")[2]
        mail["Message-ID"] = f"<{hashlib.sha256(message.key.encode()).hexdigest()[:40]}@{domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        mail.set_content(message.text)
        if message.figure is not None:
            name = f"{message.file_stem}.png"
            mail.add_attachment(message.figure, "image", "png", disposition="inline", filename=name)
        return mail


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _one_line(words: str) -> str:
    """Without line breaks and control characters, which would start a header of their own."""
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())


def _open(settings: EmailSettings, name: str, contacts: Sequence[str]) -> Email:
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


def _reaches(settings: EmailSettings, contacts: Sequence[str]) -> bool:
    """False without recipients where the volcano has no contacts either."""
    return bool(settings.recipients or contacts)


REGISTRATION = Registration(EmailSettings, _open, _reaches)
