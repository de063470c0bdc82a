"""A stack's calibration as it is kept: the threshold, how it was chosen, and how well it is known.

`Calibration` is the type; `Calibration.text` and `Calibration.read` are its stored form, described by
``calibration.schema.json``. What earlier versions stored is read too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from insar_anomaly.calibration.detectability import Detectability
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.return_period import Tail
from insar_anomaly.calibration.samples import Sample
from insar_anomaly.calibration.trial import Injections
from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.names import JsonObject

VERSION = 3
"""Of the stored form. 1: keys as ``4 cm at once``, assessments under ``looks``, no ``version``. 2: no ``tail`` and
``injections``."""


@dataclass(frozen=True)
class Curve:
    """A ROC curve: false and true positive rates (operating point,), from strict to lax."""

    fpr: tuple[float, ...]
    tpr: tuple[float, ...]


@dataclass(frozen=True)
class Calibration:
    """A stack's threshold and how well it is known. `threshold` is None where the stack is not calibrated; `why` says why.

    ``negatives`` are the quiet scores, ascending; ``false_alarms`` is flags per year and ``false_positives`` the rate per
    assessment, both on the negatives at the threshold, None without one; ``detection`` is the share of injections over the
    threshold, ``auroc`` and ``roc`` tell a sample from the negatives; ``detectability`` is None where nothing was injected;
    ``assessments`` are those of the trial, for what is judged together with other stacks; ``tail`` gives return periods,
    None where too little is known of the highest quiet scores; ``injections`` are the trial's, None where there was none.
    """

    policy: str
    threshold: float | None
    why: str
    negatives: tuple[float, ...]
    years: float
    false_alarms: Estimate | None = None
    false_positives: Estimate | None = None
    detection: Mapping[Sample, Estimate] = field(default_factory=dict)
    auroc: Mapping[Sample, float] = field(default_factory=dict)
    roc: Mapping[Sample, Curve] = field(default_factory=dict)
    detectability: Detectability | None = None
    assessments: Mapping[Sample, Sequence[Assessed]] = field(default_factory=dict)
    tail: Tail | None = None
    injections: Injections | None = None

    def percentile(self, score: float) -> float:
        """Part of the stack's quiet scores that lie below `score`, in percent; 0 where there are none."""
        return percentile(self.negatives, score)

    @property
    def text(self) -> str:
        """The stored form, JSON. NaN becomes null."""
        content: dict[str, object] = {
            "version": VERSION,
            "policy": self.policy,
            "threshold": self.threshold,
            "why": self.why,
            "negatives": list(self.negatives),
            "years": self.years,
            "false_alarms": _plain(self.false_alarms),
            "false_positives": _plain(self.false_positives),
            "detection": {str(sample): _plain(rate) for sample, rate in self.detection.items()},
            "auroc": {str(sample): None if np.isnan(value) else value for sample, value in self.auroc.items()},
            "roc": {str(sample): [list(curve.fpr), list(curve.tpr)] for sample, curve in self.roc.items()},
            "detectability": None if self.detectability is None else self.detectability.as_dict(),
            "assessments": {str(sample): [one.plain for one in every] for sample, every in self.assessments.items()},
            "tail": None if self.tail is None else self.tail.plain,
            "injections": None if self.injections is None else self.injections.plain,
        }
        return json.dumps(content, allow_nan=False)

    @classmethod
    def read(cls, text: str) -> Calibration:
        """From the stored form of this version or an earlier one. Raises ValueError for a newer one."""
        content: JsonObject = json.loads(text)
        if content.get("version", 1) > VERSION:
            raise ValueError(
                f"a calibration of version {content['version']} was written by newer code: upgrade this installation"
            )
        found = content.get("detectability")
        alarms, positives = (content.get(name) for name in ("false_alarms", "false_positives"))
        return cls(
            policy=content["policy"],
            threshold=content["threshold"],
            why=content["why"],
            negatives=tuple(content["negatives"]),
            years=content["years"],
            false_alarms=Estimate(*alarms) if alarms else None,
            false_positives=Estimate(*positives) if positives else None,
            detection={Sample.parse(name): Estimate(*rate) for name, rate in content["detection"].items()},
            auroc={Sample.parse(n): float("nan") if v is None else v for n, v in content["auroc"].items()},
            roc={Sample.parse(name): Curve(tuple(fpr), tuple(tpr)) for name, (fpr, tpr) in content["roc"].items()},
            detectability=Detectability.of(found) if found else None,
            assessments={
                Sample.parse(name): tuple(Assessed.of(one) for one in every)
                for name, every in (content.get("assessments") or content.get("looks") or {}).items()
            },
            tail=Tail.read(content["tail"]) if content.get("tail") else None,
            injections=Injections.read(content["injections"]) if content.get("injections") else None,
        )


def percentile(negatives: Sequence[float], score: float) -> float:
    """Part of quiet scores (ascending) that lie below `score`, in percent; 0 where there are none."""
    return float(100 * np.searchsorted(negatives, score) / max(1, len(negatives)))


def _plain(estimate: Estimate | None) -> list[float] | None:
    return None if estimate is None else [estimate.value, estimate.low, estimate.high]
