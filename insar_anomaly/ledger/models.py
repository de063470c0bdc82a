"""Models and their thresholds."""

from __future__ import annotations

from sqlalchemy import Select, bindparam, func, select

from insar_anomaly.ledger import tables as t
from insar_anomaly.ledger.part import Part, now
from insar_anomaly.ledger.records import Judge, ModelRow, ScoreRow
from insar_anomaly.ledger.sql import columns, read, upsert
from insar_anomaly.names import EvidenceKind


class Models(Part):
    """The models of the ledger."""

    def publish(self, stack: str, row: ModelRow, judge: Judge | None = None) -> None:
        """Insert the model, or replace the one of the same name; either way it becomes the current one.

        A model that is replaced may come with another threshold: `judge` gives each of its scores anew (threshold, verdict,
        percentile), and those that changed are considered again by the next `advance`.
        """
        s = t.score.c
        with self._transaction(writes=True) as tx:
            highest = select(func.coalesce(func.max(t.model.c.number), 0)).where(t.model.c.stack == stack)
            number = tx.execute(highest).scalar_one() + 1
            upsert(tx, t.model, stack, [row], number=number, published=now())
            if judge is not None:
                old = read(tx, ScoreRow, columns(t.score, ScoreRow).where(s.stack == stack, s.model == row.model))
                upsert(tx, t.score, stack, [new for was in old if (new := judge(was)) != was], considered=False)

    def current(self, stack: str, evidence: str = EvidenceKind.PAIR) -> ModelRow | None:
        """The model of this evidence that was published last; None where the stack has none.

        One row is read, found by an index: the calibrations of other models stay where they are.
        """
        return next(iter(self._read(ModelRow, _CURRENT, stack=stack, evidence=EvidenceKind(evidence))), None)

    def all_current(self, stack: str) -> dict[EvidenceKind, ModelRow]:
        """What `current` gives for each kind of evidence that the stack has a model of."""
        return {row.evidence: row for row in self._read(ModelRow, _ALL_CURRENT, stack=stack)}

    def model(self, stack: str, name: str) -> ModelRow | None:
        """The stack's model of this name; None where it has none."""
        return next(iter(self._read(ModelRow, _newest_first(stack).where(t.model.c.model == name).limit(1))), None)

    def models(self, stack: str) -> list[ModelRow]:
        """Every model of the stack, published last first."""
        return self._read(ModelRow, _newest_first(stack))

    def modelled(self, evidence: str) -> list[str]:
        """Names of the stacks, or couples of frames, that have a model of this evidence."""
        m = t.model.c
        with self._transaction(writes=False) as tx:
            query = select(m.stack).distinct().where(m.evidence == evidence).order_by(m.stack)
            return list(tx.execute(query).scalars())

    def kinds(self) -> dict[tuple[str, str], EvidenceKind]:
        """What every model assesses: (stack, model) -> kind of evidence. Calibrations, which are large, are not read."""
        m = t.model.c
        with self._transaction(writes=False) as tx:
            return {(row.stack, row.model): row.evidence for row in tx.execute(select(m.stack, m.model, m.evidence))}

    def thresholds(self) -> dict[tuple[str, EvidenceKind], float | None]:
        """Threshold of every current model: (stack, kind of evidence) -> threshold; None where it has none."""
        m = t.model.c
        newest = select(m.stack, m.evidence, func.max(m.number).label("number")).group_by(m.stack, m.evidence).subquery()
        same = (m.stack == newest.c.stack) & (m.number == newest.c.number)
        query = select(m.stack, m.evidence, m.threshold).join(newest, same)
        with self._transaction(writes=False) as tx:
            return {(row.stack, row.evidence): row.threshold for row in tx.execute(query)}


# made once: putting a statement together takes longer than SQLite takes to answer it
_CURRENT = (
    columns(t.model, ModelRow)
    .where(t.model.c.stack == bindparam("stack"), t.model.c.evidence == bindparam("evidence"))
    .order_by(t.model.c.number.desc())
    .limit(1)
)
_NEWEST = t.model.alias()
_ALL_CURRENT = columns(t.model, ModelRow).where(
    t.model.c.stack == bindparam("stack"),
    t.model.c.number
    == select(func.max(_NEWEST.c.number))
    .where(_NEWEST.c.stack == t.model.c.stack, _NEWEST.c.evidence == t.model.c.evidence)
    .scalar_subquery(),
)


def _newest_first(stack: str) -> Select[tuple[object, ...]]:
    m = t.model.c
    return columns(t.model, ModelRow).where(m.stack == stack).order_by(m.number.desc())
