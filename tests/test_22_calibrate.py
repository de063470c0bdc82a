"""A stack's threshold: out of sample by blocks of time, chosen by the named policy, honest where it knows too little."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from insar_anomaly import simulate
from insar_anomaly.calibration.metrics import auroc, proportion, rate_per_year
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import injected
from insar_anomaly.calibration.threshold import Target, choose, count_flags
from insar_anomaly.calibration.trial import Trial, blocks, trial
from insar_anomaly.detectors.base import Progress, scores, silent
from insar_anomaly.evidence.inject import inject
from insar_anomaly.evidence.pair import Pairs
from insar_anomaly.evidence.protocol import pair_dates
from insar_anomaly.flags import machine as flags
from insar_anomaly.tiles import preprocess
from insar_anomaly.units import RAD_PER_M

RELAXED = settings(deadline=None, max_examples=60)
DAY0 = np.datetime64("2020-01-01", "D")
TARGET = Target("fpr", false_alarms_per_year=1.0, fpr=0.1, quantile=0.95, min_pairs=5, clear_after_days=60)
TO_TILES = partial(preprocess.tiles, remove=("plane",), range_form="tanh", range_rad=8.0, min_coherence=0.0, fill_grow=0)


def stack(days: np.ndarray, *, shape: tuple[int, int] = (4, 5), seed: int = 0) -> xr.Dataset:
    """A quiet stack of pairs (pair, 2) given in days after DAY0; the phase is noise."""
    rng = np.random.default_rng(seed)
    ends = DAY0 + np.asarray(days, "timedelta64[D]")
    flat = ("y", "x")
    return xr.Dataset(
        {
            "phase": (("pair", *flat), rng.normal(0, 1, (len(days), *shape)).astype(np.float32)),
            "coherence": (("pair", *flat), np.full((len(days), *shape), 200, np.uint8)),
            "water": (flat, np.zeros(shape, bool)),
            "height": (flat, np.zeros(shape, np.float32)),
            **{name: (flat, np.full(shape, part, np.float32)) for name, part in zip("enu", simulate.LOOK, strict=True)},
        },
        coords={
            "pair": [f"{a}_{b}".replace("-", "") for a, b in ends],
            "reference": ("pair", ends[:, 0].astype("datetime64[ns]")),
            "secondary": ("pair", ends[:, 1].astype("datetime64[ns]")),
            "y": 10 - 0.001 * np.arange(shape[0]),
            "x": 20 + 0.001 * np.arange(shape[1]),
        },
    )


def network(acquisitions: int, spans: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """Pairs (pair, 2) in days: every acquisition, 12 days apart, joined to the next ones."""
    n = acquisitions
    return np.array([(12 * i, 12 * (i + s)) for i in range(n) for s in spans if i + s < n])


@st.composite
def networks(draw: st.DrawFn) -> np.ndarray:
    """Random pairs of random dates, long ones too."""
    dates = sorted(draw(st.lists(st.integers(0, 900), min_size=4, max_size=25, unique=True)))
    ends = st.tuples(st.integers(0, len(dates) - 1), st.integers(0, len(dates) - 1)).filter(lambda e: e[0] < e[1])
    chosen = draw(st.lists(ends, min_size=3, max_size=40, unique=True))
    return np.array([(dates[i], dates[j]) for i, j in chosen])


Measure = Callable[[xr.Dataset, frozenset[str]], np.ndarray]


def loudness(tiles: xr.Dataset, seen: frozenset[str]) -> np.ndarray:
    """Largest phase of each pair."""
    return np.abs(tiles["phase"].values).max((1, 2))


@dataclass(frozen=True)
class Recorder:
    """A detector that writes down on which pairs it was fitted and which ones it scored then; `measure` gives the scores."""

    measure: Measure = loudness
    fits: list[tuple[str, ...]] = field(default_factory=list)
    scored: list[list[str]] = field(default_factory=list)

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("phase",)

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> RecorderScorer:
        self.fits.append(tuple(tiles["pair"].values))
        self.scored.append([])
        return RecorderScorer(self.measure, frozenset(self.fits[-1]), self.scored[-1])


@dataclass(frozen=True)
class RecorderScorer:
    measure: Measure
    seen: frozenset[str]
    scored: list[str]

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("phase",)

    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        assert set(tiles.data_vars) == {"phase"}
        self.scored.extend(str(p) for p in tiles["pair"].values)
        found = self.measure(tiles, self.seen)
        return scores(tiles, found, np.zeros((len(found), 1, 1)), stride=8)

    def to_dataset(self) -> xr.Dataset:
        raise NotImplementedError


def tried(one: xr.Dataset, detector: Recorder, *, folds: int = 4, peaks: tuple[float, ...] = (), **more: Any) -> Trial:
    return trial(one, Pairs(lambda s: s), detector, folds=folds, peaks_cm=peaks, seed=0, **more)


# ------------------------------------------------------------------------------------------------------ blocks of time


@RELAXED
@given(networks(), st.integers(2, 6))
def test_pairs_of_one_block_share_no_date_with_another_block_and_straddlers_belong_to_none(days, folds):
    dates = DAY0 + days.astype("timedelta64[D]")
    block = blocks(dates, folds)
    assert block.shape == (len(days),)
    assert set(block) <= {-1, *range(folds)}
    spans = {b: (dates[block == b].min(), dates[block == b].max()) for b in set(block) - {-1}}
    ordered = [spans[b] for b in sorted(spans)]
    assert all(one[1] < other[0] for one, other in pairwise(ordered))
    # a straddling pair: its dates lie in two blocks, wherever those dates are held by other pairs
    for pair in dates[block == -1]:
        assert not any(low <= pair[0] and pair[1] <= high for low, high in spans.values())


def test_a_regular_network_is_cut_into_equal_blocks():
    dates = DAY0 + network(40, (1,)).astype("timedelta64[D]")
    assert np.unique(blocks(dates, 4), return_counts=True)[1].tolist() == [3, 9, 9, 9, 9]
    assert blocks(dates, 4)[[0, 8, 9, 10, 38]].tolist() == [0, 0, -1, 1, 3]


@RELAXED
@given(networks(), st.integers(2, 6))
@example(network(30), 4)
def test_a_scored_pair_shares_no_date_with_any_pair_of_its_fit(days, folds):
    one, detector = stack(days), Recorder()
    tried(one, detector, folds=folds)
    ends = dict(zip(map(str, one["pair"].values), pair_dates(one), strict=True))
    for fitted, held in zip(detector.fits, detector.scored, strict=True):
        assert held
        held_dates = {d for pair in held for d in ends[pair]}
        low, high = min(held_dates), max(held_dates)
        for pair in fitted:
            assert held_dates.isdisjoint(ends[pair])
            assert not any(low <= d <= high for d in ends[pair])
    everywhere = [pair for held in detector.scored for pair in held]
    assert len(everywhere) == len(set(everywhere))
    block = blocks(pair_dates(one), folds)
    assert set(everywhere) == {str(p) for p in one["pair"].values[block >= 0]}


def test_a_fit_takes_every_pair_that_it_may():
    one, detector = stack(network(24)), Recorder()
    tried(one, detector, folds=3)
    ends = dict(zip(map(str, one["pair"].values), pair_dates(one), strict=True))
    for fitted, held in zip(detector.fits, detector.scored, strict=True):
        low, high = min(ends[p][0] for p in held), max(ends[p][1] for p in held)
        allowed = {p for p, (a, b) in ends.items() if (a < low or a > high) and (b < low or b > high)}
        assert set(fitted) == allowed
        assert len(fitted) > 20


def test_a_detector_that_memorises_its_training_pairs_does_not_lower_the_threshold():
    def forgetful(tiles: xr.Dataset, seen: frozenset[str]) -> np.ndarray:
        """0 for every pair of the fit: perfect in sample, and worth nothing."""
        known = np.array([str(p) in seen for p in tiles["pair"].values])
        return np.where(known, 0.0, loudness(tiles, seen))

    one = stack(network(30))
    honest, memorising = tried(one, Recorder()), tried(one, Recorder(forgetful))
    np.testing.assert_array_equal(memorising.negative, honest.negative)
    assert (memorising.negative > 0).all()
    in_sample = Recorder(forgetful).fit(one).score(one[["phase"]])["score"].values
    assert not in_sample.any()
    naive = choose(memorising, replace(TARGET, policy="quantile"), in_sample=in_sample)
    for policy in ("fpr", "false-alarms-per-year"):
        threshold = choose(memorising, replace(TARGET, policy=policy)).threshold
        assert threshold == choose(honest, replace(TARGET, policy=policy)).threshold
        assert threshold is not None
        assert threshold > naive.threshold == 0
    assert naive.false_positives is not None
    assert naive.false_positives.value == 1  # the rates that are told are out of sample even then


def test_years_are_the_time_that_held_out_pairs_cover():
    result = tried(stack(network(40, (1,))), Recorder())
    assert result.years == pytest.approx(4 * 9 * 12 / 365.25)
    assert len(result.negative) == 36


def test_progress_is_told_block_by_block():
    told: list[tuple[int, int]] = []
    tried(stack(network(40)), Recorder(), progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_nan_scores_are_left_out_with_their_dates():
    def patchy(tiles: xr.Dataset, seen: frozenset[str]) -> np.ndarray:
        found = loudness(tiles, seen)
        return np.where([int(str(p)[7]) % 2 for p in tiles["pair"].values], np.nan, found)

    one = stack(network(30), shape=(12, 14))
    whole, part = (tried(one, Recorder(m), peaks=(3.0,)) for m in (loudness, patchy))
    assert 0 < len(part.negative) < len(whole.negative)
    assert len(part.dates) == len(part.negative)
    assert np.isfinite(part.negative).all()
    assert np.isfinite(part.positive[injected(3)]).all()
    kept = np.array([int(str(d)[9]) % 2 == 0 for d in whole.dates[:, 0]])
    np.testing.assert_array_equal(part.negative, whole.negative[kept])
    np.testing.assert_array_equal(part.dates, whole.dates[kept])


def test_a_trial_through_the_real_preprocessing_finds_large_sources_more_often_than_small_ones():
    one = stack(network(24), shape=(24, 26)).chunk({"pair": 5})
    result = trial(one, Pairs(TO_TILES), Recorder(), folds=3, peaks_cm=(0.2, 2.0, 20.0), seed=0)
    assert list(result.positive) == [injected(0.2), injected(2), injected(20)]
    found = [auroc(result.negative, values) for values in result.positive.values()]
    assert found[0] < 0.75
    assert found[2] > 0.99
    assert found == sorted(found)


def test_a_network_of_nothing_but_straddling_pairs_is_not_calibrated():
    result = tried(stack(np.array([(0, 300), (100, 400), (20, 350)])), Recorder(), folds=2, peaks=(2.0,))
    assert result.negative.shape == (0,)
    found = choose(result, TARGET)
    assert found.threshold is None
    assert found.why == "0 quiet scores out of sample, at least 5 are needed"


# ------------------------------------------------------------------------------------------------------ injection


def test_injection_changes_the_phase_alone_by_a_source_of_the_asked_peak():
    one = stack(network(8), shape=(30, 34))
    before = one.copy(deep=True)
    moved = inject(one, peak_cm=4.0, seed=1)
    xr.testing.assert_identical(one, before)
    xr.testing.assert_identical(moved.drop_vars("phase"), one.drop_vars("phase"))
    assert moved["phase"].dtype == np.float32
    added = (moved["phase"] - one["phase"]).values
    np.testing.assert_allclose(np.abs(added).max((1, 2)), 0.04 * abs(RAD_PER_M), rtol=1e-5)
    peaks = np.array([np.unravel_index(np.abs(a).argmax(), a.shape) for a in added])
    assert len({tuple(p) for p in peaks}) > 10
    assert {-1.0, 1.0} == set(np.sign([a.flat[np.abs(a).argmax()] for a in added]))


def test_a_pairs_source_depends_on_seed_dates_and_peak_only():
    one = stack(network(8), shape=(30, 34))
    quiet = one.assign(phase=one["phase"] * 0)
    whole = inject(quiet, peak_cm=4.0, seed=1)["phase"]
    order = np.random.default_rng(0).permutation(one.sizes["pair"])
    np.testing.assert_array_equal(inject(quiet.isel(pair=order), peak_cm=4.0, seed=1)["phase"], whole.isel(pair=order))
    np.testing.assert_array_equal(inject(quiet.isel(pair=[5]), peak_cm=4.0, seed=1)["phase"], whole.isel(pair=[5]))
    np.testing.assert_array_equal(inject(quiet.chunk({"pair": 2}), peak_cm=4.0, seed=1)["phase"], whole)
    for changed in ({"peak_cm": 4.0, "seed": 2}, {"peak_cm": 5.0, "seed": 1}):
        other = inject(quiet, **changed)["phase"]
        assert not np.allclose(other / other.max(), whole / whole.max(), atol=1e-3)


def test_injection_leaves_unmeasured_ground_unmeasured():
    one = stack(network(4), shape=(30, 34))
    phase = one["phase"].where(one["x"] > 20.01)
    moved = inject(one.assign(phase=phase), peak_cm=4.0, seed=1)["phase"]
    np.testing.assert_array_equal(np.isnan(moved), np.isnan(phase))
    full = inject(one, peak_cm=4.0, seed=1)["phase"]
    np.testing.assert_array_equal(moved, full.where(~np.isnan(phase)))


def test_an_injected_source_is_seen_along_the_stacks_own_look_vector():
    one = stack(network(4), shape=(30, 34))
    mirrored = one.assign(e=-one["e"])
    added, other = (inject(s, peak_cm=4.0, seed=1)["phase"] - s["phase"] for s in (one, mirrored))
    assert float(np.abs(added - other).max()) > 0.5
    unknown = one.assign(e=one["e"] * np.nan)
    np.testing.assert_allclose(inject(unknown, peak_cm=4.0, seed=1)["phase"], one["phase"] + added, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ policies

values = st.integers(0, 12).map(float)


@st.composite
def trials(draw: st.DrawFn, *, least: int = 5) -> Trial:
    """Random scores, with many ties, of a random network."""
    days = draw(networks().filter(lambda d: len(d) >= least))
    negative = draw(st.lists(values, min_size=len(days), max_size=len(days)))
    positive = draw(st.lists(values.map(lambda v: v + 3), min_size=1, max_size=20))
    return Trial(
        DAY0 + days.astype("timedelta64[D]"), np.array(negative), {injected(2): np.array(positive)}, draw(st.floats(0.5, 10))
    )


def episodes(result: Trial, threshold: float, clear_after_days: int) -> int:
    """Flags that the negatives raise, by the flag's own machine."""
    evidence = [
        flags.Evidence(a.item(), b.item(), float(s), threshold)
        for (a, b), s in zip(result.dates, result.negative, strict=True)
    ]
    return len(flags.run(flags.State(), evidence, clear_after_days=clear_after_days)[0].episodes)


