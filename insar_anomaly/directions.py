"""Two views of one volcano: intervals of an ascending and a descending frame that share time, judged together.

Motion of the ground is in both; the atmosphere of a frame's days is in one. Scores of fused evidence are measured alike (see
`trials.Level`), so the sum of two, over the root of two, has the spread of one on quiet ground, and what both see stands out
more. Intervals of two frames never begin on the same days: two that overlap are judged for the time that they share, and
motion within it is in both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import product

import numpy as np

from insar_anomaly.trials import Seen, Trial

_ROOT = 2**0.5


@dataclass(frozen=True)
class Joint:
    """Two looks taken together: the time that they share, the acquisitions after it in both, the day from which on."""

    first: date
    last: date
    after: int
    seen: date
    score: float
    members: tuple[Seen, Seen]

    @property
    def name(self) -> str:
        """``YYYYMMDD_YYYYMMDD`` of the time that the two share."""
        return f"{self.first:%Y%m%d}_{self.last:%Y%m%d}"

    @property
    def inputs(self) -> int:
        """A positive 63-bit number that names what was put together."""
        digest = hashlib.sha256("\n".join(f"{m.name} {m.after} {m.score!r}" for m in self.members).encode()).digest()
        return int.from_bytes(digest[:8], "big") >> 1


def couples(frames: Iterable[str]) -> list[tuple[str, str]]:
    """Every (ascending, descending) couple of these frames, by the letter after their track: ``079D_07694_131313``."""
    by_way: dict[str, list[str]] = {"A": [], "D": []}
    for frame in frames:
        if found := re.match(r"\d+([AD])_", frame):
            by_way[found[1]].append(frame)
    return list(product(by_way["A"], by_way["D"]))


def joined(ascending: Sequence[Seen], descending: Sequence[Seen]) -> Iterator[Joint]:
    """Joint looks, in no order: for every two intervals that share time, one whenever either of them is looked at again.

    Each takes the last look at both that could be made by that day.
    """
    views = [_by_interval(looks) for looks in (ascending, descending)]
    for one, other in product(*views):
        first, last = max(one[0], other[0]), min(one[1], other[1])
        if first >= last:
            continue
        both = views[0][one], views[1][other]
        begins = max(looks[0].seen for looks in both)
        for day in sorted({look.seen for looks in both for look in looks if look.seen >= begins}):
            newest = [next(look for look in reversed(looks) if look.seen <= day) for looks in both]
            after = sum(look.after for look in newest)
            yield Joint(first, last, after, day, sum(look.score for look in newest) / _ROOT, (newest[0], newest[1]))


def trial(ascending: Mapping[str, Sequence[Seen]], descending: Mapping[str, Sequence[Seen]]) -> Trial:
    """What two stacks' trials say of both together: see `trials.Trial.looks`, by kind.

    Sources were injected into each by itself, at places of their own: a joint positive has the same peak in both views, and
    no place (all stand in the middle).
    """
    quiet = sorted(joined(ascending.get("quiet", ()), descending.get("quiet", ())), key=lambda j: (j.seen, j.last, j.after))
    positive: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for kind in ascending.keys() & descending.keys() - {"quiet"}:
        by_time: dict[str, list[Joint]] = {}
        for one in joined(ascending[kind], descending[kind]):
            by_time.setdefault(one.name, []).append(one)
        ordered = [sorted(looks, key=lambda j: j.after) for looks in by_time.values()]
        positive[kind] = np.array([looks[-1].score for looks in ordered])
        positive[f"{kind} at once"] = np.array([looks[0].score for looks in ordered])
    days = sum((last - first).days for first, last in {(j.first, j.last) for j in quiet})
    return Trial(
        dates=np.array([(j.first, j.last) for j in quiet], "datetime64[D]").reshape(-1, 2),
        negative=np.array([j.score for j in quiet]),
        positive=dict(sorted(positive.items())),
        years=days / 365.25,
        places={kind: np.full((len(found), 2), 0.5) for kind, found in positive.items() if not kind.endswith("at once")},
        seen=np.array([j.seen for j in quiet], "datetime64[D]"),
    )


def _by_interval(looks: Iterable[Seen]) -> dict[tuple[date, date], list[Seen]]:
    out: dict[tuple[date, date], list[Seen]] = {}
    for look in sorted(looks, key=lambda look: look.after):
        out.setdefault((look.first, look.last), []).append(look)
    return out
