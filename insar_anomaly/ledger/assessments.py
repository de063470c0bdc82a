"""Scores: of pairs, and of assessments of intervals, acquisitions and both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import bindparam, false, func, select, update

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

        What `advance` has considered stays considered, unless it was made of other pairs, or of other versions of them: then
        it is a new score, and what stood there before is kept as superseded.
        """
        s = t.score.c
        with self._transaction(writes=True) as tx:
            for row in (row for row in rows if row.inputs):
                same = (s.stack == stack) & (s.pair == row.pair) & (s.after == row.after) & (s.model == row.model)
                other = same & (s.inputs != row.inputs)
                tx.execute(t.superseded.insert().from_select(_KEPT, select(*(s[name] for name in _KEPT)).where(other)))
                tx.execute(update(t.score).where(other).values(considered=False))
            upsert(tx, t.score, stack, rows)

    def superseded(self, stack: str) -> list[ScoreRow]:
        """Scores that were made again because what they rest on has changed, as they were, oldest first."""
        old = columns(t.superseded, ScoreRow).where(t.superseded.c.stack == stack).order_by(t.superseded.c.number)
        return self._read(ScoreRow, old)

    def score_rows(self, stack: str, pair: str) -> list[ScoreRow]:
        """Every score that a pair, interval or acquisition of a stack has or had, by all models; those of now come last."""
        found = []
        for table in (t.superseded, t.score):
            query = columns(table, ScoreRow).where(table.c.stack == stack, table.c.pair == pair).order_by(table.c.after)
            found += self._read(ScoreRow, query)
        return found

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
            select(i.stack, i.pair, s.score, s.threshold, flagged, verdict, snapshot, s.model, i.detail)
            .outerjoin(current, current.c.stack == i.stack)
            .outerjoin(t.score, (s.stack == i.stack) & (s.pair == i.pair) & (s.model == current.c.model))
        )
        rows = self._read(ScoredPair, query if stack is None else query.where(i.stack == stack))
        return sorted(rows, key=lambda row: ([*columns_of(row.stack).values()], by_date(row.pair)))

    def assessments(self, stack: str, evidence: str) -> list[ScoredAssessment]:
        """Every assessment of a stack at this evidence, scored by its current model of it; in order of dates and `after`."""
        rows = self._read(ScoredAssessment, _BY_CURRENT_MODEL, stack=stack, evidence=EvidenceKind(evidence))
        return sorted(rows, key=lambda row: (by_date(row.pair), row.after))


_KEPT = ("stack", *(one.name for one in fields(ScoreRow)))
_NEWEST = (
    select(t.model.c.model)
    .where(t.model.c.stack == bindparam("stack"), t.model.c.evidence == bindparam("evidence"))
    .order_by(t.model.c.number.desc())
    .limit(1)
)
_BY_CURRENT_MODEL = columns(t.score, ScoredAssessment).where(
    t.score.c.stack == bindparam("stack"), t.score.c.model == _NEWEST.scalar_subquery()
)
