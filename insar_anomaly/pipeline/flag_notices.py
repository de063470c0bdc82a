"""The notices of flags, as they go into the outbox: which of a night's are told, through which channels, what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Literal

from insar_anomaly import notify
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence.directions import Joint
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.outbox import OWED
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, NewNotice, ScoredAssessment, ScoreRow
from insar_anomaly.names import Acquisition, EvidenceKind, Interval, Pair, stamp
from insar_anomaly.notify.payload import Alone, EpisodeTold, Member, Payload, Reliability
from insar_anomaly.pipeline.couples import members as members_of
from insar_anomaly.pipeline.freshness import Sight, sight_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.run import Run


@dataclasses.dataclass(frozen=True)
class Rules:
    """What the settings say of this night's flags and notices of one volcano."""

    as_of: date
    clear_after_days: int
    notice_max_age_days: int
    channels: Mapping[str, notify.Reach]
    """Every destination of the volcano's notices, by its name in the outbox; true where somebody gets them there."""
    unsent: str | None = None
    """Why notices are written down and not sent; None where they are sent."""

    @classmethod
    def of(cls, s: Installation, run: Run, volcano: Volcano) -> Rules:
        settings, reached = s.config.flags, notify.reached(s.config, volcano)
        return cls(run.as_of, settings.clear_after_days, settings.notice_max_age_days, reached, run.unsent)


