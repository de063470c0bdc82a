"""A constellation that changes: fused evidence by time and number, a share of false flags for each interval's time."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from quiet_tiles import small_stack
from scipy.optimize import brentq

from insar_anomaly import simulate
from insar_anomaly.calibration.samples import Age, injected
from insar_anomaly.calibration.threshold import Target
from insar_anomaly.calibration.trial import trial
from insar_anomaly.config.sections import Fusion
from insar_anomaly.detectors.matched_filter import MatchedFilter
from insar_anomaly.evidence import build
from insar_anomaly.evidence.level import Level
from insar_anomaly.evidence.network import Network, Side
from insar_anomaly.evidence.protocol import Reach, pair_dates
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.recipe import DetectorChoice, Recipe, Trials
from insar_anomaly.tiles import preprocess
from insar_anomaly.tiles.preprocess import Cleaning

ROOT = Path(__file__).resolve().parents[1]
BY_TIME = Reach(**Fusion().model_dump(exclude={"evidence"}))
BY_NUMBER = Reach(BY_TIME.before, BY_TIME.after, BY_TIME.beside, BY_TIME.range_rad)
CLEANING = {"remove": ("plane",), "range_form": "tanh", "range_rad": 8.0, "min_coherence": 0.0, "fill_grow": 0}
KINDS = [EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION]


def network(days, spans=(1, 2, 3)):
    """Each acquisition, on these days, with the next ones."""
    dates = np.datetime64("2021-01-01", "D") + np.asarray(days)
    ends = [(i, i + s) for i in range(len(days)) for s in spans if i + s < len(days)]
    return Network.of(dates[np.array(ends, int).reshape(-1, 2)])


def windows(days, reach=BY_TIME):
    return list(network(days).intervals(reach.side(reach.before), reach.side(reach.after)))


def evidence(kind, reach):
    step = preprocess.range_step("tanh", reach.range_rad)
    return build(kind, partial(preprocess.tiles, **CLEANING), step, reach)


# ------------------------------------------------------------------------------------------- a regular archive is as it was


@pytest.mark.parametrize("kind", KINDS)
def test_at_one_acquisition_each_12_days_evidence_is_to_the_bit_what_numbers_alone_gave(kind):
    stack = small_stack(14, seed=1)
    old, new = (evidence(kind, reach) for reach in (BY_NUMBER, BY_TIME))
    xr.testing.assert_identical(old.tiles(stack), new.tiles(stack))
    every = np.arange(stack.sizes["pair"])
    items = [proof.items(pair_dates(stack), every) for proof in (old, new)]
    assert items[0] == items[1]
    assert old.tried(items[0]) == new.tried(items[1])


def test_at_one_acquisition_each_12_days_the_whole_trial_is_what_numbers_alone_gave():
    stack = small_stack(40, seed=2)
    old, new = (
        trial(
            stack,
            evidence(EvidenceKind.INTERVAL, reach),
            MatchedFilter(block=4, depths_km=(1.5,)),
            folds=2,
            peaks_cm=(2.0, 4.0),
            seed=0,
        )
        for reach in (BY_NUMBER, BY_TIME)
    )
    np.testing.assert_array_equal(old.negative, new.negative)
    assert old.positive.keys() == new.positive.keys() == {injected(p, age) for p in (2.0, 4.0) for age in Age}
    for sample, values in old.positive.items():
        np.testing.assert_array_equal(values, new.positive[sample])
    # and a level without shares of time, as earlier versions had it, gives the same scores
    assert old.level == new.level
    plain = replace(new.level, days=0.0, tail=0.0)
    assert new.level.days == 12.0
    raw, variance = np.array([3.0, 20.0]), np.array([2 / 3, 4 / 3])
    np.testing.assert_array_equal(new.level.standard(raw, variance, 12.0), plain.standard(raw, variance))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([12, 12, 12, 24]), min_size=8, max_size=30))
def test_acquisitions_that_failed_change_nothing_either(steps):
    """Archives of 12 and 24 days: three acquisitions are never further than 72 days, nor more than three within 24."""
    days = np.cumsum([0, *steps])
    found, before = windows(days), windows(days, BY_NUMBER)
    assert [(w.before, w.after) for w in found] == [(w.before, w.after) for w in before]


def test_a_model_of_an_earlier_version_keeps_the_evidence_that_it_was_fitted_on():
    target = Target("false-alarms-per-year", 1.0, 0.01, 0.95, 40, 60)
    recipe = Recipe(
        evidence=EvidenceKind.INTERVAL,
        cleaning=Cleaning.of({**CLEANING, "gacos": "off", "smooth_px": 0.0, "weight": "none"}),
        detector=DetectorChoice("padim"),
        trials=Trials(target, 4, (2.0,), 0),
        exclude=(),
        pairs="",
        reach=BY_TIME,
    )
    assert Recipe.read(recipe.text) == recipe
    content = json.loads(recipe.text)
    content["reach"] = {name: content["reach"][name] for name in ("before", "after", "beside", "range_rad")}
    text = json.dumps(content, sort_keys=True)
    assert Recipe.read(text).reach == BY_NUMBER
    assert Recipe.read(text).text == text


# -------------------------------------------------------------------------------------------------- by time and number


def test_where_acquisitions_come_faster_more_of_them_share_the_same_time():
    (window,) = [w for w in windows(range(0, 200, 6)) if w.ends == (10, 11) and w.complete]
    assert (window.before, window.after) == ((6, 7, 8, 9, 10), (11, 12, 13, 14, 15))
    assert window.variance == pytest.approx(2 / 5)
    pairs = sorted([*range(0, 200, 6), *range(1, 200, 6)])
    (window,) = [w for w in windows(pairs) if w.ends == (20, 21) and w.complete]
    assert (len(window.before), len(window.after)) == (6, 6)  # not three, which would be four days of the same weather
    assert pairs[20] - pairs[window.before[0]] >= 12


def test_a_gap_of_months_is_not_bridged():
    days = [0, 12, 24, 36, 48, 198, 210, 222, 234]
    found = windows(days)
    for w in found:
        for side in (w.before[::-1], w.after):
            assert max(days[k] for k in side) - min(days[k] for k in side) <= 72
        if w.ends != (4, 5):  # the gap itself is an interval: its pairs show what happened in it
            assert {k > 4 for k in w.group} in ({True}, {False})
    (gap,) = [w for w in found if w.ends == (4, 5) and w.complete]
    assert (gap.before, gap.after) == ((2, 3, 4), (5, 6, 7))
    (after,) = [w for w in found if w.ends == (5, 6) and w.complete]
    assert (after.before, after.after) == ((5,), (6, 7, 8))
    before = [len(w.after) for w in found if w.ends == (3, 4)]
    assert before == [1]  # nothing follows within reach, and it is complete with that
    assert next(w for w in found if w.ends == (3, 4)).complete


def test_an_acquisition_is_not_compared_across_a_gap():
    days = [0, 12, 24, 36, 48, 198, 210, 222, 234, 246]
    centres = [w.centre for w in network(days).acquisitions(2, BY_TIME.within_days)]
    assert centres == [2, 7]


GAPS = st.lists(st.sampled_from([1, 5, 6, 12, 18, 24, 36, 100, 150]), min_size=4, max_size=25)


@settings(max_examples=100, deadline=None)
@given(GAPS, st.data())
def test_an_assessment_needs_no_acquisition_that_came_later(steps, data):
    days = np.cumsum([0, *steps])
    cut = data.draw(st.integers(3, len(days)))
    whole = {(w.ends, len(w.after)): w for w in windows(days)}
    for w in windows(days[:cut]):
        other = whole[w.ends, len(w.after)]
        assert (w.before, w.after, w.group) == (other.before, other.after, other.group)
        assert other.complete or not w.complete


@settings(max_examples=100, deadline=None)
@given(GAPS)
def test_every_side_keeps_to_its_bounds_and_the_last_assessment_is_complete(steps):
    days = np.cumsum([0, *steps])
    by_interval = {}
    for w in windows(days):
        for side in (w.before[::-1], w.after):
            away = [abs(days[k] - days[side[0]]) for k in side]
            assert max(away) <= 72
            assert len(side) <= 6
            assert len(side) <= 3 or max(away) <= 24
        by_interval.setdefault(w.ends, []).append(w)
    for found in by_interval.values():
        assert [len(w.after) for w in found] == list(range(1, len(found) + 1))
        assert not any(w.complete for w in found[:-1])
    # an interval that has seen half a year is complete
    for (_, closes), found in by_interval.items():
        if days[-1] - days[closes] > 183:
            assert found[-1].complete


def test_a_side_by_number_takes_that_many_whatever_their_time():
    assert Side.numbered(3).of([0.0, 100.0, 200.0, 300.0]) == 3
    assert Side(3, 6, 24, 72).of([0.0, 100.0, 200.0]) == 1
    assert Side(3, 6, 24, 72).of([0.0, 36.0, 72.0, 84.0]) == 3


# -------------------------------------------------------------------------------------------------------------- the level


def level():
    rng = np.random.default_rng(0)
    variance = rng.choice([2 / 3, 5 / 6, 4 / 3], 900)
    return Level.of(10 * np.sqrt(variance) + np.sqrt(variance) * rng.standard_normal(900), variance, np.full(900, 12.0))


def test_below_the_variances_that_were_seen_quiet_falls_no_faster_than_noise_does():
    one = level()
    variance = np.array([2 / 3, 0.5, 0.4, 1 / 3, 0.1])
    usual = np.array(
        [brentq(lambda score, v=v: float(one.standard(score, v)), -1e3, 1e3) for v in variance]
    )  # what scores 0
    assert (np.diff(usual) < 0).all()
    assert (usual >= usual[0] * np.sqrt(variance / variance[0]) - 1e-9).all()
    wide = np.array([1 / (one.standard(1.0, v) - one.standard(0.0, v)) for v in variance])
    assert (wide >= wide[0] * np.sqrt(variance / variance[0]) - 1e-9).all()
    # independent weather goes with the root of the variance: what is quiet stays quiet
    rng = np.random.default_rng(1)
    scores = one.standard(10 * np.sqrt(1 / 3) + np.sqrt(1 / 3) * rng.standard_normal(500), 1 / 3)
    assert np.quantile(scores, 0.95) < np.quantile(one.standard(10 + rng.standard_normal(500), 1.0), 0.95) + 0.2


def test_intervals_share_the_false_flags_of_a_year_by_their_time():
    """Scores of an exponential tail: half the time, half the chance to be over a threshold."""
    rng = np.random.default_rng(2)
    variance = np.full(20000, 1.0)
    one = Level.of(rng.exponential(1.0, 20000), variance, np.full(20000, 12.0))
    raw, threshold = rng.exponential(1.0, 200000), 4.0
    usual = (one.standard(raw, 1.0, 12.0) > threshold).mean()
    for days, share in ((6.0, 0.5), (1.0, 1 / 12), (24.0, 1.0), (150.0, 1.0)):
        assert (one.standard(raw, 1.0, days) > threshold).mean() == pytest.approx(usual * share, rel=0.25)


def test_the_weather_of_one_day_has_a_tail_of_its_own():
    """First assessments have heavier tails than means of several days; each kind's share is taken along its own tail."""
    rng = np.random.default_rng(3)

    def quiet(number):
        return np.concatenate([rng.exponential(1.0, number), rng.gamma(9.0, 0.1, number)]), np.repeat([4 / 3, 2 / 3], number)

    one = Level.of(*quiet(500), np.full(1000, 12.0))
    raw, variance = quiet(50000)
    assert one.early > 1.2 * one.tail
    for which in (variance > 1, variance < 1):
        usual, short = (one.standard(raw[which], variance[which], days) for days in (12.0, 2.0))
        assert (short > np.quantile(usual, 0.99)).mean() == pytest.approx(0.01 / 6, rel=0.5)


