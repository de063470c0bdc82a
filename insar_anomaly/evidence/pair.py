"""Single pairs as evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import BATCH
from insar_anomaly.evidence.inject import inject, placed, places
from insar_anomaly.evidence.protocol import ToTiles, pair_dates


@dataclass(frozen=True)
class Pairs:
    """Single pairs, as they are."""

    to_tiles: ToTiles

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `protocol.Evidence`."""
        return len(dates)

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """See `protocol.Evidence`."""
        return self.to_tiles(stack)

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `protocol.Evidence`."""
        for start in range(0, stack.sizes["pair"], BATCH):
            batch = stack.isel(pair=slice(start, start + BATCH))
            if not peak_cm:
                yield self.to_tiles(batch)
                continue
            where = places(pair_dates(batch), (batch.sizes["y"], batch.sizes["x"]), peak_cm=peak_cm, seed=seed)
            yield placed(self.to_tiles(inject(batch, peak_cm=peak_cm, seed=seed)), where)
