"""Score new pairs of every stack against its current model, in batches fanned out over the workers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from insar_anomaly.errors import InsarAnomalyError, NotFitted, StackFailed, Verdict
from insar_anomaly.ledger import ModelRow, ScoreRow
from insar_anomaly.pipeline._screening import Period, Run, Screening
from insar_anomaly.tasks import ScoreTask, score_pairs


def score(s: Screening, run: Run, *, period: Period | None = None) -> None:
    """Score what is stored and not yet scored by the stack's current model.

    Pairs that the model was fitted on are not screened (verdict 60). A stack without a model, or without a threshold, is
    blind: it is listed in the digest every night until that changes.
    """
    wanted = period or Period(last=run.as_of)
    tasks: list[ScoreTask] = []
    models: dict[str, ModelRow] = {}
    for stack in s.by_stack:
        try:
            model = s.ledger.current(stack)
            if model is None:
                run.blind[stack] = "not fitted: run `insar-anomaly fit`"
                continue
            if model.model not in s.store.models(stack):
                raise NotFitted(f"{stack}: its model {model.model} is not in {s.config.store}; run `insar-anomaly fit`")
            if model.threshold is None:
                run.blind[stack] = f"not calibrated: {model.why}"
            models[stack] = model
            tasks += _tasks(s, stack, model, wanted)
        except InsarAnomalyError as problem:
            run.fail(stack, "score", problem)
    total = sum(len(task.pairs) for task in tasks)
    done = 0
    for task, result, error in s.workers.fan_out(score_pairs, tasks, resources=s.workers.gpu_wanted()):
        if result is None:
            run.fail(task.stack, "score", error or "no result")
        else:
            _commit(s, run, task, result, models[task.stack])
        done += len(task.pairs)
        s.watch("score", done, total)


def score_rows(result: xr.Dataset, model: ModelRow, snapshot: str) -> list[ScoreRow]:
    """Scores of a batch as rows of the ledger, with verdict and percentile in the stack's quiet scores."""
    rows = []
    for pair, value in zip(result["pair"].values, result["score"].values, strict=True):
        number = None if math.isnan(value) else float(value)
        row = ScoreRow(str(pair), model.model, number, None, int(Verdict.NOT_SCORABLE), None, snapshot)
        rows.append(judged(row, model))
    return rows


def judged(row: ScoreRow, model: ModelRow) -> ScoreRow:
    """The row with the model's present threshold, and the verdict and percentile that follow from it."""
    if row.score is None:
        return replace(row, threshold=model.threshold)
    quiet = np.asarray(json.loads(model.calibration)["negatives"])
    return replace(
        row,
        threshold=model.threshold,
        verdict=int(Verdict.OK if model.threshold is not None else Verdict.NOT_CALIBRATED),
        percentile=float(100 * np.searchsorted(quiet, row.score) / len(quiet)) if len(quiet) else None,
    )


def _tasks(s: Screening, stack: str, model: ModelRow, period: Period) -> list[ScoreTask]:
    settings: dict[str, Any] = json.loads(model.settings)
    snapshot = s.store.snapshot(stack)
    accepted = {pair for pair, (_, verdict) in s.ledger.seen(stack).items() if verdict == Verdict.OK}
    known = s.ledger.scored(stack, model.model)
    todo = sorted((p for p in accepted - known if period.holds(p)), key=lambda p: (p[9:], p[:8]))
    if not todo:
        return []
    fitted = set(map(str, s.store.read_model(stack, model.model)["fitted_pair"].values))
    if used := [pair for pair in todo if pair in fitted]:
        s.ledger.record_scores(
            stack, [ScoreRow(p, model.model, None, model.threshold, int(Verdict.IN_FIT), None, snapshot) for p in used]
        )
    todo = [pair for pair in todo if pair not in fitted]
    size = s.config.cluster.batch
    return [
        ScoreTask(
            store=s.store,
            stack=stack,
            volcano=s.by_stack[stack].model_copy(update={"exclude": _polygons(settings["exclude"])}),
            snapshot=snapshot,
            model=model.model,
            preprocess=json.dumps(settings["preprocess"]),
            pairs=tuple(todo[i : i + size]),
        )
        for i in range(0, len(todo), size)
    ]


def _polygons(stored: Any) -> tuple[tuple[tuple[float, float], ...], ...]:
    """The exclusion polygons that the model was fitted with: today's catalogue may have others."""
    return tuple(tuple((float(lon), float(lat)) for lon, lat in ring) for ring in stored)


def _commit(s: Screening, run: Run, task: ScoreTask, result: xr.Dataset, model: ModelRow) -> None:
    try:
        s.store.append_scores(task.stack, task.model, result)
        rows = score_rows(result, model, task.snapshot)
        s.ledger.record_scores(task.stack, rows)
    except StackFailed as problem:
        run.fail(task.stack, "score", problem)
        return
    run.counts["scored_pairs"] += sum(row.score is not None for row in rows)
