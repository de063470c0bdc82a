"""What bounds a channel: one deadline, public addresses only, keys that change, programs and services that hang."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from urllib.parse import quote

import pytest
from aiosmtpd.controller import Controller
from receivers import receiving
from standardwebhooks.webhooks import Webhook as Verifier

from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.apprise import Apprise
from insar_anomaly.notify.command import Command
from insar_anomaly.notify.deadline import Deadline, insist_public, is_public
from insar_anomaly.notify.email import Email
from insar_anomaly.notify.forms import LONGEST_KEY, alertmanager, episode_key, pagerduty
from insar_anomaly.notify.message import DISCLAIMER, Message, NotDelivered, Refused, Unreachable
from insar_anomaly.notify.webhook import Webhook

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
PNG = b"\x89PNG\r\n\x1a\n not much of a picture"
MESSAGE = Message(
    key="221080/079D_07694_131313:3:raised:hook",
    kind="raised",
    stack="221080/079D_07694_131313",
    subject="Screening flag raised: Erta Ale",
    body="Score 5.0 is over the threshold 3.5.",
    payload={"gvp": 221080, "volcano": "Erta Ale", "episode": {"number": 3}, "score": 5.0},
    figure=PNG,
    created=datetime(2017, 1, 30, 3, 0, tzinfo=UTC),
)
HERE = ("127.0.0.1",)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@contextmanager
def within(seconds):
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


# ---------------------------------------------------------------------------------------------------------------- deadline


def test_an_answer_that_drips_ends_at_the_deadline():
    with receiving(drip=0.1) as receiver, within(3.0), pytest.raises(Unreachable, match=r"given up after 0.7 s"):
        Webhook(receiver.url, None, 0.7, allow_hosts=HERE).deliver(MESSAGE)


def test_a_receiver_that_never_answers_costs_one_deadline():
    with receiving(hang=True) as receiver, within(3.0), pytest.raises(Unreachable, match=r"given up after 0.5 s"):
        Webhook(receiver.url, None, 0.5, allow_hosts=HERE).deliver(MESSAGE)


def test_an_error_that_drips_is_told_by_its_status():
    """The status has come; what else the receiver says is not waited for beyond the deadline."""

    def answer(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 422 No\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            time.sleep(0.1)
            connection.sendall(b" ")

    with speaking(answer) as port, within(3.0), pytest.raises(Refused, match="answered 422"):
        Webhook(f"http://127.0.0.1:{port}/x", None, 0.7, allow_hosts=HERE).deliver(MESSAGE)


@contextmanager
def speaking(answer):
    """A server that lets a function talk with whoever connects; its port."""

    def talk():
        with listener:
            try:
                connection, _ = listener.accept()
                with connection:
                    answer(connection)
            except OSError:
                pass

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=talk)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(20)
    assert not thread.is_alive()


def mail(port, **how):
    usual = {"sender": "us@example.org", "recipients": ["duty@example.org"], "starttls": False, "timeout": 0.7}
    return Email("127.0.0.1", port, **{**usual, **how})


def test_a_mail_server_that_greets_drop_by_drop_ends_at_the_deadline():
    def greet(connection):
        for _ in range(100):
            connection.sendall(b"2")
            time.sleep(0.1)

    with speaking(greet) as port, within(3.0), pytest.raises(Unreachable, match=r"given up after 0.7 s"):
        mail(port).deliver(MESSAGE)


def test_a_mail_that_was_taken_has_arrived_however_slowly_the_server_says_good_bye():
    took = []

    def serve(connection):
        lines = connection.makefile("rb")
        connection.sendall(b"220 slow\r\n")
        for line in lines:
            word = line[:4].upper()
            took.append(word)
            if word == b"DATA":
                connection.sendall(b"354 go\r\n")
                while lines.readline() != b".\r\n":
                    pass
            if word == b"QUIT":
                time.sleep(2.0)
                return
            connection.sendall(b"250 ok\r\n")

    with speaking(serve) as port, within(4.0):
        mail(port).deliver(MESSAGE)
    assert b"DATA" in took


def test_a_mail_server_that_refuses_the_mail_itself_is_told_apart():
    class Mailbox:
        async def handle_DATA(self, *_):
            return "552 too large"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    post = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    post.start()
    with pytest.raises(Refused, match="552"):
        mail(port, timeout=10.0).deliver(MESSAGE)
    post.stop()


def test_names_are_resolved_within_the_deadline():
    def slow():
        time.sleep(5)

    with Deadline(0.3).running() as deadline, within(2.0), pytest.raises(Unreachable, match=r"after 0.3 s"):
        deadline.wait_for(slow)


# --------------------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",
        "168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00:ec2::254",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "not an address",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address):
    assert is_public(address)


def test_one_address_that_is_not_public_is_enough_to_refuse_a_host():
    with pytest.raises(Unreachable, match=r"hook.example is 10.0.0.1.*allow_hosts = \[\"hook.example\"\]"):
        insist_public("hook.example", ["8.8.8.8", "10.0.0.1"], ())
    insist_public("hook.example", ["8.8.8.8", "10.0.0.1"], ("HOOK.example.",))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1"])
def test_nothing_is_sent_to_this_machine_unless_it_is_allowed_by_name(host):
    with receiving() as receiver:
        with pytest.raises(NotDelivered, match=r"not a public address|cannot be resolved"):
            Webhook(receiver.url.replace("127.0.0.1", host)).deliver(MESSAGE)
        assert receiver.came == []
        Webhook(receiver.url.replace("127.0.0.1", "localhost"), allow_hosts=("localhost",)).deliver(MESSAGE)
        assert [headers["host"] for headers, _ in receiver.came] == [f"localhost:{receiver.port}"]


def test_the_address_that_was_looked_at_is_connected_to(monkeypatch):
    """A name that is public when it is looked at and private a moment later (DNS rebinding) is asked for once only."""
    answers = [["127.0.0.1"], ["10.0.0.1"]]
    asked = []
    real = socket.getaddrinfo

    def resolver(host, port, *args, **kwargs):
        if host != "rebind.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = answers[min(len(asked), 2) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    monkeypatch.setenv("NO_PROXY", "*")
    with receiving() as receiver:
        url = receiver.url.replace("127.0.0.1", "rebind.example")
        Webhook(url, allow_hosts=("rebind.example",)).deliver(MESSAGE)
        assert [headers["host"] for headers, _ in receiver.came] == [f"rebind.example:{receiver.port}"]
        assert asked == ["rebind.example"]


def test_behind_a_proxy_the_name_is_looked_at_and_the_proxy_is_not(monkeypatch):
    """The proxy of the environment is on this machine, and that is nobody's mistake; an address behind it may be one."""
    asked = []

    def proxy(connection):
        asked.append(connection.recv(65536).split(b"\r\n")[0])
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    with speaking(proxy) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        with pytest.raises(NotDelivered, match="not a public address"):
            Webhook("http://169.254.169.254/latest").deliver(MESSAGE)
        Webhook("http://hook.example/x").deliver(MESSAGE)
    assert asked == [b"POST http://hook.example/x HTTP/1.1"]


