"""Single pairs as evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import BATCH
from insar_anomaly.evidence.fusion import RangeStep
from insar_anomaly.evidence.inject import Peak, Placed, drawn, inject, patterns
from insar_anomaly.evidence.items import Item, dates_of
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import ToTiles, pair_dates
from insar_anomaly.names import Span


@dataclass(frozen=True)
class Pairs:
    """Single pairs, as they are. `range_step` is that of `to_tiles`; only `make` needs it."""

    to_tiles: ToTiles
    range_step: RangeStep | None = None

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `protocol.Evidence`."""
        return len(dates)

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """See `protocol.Evidence`."""
        return self.to_tiles(stack)

    def batches(self, stack: xr.Dataset, *, peak_cm: Peak = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `protocol.Evidence`."""
        for start in range(0, stack.sizes["pair"], BATCH):
            batch = stack.isel(pair=slice(start, start + BATCH))
            if not peak_cm:
                yield self.to_tiles(batch)
                continue
            shape = (batch.sizes["y"], batch.sizes["x"])
            sources = Placed.of(pair_dates(batch), shape, peak_cm=peak_cm, seed=seed)
            yield sources.on(self.to_tiles(inject(batch, peak_cm=peak_cm, seed=seed)))

    def items(self, dates: NDArray[np.datetime64], chosen: NDArray[np.int64]) -> list[Item]:
        """See `protocol.Evidence`."""
        ends = dates.astype("datetime64[D]").tolist()
        return [
            Item(Span(first, last).name, first, last, 0, last, (p,))
            for p in chosen.tolist()
            for first, last in ends[p : p + 1]
        ]

    def tried(self, items: Sequence[Item]) -> list[Item]:
        """See `protocol.Evidence`."""
        return list(items)

    def make(self, planes: Planes, items: Sequence[Item], *, peak_cm: Peak = 0.0, seed: int = 0) -> xr.Dataset:
        """See `protocol.Evidence`."""
        pairs = [one.pairs[0] for one in items]
        tiles = planes.tiles(pairs)
        if not peak_cm:
            return tiles
        assert self.range_step is not None
        pattern = patterns(planes.stack)
        phase = tiles["phase"].values
        for n, source in enumerate(drawn(dates_of(items), planes.shape, peak_cm=peak_cm, seed=seed)):
            phase[n] += planes.left_of(pattern(source), pairs[n : n + 1])[0]
        # where the ground is never assessed, a tile is 0
        tile = np.where(tiles["tile"].values == 0, np.float32(0), self.range_step(phase))
        return tiles.assign(phase=(tiles["phase"].dims, phase), tile=(tiles["tile"].dims, tile))
