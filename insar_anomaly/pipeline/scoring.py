"""What a worker scores: a model is loaded once per worker, never sent to it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import xarray as xr

from insar_anomaly import detectors
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors.base import BATCH, Scorer, pack_network
from insar_anomaly.evidence.fused import Fused
from insar_anomaly.evidence.inject import inject
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.protocol import Assessment, Reach
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.parts import evidence_of
from insar_anomaly.stack.schema import cell_centres, wavelength_of
from insar_anomaly.stack.store import Store
from insar_anomaly.stack.store.backbones import network_hash
from insar_anomaly.tiles.preprocess import Cleaning
from insar_anomaly.units import rad_per_m


@dataclass(frozen=True)
class ScoreTask:
    """Assessments of one stack to be scored with one stored model; `pairs` are all that its network is made of.

    With `peak_cm`, a synthetic source of that size is put into each; `seed` draws its place and depth.
    """

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
    peak_cm: float = 0.0
    seed: int = 0

    def __str__(self) -> str:
        return f"{self.stack} {self.assessments[0].name} .. {self.assessments[-1].name}"


def score_assessments(task: ScoreTask) -> xr.Dataset:
    """Scores and score maps of the task's assessments; those of fused evidence are measured by its
    level and say what was fused.
    """
    scorer, level = _scorer(task.store, task.stack, task.model)
    tiles = assessment_tiles(task)
    scores = _batched(_located(scorer.score(tiles[list(scorer.inputs)]), tiles, task), task)
    if level is None:
        return _with_versions(scores, task)
    variance, after = scores["variance"].values, scores["after"].values
    days = (scores["secondary"].values - scores["reference"].values) / np.timedelta64(1, "D")
    fused = {(assessment.name, assessment.after): assessment.inputs for assessment in task.assessments}
    inputs = [fused[str(name), int(seen)] for name, seen in zip(scores["pair"].values, after, strict=True)]
    score_map = level.standard(scores["score_map"].values, *(each[:, None, None] for each in (variance, days)))
    return scores.drop_vars(["after", "seen", "variance"]).assign(
        score=("pair", level.standard(scores["score"].values, variance, days)),
        score_map=(("pair", "v", "u"), score_map.astype(np.float32)),
        after=("pair", after),
        inputs=("pair", np.array(inputs, np.int64)),
    )


def _batched(scores: xr.Dataset, task: ScoreTask) -> xr.Dataset:
    """Scores that say with which others each went through the network: alone, its last digits would be others."""
    after = scores["after"].values.tolist() if "after" in scores else [0] * scores.sizes["pair"]
    names = [f"{name} {number}" for name, number in zip(map(str, scores["pair"].values), after, strict=True)]
    batches: list[int] = []
    places: list[int] = []
    for start in range(0, len(names), BATCH):
        together = names[start : start + BATCH]
        text = "\n".join((task.snapshot, task.model, *together)).encode()
        batches += [int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1] * len(together)
        places += range(len(together))
    return scores.assign(batch=("pair", np.array(batches, np.int64)), batch_place=("pair", np.array(places, np.int64)))


@dataclass(frozen=True)
class Measured:
    """One assessment's score with the numbers on the way to it.

    `low_cm` and `high_cm`: smallest and largest motion towards the satellite that the detector saw, `valid` the part of the
    box that is measured; `raw`: what the detector gave, `highest` the largest value of its map, at `lat` and `lon` in
    degrees; `variance` and `days`: of fused evidence, NaN for pairs; `level`: by name, what it was measured by, None for
    pairs.
    """

    low_cm: float
    high_cm: float
    valid: float
    raw: float
    highest: float
    lat: float
    lon: float
    variance: float
    days: float
    level: dict[str, float] | None
    score: float


def measured(task: ScoreTask, of: Assessment) -> Measured:
    """The score of one of a task's assessments, made as `score_assessments` does, with what lies between.

    Raises
    ------
    StoreFailed
        where snapshot or model are not in the store any more.
    """
    scorer, level = _scorer(task.store, task.stack, task.model)
    tiles = assessment_tiles(task)
    raw = _located(scorer.score(tiles[list(scorer.inputs)]), tiles, task)
    after = raw["after"].values if "after" in raw else np.zeros(raw.sizes["pair"], int)
    [at] = np.flatnonzero((raw["pair"].values.astype(str) == of.name) & (after == of.after))
    cm = 100 * tiles["phase"].values[at] / rad_per_m(wavelength_of(task.store.open(task.stack, snapshot=task.snapshot)))
    seen = tiles["valid"].values[at] if "valid" in tiles else np.isfinite(cm)
    chart = raw["score_map"].values[at]
    v, u = np.unravel_index(np.nanargmax(chart), chart.shape)
    fused = level is not None
    return Measured(
        low_cm=float(np.nanmin(cm[seen])),
        high_cm=float(np.nanmax(cm[seen])),
        valid=float(seen.mean()),
        raw=float(raw["score"].values[at]),
        highest=float(chart[v, u]),
        lat=float(raw["lat"].values[v]),
        lon=float(raw["lon"].values[u]),
        variance=float(raw["variance"].values[at]) if fused else float("nan"),
        days=float((raw["secondary"].values - raw["reference"].values)[at] / np.timedelta64(1, "D")),
        level=asdict(level) if level is not None else None,
        score=float(score_assessments(task)["score"].values[at]),
    )


def _with_versions(scores: xr.Dataset, task: ScoreTask) -> xr.Dataset:
    """Scores of single pairs that say which version of each was scored, where one was ever replaced."""
    versions = {one.name: one.inputs for one in task.assessments}
    if not any(versions.values()):
        return scores
    return scores.assign(inputs=("pair", np.array([versions[str(name)] for name in scores["pair"].values], np.int64)))


def _located(scores: xr.Dataset, tiles: xr.Dataset, task: ScoreTask) -> xr.Dataset:
    """Scores with the places of their maps' cells, and the names of what they are of."""
    lat, lon = (cell_centres(tiles[name].values, scores.attrs["stride"]) for name in ("y", "x"))
    names = {"stack": task.stack, "evidence": task.evidence.value, "model": task.model}
    places = {"lat": ("v", lat[: scores.sizes["v"]]), "lon": ("u", lon[: scores.sizes["u"]])}
    return scores.assign_coords(places).assign_attrs(names)


