"""Scores: of pairs, and of assessments of intervals, acquisitions and both directions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import false, func, select, update

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.models import Models
from insar_anomaly.ledger.records import ScoredAssessment, ScoredPair, ScoreRow
from insar_anomaly.ledger.sql import columns, upsert
from insar_anomaly.names import EvidenceKind, by_date, columns_of


class Assessments(Models):
    """The scores of the ledger."""

    def scored(self, stack: str, model: str) -> dict[tuple[str, int], int]:
        """The assessments that have a row of this model, whatever its verdict: (pair, after) -> inputs."""
        c = t.score.c
        with self._transaction(writes=False) as tx:
            rows = tx.execute(select(c.pair, c.after, c.inputs).where(c.stack == stack, c.model == model))
            return {(row.pair, row.after): row.inputs for row in rows}

    def record_scores(self, stack: str, rows: Sequence[ScoreRow]) -> None:
        """Insert or replace scores; their model must be recorded.

        What `advance` has considered stays considered, unless other pairs were fused for it: then it is a new score.
        """
        s = t.score.c
        with self._transaction(writes=True) as tx:
            for row in (row for row in rows if row.inputs):
                other = (s.stack == stack) & (s.pair == row.pair) & (s.after == row.after) & (s.model == row.model)
                tx.execute(update(t.score).where(other, s.inputs != row.inputs).values(considered=False))
            upsert(tx, t.score, stack, rows)

    def scores(self, stack: str | None = None) -> list[ScoredPair]:
        """Every pair of one stack or of all, with its score by the stack's current model of pairs.

        In order of gvp, frame, secondary and reference date; `flagged` is False until `advance` has considered the score.
        """
        i, s, m = t.interferogram.c, t.score.c, t.model.alias()
        of_pairs = (m.c.stack == t.model.c.stack) & (m.c.evidence == EvidenceKind.PAIR)
        newest = select(func.max(m.c.number)).where(of_pairs).scalar_subquery()
        current = select(t.model.c.stack, t.model.c.model).where(t.model.c.number == newest).subquery()
        verdict = func.coalesce(s.verdict, i.verdict).label("verdict")
        snapshot = func.coalesce(s.snapshot, i.snapshot).label("snapshot")
        flagged = func.coalesce(s.flagged, false()).label("flagged")
        query = (
            select(i.stack, i.pair, s.score, s.threshold, flagged, verdict, snapshot, s.model)
            .outerjoin(current, current.c.stack == i.stack)
            .outerjoin(t.score, (s.stack == i.stack) & (s.pair == i.pair) & (s.model == current.c.model))
        )
        rows = self._read(ScoredPair, query if stack is None else query.where(i.stack == stack))
        return sorted(rows, key=lambda row: ([*columns_of(row.stack).values()], by_date(row.pair)))

    def assessments(self, stack: str, evidence: str) -> list[ScoredAssessment]:
        """Every assessment of a stack at this evidence, scored by its current model of it; in order of dates and `after`."""
        m, s = t.model.c, t.score.c
        newest = select(m.model).where(m.stack == stack, m.evidence == evidence).order_by(m.number.desc()).limit(1)
        query = columns(t.score, ScoredAssessment).where(s.stack == stack, s.model == newest.scalar_subquery())
        return sorted(self._read(ScoredAssessment, query), key=lambda row: (by_date(row.pair), row.after))
