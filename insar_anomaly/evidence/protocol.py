"""What evidence is: pairs of a stack become tiles that can be assessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.network import Side
from insar_anomaly.names import Interval

if TYPE_CHECKING:
    from insar_anomaly.evidence.inject import Peak
    from insar_anomaly.evidence.items import Item
    from insar_anomaly.evidence.planes import Planes

ToTiles = Callable[[xr.Dataset], xr.Dataset]


class Evidence(Protocol):
    """How a stack's pairs become what is scored: see `evidence`."""

    def count(self, dates: NDArray[np.datetime64]) -> int:
        """How many things pairs of these dates (pair, 2) give to be scored."""
        ...

    def tiles(self, stack: xr.Dataset) -> xr.Dataset:
        """Tiles of all of them, to fit on."""
        ...

    def batches(self, stack: xr.Dataset, *, peak_cm: Peak = 0.0, seed: int = 0) -> Iterator[xr.Dataset]:
        """The same in batches, to be scored; with `peak_cm`, one synthetic source in each.

        Coordinates: fused evidence has ``after`` and ``variance`` (see `fusion.fused`); injected evidence ``source_y`` and
        ``source_x``, the source's place as parts of the scene's sides, and ``source_cm``, its peak.
        """
        ...

    def items(self, dates: NDArray[np.datetime64], chosen: NDArray[np.int64]) -> list[Item]:
        """What the `chosen` pairs of a stack alone give to be scored, in order of time; `dates` (pair, 2) are all pairs'."""
        ...

    def tried(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items into which `batches` and `make` put sources."""
        ...

    def make(self, planes: Planes, items: Sequence[Item], *, peak_cm: Peak = 0.0, seed: int = 0) -> xr.Dataset:
        """Tiles of these items, loaded; with `peak_cm`, one synthetic source in each, the same as in `batches`."""
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
    """How fused evidence is made: by number and time of the acquisitions around it.

    `before` and `after` an interval at least so many are averaged, further ones up to `most` as far as they are within
    `days` of it, and none that is further than `within_days` from it, see `network.Side`. An acquisition is compared with
    `beside` others on either side. `range_rad` is the phase that the range step maps to 1 (clip) or to tanh(1). Without
    `within_days` the numbers alone count, as in models of earlier versions.
    """

    before: int
    after: int
    beside: int
    range_rad: float
    days: int = 0
    most: int = 0
    within_days: int | None = None

    def side(self, least: int) -> Side:
        """The acquisitions on one side of an interval, of which at least so many are averaged."""
        if self.within_days is None:
            return Side.numbered(least)
        return Side(least, max(least, self.most), self.days, self.within_days)

    @property
    def content(self) -> dict[str, object]:
        """Ready for JSON: what `Reach` is made from. By number alone it is what earlier versions wrote."""
        return {name: value for name, value in asdict(self).items() if self.within_days is not None or name in _NUMBERS}


_NUMBERS = ("before", "after", "beside", "range_rad")


@dataclass(frozen=True)
class Assessment:
    """One thing to be scored: its name, how many acquisitions after it were seen, and a hash of the pairs that show it.

    For a single pair `inputs` is its version, 0 where it was never replaced.

    `seen` is the date of the last acquisition that it needs: it can be scored from that day on.
    """

    name: str
    after: int
    inputs: int
    seen: date
