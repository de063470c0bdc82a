"""What a flag rests on, read from the store: the maps of its event, of the time beside it and of the quiet time, and what
is measured on them. Notices and figures are made from this."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.errors import StoreFailed
from insar_anomaly.evidence.moved import Moved
from insar_anomaly.evidence.timing import Series
from insar_anomaly.names import EvidenceKind, Pair
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.stack.schema import Grid


@dataclass(frozen=True)
class Shown:
    """What is told of one stack: the assessment, the flag's time, and the day up to which pairs may be used.

    `after` is None for the newest assessment of the pair or interval.
    """

    stack: str
    evidence: EvidenceKind
    pair: str
    after: int | None
    model: str
    threshold: float | None
    as_of: date
    since: date
    until: date


@dataclass(frozen=True)
class Span:
    """A map of line-of-sight motion (y, x), cm, positive towards the satellite, NaN = not measured, and its dates."""

    first: date
    last: date
    cm: NDArray[np.floating]


@dataclass(frozen=True)
class Scene:
    """What one stack shows of a flag.

    ``coherence`` (y, x), 0 to 1, is of the pairs that show it; ``score_map`` (v, u) has one cell per ``stride`` pixels.
    ``event`` is the map of what moved, ``before`` and ``later`` those of as long a time on either side of it, None where
    there is none. ``series`` is of the peak, and
    ``quiet_cm`` one standard deviation of what quiet spans show there.
    """

    shown: Shown
    grid: Grid
    height: NDArray[np.floating]
    look: tuple[float, float, float]
    wavelength_m: float
    event: Span
    before: Span | None
    later: Span | None
    coherence: NDArray[np.floating]
    score_map: NDArray[np.floating]
    stride: int
    series: Series | None
    quiet_cm: float | None
    moved: Moved | None

    @property
    def assessed(self) -> tuple[date, date]:
        """The dates of the score map."""
        return Pair.of(self.shown.pair).days


def score_map_of(s: Installation, shown: Shown) -> tuple[NDArray[np.floating], int | None]:
    """Map (v, u) of the newest score of the assessment, and the pixels per cell; None where the scores do not say it.

    Raises StoreFailed where the store has none.
    """
    scores = s.store.read_scores(shown.stack, shown.model)
    found = np.empty(0, int)
    if scores is not None:
        same = scores["pair"].values == shown.pair
        if "after" in scores and shown.after is not None:
            same &= scores["after"].values == shown.after
        found = np.flatnonzero(same)
    if scores is None or not len(found):
        raise StoreFailed(f"{s.store.url} holds no score map of it by model {shown.model}")
    out: NDArray[np.floating] = scores["score_map"].isel(pair=int(found[-1])).values
    return out, int(scores.attrs["stride"]) if "stride" in scores.attrs else None
