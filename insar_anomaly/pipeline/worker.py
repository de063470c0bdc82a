"""What a worker does: URIs and settings in, small results out. Models are loaded once per worker, never sent to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import detectors
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.threshold import choose
from insar_anomaly.calibration.trial import Trial, blocks, trial
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors.base import FEWEST, Detector, Scorer, settings_of
from insar_anomaly.errors import NotFitted, PairRejected, SourceUnavailable
from insar_anomaly.evidence.fused import Fused
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessment, Evidence, Reach, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.parts import build_detector, evidence_of
from insar_anomaly.pipeline.progress import tell
from insar_anomaly.pipeline.recipe import Recipe
from insar_anomaly.sources.base import Delays, Listed, Source, StorageOptions, Window
from insar_anomaly.stack.prechecks import precheck
from insar_anomaly.stack.schema import Grid, cell_centres
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles.preprocess import Cleaning


@dataclass(frozen=True)
class ReadTask:
    """Pairs of one frame to be read for its stacks: `wanted` maps a pair to the stacks that lack it."""

    source: Source
    frame: str
    listed: tuple[Listed, ...]
    wanted: Mapping[str, tuple[str, ...]]
    grids: Mapping[str, Grid]
    min_valid: float
    min_coherence: float

    def __str__(self) -> str:
        return f"{self.frame} {self.listed[0].pair} .. {self.listed[-1].pair}"


@dataclass
class ReadResult:
    """Per stack: accepted windows, their modelled delays where there are any, and rejections by pair.

    `unreached` holds what storage, not a pair, is to blame for, `warnings` what was left out beside the pairs.
    """

    windows: dict[str, dict[str, Window]] = field(default_factory=dict)
    delays: Delays = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejected: dict[str, dict[str, PairRejected]] = field(default_factory=dict)
    unreached: str | None = None


def read_pairs(task: ReadTask) -> ReadResult:
    """Open each pair's files once, cut every stack's window, precheck it; then each acquisition's delay, once."""
    out = ReadResult()
    for one in task.listed:
        stacks = task.wanted[one.pair]
        try:
            windows = task.source.read(one, {s: task.grids[s] for s in stacks})
        except PairRejected as rejection:
            for stack in stacks:
                out.rejected.setdefault(stack, {})[one.pair] = rejection
            continue
        except SourceUnavailable as problem:
            out.unreached = str(problem)
            break
        for stack, window in windows.items():
            try:
                precheck(
                    window[0],
                    window[1],
                    min_valid=task.min_valid,
                    min_coherence=task.min_coherence,
                    uri=str(one.phase_uri),
                )
                out.windows.setdefault(stack, {})[one.pair] = window
            except PairRejected as rejection:
                out.rejected.setdefault(stack, {})[one.pair] = rejection
    if out.unreached:  # the layers are where the pairs are: what has one is read again when both can be
        out.windows = {
            stack: {one.pair: found[one.pair] for one in task.listed if one.pair in found and not one.delay_uris}
            for stack, found in out.windows.items()
        }
        return out
    accepted = {stack: [one for one in task.listed if one.pair in found] for stack, found in out.windows.items()}
    out.delays, out.warnings = task.source.delays(accepted, task.grids)
    return out


@dataclass(frozen=True)
class FitTask:
    """One stack to be fitted and calibrated on `pairs`, as its recipe says; `deforming` are positives by label."""

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    pairs: tuple[str, ...]
    deforming: tuple[str, ...]
    recipe: Recipe
    storage: StorageOptions

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
class FitResult:
    """A stored model's id, its calibration, and what its backbone's weights are (empty where it has none)."""

    model: str
    calibration: Calibration
    weights: str


def fit_stack(task: FitTask) -> FitResult:
    """Fit, calibrate out of sample, store.

    Raises
    ------
    NotFitted
        where there is too little to fit on, or too little ground.
    """
    quiet = _static_loaded(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs))
    proof = evidence_of(task.evidence, task.recipe.reach, task.volcano, quiet, task.recipe.cleaning)
    if (found := proof.count(pair_dates(quiet))) < FEWEST:
        pairs = task.evidence is EvidenceKind.PAIR
        what = "quiet pairs" if pairs else f"assessments of {task.evidence.many}, from {len(task.pairs)} quiet pairs,"
        raise NotFitted(f"{task.stack}: {found} {what} to fit on, at least {FEWEST} are needed; widen --from/--to")
    try:
        scorer, calibration, level = _calibrated(task, quiet, proof)
    except ValueError as problem:
        raise NotFitted(f"{task.stack}: {problem}") from problem
    model = scorer.to_dataset()
    if level is not None:
        model.attrs["level"] = level.text
    identity = task.store.write_model(task.stack, model)
    return FitResult(identity, calibration, str(settings_of(model).get("weights", "")))