@RELAXED
@given(trials(), st.floats(0.05, 5), st.integers(1, 200))
def test_false_alarms_per_year_lies_between_the_flags_of_the_ranks_around_what_is_allowed(result, wanted, days):
    target = replace(TARGET, policy="false-alarms-per-year", false_alarms_per_year=wanted, clear_after_days=days)
    found = choose(result, target)
    allowed = wanted * result.years
    just_below = np.nextafter(np.unique(result.negative)[::-1], -np.inf)
    ranks = [episodes(result, t, days) for t in just_below]
    if ranks[0] > allowed:
        assert found.threshold >= result.negative.max()  # beyond what was seen, see below
        return
    too_many = next((i for i, rank in enumerate(ranks) if rank > allowed), None)
    if too_many is None:
        assert found.threshold == result.negative.min()
    else:
        low, high = just_below[[too_many, too_many - 1]]
        assert low <= found.threshold <= high + 1e-9
    assert episodes(result, found.threshold, days) <= allowed
    assert found.false_alarms is not None
    assert found.false_alarms.value * result.years == pytest.approx(episodes(result, found.threshold, days))
    assert count_flags(result, found.threshold, clear_after_days=days) == round(found.false_alarms.value * result.years)


def flags_to_come(scores: int, allowed: float) -> tuple[float, float]:
    """Flags that are expected in the time after a record, as a part of those allowed: mean and standard deviation.

    Scores are exponential, and every score over the threshold is a flag of its own. With E_j independent exponentials of
    mean 1, the j-th smallest of n scores is sum_{i <= j} E_i / (n - i + 1) (Renyi 1953), so the threshold is sum c_j E_j. On
    average n exp(-sum c_j E_j) scores are over it, and the k-th moment of that is n^k prod 1 / (1 + k c_j). The means lie
    near 1: n / (n + 1) where the allowed number is a rank, more where no flag is allowed and the tail's mean is an estimate.
    """
    c = 1 / np.arange(scores, 0, -1)
    if allowed >= 1:  # between the ranks around it, in proportion to the logarithm
        rank = int(allowed)
        c[scores - rank + 1 :] = 0
        c[scores - rank] *= 1 - np.log(allowed / rank) / np.log((rank + 1) / rank)
    else:  # above the highest score, by the mean excess over the 80 % quantile
        edge = 0.8 * (scores - 1)
        first, over = int(edge) + 1, scores - 1 - int(edge)
        c[first] += np.log(1 / allowed) * (1 - edge % 1) / over
        c[first + 1 :] += np.log(1 / allowed) / over
    mean, square = ((scores / allowed) ** k * np.prod(1 / (1 + k * c)) for k in (1, 2))
    return float(mean), float(np.sqrt(square - mean**2))


