"""Score what is new in every stack against its current models, in batches fanned out over the workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import xarray as xr

from insar_anomaly.errors import InsarAnomalyError, NotFitted, StackFailed, Verdict
from insar_anomaly.evidence import assessments
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.ledger.records import ModelRow, ScoreRow
from insar_anomaly.names import EvidenceKind, Interval, Pair, Period, by_date
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.judge import Judge
from insar_anomaly.pipeline.lapsed import is_corrected, take_back
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.scoring import ScoreTask, score_assessments
from insar_anomaly.report.digest import Count
from insar_anomaly.units import KM_PER_DEGREE


def assess_stacks(s: Installation, run: Run, *, period: Period | None = None) -> None:
    """Score what is stored and not yet scored: pairs, and assessments of intervals and acquisitions, each by its own model.

    What a model was fitted on is not screened (verdict 60). An assessment is scored again where a pair came late that shows
    it. A stack whose flags rest on no threshold is blind: it is listed in the digest every night until that changes.
    """
    wanted = period or Period(last=run.as_of)
    tasks: list[ScoreTask] = []
    models: dict[tuple[str, str], _Judged] = {}
    for stack in s.by_stack:
        try:
            note_blind(s, run, stack)
            for kind in s.evidence:
                model = s.ledger.current(stack, kind)
                if model is None or _outdated(s, run, stack, model):
                    continue
                if model.model not in s.store.models(stack):
                    raise NotFitted(f"{stack}: its model {model.model} is not in {s.config.store}; run `insar-anomaly fit`")
                models[stack, model.model] = _Judged(model, Judge.of(model))
                tasks += _tasks(s, stack, model, wanted)
        except InsarAnomalyError as problem:
            run.fail(stack, "assess", problem)
    total = sum(len(task.assessments) for task in tasks)
    done = 0
    for task, result, error in s.workers.fan_out(score_assessments, tasks, gpu=True):
        if result is None:
            run.fail(task.stack, "assess", error or "no result")
        else:
            _commit(s, run, task, result, models[task.stack, task.model])
        done += len(task.assessments)
        s.watch("assess", done, total)
    for (stack, _), one in models.items():
        if one.model.evidence == EvidenceKind.INTERVAL:
            _note_unseen(s, run, stack, one.model, wanted)


def something_to_assess(s: Installation, run: Run, *, period: Period | None) -> bool:
    """True where something is stored and not yet scored. `run` is `run.Silent`."""
    return unscored(s, period or Period(last=run.as_of)) > 0


def unscored(s: Installation, period: Period) -> int:
    """Assessments of stored pairs inside the period that the current models have not scored."""
    models = [(stack, s.ledger.current(stack, kind)) for stack in s.by_stack for kind in s.evidence]
    fitted = [(stack, model) for stack, model in models if model is not None and _fits(s, stack, model)]
    return sum(len(_unscored(s, stack, one, _possible(s, stack, one, period), period)) for stack, one in fitted)


def _fits(s: Installation, stack: str, model: ModelRow) -> bool:
    """True where the model was fitted on the grid that the stack has."""
    return Recipe.read(model.settings).grid == s.ledger.holding(stack).grid


def _outdated(s: Installation, run: Run, stack: str, model: ModelRow) -> bool:
    """True where the model is of another grid; it is said, and also where the catalogue's polygons are not the model's."""
    if not _fits(s, stack, model):
        run.blind[stack] = "built anew on another grid since it was fitted: run `insar-anomaly fit`"
        return True
    if Recipe.read(model.settings).exclude != s.by_stack[stack].exclude:
        run.warn(
            f"{stack}: the catalogue's exclusion polygons are not those of its fit, which count: run `insar-anomaly fit`"
        )
    return False


@dataclass(frozen=True)
class _Judged:
    """A model and what judges its scores."""

    model: ModelRow
    judge: Judge


def note_blind(s: Installation, run: Run, stack: str) -> None:
    """Say where a stack's flags rest on no threshold, or on other evidence than was asked for."""
    model, why = s.resting(stack)
    if model is None:
        run.blind[stack] = "not fitted: run `insar-anomaly fit`"
    elif model.threshold is None:
        run.blind[stack] = f"not calibrated: {model.why}"
    elif why:
        run.warn(f"{stack}: flags are raised by single pairs, {why}")


