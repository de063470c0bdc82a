"""What a worker does: URIs and settings in, small results out. Models are loaded once per worker, never sent to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import detectors, evidence
from insar_anomaly.calibration import threshold as calibrate
from insar_anomaly.calibration.threshold import Target
from insar_anomaly.calibration.trial import Trial, blocks, trial
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors.base import BATCH, Detector, Scorer
from insar_anomaly.errors import NotFitted, PairRejected, SourceUnavailable, UsageError
from insar_anomaly.evidence.fused import Fused
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessment, Evidence, Reach, ToTiles, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.sources.base import Delays, Listed, Source, Window
from insar_anomaly.stack.prechecks import precheck
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles import preprocess

if TYPE_CHECKING:
    from insar_anomaly.detectors.backbone import Weights

_FEWEST = 8
"""Pairs, or assessments of intervals or acquisitions, that anything can be fitted on."""


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
    """One stack to be fitted and calibrated on `pairs`, for one kind of evidence. Settings are as the model keeps them."""

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    pairs: tuple[str, ...]
    deforming: tuple[str, ...]
    evidence: EvidenceKind
    reach: Reach
    preprocess: Mapping[str, Any]
    detector: Mapping[str, Any]
    storage: Mapping[str, Any]
    target: Target
    folds: int
    peaks_cm: tuple[float, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.stack} ({self.evidence})"


@dataclass(frozen=True)
class FitResult:
    """A stored model and its calibration."""

    model: str
    calibration: dict[str, Any]
    threshold: float | None
    why: str
    weights: str


def fit_stack(task: FitTask) -> FitResult:
    """Fit, calibrate out of sample, store.

    Raises
    ------
    NotFitted
        where there is too little to fit on, or too little ground.
    """
    quiet = _static_loaded(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs))
    proof = evidence_of(task.evidence, task.reach, task.volcano, quiet, task.preprocess)
    if (found := proof.count(pair_dates(quiet))) < _FEWEST:
        what = (
            "quiet pairs"
            if task.evidence == "pair"
            else f"assessments of {task.evidence}s, from {len(task.pairs)} quiet pairs,"
        )
        raise NotFitted(f"{task.stack}: {found} {what} to fit on, at least {_FEWEST} are needed; widen --from/--to")
    detector, target = build_detector(task.detector, task.storage), task.target
    if target.policy == "quantile" and task.evidence != "pair":
        # fused evidence is measured by scores out of sample, far above its training scores: the quantile of the former then
        target = replace(target, policy="fpr", fpr=1 - target.quantile)
    try:
        result, held = _trial(task, quiet, proof, detector)
        tiles = proof.tiles(quiet)
        scorer = detector.fit(tiles)
        in_sample = _scores(scorer, tiles, result.level) if target.policy == "quantile" else None
    except ValueError as problem:
        raise NotFitted(f"{task.stack}: {problem}") from problem
    if task.deforming and task.evidence == "pair":
        moving = task.store.open(task.stack, snapshot=task.snapshot, pairs=task.deforming)
        labelled = _scores(scorer, proof.tiles(moving), None)
        result = Trial(result.dates, result.negative, {"labels": labelled[~np.isnan(labelled)]}, result.years)
    chosen = calibrate.choose(result, target, in_sample=in_sample)
    if held < target.min_pairs:
        chosen = replace(chosen, why=f"{held} quiet scores out of sample, at least {target.min_pairs} are needed")
    model = scorer.to_dataset()
    if result.level is not None:
        model.attrs["level"] = json.dumps(asdict(result.level))
    identity = task.store.write_model(task.stack, model)
    weights = str(json.loads(model.attrs["settings"]).get("weights", ""))
    return FitResult(identity, chosen.as_dict(), chosen.threshold, chosen.why, weights)


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
    preprocess: str
    pairs: tuple[str, ...]
    assessments: tuple[Assessment, ...]

    def __str__(self) -> str:
        return f"{self.stack} {self.assessments[0].name} .. {self.assessments[-1].name}"


def score_assessments(task: ScoreTask) -> xr.Dataset:
    """Scores and score maps of the task's assessments; of fused evidence in terms of its `trials.Level`, with what was
    fused.
    """
    scorer, level = _scorer(task.store, task.stack, task.model)
    tiles = assessment_tiles(task)
    scores = scorer.score(tiles[list(scorer.inputs)])
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


def assessment_tiles(task: ScoreTask) -> xr.Dataset:
    """Tiles of the task's assessments; those of fused evidence are loaded."""
    stack = _static_loaded(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs))
    proof = evidence_of(task.evidence, task.reach, task.volcano, stack, json.loads(task.preprocess))
    if isinstance(proof, Fused):
        return proof.tiles(stack, [(assessment.name, assessment.after) for assessment in task.assessments])
    return proof.tiles(stack)


