"""What a run says at its end, in the same words from the command line and from the Prefect flows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from insar_anomaly.calibration.detectability import Peak
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.threshold import seen_from
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.pictures import calibration_file
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Failure


def result_of(run: Run, kind: str) -> dict[str, object]:
    """Counts, failures, blind stacks and warnings of a run, for machines."""
    return {
        "kind": kind,
        **run.counted,
        "failures": [vars(failure) for failure in run.failures],
        "blind": run.blind,
        "warnings": run.warnings,
    }


def words_of(run: Run, kind: str, nothing: str = "nothing to do") -> list[str]:
    """The same for people, without the failures' texts; `nothing` says what no count means."""
    counted = [f"{number} {_named(name, number)}" for name, number in run.counted.items() if number]
    words = [f"{kind}: " + (", ".join(counted) or nothing)]
    if run.failures:
        words[0] += f"; {len(run.failed)} {'stack' if len(run.failed) == 1 else 'stacks'} failed"
    words += [f"  blind, raises no flags: {stack}: {why}" for stack, why in run.blind.items()]
    return words + [f"  {warning}" for warning in run.warnings]


def _named(count: str, number: int) -> str:
    """The name of a count in words, for one or several."""
    words = count.replace("_", " ").split()
    return " ".join(word.removesuffix("s") if number == 1 else word for word in words)


def failures_of(failures: Sequence[Failure]) -> list[str]:
    """One line for each failure."""
    return [f"  {failure.stack} ({failure.stage}): {failure.error}" for failure in failures]


_SEEN = {
    "=": "detects half of all sources of {:.2g} cm peak",
    "<": "detects more than half of all sources of {:.2g} cm peak, the smallest that was tried",
    ">": "misses more than half of all sources even of {:.2g} cm peak, the largest that was tried",
}


@dataclass(frozen=True)
class Calibrated:
    """What a fit means for a stack's flags: the evidence that raises them, its threshold, and the smallest visible source.

    `half` is the peak, cm line of sight, of which half of all sources are detected (``=``, ``<`` or ``>``); None where
    nothing was injected. `threshold` is None where the stack is blind. `told_from` is the score from which on people are
    told, the threshold or more; `told_half` and `told_most` are the peaks of which half and nine tenths of sources reach it.
    """

    stack: str
    evidence: EvidenceKind
    threshold: float | None
    half: Peak | None
    figure: str
    told_from: float | None = None
    told_half: Peak | None = None
    told_most: Peak | None = None

    @property
    def words(self) -> str:
        """One line of the table that a fit ends with."""
        if self.threshold is None:
            return f"{self.stack}: {self.evidence.many}, no threshold"
        seen = _SEEN[self.half.bound].format(self.half.cm) if self.half else "no source was injected"
        told = ""
        if self.told_from is not None and self.told_from > self.threshold:
            told = f"; notices from {self.told_from:.4g} on"
            if self.told_half and self.told_most:
                told += f", which half of all sources of {self.told_half} and nine tenths of {self.told_most} reach"
        return f"{self.stack}: {self.evidence.many}, threshold {self.threshold:.4g}, {seen}{told}; {self.figure}"


def calibrated(s: Installation) -> Iterator[Calibrated]:
    """Every fitted stack of the installation, in order."""
    level = level_of(s)
    for stack in sorted(s.by_stack):
        model, _ = s.resting(stack)
        if model is None:
            continue
        record = Calibration.read(model.calibration)
        found = record.detectability
        told = None if model.threshold is None else Telling.of(model, level).above(model.threshold)
        at_level = None if told is None else seen_from(record.injections, told)
        yield Calibrated(
            stack,
            model.evidence,
            model.threshold,
            found.half if found else None,
            str(calibration_file(s.config.figures, stack, model.evidence)),
            told,
            at_level.half if at_level else None,
            at_level.most if at_level else None,
        )


def level_words(s: Installation) -> list[str]:
    """What the installation's budget of false flags means; nothing before the first fit."""
    level = level_of(s)
    return [f"level of all stacks: {level.words}"] if level else []


def fit_result(s: Installation, run: Run) -> dict[str, object]:
    """`result_of` a fit, with its table under ``stacks`` and the level of all under ``level``."""
    level = level_of(s)
    told = None if level is None else asdict(level) | {"rate": level.rate if math.isfinite(level.rate) else None}
    return result_of(run, "fit") | {"stacks": [asdict(one) for one in calibrated(s)], "level": told}
