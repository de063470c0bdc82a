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
from insar_anomaly.evidence.moved import Moved
from insar_anomaly.names import EvidenceKind, JsonObject, later_of, later_of_both

VERSION = 3
"""Of the JSON form. 1: no ``version``; first assessments under keys such as ``4 cm at once``. 2: without what moved, the
return period and the other stacks of the date."""


OF_ENDS = ("cleared", "withdrawn")
"""Kinds of notices that tell of a flag's end."""


@dataclass(frozen=True)
class Alone:
    """What one acquisition shows alone. `threshold` is None where acquisitions have none."""

    score: float
    threshold: float | None


@dataclass(frozen=True)
class Member:
    """What one stack of a couple says of the same time. `flagged`: it has flagged that time by itself. `motion` is what it
    shows of the ground; None where that could not be measured."""

    stack: str
    evidence: EvidenceKind
    pair: str
    after: int
    score: float
    model: str
    threshold: float | None
    flagged: bool
    motion: Moved | None = None

    @property
    def later(self) -> int:
        """Acquisitions after the interval, its own second one not among them."""
        return later_of(self.evidence, self.after)


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
    """One notice. `pair` names what was assessed (a pair or an interval), `after` the acquisitions that were seen from its
    second one on, that one included; see `later`.

    `alone` maps a date ``YYYYMMDD`` to what that acquisition shows alone, None where that is not known yet; `members` are a
    couple's two stacks. `percentile` is the part of quiet scores below this one, in percent, None where there are none.
    `unmeasured_summits` names those of the stacks that have not measured the summit in their last acquisitions, and
    `partly_measured` those that have measured a part of the box only, with that part, 0 to 1.

    `motion` is what moved, measured when the notice is sent (for a couple, by the stack that sees it better), and `before`
    the same as the flag's last notice told it; None where it cannot be measured. `growth` says by which of "peak", "area"
    and "direction" a flag has escalated. On quiet ground the stack reaches the score once in `return_period_years`, within
    the 95 % range from `return_period_low` to `return_period_high`; what is told lies above the `asked_return_period_years`.
    `area_over_km2` is the ground whose score is over the threshold, `before_over_km2` that of the flag's last notice;
    `agrees` are flags of the other direction that share the flag's time.
    `others_over` of `others_seen` other stacks of the same acquisition date are over their thresholds. None: not known.
    `link` is made when the notice is sent and stands in its text alone: who has it can act on the flag.
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
    unmeasured_summits: tuple[str, ...] = ()
    partly_measured: Mapping[str, float] = field(default_factory=dict)
    motion: Moved | None = None
    before: Moved | None = None
    growth: tuple[str, ...] = ()
    return_period_years: float | None = None
    return_period_low: float | None = None
    return_period_high: float | None = None
    asked_return_period_years: float | None = None
    area_over_km2: float | None = None
    before_over_km2: float | None = None
    agrees: tuple[str, ...] = ()
    others_over: int | None = None
    others_seen: int | None = None
    link: str | None = None

    @property
    def flag(self) -> str:
        """The flag's name in commands: ``gvp/frame:number``."""
        return f"{self.stack}:{self.episode.number}"

    @property
    def later(self) -> int:
        """Acquisitions strictly after what was assessed that were seen."""
        if self.members:
            return later_of_both([(one.pair, one.after) for one in self.members])
        return later_of(self.evidence, self.after)

    @property
    def ended(self) -> date | None:
        """The day on which the flag had ended when the notice was sent; None where it had not, or this is what is told."""
        return None if self.kind in OF_ENDS else self.episode.cleared

    @property
    def outcome(self) -> str:
        """What became of the flag: the kind of the notice, or withdrawn where nothing speaks for a cleared flag any more."""
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
        content = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "link"}
        return (
            {"version": VERSION}
            | content
            | {
                "evidence": self.evidence.value,
                "episode": {name: _day(value) for name, value in asdict(self.episode).items()},
                "calibration": own,
                "as_of": self.as_of.isoformat(),
                "alone": {day: None if one is None else asdict(one) for day, one in self.alone.items()},
                "unmeasured_summits": list(self.unmeasured_summits),
                "partly_measured": dict(self.partly_measured),
                "members": [_member_as_dict(one) for one in self.members],
                "motion": self.motion and self.motion.as_dict(),
                "before": self.before and self.before.as_dict(),
                "growth": list(self.growth),
                "agrees": list(self.agrees),
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
                "unmeasured_summits": tuple(content.get("unmeasured_summits") or ()),
                "partly_measured": dict(content.get("partly_measured") or {}),
                "members": tuple(_member(one) for one in content.get("members") or ()),
                "motion": _moved(content.get("motion")),
                "before": _moved(content.get("before")),
                "growth": tuple(content.get("growth") or ()),
                "agrees": tuple(content.get("agrees") or ()),
            }
        )


def _member(content: JsonObject) -> Member:
    typed = {"evidence": EvidenceKind(content["evidence"]), "motion": _moved(content.get("motion"))}
    return Member(**{"flagged": False, **content, **typed})


def _member_as_dict(one: Member) -> dict[str, object]:
    typed = {"evidence": one.evidence.value, "motion": one.motion and one.motion.as_dict()}
    return {each.name: getattr(one, each.name) for each in fields(one)} | typed


def _moved(content: JsonObject | None) -> Moved | None:
    return None if content is None else Moved.of(content)


def _plain(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]


def _day(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value
