"""Scores -> flags -> outbox, in one transaction per stack."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date

from insar_anomaly import notify
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.evidence.directions import Joint
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.outbox import OWED
from insar_anomaly.ledger.records import Decision, EpisodeRow, ModelRow, NewNotice, ScoredAssessment, ScoreRow
from insar_anomaly.names import Acquisition, EvidenceKind, Interval, Pair, Period, stamp
from insar_anomaly.notify.payload import Alone, EpisodeTold, Member, Payload, Reliability
from insar_anomaly.pipeline.amended import Remade, amended
from insar_anomaly.pipeline.couples import joint_assessments
from insar_anomaly.pipeline.couples import members as members_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count


def flag_stacks(s: Installation, run: Run) -> None:
    """Take every stack's new scores into account: flags are raised and cleared, notices put into the outbox."""
    _each(s, run, s.by_stack, _advance)


def flag_couples(s: Installation, run: Run) -> None:
    """The same for couples, after their members."""
    _each(s, run, s.by_couple, _advance_couple)


def _each(
    s: Installation,
    run: Run,
    stacks: Mapping[str, Volcano],
    advance: Callable[[Installation, Run, str, Volcano], None],
) -> None:
    for done, (stack, volcano) in enumerate(stacks.items(), 1):
        try:
            advance(s, run, stack, volcano)
        except InsarAnomalyError as problem:
            run.fail(stack, "flag", problem)
        s.watch("flag", done, len(stacks))


def _advance(s: Installation, run: Run, stack: str, volcano: Volcano) -> None:
    with s.ledger.together():  # one wait for the disk, not one for each kind of evidence
        _advance_each(s, run, stack, volcano)


def _advance_each(s: Installation, run: Run, stack: str, volcano: Volcano) -> None:
    current = s.ledger.all_current(stack)
    resting, _ = s.resting(stack, current)
    for model in filter(None, map(current.get, s.evidence)):
        if resting is not None and model.model == resting.model:
            rows = s.ledger.assessments(stack, EvidenceKind.ACQUISITION)
            known = [row for row in rows if row.seen is None or row.seen <= run.as_of]
            alone = {stamp(Acquisition.of(row.pair).first): row for row in known}
            remade, blind = Remade.of(s, stack, model, rests_on=[stack]), _unmeasured(s, run, [stack])
            rules, telling = _Rules.of(s, run, volcano), Telling.of(model, level_of(s))
            step = _Step(rules, stack, volcano, model, telling, alone=alone, remade=remade, unmeasured=blind)
            _commit(s, run, step)
        else:  # its scores are taken into account too, so that they raise nothing once flags rest on them
            s.ledger.consider(stack, model.model, seen=run.seen)


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
        Telling.of(model, level_of(s)),
        members={(one.name, one.after): one for one in joint_assessments(s, couple, Period(last=run.as_of))},
        told={stack: [row for row in s.ledger.episodes(stack) if row.state.stands] for stack in members_of(couple)},
        intervals={stack: s.ledger.current(stack, EvidenceKind.INTERVAL) for stack in members_of(couple)},
        remade=Remade.of(s, couple, model, rests_on=members_of(couple)),
        unmeasured=_unmeasured(s, run, members_of(couple)),
    )
    _commit(s, run, step)


def _unmeasured(s: Installation, run: Run, stacks: Sequence[str]) -> list[str]:
    """Those of the stacks whose summit was not measured of late, as of the run's date."""
    return [stack for stack in stacks if (state := s.ledger.state(stack, run.as_of)) and state.summit_measured is False]


