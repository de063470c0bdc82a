"""The threshold that another policy would give a stack, from what its fit has kept: nothing is scored again."""

from __future__ import annotations

import numpy as np

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import QUIET, Origin, injected
from insar_anomaly.calibration.threshold import Target, threshold_of
from insar_anomaly.calibration.trial import Trial


def by_policy(kept: Calibration, target: Target) -> float | None:
    """The threshold of a stack under this policy; None where the policy can give none.

    For intervals it is the one that a fit would choose, to the last digit: a fit keeps every assessment of its trial. Of
    single pairs and of both directions the dates are not kept, and of smaller sources no scores. There false alarms a year
    come from the tail of the quiet scores, and Youden's index from the sources as they were injected. Policy ``quantile``
    needs scores in sample, which are not kept: it is the false positive rate that its quantile leaves.
    """
    target, quiet = target.out_of_sample, kept.assessments.get(QUIET, ())
    if not quiet and target.policy == "false-alarms-per-year":
        enough = len(kept.negatives) >= target.min_pairs and kept.tail is not None
        return kept.tail.score_at(target.false_alarms_per_year) if enough and kept.tail else None
    return threshold_of(_trial(kept) if quiet else _undated(kept), target)[0]


def _trial(kept: Calibration) -> Trial:
    quiet = kept.assessments[QUIET]
    return Trial(
        dates=np.array([(one.first, one.last) for one in quiet], "datetime64[D]").reshape(-1, 2),
        negative=np.array([one.score for one in quiet]),
        positive={
            sample: np.array([one.score for one in every])
            for sample, every in kept.assessments.items()
            if sample.origin is Origin.INJECTED
        },
        years=kept.years,
        seen=np.array([one.seen for one in quiet], "datetime64[D]"),
    )


def _undated(kept: Calibration) -> Trial:
    """A trial of which only the scores are known."""
    none = np.empty((0, 2), "datetime64[D]")
    drawn = {} if kept.injections is None else {injected(0.0): kept.injections.score}
    return Trial(none, np.array(kept.negatives), drawn, kept.years)
