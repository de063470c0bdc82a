"""Evidence of many pairs fused: what the ground did between two acquisitions, and what one acquisition alone shows.

An interferogram is a difference of acquisitions. Motion stays: every pair that brackets it carries it. The atmosphere of a
day is in exactly the pairs of that day. So the pairs around an *interval* (from one acquisition to the next) are solved for
the acquisitions' phases by least squares, as in small-baseline methods (Berardino et al. 2002), and the mean of those after the
interval minus the mean of those before it is what a step inside it leaves, with less atmosphere than any single pair. Each
acquisition counts by the inverse of its noise: a day of bad weather counts little.

What comes out has the form of tiles, an interval in the place of a pair: detectors, thresholds and flags need to know
nothing of it. All arrays (pair, y, x) are phases in rad, positive away from the satellite.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

Floats = NDArray[np.floating]
RangeStep = Callable[[Floats], NDArray[np.float32]]
"""The range step: phase in rad -> tile in [-1, 1]; see `preprocess.range_step`."""

_MORE = 2
"""Acquisitions before those that are averaged, which help to tell how noisy each is."""
_MEASURED = 0.5
"""Part of the pairs used that must have measured a pixel for it to count as measured."""


@dataclass(frozen=True)
class Window:
    """Acquisitions around an interval, as indices into all of the stack's: `before` ends with the one that opens it."""

    before: tuple[int, ...]
    after: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """Which pair joins which acquisitions: `days` (acquisition,) datetime64[D] ascending, `ends` (pair, 2) indices."""

    days: NDArray[np.datetime64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, tiles: xr.Dataset) -> Network:
        """The network of a stack's pairs, from their two dates."""
        dates = np.stack([tiles[n].values.astype("datetime64[D]") for n in ("reference", "secondary")], axis=1)
        days, ends = np.unique(dates, return_inverse=True)
        return cls(days, ends.reshape(dates.shape))

    def windows(self, before: int, after: int) -> Iterator[Window]:
        """A window for every interval that some pair brackets, in order of time.

        Up to `before` acquisitions that end with the interval's first date, and up to `after` from its second on, as far as
        pairs between them join them to both sides.
        """
        for last in range(len(self.days) - 1):
            around = range(max(0, last - before + 1), min(len(self.days), last + 1 + after))
            for group in self._joined(around):
                sides = Window(tuple(k for k in group if k <= last), tuple(k for k in group if k > last))
                # its two dates may be joined over others, but each of them must be among those joined
                if sides.before and sides.after and sides.before[-1] == last and sides.after[0] == last + 1:
                    yield sides

    def pairs(self, acquisitions: Sequence[int]) -> NDArray[np.int64]:
        """Pairs with both ends among the acquisitions."""
        return np.flatnonzero(np.isin(self.ends, acquisitions).all(axis=1))

    def _joined(self, acquisitions: Sequence[int]) -> list[list[int]]:
        """The acquisitions in groups that pairs among them join."""
        group = {k: {k} for k in acquisitions}
        for i, j in self.ends[self.pairs(list(acquisitions))]:
            if group[int(i)] is not group[int(j)]:
                group[int(i)] |= group[int(j)]
                for k in group[int(j)]:
                    group[k] = group[int(i)]
        return [sorted(g) for g in {id(g): g for g in group.values()}.values()]


def phases(pairs: Floats, ends: NDArray[np.int64], acquisitions: Sequence[int]) -> NDArray[np.float64]:
    """Phases (acquisition, y, x) of joined acquisitions by least squares from pairs (pair, y, x); their mean is zero."""
    incidence = np.zeros((len(ends), len(acquisitions)))
    place = {k: n for n, k in enumerate(acquisitions)}
    for row, (first, last) in enumerate(ends):
        incidence[row, place[int(first)]], incidence[row, place[int(last)]] = -1, 1
    solved: NDArray[np.float64] = np.tensordot(np.linalg.pinv(incidence), pairs, 1)
    return solved


def noise(solved: Floats, ground: NDArray[np.bool_], *, reach: int = 2) -> NDArray[np.float64]:
    """Mean square (acquisition,) rad2 of each acquisition's departure from its neighbours, over `ground` (y, x).

    The smaller of the departures from the mean of the `reach` acquisitions before and from that of those after: a step
    between two acquisitions, which is what is looked for, makes neither of them noisy.
    """
    out = np.empty(len(solved))
    for n, one in enumerate(solved):
        sides = (solved[max(0, n - reach) : n], solved[n + 1 : n + 1 + reach])
        out[n] = min(float(((one - side.mean(0))[ground] ** 2).mean()) for side in sides if len(side))
    return out


