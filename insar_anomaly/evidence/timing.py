"""When it moved: the motion of one place from acquisition to acquisition, and the span of time that holds an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SIDE = 3
"""Acquisitions that are averaged on either side of a span."""
_SLACK = 0.1, 0.25
"""Part of the largest step by which a span may fall short and still hold the event: at least, and at most.

An interval beside the one that holds a step shows two thirds of it, since a third of its acquisitions have not moved."""


@dataclass(frozen=True)
class Series:
    """Motion of one place, cm, positive towards the satellite, at each acquisition; the first of them is zero."""

    days: tuple[date, ...]
    cm: tuple[float, ...]


def series_of(days: Sequence[date], ends: NDArray[np.int64], values: Floats, *, through: int) -> Series:
    """The motion of a place from what pairs show of it, by least squares (Berardino et al. 2002).

    Parameters
    ----------
    days : acquisitions, ascending
    ends : (pair, 2) indices into `days`
    values : (pair,) cm; NaN = not measured
    through : an acquisition; those that measured pairs do not join to it are left out
    """
    known = np.isfinite(values)
    ends, values = ends[known], values[known]
    group, size = {through}, 0
    while len(group) > size:
        size = len(group)
        group.update(*(edge for edge in ends.tolist() if group.intersection(edge)))
    chosen = sorted(group)
    place = {k: n for n, k in enumerate(chosen)}
    inside = [n for n, (first, last) in enumerate(ends.tolist()) if first in place and last in place]
    rows = np.zeros((len(inside), len(chosen)))
    for row, n in enumerate(inside):
        rows[row, place[int(ends[n, 0])]], rows[row, place[int(ends[n, 1])]] = -1, 1
    solved = np.linalg.lstsq(rows, values[inside], rcond=None)[0] if inside else np.zeros(len(chosen))
    return Series(tuple(days[k] for k in chosen), tuple(float(v) for v in solved - solved[0]))


def holding(series: Series, since: date, until: date, *, sigma_cm: float) -> tuple[date, date]:
    """The span that holds an event: the shortest one inside a flag's time that shows the whole of it.

    Every span of acquisitions from `since` to `until` has a step: the mean of the acquisitions after it minus that of those
    before it. Overlapping spans over a threshold are one event. It is named by the shortest span whose step falls short of
    the largest one by no more than its uncertainty `sigma_cm` (but at least a tenth of it, and at most a quarter), and among
    equally short ones by the largest step. A span with the highest score beside the motion shows a part of the step only.
    `since` and `until` where no span is inside.
    """
    inside = [k for k, day in enumerate(series.days) if since <= day <= until]
    spans = [(first, last) for first in inside for last in inside if first < last]
    if not spans:
        return since, until
    steps = {span: abs(_step(series, *span)) for span in spans}
    largest = max(steps.values())
    slack = min(max(sigma_cm, _SLACK[0] * largest), _SLACK[1] * largest)
    whole = [span for span in spans if steps[span] >= largest - slack]
    first, last = min(whole, key=lambda span: ((series.days[span[1]] - series.days[span[0]]).days, -steps[span]))
    return series.days[first], series.days[last]


def kept(series: Series, first: date, last: date) -> float | None:
    """The part of an event's step that the newest acquisitions after it, three at most, show still; None without any.

    The step is that of the one acquisition that closes the event: motion stays, the air of that day does not.
    """
    dated = list(zip(series.days, series.cm, strict=True))
    later = [cm for day, cm in dated if day > last][-_SIDE:]
    before = [cm for day, cm in dated if day <= first][-_SIDE:]
    closes = [cm for day, cm in dated if day == last]
    if not (later and before and closes):
        return None
    step = closes[0] - float(np.mean(before))
    return None if step == 0 else float((np.mean(later) - np.mean(before)) / step)


def _step(series: Series, first: int, last: int) -> float:
    after, before = series.cm[last : last + _SIDE], series.cm[max(0, first - _SIDE + 1) : first + 1]
    return float(np.mean(after) - np.mean(before))
