"""What can be assessed, before its tile is made: single pairs, and windows of a whole stack's network.

A block of time has a network of its own, and most of its windows consist of the same pairs as windows of the whole stack.
Items say which: two that are equal have the same tile, whatever subset of the stack they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.network import Window


@dataclass(frozen=True)
class Item:
    """A single pair, or what a window shows.

    `pairs` are indices into the stack's pairs; `window`, None for a single pair, is in terms of the whole stack's network.
    `first` and `last` are its dates, `after` the acquisitions seen from its second one on, `seen` the date of the last.
    """

    name: str
    first: date
    last: date
    after: int
    seen: date
    pairs: tuple[int, ...]
    window: Window | None = None

    @property
    def variance(self) -> float:
        """See `Window.variance`; NaN for a single pair."""
        return float("nan") if self.window is None else self.window.variance


def dates_of(items: Sequence[Item]) -> NDArray[np.datetime64]:
    """Dates (item, 2) datetime64[D]."""
    return np.array([(one.first, one.last) for one in items], "datetime64[D]").reshape(-1, 2)


def coordinates(items: Sequence[Item]) -> dict[str, Any]:
    """Coordinates of the items' tiles along ``pair``, see `fusion.fused`."""
    first, last = dates_of(items).astype("datetime64[ns]").T
    return {
        "pair": np.array([one.name for one in items], "<U17"),
        "reference": ("pair", first),
        "secondary": ("pair", last),
        "after": ("pair", np.array([one.after for one in items], np.int64)),
        "seen": ("pair", np.array([one.seen for one in items], "datetime64[D]").astype("datetime64[ns]")),
        "variance": ("pair", np.array([one.variance for one in items], np.float64)),
    }


def bare(items: Sequence[Item]) -> xr.Dataset:
    """The items' coordinates as a Dataset without arrays."""
    return xr.Dataset(coords=coordinates(items))
