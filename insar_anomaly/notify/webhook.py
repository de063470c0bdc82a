"""Notices as signed HTTP POSTs: CloudEvents 1.0 in a Standard Webhooks signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import quote

import httpx
from pydantic import Field

from insar_anomaly.config.load import secret
from insar_anomaly.config.sections import ChannelSettings
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.message import DISCLAIMER, Message, NotDelivered, Registration, as_json, rfc3339

# httpx logs every address at INFO, and the path of a webhook's address is often its password
logging.getLogger("httpx").setLevel(logging.WARNING)


class WebhookSettings(ChannelSettings):
    """Notices as signed HTTP POSTs (Standard Webhooks, CloudEvents)."""

    url: str = Field(
        pattern=r"^https?://", examples=["https://example.org/hook"], repr=False, description="address that gets the POST"
    )
    secret_env: str | None = Field(None, description="environment variable with the whsec_... secret")
    timeout_s: float = Field(10.0, gt=0, le=300, description="seconds to wait for an answer")


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
        event: dict[str, object] = {
            "specversion": "1.0",
            "id": message.key,
            "source": "insar_anomaly",
            "type": f"insar_anomaly.flag.{message.kind}",
            "time": rfc3339(message.created),
            "subject": message.stack,
            "datacontenttype": "application/json",
            "disclaimer": DISCLAIMER,  # an extension attribute
            "data": message.payload,
        }
        return as_json(event)

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


def _open(settings: WebhookSettings, name: str, contacts: Sequence[str]) -> Webhook:  # noqa: ARG001
    return Webhook(settings.url, secret(settings.secret_env), settings.timeout_s, name=name)


REGISTRATION = Registration(WebhookSettings, _open)