def _note_unseen(s: Installation, run: Run, stack: str, model: ModelRow, period: Period) -> None:
    """Say which intervals of late nobody can assessment of, because no pairs near them join their acquisitions.

    Only pairs that span far more than the interval may show what happened in it: these are named where they are over.
    """
    pairs = accepted_until(s, stack, period)
    seen = {assessment.name for assessment in assessments(EvidenceKind.INTERVAL, pairs, Recipe.read(model.settings).reach)}
    days = sorted({day for span in map(Pair.of, pairs) for day in (span.first, span.last)})
    oldest = run.as_of - timedelta(days=s.config.flags.notice_max_age_days)
    for first, last in pairwise(days):
        name = Interval(first, last).name
        if name in seen or last < oldest or not period.holds(name):
            continue
        every = s.ledger.assessments(stack, EvidenceKind.PAIR)
        over = [row.pair for row in every if row.over and spans(row.pair, name)]
        words = f"pairs over their threshold that span it: {', '.join(over)}" if over else "none stands out"
        run.warn(f"{stack}: nothing is known of interval {name}: no pairs near it join its acquisitions; {words}")


def spans(pair: str, name: str) -> bool:
    """True where the pair brackets the interval of this name."""
    return Pair.of(pair).brackets(Interval.of(name))


def score_rows(
    result: xr.Dataset, planned: Sequence[Assessment], *, model: ModelRow, judge: Judge, snapshot: str
) -> list[ScoreRow]:
    """Scores of these assessments as rows of the ledger, with verdict and percentile in the stack's quiet scores."""
    after = result["after"].values.tolist() if "after" in result else [0] * result.sizes["pair"]
    areas = areas_over(result, model.threshold)
    names = zip(map(str, result["pair"].values), after, strict=True)
    found = dict(zip(names, zip(result["score"].values, areas, strict=True), strict=True))
    rows = []
    for assessment in planned:
        value, area = found[assessment.name, assessment.after]
        score = None if math.isnan(value) else float(value)
        row = _row(assessment, model, snapshot, score, Verdict.NOT_SCORABLE)
        rows.append(judge(replace(row, area=area)))
    return rows


def areas_over(result: xr.Dataset, threshold: float | None) -> list[float | None]:
    """Ground (pair,) whose score is over the threshold, km2; None without a threshold, or where no cell is over it.

    Parameters
    ----------
    result : scores as `scoring.score_assessments` gives them: `score_map` (pair, v, u), NaN where nothing was measured, and
        the cells' centres, `lat` (v,) and `lon` (u,), degrees
    """
    if threshold is None:
        return [None] * result.sizes["pair"]
    over = result["score_map"].values > threshold
    cells = over.reshape(len(over), -1).sum(axis=1).tolist()
    lat, lon = result["lat"].values, result["lon"].values
    sides = [abs(float(np.median(np.diff(one)))) if len(one) > 1 else 0.0 for one in (lat, lon)]
    km2 = sides[0] * sides[1] * KM_PER_DEGREE**2 * math.cos(math.radians(float(lat.mean())))
    return [number * km2 if number and km2 else None for number in cells]


def _row(assessment: Assessment, model: ModelRow, snapshot: str, score: float | None, verdict: Verdict) -> ScoreRow:
    return ScoreRow(
        pair=assessment.name,
        model=model.model,
        score=score,
        threshold=model.threshold,
        verdict=verdict,
        percentile=None,
        snapshot=snapshot,
        after=assessment.after,
        inputs=assessment.inputs,
        seen=assessment.seen,
    )


