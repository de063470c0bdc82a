"""A weather model's delay and coherence in preprocessing and in the fit: the right sign, no step, lazy as eager."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import dask
import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from quiet_tiles import quiet, unrest

from insar_anomaly import simulate
from insar_anomaly.config.sections import Preprocess
from insar_anomaly.detectors.gaussians import Moments, Samples
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.tiles.preprocess import corrected, smoothed, tiles
from insar_anomaly.tools.pretrain.trial import CLIMATES, divided, scene

torch.set_num_threads(1)
RELAXED = settings(deadline=None, max_examples=60)
BARE: dict[str, Any] = Preprocess(remove=()).model_dump()
USED = BARE | {"gacos": "use"}
DATES = [date(2020, 1, 1) + timedelta(days=12 * i) for i in range(4)]


@pytest.fixture(scope="module")
def stack() -> xr.Dataset:
    """A few pairs with holes, a weather model's delay, and coherence from none to full."""
    one = simulate.modelled(scene(CLIMATES["humid hills"], seed=3, acquisitions=4, side=40), np.random.default_rng(0))
    pairs, _ = divided(one, 4)
    coherence = np.random.default_rng(1).integers(0, 256, pairs["phase"].shape).astype(np.uint8)
    return pairs.assign(coherence=(("pair", "y", "x"), coherence))


def without(stack: xr.Dataset, pair: int) -> xr.Dataset:
    """The stack, one pair of which has no delay."""
    delay = stack["delay"].copy()
    delay[pair] = np.nan
    return stack.assign(delay=delay)


# ------------------------------------------------------------------------------------------------------ delay


def test_a_delay_that_is_the_whole_atmosphere_leaves_the_ground_motion(stack):
    moved = simulate.PointSource(20, 20, depth_km=0.5, peak_cm=6.0).phase((40, 40), pixel_km=(0.1, 0.1))
    dims = ("pair", "y", "x")
    seen = np.isfinite(stack["phase"])
    both = stack.assign(phase=(stack["delay"] + xr.DataArray(moved, dims=dims[1:])).where(seen).astype(np.float32))
    found = tiles(both, **USED)["phase"].values
    for n in range(stack.sizes["pair"]):
        ground = seen.values[n]
        np.testing.assert_allclose(found[n][ground], (moved - moved[ground].mean())[ground], atol=1e-4)
    still = tiles(stack.assign(phase=stack["delay"].where(seen)), **USED)
    assert float(np.abs(still["phase"]).max()) < 1e-5
    assert (still["valid"].values == seen.values).all()  # what is zero now was measured all the same


def test_more_delay_at_the_later_date_is_more_phase_and_is_taken_away(stack):
    seen = np.isfinite(stack["phase"])
    late = np.linspace(0, 9, 40, dtype=np.float32)  # a longer way at the second date, the farther east the more
    one = stack.assign(phase=(stack["phase"] + late).astype(np.float32), delay=xr.zeros_like(stack["delay"]) + late)
    xr.testing.assert_allclose(tiles(one, **USED)["phase"], tiles(stack, **BARE)["phase"], atol=1e-4)
    wrong = tiles(one.assign(delay=-one["delay"]), **USED)["phase"].where(seen)
    assert float(wrong.std()) > 1.5 * float(tiles(one, **BARE)["phase"].where(seen).std())


@pytest.mark.parametrize("changed", [{}, {"smooth_px": 1.5}, {"remove": ("plane", "height"), "weight": "coherence"}])
@pytest.mark.parametrize("chunk", [1, 3, -1])
def test_lazy_is_eager_bit_for_bit_and_pairs_do_not_know_of_each_other(stack, chunk, changed):
    one = without(stack, 1)
    eager = tiles(one, **USED | changed)
    lazy = tiles(one.chunk({"pair": chunk}), **USED | changed)
    assert all(dask.is_dask_collection(lazy[name].data) for name in lazy.data_vars)
    xr.testing.assert_identical(lazy.compute(), eager)
    for i in range(one.sizes["pair"]):
        xr.testing.assert_identical(tiles(one.isel(pair=[i]), **USED | changed), eager.isel(pair=[i]))


