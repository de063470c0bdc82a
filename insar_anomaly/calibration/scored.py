"""Scores of assessments with what is known of each, and the trial that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.protocol import Assessed, pair_dates


@dataclass(frozen=True)
class Scored:
    """Scores of a batch and what is known of each: all (assessment, ...).

    `place` and `peak_cm` are those of the source in it, NaN where there is none.
    """

    score: NDArray[np.float64]
    dates: NDArray[np.datetime64]
    after: NDArray[np.int64]
    seen: NDArray[np.datetime64]
    variance: NDArray[np.float64]
    place: NDArray[np.float64]
    peak_cm: NDArray[np.float64]

    @property
    def days(self) -> NDArray[np.float64]:
        """How long (assessment,) each one's interval took, days."""
        return (self.dates[:, 1] - self.dates[:, 0]) / np.timedelta64(1, "D")

    @classmethod
    def of(cls, score: NDArray[np.float64], batch: xr.Dataset) -> Scored:
        """From scores (assessment,) and the coordinates of their tiles."""
        n = len(score)
        names = ("after", 0), ("variance", np.nan), ("source_y", np.nan), ("source_x", np.nan), ("source_cm", np.nan)
        after, variance, y, x, peak = (
            batch.coords[name].values if name in batch.coords else np.full(n, missing) for name, missing in names
        )
        dates = pair_dates(batch)
        seen = batch["seen"].values.astype("datetime64[D]") if "seen" in batch.coords else dates[:, 1]
        return cls(score, dates, after, seen, variance, np.stack([y, x], axis=1), peak)

    @classmethod
    def joined(cls, parts: Sequence[Scored]) -> Scored:
        """Consecutive batches as one, without NaN scores."""
        days, none = np.empty((0, 2), "datetime64[D]"), np.empty(0)
        empty = cls(none, days, np.empty(0, np.int64), days[:, 1], none, np.empty((0, 2)), none)
        arrays = [np.concatenate([getattr(p, f.name) for p in (empty, *parts)]) for f in fields(cls)]
        known = ~np.isnan(arrays[0])
        return cls(*(array[known] for array in arrays))

    def assessments(self, score: NDArray[np.float64]) -> list[Assessed]:
        """Each assessment with its measured `score` (assessment,)."""
        days = zip(*(column.astype("datetime64[D]").tolist() for column in (*self.dates.T, self.seen)), strict=True)
        known = zip(days, self.after.tolist(), score.tolist(), strict=True)
        return [Assessed(first, last, after, seen, value) for (first, last, seen), after, value in known]
