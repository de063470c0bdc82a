"""Return periods and the level of a whole installation: what quiet ground reaches how often, whatever its tail."""

from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.calibration.budget import _BLOCKS, Pool, told_from
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.return_period import Peak, Tail, words_of_years

SEED = 20261127
REPEAT, PER_YEAR = 12, 365.25 / 12
DRAWS = {
    "exponential": lambda rng, n: rng.exponential(size=n),
    "gaussian": lambda rng, n: rng.standard_normal(n),
    "lognormal": lambda rng, n: np.exp(0.6 * rng.standard_normal(n)),
    "pareto": lambda rng, n: rng.pareto(4, n),
}


def spans(number: int, start: str = "2020-01-01") -> np.ndarray:
    """Intervals between acquisitions every twelve days."""
    days = np.datetime64(start) + np.arange(number + 1) * REPEAT
    return np.stack([days[:-1], days[1:]], axis=1)


def record(draw, rng, years: float) -> tuple[Tail | None, float]:
    number = round(years * PER_YEAR)
    return Tail.of(draw(rng, number), spans(number), number / PER_YEAR), number / PER_YEAR


def flags_a_year(score: np.ndarray, level: float) -> float:
    """Groups of neighbours over a level: the slow way round."""
    over = score > level
    return float((over & ~np.roll(over, 1)).sum()) / (len(score) / PER_YEAR)


tails = st.builds(
    lambda excess, years: Tail(1.0, tuple(Peak(date(2020, 1, 1 + i), x) for i, x in enumerate(excess)), years),
    st.lists(st.floats(0.01, 10), min_size=3, max_size=20),
    st.floats(0.5, 10),
)


@given(tails, st.floats(1.0, 40.0), st.floats(1.0, 40.0))
def test_a_higher_score_is_never_less_rare(tail, one, other):
    low, high = sorted((one, other))
    assert tail.rate(high) <= tail.rate(low)


@given(tails, st.floats(-5, 0.99))
def test_score_and_rate_are_each_others_inverse_above_the_edge(tail, power):
    rate = len(tail.peaks) / tail.years * 10.0**power if power < 0 else len(tail.peaks) / tail.years * power
    assert tail.rate(tail.score_at(rate)) == pytest.approx(min(rate, len(tail.peaks) / tail.years), rel=1e-6)


@settings(deadline=None)  # the first call imports scipy.stats
@given(tails, st.floats(1.0, 30.0))
def test_the_interval_of_a_return_period_holds_its_middle_and_grows_with_the_score(tail, score):
    found, at_edge = tail.period(score), tail.period(tail.edge)
    assert found.low <= found.value <= found.high
    assert math.log(found.high / found.low) >= math.log(at_edge.high / at_edge.low) - 1e-9


@given(tails)
def test_a_tail_comes_back_from_its_stored_form(tail):
    assert Tail.read(tail.plain) == tail


def test_scores_that_touch_in_time_make_one_peak_and_its_highest_counts():
    score = np.zeros(100)
    score[[10, 11, 12]] = 3.0, 5.0, 4.0  # one bad acquisition
    score[[40, 60, 80]] = 2.0, 6.0, 1.0
    tail = Tail.of(score + np.arange(100) * 1e-9, spans(100), 100 / PER_YEAR)
    assert tail is not None
    rarest = sorted((peak.excess + tail.edge for peak in tail.peaks), reverse=True)[:2]
    assert rarest == pytest.approx([6.0, 5.0], abs=1e-6)
    assert sum(peak.excess + tail.edge > 0.5 for peak in tail.peaks) == 4


def test_too_few_scores_make_no_tail():
    assert Tail.of([], spans(1)[:0], 0.0) is None
    assert Tail.of([1.0, 2.0], spans(2), 2 / PER_YEAR) is None


