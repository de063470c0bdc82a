"""All stacks seen from afar, in few queries: whether anything of one has changed, and what its newest scores say."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Integer, cast, func, select

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part
from insar_anomaly.names import EvidenceKind


@dataclass(frozen=True)
class Newest:
    """The highest score of those that a stack's newest acquisition made possible, by its current model of one evidence.

    `return_period` is in years, None where it is not known.
    """

    pair: str
    seen: date
    score: float
    threshold: float | None
    return_period: float | None


class Outlook(Part):
    """What the ledger says of all stacks together."""

    def marks(self) -> dict[str, tuple[object, ...]]:
        """Stack or couple -> a mark that changes when its models, its scores or the verdicts of its pairs do."""
        found: dict[str, list[object]] = defaultdict(list)
        s, m, i = t.score.c, t.model.c, t.interferogram.c
        of_scores = select(
            s.stack,
            s.model,
            func.count(),
            func.sum(s.score),
            func.sum(s.threshold),
            func.sum(cast(s.flagged, Integer)),
            func.sum(cast(s.verdict, Integer)),
            func.max(s.seen),
            func.sum(s.inputs % 1_000_003),  # hashes: their sum would leave the range of a number
        ).group_by(s.stack, s.model)
        of_models = select(m.stack, m.evidence, func.max(m.number), func.max(m.published)).group_by(m.stack, m.evidence)
        of_pairs = select(i.stack, func.count(), func.sum(cast(i.verdict, Integer)), func.sum(i.version)).group_by(i.stack)
        with self._transaction(writes=False) as tx:
            for query in (of_scores.order_by(s.stack, s.model), of_models.order_by(m.stack, m.evidence), of_pairs):
                for stack, *rest in tx.execute(query):
                    found[stack].append(tuple(map(_plain, rest)))
        return {stack: tuple(rows) for stack, rows in found.items()}

    def newest(self, evidence: str) -> dict[str, Newest]:
        """Stack or couple -> its newest scores of this evidence; those without any are missing."""
        s, m = t.score.c, t.model.c
        mine = select(m.stack, func.max(m.number).label("number")).where(m.evidence == EvidenceKind(evidence))
        last = mine.group_by(m.stack).subquery()
        same = (m.stack == last.c.stack) & (m.number == last.c.number)
        current = select(m.stack, m.model).join(last, same).subquery()
        of_current = (s.stack == current.c.stack) & (s.model == current.c.model)
        good = s.score.is_not(None) & s.seen.is_not(None)
        ends = select(s.stack, s.model, func.max(s.seen).label("seen")).join(current, of_current).where(good)
        day = ends.group_by(s.stack, s.model).subquery()
        query = select(s.stack, s.pair, s.seen, s.score, s.threshold, s.return_period)
        query = query.join(day, (s.stack == day.c.stack) & (s.model == day.c.model) & (s.seen == day.c.seen)).where(good)
        found: dict[str, Newest] = {}
        with self._transaction(writes=False) as tx:
            for row in tx.execute(query.order_by(s.stack, s.score)):
                found[row.stack] = Newest(*row[1:])
        return found


def _plain(value: object) -> object:
    """Numbers to twelve digits, so that the order of a sum makes no difference; all else as text."""
    return float(f"{value:.12g}") if isinstance(value, float) else str(value)
