"""Channels against real servers: files, a signed webhook, e-mail."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from aiosmtpd.controller import Controller
from standardwebhooks.webhooks import Webhook as Verifier

from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.email import Email
from insar_anomaly.notify.files import Files
from insar_anomaly.notify.message import DISCLAIMER, Channel, Message, NotDelivered
from insar_anomaly.notify.webhook import Webhook as AnyWebhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PNG = b"\x89PNG\r\n\x1a\n not much of a picture"
MESSAGE = Message(
    key="221080/079D_07694_131313:3:raised",
    kind="raised",
    stack="221080/079D_07694_131313",
    subject="Flag raised: Sierra Negra",
    body="Score 5.0 is over the threshold 3.5.\nPair 20200101_20200113, Galápagos.",
    payload={"score": 5.0, "threshold": 3.5, "pair": "20200101_20200113"},
    figure=PNG,
    created=datetime(2020, 1, 15, 3, 0, tzinfo=timezone(timedelta(hours=2))),
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def test_the_disclaimer_is_in_every_text():
    assert MESSAGE.text.startswith(MESSAGE.body)
    assert DISCLAIMER in MESSAGE.text
    assert "not an alert level and not a forecast" in DISCLAIMER


@pytest.mark.parametrize("key", ["a/b", "a_b", "a:b", "../../etc/passwd", "", "x" * 500, "é\n"])
def test_file_names_are_safe_and_differ(key):
    stem = replace(MESSAGE, key=key).file_stem
    assert stem.replace("-", "").replace("_", "").isalnum()
    assert stem.isascii()
    assert len(stem) < 120
    assert stem != replace(MESSAGE, key=key + "_").file_stem


# files


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files(tmp_path, scheme):
    folder = tmp_path / "new notices"
    channel: Channel = Files(scheme + str(folder))
    channel.deliver(MESSAGE)
    names = sorted(path.name for path in folder.iterdir())
    assert [name.rpartition("-")[0] for name in names] == ["221080_079D_07694_131313_3_raised"] * 2
    content = json.loads((folder / names[0]).read_text())
    assert (content["key"], content["payload"], content["figure"]) == (MESSAGE.key, MESSAGE.payload, names[1])
    assert content["created"] == "2020-01-15T01:00:00Z"
    assert DISCLAIMER in content["body"]
    assert (folder / names[1]).read_bytes() == PNG


def test_files_written_twice_stay_as_they_are(tmp_path):
    channel = Files(str(tmp_path))
    channel.deliver(MESSAGE)
    before = {path: path.stat().st_ino for path in tmp_path.iterdir()}
    channel.deliver(MESSAGE)
    assert {path: path.stat().st_ino for path in tmp_path.iterdir()} == before
    channel.deliver(replace(MESSAGE, body="other"))
    assert len(list(tmp_path.iterdir())) == 2
    assert "other" in next(tmp_path.glob("*.json")).read_text()


def test_files_without_figure_have_the_usual_permissions(tmp_path):
    Files(str(tmp_path)).deliver(replace(MESSAGE, figure=None))
    (path,) = tmp_path.iterdir()
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert json.loads(path.read_text())["figure"] is None


def test_files_that_cannot_be_written(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(NotDelivered, match=r"cannot write .*taken/folder"):
        Files(f"{tmp_path}/taken/folder").deliver(MESSAGE)


def test_a_failed_write_leaves_no_draft(tmp_path, monkeypatch):
    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NotDelivered, match="No space left"):
        Files(str(tmp_path)).deliver(MESSAGE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["s3://bucket/notices", "file://host/notices", "file:notices"])
def test_other_folders_are_refused(url):
    with pytest.raises(ConfigError, match="only local paths"):
        Files(url)


def test_nan_is_not_json(tmp_path):
    with pytest.raises(NotDelivered, match="NaN must be written as null"):
        Files(str(tmp_path)).deliver(replace(MESSAGE, payload={"score": float("nan")}))


# webhook

Webhook = partial(AnyWebhook, allow_hosts=("127.0.0.1",))


class Receiver(HTTPServer):
    """A web server that remembers what was posted and answers as it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Remember)
        self.status, self.headers, self.answer = 204, {}, b""
        self.posts: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/very-private"


