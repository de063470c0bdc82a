"""Delivery that is killed between any two of its steps, and two deliveries at once: nothing is lost, nothing told twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import outbox
import pytest
from outbox import webhook
from receivers import receiving

from insar_anomaly.ledger.ledger import Ledger

VOLCANOES = [221000 + number for number in range(12)] + [343100 + number for number in range(12)]
DYING = """
import importlib, os, signal, sys
module, cls, method = sys.argv[1].rsplit(".", 2)
owner = getattr(importlib.import_module(module), cls)
setattr(owner, method, lambda *given, **named: os.kill(os.getpid(), signal.SIGKILL))
from insar_anomaly import cli
sys.exit(cli.main(sys.argv[2:]))
"""
STEPS = {
    "before the group is written down": "insar_anomaly.ledger.outbox.Outbox.bundle",
    "before it is sent": "insar_anomaly.notify.webhook.Webhook.deliver",
    "when it has arrived and the ledger does not know": "insar_anomaly.ledger.outbox.Outbox.delivered",
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Builds an installation in a ledger, with notices of two regions that wait for a receiver."""

    def build(ledger, receiver):
        monkeypatch.setenv("INSAR_ANOMALY_LEDGER", ledger)
        made = outbox.build(tmp_path / "here", webhook(receiver.url, group_above=5), gvps=VOLCANOES)
        made.change('kind = "inline"', 'kind = "inline"\nlease_s = 2')
        return made, made.put(*VOLCANOES)

    return build


def told(receiver):
    """Key of every notice that came -> the keys of the messages that told it."""
    out = {}
    for _, body in receiver.came:
        event = json.loads(body)
        for one in event["data"]["notices"] if event["type"].endswith("group") else [{"key": event["id"]}]:
            out.setdefault(one["key"], set()).add(event["id"])
    return out


def waiting(ledger):
    with Ledger(ledger) as opened:
        return [row.key for row in opened.pending()]


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_killed_while_many_are_told_as_one(step, url, place):
    with receiving() as receiver:
        here, keys = place(url, receiver)
        words = [sys.executable, "-c", DYING, step, "-c", str(here.config), "notify"]
        died = subprocess.run(words, capture_output=True, text=True, check=False)
        assert died.returncode == -signal.SIGKILL, died.stderr
        assert len(waiting(url)) == len(keys)
        assert here.deliver().failures == []
        found = told(receiver)
    assert sorted(found) == sorted(keys)
    assert {len(messages) for messages in found.values()} == {1}  # a repeat has the key of the message that it repeats
    assert waiting(url) == []


def test_two_deliveries_at_once_tell_everything_once(url, place):
    def slowly(body):
        time.sleep(0.2)
        return 204

    with receiving(answer=slowly) as receiver:
        here, keys = place(url, receiver)
        here.change("group_above = 5", "group_above = 1000")
        words = [sys.executable, "-m", "insar_anomaly.cli", "-c", str(here.config), "notify"]
        both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
        said = [one.communicate(timeout=120) for one in both]
        assert [one.returncode for one in both] == [0, 0], said
        came = [json.loads(body)["id"] for _, body in receiver.came]
    assert sorted(came) == sorted(keys)
    assert waiting(url) == []