def test_a_pair_without_delay_and_a_stack_without_delays_stay_as_they_are(stack):
    plain = tiles(stack, **BARE)
    xr.testing.assert_identical(tiles(stack.drop_vars("delay"), **USED), plain)
    found = tiles(without(stack, 2), **USED)
    xr.testing.assert_identical(found.isel(pair=[2]), plain.isel(pair=[2]))
    assert not np.allclose(found["phase"][0], plain["phase"][0], atol=0.1)


def test_delays_are_read_only_where_they_are_used(stack):
    def unreadable(block: np.ndarray) -> np.ndarray:
        if block.size:
            raise OSError("delay was read")
        return block

    lazy = stack.chunk({"pair": 1})
    broken = lazy.assign(delay=lazy["delay"].copy(data=lazy["delay"].data.map_blocks(unreadable, dtype=np.float32)))
    assert np.isfinite(tiles(broken, **BARE).compute()["phase"]).all()
    with pytest.raises(OSError, match="delay was read"):
        tiles(broken, **USED).compute()


def test_a_gap_in_the_delay_leaves_no_step():
    y, x = np.mgrid[:40, :40]
    delay = 12.0 + 0.05 * x - 0.03 * y  # harmonic: a gap is filled exactly
    gap = (y - 20) ** 2 + (x - 15) ** 2 < 40
    phase = delay.astype(np.float32)
    found = corrected(phase, np.zeros((40, 40), bool), np.where(gap, np.nan, delay))
    assert np.abs(found).max() < 1e-4


def test_a_delay_known_on_less_than_half_of_the_measured_ground_is_none():
    phase, masked = np.full((10, 10), 3.0, np.float32), np.zeros((10, 10), bool)
    masked[:, 5:] = True
    delay = np.full((10, 10), 2.0)
    delay[:, :3] = np.nan  # 20 of 50 measured pixels
    assert corrected(phase, masked, delay) is phase
    delay[0, 2] = delay[1, 2] = delay[2, 2] = delay[3, 2] = delay[4, 2] = 2.0
    np.testing.assert_allclose(corrected(phase, masked, delay), 1.0)
    assert corrected(phase, masked | True, np.full((10, 10), np.nan)) is phase


# ------------------------------------------------------------------------------------------------------ smoothing


def slow_mean(phase: np.ndarray, masked: np.ndarray, coherence: np.ndarray, sigma: float) -> np.ndarray:
    """Pixel by pixel, with scipy's reflected borders left to a mask that reaches nowhere near them."""
    reach = int(4 * sigma + 0.5)
    out = phase.astype(float).copy()
    rows, cols = phase.shape
    for i, j in np.argwhere(~masked):
        total = mass = 0.0
        for a in range(-reach, reach + 1):
            for b in range(-reach, reach + 1):
                if 0 <= i + a < rows and 0 <= j + b < cols and not masked[i + a, j + b]:
                    weight = np.exp(-(a * a + b * b) / 2 / sigma**2) * max(coherence[i + a, j + b], 0.03) ** 2
                    total, mass = total + weight * phase[i + a, j + b], mass + weight
        out[i, j] = total / mass
    return out


def test_the_mean_over_neighbours_is_weighted_by_squared_coherence_over_measured_ground():
    rng = np.random.default_rng(0)
    phase, coherence = rng.normal(0, 2, (20, 22)), rng.random((20, 22))
    masked = np.ones((20, 22), bool)
    masked[5:15, 5:17] = rng.random((10, 12)) < 0.2
    phase[masked] = np.nan
    np.testing.assert_allclose(smoothed(phase, masked, coherence, 1.0), slow_mean(phase, masked, coherence, 1.0), rtol=1e-9)


