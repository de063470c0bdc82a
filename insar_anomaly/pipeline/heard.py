"""What a run has heard of each stack's data: what its source listed, and which acquisitions came."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.ledger.records import PairRow
from insar_anomaly.names import Pair, stamp
from insar_anomaly.sources.base import Listed, Window
from insar_anomaly.stack.coverage import coverage_of
from insar_anomaly.stack.freshness import Coverage, Listing
from insar_anomaly.stack.schema import Grid


@dataclass
class Heard:
    """Filled while pairs are listed and stored, and read when the state of the stacks is written down.

    `listings` has what was listed of each stack that could be listed, `pairs` the pairs that were stored, and `came` their
    acquisitions: stack -> ``YYYYMMDD`` -> number of `units.Platform`.
    """

    listings: dict[str, Listing] = field(default_factory=dict)
    pairs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    came: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    off_grid: dict[str, list[PairRow]] = field(default_factory=lambda: defaultdict(list))
    """Pairs of a stack that were rejected because they do not fit its grid."""

    def listing(self, stack: str, listed: Iterable[Listed], *, as_of: date) -> None:
        """What the source of a stack lists."""
        today = datetime.now(UTC).date()
        self.listings[stack] = Listing.of((one.pair for one in listed), as_of=as_of, today=today)

    def stored(self, stack: str, windows: Mapping[str, Window]) -> None:
        """Pairs that were stored."""
        self.pairs[stack] |= windows.keys()
        for pair, window in windows.items():
            for day, platform in zip(Pair.of(pair).days, window.physics.platforms, strict=True):
                known = self.came[stack].get(stamp(day), 0)
                self.came[stack][stamp(day)] = int(platform) or known


def covered(volcano: Volcano, grid: Grid, windows: Mapping[str, Window]) -> dict[str, Coverage]:
    """What pairs measure of a volcano, by name."""
    summit = (volcano.lat, volcano.lon)
    return {pair: coverage_of(window.phase, grid, volcano.box, summit) for pair, window in windows.items()}
