"""Assessments follow from dates; what is injected into the phase is what a look shows; scores of all looks share one
measure.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly import evidence, simulate
from insar_anomaly.calibration.samples import Age, injected
from insar_anomaly.calibration.trial import trial
from insar_anomaly.evidence import assessments, build, fusion
from insar_anomaly.evidence.fused import Fused
from insar_anomaly.evidence.inject import drawn, inject
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.pair import Pairs
from insar_anomaly.evidence.protocol import Reach, pair_dates
from insar_anomaly.tiles import preprocess

REACH = Reach(3, 3, 2, 8.0)
DAY0, SHAPE = date(2021, 1, 1), (40, 44)
CLEANING = {"remove": ("plane", "height"), "min_coherence": 0.0, "fill_grow": 0}
TO_TILES = partial(preprocess.tiles, **CLEANING, range_form="tanh", range_rad=8.0)
RANGE_STEP = preprocess.range_step("tanh", 8.0)


def stack(acquisitions: int, *, seed: int = 0, spans: tuple[int, ...] = (1, 2, 3), lost: bool = True) -> xr.Dataset:
    """Pairs of acquisitions with an atmosphere of their own, holes that differ, over a hill."""
    rng = np.random.default_rng(seed)
    ends = np.array([(i, i + s) for i in range(acquisitions) for s in spans if i + s < acquisitions])
    screens = rng.normal(0, 1, (acquisitions, *SHAPE)).cumsum(1).cumsum(2) / 40
    phase = (screens[ends[:, 1]] - screens[ends[:, 0]]).astype(np.float32)
    if lost:
        phase[::3, 5:9, 6:20] = np.nan
    days = np.array([np.datetime64(DAY0 + timedelta(days=12 * i), "ns") for i in range(acquisitions)])
    flat, y, x = ("y", "x"), *np.mgrid[: SHAPE[0], : SHAPE[1]]
    return xr.Dataset(
        {
            "phase": (("pair", *flat), phase),
            "coherence": (("pair", *flat), np.full(phase.shape, 200, np.uint8)),
            "water": (flat, np.zeros(SHAPE, bool)),
            "height": (flat, (1000 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 100)).astype(np.float32)),
            **{name: (flat, np.full(SHAPE, part, np.float32)) for name, part in zip("enu", simulate.LOOK, strict=True)},
        },
        coords={
            "pair": [
                f"{DAY0 + timedelta(days=12 * int(i)):%Y%m%d}_{DAY0 + timedelta(days=12 * int(j)):%Y%m%d}" for i, j in ends
            ],
            "reference": ("pair", days[ends[:, 0]]),
            "secondary": ("pair", days[ends[:, 1]]),
            "y": 10 - 0.001 * np.arange(SHAPE[0]),
            "x": 20 + 0.001 * np.arange(SHAPE[1]),
        },
    )


def day(number: int) -> date:
    return DAY0 + timedelta(days=12 * number)


def test_the_looks_at_an_interval_come_with_the_acquisitions_after_it():
    names = list(stack(6)["pair"].values)
    made = [(look.name[:8], look.after, look.seen) for look in assessments("interval", names, REACH)]
    wanted = [(f"{day(k):%Y%m%d}", after, day(k + after)) for k in range(5) for after in (1, 2, 3) if k + after < 6]
    assert made == wanted
    alone = [(look.name, look.after, look.seen) for look in assessments("acquisition", names, REACH)]
    assert alone == [(f"{day(k):%Y%m%d}_{day(k):%Y%m%d}", 2, day(k + 2)) for k in (2, 3)]
    assert [look.seen for look in assessments("pair", names, REACH)] == sorted(date.fromisoformat(n[9:]) for n in names)
    assert assessments("interval", [], REACH) == []


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)))
def test_looks_do_not_depend_on_the_order_of_pairs(order):
    names = list(stack(6, spans=(1, 2, 3))["pair"].values)
    assert len(names) == len(order)
    assert assessments("interval", [names[i] for i in order], REACH) == assessments("interval", names, REACH)


def test_a_pair_that_comes_late_changes_the_looks_that_it_shows_and_no_other():
    names = list(stack(10)["pair"].values)
    late = f"{day(4):%Y%m%d}_{day(6):%Y%m%d}"
    before = {(k.name, k.after): k for k in assessments("interval", [n for n in names if n != late], REACH)}
    after = {(k.name, k.after): k for k in assessments("interval", names, REACH)}
    assert before.keys() == after.keys()
    changed = {key for key in after if after[key] != before[key]}
    # an interval's look reaches five acquisitions back (two of them only to tell how noisy each is)
    holds = {
        (k.name, k.after)
        for k in after.values()
        if k.seen >= day(6) and date.fromisoformat(k.name[:8]) - timedelta(days=48) <= day(4)
    }
    assert changed == holds


@pytest.mark.parametrize("kind", ["interval", "acquisition"])
def test_wanted_looks_are_those_of_the_whole(kind):
    one = stack(9)
    proof = build(kind, TO_TILES, RANGE_STEP, REACH)
    assert isinstance(proof, Fused)
    whole = proof.tiles(one)
    assert whole.sizes["pair"] == proof.count(pair_dates(one)) == len(assessments(kind, list(one["pair"].values), REACH))
    keys = [(str(n), int(a)) for n, a in zip(whole["pair"].values, whole["after"].values, strict=True)]
    some = proof.tiles(one, keys[1::2])
    np.testing.assert_array_equal(some["phase"], whole["phase"][1::2])
    joined = xr.concat(list(proof.batches(one)), "pair", coords="minimal", compat="override", join="override")
    np.testing.assert_array_equal(joined["phase"], whole["phase"])


@pytest.mark.parametrize("kind", ["interval", "acquisition"])
def test_an_injected_source_is_what_a_slow_and_plain_injection_gives(kind):
    """The slow way: write the source into every pair that carries it, then make tiles of all, then fuse."""
    one = stack(9)
    proof = build(kind, TO_TILES, RANGE_STEP, REACH)
    found = xr.concat(
        list(proof.batches(one, peak_cm=4.0, seed=3)), "pair", coords="minimal", compat="override", join="override"
    )
    network = fusion.Network.of(pair_dates(one))
    chosen = [w for w in evidence.windows(kind, network, REACH) if kind == "acquisition" or len(w.after) in (1, 3)]
    assert found.sizes["pair"] == len(chosen) > 3
    for n, window in enumerate(chosen):
        first, last = network.days[list(window.ends)]
        source = next(drawn(np.array([[first, last]]), SHAPE, peak_cm=4.0, seed=3))
        pattern = source.phase(SHAPE, pixel_km=(0.11132, 0.11132 * np.cos(np.radians(10))), look=simulate.LOOK)
        begin, end = pair_dates(one).T
        times = (
            ((begin <= first) & (end >= last)).astype(int) if kind == "interval" else (end == first) * 1 - (begin == first)
        )
        moved = one.assign(phase=one["phase"] + np.multiply.outer(times, pattern).astype(np.float32))
        slow = fusion.fused(fusion.Cleaned(moved, TO_TILES), RANGE_STEP, [window])
        np.testing.assert_allclose(found["phase"][n], slow["phase"][0], atol=2e-3)
        assert (float(found["source_y"][n]), float(found["source_x"][n])) == (source.row / SHAPE[0], source.col / SHAPE[1])


def test_single_pairs_are_injected_as_before():
    one = stack(6)
    found = xr.concat(list(Pairs(TO_TILES).batches(one, peak_cm=4.0, seed=1)), "pair", coords="minimal", compat="override")
    np.testing.assert_array_equal(found["phase"], TO_TILES(inject(one, peak_cm=4.0, seed=1))["phase"])
    assert found["source_y"].shape == found["pair"].shape


# ------------------------------------------------------------------------------------------------------ one measure


def test_looks_with_few_and_many_acquisitions_are_alike_in_terms_of_their_level():
    rng = np.random.default_rng(0)
    variance = rng.choice([2 / 3, 5 / 6, 4 / 3, 2], 1500)
    raw = 10 + 8 * variance + (1 + 3 * variance) * rng.standard_normal(1500)
    level = Level.of(raw, variance)
    scores = level.standard(raw, variance)
    for one in np.unique(variance):
        assert np.median(scores[variance == one]) == pytest.approx(0, abs=0.15)
        assert np.median(np.abs(scores[variance == one])) == pytest.approx(1, abs=0.15)


def test_one_jump_in_the_quiet_time_does_not_lift_what_is_quiet():
    rng = np.random.default_rng(1)
    variance = np.tile([4 / 3, 5 / 6, 2 / 3], 40)
    raw = 10 + 8 * variance + (1 + 3 * variance) * rng.standard_normal(120)
    spoiled = raw + np.where(np.arange(120) == 50, 100.0, 0)
    clean, other = (Level.of(scores, variance).standard(60.0, np.unique(variance)) for scores in (raw, spoiled))
    np.testing.assert_allclose(other, clean, rtol=0.1)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e4, 1e4), st.sampled_from([2 / 3, 5 / 6, 1.0, 4 / 3, 1.5, 2.0])), min_size=1, max_size=30
    ),
    st.sampled_from([0.1, 2 / 3, 1.0, 2.0, 24.0]),
)
def test_a_higher_raw_score_is_higher_at_every_variance_however_few_looks_were_seen(looked, variance):
    """A line through a handful of looks must never turn round: a strong signal would come out as very quiet."""
    scores, variances = np.array(looked).T
    low, high = Level.of(scores, variances).standard(np.array([0.0, 100.0]), variance)
    assert low < high


def test_a_step_is_found_in_intervals_where_single_pairs_are_lost_in_the_weather():
    class Loudest:
        inputs = ("phase",)

        def fit(self, tiles, *, progress=None):
            return self

        def score(self, tiles):
            peak = np.abs(tiles["phase"].values).max(axis=(1, 2))
            return xr.Dataset({"score": ("pair", peak.astype(float))})

    one = stack(48, lost=False)
    found = {}
    for kind in ("pair", "interval"):
        proof = build(kind, TO_TILES, RANGE_STEP, REACH)
        result = trial(one, proof, Loudest(), folds=3, peaks_cm=(3.0,), seed=0)
        found[kind] = (result.positive[injected(3)][:, None] > result.negative).mean()
        assert result.injections is not None
        assert result.injections.place.shape == (len(result.positive[injected(3)]), 2)
    assert found["interval"] > found["pair"]
    assert set(result.positive) == {injected(3), injected(3, Age.FIRST)}
    assert result.seen is not None
    assert (result.seen >= result.dates[:, 1]).all()
