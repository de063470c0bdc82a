"""Two views of one volcano: intervals that share time are judged together, as often as either is looked at again."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.calibration.directions import trial
from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.calibration.samples import QUIET, Age, injected
from insar_anomaly.evidence.directions import joined
from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.names import Couple

DAY0 = date(2020, 1, 1)


def looks(start: int, intervals: int, score=lambda k, after: 0.0, *, most: int = 3) -> list[Assessed]:
    """Assessments at intervals of twelve days from `start` days after DAY0 on, as far as the last acquisition lets them
    come.
    """
    days = [DAY0 + timedelta(days=start + 12 * k) for k in range(intervals + 1)]
    return [
        Assessed(days[k], days[k + 1], after, days[k + after], score(k, after))
        for k in range(intervals)
        for after in range(1, most + 1)
        if k + after < len(days)
    ]


def test_couples_are_one_ascending_and_one_descending_frame():
    frames = ["079D_07694_131313", "014A_07688_131313", "116A_00001_010101", "somewhere"]
    found = [(couple.ascending, couple.descending) for couple in Couple.among(221080, frames)]
    assert found == [("014A_07688_131313", "079D_07694_131313"), ("116A_00001_010101", "079D_07694_131313")]
    assert Couple.among(221080, frames[:1]) == []


def test_every_moment_belongs_to_one_couple_of_intervals():
    cells = {(j.first, j.last) for j in joined(looks(0, 10), looks(5, 10))}
    days = sorted(day for first, last in cells for day in (first + timedelta(n) for n in range((last - first).days)))
    assert days == [DAY0 + timedelta(n) for n in range(5, 120)]


def test_a_joint_look_takes_the_last_look_at_both_that_could_be_made():
    ascending = looks(0, 4, lambda k, after: 10.0 * k + after)
    descending = looks(5, 4, lambda k, after: 100.0 * k + after)
    mine = [j for j in joined(ascending, descending) if (j.first, j.last) == (DAY0 + timedelta(12), DAY0 + timedelta(17))]
    # 12..24 of one (seen on 24, 36, 48) and 5..17 of the other (seen on 17, 29, 41)
    assert [((j.seen - DAY0).days, j.after) for j in mine] == [(24, 2), (29, 3), (36, 4), (41, 5), (48, 6)]
    assert [j.score * 2**0.5 for j in mine] == pytest.approx([11 + 1, 11 + 2, 12 + 2, 12 + 3, 13 + 3])
    assert [tuple(m.after for m in j.members) for j in mine] == [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]
    assert len({j.inputs for j in mine}) == len(mine)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 30), st.integers(1, 8), st.integers(1, 8), st.integers(0, 130))
def test_a_night_makes_the_joint_looks_that_a_later_night_finds_for_it(shift, first, second, until):
    ascending, descending = looks(0, first), looks(shift, second)
    day = DAY0 + timedelta(until)
    then = {(j.name, j.after): j for j in joined(ascending, descending) if j.seen <= day}
    now = joined([k for k in ascending if k.seen <= day], [k for k in descending if k.seen <= day])
    assert {(j.name, j.after): j for j in now} == then


def test_what_both_see_stands_out_more_and_what_one_sees_less():
    """Sources of the same strength in both views, and quiet time: the sum separates better than either alone."""
    rng = np.random.default_rng(3)
    quiet = [looks(s, 200, lambda k, a: float(rng.standard_normal()), most=1) for s in (0, 5)]
    moved = [looks(s, 200, lambda k, a: float(rng.standard_normal() + 1.5), most=1) for s in (0, 5)]
    both = trial(*({QUIET: q, injected(2): m} for q, m in zip(quiet, moved, strict=True)))
    alone = [auroc([k.score for k in q], [k.score for k in m]) for q, m in zip(quiet, moved, strict=True)]
    assert auroc(both.negative, both.positive[injected(2)]) > max(alone) + 0.05
    assert both.negative.std() == pytest.approx(1, abs=0.1)  # quiet scores keep their spread
    assert both.years == pytest.approx((200 * 12 - 5) / 365.25)
    assert set(both.positive) == {injected(2), injected(2, Age.FIRST)}


def test_nothing_in_common_gives_nothing():
    empty = trial({QUIET: looks(0, 3)}, {QUIET: looks(400, 3)})
    assert (len(empty.negative), empty.years, dict(empty.positive)) == (0, 0.0, {})
