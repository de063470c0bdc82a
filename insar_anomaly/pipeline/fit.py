"""Fit every stack and calibrate its threshold, one task per stack; publish both together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from insar_anomaly import __version__
from insar_anomaly.calibration import labels
from insar_anomaly.errors import InsarAnomalyError, NotFitted, Verdict
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import EvidenceKind, Pair, Period, frame_of
from insar_anomaly.pipeline.assess import note_blind
from insar_anomaly.pipeline.installation import Installation, Run, Watch, storage_options
from insar_anomaly.pipeline.judge import Judge
from insar_anomaly.pipeline.pictures import draw_calibration
from insar_anomaly.pipeline.progress import listening
from insar_anomaly.pipeline.recipe import DetectorChoice, Recipe, Trials, hash_of_pairs
from insar_anomaly.pipeline.worker import FitResult, FitTask, fit_stack
from insar_anomaly.report.digest import Count
from insar_anomaly.tiles.preprocess import Cleaning

log = logging.getLogger(__name__)


def fit(s: Installation, run: Run, *, period: Period, again: bool = False) -> None:
    """Fit and calibrate every stack on its pairs inside `period`, for each kind of evidence.

    What is fitted already on the same pairs with the same settings and code is left alone, so that a fit which was stopped
    goes on where it was; `again` fits it all the same.
    """
    tasks: list[FitTask] = []
    for stack in s.by_stack:
        try:
            kinds = [_task(s, stack, kind, period) for kind in s.evidence]
        except InsarAnomalyError as problem:
            run.fail(stack, "fit", problem)
            continue
        changed = [task for task in kinds if again or not _unchanged(s, run, task)]
        if changed:
            _note_covered(s, run, changed[0])
        tasks += changed
    if tasks:
        _fit_all(s, run, tasks)
    for stack in sorted(s.by_stack.keys() - run.failed):
        note_blind(s, run, stack)


def _fit_all(s: Installation, run: Run, tasks: list[FitTask]) -> None:
    steps = _Steps(s.watch, tasks)
    with listening(s.workers.client, steps.heard):
        for task, result, error in s.workers.fan_out(fit_stack, tasks, gpu=True):
            if result is not None:
                _publish(s, run, task, result)
            elif task.evidence is not EvidenceKind.PAIR and isinstance(error, NotFitted):  # pairs alone are enough to go on
                run.warn(f"no model of {task.evidence.many}: {error}")
            else:
                run.fail(task.stack, "fit", error or "no result")
            steps.ended(task)


class _Steps:
    """How far a fit is: each model takes a step for every block of time of its trial, and one for the fit on all pairs."""

    def __init__(self, watch: Watch, tasks: Sequence[FitTask]) -> None:
        self._watch = watch
        self._whole = {str(task): task.recipe.trials.folds + 1 for task in tasks}
        self._done = dict.fromkeys(self._whole, 0)
        stacks, folds = {task.stack: len(task.pairs) for task in tasks}, tasks[0].recipe.trials.folds
        kinds = ", ".join(dict.fromkeys(task.evidence.value for task in tasks))
        what = f"{len(stacks)} stacks, {sum(stacks.values())} quiet pairs"
        self._show(f"{what}; {len(tasks)} models ({kinds}), {folds} blocks of time each")

    def heard(self, task: str, done: int, total: int) -> None:
        """A task has done so many blocks of its trial."""
        self._done[task] = min(done, self._whole[task] - 1)
        self._show(f"{task}: block {done} of {total}")

    def ended(self, task: FitTask) -> None:
        """A task has ended, well or not."""
        self._done[str(task)] = self._whole[str(task)]
        self._show(str(task))

    def _show(self, note: str) -> None:
        self._watch("fit", sum(self._done.values()), sum(self._whole.values()), note)


def _unchanged(s: Installation, run: Run, task: FitTask) -> bool:
    """True where the current model is what the task would give."""
    current = s.ledger.current(task.stack, task.evidence)
    if current is None or (current.settings, current.version) != (task.recipe.text, __version__):
        return False
    if current.model not in s.store.models(task.stack):
        run.warn(f"{task.stack}: its model {current.model} is not in {s.config.store} any more and is fitted again")
        return False
    run.counts[Count.UNCHANGED_MODELS] += 1
    return True


def _task(s: Installation, stack: str, kind: EvidenceKind, period: Period) -> FitTask:
    config = s.config
    if not s.store.has(stack):
        raise NotFitted(f"{stack}: nothing is stored; run `insar-anomaly ingest` first")
    accepted = {pair for pair, known in s.ledger.seen(stack).items() if known.verdict == Verdict.OK}
    inside = sorted(pair for pair in accepted if period.holds(pair))
    deforming = _deforming(s, stack) & accepted
    aim, fused = config.calibrate, config.fusion
    pairs = tuple(pair for pair in inside if pair not in deforming)
    recipe = Recipe(
        evidence=kind,
        cleaning=Cleaning.of(config.preprocess.model_dump(mode="json")),
        detector=DetectorChoice(config.detector.kind, config.detector.options),
        trials=Trials(s.target, aim.folds, aim.peaks_cm, aim.seed),
        exclude=s.by_stack[stack].exclude,
        pairs=hash_of_pairs(pairs, sorted(deforming)),
        reach=Reach(fused.before, fused.after, fused.beside, fused.range_rad),
    )
    return FitTask(
        store=s.store,
        stack=stack,
        volcano=s.by_stack[stack],
        snapshot=s.store.snapshot(stack),
        pairs=pairs,
        deforming=tuple(sorted(deforming)),
        recipe=recipe,
        storage=storage_options(config.storage),
    )


def _deforming(s: Installation, stack: str) -> set[str]:
    """Pairs of this stack that the configured labels call deformation."""
    file = s.config.calibrate.labels
    if not file:
        return set()
    frame = frame_of(stack)
    rows, _ = labels.read_csv(Path(file))
    return {row.pair for row in rows if row.label == 1 and row.frame in (None, frame)}


def _publish(s: Installation, run: Run, task: FitTask, result: FitResult) -> None:
    first, last = _span(task.pairs)
    row = ModelRow(
        model=result.model,
        detector=task.recipe.detector.kind,
        settings=task.recipe.text,
        fit_from=first,
        fit_to=last,
        pairs=len(task.pairs),
        snapshot=task.snapshot,
        version=__version__,
        threshold=result.calibration.threshold,
        policy=task.recipe.trials.target.policy,
        calibration=result.calibration.text,
        why=result.calibration.why,
        evidence=task.evidence,
    )
    try:
        s.ledger.publish(task.stack, row, Judge.of(row))
    except InsarAnomalyError as problem:
        run.fail(task.stack, "fit", problem)
        return
    run.counts[Count.FITTED_MODELS] += 1
    run.counts[Count.FITTED_PAIRS] += len(task.pairs) if task.evidence is EvidenceKind.PAIR else 0
    if result.weights.startswith("random"):
        log.warning("%s: fitted on a backbone with %s weights", task.stack, result.weights)
        run.counts[Count.RANDOM_BACKBONES] += 1
    try:  # last: a model whose picture cannot be drawn is a model all the same
        draw_calibration(s, task.stack, task.evidence, result.calibration)
    except (InsarAnomalyError, OSError) as problem:
        run.fail(task.stack, "fit", problem)


def _note_covered(s: Installation, run: Run, task: FitTask) -> None:
    """Say where the fit would learn as quiet what was flagged."""
    if not task.pairs:
        return
    first, last = _span(task.pairs)
    for flag in s.ledger.episodes(task.stack):
        if flag.since < last and first < flag.until:
            run.warn(
                f"{task.stack}: the fit, on {len(task.pairs)} pairs from {first} to {last}, covers flag {flag.number} "
                f"({flag.since} to {flag.until}): what was flagged is learned as quiet; narrow --from and --to, or "
                "name those pairs in [calibrate] labels"
            )


def _span(pairs: Sequence[str]) -> tuple[date, date]:
    spans = [span for pair in pairs if (span := Pair.parse(pair))]
    return min(span.first for span in spans), max(span.last for span in spans)