def intervals(
    tiles: xr.Dataset, range_step: RangeStep, *, before: int = 3, after: int = 3, wanted: Container[str] | None = None
) -> xr.Dataset:
    """Tiles of every interval between two successive acquisitions that some pair brackets.

    Parameters
    ----------
    tiles : as `preprocess.tiles` gives them, lazy or loaded; pairs in any order
    range_step : the range step that made ``tile``
    before, after : acquisitions that are averaged on either side; fewer at the ends of the stack
    wanted : names of the intervals to make; None makes all

    Returns
    -------
    Dataset ``phase``, ``tile`` float32 and ``valid`` bool, dims (pair, y, x), loaded; coordinates as of tiles, where the
    interval stands for the pair, and ``after`` int64, the acquisitions that it could be seen with so far.
    """
    network = Network.of(tiles)
    held = _Held(tiles)
    shown, valid, found = [], [], []
    for window in network.windows(before, after):
        opens, closes = network.days[window.before[-1]], network.days[window.after[0]]
        if wanted is not None and _name(opens, closes) not in wanted:
            continue
        first = max(0, window.before[0] - _MORE)
        group = next(g for g in network._joined(range(first, window.after[-1] + 1)) if window.after[0] in g)
        used = network.pairs(group)
        planes, measured = held.take(used)
        share = measured.mean(0)
        ground = share >= _MEASURED
        solved = phases(planes, network.ends[used], group)
        level = noise(solved, ground) if ground.any() else np.ones(len(group))
        weight = dict(zip(group, 1 / (level + 0.1 * np.median(level) + 1e-12), strict=True))
        shown.append(_mean(solved, group, window.after, weight) - _mean(solved, group, window.before, weight))
        valid.append(ground)
        found.append((opens, closes, len(window.after)))
    return _as_tiles(tiles, range_step, shown, valid, found)


def acquisitions(tiles: xr.Dataset, range_step: RangeStep, *, reach: int = 2) -> xr.Dataset:
    """Tiles of every acquisition against its neighbours: what it shows that neither `reach` before nor `reach` after do.

    High where the atmosphere of one day was unusual, or the ground moved and came back; zero for motion that stays, half of
    which the neighbours on either side have. Arguments and result as of `intervals`; reference and secondary are both its
    date, and its name in ``pair`` is ``YYYYMMDD``.
    """
    network = Network.of(tiles)
    held = _Held(tiles)
    shown, valid, found = [], [], []
    for n, day in enumerate(network.days):
        near = range(max(0, n - reach), min(len(network.days), n + reach + 1))
        group = next(g for g in network._joined(near) if n in g)
        if len(group) < 2:
            continue
        used = network.pairs(group)
        planes, measured = held.take(used)
        solved = phases(planes, network.ends[used], group)
        one = solved[group.index(n)]
        at = group.index(n)
        sides = [side.mean(0) for side in (solved[:at], solved[at + 1 :]) if len(side)]
        shown.append(one - np.mean(sides, axis=0))
        valid.append(measured.mean(0) >= _MEASURED)
        found.append((day, day, len(group) - at - 1))
    return _as_tiles(tiles, range_step, shown, valid, found)


class _Held:
    """The pairs of the present window, loaded once while windows walk through time."""

    def __init__(self, tiles: xr.Dataset) -> None:
        self._tiles = tiles[["phase", "valid"]]
        self._loaded: dict[int, tuple[Floats, NDArray[np.bool_]]] = {}

    def take(self, pairs: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
        """Phases and masks (pair, y, x) of these pairs; all others are let go."""
        self._loaded = {p: kept for p, kept in self._loaded.items() if p in pairs}
        fresh = [int(p) for p in pairs if p not in self._loaded]
        if fresh:
            new = self._tiles.isel(pair=fresh).load()
            for n, p in enumerate(fresh):
                self._loaded[p] = (new["phase"].values[n], new["valid"].values[n])
        planes, masks = zip(*(self._loaded[int(p)] for p in pairs), strict=True)
        return np.stack(planes), np.stack(masks)


def _mean(solved: Floats, group: Sequence[int], wanted: Sequence[int], weight: dict[int, float]) -> NDArray[np.float64]:
    weights = np.array([weight[k] for k in wanted])
    rows = [group.index(k) for k in wanted]
    mean: NDArray[np.float64] = np.tensordot(weights / weights.sum(), solved[rows], 1)
    return mean


def _as_tiles(
    tiles: xr.Dataset,
    range_step: RangeStep,
    shown: list[NDArray[np.float64]],
    valid: list[NDArray[np.bool_]],
    found: list[tuple[np.datetime64, np.datetime64, int]],
) -> xr.Dataset:
    shape = (len(shown), tiles.sizes["y"], tiles.sizes["x"])
    phase = np.asarray(shown, np.float32).reshape(shape)
    first, last = (np.array([f[i] for f in found], "datetime64[ns]") for i in (0, 1))
    names = [_name(*f[:2]) for f in found]
    dims = ("pair", "y", "x")
    return xr.Dataset(
        {"phase": (dims, phase), "tile": (dims, range_step(phase)), "valid": (dims, np.asarray(valid, bool).reshape(shape))},
        coords={
            "pair": np.asarray(names, "<U17"),
            "reference": ("pair", first),
            "secondary": ("pair", last),
            "after": ("pair", np.array([f[2] for f in found], np.int64)),
            "y": tiles["y"],
            "x": tiles["x"],
        },
        attrs=tiles.attrs,
    )


def _name(first: np.datetime64, last: np.datetime64) -> str:
    days = [str(day).replace("-", "") for day in (first, last)]
    return days[0] if days[0] == days[1] else "_".join(days)
