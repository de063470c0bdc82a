"""The trial and the fit of a detector that is a sum over features: each tile goes through the network once.

What is trained on and what is held out is as in `trial.trial`, to the last pair. Only, blocks of time share their tiles: a
window of a block's network that consists of the same pairs as one of the whole stack is the same `Item`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.calibration.scored import Scored
from insar_anomaly.calibration.trial import Block, Trial, as_trial
from insar_anomaly.detectors.base import BATCH, FeatureSpace, Progress, Scorer, silent
from insar_anomaly.detectors.feature_file import FeatureFile, Kept, Nothing, Packing, Rows
from insar_anomaly.detectors.folds import Fit, Tiles, scores_of
from insar_anomaly.evidence.inject import Peak, Placed
from insar_anomaly.evidence.items import Item, bare, dates_of
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Evidence, pair_dates


@dataclass(frozen=True)
class Sources:
    """The peaks (cm) that are asked for, and the seed; sources are drawn between the smallest and the largest peak."""

    peaks_cm: tuple[float, ...]
    seed: int

    @property
    def drawn(self) -> tuple[Peak, int]:
        """As `Evidence.make` takes them."""
        return (min(self.peaks_cm), max(self.peaks_cm)), self.seed


@dataclass(frozen=True)
class Work:
    """What is fitted: evidence of a stack's pairs, with the features of its tiles.

    Parameters
    ----------
    evidence, planes : what is made of which pairs
    space : the detector's features
    pairs : what names each of the stack's pairs, and changes when the pair does
    kept : features from earlier fits
    progress : called with the number of tiles that have features, and of all
    """

    evidence: Evidence
    planes: Planes
    space: FeatureSpace
    pairs: Sequence[str]
    kept: Kept = field(default_factory=Nothing)
    progress: Progress = silent


def fitted(
    work: Work, blocks: Sequence[Block], sources: Sources, *, in_sample: bool = False
) -> tuple[Trial, Scorer, NDArray[np.float64]]:
    """The out-of-sample trial over `blocks`, the scorer of all pairs, and its scores of them if `in_sample` (else none).

    Raises
    ------
    ValueError
        where a block, or the whole, leaves too little to fit on.
    """
    plan = _Plan.of(work, blocks, bool(sources.peaks_cm))
    every = plan.every
    with closing(FeatureFile(Packing(work.space.grid, work.space.repeats), len(every))) as file:
        place, tiles = _computed(work, every, sources, file)

        def rows(items: Sequence[Item], *, moved: bool = False) -> NDArray[np.int64]:
            return np.array([place[one, moved] for one in items], np.int64)

        fits = [
            Fit(rows(train), np.concatenate([rows(held), rows(tried, moved=True)]))
            for train, held, tried in zip(plan.train, plan.held, plan.tried, strict=True)
        ]
        last = rows(plan.whole)
        fits.append(Fit(last, last if in_sample else last[:0]))
        scores, scorer = scores_of(work.space, tiles, fits, tuple(one.name for one in plan.whole))
    quiet, moved = [], []
    for score, held, tried in zip(scores[:-1], plan.held, plan.tried, strict=True):
        quiet.append(Scored.of(score[: len(held)], bare(held)))
        if tried:
            peak_cm, seed = sources.drawn
            drawn = Placed.of(dates_of(tried), work.planes.shape, peak_cm=peak_cm, seed=seed)
            moved.append(Scored.of(score[len(held) :], drawn.on(bare(tried))))
    years = sum(block.days for block in blocks) / 365.25
    return as_trial(quiet, moved, peaks_cm=sources.peaks_cm, years=years), scorer, scores[-1]


_Tile = tuple[Item, bool]
"""An item, and whether there is a source in it."""


@dataclass(frozen=True)
class _Plan:
    """What each block is fitted on, what it holds out, into which of that sources are put; and what all pairs give."""

    train: list[list[Item]]
    held: list[list[Item]]
    tried: list[list[Item]]
    whole: list[Item]

    @classmethod
    def of(cls, work: Work, blocks: Sequence[Block], sources: bool) -> _Plan:
        evidence, dates = work.evidence, pair_dates(work.planes.stack)
        held = [evidence.items(dates, block.inside) for block in blocks]
        tried = [evidence.tried(items) if sources else [] for items in held]
        train = [evidence.items(dates, block.free) for block in blocks]
        return cls(train, held, tried, evidence.items(dates, np.arange(len(dates))))

    @property
    def every(self) -> list[_Tile]:
        """Every tile once, in order of time and interval by interval, so that neighbours share pairs and sources."""
        quiet = {one for items in (self.whole, *self.train, *self.held) for one in items}
        found = [(one, False) for one in quiet] + [(one, True) for one in {one for items in self.tried for one in items}]
        return sorted(found, key=lambda tile: (tile[0].last, tile[0].first, tile[0].after, tile[0].pairs, tile[1]))


def _computed(work: Work, every: Sequence[_Tile], sources: Sources, file: FeatureFile) -> tuple[dict[_Tile, int], Tiles]:
    """The row of each tile in the file, where its features are now, and what else is known of the rows."""
    keys = {_key(work, tile, sources): tile for tile in every}
    place: dict[_Tile, int] = {}
    patches = work.space.grid[0] * work.space.grid[1]
    seen, weight = np.zeros((len(every), patches), bool), None

    def take(tiles: Sequence[_Tile], rows: Rows) -> None:
        nonlocal weight
        start = len(place)
        part = slice(start, start + len(tiles))
        file.write(start, rows.values)
        seen[part] = rows.seen
        if rows.weight is not None:
            weight = np.ones(seen.shape) if weight is None else weight
            weight[part] = rows.weight
        place.update(zip(tiles, range(start, start + len(tiles)), strict=True))
        work.progress(len(place), len(every))

    for found, rows in work.kept.read(keys.keys()):
        take([keys[key] for key in found], rows)
    missing = {tile: key for key, tile in keys.items() if tile not in place}
    for tiles, rows in _new(work, list(missing), sources, file.packing):
        work.kept.write([missing[tile] for tile in tiles], rows)
        take(tiles, rows)
    return place, Tiles(file, seen, weight)


def _new(work: Work, tiles: Sequence[_Tile], sources: Sources, packing: Packing) -> Iterator[tuple[list[_Tile], Rows]]:
    """Tiles, some at a time, and their features."""
    for start in range(0, len(tiles), BATCH):
        some = tiles[start : start + BATCH]
        for moved in (False, True):
            chosen = [tile for tile in some if tile[1] is moved]
            if not chosen:
                continue
            peak_cm, seed = sources.drawn if moved else (0.0, 0)
            made = work.evidence.make(work.planes, [one for one, _ in chosen], peak_cm=peak_cm, seed=seed)
            names = [name for name in (*work.space.inputs, "weight") if name in made]
            found = work.space.features(made[names])
            flat = (len(chosen), -1)
            weight = None if found.weight is None else found.weight.reshape(flat)
            yield chosen, Rows(packing.packed(found.values), found.seen.reshape(flat), weight)


def _key(work: Work, tile: _Tile, sources: Sources) -> str:
    """Names a tile by everything that decides it but the settings: its pairs, and the source in it."""
    item, moved = tile
    source = [min(sources.peaks_cm), max(sources.peaks_cm), sources.seed] if moved else None
    content = [item.name, item.after, [work.pairs[p] for p in item.pairs], source]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