@pytest.mark.parametrize(("years", "wanted"), [(2.0, 1.0), (2.0, 0.2), (3.3, 0.7), (1.2, 2.5)])
def test_flags_come_as_often_as_wanted_in_the_time_after_the_record(years, wanted):
    """Quiet scores with an exponential tail: the rate in a long time to come, over many short records.

    The mean of 400 records has a standard error of 3.4, 7.3, 3.1 and 2.7 % of the wanted rate; 4 of them are allowed. A
    threshold one rank lower would raise the rate by 50, 150, 43 and 33 %.
    """
    rng = np.random.default_rng(5)
    acquisitions = int(years * 365.25 / 12)
    days = DAY0 + np.array([(12 * i, 12 * i + 12) for i in range(acquisitions)]).astype("timedelta64[D]")
    target = replace(TARGET, policy="false-alarms-per-year", false_alarms_per_year=wanted, clear_after_days=1)
    rates = []
    for _ in range(400):
        result = Trial(days, rng.exponential(2.0, len(days)), {}, years)
        rates.append(len(days) * np.exp(-choose(result, target).threshold / 2.0) / years)
    expected, deviation = flags_to_come(len(days), wanted * years)
    assert np.mean(rates) / wanted == pytest.approx(expected, abs=4 * deviation / np.sqrt(len(rates)))
    # what is expected is what was wanted: to 3 % where the record shows as many flags, to 25 % where the tail is estimated
    assert expected == pytest.approx(1, abs=0.03 if wanted * years >= 1 else 0.25)