@dataclasses.dataclass(frozen=True)
class Teller:
    """Writes the notices of one stack's flags. A pure function of what it holds: all of it was read before."""

    rules: Rules
    stack: str
    volcano: Volcano
    model: ModelRow
    telling: Telling
    alone: Mapping[str, ScoredAssessment] = dataclasses.field(default_factory=dict)
    """Date -> what the acquisition shows alone."""
    members: Mapping[tuple[str, int], Joint] = dataclasses.field(default_factory=dict)
    """A couple's joint assessments."""
    told: Mapping[str, Sequence[EpisodeRow]] = dataclasses.field(default_factory=dict)
    """Episodes of a couple's members that were not withdrawn, by stack."""
    intervals: Mapping[str, ModelRow | None] = dataclasses.field(default_factory=dict)
    """Current models of intervals of a couple's members, by stack."""
    sight: Sight = dataclasses.field(default_factory=Sight)
    """What its stacks have not measured of late."""
    agrees: Sequence[str] = ()
    """Flags of the other direction that share the flag's time."""

    def too_old(self, notice: flags.Notice) -> bool:
        """True where a flag was raised, or grew, so long after its time that nobody is woken for it.

        Who was told that a flag is withdrawn is told that it stands again, however old it is.
        """
        return (
            notice.kind in ("raised", "escalated")
            and (self.rules.as_of - notice.episode.until).days > self.rules.notice_max_age_days
        )

    def in_order(
        self, told: Sequence[flags.Notice], scores: Sequence[ScoreRow], *, old: Collection[flags.Notice], closed: set[int]
    ) -> Iterator[NewNotice]:
        """The notices one after the other, so that what follows an owed one finds it in the outbox; the `old` are owed."""
        for notice in told:
            new = self.outbox([notice], scores, closed=closed)
            yield from held_back(new) if notice in old else new

    def outbox(
        self, notices: Sequence[flags.Notice], scores: Sequence[ScoreRow], *, closed: Collection[int]
    ) -> list[NewNotice]:
        """The notices, once per channel; a cleared one only where the raised one was sent."""
        # a raised flag is told by the assessment that is furthest over, a cleared one by the last assessment
        furthest, last = {r.pair: r for r in sorted(scores, key=_excess)}, {r.pair: r for r in scores}
        new = []
        for notice in notices:
            row = (last if notice.kind == "cleared" else furthest)[notice.pair]
            told = self._payload(notice, row)
            stem, payload = f"{self.stack}:{notice.episode.number}", told.text
            what = _named(notice, row, closed=notice.episode.number in closed)
            for name, reach in ((name, reach) for name, reach in self.rules.channels.items() if reach.takes(told.outcome)):
                after = f"{stem}:raised:{name}" if notice.kind != "raised" and reach.takes("raised") else None
                new.append(NewNotice(f"{stem}:{what}:{name}", name, notice.kind, payload, after, self.rules.unsent))
        return new

    def unheard(self) -> tuple[str, ...]:
        """Words on the channels that a raised flag does not get through."""
        words = [
            f"{self.stack}: channel {name} has no recipients and the volcano has no contacts: nothing is sent"
            for name, reached in self.rules.channels.items()
            if not reached
        ]
        nobody = f"{self.stack}: a flag was raised and no notice is sent: no [[channel]] reaches anybody"
        return (*words,) if any(self.rules.channels.values()) else (nobody, *words)

    def _payload(self, notice: flags.Notice, row: ScoreRow) -> Payload:
        # an assessment that rests on nothing any more has no score: the flag's highest one is what is taken back
        score = notice.episode.peak_score if row.score is None else row.score
        threshold = notice.episode.threshold if row.threshold is None else row.threshold
        rare = self.telling.tail.period(score) if self.telling.tail else None
        return Payload(
            kind=notice.kind,
            stack=self.stack,
            gvp=self.volcano.gvp,
            volcano=self.volcano.name,
            lat=self.volcano.lat,
            lon=self.volcano.lon,
            evidence=self.model.evidence,
            pair=notice.pair,
            after=row.after,
            score=score,
            threshold=threshold,
            percentile=row.percentile,
            episode=_told(notice.episode),
            policy=self.model.policy,
            calibration=Reliability.of(Calibration.read(self.model.calibration)),
            model=row.model,
            snapshot=row.snapshot,
            as_of=self.rules.as_of,
            pair_age_days=(self.rules.as_of - Pair.of(notice.pair).last).days,
            alone=self._alone(notice.pair) if self.model.evidence is EvidenceKind.INTERVAL else {},
            members=tuple(self._members(notice, row.after)),
            unmeasured_summits=self.sight.unmeasured,
            partly_measured=self.sight.partly,
            return_period_years=rare.value if rare else None,
            return_period_low=rare.low if rare else None,
            return_period_high=rare.high if rare else None,
            asked_return_period_years=self.telling.years,
            growth=tuple(one.value for one in notice.growth),
            area_over_km2=row.area,
            agrees=tuple(self.agrees),
        )

    def _members(self, notice: flags.Notice, after: int) -> Iterator[Member]:
        """What a couple's two stacks say of a joint assessment, and whether each has flagged its time; none for a stack."""
        joint, span = self.members.get((notice.pair, after)), notice.episode
        for stack, one in zip(members_of(self.stack), joint.members, strict=True) if joint else ():
            model = self.intervals.get(stack)
            yield Member(
                stack=stack,
                evidence=EvidenceKind.INTERVAL,
                pair=one.name,
                after=one.after,
                score=one.score,
                model=model.model if model else "",
                threshold=model.threshold if model else None,
                flagged=any(row.since < span.until and span.since < row.until for row in self.told.get(stack, ())),
            )

    def _alone(self, interval: str) -> dict[str, Alone | None]:
        """What the interval's two acquisitions show alone, by date; None where that is not known yet."""
        out: dict[str, Alone | None] = {}
        for day in map(stamp, Interval.of(interval).days):
            row = self.alone.get(day)
            out[day] = None if row is None or row.score is None else Alone(row.score, row.threshold)
        return out


def held_back(notices: Sequence[NewNotice]) -> list[NewNotice]:
    """The same notices, written down and not sent: their flag was too old for them. `pipeline.owed` says who sends them."""
    return [notice._replace(dropped=OWED) for notice in notices]


def alone_of(s: Installation, run: Run, stack: str) -> dict[str, ScoredAssessment]:
    """Date -> what the stack's acquisition of that date shows alone, as far as this night could know."""
    rows = s.ledger.assessments(stack, EvidenceKind.ACQUISITION)
    known = [row for row in rows if row.seen is None or row.seen <= run.as_of]
    return {stamp(Acquisition.of(row.pair).first): row for row in known}


