"""The out-of-sample trial of two frames together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from insar_anomaly.calibration.trial import Trial
from insar_anomaly.evidence.directions import Joint, joined
from insar_anomaly.evidence.protocol import Assessed


def trial(ascending: Mapping[str, Sequence[Assessed]], descending: Mapping[str, Sequence[Assessed]]) -> Trial:
    """What two stacks' trials say of both together: see `trials.Trial.assessments`, by kind.

    Sources were injected into each by itself, at places of their own: a joint positive has the same peak in both views, and
    no place (all stand in the middle).
    """
    quiet = sorted(joined(ascending.get("quiet", ()), descending.get("quiet", ())), key=lambda j: (j.seen, j.last, j.after))
    positive: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for kind in ascending.keys() & descending.keys() - {"quiet"}:
        by_time: dict[str, list[Joint]] = {}
        for one in joined(ascending[kind], descending[kind]):
            by_time.setdefault(one.name, []).append(one)
        ordered = [sorted(assessments, key=lambda j: j.after) for assessments in by_time.values()]
        positive[kind] = np.array([assessments[-1].score for assessments in ordered])
        positive[f"{kind} at once"] = np.array([assessments[0].score for assessments in ordered])
    days = sum((last - first).days for first, last in {(j.first, j.last) for j in quiet})
    return Trial(
        dates=np.array([(j.first, j.last) for j in quiet], "datetime64[D]").reshape(-1, 2),
        negative=np.array([j.score for j in quiet]),
        positive=dict(sorted(positive.items())),
        years=days / 365.25,
        places={kind: np.full((len(found), 2), 0.5) for kind, found in positive.items() if not kind.endswith("at once")},
        seen=np.array([j.seen for j in quiet], "datetime64[D]"),
    )
