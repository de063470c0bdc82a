"""An installation that has only a catalogue and an outbox, for tests of delivery: nothing is ingested or fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import installation

from insar_anomaly import pipeline
from insar_anomaly.ledger.records import NewNotice
from insar_anomaly.names import EvidenceKind
from insar_anomaly.notify.payload import EpisodeTold, Payload, Reliability
from insar_anomaly.pipeline import Run

NIGHT = date(2021, 9, 30)
FRAME = "001A_00001_010101"
_PAYLOAD = Payload(
    kind="raised",
    stack="",
    gvp=0,
    volcano="",
    lat=0.0,
    lon=40.0,
    evidence=EvidenceKind.PAIR,
    pair="20210728_20210809",
    after=0,
    score=9.0,
    threshold=5.0,
    percentile=99.0,
    episode=EpisodeTold(1, date(2021, 7, 28), date(2021, 8, 9), "20210728_20210809", "20210728_20210809", 9.0, 1, None),
    policy="fpr",
    calibration=Reliability("", 1.0, None, {}, None),
    model="none",
    snapshot="none",
    as_of=NIGHT,
    pair_age_days=52,
)


def stack_of(gvp: int) -> str:
    """The stack of a volcano."""
    return f"{gvp}/{FRAME}"


def payload(gvp: int, kind: str = "raised", number: int = 1) -> Payload:
    """What a notice of a volcano's flag says."""
    episode = replace(_PAYLOAD.episode, number=number)
    return replace(_PAYLOAD, kind=kind, stack=stack_of(gvp), gvp=gvp, volcano=f"Volcano {gvp}", episode=episode)


def notice(gvp: int, number: int = 1, channel: str = "webhook", kind: str = "raised") -> NewNotice:
    """A notice of a volcano's flag for the outbox."""
    told = payload(gvp, kind, number)
    return NewNotice(f"{told.stack}:{number}:{kind}:{channel}", channel, kind, told.text)


@dataclass(frozen=True)
class Outbox(installation.Installation):
    """The installation, and notices put into its outbox."""

    def put(self, *gvps: int, channel: str = "webhook", kind: str = "raised", number: int = 1) -> list[str]:
        """Put a notice of each volcano into the outbox; their keys."""
        notices = [notice(gvp, number, channel, kind) for gvp in gvps]
        with self.opened("put", NIGHT) as (s, _), s.ledger.together():
            for gvp, one in zip(gvps, notices, strict=True):
                s.ledger.put(stack_of(gvp), [one])
        return [one.key for one in notices]

    def deliver(self, night: int = 0) -> Run:
        """Send what waits; so many nights later."""
        with self.opened("notify", NIGHT + timedelta(days=night)) as (s, run):
            pipeline.deliver(s, run)
        return run

    def waiting(self) -> list[str]:
        """Keys that are to be sent, in order."""
        return [
            key
            for (key,) in self.rows(
                "select key from notice where delivered_at is null and dropped is null and parked is null order by number"
            )
        ]

    def parked(self) -> list[str]:
        """Keys that wait for a person."""
        return [key for (key,) in self.rows("select key from notice where parked is not null order by number")]


def webhook(url: str, **more: object) -> str:
    """A [[channel]] that posts to this machine."""
    lines = [f"{name} = {_toml(value)}" for name, value in {"url": url, "allow_hosts": ["127.0.0.1"], **more}.items()]
    return "\n".join(["[[channel]]", 'kind = "webhook"', *lines, ""])


def _toml(value: object) -> str:
    from insar_anomaly.files.allowed import as_toml

    return as_toml(value)


def build(folder: Path, channels: str, *, gvps: Sequence[int] = (221080,), contacts: Sequence[str] = ()) -> Outbox:
    """An installation of these volcanoes and channels."""
    made = Outbox(folder)
    made.archive.mkdir(parents=True)
    head = installation.CONFIG.partition("[[channel]]")[0]
    made.config.write_text(f"{head}\n{channels}")
    people = f"contacts = {_toml(list(contacts))}\n" if contacts else ""
    entry = '[[volcano]]\ngvp = {gvp}\nname = "Volcano {gvp}"\nlat = 0.0\nlon = 40.0\nframes = ["{frame}"]\n{people}'
    entries = [entry.format(gvp=gvp, frame=FRAME, people=people) for gvp in gvps]
    (folder / "volcanoes.toml").write_text("".join(entries))
    return made
