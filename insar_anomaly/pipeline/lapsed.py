"""Assessments that cannot be made any more, because pairs were withdrawn or replaced: they are taken back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from insar_anomaly.errors import Verdict
from insar_anomaly.ledger.records import ModelRow, ScoredAssessment, ScoreRow, Seen
from insar_anomaly.names import Period, span_of
from insar_anomaly.pipeline.installation import Installation

TAKEN_BACK = -1
"""What stands for the inputs of an assessment that has none: no hash and no version is negative."""


def is_corrected(seen: Mapping[str, Seen]) -> bool:
    """True where a pair of a stack was ever replaced or withdrawn."""
    return any(known.version or known.verdict == Verdict.WITHDRAWN for known in seen.values())


def corrected(s: Installation, stack: str) -> bool:
    """The same, from the ledger."""
    return s.ledger.corrected(stack)


def take_back(s: Installation, stack: str, model: ModelRow, possible: Collection[tuple[str, int]], period: Period) -> None:
    """Write down that scores rest on nothing any more: those whose name and ``after`` are not among the `possible` ones.

    Only what could be made by the end of the period is looked at: `possible` holds nothing else.
    """
    rows = s.ledger.assessments(stack, model.evidence)
    s.ledger.record_scores(stack, list(_lapsed(rows, model, possible, period)))


def _lapsed(
    rows: Collection[ScoredAssessment], model: ModelRow, possible: Collection[tuple[str, int]], period: Period
) -> Iterator[ScoreRow]:
    for row in rows:
        span = span_of(row.pair)
        seen = row.seen or (span.last if span else None)
        beyond = period.last is not None and seen is not None and seen > period.last
        if beyond or row.verdict == Verdict.WITHDRAWN or (row.pair, row.after) in possible:
            continue
        gone = Verdict.WITHDRAWN
        yield ScoreRow(row.pair, model.model, None, row.threshold, gone, None, row.snapshot, row.after, TAKEN_BACK, row.seen)
