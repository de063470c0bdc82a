"""The level from which on flags are told: found by every fit from all stacks together, read by every night."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from insar_anomaly.calibration.budget import Level, Pool, told_from
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.return_period import Tail
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.people_rows import PoolRow
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import OF_A_STACK, EvidenceKind
from insar_anomaly.pipeline.couples import publish_couples
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run


def pool_stacks(s: Installation, run: Run) -> None:
    """Bring the quiet peaks of every stack and couple together. The couples are calibrated before, if they can be.

    All stacks of the ledger count, also those that this run has not fitted: the budget is one for all.
    """
    publish_couples(s, run)
    pool = Pool.of(tail_of(model) for model in _resting(s) if model.threshold is not None)
    s.ledger.set_pool(PoolRow(**{field.name: getattr(pool, field.name) for field in fields(PoolRow)}))


def level_of(s: Installation) -> Level | None:
    """The level in force, by the budget of the settings; None before the first fit that could find one."""
    return level_in(s.ledger, s.config.flags.false_flags_per_year)


def level_in(ledger: Ledger, budget: float) -> Level | None:
    """The level in force in a ledger, by a budget of false flags a year."""
    row = ledger.pool()
    if row is None:
        return None
    return Pool(**{field.name: getattr(row, field.name) for field in fields(PoolRow)}).level(budget)


def tail_of(model: ModelRow) -> Tail | None:
    """The tail of a model's quiet scores."""
    return Calibration.read(model.calibration).tail


@dataclass(frozen=True)
class Telling:
    """From which score on a stack's flag is told, and by which distance in score it becomes ten times as rare.

    `score` is None where its own threshold tells it; `growth` is infinite where nothing is known. `years` is the return
    period from which on all stacks' flags are told, None where no level is in force. `tail` gives return periods.
    """

    score: float | None = None
    growth: float = math.inf
    years: float | None = None
    tail: Tail | None = None

    @classmethod
    def of(cls, model: ModelRow, level: Level | None) -> Telling:
        """What the level means for a model's scores."""
        tail = tail_of(model)
        years = level.period_years if level is not None and math.isfinite(level.rate) and level.rate else None
        if tail is None:
            return cls(years=years)
        growth = tail.score_at(tail.rate(tail.edge) / 10) - tail.edge
        return cls(None if level is None else told_from(model.threshold, tail, level.rate), growth, years, tail)

    def above(self, threshold: float) -> float:
        """The score that tells a flag of evidence judged by this threshold: never below it."""
        return threshold if self.score is None else max(self.score, threshold)


def _resting(s: Installation) -> Iterator[ModelRow]:
    """The models that flags rest on, of all stacks and couples that the ledger knows."""
    names = {stack for kind in OF_A_STACK for stack in s.ledger.modelled(kind)}
    if "directions" in s.config.fusion.evidence:
        names |= set(s.ledger.modelled(EvidenceKind.DIRECTIONS))
    for name in sorted(names):
        model, _ = s.resting(name)
        if model is not None:
            yield model
