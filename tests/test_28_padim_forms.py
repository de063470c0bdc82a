"""PaDiM's other forms against slow oracles: windows, per layer, exact low rank, the papers' switches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from quiet_tiles import masked, quiet, unrest

from insar_anomaly.config.presets import PRESETS
from insar_anomaly.detectors._padim_layouts import LAYER_STRIDES, smoothed
from insar_anomaly.detectors._padim_parts import LAYER_WEIGHTS
from insar_anomaly.detectors.backbone import Channels, Embedder, random_weights
from insar_anomaly.detectors.gaussians import LowRankGaussian, Moments, PatchGaussian, Samples
from insar_anomaly.detectors.padim import Padim, PadimScorer

SHAPE = (80, 96)
ALIGNED = Padim(weights="random", dims=12, seed=3, pool=1, factors="float32")
WINDOWS = replace(
    ALIGNED, layout="windows", dims=10, window=64, window_step=16, crops=2, stride=4, ridge=0.01, relative_ridge=0.0
)


@pytest.fixture(scope="module")
def train() -> xr.Dataset:
    return quiet(SHAPE, acquisitions=10, seed=1)


@pytest.fixture(scope="module")
def test() -> xr.Dataset:
    # without the pair of which nothing was measured: its score is NaN by definition
    return masked(unrest(quiet(SHAPE, acquisitions=5, seed=2, first=2021), peak_cm=6.0)).isel(pair=slice(1, None))


def padded(tile: np.ndarray) -> np.ndarray:
    """Edge-padded so that windows of 64 every 16 pixels end with the tile (80 and 96 do already)."""
    assert (tile.shape[-2] - 64) % 16 == (tile.shape[-1] - 64) % 16 == 0
    return tile


def cut(tile: np.ndarray, size: int = 64, step: int = 16) -> list[tuple[int, int, np.ndarray]]:
    rows, cols = tile.shape
    return [
        (r, c, tile[r : r + size, c : c + size])
        for r in range(0, rows - size + 1, step)
        for c in range(0, cols - size + 1, step)
    ]


def share(valid: np.ndarray, stride: int) -> np.ndarray:
    n = valid.shape[0] // stride
    return valid.reshape(n, stride, n, stride).mean((1, 3))


def slow_windows(scorer: PadimScorer, test: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Window scores, and the papers' aggregate, by loops over pairs, windows and patches."""
    settings = scorer.settings
    embedder = Embedder("resnet18", scorer.weights, Channels("resnet18", settings["dims"], settings["seed"]), stride=4)
    gaussian = scorer.gaussians[0]
    assert isinstance(gaussian, PatchGaussian)
    axis = (np.arange(64) - 31.5) / (64 / 6)
    bell = np.exp(-0.5 * axis**2)[:, None] * np.exp(-0.5 * axis**2)[None]
    tops, images = [], []
    for tile, valid in zip(test["tile"].values, test["valid"].values, strict=True):
        total, mass, mine = np.zeros(SHAPE), np.zeros(SHAPE), []
        for (r, c, crop), (_, _, mask) in zip(cut(padded(tile)), cut(valid), strict=True):
            found = embedder(crop[None])[0].numpy().astype(float)
            known = share(mask, 4) >= 0.5
            worst = -np.inf
            for p in range(256):
                i, j = divmod(p, 16)
                if not known[i, j]:
                    continue
                L = gaussian.factor[p].numpy().astype(float)
                d = found[i, j] - gaussian.mean[p].numpy()
                worst = max(worst, float(np.sqrt(d @ np.linalg.inv(L @ L.T) @ d)))
            z = 1 - mask.mean()
            mine.append(worst if np.isfinite(worst) else np.nan)
            if z < 0.6 and np.isfinite(worst):
                total[r : r + 64, c : c + 64] += (1 - z) * worst * bell
                mass[r : r + 64, c : c + 64] += bell
        blended = np.where(mass > 0, total / (1e-5 + mass), 0)
        tops.append(mine)
        images.append(blended.mean())
    return np.array(tops), np.array(images)


def test_the_papers_windows_and_aggregate_match_a_loop_over_windows_and_patches(train, test):
    scorer = replace(WINDOWS, aggregate="authors").fit(train)
    few = test.isel(pair=slice(0, 3))
    _, images = slow_windows(scorer, few)
    np.testing.assert_allclose(scorer.score(few)["score"].values, images, rtol=2e-4)


