"""Evidence of many pairs fused: what the ground did between two acquisitions, and what one acquisition alone shows.

An interferogram is a difference of acquisitions. Motion stays: every pair that brackets it carries it. The atmosphere of a
day is in exactly the pairs of that day. So the pairs around an *interval* (from one acquisition to the next) are solved for
the acquisitions' phases by least squares, as in small-baseline methods (Berardino et al. 2002), and the mean of those after
the interval minus the mean of those before it is what a step inside it leaves, with less atmosphere than any single pair.
Each acquisition counts by the inverse of its noise: a day of bad weather counts little. The same phases tell what one
*acquisition* shows that neither those before nor those after it do: the atmosphere of its day, or motion that came back.

An interval is assessed each time that an acquisition comes after it, up to a few times, and better each time. A `Window`
says what such an assessment uses; it follows from the pairs' dates alone. What comes out has the form of tiles, an
interval or an acquisition in the place of a pair: detectors and flags need to know nothing of it. All arrays (pair, y, x)
are phases in rad, positive away from the satellite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.network import Network, Window

Floats = NDArray[np.floating]
RangeStep = Callable[[Floats], NDArray[np.float32]]
"""The range step: phase in rad -> tile in [-1, 1]; see `tiles.preprocess.range_step`."""


_MEASURED = 0.5
"""Part of the pairs used, and of those that carry what happened, that must have measured a pixel for it to count."""


class Taken(Protocol):
    """Where `fused` takes tiles of a network's pairs from: `Cleaned`, or `planes.Planes`."""

    network: Network
    none: xr.Dataset

    def take(self, pairs: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Phases and masks (pair, y, x) of these pairs, copies."""
        ...


class Cleaned:
    """Tiles of a network's pairs, made as windows need them and kept while windows walk through time.

    `stack` holds the pairs, lazy or loaded; `to_tiles` is `tiles.preprocess.tiles` with its settings. With `keep` all that
    was made stays: for few windows that do not walk.
    """

    def __init__(self, stack: xr.Dataset, to_tiles: Callable[[xr.Dataset], xr.Dataset], *, keep: bool = False) -> None:
        self._stack, self._to_tiles, self._keep = stack, to_tiles, keep
        self._kept: dict[int, tuple[Floats, NDArray[np.bool_]]] = {}
        self.network = Network.of(np.stack([stack[n].values for n in ("reference", "secondary")], axis=1))
        self.none = to_tiles(stack.isel(pair=slice(0, 0)))

    def take(self, pairs: Sequence[int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Phases and masks (pair, y, x) of these pairs, copies; all others are let go."""
        if not self._keep:
            self._kept = {p: kept for p, kept in self._kept.items() if p in pairs}
        self.hold(pairs)
        planes, masks = zip(*(self._kept[p] for p in pairs), strict=True)
        return np.stack(planes), np.stack(masks)

    def hold(self, pairs: Sequence[int]) -> None:
        """Make the tiles of these pairs, as far as they are not there, all in one go."""
        fresh = [p for p in pairs if p not in self._kept]
        if fresh:
            new = self._to_tiles(self._stack.isel(pair=fresh))[["phase", "valid"]].load()
            self._kept |= dict(zip(fresh, zip(new["phase"].values, new["valid"].values, strict=True), strict=True))


def fused(
    pairs: Taken,
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
    interval or acquisition stands for the pair, ``after`` int64, the acquisitions seen from its second one on, ``seen``, the
    date of the last of them, and ``variance`` float64, see `Window`.
    """
    network = pairs.network
    done, shown, valid = [], [], []
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
        done.append(window)
    return _as_tiles(pairs.none, range_step, network, done, shown, valid)


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
    between two acquisitions, which is what is done for, makes neither of them noisy.
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