def evidence_of(
    kind: EvidenceKind, reach: Reach, volcano: Volcano, stack: xr.Dataset, settings: Mapping[str, Any]
) -> Evidence:
    """A kind of evidence with a stack's way to tiles."""
    # windows walk from pair to pair and keep what they need: nothing is left to be lazy about
    to_tiles = tiles_of(volcano, stack, settings, chunk=BATCH if kind == "pair" else None)
    return evidence.build(kind, to_tiles, preprocess.range_step(settings["range_form"], reach.range_rad), reach)


def tiles_of(volcano: Volcano, stack: xr.Dataset, settings: Mapping[str, Any], *, chunk: int | None = BATCH) -> ToTiles:
    """`preprocess.tiles` with its settings and the volcano's exclusion polygons; lazy in chunks of pairs, None: at once."""
    excluded = volcano.excluded(stack["y"].values, stack["x"].values)
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return lambda pairs: preprocess.tiles(pairs if chunk is None else pairs.chunk(pair=chunk), excluded=excluded, **plain)


def build_detector(settings: Mapping[str, Any], storage: Mapping[str, Any]) -> Detector:
    """The configured detector; weights that are no name of `features.named_weights` are read from their path or URL.

    Raises
    ------
    UsageError
        where the weights cannot be read or belong to another backbone.
    """
    from insar_anomaly.detectors.backbone import NAMES  # with torch, which takes a second: not for who only reads pairs

    kind, options = str(settings["kind"]), {k: v for k, v in settings.items() if k != "kind"}
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    weights = options.get("weights")
    if isinstance(weights, str) and weights not in NAMES:
        options["network"] = read_weights(weights, options.get("backbone", "resnet18"), storage)
        options["network_name"] = weights
    return detectors.build(kind, **options)


def read_weights(url: str, backbone: str, storage: Mapping[str, Any]) -> Weights:
    """A backbone's weights from a .safetensors file at any fsspec URL. Raises `UsageError` naming it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from insar_anomaly.detectors.backbone import from_torchvision

    try:
        with fsspec.open(url, "rb", **(storage if url.startswith("s3://") else {})) as f:
            return from_torchvision(backbone, load(f.read()))
    except (OSError, SafetensorError, ValueError) as problem:
        raise UsageError(
            f"[detector] weights = {url!r}: {problem}; give insar, imagenet, random or a .safetensors file"
        ) from problem


def _static_loaded(stack: xr.Dataset) -> xr.Dataset:
    """The stack with the layers that all pairs share in memory: every batch of tiles needs them."""
    return stack.assign({name: array.load() for name, array in stack.data_vars.items() if "pair" not in array.dims})


@lru_cache(maxsize=2)
def _scorer(store: Store, stack: str, model: str) -> tuple[Scorer, Level | None]:
    stored = store.read_model(stack, model)
    level = stored.attrs.get("level")
    return detectors.load(stored), None if level is None else Level(**json.loads(level))


def _trial(task: FitTask, quiet: xr.Dataset, proof: Evidence, detector: Detector) -> tuple[Trial, int]:
    """The trial, and how much it could score; where that is too little, nothing is."""
    dates = pair_dates(quiet)
    block = blocks(dates, task.folds)
    held = sum(proof.count(dates[block == b]) for b in range(task.folds))
    if held < task.target.min_pairs:
        # no threshold can come of it: fit only, and let `choose` say so
        level = None if task.evidence == "pair" else Level.of(np.empty(0), np.empty(0))
        return Trial(dates[:0], np.empty(0), {}, 0.0, level=level), held
    peaks = () if task.deforming and task.evidence == "pair" else task.peaks_cm
    return trial(quiet, proof, detector, folds=task.folds, peaks_cm=peaks, seed=task.seed), held


def _scores(scorer: Scorer, tiles: xr.Dataset, level: Level | None) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scorer.score(tiles[list(scorer.inputs)])["score"].values
    return values if level is None else np.asarray(level.standard(values, tiles["variance"].values))