def test_the_edges_rate_is_what_was_counted_and_new_exponential_peaks_pass_as_often_as_said():
    """The predictive chance is exact for exponential peaks, also where only eight were seen."""
    rng, over = np.random.default_rng(SEED), []
    for _ in range(4000):
        excess = rng.exponential(2.0, 8)
        tail = Tail(1.0, tuple(Peak(date(2020, 1, 1 + i), float(x)) for i, x in enumerate(excess)), 4.0)
        assert tail.rate(1.0) == pytest.approx(2.0)
        over.append(1.0 + rng.exponential(2.0) > tail.score_at(0.02))  # one peak in a hundred
    assert np.mean(over) == pytest.approx(0.01, abs=3 * math.sqrt(0.01 / 4000))


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("stacks", [30, 300])
def test_the_whole_installation_raises_what_its_budget_allows_whatever_the_tails(name, stacks):
    """Two quiet years of each stack, then years of the same: the realised rate lies in the level's stated interval."""
    rng = np.random.default_rng([SEED, stacks])
    known = {i: record(DRAWS[name], rng, 2.0)[0] for i in range(stacks)}
    level = Pool.of(known.values()).level(12.0)
    years, realised = 3000 // stacks, 0.0
    for tail in filter(None, known.values()):
        realised += flags_a_year(DRAWS[name](rng, round(years * PER_YEAR)), tail.score_at(level.rate))
    assert level.expected.low <= 12.0 <= level.expected.high
    # drawn scores are alike in the record and after it: nothing of the interval's lower end is needed for blocks of time
    assert _BLOCKS * level.expected.low <= realised <= level.expected.high
    assert not level.short


def test_stacks_ten_times_as_many_do_not_mean_ten_times_as_many_flags():
    rng = np.random.default_rng(SEED)
    levels = [Pool.of(record(DRAWS["gaussian"], rng, 2.0)[0] for _ in range(n)).level(12.0) for n in (40, 400)]
    assert levels[1].period_years > 3 * levels[0].period_years
    assert all(level.expected.value == pytest.approx(12.0) for level in levels)


def test_a_budget_beyond_the_record_says_so_and_holds_the_upper_bound_to_it():
    rng = np.random.default_rng(SEED)
    pool = Pool.of(record(DRAWS["exponential"], rng, 2.0)[0] for _ in range(30))
    level = pool.level(0.1)  # one in 300 years of a stack, from 60 years of record
    assert level.short
    assert level.expected.high == pytest.approx(0.1)
    assert level.expected.value < 0.1
    assert "too short" in level.words
    assert level.period_years > pool.level(1.0).period_years


def test_a_budget_that_is_never_reached_leaves_every_stack_its_own_threshold():
    rng = np.random.default_rng(SEED)
    tail, _ = record(DRAWS["gaussian"], rng, 2.0)
    level = Pool.of([tail]).level(365.0)
    assert math.isinf(level.rate)
    assert "notices are sent for all flags" in level.words
    assert told_from(2.5, tail, level.rate) == 2.5


def test_peaks_that_come_together_widen_the_interval():
    """Weather of a region makes many stacks cross on one day: fewer independent peaks are known."""
    rng = np.random.default_rng(SEED)
    alone = Pool.of(record(DRAWS["exponential"], rng, 2.0)[0] for _ in range(100))
    together = Pool(alone.rates, tuple(d - d % 120 for d in alone.days), alone.peaks, alone.stacks, alone.years)
    one, other = alone.level(12.0).expected, together.level(12.0).expected
    assert other.value == pytest.approx(one.value)
    assert other.high - other.low > 1.3 * (one.high - one.low)


def test_a_stack_without_a_tail_keeps_its_threshold_and_is_counted_as_such():
    rng = np.random.default_rng(SEED)
    pool = Pool.of([record(DRAWS["gaussian"], rng, 2.0)[0], None])
    assert (pool.stacks, pool.without) == (1, 1)
    assert told_from(2.5, None, 0.01) == 2.5
    assert told_from(None, None, 0.01) is None


def test_the_level_is_never_below_a_stacks_own_threshold():
    rng = np.random.default_rng(SEED)
    tail, _ = record(DRAWS["gaussian"], rng, 2.0)
    assert tail is not None
    assert told_from(100.0, tail, 0.5) == 100.0
    assert told_from(0.0, tail, 0.5) == pytest.approx(tail.score_at(0.5))


def test_an_older_calibration_has_no_tail_and_can_be_read():
    old = Calibration("fpr", 2.0, "", (1.0, 2.0), 2.0)
    assert Calibration.read(old.text.replace('"version": 3', '"version": 2')).tail is None


def test_years_are_said_with_two_digits():
    assert [words_of_years(y) for y in (0.1, 3.456, 1234.0, 1e9)] == [
        "36 days",
        "3.5 years",
        "1,200 years",
        "more than 10,000 years",
    ]
