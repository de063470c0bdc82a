"""Flags whose evidence was assessed again on corrected data: what was made again, and what that changes, in words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from insar_anomaly.flags import machine as flags
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoreRow
from insar_anomaly.names import Pair
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.lapsed import corrected


@dataclass(frozen=True)
class Remade:
    """Assessments (name, after) of one model that were made again; the highest score of all that is over now, by name."""

    assessments: Collection[tuple[str, int]] = frozenset()
    over: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, s: Installation, stack: str, model: ModelRow, *, rests_on: Collection[str]) -> Remade:
        """Of a stack or couple; nothing where no pair of the stacks that it `rests_on` was ever corrected."""
        if not any(corrected(s, one) for one in rests_on):
            return cls()
        again = {(row.pair, row.after) for row in s.ledger.superseded(stack) if row.model == model.model}
        rows = sorted(s.ledger.assessments(stack, model.evidence), key=lambda row: row.score or 0.0)
        return cls(again, {row.pair: row.score for row in rows if row.over and row.score is not None})

    def evidence(self, scores: Collection[ScoreRow], counted: Collection[str]) -> list[flags.Evidence]:
        """New scores as the machine takes them; `counted` names those that were over before.

        The assessments of one interval, first assessment first, count as one. Where they are made again together, the last
        of them is the one that counts against it.
        """
        found, over = [], set(counted)
        last = {row.pair: row.after for row in scores}
        for row in scores:
            again = row.pair in counted and (row.pair, row.after) in self.assessments
            one = evidence_of_row(row, counted=row.pair in over, again=again)
            if one is None or (again and not one.over and row.after < last[row.pair]):
                continue
            found.append(one)
            over |= {row.pair} if one.over else set()
        return found

    def with_peaks(self, state: flags.State, again: Collection[str]) -> flags.State:
        """The episodes with their peaks, where the evidence of these names was assessed again."""
        mine = {e.number for e in state.episodes if e.state.stands and e.peak_pair in again}
        return flags.State(tuple(flags.with_peak(e, self.over) if e.number in mine else e for e in state.episodes))


def evidence_of_row(row: ScoreRow, *, counted: bool, again: bool) -> flags.Evidence | None:
    """A score as the machine takes it; None where it is none. Made `again`, one without a score is evidence of nothing."""
    span, seen = Pair.parse(row.pair), row.seen if row.after else None
    if span is None or (not again and (row.score is None or row.threshold is None)):
        return None
    score = -math.inf if row.score is None else row.score
    return flags.Evidence(span.first, span.last, score, row.threshold or 0.0, counted, seen, again, area=row.area)


def amended(before: EpisodeRow, now: flags.Episode, *, again: bool) -> str | None:
    """What corrected or returned data have changed of a flag, in words; None where they have changed nothing."""
    old, name = before.episode, f"{before.stack}: flag {before.number}"
    if old.withdrawn and not now.withdrawn:
        return f"{name} was withdrawn and stands again: {now.peak_pair} is over the threshold"
    if not again or not old.state.stands:
        return None
    if not now.state.stands:
        return f"{name} is withdrawn: on corrected pairs nothing in its time is over the threshold"
    if (old.peak_pair, old.peak_score) == (now.peak_pair, now.peak_score) and now.pairs_over >= old.pairs_over:
        return None
    return (
        f"{name} is amended, on corrected pairs: peak {old.peak_score:.4g} in {old.peak_pair} is now "
        f"{now.peak_score:.4g} in {now.peak_pair}, {old.pairs_over} over the threshold are now {now.pairs_over}"
    )
