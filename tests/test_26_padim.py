"""Location-aligned PaDiM against the definition, patch by patch in plain NumPy."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from quiet_tiles import masked, quiet, unrest

from insar_anomaly import detectors
from insar_anomaly.detectors._padim_parts import LAYER_WEIGHTS
from insar_anomaly.detectors.backbone import Channels, Embedder, Trunk, random_weights
from insar_anomaly.detectors.gaussians import LowRankGaussian, PatchGaussian
from insar_anomaly.detectors.padim import Padim, PadimScorer
from insar_anomaly.tiles import laplace, preprocess
from insar_anomaly.tools.pretrain.trial import CLEANING, CLIMATES, divided, scene

torch.set_num_threads(1)

SHAPE = (60, 68)
PLAIN = Padim(weights="random", dims=12, stride=8, seed=3, pool=1, factors="float32")


@pytest.fixture(scope="module")
def train() -> xr.Dataset:
    return quiet(SHAPE, acquisitions=12, seed=1)


@pytest.fixture(scope="module")
def test() -> xr.Dataset:
    return unrest(quiet(SHAPE, acquisitions=6, seed=2, first=2021), peak_cm=6.0)


@pytest.fixture(scope="module")
def scorer(train: xr.Dataset) -> PadimScorer:
    return PLAIN.fit(train)


def share_measured(valid: np.ndarray, stride: int) -> np.ndarray:
    """Measured part of each patch (pair, v, u), cut at the scene's edge."""
    n, rows, cols = valid.shape
    v, u = -(-rows // stride), -(-cols // stride)
    out = np.empty((n, v, u))
    for i in range(v):
        for j in range(u):
            out[:, i, j] = valid[:, i * stride : (i + 1) * stride, j * stride : (j + 1) * stride].mean((1, 2))
    return out


def embedded(settings: Padim, tiles: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    channels = Channels(settings.backbone, settings.dims, settings.seed)
    embedder = Embedder(
        settings.backbone, random_weights(settings.backbone, settings.seed), channels, stride=settings.stride
    )
    return embedder(tiles["tile"].values).cpu().numpy().astype(float), share_measured(
        tiles["valid"].values, settings.stride
    ) >= 0.5


def slow_maps(settings: Padim, train: xr.Dataset, test: xr.Dataset) -> np.ndarray:
    """Score maps (pair, v, u) by the definition: mean, covariance, inverse and determinant of every patch."""
    learned, counted = embedded(settings, train)
    seen, asked = embedded(settings, test)
    k = learned.shape[-1]
    channels = Channels(settings.backbone, settings.dims, settings.seed)
    by_layer = settings.layer_weights or LAYER_WEIGHTS["joint", settings.backbone]
    weights = np.array(by_layer)[channels.layer] if settings.distance.startswith("w") else np.ones(k)
    out = np.full(asked.shape, np.nan)
    for i in range(asked.shape[1]):
        for j in range(asked.shape[2]):
            rows = learned[counted[:, i, j], i, j]
            if len(rows) < max(2, math.ceil(settings.least_seen * len(learned))):
                continue
            cov = np.cov(rows.T)
            cov += (settings.ridge + settings.relative_ridge * np.trace(cov) / k) * np.eye(k)
            inverse, (_, logdet) = np.linalg.inv(cov), np.linalg.slogdet(cov)
            for n in np.flatnonzero(asked[:, i, j]):
                d = weights * (seen[n, i, j] - rows.mean(0))
                square = d @ inverse @ d
                nlml = (square + logdet + k * math.log(2 * math.pi)) / 2
                out[n, i, j] = math.sqrt(square) if settings.distance.endswith("maha") else nlml
    return out


def slow_score(score_map: np.ndarray, aggregate: str, top_percent: float) -> float:
    known = np.sort(score_map[~np.isnan(score_map)])[::-1]
    if not len(known):
        return math.nan
    if aggregate == "top":
        return float(known[: max(1, math.ceil(len(known) * top_percent / 100))].mean())
    return float(known.max() if aggregate == "max" else known.mean())


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"distance": "nlml", "aggregate": "mean"},
        {"distance": "wmaha", "aggregate": "top", "top_percent": 10.0},
        {"distance": "wnlml", "layer_weights": (0.5, 1.0, 2.0)},
        {"stride": 4, "dims": 6},
        {"stride": 16, "ridge": 0.01, "relative_ridge": 0.0},
        {"dims": 60, "distance": "nlml"},  # more features than pairs: the low-rank form
        {"dims": 60, "distance": "wmaha", "aggregate": "top"},
    ],
)
def test_scores_and_maps_are_those_of_the_definition(train, test, changed):
    settings = replace(PLAIN, **changed)
    scorer = settings.fit(train)
    assert isinstance(scorer.gaussians[0], LowRankGaussian if settings.dims > train.sizes["pair"] else PatchGaussian)
    found = scorer.score(masked(test))
    wanted = slow_maps(settings, train, masked(test))
    size = np.nanmax(np.abs(wanted))
    np.testing.assert_allclose(found["score_map"], wanted, rtol=1e-4, atol=1e-4 * size)
    assert np.isnan(wanted).any()
    for n in range(test.sizes["pair"]):
        one = slow_score(wanted[n], settings.aggregate, settings.top_percent)
        np.testing.assert_allclose(found["score"][n], one, rtol=1e-4)


