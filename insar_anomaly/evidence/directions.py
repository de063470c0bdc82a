"""Two views of one volcano: intervals of an ascending and a descending frame that share time, judged together.

Motion of the ground is in both; the atmosphere of a frame's days is in one. Scores of fused evidence are measured alike (see
`level.Level`), so the sum of two, over the root of two, has the spread of one on quiet ground, and what both see stands out
more. Intervals of two frames never begin on the same days: two that overlap are judged for the time that they share, and
motion within it is in both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product

from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.names import Interval

_ROOT = 2**0.5


@dataclass(frozen=True)
class Joint:
    """Two assessments taken together: the time that they share, the acquisitions after it in both, the day from which on."""

    first: date
    last: date
    after: int
    seen: date
    score: float
    members: tuple[Assessed, Assessed]

    @property
    def name(self) -> str:
        """``YYYYMMDD_YYYYMMDD`` of the time that the two share."""
        return Interval(self.first, self.last).name

    @property
    def inputs(self) -> int:
        """A positive 63-bit number that names what was put together."""
        digest = hashlib.sha256("\n".join(f"{m.name} {m.after} {m.score!r}" for m in self.members).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


def joined(ascending: Sequence[Assessed], descending: Sequence[Assessed]) -> Iterator[Joint]:
    """Joint assessments, in no order: for every two intervals that share time, one whenever either is assessed again.

    Each takes the last assessment of both that could be made by that day.
    """
    views = [_by_interval(assessments) for assessments in (ascending, descending)]
    for one, other in product(*views):
        first, last = max(one[0], other[0]), min(one[1], other[1])
        if first >= last:
            continue
        both = views[0][one], views[1][other]
        begins = max(assessments[0].seen for assessments in both)
        for day in sorted(
            {assessment.seen for assessments in both for assessment in assessments if assessment.seen >= begins}
        ):
            newest = [
                next(assessment for assessment in reversed(assessments) if assessment.seen <= day) for assessments in both
            ]
            after = sum(assessment.after for assessment in newest)
            yield Joint(
                first, last, after, day, sum(assessment.score for assessment in newest) / _ROOT, (newest[0], newest[1])
            )


def _by_interval(assessments: Iterable[Assessed]) -> dict[tuple[date, date], list[Assessed]]:
    out: dict[tuple[date, date], list[Assessed]] = {}
    for assessment in sorted(assessments, key=lambda assessment: assessment.after):
        out.setdefault((assessment.first, assessment.last), []).append(assessment)
    return out