# --------------------------------------------------------------------------------------------------------------- webhooks


def test_while_a_secret_changes_both_the_old_and_the_new_one_verify():
    with receiving() as receiver:
        Webhook(receiver.url, f"{NEW} {OLD}", allow_hosts=HERE).deliver(MESSAGE)
        ((headers, body),) = receiver.came
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (OLD, NEW):
        assert Verifier(secret).verify(body, headers)["id"] == MESSAGE.key
    with pytest.raises(Exception, match="No matching signature"):
        Verifier("whsec_" + "A" * 32).verify(body, headers)


def test_one_wrong_secret_of_several_is_refused():
    with pytest.raises(ConfigError, match="must be whsec_"):
        Webhook("https://host/x", f"{NEW} whsec_wrong!")


def test_a_password_in_the_address_is_sent_as_one():
    with receiving() as receiver:
        Webhook(receiver.url.replace("127", "me:p4ss@127"), allow_hosts=HERE).deliver(MESSAGE)
    assert receiver.came[0][0]["authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (413, Refused), (422, Refused), (401, NotDelivered), (404, NotDelivered), (408, NotDelivered),
     (429, Unreachable), (503, Unreachable), (500, NotDelivered), (302, NotDelivered)],
)  # fmt: skip
def test_what_an_answer_says_of_the_notice_and_of_the_channel(status, kind):
    with receiving(answer=lambda body: status) as receiver, pytest.raises(NotDelivered) as failed:
        Webhook(receiver.url, allow_hosts=HERE).deliver(MESSAGE)
    assert failed.type is kind


