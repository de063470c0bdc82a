"""What is scored: single pairs, intervals between acquisitions, acquisitions alone. Each kind turns pairs into tiles.

A *look* is one thing that gets a score: a pair, once and for all; an interval as seen with so many acquisitions after it; an
acquisition as seen with its neighbours. Looks follow from the pairs' dates alone, and from no pair that came later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import fusion
from insar_anomaly.detectors.base import BATCH
from insar_anomaly.fusion import Cleaned, Network, RangeStep, Window
from insar_anomaly.schema import parse_pair, pixel_km
from insar_anomaly.trials import Evidence, ToTiles, drawn, inject, pair_dates, places, seen_along

Kind = Literal["pair", "interval", "acquisition"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Reach:
    """How fused evidence is made: acquisitions averaged `before` and `after` an interval, `beside` an acquisition.

    `range_rad` is the phase that its range step maps to 1 (clip) or to tanh(1).
    """

    before: int
    after: int
    beside: int
    range_rad: float


@dataclass(frozen=True)
class Look:
    """One thing to be scored: its name, how many acquisitions after it were seen, and a hash of the pairs that show it.

    `seen` is the date of the last acquisition that it needs: it can be scored from that day on.
    """

    name: str
    after: int
    inputs: int
    seen: date


def build(kind: Kind, to_tiles: ToTiles, range_step: RangeStep, reach: Reach) -> Evidence:
    """The evidence of a kind, from what makes tiles of a stack's pairs."""
    return Pairs(to_tiles) if kind == "pair" else Fused(kind, to_tiles, range_step, reach)


def looks(kind: Kind, pairs: Sequence[str], reach: Reach) -> list[Look]:
    """Every look that these pairs (names) allow, in order of time."""
    if kind == "pair":
        ordered = sorted(pairs, key=lambda name: (name[9:], name[:8]))
        return [Look(pair, 0, 0, dates[1]) for pair in ordered if (dates := parse_pair(pair))]
    network = Network.of(np.array([parse_pair(pair) for pair in pairs], "datetime64[D]").reshape(-1, 2))
    return [
        Look(
            network.name(window),
            len(window.after),
            _hash([pairs[p] for p in window.pairs]),
            network.days[window.after[-1]].item(),
        )
        for window in windows(kind, network, reach)
    ]


def windows(kind: Kind, network: Network, reach: Reach) -> Iterator[Window]:
    """Every window of a network that a kind of fused evidence looks through."""
    return network.intervals(reach.before, reach.after) if kind == "interval" else network.acquisitions(reach.beside)


@dataclass(frozen=True)
class Pairs:
    """Single pairs, as they are."""

    to_tiles: ToTiles

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `calibrate.Evidence`."""
        return len(dates)

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """See `calibrate.Evidence`."""
        return self.to_tiles(stack)

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `calibrate.Evidence`."""
        for start in range(0, stack.sizes["pair"], BATCH):
            batch = stack.isel(pair=slice(start, start + BATCH))
            if not peak_cm:
                yield self.to_tiles(batch)
                continue
            placed = places(pair_dates(batch), (batch.sizes["y"], batch.sizes["x"]), peak_cm=peak_cm, seed=seed)
            yield _placed(self.to_tiles(inject(batch, peak_cm=peak_cm, seed=seed)), placed)


@dataclass(frozen=True)
class Fused:
    """Intervals or acquisitions, fused from the pairs that show them."""

    kind: Kind
    to_tiles: ToTiles
    range_step: RangeStep
    reach: Reach

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `calibrate.Evidence`."""
        return sum(1 for _ in windows(self.kind, Network.of(dates), self.reach))

    def tiles(self, stack: xr.Dataset, wanted: Sequence[tuple[str, int]] | None = None) -> xr.Dataset:
        """See `calibrate.Evidence`; only the `wanted` looks (name, after), or all. Loaded."""
        pairs = Cleaned(stack, self.to_tiles)
        return fusion.fused(pairs, self.range_step, self._windows(pairs.network, wanted))

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `calibrate.Evidence`. A source is a step inside the interval, or motion that is there on one day only."""
        pairs = Cleaned(stack, self.to_tiles)
        every = self._windows(pairs.network, None)
        motion = _Motion(stack, pairs.network, self.to_tiles, peak_cm, seed)
        if peak_cm:  # the first look and the best one: what lies between them follows
            every = [w for w in every if len(w.after) in (1, self.reach.after) or w.centre is not None]
        for start in range(0, len(every), BATCH):
            part = every[start : start + BATCH]
            if not peak_cm:
                yield fusion.fused(pairs, self.range_step, part)
                continue
            fused = fusion.fused(pairs, self.range_step, part, moved=motion)
            yield _placed(fused, places(pair_dates(fused), motion.shape, peak_cm=peak_cm, seed=seed))

    def _windows(self, network: Network, wanted: Sequence[tuple[str, int]] | None) -> list[Window]:
        every = windows(self.kind, network, self.reach)
        if wanted is None:
            return list(every)
        chosen = set(wanted)
        return [window for window in every if (network.name(window), len(window.after)) in chosen]


class _Motion:
    """Pairs of a window as they would be with a source in it: injected into the phase, then made into tiles."""

    def __init__(self, stack: xr.Dataset, network: Network, to_tiles: ToTiles, peak_cm: float, seed: int) -> None:
        self._stack, self._to_tiles, self._peak_cm, self._seed = stack, to_tiles, peak_cm, seed
        self._network, self._look = network, seen_along(stack)
        self.shape = (stack.sizes["y"], stack.sizes["x"])
        self._kept: tuple[object, dict[int, NDArray[np.float32]]] = (None, {})

    def __call__(self, window: Window) -> dict[int, NDArray[np.float32]]:
        """Phases (y, x) of the window's pairs that carry the source, by number of the pair."""
        carried = dict(zip(window.pairs, self._network.carried(window).tolist(), strict=True))
        ends, kept = self._kept
        if ends != window.ends:
            kept = {}
        missing = [pair for pair, times in carried.items() if times and pair not in kept]
        if missing:
            kept |= self._cleaned(window, missing, [carried[pair] for pair in missing])
        self._kept = (window.ends, kept)  # the looks at one interval share their pairs
        return {pair: kept[pair] for pair, times in carried.items() if times}

    def _cleaned(self, window: Window, pairs: list[int], times: list[int]) -> dict[int, NDArray[np.float32]]:
        dates = self._network.days[list(window.ends)][None]
        source = next(drawn(dates, self.shape, peak_cm=self._peak_cm, seed=self._seed))
        pattern = source.phase(self.shape, pixel_km=pixel_km(self._stack), look=self._look)
        near = self._stack.isel(pair=pairs)
        phase = near["phase"].load()
        moved = phase + np.multiply.outer(times, pattern).astype(np.float32)
        return dict(zip(pairs, self._to_tiles(near.assign(phase=moved))["phase"].values, strict=True))


def _placed(tiles: xr.Dataset, where: NDArray[np.float64]) -> xr.Dataset:
    return tiles.assign_coords(source_y=("pair", where[:, 0]), source_x=("pair", where[:, 1]))


def _hash(pairs: Sequence[str]) -> int:
    """A positive 63-bit number that names a set of pairs."""
    digest = hashlib.sha256("\n".join(sorted(pairs)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
