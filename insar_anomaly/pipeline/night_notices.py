"""What a night says of itself by the channels that want it: its digest, its failures, and the stacks that went stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from insar_anomaly import notify
from insar_anomaly.ledger.records import NewNotice
from insar_anomaly.notify.routing import Destination
from insar_anomaly.pipeline.deliver import deliver_notices
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.messages import in_words
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Digest, lines
from insar_anomaly.report.states import stale_of
from insar_anomaly.spoken.sentences import said


def tell_night(s: Installation, run: Run, digest: Digest) -> None:
    """Put the night's own notices into the outbox, where a [[route]] asks for them, and send them.

    A digest has one key for each night: a second run of the same night tells it no more.
    """
    every = notify.destinations(s.config.channel, s.config.route).values()
    new = [notice for one in every for notice in _of(one, digest)]
    if new and s.ledger.put("", new):
        deliver_notices(s, run, only={notice.key for notice in new})


def _of(destination: Destination, digest: Digest) -> Iterator[NewNotice]:
    """What a destination gets of a night."""
    for kind, tell in _TOLD.items():
        if destination.takes_of_a_night(kind):
            yield from tell(destination.name, digest, destination.language)


def _digest(name: str, digest: Digest, language: str) -> Iterator[NewNotice]:
    """The whole digest, also where nothing happened."""
    number = sum(flag.state.told for flag in digest.open_flags)
    text = "\n".join(lines(digest, language=language))
    words = said("report", "digest", language, digest=digest, number=number, text=text)
    payload = {"kind": "digest", "digest": digest.as_dict()}
    yield in_words(f"digest:{digest.as_of}:{name}", name, "digest", words, payload=payload, language=language)


def _noted(name: str, digest: Digest, language: str) -> Iterator[NewNotice]:
    """The flags below the level from which on each has a notice, where there are any."""
    noted = [flag for flag in digest.open_flags if not flag.state.told]
    if not noted:
        return
    listed = [
        {"stack": flag.stack, "volcano": flag.name, "number": flag.number, "peak_score": flag.peak_score} for flag in noted
    ]
    words = said("report", "noted", language, as_of=digest.as_of, flags=noted)
    payload = {"kind": "noted", "as_of": str(digest.as_of), "flags": listed}
    yield in_words(f"noted:{digest.as_of}:{name}", name, "noted", words, payload=payload, language=language)


def _failure(name: str, digest: Digest, language: str) -> Iterator[NewNotice]:
    """What failed, where something did."""
    if not digest.failures:
        return
    failed = [{"stack": one.stack, "stage": one.stage, "error": one.error} for one in digest.failures]
    words = said("report", "failure", language, as_of=digest.as_of, failures=digest.failures)
    payload = {"kind": "failure", "as_of": str(digest.as_of), "failures": failed}
    yield in_words(f"failure:{digest.as_of}:{name}", name, "failure", words, payload=payload, language=language)


def _stale(name: str, digest: Digest, language: str) -> Iterator[NewNotice]:
    """One notice for each stack that is stale, once for each time that it becomes so."""
    for one in stale_of(digest.states):
        state = digest.states[one.stack]
        newest = state.newest and str(state.newest)
        words = said("report", "stale", language, stack=one.stack, state=state)
        payload = {"kind": "stale", "stack": one.stack, "as_of": str(digest.as_of), "newest": newest}
        key = f"stale:{one.stack}:{newest}:{name}"
        yield in_words(key, name, "stale", words, payload=payload, language=language)


_TOLD: dict[str, Callable[[str, Digest, str], Iterator[NewNotice]]] = {
    "digest": _digest,
    "noted": _noted,
    "failure": _failure,
    "stale": _stale,
}
"""What is said of a night, by its kind."""
