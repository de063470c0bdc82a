"""Notices as e-mail."""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from typing import Annotated

from pydantic import AfterValidator, Field

from insar_anomaly.catalogue.contacts import checked, is_address
from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.load import secret
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.deadline import Deadline
from insar_anomaly.notify.message import FIGURE_ID, Message, NotDelivered, Refused, Registration, Unreachable

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
    timeout_s: float = Field(
        30.0, gt=0, le=300, description="seconds from connection to the server's last answer, for each notice"
    )


@dataclass(frozen=True)
class Email:
    """Sends one e-mail to all recipients: plain text, the figure inline.

    With `starttls` the connection is encrypted before anything is said; port 465 is encrypted from the start. `timeout` is
    in seconds, from connection to the server's last answer. Raises ConfigError for addresses that cannot be used and for a
    password that would travel unencrypted.
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
        with Deadline(self.timeout).running() as deadline:
            try:
                refused = self._sent(message, deadline)
            except smtplib.SMTPRecipientsRefused as err:
                refused = err.recipients
            except smtplib.SMTPDataError as err:
                kind = Refused if 500 <= err.smtp_code < 600 else NotDelivered
                raise kind(f"{where}: {type(err).__name__}: {err}") from err
            except Unreachable as err:
                raise Unreachable(f"{where}: {err}") from None
            except (smtplib.SMTPException, OSError) as err:
                words = deadline.words if deadline.over else f"{type(err).__name__}: {err}"
                raise _kind(err)(f"{where}: {words}") from err
        if refused:
            reasons = ", ".join(f"{who} ({code} {why.decode(errors='replace')})" for who, (code, why) in refused.items())
            raise NotDelivered(f"{where} refused {reasons}; mend or remove the address")

    def _sent(self, message: Message, deadline: Deadline) -> dict[str, tuple[int, bytes]]:
        """Send the e-mail within the deadline; the recipients that were refused, each with the reason."""
        server = self._server(deadline)
        try:
            if self.starttls and self.port != smtplib.SMTP_SSL_PORT:
                server.starttls(context=ssl.create_default_context())
            if self.username:
                server.login(self.username, self.password or "")
            refused = server.send_message(self._mail(message))
            with suppress(smtplib.SMTPException, OSError):  # the e-mail is with the server: how it says good-bye is nothing
                server.quit()
            return refused
        finally:
            server.close()

    def _server(self, deadline: Deadline) -> smtplib.SMTP:
        if self.port != smtplib.SMTP_SSL_PORT:
            return _Server(deadline, self.host, self.port)
        return _EncryptedServer(deadline, self.host, self.port)

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
        name = f"{message.file_stem}.png"
        if message.html is not None:
            mail.add_alternative(message.html, subtype="html")
        if message.figure is not None and message.html is None:
            mail.add_attachment(message.figure, "image", "png", disposition="inline", filename=name)
        elif message.figure is not None:
            page = mail.get_payload(1)
            assert isinstance(page, EmailMessage)
            page.add_related(message.figure, "image", "png", disposition="inline", filename=name, cid=f"<{FIGURE_ID}>")
        return mail


class _Server(smtplib.SMTP):
    """A connection that ends with a deadline."""

    def __init__(self, deadline: Deadline, host: str, port: int) -> None:
        self._deadline = deadline
        # smtplib would ask for this machine's name itself, and wait for that without limit
        super().__init__(host, port, local_hostname=deadline.wait_for(socket.getfqdn), timeout=deadline.left)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - the deadline counts
        return self._deadline.connect(host, port)


class _EncryptedServer(smtplib.SMTP_SSL):
    """The same, encrypted from the start."""

    def __init__(self, deadline: Deadline, host: str, port: int) -> None:
        self._deadline, self._name, self._secure = deadline, host, ssl.create_default_context()
        name = deadline.wait_for(socket.getfqdn)
        super().__init__(host, port, local_hostname=name, timeout=deadline.left, context=self._secure)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002 - the deadline counts
        return self._secure.wrap_socket(self._deadline.connect(host, port), server_hostname=self._name)


_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _kind(problem: Exception) -> type[NotDelivered]:
    """What a failure says of other notices: a connection that cannot be made or breaks does not carry them either."""
    broken = isinstance(problem, smtplib.SMTPServerDisconnected | smtplib.SMTPConnectError | ssl.SSLError)
    # smtplib's own errors are OSErrors, too
    return Unreachable if broken or not isinstance(problem, smtplib.SMTPException) else NotDelivered


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


REGISTRATION = Registration(EmailSettings, _open, _reaches, personal=True)