def test_a_stored_level_of_an_earlier_version_is_read_and_gives_the_scores_that_it_gave():
    text = '{"location": 1.0, "slope": 2.0, "spread": 0.5, "growth": 0.25, "least": 0.6666666666666666, "most": 2.0}'
    one = Level.read(text)
    assert one.standard(5.0, 1.0, 6.0) == (5.0 - 1.0 - 2.0) / 0.75
    assert Level.read(level().text) == level()


# ------------------------------------------------------------------------------------------------------ steps and stripes


def test_burst_steps_are_constant_between_edges_and_rise_at_each():
    steps = simulate.burst_steps((60, 40), edges_km=(-5.1, 5.1), step_rad=1.5, pixel_km=(0.4, 0.4), heading_deg=180.0)
    assert np.unique(steps).tolist() == [0.0, 1.5, 3.0]
    assert (steps == steps[:, :1]).all()  # flying south, edges are rows
    assert (np.diff(steps[:, 0]) >= 0).all()  # and the phase rises along the flight
    turned = simulate.burst_steps((60, 40), edges_km=(0.0,), step_rad=1.5, pixel_km=(0.4, 0.4), heading_deg=-168.0)
    along = simulate.along_track((60, 40), pixel_km=(0.4, 0.4), heading_deg=-168.0)
    np.testing.assert_array_equal(turned, 1.5 * (along > 0))
    assert not simulate.burst_steps((4, 4), edges_km=(), step_rad=1.5, pixel_km=(1.0, 1.0)).any()


