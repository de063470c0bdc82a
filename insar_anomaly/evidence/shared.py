"""Evidence whose pairs are cleaned once, for detectors that are fitted from tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors.base import BATCH
from insar_anomaly.evidence.inject import Peak, Placed
from insar_anomaly.evidence.items import Item, dates_of
from insar_anomaly.evidence.pair import Pairs
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Evidence, pair_dates


@dataclass(frozen=True)
class Shared:
    """A kind of evidence of a stack, from its `planes`. Every `stack` that is asked about is a part of theirs."""

    kind: Evidence
    planes: Planes

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """See `protocol.Evidence`."""
        return self.kind.count(dates)

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """See `protocol.Evidence`. Single pairs are lazy where there is Dask, fused evidence is loaded."""
        pairs = self._numbers(stack)
        if isinstance(self.kind, Pairs):
            return self.planes.lazy(pairs.tolist())
        return self.kind.make(self.planes, self._items(pairs))

    def batches(self, stack: xr.Dataset, *, peak_cm: Peak = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """See `protocol.Evidence`."""
        items = self._items(self._numbers(stack))
        if peak_cm:
            items = self.kind.tried(items)
        for start in range(0, len(items), BATCH):
            some = items[start : start + BATCH]
            made = self.kind.make(self.planes, some, peak_cm=peak_cm, seed=seed)
            where = Placed.of(dates_of(some), self.planes.shape, peak_cm=peak_cm, seed=seed) if peak_cm else None
            yield made if where is None else where.on(made)

    def items(self, dates: NDArray[np.datetime64], chosen: NDArray[np.int64]) -> list[Item]:
        """See `protocol.Evidence`."""
        return self.kind.items(dates, chosen)

    def tried(self, items: Sequence[Item]) -> list[Item]:
        """See `protocol.Evidence`."""
        return self.kind.tried(items)

    def make(self, planes: Planes, items: Sequence[Item], *, peak_cm: Peak = 0.0, seed: int = 0) -> xr.Dataset:
        """See `protocol.Evidence`."""
        return self.kind.make(planes, items, peak_cm=peak_cm, seed=seed)

    def _items(self, pairs: NDArray[np.int64]) -> list[Item]:
        return self.kind.items(pair_dates(self.planes.stack), pairs)

    def _numbers(self, stack: xr.Dataset) -> NDArray[np.int64]:
        place = {str(name): n for n, name in enumerate(self.planes.stack["pair"].values)}
        return np.array([place[str(name)] for name in stack["pair"].values], np.int64)
