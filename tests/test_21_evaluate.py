"""How good is a score: AUROC by definition, intervals that know that pairs share dates, exact rates."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.metrics import roc_auc_score

from insar_anomaly.calibration.metrics import (
    Estimate,
    _weighted_aurocs,
    auroc,
    auroc_interval,
    average_precision,
    proportion,
    rate_per_year,
    roc,
)

few = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=15)  # integers: many ties
RELAXED = settings(deadline=None, max_examples=60)


@RELAXED
@given(few, few)
def test_auroc_is_the_chance_that_a_positive_scores_higher_with_ties_counted_half(negative, positive):
    wins = sum((p > n) + 0.5 * (p == n) for n, p in product(negative, positive))
    assert auroc(negative, positive) == pytest.approx(wins / len(negative) / len(positive))


@RELAXED
@given(few, few)
def test_auroc_is_mirrored_by_swapping_sides_and_untouched_by_a_growing_map(negative, positive):
    one = auroc(negative, positive)
    assert auroc(positive, negative) == pytest.approx(1 - one)
    assert auroc(np.exp(negative), np.exp(positive)) == pytest.approx(one)


@pytest.mark.parametrize(("negative", "positive"), [([], [1.0]), ([1.0], []), ([], [])])
def test_without_one_of_the_sides_there_is_no_auroc(negative, positive):
    assert math.isnan(auroc(negative, positive))
    assert math.isnan(average_precision(negative, positive))


@pytest.mark.parametrize("measure", [auroc, average_precision, roc])
@pytest.mark.parametrize("sides", [([1.0, math.nan], [2.0]), ([1.0], [math.nan, math.nan])])
def test_a_nan_score_is_refused_with_the_number_of_them(measure, sides):
    nans = int(np.isnan(np.concatenate(sides)).sum())
    with pytest.raises(ValueError, match=f"{nans} of 3 scores are NaN; leave unscored pairs out first"):
        measure(*sides)


@RELAXED
@given(few, few)
def test_average_precision_is_precision_averaged_over_the_gains_of_recall(negative, positive):
    total, before = 0.0, 0.0
    for threshold in sorted({*negative, *positive}, reverse=True):
        hits = sum(p >= threshold for p in positive)
        flagged = hits + sum(n >= threshold for n in negative)
        total += (hits / len(positive) - before) * hits / flagged
        before = hits / len(positive)
    assert average_precision(negative, positive) == pytest.approx(total)


@RELAXED
@given(few, few)
def test_every_point_of_the_roc_is_what_its_threshold_gives(negative, positive):
    fpr, tpr, threshold = roc(negative, positive)
    for f, t, at in zip(fpr, tpr, threshold, strict=True):
        assert f == pytest.approx(np.mean(np.array(negative) >= at))
        assert t == pytest.approx(np.mean(np.array(positive) >= at))
    assert (np.diff(threshold) < 0).all()
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert set(threshold[1:]) == {*negative, *positive}
    area = ((fpr[1:] - fpr[:-1]) * (tpr[1:] + tpr[:-1]) / 2).sum()
    assert area == pytest.approx(auroc(negative, positive))


# ------------------------------------------------------------------------------------------------------ intervals


def network(
    rng: np.random.Generator, dates: int, by_date: float, shift: float
) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
    """Scores of a network of short pairs: an acquisition's air is in all of its pairs; unrest shifts the second half."""
    air = rng.normal(size=dates) * by_date
    ends = [(i, j) for i, j in combinations(range(dates), 2) if j - i <= 3]
    truth = np.array([int(i >= dates // 2) for i, _ in ends])
    own = np.array([(air[i] + air[j]) / math.sqrt(2) for i, j in ends])
    scores = own + rng.normal(size=len(ends)) * math.sqrt(max(0.0, 1 - by_date**2)) + shift * truth
    return scores, truth, [(f"d{i}", f"d{j}") for i, j in ends]


def by_pair(scores: np.ndarray, truth: np.ndarray, draws: int) -> float:
    """Width of the interval that takes pairs for independent."""
    rng = np.random.default_rng(0)
    low, high = scores[truth == 0], scores[truth == 1]
    drawn = [auroc(rng.choice(low, len(low)), rng.choice(high, len(high))) for _ in range(draws)]
    return float(np.subtract(*np.quantile(drawn, [0.975, 0.025])))


def test_pairs_that_share_air_get_a_wider_interval_than_a_bootstrap_of_pairs_gives():
    scores, truth, dates = network(np.random.default_rng(3), 40, by_date=0.95, shift=1.0)
    interval = auroc_interval(scores, truth, dates, draws=300)
    assert interval.high - interval.low > 1.3 * by_pair(scores, truth, 300)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    shift, rng, covered = 1.0, np.random.default_rng(0), 0
    truth_value = float(special.ndtr(shift / math.sqrt(2)))
    for _ in range(40):
        scores, truth, dates = network(rng, 30, by_date=0.7, shift=shift)
        interval = auroc_interval(scores, truth, dates, draws=80)
        assert interval.low <= interval.value <= interval.high
        covered += interval.low <= truth_value <= interval.high
    assert covered >= 34  # a bootstrap of dates is a little wide, never narrow


@RELAXED
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 4)), min_size=1, max_size=20))
def test_weighted_aurocs_are_those_of_scikit_learn(rows):
    values, truth, weights = (np.array(column, float) for column in zip(*rows, strict=True))
    [found] = _weighted_aurocs(values, truth.astype(int), weights[None])
    if weights[truth == 0].sum() and weights[truth == 1].sum():
        assert found == pytest.approx(roc_auc_score(truth, values, sample_weight=weights))
    else:
        assert np.isnan(found)


