"""A score judged by its model's threshold and quiet scores."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.errors import Verdict
from insar_anomaly.ledger.records import ModelRow, ScoreRow
from insar_anomaly.pipeline.judge import Judge

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


def test_what_has_no_score_keeps_its_verdict():
    row = replace(ROW, score=None, verdict=Verdict.IN_FIT)
    assert Judge.of(MODEL)(row) == replace(row, threshold=2.5)
