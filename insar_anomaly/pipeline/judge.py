"""What a model says of a score: verdict and percentile by its present threshold."""

from __future__ import annotations

from dataclasses import dataclass, replace

from insar_anomaly.calibration.record import Calibration, percentile
from insar_anomaly.calibration.return_period import Tail
from insar_anomaly.errors import Verdict
from insar_anomaly.ledger.records import ModelRow, ScoreRow


@dataclass(frozen=True)
class Judge:
    """A model's threshold and its quiet scores in ascending order. Made once per model, called for each of its scores."""

    threshold: float | None
    quiet: tuple[float, ...]
    tail: Tail | None = None

    @classmethod
    def of(cls, model: ModelRow) -> Judge:
        """The judge of a published model."""
        found = Calibration.read(model.calibration)
        return cls(model.threshold, found.negatives, found.tail)

    def __call__(self, row: ScoreRow) -> ScoreRow:
        """The row with the model's threshold, and the verdict, percentile and return period that follow from it."""
        if row.score is None:
            return replace(row, threshold=self.threshold)
        area = row.area if row.threshold == self.threshold else None  # it was measured under the threshold of then
        return replace(
            row,
            threshold=self.threshold,
            area=area,
            verdict=Verdict.OK if self.threshold is not None else Verdict.NOT_CALIBRATED,
            percentile=percentile(self.quiet, row.score) if self.quiet else None,
            return_period=None if self.tail is None else 1 / max(self.tail.rate(row.score), 1e-300),
        )