def test_the_interval_narrows_with_more_dates():
    widths = []
    for dates in (16, 120):
        scores, truth, names = network(np.random.default_rng(1), dates, by_date=0.5, shift=1.0)
        interval = auroc_interval(scores, truth, names, draws=200)
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.6 * widths[0]


def test_the_interval_is_around_the_plain_auroc_and_follows_its_seed():
    scores, truth, dates = network(np.random.default_rng(1), 20, by_date=0.5, shift=1.0)
    one = auroc_interval(scores, truth, dates, draws=60)
    assert one.value == auroc(scores[truth == 0], scores[truth == 1])
    assert one == auroc_interval(scores, truth, dates, draws=60)
    assert one != auroc_interval(scores, truth, dates, draws=60, seed=1)


def test_labels_of_one_kind_have_no_interval():
    interval = auroc_interval([1.0, 2.0], [0, 0], [("a", "b"), ("b", "c")], draws=10)
    assert math.isnan(interval.value)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_nan_scores_have_no_interval_either():
    with pytest.raises(ValueError, match="scores are NaN"):
        auroc_interval([1.0, math.nan], [0, 1], [("a", "b"), ("b", "c")], draws=10)


@RELAXED
@given(st.integers(1, 200), st.data())
def test_a_proportion_has_the_interval_of_clopper_and_pearson(total, data):
    count = data.draw(st.integers(0, total))
    found = proportion(count, total)
    assert found.value == count / total
    assert found.low == pytest.approx(stats.beta.ppf(0.025, count, total - count + 1) if count else 0)
    assert found.high == pytest.approx(stats.beta.ppf(0.975, count + 1, total - count) if count < total else 1)


def test_the_posters_lawu_row_as_a_rate_with_its_interval():
    found = proportion(12, 234)
    assert str(found) == "0.051 [0.027, 0.088]"


def test_a_proportion_of_nothing_is_unknown():
    found = proportion(0, 0)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (0, 1)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (3, 0.619, 8.767), (10, 4.795, 18.390), (50, 37.11, 65.92)]
)
def test_a_rate_has_garwoods_interval_as_it_stands_in_tables(count, low, high):
    found = rate_per_year(count, 1.0)
    assert (found.value, found.low, found.high) == (count, pytest.approx(low, abs=6e-3), pytest.approx(high, abs=6e-3))
    ten = rate_per_year(count, 10.0)
    assert (ten.value, ten.low, ten.high) == pytest.approx((found.value / 10, found.low / 10, found.high / 10))


@pytest.mark.parametrize("years", [0.0, -1.0])
def test_a_rate_needs_time(years):
    with pytest.raises(ValueError, match=f"years = {years}"):
        rate_per_year(1, years)


def test_an_interval_prints_three_digits():
    assert str(Estimate(0.12345, 0.1, 0.2)) == "0.123 [0.100, 0.200]"