class _Remember(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_webhook_is_a_signed_cloud_event(receiver):
    channel: Channel = Webhook(receiver.url, SECRET, 5.0)
    channel.deliver(MESSAGE)
    ((path, headers, body),) = receiver.posts
    assert path == "/hooks/very-private"
    event = Verifier(SECRET).verify(body, headers)
    assert event == {
        "specversion": "1.0",
        "id": MESSAGE.key,
        "source": "insar_anomaly",
        "type": "insar_anomaly.flag.raised",
        "time": "2020-01-15T01:00:00Z",
        "subject": MESSAGE.stack,
        "datacontenttype": "application/json",
        "disclaimer": DISCLAIMER,
        "data": MESSAGE.data,
    }
    assert headers["webhook-id"] == MESSAGE.key
    assert headers["content-type"].startswith("application/cloudevents+json")


def test_a_webhook_tampered_with_does_not_verify(receiver):
    Webhook(receiver.url, SECRET).deliver(MESSAGE)
    ((_, headers, body),) = receiver.posts
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(SECRET).verify(body.replace(b"5.0", b"0.0"), headers)


def test_a_key_that_is_no_header_is_made_one(receiver):
    Webhook(receiver.url, SECRET).deliver(replace(MESSAGE, key="é\r\nX-Evil: 1"))
    ((_, headers, body),) = receiver.posts
    assert headers["webhook-id"] == "%C3%A9%0D%0AX-Evil:%201"
    assert "x-evil" not in headers
    assert Verifier(SECRET).verify(body, headers)["id"] == "é\r\nX-Evil: 1"


def test_a_webhook_without_secret_is_unsigned(receiver):
    Webhook(receiver.url).deliver(MESSAGE)
    assert "webhook-signature" not in receiver.posts[0][1]


@pytest.mark.parametrize("status", [400, 410, 429, 500])
def test_any_answer_but_2xx_is_not_delivered(receiver, status):
    receiver.status, receiver.answer = status, b"no,\r\nthank you " + b"x" * 5000
    with pytest.raises(NotDelivered, match=f"127.0.0.1 answered {status}: no, thank you x") as failed:
        Webhook(receiver.url, SECRET).deliver(MESSAGE)
    assert len(str(failed.value)) < 400
    assert_private(str(failed.value), receiver)


def test_a_redirect_is_not_followed(receiver):
    receiver.status, receiver.headers = 307, {"location": receiver.url.replace("127.0.0.1", "localhost")}
    with pytest.raises(NotDelivered, match=r"answered 307.*redirects"):
        Webhook(receiver.url, SECRET).deliver(MESSAGE)
    assert len(receiver.posts) == 1


def test_a_server_that_is_not_there():
    with Receiver() as receiver:
        pass
    with pytest.raises(NotDelivered, match=r"webhook at 127.0.0.1: ConnectError") as failed:
        Webhook(receiver.url, SECRET, timeout=2.0).deliver(MESSAGE)
    assert failed.value.__suppress_context__
    assert_private(str(failed.value), receiver)


def test_nothing_private_is_shown_or_logged(receiver, caplog):
    caplog.set_level(logging.INFO)
    channel = Webhook(receiver.url, SECRET)
    channel.deliver(MESSAGE)
    assert_private(caplog.text + repr(channel), receiver)


def assert_private(words: str, receiver: Receiver) -> None:
    assert SECRET not in words
    assert SECRET.removeprefix("whsec_") not in words
    assert "very-private" not in words


@pytest.mark.parametrize("url", ["", "ftp://host/x", "host/private", "http://", "http://host:port/private"])
def test_a_wrong_webhook_url_is_refused_unshown(url):
    with pytest.raises(ConfigError, match="not an http or https address") as refused:
        Webhook(url)
    assert "private" not in str(refused.value)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "whsec_abc", "ключ"])
def test_a_wrong_secret_is_refused_unshown(secret):
    with pytest.raises(ConfigError, match="must be whsec_ followed by base64") as refused:
        Webhook("https://host/x", secret)
    assert secret == "whsec_" or secret not in str(refused.value)


# e-mail


