"""The out-of-sample trial of two frames together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from insar_anomaly.calibration.samples import QUIET, Age, Sample, injected
from insar_anomaly.calibration.trial import Injections, Trial
from insar_anomaly.evidence.directions import Joint, joined
from insar_anomaly.evidence.protocol import Assessed


def trial(ascending: Mapping[Sample, Sequence[Assessed]], descending: Mapping[Sample, Sequence[Assessed]]) -> Trial:
    """What two stacks' trials say of both together: see `trial.Trial.assessments`, by sample.

    Sources were injected into each by itself, at places of their own: a joint positive has the same peak in both views, and
    no place (all stand in the middle).
    """
    quiet = sorted(joined(ascending.get(QUIET, ()), descending.get(QUIET, ())), key=lambda j: (j.seen, j.last, j.after))
    positive: dict[Sample, np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    for sample in ascending.keys() & descending.keys() - {QUIET}:
        by_time: dict[str, list[Joint]] = {}
        for one in joined(ascending[sample], descending[sample]):
            by_time.setdefault(one.name, []).append(one)
        ordered = [sorted(assessments, key=lambda j: j.after) for assessments in by_time.values()]
        positive[sample] = np.array([assessments[-1].score for assessments in ordered])
        positive[injected(sample.peak_cm, Age.FIRST)] = np.array([assessments[0].score for assessments in ordered])
    days = sum((last - first).days for first, last in {(j.first, j.last) for j in quiet})
    return Trial(
        dates=np.array([(j.first, j.last) for j in quiet], "datetime64[D]").reshape(-1, 2),
        negative=np.array([j.score for j in quiet]),
        positive=dict(sorted(positive.items())),
        years=days / 365.25,
        injections=_placeless({one.peak_cm: found for one, found in positive.items() if one.age is Age.COMPLETE}),
        seen=np.array([j.seen for j in quiet], "datetime64[D]"),
    )


def _placeless(found: Mapping[float, np.ndarray[tuple[int], np.dtype[np.float64]]]) -> Injections | None:
    """Scores by peak as injections that stand in the middle of the scene; None where there are none."""
    if not found:
        return None
    peaks = np.concatenate([np.full(len(scores), peak) for peak, scores in found.items()])
    return Injections(peaks, np.full((len(peaks), 2), 0.5), np.concatenate(list(found.values())))