def _calibrated(task: FitTask, quiet: xr.Dataset, proof: Evidence) -> tuple[Scorer, Calibration, Level | None]:
    """The scorer fitted on all quiet pairs, its threshold, and the level by which fused evidence is measured."""
    detector, target = build_detector(task.recipe.detector, task.storage), task.recipe.trials.target
    if task.evidence is not EvidenceKind.PAIR:
        target = target.out_of_sample
    result = _trial(task, quiet, proof, detector)
    tiles = proof.tiles(quiet)
    scorer = detector.fit(tiles)
    in_sample = _scores(scorer, tiles, result.level) if target.policy == "quantile" else None
    if task.labelled:
        moving = task.store.open(task.stack, snapshot=task.snapshot, pairs=task.deforming)
        result = result.labelled(_scores(scorer, proof.tiles(moving), None))
    return scorer, choose(result, target, in_sample=in_sample), result.level


@dataclass(frozen=True)
class ScoreTask:
    """Assessments of one stack to be scored with one stored model; `pairs` are all that its network is made of."""

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    model: str
    evidence: EvidenceKind
    reach: Reach
    cleaning: Cleaning
    pairs: tuple[str, ...]
    assessments: tuple[Assessment, ...]

    def __str__(self) -> str:
        return f"{self.stack} {self.assessments[0].name} .. {self.assessments[-1].name}"


def score_assessments(task: ScoreTask) -> xr.Dataset:
    """Scores and score maps of the task's assessments; those of fused evidence are measured by its
    level and say what was fused.
    """
    scorer, level = _scorer(task.store, task.stack, task.model)
    tiles = assessment_tiles(task)
    scores = _located(scorer.score(tiles[list(scorer.inputs)]), tiles, task)
    if level is None:
        return scores
    variance, after = scores["variance"].values, scores["after"].values
    fused = {(assessment.name, assessment.after): assessment.inputs for assessment in task.assessments}
    inputs = [fused[str(name), int(seen)] for name, seen in zip(scores["pair"].values, after, strict=True)]
    score_map = level.standard(scores["score_map"].values, variance[:, None, None])
    return scores.drop_vars(["after", "seen", "variance"]).assign(
        score=("pair", level.standard(scores["score"].values, variance)),
        score_map=(("pair", "v", "u"), score_map.astype(np.float32)),
        after=("pair", after),
        inputs=("pair", np.array(inputs, np.int64)),
    )


def _located(scores: xr.Dataset, tiles: xr.Dataset, task: ScoreTask) -> xr.Dataset:
    """Scores with the places of their maps' cells, and the names of what they are of."""
    lat, lon = (cell_centres(tiles[name].values, scores.attrs["stride"]) for name in ("y", "x"))
    names = {"stack": task.stack, "evidence": task.evidence.value, "model": task.model}
    places = {"lat": ("v", lat[: scores.sizes["v"]]), "lon": ("u", lon[: scores.sizes["u"]])}
    return scores.assign_coords(places).assign_attrs(names)


def assessment_tiles(task: ScoreTask) -> xr.Dataset:
    """Tiles of the task's assessments; those of fused evidence are loaded."""
    stack = _static_loaded(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs))
    proof = evidence_of(task.evidence, task.reach, task.volcano, stack, task.cleaning)
    if isinstance(proof, Fused):
        return proof.tiles(stack, [(assessment.name, assessment.after) for assessment in task.assessments])
    return proof.tiles(stack)


def _static_loaded(stack: xr.Dataset) -> xr.Dataset:
    """The stack with the layers that all pairs share in memory: every batch of tiles needs them."""
    return stack.assign({name: array.load() for name, array in stack.data_vars.items() if "pair" not in array.dims})


@lru_cache(maxsize=2)
def _scorer(store: Store, stack: str, model: str) -> tuple[Scorer, Level | None]:
    stored = store.read_model(stack, model)
    level = stored.attrs.get("level")
    return detectors.load(stored), None if level is None else Level.read(level)


def _trial(task: FitTask, quiet: xr.Dataset, proof: Evidence, detector: Detector) -> Trial:
    """The out-of-sample trial; skipped where it could score too little for a threshold: the stack is fitted only."""
    trials, dates = task.recipe.trials, pair_dates(quiet)
    block = blocks(dates, trials.folds)
    held = sum(proof.count(dates[block == b]) for b in range(trials.folds))
    if held < trials.target.min_pairs:
        level = None if task.evidence is EvidenceKind.PAIR else Level.of(np.empty(0), np.empty(0))
        return Trial.skipped(held, level)
    peaks = () if task.labelled else trials.peaks_cm
    told = partial(tell, str(task))
    return trial(quiet, proof, detector, folds=trials.folds, peaks_cm=peaks, seed=trials.seed, progress=told)


def _scores(scorer: Scorer, tiles: xr.Dataset, level: Level | None) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scorer.score(tiles[list(scorer.inputs)])["score"].values
    return values if level is None else np.asarray(level.standard(values, tiles["variance"].values))
