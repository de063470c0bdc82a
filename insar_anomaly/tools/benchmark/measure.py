"""Fit and score each system on each stack, one task per pair of them; what was measured once is kept."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import __version__
from insar_anomaly.calibration.samples import LABELLED, injected
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors import takes
from insar_anomaly.detectors.base import BATCH, FEWEST, Scorer
from insar_anomaly.errors import StackFailed, Verdict
from insar_anomaly.evidence.inject import inject
from insar_anomaly.evidence.protocol import ToTiles
from insar_anomaly.names import JsonObject
from insar_anomaly.pipeline import Installation, Run, storage_options
from insar_anomaly.pipeline.parts import build_detector, tiles_of
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.sources.base import StorageOptions
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles.preprocess import Cleaning
from insar_anomaly.tools.benchmark.cases import Case, Plan
from insar_anomaly.tools.benchmark.systems import settings_of


@dataclass(frozen=True)
class Measured:
    """Scores of one system on one stack.

    ``negative`` maps a quiet test pair to its score; ``positive`` maps a kind of positive ("4 cm" or "labels") to scores by
    pair; ``in_sample`` are the training pairs' scores. NaN scores are None. Times are seconds on one worker.
    """

    stack: str
    system: str
    settings: JsonObject
    train: int
    negative: dict[str, float | None]
    positive: dict[str, dict[str, float | None]]
    in_sample: list[float | None]
    fit_s: float
    score_s: float
    maps: str


@dataclass(frozen=True)
class _Task:
    store: Store
    volcano: Volcano
    snapshot: str
    case: Case
    system: str
    detector: DetectorChoice
    cleaning: Cleaning
    storage: StorageOptions
    train: tuple[str, ...]
    quiet: tuple[str, ...]
    positive: tuple[str, ...]
    peaks_cm: tuple[float, ...]
    seed: int
    out: str

    @property
    def key(self) -> str:
        """Names the result by everything that decides it."""
        content: list[Any] = [
            self.case.stack,
            self.snapshot,
            self.system,
            self.detector.content,
            asdict(self.cleaning),
            self.train,
            self.quiet,
        ]
        content += [self.positive, self.peaks_cm, self.seed, __version__]
        return hashlib.sha256(json.dumps(content, default=str, sort_keys=True).encode()).hexdigest()[:16]

    def __str__(self) -> str:
        return f"{self.case.stack} {self.system}"


def run(s: Installation, night: Run, plan: Plan, out: Path) -> list[Measured]:
    """Measure every system of the plan on every case; failures are counted in `night`, results kept below `out`.

    A comparison that was stopped goes on where it was: a result is named by the hash of what decides it.
    """
    (out / "results").mkdir(parents=True, exist_ok=True)
    tasks, found = [], []
    for case in plan.cases:
        try:
            mine = [_task(s, plan, case, system, out) for system in plan.systems]
            _note_unmatched(s, night, case)
        except StackFailed as problem:
            night.fail(case.stack, "benchmark", problem)
            continue
        for task in mine:
            kept = out / "results" / f"{task.key}.json"
            if kept.exists():
                found.append(Measured(**json.loads(kept.read_text())))
            else:
                tasks.append(task)
    for done, (task, result, error) in enumerate(s.workers.fan_out(_measure, tasks, gpu=True), 1):
        if result is None:
            night.fail(task.case.stack, f"benchmark {task.system}", error or "no result")
        else:
            found.append(result)
        s.watch("benchmark", done, len(tasks))
    order = {name: i for i, name in enumerate(plan.systems)}
    return sorted(found, key=lambda m: (m.stack, order[m.system]))


def _note_unmatched(s: Installation, night: Run, case: Case) -> None:
    """Say which labels name no accepted pair of the stack."""
    known = {pair for pair, seen in s.ledger.seen(case.stack).items() if seen.verdict == Verdict.OK}
    lost = sorted((case.positives | (case.negatives or frozenset())) - known)
    if lost:
        night.warn(f"{case.stack}: {len(lost)} labelled pairs are not in the stack, first {lost[0]}")


def _task(s: Installation, plan: Plan, case: Case, system: str, out: Path) -> _Task:
    accepted = [pair for pair, seen in s.ledger.seen(case.stack).items() if seen.verdict == Verdict.OK]
    train, quiet, positive = case.split(accepted, plan.every)
    if min(len(train), len(quiet)) < FEWEST:
        raise StackFailed(
            f"{case.stack}: {len(train)} pairs to train on and {len(quiet)} quiet ones to test, at least {FEWEST} of "
            "each are needed; ingest first, or move the split"
        )
    detector, cleaning = settings_of(system, budget=plan.budget, weights=plan.weights, seed=plan.seed)
    return _Task(
        store=s.store,
        volcano=s.by_stack[case.stack],
        snapshot=s.store.snapshot(case.stack),
        case=case,
        system=system,
        detector=detector,
        cleaning=cleaning,
        storage=storage_options(s.config.storage),
        train=tuple(train),
        quiet=tuple(quiet),
        positive=tuple(positive),
        peaks_cm=() if case.labelled else plan.peaks_cm,
        seed=plan.seed,
        out=str(out),
    )


def _measure(task: _Task) -> Measured:
    def opened(pairs: tuple[str, ...]) -> xr.Dataset:
        return task.store.open(task.case.stack, snapshot=task.snapshot, pairs=pairs)

    train, quiet = opened(task.train), opened(task.quiet)
    to_tiles = tiles_of(task.volcano, train, task.cleaning)
    detector = task.detector
    if takes(detector.kind, "checkpoint"):  # it trains, and can go on
        kept = str(Path(task.out) / "results" / f"{task.key}.checkpoint")
        detector = DetectorChoice(detector.kind, {**detector.options, "checkpoint": kept})
    started = time.perf_counter()
    scorer = build_detector(detector, task.storage).fit(to_tiles(train))
    fitted = time.perf_counter()
    negative, first = _scores(scorer, quiet, to_tiles)
    scored = time.perf_counter()
    positive, shown = {}, first
    for peak in task.peaks_cm:
        positive[str(injected(peak))], shown = _scores(scorer, quiet, to_tiles, peak_cm=peak, seed=task.seed)
    if task.positive:
        positive[str(LABELLED)], shown = _scores(scorer, opened(task.positive), to_tiles)
    result = Measured(
        stack=task.case.stack,
        system=task.system,
        settings={"detector": task.detector.content, "preprocess": asdict(task.cleaning)},
        train=len(task.train),
        negative=_plain(negative),
        positive={name: _plain(values) for name, values in positive.items()},
        in_sample=list(_plain(_scores(scorer, train, to_tiles)[0]).values()),
        fit_s=fitted - started,
        score_s=(scored - fitted) / len(task.quiet),
        maps=_keep_maps(task, first, shown),
    )
    place = Path(task.out) / "results" / f"{task.key}.json"
    part = place.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(result)))
    part.replace(place)
    return result


def _scores(
    scorer: Scorer, stack: xr.Dataset, to_tiles: ToTiles, *, peak_cm: float = 0.0, seed: int = 0
) -> tuple[dict[str, float], NDArray[Any]]:
    """Score by pair, and the score map of the first pair."""
    out: dict[str, float] = {}
    first: NDArray[Any] | None = None
    for start in range(0, stack.sizes["pair"], BATCH):
        batch = stack.isel(pair=slice(start, start + BATCH))
        if peak_cm:
            batch = inject(batch, peak_cm=peak_cm, seed=seed)
        scores = scorer.score(to_tiles(batch)[list(scorer.inputs)])
        out |= dict(zip(map(str, batch["pair"].values), map(float, scores["score"].values), strict=True))
        if first is None:
            first = scores["score_map"].values[0]
    assert first is not None
    return out, first


def _plain(values: Mapping[str, float]) -> dict[str, float | None]:
    return {pair: None if np.isnan(value) else value for pair, value in values.items()}


def _keep_maps(task: _Task, quiet: NDArray[Any], positive: NDArray[Any]) -> str:
    """Score maps of the first quiet pair and of the first pair with the strongest positive, for the panels."""
    place = Path(task.out) / "results" / f"{task.key}.npz"
    np.savez_compressed(place, quiet=quiet.astype(np.float32), positive=positive.astype(np.float32))
    return place.name
