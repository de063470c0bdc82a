"""A score judged by its model's threshold and quiet scores."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import xarray as xr

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import Verdict
from insar_anomaly.ledger.records import ModelRow, ScoreRow
from insar_anomaly.pipeline.assess import areas_over
from insar_anomaly.pipeline.judge import Judge
from insar_anomaly.units import KM_PER_DEGREE

QUIET = Calibration("fpr", 2.5, "", (1.0, 2.0, 2.0, 3.0), 1.0)
MODEL = ModelRow(
    model="m1",
    detector="padim",
    settings="{}",
    fit_from=date(2016, 1, 1),
    fit_to=date(2019, 12, 31),
    pairs=4,
    snapshot="S0",
    version="0.1.0",
    threshold=2.5,
    policy="fpr",
    calibration=QUIET.text,
    why="",
)
ROW = ScoreRow("20200101_20200113", "m1", 2.0, None, Verdict.NOT_SCORABLE, None, "S1")


@pytest.mark.parametrize(
    ("score", "percentile"), [(0.5, 0.0), (1.0, 0.0), (2.0, 25.0), (2.5, 75.0), (3.0, 75.0), (4.0, 100.0)]
)
def test_the_percentile_is_the_part_of_quiet_scores_below(score, percentile):
    judged = Judge.of(MODEL)(replace(ROW, score=score))
    assert judged == replace(ROW, score=score, threshold=2.5, verdict=Verdict.OK, percentile=percentile)


def test_without_a_threshold_the_verdict_says_so_and_without_quiet_scores_there_is_no_percentile():
    judge = Judge.of(replace(MODEL, threshold=None, calibration=replace(QUIET, negatives=()).text))
    assert judge(ROW) == replace(ROW, verdict=Verdict.NOT_CALIBRATED, percentile=None)


def test_an_area_holds_under_the_threshold_that_it_was_measured_with():
    judge = Judge.of(MODEL)
    assert judge(replace(ROW, threshold=2.5, area=3.0)).area == 3.0
    assert judge(replace(ROW, threshold=2.0, area=3.0)).area is None


def test_the_area_over_the_threshold_is_that_of_the_maps_cells():
    chart = np.full((3, 4, 5), 1.0)
    chart[0, :2, :3] = 3.0  # six cells
    chart[1, 0, 0] = np.nan
    centres = {"lat": ("v", 60 - 0.01 * np.arange(4)), "lon": ("u", 10 + 0.02 * np.arange(5))}
    result = xr.Dataset({"score_map": (("pair", "v", "u"), chart)}, coords=centres)
    cell = 0.01 * 0.02 * KM_PER_DEGREE**2 * np.cos(np.radians(59.985))
    assert areas_over(result, 2.5) == [pytest.approx(6 * cell), None, None]
    assert areas_over(result, None) == [None] * 3


def test_what_has_no_score_keeps_its_verdict():
    row = replace(ROW, score=None, verdict=Verdict.IN_FIT)
    assert Judge.of(MODEL)(row) == replace(row, threshold=2.5)