def test_the_fit_is_the_same_in_any_order_of_pairs_and_from_a_lazy_stack(train, test, scorer):
    order = np.random.default_rng(0).permutation(train.sizes["pair"])
    wanted = scorer.score(test)["score"].values
    for one in (train.isel(pair=order), train.chunk({"pair": 4})):
        np.testing.assert_allclose(PLAIN.fit(one).score(test)["score"], wanted, rtol=1e-4)


@pytest.mark.parametrize("dims", [12, 60])
def test_a_model_written_and_read_gives_identical_scores(train, test, dims):
    scorer = replace(PLAIN, dims=dims).fit(train)
    stored = scorer.to_dataset()
    back = detectors.load(stored.copy(deep=True))
    assert isinstance(back, PadimScorer)
    xr.testing.assert_identical(back.score(test), scorer.score(test))
    xr.testing.assert_identical(back.to_dataset(), stored)
    assert stored.attrs["detector"] == "PadimScorer"
    assert [str(p) for p in stored["fitted_pair"].values] == [str(p) for p in train["pair"].values]
    assert not any(v.dtype == object for v in stored.variables.values())


def test_masked_patches_are_nan_and_whatever_stands_there_is_no_part_of_the_score(test, scorer):
    hidden = test["valid"].copy()
    hidden[:, :24, :32] = False  # whole patches
    one = test.assign(valid=hidden)
    found = scorer.score(one)
    assert np.isnan(found["score_map"].values[:, :3, :4]).all()
    for n in range(test.sizes["pair"]):
        assert float(found["score"][n]) == float(np.nanmax(found["score_map"][n]))
    # a loud patch raises the score where it is seen, and not where it is masked
    loud = test["tile"].copy()
    loud[:, 8:16, 8:16] = 1.0
    seen = scorer.score(test.assign(tile=loud))
    cells = seen["score_map"].values[:, 1, 1]
    assert (cells > scorer.score(test)["score_map"].values[:, 1, 1]).all()
    unseen = scorer.score(one.assign(tile=loud))
    assert np.isnan(unseen["score_map"].values[:, 1, 1]).all()