def test_the_largest_window_is_the_score_where_the_aggregate_is_max(train, test):
    scorer = replace(WINDOWS, aggregate="max").fit(train)
    few = test.isel(pair=slice(0, 2))
    tops, _ = slow_windows(scorer, few)
    np.testing.assert_allclose(scorer.score(few)["score"].values, np.nanmax(tops, 1), rtol=2e-4)


def test_windows_of_the_fit_depend_on_seed_and_pair_only(train):
    backwards = train.isel(pair=slice(None, None, -1))
    one, other = WINDOWS.fit(train), WINDOWS.fit(backwards)
    torch.testing.assert_close(one.gaussians[0].mean, other.gaussians[0].mean, rtol=1e-5, atol=1e-6)
    # one backbone with all of its channels: the seed draws nothing but the windows
    fixed = replace(WINDOWS, network=random_weights("resnet18", 3), network_name="random, seed 3", dims=0)
    here, elsewhere = (replace(fixed, seed=seed).fit(train).gaussians[0] for seed in (3, 4))
    assert not torch.equal(here.count, elsewhere.count)  # other windows meet other holes
    assert (here.mean - elsewhere.mean).abs().max() > 0.1 * here.mean.std()
    # a pair has the same windows whatever pairs stand beside it, so the sums of two halves are that of the whole
    halves = [fixed.fit(train.isel(pair=part)).gaussians[0] for part in (slice(0, 7), slice(7, None))]
    total = sum(half.count[:, None] * half.mean for half in halves)
    whole = fixed.fit(train).gaussians[0]
    torch.testing.assert_close(total, whole.count[:, None] * whole.mean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("distance", ["maha", "nlml", "wmaha", "wnlml"])
def test_form_a_adds_the_largest_distances_of_layers_that_have_gaussians_of_their_own(train, test, distance):
    settings = replace(ALIGNED, form="per-layer", distance=distance, ridge=0.01)
    scorer = settings.fit(train)
    assert [g.mean.shape[1] for g in scorer.gaussians] == [64, 128, 256]
    embedder = Embedder("resnet18", random_weights("resnet18", 3), Channels("resnet18", 0, 3), stride=4)
    few = test.isel(pair=slice(0, 2))
    weights = LAYER_WEIGHTS["per-layer", "resnet18"] if distance.startswith("w") else (1.0, 1.0, 1.0)
    expected = np.zeros(2)
    for part, found in enumerate(embedder.layers(few["tile"].values)):
        flat = found.flatten(1, 2)
        plain = distance.removeprefix("w")
        layer = scorer.gaussians[part].distance(flat, plain).numpy()
        s = LAYER_STRIDES[part]
        rows, cols = -(-SHAPE[0] // s), -(-SHAPE[1] // s)
        for pair in range(2):
            best = -np.inf
            for p in range(rows * cols):
                i, j = divmod(p, cols)
                known = few["valid"].values[pair, i * s : (i + 1) * s, j * s : (j + 1) * s].mean() >= 0.5
                if known and not np.isnan(layer[pair, p]):
                    best = max(best, layer[pair, p])
            expected[pair] += weights[part] * best
    np.testing.assert_allclose(scorer.score(few)["score"].values, expected, rtol=1e-4)


@pytest.mark.parametrize("pairs", [5, 12])
def test_low_rank_form_is_the_same_gaussian(pairs):
    rng = np.random.default_rng(0)
    found = torch.as_tensor(rng.normal(3, 1, (pairs, 7, 20)).astype(np.float32))
    seen = torch.as_tensor(rng.random((pairs, 7)) < 0.9)
    new = torch.as_tensor(rng.normal(3, 2, (4, 7, 20)).astype(np.float32))
    whole = Moments.of(found, seen).gaussian(ridge=0.01, relative=0.02)
    low = (Samples.of(found[:3], seen[:3]) + Samples.of(found[3:], seen[3:])).gaussian(ridge=0.01, relative=0.02)
    assert isinstance(low, LowRankGaussian)
    assert low.basis.shape[2] == pairs
    torch.testing.assert_close(low.quadratic(new), whole.quadratic(new), rtol=2e-4, atol=1e-3)
    torch.testing.assert_close(low.log_determinant, whole.log_determinant, rtol=1e-4, atol=1e-3)


def test_all_channels_with_few_pairs_take_the_low_rank_form_and_survive_the_round_trip(train, test):
    scorer = replace(ALIGNED, dims=0, stride=16, ridge=0.01).fit(train)
    assert isinstance(scorer.gaussians[0], LowRankGaussian)
    again = PadimScorer.from_dataset(scorer.to_dataset())
    np.testing.assert_array_equal(again.score(test)["score"].values, scorer.score(test)["score"].values)


def test_one_pass_agrees_with_windows_away_from_their_borders_and_says_so_by_design(train):
    """Layer1 sees 43 pixels: patches further than half of that from a window's border have the same features."""
    embedder = Embedder("resnet18", random_weights("resnet18", 0), Channels("resnet18", 0, 0), stride=4)
    tile = train["tile"].values[:1]
    whole = next(iter(embedder.layers(tile)))[0]
    alone = next(iter(embedder.layers(tile[:, 16:80, 16:80])))[0]
    cut_out = whole[4:20, 4:20]
    torch.testing.assert_close(cut_out[6:10, 6:10], alone[6:10, 6:10], rtol=1e-3, atol=1e-4)
    assert (cut_out[0] - alone[0]).abs().max() > 1e-2


def test_one_pass_scores_like_windows_in_rank(train, test):
    slow = replace(WINDOWS, aggregate="max").fit(train).score(test)["score"].values
    fast = replace(WINDOWS, aggregate="max", passes="one").fit(train).score(test)["score"].values
    assert np.isfinite(fast).all()
    assert np.corrcoef(slow, fast)[0, 1] > 0.5


def test_clamp_and_eight_bits_do_what_they_say(train, test):
    plain = replace(ALIGNED, distance="nlml").fit(train).score(test)
    clamped = replace(ALIGNED, distance="nlml", clamp=True).fit(train).score(test)
    assert (plain["score_map"] < 0).any()
    np.testing.assert_allclose(
        clamped["score_map"].values, np.where(np.isnan(plain["score_map"]), np.nan, np.maximum(plain["score_map"], 0))
    )
    stepped = test.assign(tile=(np.rint((test["tile"] + 1) / 2 * 255) / 255 * 2 - 1).astype(np.float32))
    fitted = replace(ALIGNED, eight_bit=True).fit(train)
    np.testing.assert_array_equal(fitted.score(test)["score"].values, fitted.score(stepped)["score"].values)


def test_blur_keeps_the_level_of_a_flat_map_and_ignores_what_is_nan():
    flat = torch.full((1, 10, 12), 3.0)
    flat[0, 4:6, 5] = torch.nan
    out = smoothed(flat, 4, 4.0)
    assert out.shape == (1, 40, 48)
    torch.testing.assert_close(out, torch.full_like(out, 3.0), rtol=1e-5, atol=1e-5)


def test_aggregates_order_as_they_must_and_authors_needs_windows(train, test):
    by = {name: replace(ALIGNED, aggregate=name).fit(train).score(test)["score"].values for name in ("max", "top", "mean")}
    assert (by["max"] >= by["top"]).all()
    assert (by["top"] >= by["mean"]).all()
    with pytest.raises(ValueError, match="windows"):
        replace(ALIGNED, aggregate="authors").fit(train)


def test_wide_resnet_runs_with_its_own_weights_of_layers(train):
    scorer = Padim(weights="random", backbone="wide_resnet50_2", dims=30, stride=16, distance="wmaha").fit(
        train.isel(pair=slice(0, 6))
    )
    assert np.isfinite(scorer.score(train.isel(pair=slice(0, 2)))["score"].values).all()
    assert LAYER_WEIGHTS["joint", "wide_resnet50_2"] == (0.0, 5.0, 10.0)


def test_the_poster_preset_runs_end_to_end(train, test):
    own = {k: v for k, v in PRESETS["poster"]["detector"].items() if k != "kind"}
    scorer = Padim(**own | {"weights": "random"}, window=64, window_step=16).fit(train)
    out = scorer.score(test.isel(pair=slice(0, 2)))
    assert (out["score"].values >= 0).all()
    assert scorer.settings["clamp"]
    assert scorer.settings["eight_bit"]
