"""What a notice says, as data: typed here, JSON in the outbox and on its way to receivers.

``notice.schema.json`` describes the JSON form. Receivers keep their own code for it: a key is never renamed or removed
within a version, and `VERSION` grows with a change that breaks them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import date

from insar_anomaly.calibration.detectability import Detectability
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import Sample
from insar_anomaly.names import EvidenceKind, JsonObject

VERSION = 2
"""Of the JSON form. 1: no ``version``; first assessments under keys such as ``4 cm at once``."""


@dataclass(frozen=True)
class Alone:
    """What one acquisition shows alone. `threshold` is None where acquisitions have none."""

    score: float
    threshold: float | None


@dataclass(frozen=True)
class Member:
    """What one stack of a couple says of the same time. `flagged`: it has flagged that time by itself."""

    stack: str
    evidence: EvidenceKind
    pair: str
    after: int
    score: float
    model: str
    threshold: float | None
    flagged: bool


@dataclass(frozen=True)
class EpisodeTold:
    """The flag's episode as it stands after the night; see `flags.machine.Episode`."""

    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    pairs_over: int
    cleared: date | None
    withdrawn: bool = False


@dataclass(frozen=True)
class Reliability:
    """How often this stack raises flags on quiet ground and what it detects: the part of its calibration that is told."""

    why: str
    years: float
    false_alarms: Estimate | None
    detection: Mapping[Sample, Estimate]
    detectability: Detectability | None

    @classmethod
    def of(cls, calibration: Calibration) -> Reliability:
        """From the stack's calibration."""
        return cls(**{one.name: getattr(calibration, one.name) for one in fields(cls)})


@dataclass(frozen=True)
class Payload:
    """One notice. `pair` names what was assessed (a pair or an interval), `after` the acquisitions after it that were seen.

    `alone` maps a date ``YYYYMMDD`` to what that acquisition shows alone, None where that is not known yet; `members` are a
    couple's two stacks. `percentile` is the part of quiet scores below this one, in percent, None where there are none.
    """

    kind: str
    stack: str
    gvp: int
    volcano: str
    lat: float
    lon: float
    evidence: EvidenceKind
    pair: str
    after: int
    score: float
    threshold: float
    percentile: float | None
    episode: EpisodeTold
    policy: str
    calibration: Reliability
    model: str
    snapshot: str
    as_of: date
    pair_age_days: int
    alone: Mapping[str, Alone | None] = field(default_factory=dict)
    members: tuple[Member, ...] = ()

    @property
    def outcome(self) -> str:
        """What became of the flag: raised, cleared or withdrawn."""
        return "withdrawn" if self.episode.withdrawn and self.kind == "cleared" else self.kind

    def as_dict(self) -> dict[str, object]:
        """The JSON form."""
        told = self.calibration
        own = {
            "false_alarms": _plain(told.false_alarms),
            "detection": {str(sample): _plain(rate) for sample, rate in told.detection.items()},
            "years": told.years,
            "why": told.why,
            "detectability": None if told.detectability is None else told.detectability.as_dict(),
        }
        content = {one.name: getattr(self, one.name) for one in fields(self)}
        return (
            {"version": VERSION}
            | content
            | {
                "evidence": self.evidence.value,
                "episode": {name: _day(value) for name, value in asdict(self.episode).items()},
                "calibration": own,
                "as_of": self.as_of.isoformat(),
                "alone": {day: None if one is None else asdict(one) for day, one in self.alone.items()},
                "members": [{**asdict(one), "evidence": one.evidence.value} for one in self.members],
            }
        )

    @property
    def text(self) -> str:
        """The JSON form as text."""
        return json.dumps(self.as_dict(), allow_nan=False)

    @classmethod
    def read(cls, text: str) -> Payload:
        """From the JSON text of this version or an earlier one: notices wait in the outbox across an upgrade."""
        content: JsonObject = json.loads(text)
        content.pop("version", None)
        told, episode = content["calibration"], content["episode"]
        days = {name: date.fromisoformat(episode[name]) for name in ("since", "until", "cleared") if episode[name]}
        known = {one.name for one in fields(EpisodeTold)}
        alarms, smallest = told["false_alarms"], told.get("detectability")
        return cls(
            **content
            | {
                "evidence": EvidenceKind(content.get("evidence", EvidenceKind.PAIR)),
                "after": content.get("after", 0),
                "episode": EpisodeTold(**{name: value for name, value in (episode | days).items() if name in known}),
                "calibration": Reliability(
                    why=told["why"],
                    years=told["years"],
                    false_alarms=Estimate(*alarms) if alarms else None,
                    detection={Sample.parse(name): Estimate(*rate) for name, rate in told["detection"].items()},
                    detectability=Detectability.of(smallest) if smallest else None,
                ),
                "as_of": date.fromisoformat(content["as_of"]),
                "alone": {day: Alone(**one) if one else None for day, one in (content.get("alone") or {}).items()},
                "members": tuple(_member(one) for one in content.get("members") or ()),
            }
        )


def _member(content: JsonObject) -> Member:
    return Member(**{"flagged": False, **content, "evidence": EvidenceKind(content["evidence"])})


def _plain(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]


def _day(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
