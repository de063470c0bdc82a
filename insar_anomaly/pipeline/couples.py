"""Couples of an ascending and a descending frame: their intervals scored together, under a threshold of the couple's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from insar_anomaly import __version__
from insar_anomaly.calibration import threshold as calibrate
from insar_anomaly.calibration.directions import trial
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import InsarAnomalyError, Verdict
from insar_anomaly.evidence.directions import Joint, joined
from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.ledger.records import ModelRow, ScoredAssessment, ScoreRow
from insar_anomaly.names import Couple, EvidenceKind, Interval, Period
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.judge import Judge
from insar_anomaly.pipeline.lapsed import corrected, take_back
from insar_anomaly.pipeline.pictures import draw_calibration
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count


def score_couples(s: Installation, run: Run, period: Period | None = None) -> None:
    """Score what is new of every couple of which both frames have calibrated intervals; nothing is read but the ledger."""
    period = period or Period(last=run.as_of)
    for couple in s.by_couple:
        try:
            model = _model(s, run, couple)
            if model is None:
                if s.ledger.episodes(couple, open_only=True):
                    run.warn(
                        f"{couple}: its flag stays open: one of its frames has no threshold for intervals any more; fit it"
                    )
                continue
            known = s.ledger.scored(couple, model.model)
            every = joint_assessments(s, couple, period)
            if any(corrected(s, stack) for stack in members(couple)):
                take_back(s, couple, model, {(one.name, one.after) for one in every}, period)
            new = [one for one in every if known.get((one.name, one.after)) != one.inputs]
            judge = Judge.of(model)
            s.ledger.record_scores(couple, [judge(_row(one, model)) for one in new if period.holds(one.name)])
            run.counts[Count.SCORED_DIRECTIONS] += len(new)
        except InsarAnomalyError as problem:
            run.fail(couple, "assess", problem)


def publish_couples(s: Installation, run: Run) -> None:
    """Calibrate every couple of which both frames have calibrated intervals, so that all thresholds are there at once."""
    for couple in s.by_couple:
        try:
            _model(s, run, couple)
        except InsarAnomalyError as problem:
            run.fail(couple, "fit", problem)


def joint_assessments(s: Installation, couple: str, period: Period) -> list[Joint]:
    """Every joint assessment of a couple that could be made by the end of the period."""
    views = []
    for stack in members(couple):
        rows = s.ledger.assessments(stack, EvidenceKind.INTERVAL)
        views.append(
            [
                assessment
                for row in rows
                if (assessment := _assessed(row)) and (period.last is None or assessment.seen <= period.last)
            ]
        )
    return sorted(joined(*views), key=lambda one: (one.seen, one.last, one.after))


def members(couple: str) -> tuple[str, str]:
    """The two stacks of a couple, ascending first."""
    ascending, descending = Couple.of(couple).members
    return str(ascending), str(descending)


def _assessed(row: ScoredAssessment) -> Assessed | None:
    interval = Interval.parse(row.pair)
    if interval is None or row.score is None or row.seen is None:
        return None
    return Assessed(interval.first, interval.last, row.after, row.seen, row.score)


def _row(one: Joint, model: ModelRow) -> ScoreRow:
    return ScoreRow(
        pair=one.name,
        model=model.model,
        score=one.score,
        threshold=model.threshold,
        verdict=Verdict.NOT_SCORABLE,  # until it is judged
        percentile=None,
        snapshot=model.snapshot,
        after=one.after,
        inputs=one.inputs,
        seen=one.seen,
    )


def _model(s: Installation, run: Run, couple: str) -> ModelRow | None:
    """The couple's model and threshold, published anew where one of its frames has a new model; None without both."""
    both = [s.ledger.current(stack, EvidenceKind.INTERVAL) for stack in members(couple)]
    first, second = both
    if first is None or second is None or first.threshold is None or second.threshold is None:
        return None
    target = s.target.out_of_sample  # in-sample scores of two frames together do not exist
    settings = json.dumps({"members": [first.model, second.model], "target": asdict(target)}, sort_keys=True)
    identity = hashlib.sha256(f"{couple} {settings}".encode()).hexdigest()[:16]
    current = s.ledger.current(couple, EvidenceKind.DIRECTIONS)
    if current is not None and current.model == identity:
        return current
    chosen = calibrate.choose(trial(*(Calibration.read(one.calibration).assessments for one in (first, second))), target)
    made = replace(
        first,
        model=identity,
        settings=settings,
        fit_from=max(first.fit_from, second.fit_from),
        fit_to=min(first.fit_to, second.fit_to),
        pairs=len(chosen.negatives),
        snapshot=f"{first.snapshot}+{second.snapshot}",
        version=__version__,
        threshold=chosen.threshold,
        policy=target.policy,
        calibration=chosen.text,
        why=chosen.why,
        evidence=EvidenceKind.DIRECTIONS,
    )
    s.ledger.publish(couple, made)
    try:
        draw_calibration(s, couple, EvidenceKind.DIRECTIONS, chosen)
    except OSError as problem:
        run.warn(f"{couple}: its calibration is not drawn: {problem}")
    return made
