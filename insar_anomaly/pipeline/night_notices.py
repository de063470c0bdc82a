"""What a night says of itself by the channels that want it: its digest, its failures, and the stacks that went stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from insar_anomaly import notify
from insar_anomaly.ledger.records import NewNotice
from insar_anomaly.notify.routing import Destination
from insar_anomaly.pipeline.deliver import deliver_notices
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.messages import in_words
from insar_anomaly.pipeline.outcome import failures_of
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Digest, flag_words, lines
from insar_anomaly.report.states import stale_of


def tell_night(s: Installation, run: Run, digest: Digest) -> None:
    """Put the night's own notices into the outbox, where a [[route]] asks for them, and send them.

    A digest has one key for each night: a second run of the same night tells it no more.
    """
    every = notify.destinations(s.config.channel, s.config.route).values()
    new = [notice for one in every for notice in _of(one, digest)]
    if new and s.ledger.put("", new):
        deliver_notices(s, run)


def _of(destination: Destination, digest: Digest) -> Iterator[NewNotice]:
    """What a destination gets of a night."""
    for kind, tell in _TOLD.items():
        if destination.takes_of_a_night(kind):
            yield from tell(destination.name, digest)


def _digest(name: str, digest: Digest) -> Iterator[NewNotice]:
    """The whole digest, also where nothing happened."""
    words, open_flags = lines(digest), sum(flag.state.told for flag in digest.open_flags)
    yield in_words(
        f"digest:{digest.as_of}:{name}",
        name,
        "digest",
        subject=f"{words[0].rstrip(':')}, {open_flags} open flag{'' if open_flags == 1 else 's'}",
        body="\n".join(words),
        payload={"kind": "digest", "digest": digest.as_dict()},
    )


def _noted(name: str, digest: Digest) -> Iterator[NewNotice]:
    """The flags below the level from which on each is told, where there are any."""
    noted = [flag for flag in digest.open_flags if not flag.state.told]
    if not noted:
        return
    number = f"{len(noted)} noted flag{'' if len(noted) == 1 else 's'}"
    listed = [
        {"stack": flag.stack, "volcano": flag.name, "number": flag.number, "peak_score": flag.peak_score} for flag in noted
    ]
    yield in_words(
        f"noted:{digest.as_of}:{name}",
        name,
        "noted",
        subject=f"Screening of {digest.as_of}: {number}",
        body="\n".join([f"{number}, over the stack's own threshold and below the level:", *map(flag_words, noted)]),
        payload={"kind": "noted", "as_of": str(digest.as_of), "flags": listed},
    )


def _failure(name: str, digest: Digest) -> Iterator[NewNotice]:
    """What failed, where something did."""
    if not digest.failures:
        return
    told = [{"stack": one.stack, "stage": one.stage, "error": one.error} for one in digest.failures]
    yield in_words(
        f"failure:{digest.as_of}:{name}",
        name,
        "failure",
        subject=f"Screening of {digest.as_of}: {len(told)} failure{'' if len(told) == 1 else 's'}",
        body="\n".join(failures_of(digest.failures)),
        payload={"kind": "failure", "as_of": str(digest.as_of), "failures": told},
    )


def _stale(name: str, digest: Digest) -> Iterator[NewNotice]:
    """One notice for each stack that is stale, once for each time that it becomes so."""
    for one in stale_of(digest.states):
        newest = digest.states[one.stack].newest
        yield in_words(
            f"stale:{one.stack}:{newest}:{name}",
            name,
            "stale",
            subject=f"Nothing usable comes any more: {one.stack}",
            body=one.words,
            payload={"kind": "stale", "stack": one.stack, "as_of": str(digest.as_of), "newest": newest and str(newest)},
        )


_TOLD: dict[str, Callable[[str, Digest], Iterator[NewNotice]]] = {
    "digest": _digest,
    "noted": _noted,
    "failure": _failure,
    "stale": _stale,
}
"""What is told of a night, by its kind."""
