"""Intervals and acquisitions as evidence, fused from the pairs that show them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import BATCH
from insar_anomaly.evidence import fusion
from insar_anomaly.evidence.fusion import Cleaned, RangeStep
from insar_anomaly.evidence.inject import Peak, Placed, drawn, patterns
from insar_anomaly.evidence.items import Item
from insar_anomaly.evidence.network import Network, Window
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Reach, ToTiles, pair_dates
from insar_anomaly.names import EvidenceKind


def windows(kind: EvidenceKind, network: Network, reach: Reach) -> Iterator[Window]:
    """Every window of a network that a kind of fused evidence sees through."""
    if kind == EvidenceKind.INTERVAL:
        return network.intervals(reach.side(reach.before), reach.side(reach.after))
    return network.acquisitions(reach.beside, float("inf") if reach.within_days is None else reach.within_days)


@dataclass(frozen=True)
class Fused:
    """Intervals or acquisitions, fused from the pairs that show them."""

    kind: EvidenceKind
    to_tiles: ToTiles
    range_step: RangeStep
    reach: Reach

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `protocol.Evidence`."""
        return sum(1 for _ in windows(self.kind, Network.of(dates), self.reach))

    def tiles(
        self, stack: xr.Dataset, wanted: Sequence[tuple[str, int]] | None = None, *, peak_cm: Peak = 0.0, seed: int = 0
    ) -> xr.Dataset:
        """See `protocol.Evidence`; only the `wanted` assessments (name, after), or all. Loaded.

        With `peak_cm`, one synthetic source in each, the same as in `batches`.
        """
        pairs = Cleaned(stack, self.to_tiles)
        motion = _Motion(stack, pairs.network, self.to_tiles, peak_cm, seed) if peak_cm else None
        return fusion.fused(pairs, self.range_step, self._windows(pairs.network, wanted), moved=motion)

    def batches(self, stack: xr.Dataset, *, peak_cm: Peak = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `protocol.Evidence`. A source is a step inside the interval, or motion that is there on one day only."""
        pairs = Cleaned(stack, self.to_tiles)
        every = self._windows(pairs.network, None)
        motion = _Motion(stack, pairs.network, self.to_tiles, peak_cm, seed)
        if peak_cm:  # the first assessment and the best one: what lies between them follows
            every = [w for w in every if self._tried(w)]
        for start in range(0, len(every), BATCH):
            part = every[start : start + BATCH]
            if not peak_cm:
                yield fusion.fused(pairs, self.range_step, part)
                continue
            fused = fusion.fused(pairs, self.range_step, part, moved=motion)
            yield Placed.of(pair_dates(fused), motion.shape, peak_cm=peak_cm, seed=seed).on(fused)

    def items(self, dates: NDArray[np.datetime64], chosen: NDArray[np.int64]) -> list[Item]:
        """See `protocol.Evidence`."""
        whole, part = Network.of(dates), Network.of(dates[chosen])
        days, pairs = np.searchsorted(whole.days, part.days).tolist(), chosen.tolist()
        return [_item(whole, one.renumbered(days, pairs)) for one in windows(self.kind, part, self.reach)]

    def tried(self, items: Sequence[Item]) -> list[Item]:
        """See `protocol.Evidence`."""
        return [one for one in items if one.window is not None and self._tried(one.window)]

    def make(self, planes: Planes, items: Sequence[Item], *, peak_cm: Peak = 0.0, seed: int = 0) -> xr.Dataset:
        """See `protocol.Evidence`."""
        chosen = [one.window for one in items if one.window is not None]
        moved = _Moved(planes, peak_cm, seed) if peak_cm else None
        return fusion.fused(planes, self.range_step, chosen, moved=moved)

    def _tried(self, window: Window) -> bool:
        return len(window.after) == 1 or window.complete

    def _windows(self, network: Network, wanted: Sequence[tuple[str, int]] | None) -> list[Window]:
        every = windows(self.kind, network, self.reach)
        if wanted is None:
            return list(every)
        chosen = set(wanted)
        return [window for window in every if (network.name(window), len(window.after)) in chosen]


class _Motion:
    """Pairs of a window as they would be with a source in it: injected into the phase, then made into tiles."""

    def __init__(self, stack: xr.Dataset, network: Network, to_tiles: ToTiles, peak_cm: Peak, seed: int) -> None:
        self._stack, self._to_tiles, self._peak_cm, self._seed = stack, to_tiles, peak_cm, seed
        self._network, self._pattern = network, patterns(stack)
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
        self._kept = (window.ends, kept)  # the assessments of one interval share their pairs
        return {pair: kept[pair] for pair, times in carried.items() if times}

    def _cleaned(self, window: Window, pairs: list[int], times: list[int]) -> dict[int, NDArray[np.float32]]:
        dates = self._network.days[list(window.ends)][None]
        source = next(drawn(dates, self.shape, peak_cm=self._peak_cm, seed=self._seed))
        pattern = self._pattern(source)
        near = self._stack.isel(pair=pairs)
        phase = near["phase"].load()
        moved = phase + np.multiply.outer(times, pattern).astype(np.float32)
        return dict(zip(pairs, self._to_tiles(near.assign(phase=moved))["phase"].values, strict=True))


class _Moved:
    """Phases of a window's pairs with a source in it: their tiles' phases, and what is left of the source's own phase."""

    def __init__(self, planes: Planes, peak_cm: Peak, seed: int) -> None:
        self._planes, self._peak_cm, self._seed = planes, peak_cm, seed
        self._pattern = patterns(planes.stack)
        self._left: tuple[object, dict[int, NDArray[np.float32]]] = (None, {})

    def __call__(self, window: Window) -> dict[int, NDArray[np.float32]]:
        """Phases (y, x) of the window's pairs that carry the source, by number of the pair."""
        network = self._planes.network
        carried = dict(zip(window.pairs, network.carried(window).tolist(), strict=True))
        pairs = [pair for pair, times in carried.items() if times]
        left = self._left[1] if self._left[0] == window.ends else {}  # assessments of one interval share their source
        if missing := [pair for pair in pairs if pair not in left]:
            left |= dict(zip(missing, self._planes.left_of(self._source(window), missing), strict=True))
        self._left = (window.ends, left)
        phases = self._planes.phases(pairs)
        return {pair: phase + carried[pair] * left[pair] for pair, phase in zip(pairs, phases, strict=True)}

    def _source(self, window: Window) -> NDArray[np.float64]:
        network, shape = self._planes.network, self._planes.shape
        source = next(drawn(network.days[list(window.ends)][None], shape, peak_cm=self._peak_cm, seed=self._seed))
        return self._pattern(source)


def _item(network: Network, window: Window) -> Item:
    first, last = (network.days[k].item() for k in window.ends)
    seen = network.days[window.after[-1]].item()
    return Item(network.name(window), first, last, len(window.after), seen, window.pairs, window)


def hash_of(pairs: Sequence[str]) -> int:
    """A positive 63-bit number that names a set of pairs."""
    digest = hashlib.sha256("\n".join(sorted(pairs)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
