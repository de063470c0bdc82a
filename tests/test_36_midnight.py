"""Acquisitions that cross midnight."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_anomaly.sources.midnight import crosses, one_date

FIRST = date(2021, 1, 5)


def after(*days):
    return [FIRST + timedelta(day) for day in days]


@pytest.mark.parametrize(
    ("utc_s", "wanted"), [(5, True), (86390, True), (120, False), (43200, False), (float("nan"), False)]
)
def test_only_acquisitions_near_midnight_may_stand_under_two_dates(utc_s, wanted):
    assert crosses(utc_s) is wanted


def test_two_dates_that_follow_each_other_are_one_acquisition_under_the_more_frequent():
    assert one_date(after(0, 1, 1, 2, 2, 2)) == dict(zip(after(0, 1, 2), after(1, 1, 2), strict=True))
    days = after(0, 0, 12, 13, 13, 24)
    assert one_date(days) == dict(zip(after(0, 12, 13, 24), after(0, 13, 13, 24), strict=True))


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_a_date_moves_by_a_day_at_most_and_one_that_is_kept_is_kept_under_itself(numbers):
    kept = one_date(after(*numbers))
    assert set(kept) == set(after(*numbers))
    for day, under in kept.items():
        assert abs((day - under).days) <= 1
        assert kept[under] == under


@given(st.sets(st.integers(0, 10), min_size=1))
def test_dates_of_a_usual_repeat_are_left_alone(numbers):
    days = after(*(6 * number for number in numbers))
    assert one_date(days) == {day: day for day in days}