def test_one_bad_acquisition_makes_several_bad_pairs_but_one_false_alarm():
    days = network(40)
    bad = (days == 240).any(axis=1)
    result = Trial(DAY0 + days.astype("timedelta64[D]"), np.where(bad, 9.0, np.linspace(0, 1, len(days))), {}, 1.0)
    assert bad.sum() == 6
    one = choose(result, replace(TARGET, policy="false-alarms-per-year", false_alarms_per_year=1.5))
    assert one.threshold < 9
    assert one.false_alarms is not None
    assert one.false_alarms.value == 1
    assert one.false_positives is not None
    assert one.false_positives.value >= 6 / len(days)
    none = choose(result, replace(TARGET, policy="false-alarms-per-year", false_alarms_per_year=0.5))
    assert none.threshold >= 9


def test_a_rate_that_the_quiet_time_is_too_short_for_is_reached_along_an_exponential_tail():
    rng = np.random.default_rng(2)
    scale, years, exceeded, passing = 3.0, 1.5, [], []
    for _ in range(60):
        days = network(40)
        result = Trial(DAY0 + days.astype("timedelta64[D]"), rng.exponential(scale, len(days)), {}, years)
        found = choose(result, replace(TARGET, policy="false-alarms-per-year", false_alarms_per_year=0.05))
        assert found.threshold > result.negative.max()
        # chance that any pair of the next such time is over it; the highest score alone would give a half
        exceeded.append(1 - (1 - np.exp(-found.threshold / scale)) ** len(days))
        passing.append(np.exp(-found.threshold / scale) * len(days))
    assert 0.03 < np.mean(exceeded) < 0.2  # wanted: 0.05 x 1.5 = 0.075, one short record tells it roughly
    expected, deviation = flags_to_come(len(days), allowed := 0.05 * years)
    assert np.mean(passing) / allowed == pytest.approx(expected, abs=4 * deviation / np.sqrt(len(passing)))


