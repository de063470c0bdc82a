"""Evidence of many pairs fused: what the ground did between two acquisitions, and what one acquisition alone shows.

An interferogram is a difference of acquisitions. Motion stays: every pair that brackets it carries it. The atmosphere of a
day is in exactly the pairs of that day. So the pairs around an *interval* (from one acquisition to the next) are solved for
the acquisitions' phases by least squares, as in small-baseline methods (Berardino et al. 2002), and the mean of those after
the interval minus the mean of those before it is what a step inside it leaves, with less atmosphere than any single pair.
Each acquisition counts by the inverse of its noise: a day of bad weather counts little. The same phases tell what one
*acquisition* shows that neither those before nor those after it do: the atmosphere of its day, or motion that came back.

An interval is looked at as often as an acquisition comes after it, up to a few times: at once, and better each time. A
`Window` says what such a look sees; it follows from the pairs' dates alone. What comes out has the form of tiles, an
interval or an acquisition in the place of a pair: detectors and flags need to know nothing of it. All arrays (pair, y, x)
are phases in rad, positive away from the satellite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
"""Part of the pairs used, and of those that carry what happened, that must have measured a pixel for it to count."""


@dataclass(frozen=True)
class Window:
    """What one look sees: acquisitions as indices into the network's days, pairs as indices into its pairs.

    `before` ends with the acquisition that opens the interval, `after` begins with the one that closes it; for an
    acquisition alone (`centre`) they are its neighbours on either side. `group` is solved together, from `pairs`.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    group: tuple[int, ...]
    pairs: tuple[int, ...]
    centre: int | None = None

    @property
    def ends(self) -> tuple[int, int]:
        """The interval's acquisitions; twice the same where an acquisition stands alone."""
        return (self.before[-1], self.after[0]) if self.centre is None else (self.centre, self.centre)

    @property
    def variance(self) -> float:
        """Variance of what is shown where each acquisition's atmosphere has variance one and all are independent."""
        sides = 1 / len(self.before) + 1 / len(self.after)
        return sides if self.centre is None else 1 + sides / 4


@dataclass(frozen=True)
class Network:
    """Which pair joins which acquisitions: `days` (acquisition,) datetime64[D] ascending, `ends` (pair, 2) indices."""

    days: NDArray[np.datetime64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, dates: NDArray[np.datetime64]) -> Network:
        """The network of pairs, from their dates (pair, 2): reference, secondary."""
        days, ends = np.unique(dates.astype("datetime64[D]"), return_inverse=True)
        return cls(days, ends.reshape(dates.shape))

    def intervals(self, before: int, after: int) -> Iterator[Window]:
        """Every look at every interval that pairs join across, in order of time; looks with fewer acquisitions after first.

        Up to `before` acquisitions that end with the interval's first date, and 1, 2, .. `after` from its second on, as far
        as the pairs among them join them: a look sees no pair that was not there when its last acquisition came.
        """
        for last in range(len(self.days) - 1):
            seen = 0
            for newest in range(last + 1, min(len(self.days), last + 1 + after)):
                group = self._joined(range(max(0, last - before + 1 - _MORE), newest + 1), last)
                sides = tuple(k for k in group if last - before < k <= last), tuple(k for k in group if k > last)
                if last + 1 in group and len(sides[1]) > seen:
                    seen = len(sides[1])
                    yield Window(*sides, group, self._within(group))

    def acquisitions(self, reach: int) -> Iterator[Window]:
        """A look at every acquisition that has `reach` joined neighbours on either side, in order of time."""
        for centre in range(reach, len(self.days) - reach):
            group = self._joined(range(centre - reach, centre + reach + 1), centre)
            if len(group) == 2 * reach + 1:
                yield Window(group[:reach], group[reach + 1 :], group, self._within(group), centre)

    def name(self, window: Window) -> str:
        """``YYYYMMDD_YYYYMMDD`` of the interval; an acquisition's has its date twice."""
        first, last = (str(self.days[k]).replace("-", "") for k in window.ends)
        return f"{first}_{last}"

    def carried(self, window: Window) -> NDArray[np.int64]:
        """How often (pair,) each of the window's pairs carries what happened in it: 1, 0, or -1 for an acquisition's start.

        A step inside the interval is in every pair that brackets it; what one acquisition shows is in those that begin
        (with the other sign) or end with it.
        """
        first, last = self.ends[list(window.pairs)].T
        opens, closes = window.ends
        if window.centre is None:
            return np.asarray((first <= opens) & (last >= closes), np.int64)
        return np.asarray(last == opens, np.int64) - np.asarray(first == opens, np.int64)

    def _within(self, acquisitions: Sequence[int]) -> tuple[int, ...]:
        return tuple(int(p) for p in np.flatnonzero(np.isin(self.ends, acquisitions).all(axis=1)))

    def _joined(self, acquisitions: Sequence[int], one: int) -> tuple[int, ...]:
        """Those of the acquisitions that pairs among them join to `one`."""
        edges = self.ends[list(self._within(acquisitions))]
        group, size = {one}, 0
        while len(group) > size:
            size = len(group)
            group.update(*(edge for edge in edges.tolist() if group.intersection(edge)))
        return tuple(sorted(group))


