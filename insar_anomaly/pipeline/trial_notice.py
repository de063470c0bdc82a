"""A notice that is a test, and says so everywhere: it touches no flag and no ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from insar_anomaly import notify
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import InsarAnomalyError, UsageError
from insar_anomaly.notify.message import TEST, Message
from insar_anomaly.spoken import DEFAULT
from insar_anomaly.spoken.sentences import said

EVERY = "all"


@dataclass(frozen=True)
class Tried:
    """What became of a test: whether it arrived, and in words."""

    destination: str
    ok: bool
    words: str


def send_tests(config: Config, wanted: str) -> Iterator[Tried]:
    """Send a test to a channel or a destination of this name, or to all of them.

    Raises
    ------
    UsageError
        where none has this name.
    """
    every = notify.destinations(config.channel, config.route)
    for name, settings in notify.named(config.channel).items():
        if name not in {one.channel for one in every.values()}:
            every[name] = notify.Destination(name, name, settings)
    chosen = [one for one in every.values() if wanted in (EVERY, one.name, one.channel)]
    if not chosen:
        there = f"there is {', '.join(every)}" if every else "no [[channel]] is configured"
        raise UsageError(f"--test {wanted}: no channel is called that; {there}, or {EVERY} for every one")
    for one in chosen:
        yield _tried(one)


def _tried(one: notify.Destination) -> Tried:
    if not notify.reaches(one.settings, ()):
        return Tried(one.name, False, "it has no recipients of its own, and a volcano's contacts get no tests")
    try:
        notify.opened(one.settings, one.name, ()).deliver(trial(one.name, one.language))
    except (InsarAnomalyError, OSError) as problem:
        return Tried(one.name, False, str(problem))
    return Tried(one.name, True, "the test has arrived")


def trial(destination: str, language: str = DEFAULT) -> Message:
    """The test: marked in its key, subject, body and payload."""
    now = datetime.now(UTC)
    words = said("notify", "messages/test", language, destination=destination)
    return Message(
        key=f"test:{destination}:{now:%Y-%m-%dT%H:%M:%S.%fZ}",
        kind=TEST,
        stack="",
        subject=words.subject,
        body=words.body,
        payload={"kind": TEST, "test": True, "destination": destination},
        figure=None,
        created=now,
        language=language,
    )
