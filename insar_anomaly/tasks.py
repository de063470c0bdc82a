"""What a worker does: URIs and settings in, small results out. Models are loaded once per worker, never sent to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import fsspec
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import calibrate, detectors, features, preprocess
from insar_anomaly.calibrate import Target
from insar_anomaly.catalogue import Volcano
from insar_anomaly.detectors.base import BATCH, Detector, Scorer
from insar_anomaly.errors import NotFitted, PairRejected, SourceUnavailable, UsageError
from insar_anomaly.ingest import precheck
from insar_anomaly.schema import Grid, Listed
from insar_anomaly.sources import Source, Window
from insar_anomaly.store import Store

_FEWEST_PAIRS = 8


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
    """Per stack: accepted windows and rejections by pair. `unreached` holds what storage, not a pair, is to blame for."""

    windows: dict[str, dict[str, Window]] = field(default_factory=dict)
    rejected: dict[str, dict[str, PairRejected]] = field(default_factory=dict)
    unreached: str | None = None


def read_pairs(task: ReadTask) -> ReadResult:
    """Open each pair's files once, cut every stack's window, precheck it."""
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
    return out


@dataclass(frozen=True)
class FitTask:
    """One stack to be fitted and calibrated on `pairs`. Settings are plain dictionaries, as the model keeps them."""

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    pairs: tuple[str, ...]
    deforming: tuple[str, ...]
    preprocess: Mapping[str, Any]
    detector: Mapping[str, Any]
    storage: Mapping[str, Any]
    target: Target
    folds: int
    peaks_cm: tuple[float, ...]
    seed: int

    def __str__(self) -> str:
        return self.stack


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
        where there are too few pairs or too little ground.
    """
    if len(task.pairs) < _FEWEST_PAIRS:
        raise NotFitted(
            f"{task.stack}: {len(task.pairs)} quiet pairs to fit on, at least {_FEWEST_PAIRS} are needed; widen --from/--to"
        )
    stack = task.store.open(task.stack, snapshot=task.snapshot)
    to_tiles = tiles_of(task.volcano, stack, task.preprocess)
    quiet = task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs)
    detector = build_detector(task.detector, task.storage)
    try:
        result = _trial(task, quiet, to_tiles, detector)
        tiles = to_tiles(quiet)
        scorer = detector.fit(tiles)
        in_sample = _scores(scorer, tiles) if task.target.policy == "quantile" else None
    except ValueError as problem:
        raise NotFitted(f"{task.stack}: {problem}") from problem
    if task.deforming:
        labelled = _scores(scorer, to_tiles(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.deforming)))
        result = calibrate.Trial(result.dates, result.negative, {"labels": labelled[~np.isnan(labelled)]}, result.years)
    chosen = calibrate.choose(result, task.target, in_sample=in_sample)
    model = scorer.to_dataset()
    identity = task.store.write_model(task.stack, model)
    weights = str(json.loads(model.attrs["settings"]).get("weights", ""))
    return FitResult(identity, chosen.as_dict(), chosen.threshold, chosen.why, weights)


@dataclass(frozen=True)
class ScoreTask:
    """Pairs of one stack to be scored with one stored model."""

    store: Store
    stack: str
    volcano: Volcano
    snapshot: str
    model: str
    preprocess: str
    pairs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.stack} {self.pairs[0]} .. {self.pairs[-1]}"


def score_pairs(task: ScoreTask) -> xr.Dataset:
    """Scores and score maps of the task's pairs."""
    scorer = _scorer(task.store, task.stack, task.model)
    stack = task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs)
    tiles = tiles_of(task.volcano, stack, json.loads(task.preprocess))(stack)
    return scorer.score(tiles[list(scorer.inputs)])


def tiles_of(volcano: Volcano, stack: xr.Dataset, settings: Mapping[str, Any]) -> calibrate.ToTiles:
    """`preprocess.tiles`, lazy in chunks of a batch, with its settings and the volcano's exclusion polygons."""
    excluded = volcano.excluded(stack["y"].values, stack["x"].values)
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
    return lambda pairs: preprocess.tiles(pairs.chunk(pair=BATCH), excluded=excluded, **plain)


def build_detector(settings: Mapping[str, Any], storage: Mapping[str, Any]) -> Detector:
    """The configured detector; weights that are no name of `features.named_weights` are read from their path or URL.

    Raises
    ------
    UsageError
        where the weights cannot be read or belong to another backbone.
    """
    kind, options = str(settings["kind"]), {k: v for k, v in settings.items() if k != "kind"}
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    weights = options.get("weights")
    if isinstance(weights, str) and weights not in features.NAMES:
        options["network"] = read_weights(weights, options.get("backbone", "resnet18"), storage)
        options["network_name"] = weights
    return detectors.build(kind, **options)


def read_weights(url: str, backbone: str, storage: Mapping[str, Any]) -> features.Weights:
    """A backbone's weights from a .safetensors file at any fsspec URL. Raises `UsageError` naming it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        with fsspec.open(url, "rb", **(storage if url.startswith("s3://") else {})) as f:
            return features.from_torchvision(backbone, load(f.read()))
    except (OSError, SafetensorError, ValueError) as problem:
        raise UsageError(
            f"[detector] weights = {url!r}: {problem}; give insar, imagenet, random or a .safetensors file"
        ) from problem


@lru_cache(maxsize=2)
def _scorer(store: Store, stack: str, model: str) -> Scorer:
    return detectors.load(store.read_model(stack, model))


def _trial(task: FitTask, quiet: xr.Dataset, to_tiles: calibrate.ToTiles, detector: Detector) -> calibrate.Trial:
    dates = calibrate.pair_dates(quiet)
    held = int((calibrate.blocks(dates, task.folds) >= 0).sum())
    if held < task.target.min_pairs:
        # no threshold can come of it: fit only, and let `choose` say so
        return calibrate.Trial(dates[:0], np.empty(0), {}, 0.0)
    peaks = () if task.deforming else task.peaks_cm
    return calibrate.trial(quiet, to_tiles, detector, folds=task.folds, peaks_cm=peaks, seed=task.seed)


def _scores(scorer: Scorer, tiles: xr.Dataset) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scorer.score(tiles[list(scorer.inputs)])["score"].values
    return values
