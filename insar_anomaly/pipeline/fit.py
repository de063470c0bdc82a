"""Fit every stack and calibrate its thresholds, one task per stack for all kinds of evidence; publish both together."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from insar_anomaly import __version__
from insar_anomaly.calibration import labels
from insar_anomaly.errors import InsarAnomalyError, NotFitted, Verdict
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import EvidenceKind, FlagName, Pair, Period, frame_of, versioned
from insar_anomaly.pipeline.assess import note_blind
from insar_anomaly.pipeline.fitting import FitResult, FitTask, StackTask, fit_stack
from insar_anomaly.pipeline.installation import Installation, storage_options
from insar_anomaly.pipeline.judge import Judge
from insar_anomaly.pipeline.labelled import heeded, labelled
from insar_anomaly.pipeline.pictures import draw_calibration
from insar_anomaly.pipeline.progress import listening
from insar_anomaly.pipeline.recipe import DetectorChoice, Recipe, Trials, hash_of_pairs
from insar_anomaly.pipeline.run import Run, Watch
from insar_anomaly.report.digest import Count
from insar_anomaly.tiles.preprocess import Cleaning

log = logging.getLogger(__name__)


def fit_stacks(s: Installation, run: Run, *, period: Period, again: bool = False) -> None:
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
        _count_labels(s, run, stack, period)
        changed = [task for task in kinds if again or not _unchanged(s, run, task)]
        if changed:
            _note_covered(s, run, changed[0])
        tasks += changed
    if tasks:
        _fit_all(s, run, tasks)
    for stack in sorted(s.by_stack.keys() - run.failed):
        note_blind(s, run, stack)


def something_to_fit(s: Installation, run: Run, *, period: Period, again: bool) -> bool:
    """True where a stack's pairs, settings or code have changed since its models were fitted. `run` is `run.Silent`."""
    for stack in s.by_stack:
        try:
            if again or not all(_unchanged(s, run, _task(s, stack, kind, period)) for kind in s.evidence):
                return True
        except InsarAnomalyError as problem:
            run.fail(stack, "fit", problem)
    return False


def _fit_all(s: Installation, run: Run, tasks: list[FitTask]) -> None:
    steps = _Steps(s.watch, tasks)
    by_stack = [StackTask(tuple(models)) for _, models in groupby(tasks, key=attrgetter("stack"))]
    with listening(s.workers.client, steps.heard):
        for stack, results, error in s.workers.fan_out(fit_stack, by_stack, gpu=True):
            for n, task in enumerate(stack.models):
                _note(s, run, task, error if results is None else results[n])
                steps.ended(task)


def _note(s: Installation, run: Run, task: FitTask, result: FitResult | BaseException | None) -> None:
    """Publish what came of a task, or say why nothing did."""
    if isinstance(result, FitResult):
        _publish(s, run, task, result)
    elif task.evidence is not EvidenceKind.PAIR and isinstance(result, NotFitted):  # pairs alone are enough to go on
        run.warn(f"no model of {task.evidence.many}: {result}")
    else:
        run.fail(task.stack, "fit", result or "no result")


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
        """A task has done so many blocks of its trial, or tiles where blocks share them."""
        blocks = self._whole[task] - 1
        self._done[task] = max(self._done[task], min(done * blocks // total, blocks))
        self._show(f"{task}: {'block' if total <= blocks else 'tile'} {done} of {total}")

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
    seen = s.ledger.seen(stack)
    accepted = {pair: known.fingerprint for pair, known in seen.items() if known.verdict == Verdict.OK}
    inside = sorted(pair for pair in accepted if period.holds(pair))
    deforming = _deforming(s, stack) & accepted.keys()
    aim, fused = config.calibrate, config.fusion
    moved, _ = heeded(labelled(s, stack), inside)
    pairs = tuple(pair for pair in inside if pair not in deforming and not any(one.touches(pair) for one in moved))
    recipe = Recipe(
        evidence=kind,
        cleaning=Cleaning.of(config.preprocess.model_dump(mode="json")),
        detector=DetectorChoice(config.detector.kind, config.detector.options),
        trials=Trials(s.target, aim.folds, aim.peaks_cm, aim.seed),
        exclude=s.by_stack[stack].exclude,
        pairs=hash_of_pairs(*([versioned(p, seen[p].version) for p in part] for part in (pairs, sorted(deforming)))),
        reach=Reach(**fused.model_dump(exclude={"evidence"})),
        grid=s.ledger.holding(stack).grid,
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
        fingerprints=tuple(accepted[pair] for pair in pairs),
        keep=config.fit.keep_features,
    )


def _deforming(s: Installation, stack: str) -> set[str]:
    """Pairs of this stack that the configured labels call deformation."""
    file = s.config.calibrate.labels
    if not file:
        return set()
    frame = frame_of(stack)
    rows, _ = labels.read_csv(Path(file))
    return {row.pair for row in rows if row.label == 1 and row.frame in (None, frame)}


def _count_labels(s: Installation, run: Run, stack: str, period: Period) -> None:
    """Count the labels that a stack's fit heeds: each once, with the stack of the flag, or with a couple's ascending one."""
    inside = [pair for pair, known in s.ledger.seen(stack).items() if known.verdict == Verdict.OK and period.holds(pair)]
    moved, quiet = heeded(labelled(s, stack), inside)
    for found, count in ((moved, Count.LABELS_LEFT_OUT), (quiet, Count.LABELS_KEPT_QUIET)):
        run.counts[count] += sum(one.stack == stack for one in found)


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
    """Say where the fit would learn as quiet what was flagged, and nobody has said what that was."""
    if not task.pairs:
        return
    first, last = _span(task.pairs)
    said = {one.flag for one in labelled(s, task.stack) if one.moved or one.quiet}
    for flag in s.ledger.episodes(task.stack):
        if FlagName(flag.stack, flag.number) in said:
            continue
        if flag.since < last and first < flag.until:
            run.warn(
                f"{task.stack}: the fit, on {len(task.pairs)} pairs from {first} to {last}, covers flag {flag.number} "
                f"({flag.since} to {flag.until}): what was flagged is learned as quiet; say what it was (`insar-anomaly "
                f"label {flag.stack}:{flag.number} volcanic --by NAME` leaves its time out), narrow --from and --to, or "
                "name those pairs in [calibrate] labels"
            )


def _span(pairs: Sequence[str]) -> tuple[date, date]:
    spans = [span for pair in pairs if (span := Pair.parse(pair))]
    return min(span.first for span in spans), max(span.last for span in spans)