def assessment_tiles(task: ScoreTask) -> xr.Dataset:
    """Tiles of the task's assessments; those of fused evidence are loaded."""
    stack = static_loaded(task.store.open(task.stack, snapshot=task.snapshot, pairs=task.pairs))
    proof = evidence_of(task.evidence, task.reach, task.volcano, stack, task.cleaning)
    if isinstance(proof, Fused):
        wanted = [(assessment.name, assessment.after) for assessment in task.assessments]
        return proof.tiles(stack, wanted, peak_cm=task.peak_cm, seed=task.seed)
    return proof.tiles(inject(stack, peak_cm=task.peak_cm, seed=task.seed) if task.peak_cm else stack)


def static_loaded(stack: xr.Dataset) -> xr.Dataset:
    """The stack with the layers that all pairs share, and its coordinates, in memory: every batch of tiles needs them."""
    static = {name: array.load() for name, array in stack.data_vars.items() if "pair" not in array.dims}
    return stack.assign(static).assign_coords({name: array.load() for name, array in stack.coords.items()})


@lru_cache(maxsize=2)
def _scorer(store: Store, stack: str, model: str) -> tuple[Scorer, Level | None]:
    stored = store.read_model(stack, model, spare=_packaged)
    level = stored.attrs.get("level")
    return detectors.load(stored), None if level is None else Level.read(level)


def _packaged(name: str) -> xr.DataArray | None:
    """The network of this hash, where it is the one that comes with the package."""
    from insar_anomaly.detectors.backbone import insar_weights  # torch takes seconds to import

    network = pack_network(insar_weights("resnet18")[0])
    return network if network_hash(network) == name else None
