"""Each stack's threshold, from ROC: negatives are its own quiet evidence scored out of sample, positives labels or
injections; see `trial`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.calibration.detectability import Detectability, detectability
from insar_anomaly.calibration.metrics import Estimate, auroc, proportion, rate_per_year, roc
from insar_anomaly.calibration.record import Calibration, Curve
from insar_anomaly.calibration.return_period import Tail
from insar_anomaly.calibration.samples import Sample
from insar_anomaly.calibration.trial import Injections, Trial
from insar_anomaly.flags import machine as flags

Policy = Literal["false-alarms-per-year", "fpr", "youden", "quantile"]


@dataclass(frozen=True)
class Target:
    """What a policy aims at; only the field that belongs to `policy` is used.

    `false_alarms_per_year` counts flags, not pairs: one bad acquisition makes several bad pairs but one false alarm.
    """

    policy: Policy
    false_alarms_per_year: float
    fpr: float
    quantile: float
    min_pairs: int
    clear_after_days: int

    @property
    def out_of_sample(self) -> Target:
        """The same aim for evidence that has no in-sample scores, or whose scores out of sample lie far above them.

        Policy ``quantile`` then becomes the false positive rate that its quantile leaves; the others stay.
        """
        if self.policy != "quantile":
            return self
        return replace(self, policy="fpr", fpr=1 - self.quantile)


def choose(result: Trial, target: Target, *, in_sample: NDArray[np.float64] | None = None) -> Calibration:
    """The threshold of a stack under a named policy, with ROC, rates and intervals; see `threshold_of`."""
    return _described(result, target, *threshold_of(result, target, in_sample=in_sample))


def threshold_of(result: Trial, target: Target, *, in_sample: NDArray[np.float64] | None = None) -> tuple[float | None, str]:
    """The threshold of a stack under a named policy, None where there is none, and why.

    Parameters
    ----------
    result : out-of-sample scores
    target : the policy and its aim
    in_sample : scores of the training pairs by the final model, for policy ``quantile`` only

    Raises
    ------
    ValueError
        where the policy is unknown, or ``quantile`` has no in-sample scores.
    """
    known = result.negative
    positives = np.concatenate(list(result.positive.values())) if result.positive else np.empty(0)
    threshold: float | None
    if result.scored < target.min_pairs:
        threshold, why = None, f"{result.scored} quiet scores out of sample, at least {target.min_pairs} are needed"
    elif target.policy == "false-alarms-per-year":
        threshold = _by_false_alarms(result, target)
        why = f"at most {target.false_alarms_per_year:g} a year, from {result.years:.2g} quiet years"
    elif target.policy == "fpr":
        threshold, why = float(np.quantile(known, 1 - target.fpr, method="higher")), f"{target.fpr:g} of quiet scores"
    elif target.policy == "youden":
        threshold, why = _youden(known, positives)
    elif target.policy == "quantile":
        if in_sample is None:
            raise ValueError("policy quantile needs the training scores")
        threshold, why = (
            float(np.nanquantile(in_sample, target.quantile)),
            f"{target.quantile:g} quantile of training scores",
        )
    else:
        raise ValueError(f"policy = {target.policy!r} is unknown")
    return threshold, why


def count_flags(result: Trial, threshold: float, *, clear_after_days: int) -> int:
    """Flags that a trial's negatives raise: `flags.machine.run` over them."""
    days = result.dates.astype("datetime64[D]").astype(object)
    seen = [None] * len(days) if result.seen is None else result.seen.astype("datetime64[D]").astype(object)
    evidence = [
        flags.Evidence(a, b, float(score), threshold, seen=when)
        for (a, b), score, when in zip(days, result.negative, seen, strict=True)
    ]
    return len(flags.run(flags.State(), evidence, clear_after_days=clear_after_days)[0].episodes)


def _by_false_alarms(result: Trial, target: Target) -> float:
    """The threshold that flags are expected to pass as often as wanted, in a time like the one that was seen.

    In that time as many flags are allowed as the target gives. A score that the n-th highest flag reached is reached again n
    times in the next such time, on average; so the threshold lies at the flag of the allowed rank, not below it at the first
    one too many, which would come one time more often than wanted. Between two ranks, and above the highest where not one
    flag is allowed, it follows an exponential tail (there by the mean excess over the 80 % quantile).

    Flags can merge as the threshold falls, so their number is not monotonic: the search walks down from the highest score
    and stops at the first that makes too many.
    """
    allowed = target.false_alarms_per_year * max(result.years, 1e-9)
    best, rank = float("inf"), 0
    for candidate in map(float, np.unique(result.negative)[::-1]):
        just_below = float(np.nextafter(candidate, -np.inf))  # flags are raised at `>`: count this score's own
        found = count_flags(result, just_below, clear_after_days=target.clear_after_days)
        if found > allowed and not rank:
            return candidate + _mean_excess(result.negative) * float(np.log(found / max(allowed, 1e-3)))
        if found > allowed:
            return best - (best - candidate) * float(np.log(allowed / rank) / np.log(found / rank))
        best, rank = candidate, found
    return best


def _mean_excess(scores: NDArray[np.float64]) -> float:
    edge = np.quantile(scores, 0.8)
    over = scores[scores > edge]
    return float((over - edge).mean()) if len(over) else 0.0


def _youden(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> tuple[float | None, str]:
    if not len(positive):
        return None, "policy youden needs positives: labels or injected sources"
    fpr, tpr, threshold = roc(negative, positive)
    best = int(np.argmax(tpr - fpr))
    # any threshold down to the next score gives the same rates: the middle favours neither side
    known = np.concatenate([negative, positive])
    below = known[known < threshold[best]].max(initial=-np.inf)
    middle = (threshold[best] + below) / 2 if np.isfinite(below) else np.nextafter(threshold[best], -np.inf)
    return float(middle), "largest true minus false positive rate"


def _described(result: Trial, target: Target, threshold: float | None, why: str) -> Calibration:
    known = result.negative
    alarms: Estimate | None = None
    positives: Estimate | None = None
    detection: dict[Sample, Estimate] = {}
    smallest: Detectability | None = None
    if threshold is not None:
        found = count_flags(result, threshold, clear_after_days=target.clear_after_days)
        alarms = rate_per_year(found, max(result.years, 1e-9))
        positives = proportion(int((known > threshold).sum()), len(known))
        for sample, values in result.positive.items():
            detection[sample] = proportion(int((values > threshold).sum()), len(values))
        smallest = seen_from(result.injections, threshold)
    curves = {name: _curve(known, values) for name, values in result.positive.items() if len(known) and len(values)}
    return Calibration(
        policy=target.policy,
        threshold=threshold,
        why=why,
        negatives=tuple(float(v) for v in np.sort(known)),
        years=result.years,
        false_alarms=alarms,
        false_positives=positives,
        detection=detection,
        auroc={name: auroc(known, values) for name, values in result.positive.items()},
        roc=curves,
        detectability=smallest,
        assessments={sample: tuple(every) for sample, every in result.assessments.items()},
        tail=Tail.of(known, result.dates, result.years),
        injections=result.injections if result.injections is not None and len(result.injections.score) else None,
    )


def seen_from(drawn: Injections | None, threshold: float) -> Detectability | None:
    """How small a source scores over a threshold, from the injections of a trial; None where there was none."""
    if drawn is None or not len(drawn.score):
        return None
    return detectability(drawn.peak_cm, drawn.place, drawn.score > threshold)


def _curve(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> Curve:
    fpr, tpr, _ = roc(negative, positive)
    return Curve(tuple(round(float(v), 5) for v in fpr), tuple(round(float(v), 5) for v in tpr))
