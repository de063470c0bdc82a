"""Each stack's threshold, from ROC: negatives are its own quiet evidence scored out of sample, positives labels or
injections; see `trials`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.calibration.detectability import detectability
from insar_anomaly.calibration.metrics import auroc, proportion, rate_per_year, roc
from insar_anomaly.calibration.trial import Trial
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


@dataclass(frozen=True)
class Calibration:
    """A stack's threshold and how well it is known. `threshold` is None where the stack is not calibrated; `why` says why.

    ``false_alarms`` is flags per year (value, low, high) and ``false_positives`` the rate per pair, both on the negatives at
    the threshold; ``detection`` maps a peak to the rate of detected injections; ``auroc`` maps a peak to AUROC;
    ``detectability`` is `detectability.Detectability` as a dictionary, empty where no source was injected; ``assessments``
    are the trial's, plain, for what is judged together with other stacks.
    """

    policy: str
    threshold: float | None
    why: str
    negatives: list[float]
    years: float
    false_alarms: tuple[float, float, float] | None
    false_positives: tuple[float, float, float] | None
    detection: dict[str, tuple[float, float, float]]
    auroc: dict[str, float]
    roc: dict[str, list[list[float]]]
    detectability: dict[str, Any] = field(default_factory=dict)
    assessments: dict[str, list[list[Any]]] = field(default_factory=dict)

    def percentile(self, score: float) -> float:
        """Part of the stack's quiet scores that lie below `score`, in percent."""
        return percentile(self.negatives, score)

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return asdict(self)


def choose(result: Trial, target: Target, *, in_sample: NDArray[np.float64] | None = None) -> Calibration:
    """The threshold of a stack under a named policy, with ROC, rates and intervals.

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
    if len(known) < target.min_pairs:
        threshold, why = None, f"{len(known)} quiet scores out of sample, at least {target.min_pairs} are needed"
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
    return _described(result, target, threshold, why)


def percentile(quiet: Sequence[float], score: float) -> float:
    """Part of quiet scores, in ascending order, that lie below `score`, in percent; 0 among none."""
    return 100 * bisect_left(quiet, score) / max(1, len(quiet))


def count_flags(result: Trial, threshold: float, *, clear_after_days: int) -> int:
    """Flags that a trial's negatives raise: `flags.run` over them."""
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
    known, alarms, positives = result.negative, None, None
    detection: dict[str, tuple[float, float, float]] = {}
    smallest: dict[str, Any] = {}
    if threshold is not None:
        found = count_flags(result, threshold, clear_after_days=target.clear_after_days)
        rate = rate_per_year(found, max(result.years, 1e-9))
        share = proportion(int((known > threshold).sum()), len(known))
        alarms, positives = (rate.value, rate.low, rate.high), (share.value, share.low, share.high)
        for name, values in result.positive.items():
            seen = proportion(int((values > threshold).sum()), len(values))
            detection[name] = (seen.value, seen.low, seen.high)
        smallest = _detectability(result, threshold)
    curves = {name: _curve(known, values) for name, values in result.positive.items() if len(known) and len(values)}
    return Calibration(
        policy=target.policy,
        threshold=threshold,
        why=why,
        negatives=[float(v) for v in np.sort(known)],
        years=result.years,
        false_alarms=alarms,
        false_positives=positives,
        detection=detection,
        auroc={name: auroc(known, values) for name, values in result.positive.items()},
        roc=curves,
        detectability=smallest,
        assessments={
            kind: [assessment.plain for assessment in assessments] for kind, assessments in result.assessments.items()
        },
    )


def _detectability(result: Trial, threshold: float) -> dict[str, Any]:
    """From every injection of the trial; empty where there was none."""
    names = [name for name in result.places if len(result.places[name])]
    if not names:
        return {}
    peaks = np.concatenate([np.full(len(result.places[n]), float(n.removesuffix(" cm"))) for n in names])
    seen = np.concatenate([result.positive[n] > threshold for n in names])
    return detectability(peaks, np.concatenate([result.places[n] for n in names]), seen).as_dict()


def _curve(negative: NDArray[np.float64], positive: NDArray[np.float64]) -> list[list[float]]:
    fpr, tpr, _ = roc(negative, positive)
    return [[round(float(v), 5) for v in fpr], [round(float(v), 5) for v in tpr]]
