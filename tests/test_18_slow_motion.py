"""Slow motion: the series of acquisitions from pairs, and the hinge fitted to it, against plain least squares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from insar_anomaly.detectors.slope import LEAST_AFTER, LEAST_BEFORE, Noise, Projected, hinges
from insar_anomaly.evidence.history import history

SEED = 20261127
AGES = (60.0, 180.0, 365.0)


def days(number: int, rng: np.random.Generator) -> np.ndarray:
    """Acquisitions at unequal distances, with a gap of half a year."""
    steps = rng.choice([6.0, 12.0, 24.0], number)
    steps[number // 2] = 180
    return 17_000 + np.cumsum(steps)


def seen(rng: np.random.Generator, *, number: int = 70, sources: int = 5) -> Projected:
    """Weather alone, of days that differ in strength."""
    weight = rng.uniform(0.1, 3, number)
    size = rng.normal(size=(number, sources)) / np.sqrt(weight)[:, None]
    return Projected(days(number, rng), size, weight)


# ----------------------------------------------------------------------------------------------------------- the series


def test_the_series_is_the_one_that_the_pairs_were_made_of():
    rng = np.random.default_rng(SEED)
    series = np.cumsum(rng.normal(size=(12, 7)), 0)
    series -= series[0]
    ends = np.array([(i, i + k) for k in (1, 2, 3) for i in range(12 - k)])
    pairs = series[ends[:, 1]] - series[ends[:, 0]]
    pairs[rng.random(pairs.shape) < 0.2] = np.nan
    pairs[:11] = series[1:] - series[:-1]  # so that every increment is known
    np.testing.assert_allclose(history(pairs, ends), series, atol=1e-10)


def test_over_a_gap_in_the_network_the_series_goes_on_at_the_same_height_and_unmeasured_ground_stays_unknown():
    ends = np.array([(0, 1), (1, 2), (3, 4)])
    pairs = np.array([[1.0, np.nan], [1.0, np.nan], [5.0, np.nan]])
    found = history(pairs, ends)
    np.testing.assert_allclose(found[:, 0], [0, 1, 2, 2, 7])
    assert np.isnan(found[:, 1]).all()


# ------------------------------------------------------------------------------------------------------------ the hinge


def plain(record: Projected, end: int, age: float) -> tuple[float, int, float]:
    """The largest deviate of one record and age over all sources, its source and slope, by numpy's least squares."""
    onset = record.days[end] - age
    root = np.sqrt(record.weight[: end + 1])
    hinge = np.maximum(0, record.days[: end + 1] - onset)
    design = np.stack([np.ones(end + 1), record.days[: end + 1] - record.days[0], hinge], 1) * root[:, None]
    found = []
    for number, size in enumerate(record.size[: end + 1].T):
        fit, left, *_ = np.linalg.lstsq(design, size * root)
        error = np.sqrt(left[0] / (end - 2) * np.linalg.inv(design.T @ design)[2, 2])
        found.append((abs(fit[2]) / error, number, fit[2]))
    t, number, slope = max(found)
    return float(stats.norm.isf(stats.t.sf(t, end - 2))), number, slope


def test_hinges_are_those_of_plain_weighted_least_squares():
    record = seen(np.random.default_rng(SEED))
    found = hinges(record, scales_days=AGES)
    for end in (25, 40, 55, 69):
        fits = []
        for age in AGES:
            before = (record.days <= record.days[end] - age).sum()
            if before >= LEAST_BEFORE and end + 1 - before >= LEAST_AFTER:
                fits.append((*plain(record, end, age), record.days[end] - age))
        deviate, source, slope, onset = max(fits)
        assert found.deviate[end] == pytest.approx(deviate, rel=1e-6)
        assert (found.source[end], found.onset[end]) == (source, onset)
        assert found.slope[end] == pytest.approx(slope, rel=1e-6)


def test_a_later_acquisition_changes_nothing_that_was_found_before_it():
    record = seen(np.random.default_rng(SEED))
    short = Projected(record.days[:50], record.size[:50], record.weight[:50])
    np.testing.assert_allclose(hinges(record).deviate[:50], hinges(short).deviate, rtol=1e-9)


def test_what_always_creeps_and_how_strong_the_weather_is_change_nothing_and_a_change_of_rate_does():
    record = seen(np.random.default_rng(SEED))
    quiet = hinges(record).deviate
    time = (record.days - record.days[0])[:, None]
    creeping = Projected(record.days, record.size + 3 + 0.01 * time, record.weight)
    np.testing.assert_allclose(hinges(creeping).deviate, quiet, rtol=1e-6)
    stronger = Projected(record.days, record.size * 40, record.weight / 1600)
    np.testing.assert_allclose(hinges(stronger).deviate, quiet, rtol=1e-6)
    for change in (1, -1):  # twice the rate, and its end
        onset = record.days[45]
        bent = creeping.size + change * 0.05 * np.maximum(0, time + record.days[0] - onset)
        found = hinges(Projected(record.days, bent, record.weight))
        assert found.deviate[-1] > 6
        assert abs(found.onset[-1] - onset) <= 120
        assert np.sign(found.slope[-1]) == change


def test_the_deviates_of_one_source_are_those_of_a_normal_distribution_whatever_the_tails_of_the_weather():
    """Storms ten times as strong as other days, of which the weight knows: 2000 records, one onset each."""
    rng = np.random.default_rng(SEED)
    strength = np.where(rng.random((2000, 40)) < 0.1, 10.0, 1.0)
    day = np.arange(40.0) * 12
    found = np.array(
        [
            hinges(Projected(day, rng.normal(size=(40, 1)) * s[:, None], 1 / s**2), scales_days=(180.0,)).deviate[-1]
            for s in strength
        ]
    )
    # two-sided t turned into a deviate: the part over z is twice the normal tail
    for z in (1.0, 2.0):
        assert np.mean(found > z) == pytest.approx(2 * stats.norm.sf(z), rel=0.25)


def test_too_short_a_record_finds_nothing_and_says_so():
    record = seen(np.random.default_rng(SEED), number=LEAST_BEFORE)
    assert np.isneginf(hinges(record).deviate).all()


# ---------------------------------------------------------------------------------------------------------- the weather


def test_the_shape_of_the_weather_is_found_beside_storms_and_its_strength_is_not_asked():
    rng = np.random.default_rng(SEED)
    shape = np.linalg.cholesky(0.8 ** np.abs(np.subtract.outer(np.arange(6), np.arange(6))))
    storms = np.where(rng.random(4000) < 0.1, 20.0, 1.0)[:, None]
    weather = rng.normal(size=(4000, 6)) @ shape.T * storms
    covariance = (factor := Noise.of(weather).factor) @ factor.T
    np.testing.assert_allclose(covariance / np.trace(covariance) * 6, shape @ shape.T, atol=0.1)
    plain = np.cov(weather[:400].T)  # storms make a plain covariance of a tenth of them much worse
    assert np.abs(plain / np.trace(plain) * 6 - shape @ shape.T).max() > 0.1
    np.testing.assert_allclose(Noise.of(weather * 1000).factor, factor, rtol=1e-6)


@pytest.mark.parametrize("quiet", [np.zeros((5, 3)), np.ones((20, 3))])
def test_weather_that_cannot_be_learned_is_refused(quiet):
    with pytest.raises(ValueError, match="acquisitions"):
        Noise.of(quiet)