def test_ground_that_was_seldom_seen_in_the_fit_is_never_scored(train, test):
    valid = train["valid"].copy()
    valid[: train.sizes["pair"] // 2 + 1, :16, :16] = False
    found = PLAIN.fit(train.assign(valid=valid)).score(test)
    assert np.isnan(found["score_map"].values[:, :2, :2]).all()
    lenient = replace(PLAIN, least_seen=0.3).fit(train.assign(valid=valid)).score(test)
    assert np.isfinite(lenient["score_map"].values[:, 0, 0]).all()


def test_a_pair_with_nothing_measured_has_a_nan_score_and_leaves_the_others_alone(test, scorer):
    valid = test["valid"].copy()
    valid[1] = False
    found = scorer.score(test.assign(valid=valid))
    assert np.isnan(found["score"][1])
    assert np.isnan(found["score_map"][1]).all()
    others = [0, *range(2, test.sizes["pair"])]
    np.testing.assert_array_equal(found["score"][others], scorer.score(test)["score"][others])


def test_a_tile_of_another_size_is_refused_with_both_sizes(test, scorer):
    smaller = test.isel(y=slice(0, 56))
    with pytest.raises(
        ValueError, match=r"tiles of \(56, 68\) pixels, but the model was fitted on \(60, 68\): fit this stack again"
    ):
        scorer.score(smaller)


def test_no_valid_ground_and_a_single_pair_are_refused(train):
    with pytest.raises(ValueError, match="no patch was seen in"):
        PLAIN.fit(train.assign(valid=train["valid"] & False))
    with pytest.raises(ValueError, match="no patch was seen in 2 pairs"):
        PLAIN.fit(train.isel(pair=[0]))


def test_the_same_anomaly_is_ordinary_where_the_ground_always_does_it_and_strange_elsewhere():
    """The Gaussians know their place: air that always hangs at one slope is no news there, and news at another."""
    rng = np.random.default_rng(0)
    train = quiet((64, 64), acquisitions=20, seed=4)
    y, x = np.mgrid[:64, :64]

    def bump(row: int, col: int, height: np.ndarray) -> np.ndarray:
        return height[:, None, None] * np.exp(-((y - row) ** 2 + (x - col) ** 2) / 60).astype(np.float32)

    def squeezed(phase: xr.DataArray, more: np.ndarray) -> xr.DataArray:
        return np.tanh((phase + more) / 8).astype(np.float32)

    habit = train.assign(tile=squeezed(train["phase"], bump(16, 16, rng.normal(0, 8, train.sizes["pair"]))))
    settings = replace(PLAIN, dims=30)
    scorer = settings.fit(habit)
    test = quiet((64, 64), acquisitions=6, seed=9, first=2021)
    strength = np.full(test.sizes["pair"], 10.0)
    here, there = (
        scorer.score(test.assign(tile=squeezed(test["phase"], bump(row, col, strength))))["score"].values
        for row, col in ((16, 16), (48, 48))
    )
    assert (there > here).mean() > 0.9
    assert np.median(there) > 1.3 * np.median(here)


def test_unrest_scores_higher_than_the_same_pairs_without_it(test, scorer):
    still = quiet(SHAPE, acquisitions=6, seed=2, first=2021)
    assert np.median(scorer.score(test)["score"]) > np.median(scorer.score(still)["score"])


def with_torchvision(scorer: PadimScorer) -> PadimScorer:
    """The same scorer on torchvision's network as it is: the oracle of the faster arithmetic."""
    exact = PadimScorer.from_dataset(scorer.to_dataset())
    embedder = exact._parts.embedder
    trunk = Trunk("resnet18")
    trunk.load_state_dict(exact.weights)
    wanted = [torch.as_tensor(embedder.channels.of_layer(i)) for i in range(3)]
    embedder._trunk = lambda grey: [one[:, i] for one, i in zip(trunk(grey), wanted, strict=True)]
    return exact


LEAST_CHANGE = 1e-3
"""Part of the spread of quiet scores by which faster arithmetic may change a score."""


def test_faster_arithmetic_changes_scores_by_less_than_a_thousandth_of_their_spread(test):
    scorer = Padim(dims=60).fit(quiet(SHAPE, acquisitions=14, seed=1))
    fast, exact = (one.score(test)["score"].values for one in (scorer, with_torchvision(scorer)))
    assert not np.array_equal(fast, exact)
    assert np.abs(fast - exact).max() < LEAST_CHANGE * exact.std()


def test_filling_large_holes_to_a_tolerance_changes_scores_by_less_than_a_thousandth_of_their_spread():
    place = scene(CLIMATES["humid hills"], seed=3, acquisitions=8, side=128)
    train, later = divided(place, 8)
    scorer = Padim(dims=60).fit(preprocess.tiles(train, **CLEANING))
    filled = scorer.score(preprocess.tiles(later, **CLEANING))["score"].values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laplace, "_FACTOR_UP_TO", 10**9)
        exact = scorer.score(preprocess.tiles(later, **CLEANING))["score"].values
    assert not np.array_equal(filled, exact)
    assert np.abs(filled - exact).max() < LEAST_CHANGE * exact.std()


def test_a_model_as_earlier_versions_stored_it_scores_as_it_did(train, test):
    """Without the settings and arrays that came later: one whole float32 factor for each patch."""
    scorer = PLAIN.fit(train)
    stored = scorer.to_dataset()
    old = {k: v for k, v in json.loads(stored.attrs["settings"]).items() if k not in ("pool", "factors")}
    stored.attrs["settings"] = json.dumps(old)
    assert {name for name in stored if name.endswith("_0")} == {"count_0", "mean_0", "triangle_0"}
    assert stored["triangle_0"].dtype == np.float32
    again = PadimScorer.from_dataset(stored)
    xr.testing.assert_identical(again.score(test), scorer.score(test))


@pytest.mark.parametrize("factors", ["float16", "float32"])
def test_a_model_with_shared_correlations_comes_back_as_it_was(train, test, factors):
    scorer = replace(PLAIN, pool=2, factors=factors).fit(train)
    stored = scorer.to_dataset()
    assert stored["triangle_0"].dtype == factors
    assert len(stored["triangle_0"]) == math.ceil(SHAPE[0] / 16) * math.ceil(SHAPE[1] / 16)
    xr.testing.assert_identical(PadimScorer.from_dataset(stored).score(test), scorer.score(test))