@RELAXED
@given(st.floats(0.3, 4), st.integers(0, 2**32), st.floats(-100, 100))
def test_flat_ground_stays_flat_whatever_its_coherence(sigma, seed, level):
    rng = np.random.default_rng(seed)
    masked = rng.random((12, 14)) < 0.5
    phase = np.where(masked, np.nan, level)
    np.testing.assert_allclose(smoothed(phase, masked, rng.random((12, 14)), sigma), phase, atol=1e-9)


def test_noise_where_coherence_is_low_is_smoothed_away_and_masks_stay(stack):
    truth = (stack["phase"] * 0 + np.linspace(1, 9, 40, dtype=np.float32)).astype(np.float32)  # the holes stay
    coherence = simulate.coherences(
        DATES, [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)], (40, 40), np.random.default_rng(2)
    )
    noise = simulate.phase_noise(coherence, np.random.default_rng(3)).astype(np.float32)
    one = stack.assign(phase=truth + noise, coherence=(truth.dims, np.rint(255 * coherence).astype(np.uint8)))
    plain, soft = (tiles(one, **BARE | {"smooth_px": s}) for s in (0.0, 1.0))
    wanted = tiles(stack.assign(phase=truth), **BARE)
    np.testing.assert_array_equal(plain["valid"], soft["valid"])
    before, after = (float(np.sqrt(((t["phase"] - wanted["phase"]) ** 2).where(t["valid"]).mean())) for t in (plain, soft))
    assert after < 0.7 * before


# ------------------------------------------------------------------------------------------------------ weights


def test_the_weight_is_squared_coherence_where_valid_and_never_zero_there(stack):
    found = tiles(stack, **BARE | {"weight": "coherence", "min_coherence": 0.1})
    coherence = stack["coherence"].values / 255
    np.testing.assert_allclose(found["weight"], np.where(found["valid"], np.maximum(coherence, 0.03) ** 2, 0), rtol=1e-6)
    assert found["weight"].dtype == np.float32
    assert "weight" not in tiles(stack, **BARE)