class Mailbox:
    """Keeps what arrives; refuses some recipients, or everything."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.received_by: list[list[str]] = []
        self.refused: set[str] = set()
        self.answer = "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address in self.refused:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):
        if self.answer.startswith("250"):
            self.mails.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default))
            self.received_by.append(envelope.rcpt_tos)
        return self.answer


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, Callable[..., Email]]]:
    mailbox = Mailbox()
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = int(probe.server_address[1])
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()

    def email(**other: object) -> Email:
        usual = {
            "sender": "InSAR <flags@example.org>",
            "recipients": ["duty@example.org", "chief@example.org"],
            "starttls": False,
        }
        return Email("127.0.0.1", port, **{**usual, **other})

    try:
        yield mailbox, email
    finally:
        controller.stop()


def test_email():
    with mail_server() as (mailbox, email):
        channel: Channel = email()
        channel.deliver(MESSAGE)
        channel.deliver(MESSAGE)
    first, second = mailbox.mails
    assert mailbox.received_by[0] == ["duty@example.org", "chief@example.org"]
    assert (first["Subject"], first["From"]) == (MESSAGE.subject, "InSAR <flags@example.org>")
    assert first["Auto-Submitted"] == "auto-generated"
    assert first["Date"].datetime == MESSAGE.created.astimezone(UTC)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Message-ID"].endswith("@example.org>")
    text = first.get_body(("plain",))
    assert text is not None
    assert text.get_content().split() == MESSAGE.text.split()
    (figure,) = first.iter_attachments()
    assert (figure.get_content(), figure.get_content_type()) == (PNG, "image/png")
    assert figure.get_content_disposition() == "inline"


def test_another_key_is_another_mail():
    with mail_server() as (mailbox, email):
        email().deliver(MESSAGE)
        email().deliver(replace(MESSAGE, key="other", figure=None))
    assert len({mail["Message-ID"] for mail in mailbox.mails}) == 2


def test_no_header_comes_in_through_the_subject():
    with mail_server() as (mailbox, email):
        email().deliver(replace(MESSAGE, subject="Flag\r\nBcc: evil@example.org\n\nbody\x85 Galápagos"))
    (mail,) = mailbox.mails
    assert mail["Subject"] == "Flag Bcc: evil@example.org body Galápagos"
    assert mail["Bcc"] is None
    assert mailbox.received_by[0] == ["duty@example.org", "chief@example.org"]


@pytest.mark.parametrize("refused", [{"chief@example.org"}, {"chief@example.org", "duty@example.org"}])
def test_refused_recipients_are_named(refused):
    with mail_server() as (mailbox, email):
        mailbox.refused = refused
        with pytest.raises(NotDelivered, match=r"refused .*chief@example.org \(550 no such user\)") as failed:
            email().deliver(MESSAGE)
    assert ("duty@example.org" in str(failed.value)) == ("duty@example.org" in refused)
    assert len(mailbox.mails) == 2 - len(refused)


def test_a_mail_server_that_fails_or_is_not_there():
    with mail_server() as (mailbox, email):
        mailbox.answer = "451 try again later"
        with pytest.raises(NotDelivered, match="451"):
            email().deliver(MESSAGE)
        with pytest.raises(NotDelivered, match="SMTPNotSupportedError"):
            email(starttls=True).deliver(MESSAGE)
        with pytest.raises(NotDelivered, match="SMTPNotSupportedError") as failed:
            email(username="u", password="p4ss").deliver(MESSAGE)
        gone = email(password="p4ss", timeout=2.0)
    with pytest.raises(NotDelivered, match="ConnectionRefusedError"):
        gone.deliver(MESSAGE)
    assert "p4ss" not in str(failed.value) + repr(gone)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sender": "nobody"}, "'nobody' is not an e-mail address"),
        ({"recipients": ["a@b.org\nBcc: c@d.org"]}, "is not an e-mail address"),
        ({"recipients": []}, "nobody to write to"),
        ({"username": "u", "password": "p4ss", "starttls": False}, "unencrypted to mail.example.org"),
    ],
)
def test_wrong_email_settings_are_refused(wrong, words):
    right = {"host": "mail.example.org", "port": 587, "sender": "a@b.org", "recipients": ("c@d.org",)}
    Email(**right)
    with pytest.raises(ConfigError, match=words) as refused:
        Email(**{**right, **wrong})
    assert "p4ss" not in str(refused.value)
