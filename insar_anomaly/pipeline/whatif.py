"""How many flags each volcano would have had with another budget, policy or aim: from the scores that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby

from insar_anomaly.calibration import threshold as calibrate
from insar_anomaly.calibration.again import by_policy
from insar_anomaly.calibration.budget import Level, told_from
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import Verdict
from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.records import ModelRow, ScoredAssessment
from insar_anomaly.names import Pair
from insar_anomaly.pipeline.flag_notices import of_tonight, unheard_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import level_in, level_of, tail_of


@dataclass(frozen=True)
class Policy:
    """What is tried: `budget` false flags with a notice a year of all stacks together, `alarms` flags a year of each stack,
    noted or not, and the policy of this `name` for each stack's threshold, with its aim in [calibrate] and with `alarms`.
    None keeps what the settings say."""

    budget: float | None = None
    alarms: float | None = None
    name: calibrate.Policy | None = None


@dataclass(frozen=True)
class Missing:
    """A stack or couple of which something could not be counted: what is missing, and what a person can do."""

    stack: str
    why: str
    remedy: str


@dataclass(frozen=True)
class Counted:
    """Flags of one volcano, its stacks and couples together, and those of them that make a notice: `now` by the settings,
    `then` by the policy. `years` is the time that was screened, of the stack that was screened longest; `blind_then` counts
    the stacks and couples for which the policy gives no threshold, so that they raise nothing. `missing` says of which
    stacks nothing could be counted, or not what was asked."""

    gvp: int
    name: str
    years: float
    flags_now: int
    notices_now: int
    flags_then: int
    notices_then: int
    blind_then: int = 0
    missing: tuple[Missing, ...] = ()

    @property
    def known(self) -> bool:
        """False where nothing could be counted: its numbers are 0 and say nothing."""
        return self.years > 0


def whatif(s: Installation, policy: Policy, *, as_of: date, years: float) -> list[Counted]:
    """Count the flags of every volcano in the last years, as the flag's machine makes them.

    Only scores of the present models count, and only of what they were not fitted on. A policy of another name gives each
    stack the threshold that a fit by it would, see `calibration.again`. Another `alarms` alone moves each stack's threshold
    along the tail of its quiet scores; stacks without one keep theirs. What a night holds back because many stacks crossed
    together counts as a notice here, and so does what was too old for one. Nothing is written.
    """
    since = as_of - timedelta(days=365.25 * years)
    now = level_of(s)
    then = now if policy.budget is None else level_in(s.ledger, policy.budget)
    out = []
    for volcano in s.volcanoes:
        names = [one for one, owner in (s.by_stack | s.by_couple).items() if owner.gvp == volcano.gvp]
        rows = [_of_stack(s, name, policy, now=now, then=then, period=(since, as_of)) for name in names]
        known = [row for row in rows if not isinstance(row, Missing)]
        missing = [row for row in rows if isinstance(row, Missing) and row.stack in s.by_stack]
        missing += [found for name in names if (found := _unmoved(s, name, policy, then)) is not None]
        longest = max((row.years for row in known), default=0.0)
        counts = [sum(one) for one in zip(*((*row.now, *row.then, row.blind) for row in known), strict=True)] or [0] * 5
        first = tuple({one.stack: one for one in reversed(missing)}.values())
        out.append(replace(Counted(volcano.gvp, volcano.name, longest, *counts), missing=first))
    return sorted(out, key=lambda one: (-one.notices_then, -one.flags_then, one.gvp))


@dataclass(frozen=True)
class _Stack:
    """Flags and notices of one stack, by the settings and by the policy, and the years that were screened; `blind` by it."""

    now: tuple[int, int]
    then: tuple[int, int]
    years: float
    blind: bool


def _of_stack(
    s: Installation, stack: str, policy: Policy, *, now: Level | None, then: Level | None, period: tuple[date, date]
) -> _Stack | Missing:
    """What one stack has and would have had; or what is missing for that."""
    model, _ = s.resting(stack)
    if model is None:
        return Missing(stack, "it is not fitted", "run `insar-anomaly fit`")
    if model.threshold is None:
        return Missing(stack, f"it has no threshold: {model.why}", "run `insar-anomaly fit` on a longer quiet period")
    scores = s.ledger.assessments(stack, model.evidence)
    every = [row for row in scores if _counts(row, period)]
    if not every:
        return _nothing_in(stack, scores, period)
    clear, threshold = s.config.flags.clear_after_days, _threshold(s, model, policy)
    first, last = min(Pair.of(row.pair).first for row in every), max(Pair.of(row.pair).last for row in every)
    return _Stack(
        _raised(every, model.threshold, _from(model, model.threshold, now), clear),
        (0, 0) if threshold is None else _raised(every, threshold, _from(model, threshold, then), clear),
        (last - first).days / 365.25,
        threshold is None,
    )


def _nothing_in(stack: str, scores: Sequence[ScoredAssessment], period: tuple[date, date]) -> Missing:
    """Why a stack with a threshold has no score to count in the period."""
    days = [Pair.of(row.pair).last for row in scores if row.verdict == Verdict.OK and row.score is not None]
    if not days:
        why = "its present model has scored nothing that it was not fitted on"
        return Missing(stack, why, "run `insar-anomaly nightly`, or `insar-anomaly backfill` for the past")
    why = f"it has no score from {period[0]} to {period[1]}; its scores are from {min(days)} to {max(days)}"
    return Missing(stack, why, f"give --as-of {max(days)}, or more --years")


def _unmoved(s: Installation, stack: str, policy: Policy, then: Level | None) -> Missing | None:
    """Why what is tried cannot change the flags of a stack with a threshold; None where it can."""
    model, _ = s.resting(stack)
    asked = policy.budget is not None or (policy.alarms is not None and policy.name is None)
    if not asked or model is None or model.threshold is None:
        return None
    again = "run `insar-anomaly fit` again: an earlier version fitted it without them"
    if tail_of(model) is None:
        return Missing(stack, "its quiet scores have no return periods, so that its own threshold stays", again)
    if policy.budget is not None and then is None:
        why = "no fit has found the level of all stacks, so that every flag over its stack's own threshold makes a notice"
        return Missing(stack, why, "run `insar-anomaly fit` again")
    return None


def _threshold(s: Installation, model: ModelRow, policy: Policy) -> float | None:
    """The threshold of a calibrated model under the policy; None where that gives none."""
    if policy.name is None and policy.alarms is None:
        return model.threshold
    kept = Calibration.read(model.calibration)
    if policy.name is None:
        return model.threshold if policy.alarms is None or kept.tail is None else kept.tail.score_at(policy.alarms)
    alarms = s.target.false_alarms_per_year if policy.alarms is None else policy.alarms
    return by_policy(kept, replace(s.target, policy=policy.name, false_alarms_per_year=alarms))


def _counts(row: ScoredAssessment, period: tuple[date, date]) -> bool:
    return row.verdict == Verdict.OK and row.score is not None and period[0] <= Pair.of(row.pair).last <= period[1]


def _from(model: ModelRow, threshold: float, level: Level | None) -> float:
    told = None if level is None else told_from(threshold, tail_of(model), level.rate)
    return threshold if told is None else max(told, threshold)


def _raised(rows: Sequence[ScoredAssessment], threshold: float, level: float, clear_after_days: int) -> tuple[int, int]:
    """Flags, and those with a notice: what was raised and withdrawn on one night has none."""
    state, raised = flags.State(), 0
    evidence = sorted(_evidence(rows, threshold, level), key=lambda one: one.arrival)
    for _, night in groupby(evidence, key=lambda one: one.arrival[0]):
        state, notices = flags.run(state, night, clear_after_days=clear_after_days)
        now = {episode.number: episode for episode in state.episodes}
        raised += sum(notice.kind == "raised" for notice in of_tonight(notices, now))
        state = unheard_of(state, notices)
    return len(state.episodes), raised


def _evidence(rows: Sequence[ScoredAssessment], threshold: float, level: float) -> Iterator[flags.Evidence]:
    for row in rows:
        span = Pair.of(row.pair)
        assert row.score is not None
        yield flags.Evidence(span.first, span.last, row.score, threshold, seen=row.seen if row.after else None, level=level)