# ------------------------------------------------------------------------------------------------------------------ forms


def flag(kind, number=3, stack=MESSAGE.stack, **episode):
    key = f"{stack}:{number}:{kind}:hook"
    return replace(
        MESSAGE, key=key, kind=kind, stack=stack, payload=MESSAGE.payload | {"episode": {"number": number, **episode}}
    )


def test_an_episode_has_one_key_for_life_and_another_episode_another():
    life = [flag("raised"), flag("escalated"), flag("cleared"), flag("withdrawn")]
    assert len({episode_key(one) for one in life}) == 1
    assert len({episode_key(flag("raised", number)) for number in range(5)}) == 5


def test_a_key_has_at_most_255_characters_and_long_ones_still_differ():
    keys = {episode_key(flag("raised", number, stack=f"221080/{'A' * 300}")) for number in range(3)}
    assert {len(key) for key in keys} == {LONGEST_KEY}
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (flag("raised"), "trigger"),
        (flag("escalated"), "trigger"),
        (flag("cleared"), "resolve"),
        (flag("cleared", withdrawn=True), "resolve"),
        (flag("withdrawn"), "resolve"),
    ],
)
def test_pagerduty_gets_an_event_of_its_api(message, action):
    with receiving(answer=lambda body: 202) as receiver:
        Webhook(receiver.url, allow_hosts=HERE, form="pagerduty", key="R0UT1NG").deliver(message)
    event = json.loads(receiver.came[0][1])
    assert (event["routing_key"], event["event_action"]) == ("R0UT1NG", action)
    assert event["dedup_key"] == episode_key(message)
    assert set(event["payload"]) >= {"summary", "source", "severity"}
    assert event["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert DISCLAIMER in event["payload"]["custom_details"]["text"]


def test_pagerduty_takes_no_longer_summary():
    event = json.loads(pagerduty(replace(MESSAGE, subject="x" * 5000), "k"))
    assert len(event["payload"]["summary"]) == 1024


def test_pagerduty_needs_its_key():
    with pytest.raises(ConfigError, match="routing_key_env"):
        Webhook("https://events.pagerduty.com/v2/enqueue", form="pagerduty")


def test_alertmanager_knows_the_end_of_an_alert_by_the_same_labels():
    [begun] = json.loads(alertmanager(flag("raised"), None))
    [ended] = json.loads(alertmanager(replace(flag("cleared"), created=datetime(2017, 4, 1, tzinfo=UTC)), None))
    assert begun["labels"] == ended["labels"]
    assert begun["labels"]["alertname"] == "ScreeningFlag"
    assert begun["startsAt"] < ended["endsAt"] == "2017-04-01T00:00:00Z" < begun["endsAt"]


def test_alertmanager_gets_an_alert_for_each_notice_of_a_group():
    parts = tuple(flag("raised", number) for number in range(3))
    alerts = json.loads(alertmanager(replace(MESSAGE, kind="group", stack="", payload={}, parts=parts), None))
    assert [one["labels"]["episode"] for one in alerts] == [episode_key(part) for part in parts]


# --------------------------------------------------------------------------------------------------------------- programs


def program(code, timeout=20.0):
    return Command((sys.executable, "-c", code), timeout)


def test_a_program_gets_the_notice_as_json(tmp_path):
    program(f"import sys; open({str(tmp_path / 'came')!r}, 'wb').write(sys.stdin.buffer.read())").deliver(MESSAGE)
    came = json.loads((tmp_path / "came").read_text())
    assert (came["key"], came["payload"], came["subject"]) == (MESSAGE.key, MESSAGE.payload, MESSAGE.subject)
    assert DISCLAIMER in came["body"]
    assert came["figure_base64"].startswith("iVBORw0KGgo")


def test_a_program_that_fails_is_told_with_what_it_said():
    with pytest.raises(NotDelivered, match=r"ended with code 3: no money left") as failed:
        program("import sys; sys.stderr.write('no money left\\n'); sys.exit(3)").deliver(MESSAGE)
    assert failed.type is NotDelivered
    with pytest.raises(Refused, match="code 65"):
        program(f"import sys; sys.exit({os.EX_DATAERR})").deliver(MESSAGE)


def test_a_program_that_hangs_is_ended_with_all_that_it_has_started(tmp_path):
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
time.sleep(60)
"""
    with within(6.0), pytest.raises(Unreachable, match=r"ended after 1.5 s"):
        program(code, 1.5).deliver(MESSAGE)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not running(pid):
            break
        time.sleep(0.05)
    assert not running(pid)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_does_not_read_or_leaves_a_child_behind_holds_nothing_up():
    big = replace(MESSAGE, payload={"words": "x" * 3_000_000})
    begun = time.monotonic()
    program("import os, time\nif os.fork() == 0: time.sleep(30)").deliver(big)
    assert time.monotonic() - begun < 8.0


def test_a_program_that_is_not_there():
    with pytest.raises(Unreachable, match="cannot be started: No such file"):
        Command(("/no/such/program",)).deliver(MESSAGE)


# ---------------------------------------------------------------------------------------------------------------- Apprise


def test_apprise_posts_words_and_figure_to_a_json_service():
    with receiving(answer=lambda body: 200) as receiver:
        Apprise((f"json://127.0.0.1:{receiver.port}/very-private",)).deliver(MESSAGE)
    ((_, body),) = receiver.came
    came = json.loads(body)
    assert came["title"] == MESSAGE.subject
    assert MESSAGE.body in came["message"]
    assert DISCLAIMER in came["message"]
    [figure] = came["attachments"]
    assert figure["mimetype"] == "image/png"
    assert figure["base64"].startswith("iVBORw0KGgo")


def test_apprise_names_the_service_that_failed_and_never_its_address():
    with receiving(answer=lambda body: 500) as bad, receiving(answer=lambda body: 200) as good:
        urls = (f"json://127.0.0.1:{good.port}/very-private", f"json://user:very-secret@127.0.0.1:{bad.port}/very-private")
        channel = Apprise(urls)
        with pytest.raises(NotDelivered, match=r"not taken by URL 2 \(json\)") as failed:
            channel.deliver(MESSAGE)
        assert len(good.came) == 1
    assert "very" not in str(failed.value) + repr(channel)


def test_apprise_ends_at_the_deadline_whatever_the_service_does():
    with receiving(drip=0.1) as receiver, within(9.0), pytest.raises(Unreachable, match=r"ended after 3 s"):
        Apprise((f"json://127.0.0.1:{receiver.port}/",), timeout=3.0).deliver(MESSAGE)


def test_apprise_sends_mail():
    mails = []

    class Mailbox:
        async def handle_DATA(self, _server, _session, envelope):
            mails.append(message_from_bytes(envelope.content, _class=EmailMessage, policy=policy.default))
            return "250 ok"

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    post = Controller(Mailbox(), hostname="127.0.0.1", port=port)
    post.start()
    url = f"mailto://127.0.0.1:{port}?from={quote('us@example.org')}&to=duty@example.org&mode=insecure"
    try:
        Apprise((url,)).deliver(MESSAGE)
    finally:
        post.stop()
    [sent] = mails
    assert sent["Subject"] == MESSAGE.subject
    assert MESSAGE.body in sent.as_string()
    assert [part.get_content_type() for part in sent.walk()].count("image/png") == 1


@pytest.mark.parametrize(
    ("urls", "words"), [((), "holds no URL"), (("private",), r"URL 1 of urls_env is none of Apprise's")]
)
def test_what_is_no_apprise_url_is_refused_unshown(urls, words):
    with pytest.raises(ConfigError, match=words) as refused:
        Apprise(urls)
    assert "private" not in str(refused.value)


def test_a_service_that_apprise_does_not_know_is_told():
    with pytest.raises(NotDelivered, match=r"URL 1 \(nosuch\), which Apprise does not know"):
        Apprise(("nosuch://very-private/x",)).deliver(MESSAGE)
