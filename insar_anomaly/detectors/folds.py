"""Many fits over the same tiles at once: features are computed once, and a fit is the sum of the groups that it holds.

Tiles that belong to the same fits are one group. Its sum is made once, for some patches at a time, so that neither all
features nor all covariances of a fit are ever in memory; what stays of a fit are distances, and the last fit as a scorer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.detectors.base import Features, FeatureSpace, Scorer
from insar_anomaly.detectors.feature_file import FeatureFile


@dataclass(frozen=True)
class Tiles:
    """Features of tiles in a file, with what is small enough for the memory: see `Features`, (tile, patch) each."""

    file: FeatureFile
    seen: NDArray[np.bool_]
    weight: NDArray[np.float64] | None


@dataclass(frozen=True)
class Fit:
    """Rows of the tiles that a model is fitted on, and of those that it then scores."""

    on: NDArray[np.int64]
    scored: NDArray[np.int64]


def scores_of(
    space: FeatureSpace, tiles: Tiles, fits: Sequence[Fit], names: tuple[str, ...]
) -> tuple[list[NDArray[np.float64]], Scorer]:
    """Scores (tile,) of each fit's tiles, and the last fit as a scorer that names its tiles `names`.

    Raises
    ------
    ValueError
        where a fit has no patch that enough of its tiles have seen.
    """
    usable = [_usable(space, tiles.seen[one.on]) for one in fits]
    groups = _groups(fits, len(tiles.seen))
    patches = tiles.seen.shape[1]
    distances = [np.empty((len(one.scored), patches), np.float32) for one in fits]
    places, fitted = [], []
    for where, values in tiles.file.read():
        weight = None if tiles.weight is None else tiles.weight[:, where]
        total = _Totals(space, Features(values, tiles.seen[:, where], weight), where, groups)
        for n, one in enumerate(fits):
            some = bool(usable[n][where].any())
            made = space.closed(total.of(n, len(one.on)) if some else total.unseen(), len(one.on), usable=some)
            distances[n][:, where] = space.distance(made, values[one.scored])
        places.append(where)
        fitted.append(made)
    found = [space.score(distance, tiles.seen[one.scored]) for distance, one in zip(distances, fits, strict=True)]
    return found, space.scorer(fitted, np.concatenate(places), names)


@dataclass(frozen=True)
class _Group:
    """Tiles that are in the same fits: their rows, and the fits' numbers."""

    rows: NDArray[np.int64]
    fits: frozenset[int]


class _Totals:
    """Sums over groups for some patches, each made when the first fit asks for it."""

    def __init__(self, space: FeatureSpace, features: Features, places: NDArray[np.int64], groups: Sequence[_Group]) -> None:
        self._space, self._features, self._places, self._groups = space, features, places, groups
        self._made: dict[tuple[int, bool], Any] = {}

    def of(self, fit: int, units: int) -> Any:
        """The sum of a fit on `units` tiles."""
        few = self._space.few(units)
        parts = [self._part(n, few) for n, group in enumerate(self._groups) if fit in group.fits]
        return reduce(add, parts)

    def unseen(self) -> Any:
        """A sum for patches that are not scored: of all tiles, as if they had seen them."""
        values = self._features.values
        return self._space.total(Features(values, np.ones(values.shape[:2], bool)), self._places, few=False)

    def _part(self, group: int, few: bool) -> Any:
        if (group, few) not in self._made:
            features = self._features.of(self._groups[group].rows)
            self._made[group, few] = self._space.total(features, self._places, few=few)
        return self._made[group, few]


def _usable(space: FeatureSpace, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Patches (patch,) that enough of a fit's tiles (tile, patch) have seen."""
    count, least = seen.sum(0), space.least(len(seen))
    if not (count >= least).any():
        raise ValueError(
            f"no patch was seen in {least} pairs (most: {int(count.max(initial=0))}): fit on more pairs, or mask less"
        )
    out: NDArray[np.bool_] = count >= least
    return out


def _groups(fits: Sequence[Fit], tiles: int) -> list[_Group]:
    member = np.zeros((tiles, len(fits)), bool)
    for n, one in enumerate(fits):
        member[one.on, n] = True
    kinds, which = np.unique(member, axis=0, return_inverse=True)
    every = [_Group(np.flatnonzero(which.ravel() == n), frozenset(np.flatnonzero(kind))) for n, kind in enumerate(kinds)]
    return [group for group in every if group.fits]