def weighted(seed: int, pairs: int, patches: int = 3, features: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    values = rng.normal(3, 1, (pairs, patches, features)) @ rng.normal(size=(features, features))
    return values, rng.random((pairs, patches)) < 0.8, rng.uniform(0.01, 2, (pairs, patches))


def moments(values: np.ndarray, seen: np.ndarray, weight: np.ndarray) -> Moments:
    return Moments.of(torch.as_tensor(values), torch.as_tensor(seen), torch.as_tensor(weight))


@RELAXED
@given(st.integers(0, 2**32), st.integers(12, 50), st.data())
def test_weighted_moments_of_parts_in_any_order_are_numpys_weighted_covariance_of_the_whole(seed, pairs, data):
    values, seen, weight = weighted(seed, pairs)
    order = np.random.default_rng(seed).permutation(pairs)
    cuts = sorted(data.draw(st.lists(st.integers(1, pairs - 1), max_size=4, unique=True)))
    parts = [moments(values[i], seen[i], weight[i]) for i in np.split(order, cuts)]
    while len(parts) > 1:
        one = parts.pop(data.draw(st.integers(0, len(parts) - 1)))
        j = data.draw(st.integers(0, len(parts) - 1))
        parts[j] = parts[j] + one
    (found,) = parts
    for p in range(values.shape[1]):
        rows, w = values[seen[:, p], p], weight[seen[:, p], p]
        assert int(found.count[p]) == len(rows)
        if len(rows) < 2:
            continue
        np.testing.assert_allclose(found.mean[p], np.average(rows, axis=0, weights=w), rtol=1e-10, atol=1e-10)
        free = float(found.mass[p] - found.square[p] / found.mass[p])
        cov = np.cov(rows.T, aweights=w)
        np.testing.assert_allclose(found.scatter[p] / free, cov, rtol=1e-9, atol=1e-9 * np.abs(cov).max())


@RELAXED
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_only_the_ratio_of_weights_matters_and_equal_weights_are_none(seed, times):
    values, seen, weight = weighted(seed, 30)
    close = {"ridge": 0.0, "relative": 0.01}
    one, other = (moments(values, seen, w).gaussian(**close) for w in (weight, times * weight))
    torch.testing.assert_close(one.factor, other.factor, rtol=1e-4, atol=1e-5)
    plain = Moments.of(torch.as_tensor(values), torch.as_tensor(seen)).gaussian(**close)
    same = moments(values, seen, np.full_like(weight, times)).gaussian(**close)
    torch.testing.assert_close(same.factor, plain.factor, rtol=1e-4, atol=1e-5)
    ones = moments(values, seen, np.ones_like(weight)).gaussian(**close)
    assert torch.equal(ones.factor, plain.factor)
    assert torch.equal(ones.mean, plain.mean)


@pytest.mark.parametrize("pairs", [4, 12, 40])
def test_weighted_samples_and_moments_are_the_same_gaussian(pairs):
    values, seen, weight = weighted(5, pairs, features=10)
    arrays = [torch.as_tensor(a) for a in (values.astype(np.float32), seen, weight)]
    halves = [Samples.of(*(a[part] for a in arrays)) for part in (slice(None, 2), slice(2, None))]
    kept = (Samples.zero(3, 10) + halves[0] + halves[1]).gaussian(ridge=0.0, relative=0.01)
    summed = Moments.of(*arrays).gaussian(ridge=0.0, relative=0.01)
    test = torch.as_tensor(weighted(6, 5, features=10)[0], dtype=torch.float32)
    torch.testing.assert_close(kept.quadratic(test), summed.quadratic(test), rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(kept.count, summed.count)


SMALL = Padim(weights="random", dims=12, seed=3)


@pytest.fixture(scope="module")
def train() -> xr.Dataset:
    return quiet((60, 68), acquisitions=12, seed=1)


@pytest.fixture(scope="module")
def test() -> xr.Dataset:
    return unrest(quiet((60, 68), acquisitions=6, seed=2, first=2021), peak_cm=6.0)


def counted(tiles: xr.Dataset, weight: np.ndarray) -> xr.Dataset:
    """The tiles with this weight (pair,) or (pair, y, x) where valid."""
    whole = np.broadcast_to(weight if weight.ndim == 3 else weight[:, None, None], tiles["valid"].shape)
    return tiles.assign(weight=tiles["valid"].astype(np.float32) * whole.astype(np.float32))


WINDOWS = {"layout": "windows", "stride": 4, "window": 32, "crops": 2}


@pytest.mark.parametrize("changed", [{}, {"dims": 60}, WINDOWS, {"form": "per-layer", "distance": "nlml"}], ids=str)
def test_equal_weights_change_no_score_and_a_pair_of_little_weight_is_as_good_as_absent(train, test, changed):
    detector = replace(SMALL, **changed)
    plain = detector.fit(train).score(test)["score"]
    equal = detector.fit(counted(train, np.full(train.sizes["pair"], 0.25)))
    np.testing.assert_allclose(equal.score(test)["score"], plain, rtol=1e-4)
    assert equal.inputs == ("tile", "valid")  # a score needs no coherence
    wild = train["tile"].copy()
    wild[3:6] = np.sign(wild[3:6])
    spoiled = train.assign(tile=wild)
    light = np.where(np.isin(np.arange(train.sizes["pair"]), [3, 4, 5]), 1e-8, 1.0)
    gone = replace(detector, least_seen=0.1).fit(train.isel(pair=[0, 1, 2, *range(6, train.sizes["pair"])]))
    ignored = replace(detector, least_seen=0.1).fit(counted(spoiled, light))
    np.testing.assert_allclose(ignored.score(test)["score"], gone.score(test)["score"], rtol=1e-3)


def test_least_seen_counts_pairs_whatever_their_weight_and_masks_stay_masks(train, test):
    light = counted(train, np.where(np.arange(train.sizes["pair"]) % 4, 1e-3, 1.0))
    one, other = (SMALL.fit(t).gaussians[0].count for t in (train, light))
    assert torch.equal(one, other)
    valid = train["valid"].copy()
    valid[: train.sizes["pair"] // 2 + 1, :16, :16] = False
    hidden = counted(train.assign(valid=valid), np.full(train.sizes["pair"], 5.0))
    assert np.isnan(SMALL.fit(hidden).score(test)["score_map"].values[:, :2, :2]).all()


def test_a_patch_counts_by_the_mean_weight_of_its_measured_pixels(train, test):
    rng = np.random.default_rng(0)
    pixels = rng.random(train["valid"].shape)
    by_pixel = counted(train, pixels)
    share, total = (
        np.stack([[[one[8 * i : 8 * i + 8, 8 * j : 8 * j + 8].mean() for j in range(9)] for i in range(8)] for one in a])
        for a in (train["valid"].values.astype(float), by_pixel["weight"].values.astype(float))
    )
    means = np.repeat(np.repeat(total / np.maximum(share, 1e-9), 8, 1), 8, 2)[:, :60, :68]
    scores = [SMALL.fit(t).score(test)["score"] for t in (by_pixel, counted(train, means))]
    np.testing.assert_allclose(*scores, rtol=1e-4)


# ------------------------------------------------------------------------------------------------------ settings and layers


@pytest.mark.parametrize("wrong", [{"gacos": "on"}, {"weight": "phase"}, {"smooth_px": -0.1}, {"smooth_px": 21}], ids=str)
def test_settings_out_of_bounds_are_refused(wrong, stack):
    with pytest.raises(ValidationError):
        Preprocess(**wrong)
    if "smooth_px" not in wrong:
        ((name, value),) = wrong.items()
        with pytest.raises(ValueError, match=f"{name} = '{value}': choose "):
            tiles(stack, **BARE | wrong)


def test_all_of_it_is_off_unless_asked_for(stack):
    assert {k: Preprocess().model_dump()[k] for k in ("gacos", "smooth_px", "weight")} == {
        "gacos": "off",
        "smooth_px": 0.0,
        "weight": "none",
    }
    older = {k: v for k, v in BARE.items() if k not in ("gacos", "smooth_px", "weight")}  # as old models keep them
    xr.testing.assert_identical(tiles(stack, **older), tiles(stack, **BARE))


def test_simulated_noise_follows_coherence_and_coherence_fades_with_time():
    dates = [date(2020, 1, 1) + timedelta(days=12 * i) for i in range(20)]
    near, far = ([(i, i + span) for i in range(20 - span)] for span in (1, 8))
    found = [simulate.coherences(dates, pairs, (48, 50), np.random.default_rng(1)) for pairs in (near, far)]
    assert found[0].mean() > found[1].mean() + 0.1
    assert min(one.min() for one in found) >= 0.03
    assert max(one.max() for one in found) <= 0.95
    for level in (0.2, 0.5, 0.9):
        noise = simulate.phase_noise(np.full((40, 48, 50), level), np.random.default_rng(2), looks=20)
        assert noise.std() == pytest.approx(np.sqrt((1 - level**2) / (40 * level**2)), rel=0.02)
    assert simulate.phase_noise(np.zeros((4, 32, 32)), np.random.default_rng(2)).std() == pytest.approx(
        np.pi / 3**0.5, rel=0.1
    )


def test_a_simulated_weather_model_helps_more_pairs_than_it_hurts_and_hurts_some():
    one = simulate.modelled(scene(CLIMATES["dry desert"], seed=5, acquisitions=20, side=96), np.random.default_rng(0))
    pairs = xr.concat(divided(one, 20), "pair", data_vars="minimal")
    before, after = (tiles(pairs, **BARE | {"gacos": g})["phase"].std(("y", "x")).values for g in ("off", "use"))
    assert 0.5 < (after < before).mean() < 0.9
