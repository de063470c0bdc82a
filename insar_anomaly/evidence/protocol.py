"""What evidence is: pairs of a stack become tiles that can be assessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.names import Interval

ToTiles = Callable[[xr.Dataset], xr.Dataset]


class Evidence(Protocol):
    """How a stack's pairs become what is scored: see `evidence`."""

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """How many things pairs of these dates (pair, 2) give to be scored."""
        ...

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """Tiles of all of them, to fit on."""
        ...

    def batches(self, stack: xr.Dataset, *, peak_cm: float = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """The same in batches, to be scored; with `peak_cm`, one synthetic source in each.

        Coordinates: fused evidence has ``after`` and ``variance`` (see `fusion.fused`); injected evidence ``source_y`` and
        ``source_x``, the source's place as parts of the scene's sides.
        """
        ...


@dataclass(frozen=True)
class Assessed:
    """An assessment of an interval and its score, measured by its stack's `Level`."""

    first: date
    last: date
    after: int
    seen: date
    score: float

    @property
    def name(self) -> str:
        """``YYYYMMDD_YYYYMMDD``."""
        return Interval(self.first, self.last).name

    @classmethod
    def of(cls, plain: Sequence[Any]) -> Assessed:
        """From what `plain` gave."""
        first, last, seen = (date.fromisoformat(plain[i]) for i in (0, 1, 3))
        return cls(first, last, int(plain[2]), seen, float(plain[4]))

    @property
    def plain(self) -> list[Any]:
        """Ready for JSON."""
        return [self.first.isoformat(), self.last.isoformat(), self.after, self.seen.isoformat(), self.score]


def pair_dates(stack: xr.Dataset) -> NDArray[np.datetime64]:
    """Dates (pair, 2) datetime64[D] of a stack: reference, secondary."""
    return np.stack([stack[n].values.astype("datetime64[D]") for n in ("reference", "secondary")], axis=1)


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
class Assessment:
    """One thing to be scored: its name, how many acquisitions after it were seen, and a hash of the pairs that show it.

    `seen` is the date of the last acquisition that it needs: it can be scored from that day on.
    """

    name: str
    after: int
    inputs: int
    seen: date
