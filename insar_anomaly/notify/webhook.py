"""Notices as signed HTTP POSTs: CloudEvents 1.0, PagerDuty or Alertmanager, in a Standard Webhooks signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote
from urllib.request import getproxies, proxy_bypass

import httpcore
import httpx
from pydantic import Field

from insar_anomaly import __version__
from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.load import secret
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.deadline import Deadline, insist_public
from insar_anomaly.notify.forms import FORMS
from insar_anomaly.notify.message import Message, NotDelivered, Refused, Registration, Unreachable

_OF_THE_CHANNEL = {401, 403, 404, 405, 407, 408, 410, 425, 429}
"""Answers 4xx that speak of the address, the secret or the moment, and not of the notice."""
_BUSY = {429, 503}


class WebhookSettings(ChannelSettings):
    """Notices as signed HTTP POSTs (Standard Webhooks, CloudEvents)."""

    url: str = Field(
        pattern=r"^https?://", examples=["https://example.org/hook"], repr=False, description="address that gets the POST"
    )
    form: Literal["cloudevents", "pagerduty", "alertmanager"] = Field(
        "cloudevents", description="what is posted; pagerduty: Events API v2; alertmanager: /api/v2/alerts"
    )
    secret_env: str | None = Field(
        None,
        description="environment variable with the whsec_... secret; several, with spaces between them, while a new one "
        "takes the place of an old one: each of them signs",
    )
    routing_key_env: str | None = Field(
        None, description="environment variable with PagerDuty's integration key, for form pagerduty"
    )
    allow_hosts: tuple[str, ...] = Field(
        (),
        examples=[["alerts.example.lan"]],
        description="hosts that may have a private, loopback or link-local address, as url names them; no other may",
    )
    timeout_s: float = Field(10.0, gt=0, le=300, description="seconds from connection to answer, for each notice")


@dataclass(frozen=True)
class Webhook:
    """Posts a notice, signed as Standard Webhooks says where there is a secret.

    Of the `url` only the host is ever shown. `secret` is `whsec_` and base64; of several with spaces between them each one
    signs; None sends unsigned. `timeout` is in seconds, from connection to answer. A host whose address is not public is
    refused unless `allow_hosts` names it; the address that was looked at is the one that is connected to. `form` is one of
    `forms.FORMS`, and `key` what identifies the sender in it. Raises ConfigError for a URL or secret that cannot be used.
    """

    url: str = field(repr=False)
    secret: str | None = field(default=None, repr=False)
    timeout: float = 10.0
    name: str = "webhook"
    allow_hosts: tuple[str, ...] = ()
    form: str = "cloudevents"
    key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            url = httpx.URL(self.url)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigError(f"channel {self.name}: the webhook's URL is not an http or https address")  # may hold a key
        if self.form == "pagerduty" and not self.key:
            raise ConfigError(f'channel {self.name}: form = "pagerduty" needs the integration key: give routing_key_env')
        self._signing_keys()

    @property
    def blocked(self) -> str | None:
        """Why nothing can be sent to its host, as far as that is known without asking for names; None where nothing is."""
        host = httpx.URL(self.url).host
        try:
            insist_public(host, [host] if _is_literal(host) else [], self.allow_hosts)
        except Unreachable as problem:
            return str(problem)
        return None

    def deliver(self, message: Message) -> None:
        """Post the notice. Any answer but 2xx raises NotDelivered; a redirect is never followed, it may lead elsewhere."""
        url = httpx.URL(self.url)
        where = f"notice {message.key}: webhook at {url.host}"
        form = FORMS[self.form]
        body = form.body(message, self.key)
        headers = self._headers(message.key, body) | {"content-type": form.content_type}
        with Deadline(self.timeout).running() as deadline:
            try:
                status, said = self._posted(url, headers, body, deadline)
            except NotDelivered as problem:
                raise type(problem)(f"{where}: {problem}") from None
            except _BROKEN as problem:  # the request inside knows the URL
                words = deadline.words if deadline.over else f"{type(problem).__name__}: {problem}"
                raise Unreachable(f"{where}: {words}") from None
        if 200 <= status < 300:
            return
        hint = "; it redirects: put the final address into the configuration" if 300 <= status < 400 else ""
        raise _refusal(status)(f"{where} answered {status}: {said}{hint}")

    def _posted(self, url: httpx.URL, headers: dict[str, str], body: bytes, deadline: Deadline) -> tuple[int, str]:
        """The answer's status, and the beginning of what it says where it is an error."""
        limits = dict.fromkeys(("connect", "read", "write", "pool"), deadline.left)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        with (
            _pool(url, deadline, self.allow_hosts) as pool,
            pool.stream("POST", target, headers=_http(url, headers), content=body, extensions={"timeout": limits}) as answer,
        ):
            said = b""
            if not 200 <= answer.status < 300:
                with suppress(*_BROKEN):  # what counts is the status
                    said = next(iter(answer.iter_stream()), b"")
            return answer.status, " ".join(said.decode(errors="replace")[:200].split())

    def _headers(self, key: str, body: bytes) -> dict[str, str]:
        webhook_id, timestamp = quote(key, safe="/:"), str(int(time.time()))
        headers = {"webhook-id": webhook_id, "webhook-timestamp": timestamp}
        if keys := self._signing_keys():
            signed = b".".join((webhook_id.encode(), timestamp.encode(), body))
            digests = (hmac.new(one, signed, hashlib.sha256).digest() for one in keys)
            headers["webhook-signature"] = " ".join(f"v1,{base64.b64encode(one).decode()}" for one in digests)
        return headers

    def _signing_keys(self) -> list[bytes]:
        """The key of each secret, in their order; none without a secret."""
        if self.secret is None:
            return []
        keys = []
        for one in self.secret.split():
            with suppress(binascii.Error, ValueError):
                keys.append(base64.b64decode(one.removeprefix("whsec_"), validate=True))
        if not keys or len(keys) < len(self.secret.split()) or b"" in keys:
            raise ConfigError(f"channel {self.name}: the webhook's secret must be whsec_ followed by base64")
        return keys


