"""Scores -> flags -> outbox, in one transaction per stack."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from insar_anomaly import notify
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.evidence.directions import Joint
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, NewNotice, ScoreRow
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
            alone = {stamp(Acquisition.of(row["pair"]).first): row for row in s.ledger.assessments(stack, "acquisition")}
            step = _Step(s, run, stack, volcano, model, alone=alone)
            run.counts[Count.NEW_NOTICES] += s.ledger.advance(stack, model.model, step)
        else:  # its scores are taken into account too, so that they raise nothing once flags rest on them
            s.ledger.advance(stack, model.model, _as_they_were)


def _advance_couple(s: Installation, run: Run, couple: str, volcano: Volcano) -> None:
    """As a stack, after its members; its notices say which of them have flagged the same time."""
    model = s.ledger.current(couple, "directions")
    if model is None:
        return
    members = {(one.name, one.after): one for one in joint_assessments(s, couple, Period(last=run.as_of))}
    told = {stack: [row for row in s.ledger.episodes(stack) if not row["withdrawn"]] for stack in members_of(couple)}
    step = _Step(s, run, couple, volcano, model, members=members, told=told)
    run.counts[Count.NEW_NOTICES] += s.ledger.advance(couple, model.model, step)


@dataclasses.dataclass(frozen=True)
class _Step:
    """One stack's way from (episodes, new scores) to (episodes, notices), for `Ledger.advance`."""

    screening: Installation
    run: Run
    stack: str
    volcano: Volcano
    model: ModelRow
    alone: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Date -> what the acquisition shows alone, as `Ledger.assessments` says."""
    members: Mapping[tuple[str, int], Joint] = dataclasses.field(default_factory=dict)
    """A couple's joint assessments."""
    told: Mapping[str, Sequence[Mapping[str, Any]]] = dataclasses.field(default_factory=dict)
    """Episodes of a couple's members that were not withdrawn, by stack."""

    def __call__(
        self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]
    ) -> tuple[list[EpisodeRow], list[NewNotice]]:
        made_by = {row.number: row.model for row in before}
        state = flags.State(tuple(_episode(row) for row in before))
        evidence, over = [], set(counted)
        for row in scores:  # the assessments of one interval, first assessment first, count as one
            if one := _evidence(row, counted=row.pair in over):
                evidence.append(one)
                over |= {row.pair} if one.over else set()
        days = self.screening.config.flags.clear_after_days
        state, notices = flags.run(state, evidence, clear_after_days=days)
        rows = [_row(e, made_by.get(e.number, self.model.model)) for e in state.episodes]
        # a raised flag is told by the assessment that is furthest over, a cleared one by the last assessment
        by_kind = {"raised": {r.pair: r for r in sorted(scores, key=_excess)}, "cleared": {r.pair: r for r in scores}}
        # a notice tells of its episode as it stands after all of tonight's pairs
        now = {e.number: e for e in state.episodes}
        told = [dataclasses.replace(notice, episode=now[notice.episode.number]) for notice in notices]
        fleeting = {n.episode.number for n in told if n.kind == "raised" and n.episode.withdrawn}
        told = [notice for notice in told if notice.episode.number not in fleeting]  # raised and withdrawn in one night
        return rows, [new for notice in told for new in self._outbox(notice, by_kind[notice.kind])]

    def _outbox(self, notice: flags.Notice, scores: Mapping[str, ScoreRow]) -> list[NewNotice]:
        """The notice, once per channel; a cleared one only where the raised one was sent."""
        raised, limit = notice.kind == "raised", self.screening.config.flags.notice_max_age_days
        if raised and (self.run.as_of - notice.episode.until).days > limit:
            self.run.counts[Count.OLD_FLAGS] += 1
            return []
        payload = self._payload(notice, scores[notice.pair]).text
        stem = f"{self.stack}:{notice.episode.number}"
        channels = notify.named(self.screening.config.channel)
        names = [name for name, channel in channels.items() if notify.reaches(channel, self.volcano.contacts)]
        if raised and not names:
            self.run.warn(f"{self.stack}: a flag was raised and nobody is told: no [[channel]] reaches anyone for it")
        for name in channels.keys() - set(names) if raised else ():
            self.run.warn(f"{self.stack}: channel {name} has no recipients and the volcano has no contacts: nothing is sent")
        after = {name: None if raised else f"{stem}:raised:{name}" for name in names}
        return [NewNotice(f"{stem}:{notice.kind}:{name}", name, notice.kind, payload, after[name]) for name in names]

    def _payload(self, notice: flags.Notice, row: ScoreRow) -> Payload:
        assert row.score is not None
        assert row.threshold is not None
        known = {one.name for one in dataclasses.fields(EpisodeTold)}
        told = {name: value for name, value in vars(notice.episode).items() if name in known}
        return Payload(
            kind=notice.kind,
            stack=self.stack,
            gvp=self.volcano.gvp,
            volcano=self.volcano.name,
            lat=self.volcano.lat,
            lon=self.volcano.lon,
            evidence=EvidenceKind(self.model.evidence),
            pair=notice.pair,
            after=row.after,
            score=row.score,
            threshold=row.threshold,
            percentile=row.percentile,
            episode=EpisodeTold(**told),
            policy=self.model.policy,
            calibration=Reliability.of(Calibration.read(self.model.calibration)),
            model=row.model,
            snapshot=row.snapshot,
            as_of=self.run.as_of,
            pair_age_days=(self.run.as_of - Pair.of(notice.pair).last).days,
            alone=self._alone(notice.pair) if self.model.evidence == EvidenceKind.INTERVAL else {},
            members=tuple(self._members(notice, row.after)),
        )

    def _members(self, notice: flags.Notice, after: int) -> Iterator[Member]:
        """What a couple's two stacks say of a joint assessment, and whether each has flagged its time; none for a stack."""
        joint, span = self.members.get((notice.pair, after)), notice.episode
        for stack, one in zip(members_of(self.stack), joint.members, strict=True) if joint else ():
            model = self.screening.ledger.current(stack, EvidenceKind.INTERVAL)
            yield Member(
                stack=stack,
                evidence=EvidenceKind.INTERVAL,
                pair=one.name,
                after=one.after,
                score=one.score,
                model=model.model if model else "",
                threshold=model.threshold if model else None,
                flagged=any(row["since"] < span.until and span.since < row["until"] for row in self.told.get(stack, ())),
            )

    def _alone(self, interval: str) -> dict[str, Alone | None]:
        """What the interval's two acquisitions show alone, by date; None where that is not known yet."""
        out: dict[str, Alone | None] = {}
        for day in map(stamp, (Interval.of(interval).first, Interval.of(interval).last)):
            row = self.alone.get(day, {})
            out[day] = Alone(row["score"], row["threshold"]) if row.get("score") is not None else None
        return out


def _as_they_were(
    before: list[EpisodeRow],
    scores: list[ScoreRow],  # noqa: ARG001
    counted: set[str],  # noqa: ARG001
) -> tuple[list[EpisodeRow], list[NewNotice]]:
    """The step of evidence that flags do not rest on."""
    return before, []


def _excess(row: ScoreRow) -> float:
    return (row.score or 0.0) - (row.threshold or 0.0)


def _episode(row: EpisodeRow) -> flags.Episode:
    kept = {f.name: getattr(row, f.name) for f in dataclasses.fields(flags.Episode)}
    return flags.Episode(**kept | {"standing": frozenset(json.loads(row.standing))})


def _row(episode: flags.Episode, model: str) -> EpisodeRow:
    kept = dataclasses.asdict(episode) | {"standing": json.dumps(sorted(episode.standing))}
    return EpisodeRow(**kept, model=model)


def _evidence(row: ScoreRow, *, counted: bool) -> flags.Evidence | None:
    span = Pair.parse(row.pair)
    if span is None or row.score is None or row.threshold is None:
        return None
    return flags.Evidence(span.first, span.last, row.score, row.threshold, counted, row.seen if row.after else None)
