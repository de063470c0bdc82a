"""Scores -> flags -> outbox, in one transaction per stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from insar_anomaly import notify
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.evidence.directions import Joint
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.records import Decision, EpisodeRow, ModelRow, NewNotice, ScoredAssessment, ScoreRow
from insar_anomaly.names import Acquisition, EvidenceKind, Interval, Pair, Period, stamp
from insar_anomaly.notify.payload import Alone, EpisodeTold, Member, Payload, Reliability
from insar_anomaly.pipeline.couples import joint_assessments
from insar_anomaly.pipeline.couples import members as members_of
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.report.digest import Count


def flag(s: Installation, run: Run) -> None:
    """Take every stack's new scores into account: flags are raised and cleared, notices put into the outbox."""
    stacks, couples = s.by_stack, s.by_couple
    for done, (stack, volcano) in enumerate((stacks | couples).items(), 1):
        try:
            if stack in couples:
                _advance_couple(s, run, stack, volcano)
            else:
                _advance(s, run, stack, volcano)
        except InsarAnomalyError as problem:
            run.fail(stack, "flag", problem)
        s.watch("flag", done, len(stacks) + len(couples))


def _advance(s: Installation, run: Run, stack: str, volcano: Volcano) -> None:
    resting, _ = s.resting(stack)
    for model in filter(None, (s.ledger.current(stack, kind) for kind in s.evidence)):
        if resting is not None and model.model == resting.model:
            rows = s.ledger.assessments(stack, EvidenceKind.ACQUISITION)
            alone = {stamp(Acquisition.of(row.pair).first): row for row in rows}
            _commit(s, run, _Step(_Rules.of(s, run, volcano), stack, volcano, model, alone=alone))
        else:  # its scores are taken into account too, so that they raise nothing once flags rest on them
            s.ledger.advance(stack, model.model, _as_they_were)


def _advance_couple(s: Installation, run: Run, couple: str, volcano: Volcano) -> None:
    """As a stack, after its members; its notices say which of them have flagged the same time."""
    model = s.ledger.current(couple, EvidenceKind.DIRECTIONS)
    if model is None:
        return
    step = _Step(
        _Rules.of(s, run, volcano),
        couple,
        volcano,
        model,
        members={(one.name, one.after): one for one in joint_assessments(s, couple, Period(last=run.as_of))},
        told={stack: [row for row in s.ledger.episodes(stack) if row.state.stands] for stack in members_of(couple)},
        intervals={stack: s.ledger.current(stack, EvidenceKind.INTERVAL) for stack in members_of(couple)},
    )
    _commit(s, run, step)


def _commit(s: Installation, run: Run, step: _Step) -> None:
    """Decide and write down in one transaction; what a person should read of it is said after that."""
    new, decision = s.ledger.advance(step.stack, step.model.model, step)
    run.counts[Count.NEW_NOTICES] += new
    run.counts[Count.OLD_FLAGS] += decision.too_old
    for words in decision.remarks:
        run.warn(words)