@RELAXED
@given(trials(), st.floats(0.01, 0.5))
def test_fpr_is_the_part_of_quiet_pairs_over_the_threshold_at_most(result, wanted):
    found = choose(result, replace(TARGET, policy="fpr", fpr=wanted))
    known = result.negative
    assert found.threshold in known
    over = int((known > found.threshold).sum())
    assert over <= wanted * len(known)
    assert found.false_positives == proportion(over, len(known))
    assert found.false_positives.value == pytest.approx(over / len(known))
    lower = known[known < found.threshold]
    if len(lower):  # the next lower score would flag more than was asked for, give or take the pair at the quantile
        assert (known > lower.max()).sum() > wanted * (len(known) - 1) - 1


@RELAXED
@given(trials())
def test_youden_is_the_largest_true_minus_false_positive_rate_of_any_threshold(result):
    found = choose(result, replace(TARGET, policy="youden"))
    positive = result.positive[injected(2)]

    def gain(threshold: float) -> float:
        return float((positive > threshold).mean() - (result.negative > threshold).mean())

    every = [-1.0, *result.negative, *positive]
    assert found.threshold is not None
    assert gain(found.threshold) == pytest.approx(max(gain(t) for t in every))


def test_youden_separates_what_can_be_separated_and_needs_positives():
    dates = DAY0 + network(8).astype("timedelta64[D]")
    quiet = np.linspace(0, 1, len(dates))
    found = choose(Trial(dates, quiet, {injected(2): quiet + 2}, 1.0), replace(TARGET, policy="youden"))
    assert found.threshold is not None
    assert quiet.max() <= found.threshold < 2
    assert found.detection[injected(2)].value == 1
    for positive in ({}, {injected(2): np.empty(0)}):
        found = choose(Trial(dates, quiet, positive, 1.0), replace(TARGET, policy="youden"))
        assert (found.threshold, found.why) == (None, "policy youden needs positives: labels or injected sources")