def _tasks(s: Installation, stack: str, model: ModelRow, period: Period) -> list[ScoreTask]:
    found = _possible(s, stack, model, period)
    if found.corrected:
        take_back(s, stack, model, {(one.name, one.after) for one in found.every}, period)
    todo, pairs = _unscored(s, stack, model, found, period), found.pairs
    if not todo:
        return []
    snapshot = s.store.snapshot(stack)
    fitted = s.store.fitted(stack, model.model)
    if used := [assessment for assessment in todo if assessment.name in fitted]:
        s.ledger.record_scores(stack, [_row(assessment, model, snapshot, None, Verdict.IN_FIT) for assessment in used])
    todo = [assessment for assessment in todo if assessment.name not in fitted]
    size = s.config.cluster.batch
    return [
        score_task(s, stack, model, pairs=pairs, assessments=todo[i : i + size], snapshot=snapshot)
        for i in range(0, len(todo), size)
    ]


def score_task(
    s: Installation, stack: str, model: ModelRow, *, pairs: list[str], assessments: list[Assessment], snapshot: str
) -> ScoreTask:
    """These assessments, to be scored with this model; `pairs` is all that they could be fused from."""
    recipe = Recipe.read(model.settings)
    return ScoreTask(
        store=s.store,
        stack=stack,
        volcano=s.by_stack[stack].model_copy(update={"exclude": recipe.exclude}),
        snapshot=snapshot,
        model=model.model,
        evidence=model.evidence,
        reach=recipe.reach,
        cleaning=recipe.cleaning,
        pairs=tuple(pairs if model.evidence != "pair" else (assessment.name for assessment in assessments)),
        assessments=tuple(assessments),
    )


def accepted_until(s: Installation, stack: str, period: Period) -> list[str]:
    """Names of the stack's accepted pairs that end inside the period: what fused evidence may be made of."""
    until = Period(last=period.last)
    return sorted(pair for pair, known in s.ledger.seen(stack).items() if known.verdict == Verdict.OK and until.holds(pair))


@dataclass(frozen=True)
class _Possible:
    """Assessments that could be made by some day, the pairs that they are made of, and whether any was ever corrected."""

    every: list[Assessment]
    pairs: list[str]
    corrected: bool


def _possible(s: Installation, stack: str, model: ModelRow, period: Period) -> _Possible:
    """What could be assessed by the end of the period."""
    seen, until = s.ledger.seen(stack), Period(last=period.last)
    pairs = sorted(pair for pair, known in seen.items() if known.verdict == Verdict.OK and until.holds(pair))
    versions = {pair: known.version for pair, known in seen.items() if known.version}
    every = assessments(model.evidence, pairs, Recipe.read(model.settings).reach, versions)
    return _Possible(every, pairs, is_corrected(seen))


def newest_whole(s: Installation, stack: str, model: ModelRow, period: Period) -> tuple[Assessment | None, list[str]]:
    """The newest assessment that has all the acquisitions after it that one can have, and the pairs it is fused from."""
    found = _possible(s, stack, model, period)
    most = max((one.after for one in found.every), default=0)
    whole = [one for one in found.every if one.after == most]
    return max(whole, key=lambda one: by_date(one.name), default=None), found.pairs


def _unscored(s: Installation, stack: str, model: ModelRow, found: _Possible, period: Period) -> list[Assessment]:
    """Assessments inside the period that have no score, or one of other pairs."""
    known = s.ledger.scored(stack, model.model)
    return [one for one in found.every if period.holds(one.name) and known.get((one.name, one.after)) != one.inputs]


def _commit(s: Installation, run: Run, task: ScoreTask, result: xr.Dataset, one: _Judged) -> None:
    try:
        s.store.append_scores(task.stack, task.model, result, writer=run.writer(task.stack))
        rows = score_rows(result, task.assessments, model=one.model, judge=one.judge, snapshot=task.snapshot)
        s.ledger.record_scores(task.stack, rows)
    except StackFailed as problem:
        run.fail(task.stack, "assess", problem)
        return
    run.meter.did("assess", len(rows))
    run.counts[Count.scored(one.model.evidence)] += sum(row.score is not None for row in rows)