def _commit(s: Installation, run: Run, step: _Step) -> None:
    """Decide and write down in one transaction; what a person should read of it is said after that."""
    new, decision = s.ledger.advance(step.stack, step.model.model, step, seen=run.seen)
    run.counts[Count.NEW_NOTICES if run.unsent is None else Count.UNSENT_NOTICES] += new
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
    channels: Mapping[str, notify.Reach]
    """Every destination of the volcano's notices, by its name in the outbox; true where somebody gets them there."""
    unsent: str | None = None
    """Why notices are written down and not sent; None where they are sent."""

    @classmethod
    def of(cls, s: Installation, run: Run, volcano: Volcano) -> _Rules:
        settings, reached = s.config.flags, notify.reached(s.config, volcano)
        return cls(run.as_of, settings.clear_after_days, settings.notice_max_age_days, reached, run.unsent)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One stack's way from (episodes, new scores) to (episodes, notices), for `Ledger.advance`.

    A pure function of these and of what it holds: all of it was read before.
    """

    rules: _Rules
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
    remade: Remade = dataclasses.field(default_factory=Remade)
    """What was assessed again on corrected pairs."""
    unmeasured: Sequence[str] = ()
    """Those of its stacks that have not measured the summit in their last acquisitions."""

    def __call__(self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]) -> _Decision:
        made_by = {row.number: row.model for row in before}
        state = flags.State(tuple(row.episode for row in before))
        evidence = [self._levelled(one) for one in self.remade.evidence(scores, counted)]
        again = {one.pair for one in evidence if one.again}
        state, notices = flags.run(state, evidence, clear_after_days=self.rules.clear_after_days)
        state = self.remade.with_peaks(state, again)
        rows = [EpisodeRow.of(e, stack=self.stack, model=made_by.get(e.number, self.model.model)) for e in state.episodes]
        now = {e.number: e for e in state.episodes}
        told = _of_tonight(notices, now)
        too_old = [notice for notice in told if self._too_old(notice)]
        closed = {row.number for row in before if not row.state.open}
        return _Decision(
            rows,
            [*self._in_order(told, scores, old=too_old, closed=closed)],
            len(too_old),
            (
                *(self._unheard() if any(notice.kind == "raised" and notice not in too_old for notice in told) else ()),
                *(words for row in before if (words := amended(row, now[row.number], again=bool(again)))),
            ),
        )

    def _levelled(self, one: flags.Evidence) -> flags.Evidence:
        return dataclasses.replace(one, level=self.telling.above(one.threshold), growth=self.telling.growth)

    def _too_old(self, notice: flags.Notice) -> bool:
        """True where a flag was raised, or grew, so long after its time that nobody is woken for it."""
        return notice.kind != "cleared" and (self.rules.as_of - notice.episode.until).days > self.rules.notice_max_age_days

    def _in_order(
        self, told: Sequence[flags.Notice], scores: Sequence[ScoreRow], *, old: Collection[flags.Notice], closed: set[int]
    ) -> Iterator[NewNotice]:
        """The notices one after the other, so that what follows an owed one finds it in the outbox; the `old` are owed."""
        for notice in told:
            new = self._outbox([notice], scores, closed=closed)
            yield from held_back(new) if notice in old else new

    def _outbox(
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
            for name, reach in ((name, reach) for name, reach in self.rules.channels.items() if reach.takes(told.outcome)):
                after = f"{stem}:raised:{name}" if notice.kind != "raised" and reach.takes("raised") else None
                # a flag that was cleared, and told so, may lose its evidence long after
                kind = "withdrawn" if notice.kind == "cleared" and notice.episode.number in closed else notice.kind
                # it may grow more than once
                key = f"{stem}:{kind}:{name}" if kind != "escalated" else f"{stem}:{kind}:{row.pair}:{row.after}:{name}"
                new.append(NewNotice(key, name, notice.kind, payload, after, self.rules.unsent))
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
            unmeasured_summits=tuple(self.unmeasured),
            return_period_years=rare.value if rare else None,
            return_period_low=rare.low if rare else None,
            return_period_high=rare.high if rare else None,
            asked_return_period_years=self.telling.years,
            growth=("peak",) if notice.kind == "escalated" else (),
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


def raised_again(s: Installation, run: Run, row: EpisodeRow, score: ScoreRow) -> list[NewNotice]:
    """The notices of a raised flag as this night would write them, one for each channel that reaches somebody.

    Parameters
    ----------
    row : the flag's episode as it stands
    score : the assessment that it is told by
    """
    volcano, model = (s.by_stack | s.by_couple)[row.stack], s.ledger.model(row.stack, row.model)
    if model is None:
        raise StoreFailed(f"{row.stack}: the ledger has no model {row.model}, by which flag {row.number} was raised")
    step = _Step(_Rules.of(s, run, volcano), row.stack, volcano, model, Telling.of(model, level_of(s)))
    return step._outbox([flags.Notice("raised", row.episode, score.pair)], [score], closed=())


def _of_tonight(notices: Sequence[flags.Notice], now: Mapping[int, flags.Episode]) -> list[flags.Notice]:
    """What is told of one night: each notice tells of its episode as it stands `now`, after all of the night's evidence.

    A flag that was raised and withdrawn in one night is not told; one that was raised and grew is told once, one that grew
    more than once by the last time.
    """
    told = [dataclasses.replace(notice, episode=now[notice.episode.number]) for notice in notices]
    raised = {n.episode.number for n in told if n.kind == "raised"}
    fleeting = {n for n in raised if not now[n].state.stands}
    grown = {n.episode.number: n for n in told if n.kind == "escalated" and n.episode.state.open}
    return [
        n
        for n in told
        if n.episode.number not in fleeting
        and (n.kind != "escalated" or (n.episode.number not in raised and grown.get(n.episode.number) is n))
    ]


def _excess(row: ScoreRow) -> float:
    return (row.score or 0.0) - (row.threshold or 0.0)


def _told(episode: flags.Episode) -> EpisodeTold:
    """What a notice tells of its episode."""
    kept = {one.name: getattr(episode, one.name) for one in dataclasses.fields(EpisodeTold) if one.name != "withdrawn"}
    return EpisodeTold(**kept, withdrawn=not episode.state.stands)