@RELAXED
@given(trials(), st.lists(values | st.just(math.nan), min_size=1, max_size=30), st.floats(0.05, 0.95))
def test_quantile_is_that_of_the_training_scores_without_nan(result, training, wanted):
    assume(not all(map(math.isnan, training)))
    found = choose(result, replace(TARGET, policy="quantile", quantile=wanted), in_sample=np.array(training))
    assert found.threshold == pytest.approx(np.quantile([v for v in training if not math.isnan(v)], wanted))


def test_quantile_without_training_scores_and_an_unknown_policy_are_refused():
    result = Trial(DAY0 + network(8).astype("timedelta64[D]"), np.linspace(0, 1, 18), {}, 1.0)
    with pytest.raises(ValueError, match="policy quantile needs the training scores"):
        choose(result, replace(TARGET, policy="quantile"))
    with pytest.raises(ValueError, match="policy = 'best' is unknown"):
        choose(result, replace(TARGET, policy="best"))  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["false-alarms-per-year", "fpr", "youden", "quantile"])
@pytest.mark.parametrize("pairs", [0, 1, 17])
def test_too_few_pairs_give_no_threshold_and_say_so(policy, pairs):
    dates = DAY0 + network(8).astype("timedelta64[D]")
    result = Trial(dates[:pairs], np.linspace(0, 1, pairs), {injected(2): np.full(pairs, 5.0)}, 0.0)
    found = choose(result, replace(TARGET, policy=policy, min_pairs=18), in_sample=np.ones(3))
    assert found.threshold is None
    assert found.why == f"{pairs} quiet scores out of sample, at least 18 are needed"
    assert (found.false_alarms, found.false_positives, found.detection) == (None, None, {})
    assert len(found.negatives) == pairs


@RELAXED
@given(trials(least=6))
def test_what_a_calibration_tells_of_itself_is_counted_on_its_own_scores(result):
    found = choose(result, replace(TARGET, policy="fpr", fpr=0.3))
    positive = result.positive[injected(2)]
    seen = proportion(int((positive > found.threshold).sum()), len(positive))
    assert found.detection == {injected(2): seen}
    assert found.auroc[injected(2)] == pytest.approx(auroc(result.negative, positive))
    rate = rate_per_year(episodes(result, found.threshold, 60), result.years)
    assert found.false_alarms == rate
    assert list(found.negatives) == sorted(result.negative)
    assert (found.policy, found.years) == ("fpr", result.years)
    fpr, tpr = found.roc[injected(2)].fpr, found.roc[injected(2)].tpr
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (0, 0, 1, 1)
    assert Calibration.read(found.text) == found


@RELAXED
@given(trials(least=6), values)
def test_a_percentile_is_the_part_of_quiet_scores_below(result, score):
    found = choose(result, TARGET)
    assert found.percentile(score) == pytest.approx(100 * np.mean(result.negative < score))
    assert found.percentile(-1) == 0
    assert found.percentile(1e9) == 100


def test_the_percentile_among_no_scores_is_zero():
    assert choose(Trial(np.empty((0, 2), "datetime64[D]"), np.empty(0), {}, 0.0), TARGET).percentile(3.0) == 0
