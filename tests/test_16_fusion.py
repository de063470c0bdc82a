"""Fused evidence: a step is found whole in its own interval and nowhere else, and the weather of a day averages out."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.evidence import fusion
from insar_anomaly.evidence.network import Side
from insar_anomaly.tiles.preprocess import range_step

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
        attrs={"pixel_km": (0.1, 0.1), "acquisitions": len(screens)},
    )


def screens(count, seed=0, std=1.0):
    return np.random.default_rng(seed).normal(0, std, (count, *SHAPE))


def after(count, at):
    """One on every acquisition after the `at`-th, zero before (acquisition, y, x)."""
    return np.broadcast_to(np.arange(count)[:, None, None] > at, (count, *SHAPE)).astype(float)


def names(count):
    text = [f"{d:%Y%m%d}" for d in days(count)]
    return [f"{a}_{b}" for a, b in pairwise(text)]


def joined(pairs, count):
    """The network of these pairs of acquisitions."""
    dates = np.array(days(count), "datetime64[D]")
    return fusion.Network.of(dates[np.array(pairs, int).reshape(-1, 2)])


def cleaned(stack):
    """Pairs that are tiles already."""
    return fusion.Cleaned(stack, lambda some: some)


def intervals(pairs, stack, before=3, after=3, best=True):
    """What every interval shows: its best look, or every look."""
    windows = list(joined(pairs, stack.attrs["acquisitions"]).intervals(Side.numbered(before), Side.numbered(after)))
    if best:
        windows = list({w.ends: w for w in windows}.values())  # later looks replace earlier ones
    return fusion.fused(cleaned(stack), RANGE_STEP, windows)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**16), st.integers(1, 8), st.lists(st.sampled_from([1, 2, 3, 4]), min_size=0, max_size=3))
def test_a_step_is_found_whole_in_its_interval_and_the_sum_over_time_is_what_happened(seed, at, spans):
    count = 10
    step = np.random.default_rng(seed).normal(0, 3, SHAPE)
    moved = step * after(count, at)
    pairs = network(count, sorted({1, *spans}))
    fused = intervals(pairs, tiles(moved, pairs), before=1, after=1)
    assert list(fused["pair"].values) == names(count)
    np.testing.assert_allclose(fused["phase"].isel(pair=at), step, atol=1e-4)
    others = [n for n in range(count - 1) if n != at]
    np.testing.assert_allclose(fused["phase"].isel(pair=others), 0, atol=1e-4)


def test_more_acquisitions_leave_the_step_and_take_the_weather():
    count, at = 60, 30
    pairs = network(count)
    weather = screens(count, 1)
    plain = tiles(weather, pairs)
    single = intervals(pairs, plain, before=1, after=1)["phase"].values
    found = intervals(pairs, plain, before=4, after=4)
    # independent atmosphere: variance 2 of a single pair becomes 1/4 + 1/4, which is what a window says of itself
    assert found["phase"].values[10:-10].std() / single[10:-10].std() == pytest.approx(0.5, rel=0.15)
    np.testing.assert_allclose(found["variance"][10:-10], 0.5)
    moved = weather + 5.0 * after(count, at)
    with_step = intervals(pairs, tiles(moved, pairs), before=4, after=4)["phase"].values
    np.testing.assert_allclose((with_step - found["phase"].values)[at], 5.0, atol=0.5)


def test_a_day_of_bad_weather_counts_little():
    count, bad = 12, 7
    pairs = network(count)
    weather = screens(count, 2)
    weather[bad] *= 20
    fused = intervals(pairs, tiles(weather, pairs))
    at = list(fused["pair"].values).index(names(count)[5])  # the bad day is the second one after it
    clean = weather.copy()
    clean[bad] /= 20
    usual = intervals(pairs, tiles(clean, pairs))
    assert np.abs(fused["phase"][at]).mean() < 1.5 * np.abs(usual["phase"][at]).mean() + 0.5


def test_a_step_makes_no_acquisition_noisy():
    solved = 10.0 * after(8, 3) + screens(8, 3, 0.1)
    assert fusion.noise(solved, np.ones(SHAPE, bool)).max() < 0.1


def test_an_acquisition_alone_is_its_departure_from_both_sides():
    count, odd = 9, 4
    pairs = network(count)
    weather = np.zeros((count, *SHAPE))
    weather[odd] = 3.0
    windows = list(joined(pairs, count).acquisitions(2))
    alone = fusion.fused(cleaned(tiles(weather, pairs)), RANGE_STEP, windows)
    # the first and last two have no neighbours on one side
    assert list(alone["pair"].values) == [f"{d:%Y%m%d}_{d:%Y%m%d}" for d in days(count)[2:-2]]
    np.testing.assert_allclose(alone["phase"].isel(pair=odd - 2), 3.0, atol=1e-5)
    steps = fusion.fused(cleaned(tiles(3.0 * after(count, odd), pairs)), RANGE_STEP, windows)["phase"].values
    np.testing.assert_allclose(steps[[odd - 2, odd - 1]], [np.full(SHAPE, -1.5), np.full(SHAPE, 1.5)], atol=1e-5)


def test_an_acquisitions_variance_is_that_of_independent_weather():
    count = 400
    pairs = network(count)
    alone = fusion.fused(cleaned(tiles(screens(count, 5), pairs)), RANGE_STEP, joined(pairs, count).acquisitions(2))
    assert alone["phase"].values.var() == pytest.approx(float(alone["variance"][0]), rel=0.05)


@pytest.mark.parametrize("kind", ["interval", "acquisition"])
def test_a_source_is_carried_by_the_pairs_that_show_it(kind):
    """What `carried` says of the pairs is what the solution finds again."""
    count = 9
    pairs = network(count)
    net = joined(pairs, count)
    windows = list(net.intervals(Side.numbered(3), Side.numbered(3)) if kind == "interval" else net.acquisitions(2))
    still = tiles(np.zeros((count, *SHAPE)), pairs)
    source = np.random.default_rng(0).normal(0, 2, SHAPE).astype(np.float32)

    def moved(window):
        return {p: times * source for p, times in zip(window.pairs, net.carried(window), strict=True) if times}

    found = fusion.fused(cleaned(still), RANGE_STEP, windows, moved=moved)["phase"].values
    np.testing.assert_allclose(found, np.broadcast_to(source, found.shape), atol=1e-4)


def test_intervals_without_a_pair_across_them_are_not_invented():
    count = 10
    pairs = [(i, j) for i, j in network(count) if not i < 5 <= j]
    fused = intervals(pairs, tiles(screens(count), pairs))
    assert list(fused["pair"].values) == [n for k, n in enumerate(names(count)) if k != 4]
    assert intervals([], tiles(screens(2), [])).sizes["pair"] == 0


def test_an_acquisition_that_nothing_joins_is_not_counted_as_seen():
    count = 8
    pairs = [(i, j) for i, j in network(count) if 5 not in (i, j)] + [(5, 7)]
    looks = [
        (w.ends, len(w.after)) for w in joined(pairs, count).intervals(Side.numbered(3), Side.numbered(3)) if w.ends[0] == 3
    ]
    # 5 is joined over 7 only, which is out of reach: of 5 and 6 the second look sees 6
    assert looks == [((3, 4), 1), ((3, 4), 2)]


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 12), st.lists(st.sampled_from([2, 3, 4]), max_size=3), st.integers(1, 4))
def test_a_look_is_the_same_whatever_came_later(count, spans, later):
    """The looks that a night could make are those that a later night finds for the same time."""
    every = network(count + later, sorted({1, *spans}))
    early = [(i, j) for i, j in every if j < count]

    def seen(pairs, total):
        net = joined(pairs, total)
        return {
            (net.name(w), len(w.after)): (sorted(pairs[p] for p in w.pairs), net.days[w.after[-1]])
            for w in net.intervals(Side.numbered(3), Side.numbered(3))
        }

    now, then = seen(early, count), seen(every, count + later)
    last = np.datetime64(days(count)[-1])
    assert now == {look: made for look, made in then.items() if made[1] <= last}


def test_the_order_of_pairs_and_whether_they_are_lazy_do_not_matter():
    pairs = network(8)
    one = tiles(screens(8, 4), pairs)
    order = np.random.default_rng(0).permutation(one.sizes["pair"])
    first = intervals(pairs, one, best=False)
    again = intervals([pairs[n] for n in order], one.isel(pair=order), best=False)
    np.testing.assert_allclose(first["phase"], again["phase"], atol=1e-5)
    lazy = intervals(pairs, one.chunk(pair=4), best=False)
    np.testing.assert_array_equal(first["phase"], lazy["phase"])
    np.testing.assert_array_equal(first["tile"], RANGE_STEP(first["phase"].values))
    assert first["after"].values.tolist() == [1, 2, 3] * 5 + [1, 2, 1]
    gaps = (first["seen"] - first["secondary"]).values / np.timedelta64(12, "D")
    np.testing.assert_array_equal(gaps, first["after"].values - 1)


def test_ground_that_no_bracketing_pair_measured_is_not_valid_whatever_the_others_did():
    """Ash or lava that takes the coherence of every pair over an eruption must not pass for quiet ground."""
    pairs = network(10)
    at = 5
    over = np.array([i <= at < j for i, j in pairs])
    seen = np.ones((len(pairs), *SHAPE), bool)
    seen[over, 0, 0] = False
    assert over.mean() < 0.5
    found = intervals(pairs, tiles(screens(10), pairs, seen), best=False)
    mine = found["reference"].values == np.datetime64(days(10)[at], "ns")
    assert mine.sum() == 3
    assert not found["valid"].values[mine, 0, 0].any()
    assert found["valid"].values[mine, 1:, 1:].all()


def test_ground_that_most_pairs_did_not_measure_is_not_valid():
    pairs = network(8)
    seen = np.ones((len(pairs), *SHAPE), bool)
    seen[:, 0, 0] = False
    seen[::2, 1, 1] = False
    seen[::4, 2, 2] = False
    fused = intervals(pairs, tiles(screens(8), pairs, seen))["valid"].values
    assert not fused[:, 0, 0].any()
    assert fused[:, 2, 2].mean() > 0.8
    assert fused[:, 3:, 3:].all()