_BROKEN = (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError, OSError)


def _refusal(status: int) -> type[NotDelivered]:
    if status in _BUSY:
        return Unreachable
    return Refused if 400 <= status < 500 and status not in _OF_THE_CHANNEL else NotDelivered


class _Network(httpcore.NetworkBackend):
    """Connections that end with the deadline, made to the very address that was found to be public or allowed."""

    def __init__(self, deadline: Deadline, allowed: Iterable[str] | None) -> None:
        self._deadline, self._allowed = deadline, allowed
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - what is left of the deadline counts
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Look the name up once, look at every address, and connect to one of them."""
        addresses = self._deadline.addresses(host, port)
        if self._allowed is not None:
            insist_public(host, addresses, self._allowed)
        problem: Exception = Unreachable(f"{host} has no address")
        for address in addresses:
            try:
                stream = self._plain.connect_tcp(address, port, self._deadline.left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failed:
                problem = failed
            else:
                self._deadline.watch(stream.get_extra_info("socket"))
                return stream
        raise problem


def _pool(url: httpx.URL, deadline: Deadline, allowed: Sequence[str]) -> httpcore.ConnectionPool:
    """Connections to a webhook, directly or through the proxy that the environment names.

    Behind a proxy only the proxy knows which address a name has: then the name itself is looked at.
    """
    context = httpx.create_ssl_context() if url.scheme == "https" else None
    proxy = getproxies().get(url.scheme)
    if proxy is None or proxy_bypass(url.host):
        return httpcore.ConnectionPool(ssl_context=context, network_backend=_Network(deadline, allowed))
    insist_public(url.host, [url.host] if _is_literal(url.host) else [], allowed)
    place = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    login = (unquote(place.username), unquote(place.password)) if place.username else None
    return httpcore.HTTPProxy(
        proxy_url=httpcore.URL(scheme=place.raw_scheme, host=place.raw_host, port=place.port, target=b"/"),
        proxy_auth=login,
        ssl_context=context,
        network_backend=_Network(deadline, None),
    )


def _is_literal(host: str) -> bool:
    """True for an address, and for the names of this machine: what needs no resolver to be known."""
    return host.replace(".", "").isdigit() or ":" in host or host.rstrip(".").casefold().endswith("localhost")


def _http(url: httpx.URL, headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers, with those that every request has."""
    all_of_them = {"host": url.netloc.decode("ascii"), "user-agent": f"insar-anomaly/{__version__}", **headers}
    if url.username:
        login = f"{url.username}:{url.password}".encode()
        all_of_them["authorization"] = f"Basic {base64.b64encode(login).decode()}"
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in all_of_them.items()]


def _open(settings: WebhookSettings, name: str, contacts: Sequence[str]) -> Webhook:  # noqa: ARG001
    return Webhook(
        settings.url,
        secret(settings.secret_env),
        settings.timeout_s,
        name=name,
        allow_hosts=settings.allow_hosts,
        form=settings.form,
        key=secret(settings.routing_key_env),
    )


def _groups(settings: WebhookSettings) -> bool:
    return FORMS[settings.form].groups


REGISTRATION = Registration(WebhookSettings, _open, groups=_groups)