class Cleaned:
    """Tiles of a network's pairs, made as windows need them and kept while windows walk through time.

    `stack` holds the pairs, lazy or loaded; `to_tiles` is `preprocess.tiles` with its settings.
    """

    def __init__(self, stack: xr.Dataset, to_tiles: Callable[[xr.Dataset], xr.Dataset]) -> None:
        self._stack, self._to_tiles = stack, to_tiles
        self._kept: dict[int, tuple[Floats, NDArray[np.bool_]]] = {}
        self.network = Network.of(np.stack([stack[n].values for n in ("reference", "secondary")], axis=1))
        self.none = to_tiles(stack.isel(pair=slice(0, 0)))

    def take(self, pairs: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Phases and masks (pair, y, x) of these pairs, copies; all others are let go."""
        self._kept = {p: kept for p, kept in self._kept.items() if p in pairs}
        fresh = [p for p in pairs if p not in self._kept]
        if fresh:
            new = self._to_tiles(self._stack.isel(pair=fresh))[["phase", "valid"]].load()
            self._kept |= dict(zip(fresh, zip(new["phase"].values, new["valid"].values, strict=True), strict=True))
        planes, masks = zip(*(self._kept[p] for p in pairs), strict=True)
        return np.stack(planes), np.stack(masks)


def fused(
    pairs: Cleaned,
    range_step: RangeStep,
    windows: Iterable[Window],
    *,
    moved: Callable[[Window], Mapping[int, Floats]] | None = None,
) -> xr.Dataset:
    """Tiles of what each window shows.

    Parameters
    ----------
    pairs : the windows are of its network
    range_step : the range step that made ``tile``
    windows : in order of time, so that each pair is made into a tile once
    moved : gives phases (y, x), by number of the pair, to be taken in the place of some of a window's (injected sources)

    Returns
    -------
    Dataset ``phase``, ``tile`` float32 and ``valid`` bool, dims (pair, y, x), loaded; coordinates as of tiles, where the
    interval or acquisition stands for the pair, ``after`` int64, the acquisitions after it that were seen, ``seen``, the
    date of the last of them, and ``variance`` float64, see `Window`.
    """
    network = pairs.network
    looked, shown, valid = [], [], []
    for window in windows:
        planes, measured = pairs.take(window.pairs)
        for place, plane in (moved(window) if moved else {}).items():
            planes[window.pairs.index(place)] = plane
        # a step is in the pairs that bracket it: ground that only others measured would show none, whatever happened
        telling = network.carried(window) != 0
        ground = np.minimum(measured.mean(0), measured[telling].mean(0)) >= _MEASURED
        solved = phases(planes, network.ends[list(window.pairs)], window.group)
        shown.append(_shown(solved, window, ground).astype(np.float32))
        valid.append(ground)
        looked.append(window)
    return _as_tiles(pairs.none, range_step, network, looked, shown, valid)


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


def _shown(solved: Floats, window: Window, ground: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What the window shows (y, x), from the phases (acquisition, y, x) of its group."""
    place = {k: n for n, k in enumerate(window.group)}
    if window.centre is not None:
        sides = [solved[[place[k] for k in side]].mean(0) for side in (window.before, window.after)]
        alone: NDArray[np.float64] = solved[place[window.centre]] - np.mean(sides, axis=0)
        return alone
    level = noise(solved, ground) if ground.any() else np.ones(len(solved))
    weight = 1 / (level + 0.1 * np.median(level) + 1e-12)
    means = [np.average(solved[rows], axis=0, weights=weight[rows]) for rows in _rows(window, place)]
    step: NDArray[np.float64] = means[1] - means[0]
    return step


def _rows(window: Window, place: Mapping[int, int]) -> tuple[list[int], list[int]]:
    return [place[k] for k in window.before], [place[k] for k in window.after]


def _as_tiles(
    tiles: xr.Dataset,
    range_step: RangeStep,
    network: Network,
    windows: Sequence[Window],
    shown: Sequence[Floats],
    valid: Sequence[NDArray[np.bool_]],
) -> xr.Dataset:
    shape, dims = (len(windows), tiles.sizes["y"], tiles.sizes["x"]), ("pair", "y", "x")
    phase = np.asarray(shown, np.float32).reshape(shape)
    first, last = (network.days[np.array([w.ends[i] for w in windows], np.int64)].astype("datetime64[ns]") for i in (0, 1))
    return xr.Dataset(
        {"phase": (dims, phase), "tile": (dims, range_step(phase)), "valid": (dims, np.asarray(valid, bool).reshape(shape))},
        coords={
            "pair": np.array([network.name(w) for w in windows], "<U17"),
            "reference": ("pair", first),
            "secondary": ("pair", last),
            "after": ("pair", np.array([len(w.after) for w in windows], np.int64)),
            "seen": ("pair", network.days[np.array([w.after[-1] for w in windows], np.int64)].astype("datetime64[ns]")),
            "variance": ("pair", np.array([w.variance for w in windows], np.float64)),
            "y": tiles["y"],
            "x": tiles["x"],
        },
        attrs=tiles.attrs,
    )