@dataclasses.dataclass(frozen=True)
class _Decision(Decision):
    """What follows from one stack's new scores, with what the digest says of it."""

    too_old: int = 0
    """Flags that were raised too long after their time for a notice."""
    remarks: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class _Rules:
    """What the settings say of this night's flags and notices of one volcano."""

    as_of: date
    clear_after_days: int
    notice_max_age_days: int
    channels: Mapping[str, bool]
    """Name of every channel -> whether somebody gets this volcano's notices there."""

    @classmethod
    def of(cls, s: Installation, run: Run, volcano: Volcano) -> _Rules:
        settings, channels = s.config.flags, notify.named(s.config.channel)
        reached = {name: notify.reaches(channel, volcano.contacts) for name, channel in channels.items()}
        return cls(run.as_of, settings.clear_after_days, settings.notice_max_age_days, reached)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One stack's way from (episodes, new scores) to (episodes, notices), for `Ledger.advance`.

    A pure function of these and of what it holds: all of it was read before.
    """

    rules: _Rules
    stack: str
    volcano: Volcano
    model: ModelRow
    alone: Mapping[str, ScoredAssessment] = dataclasses.field(default_factory=dict)
    """Date -> what the acquisition shows alone."""
    members: Mapping[tuple[str, int], Joint] = dataclasses.field(default_factory=dict)
    """A couple's joint assessments."""
    told: Mapping[str, Sequence[EpisodeRow]] = dataclasses.field(default_factory=dict)
    """Episodes of a couple's members that were not withdrawn, by stack."""
    intervals: Mapping[str, ModelRow | None] = dataclasses.field(default_factory=dict)
    """Current models of intervals of a couple's members, by stack."""

    def __call__(self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]) -> _Decision:
        made_by = {row.number: row.model for row in before}
        state = flags.State(tuple(row.episode for row in before))
        evidence, over = [], set(counted)
        for row in scores:  # the assessments of one interval, first assessment first, count as one
            if one := _evidence(row, counted=row.pair in over):
                evidence.append(one)
                over |= {row.pair} if one.over else set()
        state, notices = flags.run(state, evidence, clear_after_days=self.rules.clear_after_days)
        rows = [EpisodeRow.of(e, stack=self.stack, model=made_by.get(e.number, self.model.model)) for e in state.episodes]
        # a notice tells of its episode as it stands after all of tonight's pairs
        now = {e.number: e for e in state.episodes}
        told = [dataclasses.replace(notice, episode=now[notice.episode.number]) for notice in notices]
        fleeting = {n.episode.number for n in told if n.kind == "raised" and not n.episode.state.stands}
        told = [notice for notice in told if notice.episode.number not in fleeting]  # raised and withdrawn in one night
        too_old = [notice for notice in told if self._too_old(notice)]
        told = [notice for notice in told if notice not in too_old]
        return _Decision(
            rows,
            self._outbox(told, scores),
            len(too_old),
            self._unheard() if any(notice.kind == "raised" for notice in told) else (),
        )

    def _too_old(self, notice: flags.Notice) -> bool:
        """True where a flag was raised so long after its time that nobody is woken for it."""
        return notice.kind == "raised" and (self.rules.as_of - notice.episode.until).days > self.rules.notice_max_age_days

    def _outbox(self, notices: Sequence[flags.Notice], scores: Sequence[ScoreRow]) -> list[NewNotice]:
        """The notices, once per channel; a cleared one only where the raised one was sent."""
        # a raised flag is told by the assessment that is furthest over, a cleared one by the last assessment
        by_kind = {"raised": {r.pair: r for r in sorted(scores, key=_excess)}, "cleared": {r.pair: r for r in scores}}
        new = []
        for notice in notices:
            payload = self._payload(notice, by_kind[notice.kind][notice.pair]).text
            stem = f"{self.stack}:{notice.episode.number}"
            for name in (name for name, reached in self.rules.channels.items() if reached):
                after = None if notice.kind == "raised" else f"{stem}:raised:{name}"
                new.append(NewNotice(f"{stem}:{notice.kind}:{name}", name, notice.kind, payload, after))
        return new

    def _unheard(self) -> tuple[str, ...]:
        """Words on the channels that a raised flag does not get through."""
        words = [
            f"{self.stack}: channel {name} has no recipients and the volcano has no contacts: nothing is sent"
            for name, reached in self.rules.channels.items()
            if not reached
        ]
        nobody = f"{self.stack}: a flag was raised and no notice is sent: no [[channel]] reaches anybody"
        return (*words,) if any(self.rules.channels.values()) else (nobody, *words)

    def _payload(self, notice: flags.Notice, row: ScoreRow) -> Payload:
        assert row.score is not None
        assert row.threshold is not None
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
            score=row.score,
            threshold=row.threshold,
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


def _as_they_were(
    before: list[EpisodeRow],
    scores: list[ScoreRow],  # noqa: ARG001
    counted: set[str],  # noqa: ARG001
) -> Decision:
    """The step of evidence that flags do not rest on."""
    return Decision(before)


def _excess(row: ScoreRow) -> float:
    return (row.score or 0.0) - (row.threshold or 0.0)


def _told(episode: flags.Episode) -> EpisodeTold:
    """What a notice tells of its episode."""
    kept = {one.name: getattr(episode, one.name) for one in dataclasses.fields(EpisodeTold) if one.name != "withdrawn"}
    return EpisodeTold(**kept, withdrawn=not episode.state.stands)


def _evidence(row: ScoreRow, *, counted: bool) -> flags.Evidence | None:
    span = Pair.parse(row.pair)
    if span is None or row.score is None or row.threshold is None:
        return None
    return flags.Evidence(span.first, span.last, row.score, row.threshold, counted, row.seen if row.after else None)