def test_the_ionosphere_changes_along_the_flight_and_hardly_across_it():
    rng = np.random.default_rng(0)
    shape, km = (200, 200), (1.0, 1.0)
    fields = np.stack([simulate.ionosphere(shape, rng, std_rad=1.0, pixel_km=km, heading_deg=180.0) for _ in range(200)])
    assert fields.std() == pytest.approx(1.0, rel=0.1)
    assert np.abs(fields.mean((1, 2))).max() < 1e-9
    along, across = (np.diff(fields, axis=axis).std() for axis in (1, 2))
    assert along > 3 * across
    with pytest.raises(ValueError, match="two positive lengths"):
        simulate.ionosphere(shape, rng, std_rad=1.0, pixel_km=km, wavelengths_km=(0.0, 10.0))


def test_a_small_archive_that_goes_from_12_to_6_days_keeps_its_false_flags_and_its_cm(monkeypatch):
    """The benchmark at a small size: a model of 12 days, tested at 6. Bounds are those of docs/constellation.md."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import changing_archives
    import constellation

    monkeypatch.setattr(changing_archives, "SIDE", 32)
    monkeypatch.setattr(changing_archives, "YEARS", 2)
    changes = {name: changing_archives.SPACINGS[name] for name in ("12 days", "6 days")}
    found = constellation.simulated(3, constellation.DETECTORS["filter"](), changes, {"": constellation.BY_TIME})
    same, faster = (found[f"{name} | "] for name in changes)
    assert faster.intervals > 1.9 * same.intervals
    # two years at one a year: more than six would happen once in two hundred archives
    assert max(same.flags, faster.flags) <= 6
    assert constellation.within_bounds(same, faster) == []
    assert np.median(faster.delays[4.0]) < np.median(same.delays[4.0])


def test_bounds_of_the_benchmark_follow_from_counts(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from constellation import NEVER, Found, days_until, within_bounds

    found, lost = (5,) * 90 + (NEVER,) * 10, (5,) * 60 + (NEVER,) * 40
    before = Found(9, 9.0, 270, 800, {2.0: found, 4.0: found})
    assert within_bounds(before, replace(before, flags=9)) == []
    assert within_bounds(before, replace(before, flags=25)) == ["aim", "rate"]
    assert within_bounds(before, replace(before, flags=0)) == []
    assert within_bounds(before, replace(before, delays={2.0: lost, 4.0: found})) == ["2 cm found"]
    later = tuple(day + 4 for day in found)
    assert within_bounds(before, replace(before, delays={2.0: found, 4.0: later})) == ["days"]
    assert within_bounds(before, replace(before, intervals=100, delays={2.0: found, 4.0: later})) == []
    assert days_until(range(1, 101), 0.5) == "50 [40, 61]"
    assert days_until(lost, 0.9) == "never"
