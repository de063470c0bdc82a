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
from insar_anomaly.evidence.inject import drawn, placed, places, seen_along
from insar_anomaly.evidence.network import Network, Window
from insar_anomaly.evidence.protocol import Reach, ToTiles, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.stack.schema import pixel_km


def windows(kind: EvidenceKind, network: Network, reach: Reach) -> Iterator[Window]:
    """Every window of a network that a kind of fused evidence sees through."""
    return (
        network.intervals(reach.before, reach.after) if kind == EvidenceKind.INTERVAL else network.acquisitions(reach.beside)
    )


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

    def tiles(self, stack: xr.Dataset, wanted: Sequence[tuple[str, int]] | None = None) -> xr.Dataset:
        """See `protocol.Evidence`; only the `wanted` assessments (name, after), or all. Loaded."""
        pairs = Cleaned(stack, self.to_tiles)
        return fusion.fused(pairs, self.range_step, self._windows(pairs.network, wanted))

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `protocol.Evidence`. A source is a step inside the interval, or motion that is there on one day only."""
        pairs = Cleaned(stack, self.to_tiles)
        every = self._windows(pairs.network, None)
        motion = _Motion(stack, pairs.network, self.to_tiles, peak_cm, seed)
        if peak_cm:  # the first assessment and the best one: what lies between them follows
            every = [w for w in every if len(w.after) in (1, self.reach.after) or w.centre is not None]
        for start in range(0, len(every), BATCH):
            part = every[start : start + BATCH]
            if not peak_cm:
                yield fusion.fused(pairs, self.range_step, part)
                continue
            fused = fusion.fused(pairs, self.range_step, part, moved=motion)
            yield placed(fused, places(pair_dates(fused), motion.shape, peak_cm=peak_cm, seed=seed))

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
        self._kept = (window.ends, kept)  # the assessments of one interval share their pairs
        return {pair: kept[pair] for pair, times in carried.items() if times}

    def _cleaned(self, window: Window, pairs: list[int], times: list[int]) -> dict[int, NDArray[np.float32]]:
        dates = self._network.days[list(window.ends)][None]
        source = next(drawn(dates, self.shape, peak_cm=self._peak_cm, seed=self._seed))
        pattern = source.phase(self.shape, pixel_km=pixel_km(self._stack), look=self._look)
        near = self._stack.isel(pair=pairs)
        phase = near["phase"].load()
        moved = phase + np.multiply.outer(times, pattern).astype(np.float32)
        return dict(zip(pairs, self._to_tiles(near.assign(phase=moved))["phase"].values, strict=True))


def hash_of(pairs: Sequence[str]) -> int:
    """A positive 63-bit number that names a set of pairs."""
    digest = hashlib.sha256("\n".join(sorted(pairs)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
