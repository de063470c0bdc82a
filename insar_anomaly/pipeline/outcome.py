"""What a run says at its end, in the same words from the command line and from the Prefect flows."""

from __future__ import annotations

from collections.abc import Sequence

from insar_anomaly.pipeline.installation import Run
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
