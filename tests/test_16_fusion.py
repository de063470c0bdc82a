"""Fused evidence: a step is found whole in its own interval and nowhere else, and the air of a day averages out."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly import fusion
from insar_anomaly.preprocess import range_step

SHAPE, DIMS = (6, 5), ("pair", "y", "x")
RANGE_STEP = range_step("tanh", 8.0)


def days(count):
    return [date(2021, 1, 1) + timedelta(days=12 * i) for i in range(count)]


def network(count, spans=(1, 2, 3)):
    return [(i, i + s) for i in range(count) for s in spans if i + s < count]


def tiles(screens, pairs, valid=None):
    """Tiles of the pairs of these acquisitions' screens (acquisition, y, x)."""
    phase = np.array([screens[j] - screens[i] for i, j in pairs], np.float32).reshape(-1, *SHAPE)
    dates = np.array(days(len(screens)), "datetime64[ns]")
    seen = np.ones(phase.shape, bool) if valid is None else valid
    return xr.Dataset(
        {
            "phase": (("pair", "y", "x"), phase),
            "tile": (("pair", "y", "x"), RANGE_STEP(phase)),
            "valid": (("pair", "y", "x"), seen),
        },
        coords={
            "pair": [f"{i}_{j}" for i, j in pairs],
            "reference": ("pair", dates[[i for i, _ in pairs]]),
            "secondary": ("pair", dates[[j for _, j in pairs]]),
            "y": np.arange(SHAPE[0]),
            "x": np.arange(SHAPE[1]),
        },
        attrs={"pixel_km": (0.1, 0.1)},
    )


def screens(count, seed=0, air=1.0):
    return np.random.default_rng(seed).normal(0, air, (count, *SHAPE))


def after(count, at):
    """One on every acquisition after the `at`-th, zero before (acquisition, y, x)."""
    return np.broadcast_to(np.arange(count)[:, None, None] > at, (count, *SHAPE)).astype(float)


def names(count):
    text = [f"{d:%Y%m%d}" for d in days(count)]
    return [f"{a}_{b}" for a, b in pairwise(text)]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 8), st.lists(st.sampled_from([1, 2, 3, 4]), min_size=0, max_size=3))
def test_a_step_is_found_whole_in_its_interval_and_the_sum_over_time_is_what_happened(seed, at, spans):
    count = 10
    step = np.random.default_rng(seed).normal(0, 3, SHAPE)
    moved = step * after(count, at)
    fused = fusion.intervals(tiles(moved, network(count, sorted({1, *spans}))), RANGE_STEP, before=1, after=1)
    assert list(fused["pair"].values) == names(count)
    np.testing.assert_allclose(fused["phase"].isel(pair=at), step, atol=1e-4)
    others = [n for n in range(count - 1) if n != at]
    np.testing.assert_allclose(fused["phase"].isel(pair=others), 0, atol=1e-4)


def test_more_acquisitions_leave_the_step_and_take_the_air():
    count, at = 60, 30
    air = screens(count, 1)
    plain = tiles(air, network(count))
    single = fusion.intervals(plain, RANGE_STEP, before=1, after=1)["phase"].values
    fused = fusion.intervals(plain, RANGE_STEP, before=4, after=4)["phase"].values
    # independent air: variance 2 of a single pair becomes 1/4 + 1/4
    assert fused[10:-10].std() / single[10:-10].std() == pytest.approx(0.5, rel=0.15)
    moved = air + 5.0 * after(count, at)
    with_step = fusion.intervals(tiles(moved, network(count)), RANGE_STEP, before=4, after=4)["phase"].values
    np.testing.assert_allclose((with_step - fused)[at], 5.0, atol=0.5)


def test_a_day_of_bad_weather_counts_little():
    count, bad = 12, 7
    air = screens(count, 2)
    air[bad] *= 20
    fused = fusion.intervals(tiles(air, network(count)), RANGE_STEP, before=3, after=3)
    at = list(fused["pair"].values).index(names(count)[5])  # the bad day is the second one after it
    clean = air.copy()
    clean[bad] /= 20
    usual = fusion.intervals(tiles(clean, network(count)), RANGE_STEP, before=3, after=3)
    assert np.abs(fused["phase"][at]).mean() < 1.5 * np.abs(usual["phase"][at]).mean() + 0.5


def test_a_step_makes_no_acquisition_noisy():
    solved = 10.0 * after(8, 3) + screens(8, 3, 0.1)
    assert fusion.noise(solved, np.ones(SHAPE, bool)).max() < 0.1


def test_an_acquisition_alone_is_its_departure_from_both_sides():
    count, odd = 9, 4
    air = np.zeros((count, *SHAPE))
    air[odd] = 3.0
    alone = fusion.acquisitions(tiles(air, network(count)), RANGE_STEP)
    assert list(alone["pair"].values) == [f"{d:%Y%m%d}" for d in days(count)]
    np.testing.assert_allclose(alone["phase"].isel(pair=odd), 3.0, atol=1e-5)
    moved = 3.0 * after(count, odd)
    steps = fusion.acquisitions(tiles(moved, network(count)), RANGE_STEP)["phase"].values
    np.testing.assert_allclose(steps[[odd, odd + 1]], [np.full(SHAPE, -1.5), np.full(SHAPE, 1.5)], atol=1e-5)


def test_intervals_without_a_pair_across_them_are_not_invented():
    count = 10
    pairs = [(i, j) for i, j in network(count) if not i < 5 <= j]
    fused = fusion.intervals(tiles(screens(count), pairs), RANGE_STEP)
    assert list(fused["pair"].values) == [n for k, n in enumerate(names(count)) if k != 4]
    assert fusion.intervals(tiles(screens(2), []), RANGE_STEP).sizes["pair"] == 0


def test_the_order_of_pairs_and_whether_they_are_lazy_do_not_matter():
    one = tiles(screens(8, 4), network(8))
    order = np.random.default_rng(0).permutation(one.sizes["pair"])
    first = fusion.intervals(one, RANGE_STEP)
    np.testing.assert_allclose(first["phase"], fusion.intervals(one.isel(pair=order), RANGE_STEP)["phase"], atol=1e-5)
    np.testing.assert_array_equal(first["phase"], fusion.intervals(one.chunk(pair=4), RANGE_STEP)["phase"])
    np.testing.assert_array_equal(first["tile"], RANGE_STEP(first["phase"].values))
    assert first["after"].values.tolist() == [3, 3, 3, 3, 3, 2, 1]


def test_ground_that_most_pairs_did_not_measure_is_not_valid():
    pairs = network(8)
    seen = np.ones((len(pairs), *SHAPE), bool)
    seen[:, 0, 0] = False
    seen[::2, 1, 1] = False
    seen[::4, 2, 2] = False
    fused = fusion.intervals(tiles(screens(8), pairs, seen), RANGE_STEP)["valid"].values
    assert not fused[:, 0, 0].any()
    assert fused[:, 2, 2].mean() > 0.8
    assert fused[:, 3:, 3:].all()
