"""What a worker fits: the stack is read, fitted, calibrated out of sample, and its models stored there.

All kinds of evidence of a stack are one task, because they are made of the same pairs: each pair is cleaned once for all.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.calibration.by_features import Sources, Work, fitted
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.threshold import choose
from insar_anomaly.calibration.trial import Trial, held_out, trial
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors.base import FEWEST, Detector, FeatureSpace, Scorer, Summed, settings_of
from insar_anomaly.detectors.feature_file import Nothing
from insar_anomaly.errors import InsarAnomalyError, NotFitted
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Evidence, pair_dates
from insar_anomaly.evidence.shared import Shared
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.kept import StoredFeatures, recipe_of
from insar_anomaly.pipeline.parts import build_detector, evidence_of, planes_of
from insar_anomaly.pipeline.progress import tell
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.pipeline.scoring import static_loaded
from insar_anomaly.sources.base import StorageOptions
from insar_anomaly.stack.store import Store


@dataclass(frozen=True)
class FitTask:
    """One model of a stack: fitted and calibrated on `pairs`, as its recipe says; `deforming` are positives by label.

    `fingerprints` are those of the pairs' files, in the same order; with `keep`, features are kept in the store.
    """

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    pairs: tuple[str, ...]
    deforming: tuple[str, ...]
    recipe: Recipe
    storage: StorageOptions
    fingerprints: tuple[str, ...] = ()
    keep: bool = False

    @property
    def evidence(self) -> EvidenceKind:
        """What is fitted."""
        return self.recipe.evidence

    @property
    def labelled(self) -> bool:
        """True where labels, not injected sources, are the positives: for single pairs only."""
        return bool(self.deforming) and self.evidence is EvidenceKind.PAIR

    def __str__(self) -> str:
        return f"{self.stack} ({self.evidence})"


@dataclass(frozen=True)
class StackTask:
    """The models of one stack: tasks that differ in their evidence only."""

    models: tuple[FitTask, ...]

    def __str__(self) -> str:
        return f"{self.models[0].stack} ({', '.join(task.evidence for task in self.models)})"


@dataclass(frozen=True)
class FitResult:
    """A stored model's id, its calibration, and what its backbone's weights are (empty where it has none)."""

    model: str
    calibration: Calibration
    weights: str


def fit_stack(task: StackTask) -> list[FitResult | InsarAnomalyError]:
    """Fit, calibrate out of sample, store: for each model its result, or why it has none.

    `NotFitted` says that there is too little to fit on, or too little ground.
    """
    first = task.models[0]
    quiet = static_loaded(first.store.open(first.stack, snapshot=first.snapshot, pairs=first.pairs))
    with closing(planes_of(first.volcano, quiet, first.recipe.cleaning)) as planes:
        return [_attempted(model, planes) for model in task.models]


def _attempted(task: FitTask, planes: Planes) -> FitResult | InsarAnomalyError:
    try:
        return _fitted(task, planes)
    except InsarAnomalyError as problem:
        return problem


def _fitted(task: FitTask, planes: Planes) -> FitResult:
    proof = evidence_of(task.evidence, task.recipe.reach, task.volcano, planes.stack, task.recipe.cleaning)
    if (found := proof.count(pair_dates(planes.stack))) < FEWEST:
        pairs = task.evidence is EvidenceKind.PAIR
        what = "quiet pairs" if pairs else f"assessments of {task.evidence.many}, from {len(task.pairs)} quiet pairs,"
        raise NotFitted(f"{task.stack}: {found} {what} to fit on, at least {FEWEST} are needed; widen --from/--to")
    try:
        scorer, calibration, level = calibrated(task, planes, proof)
    except ValueError as problem:
        raise NotFitted(f"{task.stack}: {problem}") from problem
    model = scorer.to_dataset()
    if level is not None:
        model.attrs["level"] = level.text
    identity = task.store.write_model(task.stack, model)
    return FitResult(identity, calibration, str(settings_of(model).get("weights", "")))


def calibrated(task: FitTask, planes: Planes, proof: Evidence) -> tuple[Scorer, Calibration, Level | None]:
    """The scorer fitted on all quiet pairs, its threshold, and the level by which fused evidence is measured.

    Parameters
    ----------
    task : its store is read only where pairs are labelled or features are kept
    planes : the quiet pairs of the task
    proof : the task's kind of evidence, of these pairs

    Raises
    ------
    ValueError
        where there is too little to fit on, or too little ground.
    """
    detector, target = build_detector(task.recipe.detector, task.storage), task.recipe.trials.target
    if task.evidence is not EvidenceKind.PAIR:
        target = target.out_of_sample
    quantile = target.policy == "quantile"
    result, scorer, in_sample = _tried(task, planes, proof, detector, in_sample=quantile)
    if task.labelled:
        moving = task.store.open(task.stack, snapshot=task.snapshot, pairs=task.deforming)
        result = result.labelled(_scores(scorer, proof.tiles(moving)))
    return scorer, choose(result, target, in_sample=in_sample if quantile else None), result.level


def _tried(
    task: FitTask, planes: Planes, proof: Evidence, detector: Detector, *, in_sample: bool
) -> tuple[Trial, Scorer, NDArray[np.float64] | None]:
    """The out-of-sample trial, the scorer of all pairs, and its scores of them if `in_sample`.

    The trial is skipped where it could score too little for a threshold: the stack is fitted only.
    """
    trials, dates = task.recipe.trials, pair_dates(planes.stack)
    blocks = held_out(dates, proof, trials.folds)
    held = sum(proof.count(dates[block.inside]) for block in blocks)
    enough = held >= trials.target.min_pairs
    peaks, told = () if task.labelled else trials.peaks_cm, partial(tell, str(task))
    space = detector.space(planes.shape) if isinstance(detector, Summed) else None
    if space is not None:
        kept = _kept(task, space, planes)
        work = Work(proof, planes, space, _named(task, planes), kept or Nothing(), told)
        result, scorer, scores = fitted(work, blocks if enough else [], Sources(peaks, trials.seed), in_sample=in_sample)
        if kept is not None:
            kept.close(task.evidence)
        return (result if enough else _skipped(task, held)), scorer, scores
    shared = Shared(proof, planes)
    once = partial(trial, planes.stack, shared, detector, folds=trials.folds, peaks_cm=peaks, seed=trials.seed)
    result = once(progress=told) if enough else _skipped(task, held)
    tiles = shared.tiles(planes.stack)
    scorer = detector.fit(tiles)
    return result, scorer, _scores(scorer, tiles) if in_sample else None


def _kept(task: FitTask, space: FeatureSpace, planes: Planes) -> StoredFeatures | None:
    if not task.keep:
        return None
    recipe = recipe_of(task.recipe, space, planes.stack)
    return StoredFeatures(task.store, task.stack, recipe, patches=space.grid[0] * space.grid[1])


def _named(task: FitTask, planes: Planes) -> list[str]:
    """The pairs of the stack with their fingerprints: a pair that was replaced has another name."""
    prints = dict(zip(task.pairs, task.fingerprints, strict=False))
    return [f"{name} {prints.get(name, '')}" for name in map(str, planes.stack["pair"].values)]


def _skipped(task: FitTask, held: int) -> Trial:
    level = None if task.evidence is EvidenceKind.PAIR else Level.of(np.empty(0), np.empty(0))
    return Trial.skipped(held, level)


def _scores(scorer: Scorer, tiles: xr.Dataset) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scorer.score(tiles[list(scorer.inputs)])["score"].values
    return values
