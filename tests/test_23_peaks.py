"""Scores at a given peak, from sources of random peaks: what one pass for each peak would have given."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.calibration.peaks import at_peaks

PEAKS = (1.0, 2.0, 4.0, 8.0)


def drawn(number, seed, *, peak=None):
    """Quiet scores, and scores with a source in proportion to its peak, some sources easier than others."""
    rng = np.random.default_rng(seed)
    quiet = 10 + rng.gamma(2.0, 1.5, number)
    cm = np.full(number, peak) if peak else np.exp(rng.uniform(0, np.log(8), number))
    ease = np.exp(rng.normal(0, 0.4, number))
    return quiet, cm, np.hypot(10 + rng.gamma(2.0, 1.5, number), 5 * ease * cm)


@pytest.mark.parametrize("seed", range(3))
def test_carried_scores_separate_as_well_as_scores_of_one_peak(seed):
    print("seed", seed)
    quiet, cm, score = drawn(400, seed)
    for peak, carried in zip(PEAKS, at_peaks(cm, score, PEAKS, quiet=quiet), strict=True):
        _, _, wanted = drawn(20_000, 99, peak=peak)
        assert auroc(quiet, carried) == pytest.approx(auroc(quiet, wanted), abs=0.06)
        for part in (0.25, 0.5, 0.75):
            assert np.quantile(carried, part) == pytest.approx(np.quantile(wanted, part), rel=0.12)


def test_sources_of_one_peak_stay_as_they_are():
    quiet, cm, score = drawn(50, 1, peak=3.0)
    np.testing.assert_allclose(at_peaks(cm, score, (3.0,), quiet=quiet)[0], score)
    assert at_peaks(np.empty(0), np.empty(0), PEAKS, quiet=quiet).shape == (4, 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31), st.booleans())
def test_whatever_the_sample_the_scores_are_finite_and_within_reach(number, seed, alike):
    rng = np.random.default_rng(seed)
    quiet = np.full(number, 2.0) if alike else rng.normal(0, 1, number)
    score = np.full(number, 2.0) if alike else rng.normal(3, 2, number)
    found = at_peaks(np.exp(rng.uniform(0, np.log(8), number)), score, PEAKS, quiet=quiet)
    assert found.shape == (4, number)
    assert np.isfinite(found).all()
    if alike:
        np.testing.assert_allclose(found, 2.0)