def told_again(
    s: Installation, run: Run, row: EpisodeRow, score: ScoreRow, *, kind: Literal["raised", "cleared"]
) -> list[NewNotice]:
    """The notices of a raised flag, or of its end, as this night would write them: one for each channel that somebody hears.

    Parameters
    ----------
    row : the flag's episode as it stands
    score : the assessment that it is told by
    """
    volcano, model = (s.by_stack | s.by_couple)[row.stack], s.ledger.model(row.stack, row.model)
    if model is None:
        raise StoreFailed(f"{row.stack}: the ledger has no model {row.model}, by which flag {row.number} was raised")
    alone = alone_of(s, run, row.stack) if row.stack in s.by_stack else {}
    sight = sight_of(s, run, [row.stack] if row.stack in s.by_stack else members_of(row.stack))
    telling = Telling.of(model, level_of(s))
    teller = Teller(Rules.of(s, run, volcano), row.stack, volcano, model, telling, alone=alone, sight=sight)
    return teller.outbox([flags.Notice(kind, row.episode, score.pair)], [score], closed=())


def unheard_of(state: flags.State, notices: Sequence[flags.Notice]) -> flags.State:
    """The episodes after one night's notices: one that was raised and withdrawn in it is not told, and so not withdrawn."""
    raised = {notice.episode.number for notice in notices if notice.kind == "raised"}
    return flags.State(
        tuple(dataclasses.replace(e, withdrawals=0) if e.number in raised and e.withdrawn else e for e in state.episodes)
    )


def of_tonight(notices: Sequence[flags.Notice], now: Mapping[int, flags.Episode]) -> list[flags.Notice]:
    """What is told of one night: each notice tells of its episode as it stands `now`, after all of the night's evidence.

    A flag that was raised and withdrawn in one night is not told, nor one that was withdrawn and stands again, or the other
    way round. One that was raised and grew is told once, one that grew more than once by the last time.
    """
    by_flag: dict[int, list[flags.Notice]] = {}
    for notice in notices:
        by_flag.setdefault(notice.episode.number, []).append(notice)
    chosen = {id(one): growth for mine in by_flag.values() for one, growth in _worth_telling(mine, now)}
    return [
        dataclasses.replace(notice, episode=now[notice.episode.number], growth=chosen[id(notice)])
        for notice in notices
        if id(notice) in chosen
    ]


def _worth_telling(
    mine: Sequence[flags.Notice], now: Mapping[int, flags.Episode]
) -> list[tuple[flags.Notice, tuple[flags.Growth, ...]]]:
    """Those of one flag's notices of a night that are told, with all that has grown."""
    first, last, episode = mine[0], mine[-1], now[mine[0].episode.number]
    begins = first.kind in ("raised", "reopened")
    if not episode.state.stands:
        return [] if begins else [(last, ())]
    has_ended = last.kind == "cleared" and not episode.state.open
    ended: list[tuple[flags.Notice, tuple[flags.Growth, ...]]] = [(last, ())] if has_ended else []
    if begins:
        return [(first, ()), *ended]
    grown = [notice for notice in mine if notice.kind == "escalated"]
    if not grown or not episode.state.open:
        return ended
    every = {growth for notice in grown for growth in notice.growth}
    return [(grown[-1], tuple(growth for growth in flags.Growth if growth in every))]


def _named(notice: flags.Notice, row: ScoreRow, *, closed: bool) -> str:
    """What a notice has in its key: another word for each that one flag can have, and a number where it stands again."""
    # a flag that was cleared, and told so, may lose its evidence long after
    kind = "withdrawn" if notice.kind == "cleared" and closed else str(notice.kind)
    if flags.Growth.DIRECTION in notice.growth:
        kind = f"{kind}:{flags.Growth.DIRECTION}"
    elif notice.kind == "escalated":  # it may grow more than once
        kind = f"{kind}:{row.pair}:{row.after}"
    again = notice.episode.withdrawals - notice.episode.withdrawn
    return f"{kind}:{again}" if again > 0 and kind != "raised" else kind


def _excess(row: ScoreRow) -> float:
    return (row.score or 0.0) - (row.threshold or 0.0)


def _told(episode: flags.Episode) -> EpisodeTold:
    """What a notice tells of its episode."""
    kept = {one.name: getattr(episode, one.name) for one in dataclasses.fields(EpisodeTold) if one.name != "withdrawn"}
    return EpisodeTold(**kept, withdrawn=not episode.state.stands)
