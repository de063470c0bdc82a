"""Fit every stack and calibrate its threshold, one task per stack; publish both together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from insar_anomaly import __version__
from insar_anomaly.calibration import labels
from insar_anomaly.errors import InsarAnomalyError, NotFitted, Verdict
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import EvidenceKind, Pair, Period, frame_of
from insar_anomaly.pipeline.assess import judged, note_blind
from insar_anomaly.pipeline.installation import Installation, Run, storage_options
from insar_anomaly.pipeline.pictures import draw_calibration
from insar_anomaly.pipeline.worker import FitResult, FitTask, fit_stack

log = logging.getLogger(__name__)


def fit(s: Installation, run: Run, *, period: Period, again: bool = False) -> None:
    """Fit and calibrate every stack on its pairs inside `period`, for each kind of evidence.

    What is fitted already on the same pairs with the same settings and code is left alone, so that a fit which was stopped
    goes on where it was; `again` fits it all the same.
    """
    tasks: list[FitTask] = []
    settings: dict[str, str] = {}
    for stack in s.by_stack:
        try:
            kinds = [_task(s, stack, kind, period) for kind in s.evidence]
        except InsarAnomalyError as problem:
            run.fail(stack, "fit", problem)
            continue
        settings |= {str(task): _settings(s, task) for task in kinds}
        changed = [task for task in kinds if again or not _unchanged(s, run, task, settings[str(task)])]
        if changed:
            _note_covered(s, run, changed[0])
        tasks += changed
    for done, (task, result, error) in enumerate(s.workers.fan_out(fit_stack, tasks, gpu=True), 1):
        if result is not None:
            _publish(s, run, task, result, settings[str(task)])
        elif task.evidence != "pair" and isinstance(error, NotFitted):  # pairs alone are enough to go on with
            run.warn(f"no model of {task.evidence}s: {error}")
        else:
            run.fail(task.stack, "fit", error or "no result")
        s.watch("fit", done, len(tasks))
    for stack in sorted(s.by_stack.keys() - run.failed):
        note_blind(s, run, stack)


def _unchanged(s: Installation, run: Run, task: FitTask, settings: str) -> bool:
    """True where the current model is what the task would give."""
    current = s.ledger.current(task.stack, task.evidence)
    if current is None or (current.settings, current.version) != (settings, __version__):
        return False
    if current.model not in s.store.models(task.stack):
        run.warn(f"{task.stack}: its model {current.model} is not in {s.config.store} any more and is fitted again")
        return False
    run.counts["unchanged_models"] += 1
    return True


def _task(s: Installation, stack: str, kind: EvidenceKind, period: Period) -> FitTask:
    config = s.config
    if not s.store.has(stack):
        raise NotFitted(f"{stack}: nothing is stored; run `insar-anomaly ingest` first")
    accepted = {pair for pair, (_, verdict) in s.ledger.seen(stack).items() if verdict == Verdict.OK}
    inside = sorted(pair for pair in accepted if period.holds(pair))
    deforming = _deforming(s, stack) & accepted
    aim, fused = config.calibrate, config.fusion
    return FitTask(
        store=s.store,
        stack=stack,
        volcano=s.by_stack[stack],
        snapshot=s.store.snapshot(stack),
        pairs=tuple(pair for pair in inside if pair not in deforming),
        deforming=tuple(sorted(deforming)),
        evidence=kind,
        reach=Reach(fused.before, fused.after, fused.beside, fused.range_rad),
        preprocess=config.preprocess.model_dump(mode="json"),
        detector={"kind": config.detector.kind, **config.detector.options},
        storage=storage_options(config.storage),
        target=s.target,
        folds=aim.folds,
        peaks_cm=aim.peaks_cm,
        seed=aim.seed,
    )


def _deforming(s: Installation, stack: str) -> set[str]:
    """Pairs of this stack that the configured labels call deformation."""
    file = s.config.calibrate.labels
    if not file:
        return set()
    frame = frame_of(stack)
    rows, _ = labels.read_csv(Path(file))
    return {row.pair for row in rows if row.label == 1 and row.frame in (None, frame)}


def _settings(s: Installation, task: FitTask) -> str:
    """Everything that decides what a fit gives, as JSON: kept with the model, compared before the next fit."""
    pairs = hashlib.sha256("\n".join((*task.pairs, "", *task.deforming)).encode()).hexdigest()[:16]
    volcano = s.by_stack[task.stack]
    kept: dict[str, Any] = {
        "preprocess": dict(task.preprocess),
        "detector": dict(task.detector),
        "calibrate": dataclasses.asdict(task.target) | {"folds": task.folds, "peaks_cm": task.peaks_cm, "seed": task.seed},
        "exclude": volcano.exclude,
        "pairs": pairs,
    }
    if task.evidence != "pair":
        kept |= {"evidence": task.evidence, "reach": dataclasses.asdict(task.reach)}
    return json.dumps(kept, sort_keys=True)


def _publish(s: Installation, run: Run, task: FitTask, result: FitResult, settings: str) -> None:
    first, last = _span(task.pairs)
    row = ModelRow(
        model=result.model,
        detector=str(task.detector["kind"]),
        settings=settings,
        fit_from=first,
        fit_to=last,
        pairs=len(task.pairs),
        snapshot=task.snapshot,
        version=__version__,
        threshold=result.threshold,
        policy=task.target.policy,
        calibration=json.dumps(result.calibration),
        why=result.why,
        evidence=task.evidence,
    )
    try:
        s.ledger.publish(task.stack, row, partial(judged, model=row))
        draw_calibration(s, task.stack, task.evidence, result.calibration)
    except (InsarAnomalyError, OSError) as problem:
        run.fail(task.stack, "fit", problem)
        return
    run.counts["fitted_models"] += 1
    run.counts["fitted_pairs"] += len(task.pairs) if task.evidence == "pair" else 0
    if result.weights.startswith("random"):
        log.warning("%s: fitted on a backbone with %s weights", task.stack, result.weights)
        run.counts["random_backbones"] += 1


def _note_covered(s: Installation, run: Run, task: FitTask) -> None:
    """Say where the fit would learn as quiet what was flagged."""
    if not task.pairs:
        return
    first, last = _span(task.pairs)
    for flag in s.ledger.episodes(task.stack):
        if flag["since"] < last and first < flag["until"]:
            run.warn(
                f"{task.stack}: the fit, on {len(task.pairs)} pairs from {first} to {last}, covers flag {flag['number']} "
                f"({flag['since']} to {flag['until']}): what was flagged is learned as quiet; narrow --from and --to, or "
                "name those pairs in [calibrate] labels"
            )


def _span(pairs: Sequence[str]) -> tuple[date, date]:
    spans = [span for pair in pairs if (span := Pair.parse(pair))]
    return min(span.first for span in spans), max(span.last for span in spans)
