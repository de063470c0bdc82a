"""What a run says at its end, in the same words from the command line and from the Prefect flows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from insar_anomaly.calibration.detectability import Peak
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.pipeline.pictures import calibration_file
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
    counted = [f"{number} {name.replace('_', ' ')}" for name, number in run.counted.items() if number]
    words = [f"{kind}: " + (", ".join(counted) or nothing)]
    if run.failures:
        words[0] += f"; {len(run.failed)} {'stack' if len(run.failed) == 1 else 'stacks'} failed"
    words += [f"  blind, raises no flags: {stack}: {why}" for stack, why in run.blind.items()]
    return words + [f"  {warning}" for warning in run.warnings]


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
    nothing was injected. `threshold` is None where the stack is blind.
    """

    stack: str
    evidence: EvidenceKind
    threshold: float | None
    half: Peak | None
    figure: str

    @property
    def words(self) -> str:
        """One line of the table that a fit ends with."""
        if self.threshold is None:
            return f"{self.stack}: {self.evidence.many}, no threshold"
        seen = _SEEN[self.half.bound].format(self.half.cm) if self.half else "no source was injected"
        return f"{self.stack}: {self.evidence.many}, threshold {self.threshold:.4g}, {seen}; {self.figure}"


def calibrated(s: Installation) -> Iterator[Calibrated]:
    """Every fitted stack of the installation, in order."""
    for stack in sorted(s.by_stack):
        model, _ = s.resting(stack)
        if model is None:
            continue
        found = Calibration.read(model.calibration).detectability
        figure = calibration_file(s.config.figures, stack, model.evidence)
        yield Calibrated(stack, model.evidence, model.threshold, found.half if found else None, str(figure))


def fit_result(s: Installation, run: Run) -> dict[str, object]:
    """`result_of` a fit, with its table under ``stacks``."""
    return result_of(run, "fit") | {"stacks": [asdict(one) for one in calibrated(s)]}
