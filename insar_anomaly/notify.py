"""Channels: each delivers one notice to people or machines, or says why it could not. Who retries is the ledger's matter."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import re
import smtplib
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlsplit

import httpx

from insar_anomaly.addresses import is_address
from insar_anomaly.config import Channel as Settings
from insar_anomaly.config import EmailChannel, FilesChannel, WebhookChannel, secret
from insar_anomaly.errors import ConfigError, InsarAnomalyError

DISCLAIMER = (
    "This is an automatic screening flag, not an alert level and not a forecast. It says only that recent satellite radar "
    "interferograms of this volcano do not look like its own quiet past. Weather, snow, vegetation or processing can look "
    "the same, and the absence of a flag does not mean that a volcano is quiet. No person has reviewed it. Alert levels, "
    "warnings and the judgement of a volcano's state come from the responsible volcano observatory alone."
)

# httpx logs every address at INFO, and the path of a webhook's address is often its password
logging.getLogger("httpx").setLevel(logging.WARNING)


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
    payload: dict[str, Any]
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


@dataclass(frozen=True)
class Files:
    """Writes `<folder>/<key>.json` and, where there is a figure, `.png`. The folder is a local path or a `file://` URL.

    Raises ConfigError for any other URL.
    """

    folder_url: str
    name: str = "files"

    def __post_init__(self) -> None:
        if re.match(r"file:|\w+://", self.folder_url) and not self.folder_url.startswith("file:///"):
            raise ConfigError(f"notice folder {self.folder_url}: only local paths and file:/// URLs can be written")

    @property
    def folder(self) -> Path:
        """The folder as a local path."""
        local = self.folder_url.startswith("file:///")
        return Path(unquote(urlsplit(self.folder_url).path) if local else self.folder_url)

    def deliver(self, message: Message) -> None:
        """Write the files, each whole or not at all; the JSON comes last, so that who sees it finds the figure too."""
        figure = f"{message.file_stem}.png" if message.figure is not None else None
        content = asdict(message) | {"created": _rfc3339(message.created), "body": message.text, "figure": figure}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if figure and message.figure is not None:
                _write(self.folder / figure, message.figure)
            _write(self.folder / f"{message.file_stem}.json", _json(content, indent=2))
        except OSError as err:
            raise NotDelivered(f"notice {message.key}: cannot write {self.folder}: {err}; mend the folder") from err


@dataclass(frozen=True)
class Webhook:
    """Posts a CloudEvents 1.0 envelope (structured JSON), signed as Standard Webhooks says where there is a secret.

    Of the `url` only the host is ever shown; `secret` is `whsec_` and base64, None sends unsigned; `timeout` is in seconds,
    for each step of the exchange. Raises ConfigError for a URL or secret that cannot be used.
    """

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    name: str = "webhook"

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigError(f"channel {self.name}: the webhook's URL is not an http or https address")  # may hold a key
        self._signing_key()

    def deliver(self, message: Message) -> None:
        """Post the notice. Any answer but 2xx raises NotDelivered; a redirect is never followed, it may lead elsewhere."""
        where = f"notice {message.key}: webhook at {httpx.URL(self.url).host}"
        body = self._envelope(message)
        try:
            with (
                httpx.Client(timeout=self.timeout, follow_redirects=False) as client,
                client.stream("POST", self.url, content=body, headers=self._headers(message.key, body)) as answer,
            ):
                if answer.is_success:
                    return
                said = " ".join(next(answer.iter_bytes(), b"").decode(errors="replace")[:200].split())
        except httpx.HTTPError as err:
            raise NotDelivered(f"{where}: {type(err).__name__}: {err}") from None  # the request inside knows the URL
        hint = "; it redirects: put the final address into the configuration" if answer.is_redirect else ""
        raise NotDelivered(f"{where} answered {answer.status_code}: {said}{hint}")

    def _envelope(self, message: Message) -> bytes:
        event: dict[str, Any] = {
            "specversion": "1.0",
            "id": message.key,
            "source": "insar_anomaly",
            "type": f"insar_anomaly.flag.{message.kind}",
            "time": _rfc3339(message.created),
            "subject": message.stack,
            "datacontenttype": "application/json",
            "disclaimer": DISCLAIMER,  # an extension attribute
            "data": message.payload,
        }
        return _json(event)

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        webhook_id, timestamp = quote(key, safe="/:"), str(int(time.time()))
        headers = {"content-type": "application/cloudevents+json; charset=utf-8"}
        headers |= {"webhook-id": webhook_id, "webhook-timestamp": timestamp}
        signing_key = self._signing_key()
        if signing_key is not None:
            signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
            digest = hmac.new(signing_key, signed, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        return headers

    def _signing_key(self) -> bytes | None:
        if self.secret is None:
            return None
        with suppress(binascii.Error, ValueError):
            key = base64.b64decode(self.secret.removeprefix("whsec_"), validate=True)
            if key:
                return key
        raise ConfigError(f"channel {self.name}: the webhook's secret must be whsec_ followed by base64")


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


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(content: dict[str, Any], indent: int | None = None) -> bytes:
    try:
        return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as err:
        raise NotDelivered(f"notice payload is not JSON: {err}; a NaN must be written as null") from err


def _write(path: Path, content: bytes) -> None:
    """Replace the file whole, and only where it differs; it is on the disk when this returns."""
    if path.is_file() and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
