"""Detectability: known curves are found again, and what the injections do not reach is a bound, not a number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from insar_anomaly.calibration.detectability import Peak, detectability, words

PEAKS = np.repeat([1.0, 2.0, 4.0, 8.0], 400)


def drawn(half, slope, seed=0, bend=0.0):
    """Injections whose chance is logistic in ln(peak / half); `bend` makes the south of the scene harder."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0.25, 0.75, (len(PEAKS), 2))
    chance = expit(slope * np.log(PEAKS / half) - bend * (places[:, 0] - 0.5))
    return PEAKS, places, rng.random(len(PEAKS)) < chance


@pytest.mark.parametrize("half", [1.5, 3.0, 4.5])
def test_a_known_curve_is_found_again(half):
    found = detectability(*drawn(half, 4.0))
    assert found.half.cm == pytest.approx(half, rel=0.08)
    assert found.most.cm == pytest.approx(half * 9 ** (1 / 4.0), rel=0.12)
    assert (found.half.bound, found.most.bound) == ("=", "=")
    np.testing.assert_allclose(found.map_cm, half, rtol=0.25)


def test_ground_where_less_is_seen_is_on_the_map():
    found = detectability(*drawn(3.0, 4.0, bend=8.0))
    assert found.map_cm[-1].mean() > 1.5 * found.map_cm[0].mean()
    assert found.edges[0] == pytest.approx(0.25, abs=0.01)


def test_what_was_not_reached_is_a_bound():
    peaks, places, _ = drawn(3.0, 4.0)
    one_peak = detectability(np.full(10, 8.0), np.full((10, 2), 0.5), np.arange(10) < 6)
    assert (one_peak.half, one_peak.most, one_peak.map_cm.size) == (Peak(8.0, "<"), Peak(8.0, ">"), 0)
    everything = detectability(peaks, places, np.ones(len(peaks), bool))
    assert everything.half == everything.most == Peak(1.0, "<")
    nothing = detectability(peaks, places, np.zeros(len(peaks), bool))
    assert nothing.half == nothing.most == Peak(8.0, ">")
    hard = detectability(*drawn(30.0, 1.5))
    assert hard.half == hard.most == Peak(8.0, ">")
    assert hard.map_cm.max() == 8.0  # never beyond what was injected
    with pytest.raises(ValueError, match="no injection"):
        detectability([], [], [])


def test_more_motion_is_never_harder_to_see_however_few_injections_there_are():
    rng = np.random.default_rng(1)
    for _ in range(30):
        peaks = rng.choice([2.0, 4.0], 6)
        found = detectability(peaks, rng.random((6, 2)), rng.random(6) < 0.5)
        assert found.half.cm <= found.most.cm or found.most.bound == "<"


def test_a_notice_says_it_in_words():
    sure = detectability(*drawn(3.0, 4.0))
    assert words(sure.half, sure.most).startswith("This stack detects half of all sources of 3")
    assert "Even at 8 cm, fewer than nine of ten are detected" in words(sure.half, Peak(8.0, ">"))
    assert "misses at least half of all sources of 8 cm" in words(Peak(8.0, ">"), sure.most)
    easy = words(Peak(1.0, "<"), Peak(3.0, "="))
    assert "at least half of all sources of 1 cm" in easy
    assert "Nine of ten are detected from 3 cm" in easy
