"""Patch distributions: moments are an exact sum in any order, distances are those of plain NumPy."""

from __future__ import annotations

import math
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.detectors._blocks import blocks_of
from insar_anomaly.detectors.gaussians import DISTANCES, Gaussian, Moments, PatchGaussian, Samples

torch.set_num_threads(1)
RELAXED = settings(deadline=None, max_examples=60)


def drawn(
    seed: int, pairs: int, patches: int, features: int, *, ratio: float = 1.0, seen: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Correlated embeddings (pair, patch, feature) with mean / spread = `ratio`, and a mask (pair, patch)."""
    rng = np.random.default_rng(seed)
    mix = 0.4 * rng.normal(size=(patches, features, features)) / np.sqrt(features) + np.eye(features)
    mean = ratio * rng.choice([-1, 1], (patches, features)) * rng.uniform(0.5, 1, (patches, features))
    values = mean + np.einsum("npk,pkj->npj", rng.normal(size=(pairs, patches, features)), mix)
    return values, rng.random((pairs, patches)) < seen


def moments(values: np.ndarray, seen: np.ndarray) -> Moments:
    return Moments.of(torch.as_tensor(values), torch.as_tensor(seen))


def assert_is(found: Moments, values: np.ndarray, seen: np.ndarray, *, rel: float) -> None:
    """Moments against numpy.mean and numpy.cov of each patch's seen rows, relative to its own spread."""
    for p in range(values.shape[1]):
        rows = values[seen[:, p], p]
        assert int(found.count[p]) == len(rows)
        if not len(rows):
            continue
        np.testing.assert_allclose(found.mean[p], rows.mean(0), rtol=rel, atol=rel * float(rows.std(0).max()))
        if len(rows) == 1:
            assert not found.scatter[p].any()
            continue
        cov = np.atleast_2d(np.cov(rows.T))
        scale = np.sqrt(np.outer(cov.diagonal(), cov.diagonal()))
        error = np.abs(found.scatter[p].numpy() / (len(rows) - 1) - cov) / scale
        assert error.max() < rel


# ------------------------------------------------------------------------------------------------------ moments


@RELAXED
@given(st.integers(0, 2**32), st.integers(16, 60), st.sampled_from([0.0, 1.0, 1e4]), st.data())
def test_moments_of_parts_added_in_any_order_are_those_of_numpy_on_the_whole(seed, pairs, ratio, data):
    values, seen = drawn(seed, pairs, 3, 4, ratio=ratio, seen=data.draw(st.sampled_from([1.0, 0.8])))
    order = np.random.default_rng(seed).permutation(pairs)
    cuts = sorted(data.draw(st.lists(st.integers(1, pairs - 1), max_size=4, unique=True)))
    parts = [moments(values[i], seen[i]) for i in np.split(order, cuts)]
    # any order, and any bracketing: take two at random and put their sum back
    while len(parts) > 1:
        i = data.draw(st.integers(0, len(parts) - 1))
        one = parts.pop(i)
        j = data.draw(st.integers(0, len(parts) - 1))
        parts[j] = parts[j] + one
    assert_is(parts[0], values, seen, rel=1e-12 if ratio < 1e4 else 4e-12)


def test_pair_by_pair_is_the_same_sum_also_where_the_mean_is_ten_thousand_times_the_spread():
    values, seen = drawn(1, 200, 2, 6, ratio=1e4)
    parts = [moments(values[i : i + 1], seen[i : i + 1]) for i in range(200)]
    assert_is(reduce(Moments.__add__, parts), values, seen, rel=1e-11)


def test_float32_embeddings_are_summed_in_float64():
    values, seen = drawn(2, 100, 2, 5, ratio=1e4)
    narrow = values.astype(np.float32)
    found = moments(narrow, seen)
    assert (found.mean.dtype, found.scatter.dtype) == (torch.float64, torch.float64)
    assert_is(found, narrow.astype(np.float64), seen, rel=1e-11)


@RELAXED
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_patch_counts_only_the_pairs_that_saw_it(seed, share):
    values, seen = drawn(seed, 12, 6, 3, seen=share)
    found = moments(values, seen)
    np.testing.assert_array_equal(found.count, seen.sum(0))
    unseen = np.where(seen[..., None], values, 1e6)  # whatever stands under the mask
    other = moments(unseen, seen)
    np.testing.assert_allclose(other.mean, found.mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(other.scatter, found.scatter, rtol=1e-9, atol=1e-9)


@RELAXED
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 8), st.floats(0, 1))
def test_addition_is_commutative_and_zero_is_neutral(seed, first, second, share):
    values, seen = drawn(seed, first + second, 4, 3, seen=share)
    a, b = moments(values[:first], seen[:first]), moments(values[first:], seen[first:])
    for x, y in ((a + b, b + a), (a + Moments.zero(4, 3), a), (Moments.zero(4, 3) + a, a)):
        assert torch.equal(x.count, y.count)
        torch.testing.assert_close(x.mean, y.mean, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(x.scatter, y.scatter, rtol=1e-12, atol=1e-12)


def test_addition_is_not_idempotent():
    values, seen = drawn(0, 5, 2, 3)
    one = moments(values, seen)
    assert int((one + one).count[0]) == 10
    torch.testing.assert_close((one + one).scatter, 2 * one.scatter)


def test_no_pair_at_all_is_zero():
    values, seen = drawn(0, 4, 2, 3, seen=0.0)
    found = moments(values, seen)
    assert not found.count.any()
    assert not found.scatter.any()
    assert_is(found + moments(*drawn(1, 20, 2, 3)), *drawn(1, 20, 2, 3), rel=1e-12)


# ------------------------------------------------------------------------------------------------------ distances


def slow(
    values: np.ndarray,
    seen: np.ndarray,
    test: np.ndarray,
    name: str,
    weights: np.ndarray,
    *,
    ridge: float,
    relative: float,
    least: int = 2,
) -> np.ndarray:
    """Distances (pair, patch) by the definition, patch by patch, with an explicit inverse."""
    out = np.full(test.shape[:2], np.nan)
    k = values.shape[2]
    for p in range(values.shape[1]):
        rows = values[seen[:, p], p]
        if len(rows) < max(2, least):
            continue
        cov = np.cov(rows.T)
        cov = cov + (ridge + relative * np.trace(cov) / k) * np.eye(k)
        inverse, (_, logdet) = np.linalg.inv(cov), np.linalg.slogdet(cov)
        for i in range(len(test)):
            d = test[i, p] - rows.mean(0)
            d = weights * d if name.startswith("w") else d
            square = d @ inverse @ d
            out[i, p] = math.sqrt(square) if name.endswith("maha") else (square + logdet + k * math.log(2 * math.pi)) / 2
    return out


def fitted(kind: type[Moments] | type[Samples], values: np.ndarray, seen: np.ndarray, **settings: float) -> Gaussian:
    narrow = torch.as_tensor(values.astype(np.float32))
    return kind.of(narrow, torch.as_tensor(seen)).gaussian(**settings)


WEIGHTS = np.array([0.0, 1.0, 1.0, 5.0, 5.0, 0.5])
RIDGES = [{"ridge": 0.01, "relative": 0.0}, {"ridge": 0.0, "relative": 0.01}, {"ridge": 0.2, "relative": 0.1}]


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("ridges", RIDGES)
@pytest.mark.parametrize(("kind", "pairs"), [(Moments, 40), (Moments, 5), (Samples, 5), (Samples, 40)])
def test_the_four_distances_are_those_of_plain_numpy(kind, pairs, name, ridges):
    values, seen = drawn(7, pairs, 9, 6, seen=0.9)
    test, _ = drawn(8, 11, 9, 6, ratio=2.0)
    values, test = values.astype(np.float32), test.astype(np.float32)
    found = fitted(kind, values, seen, **ridges).distance(
        torch.as_tensor(test), name, torch.as_tensor(WEIGHTS, dtype=torch.float32)
    )
    wanted = slow(values.astype(float), seen, test.astype(float), name, WEIGHTS, **ridges)
    assert np.isfinite(wanted).any()
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)


def test_many_patches_are_the_same_as_few():
    values, seen = drawn(3, 20, 1100, 3)
    test, _ = drawn(4, 2, 1100, 3)
    some = slice(505, 1100)
    whole = fitted(Moments, values, seen, ridge=0.01).quadratic(torch.as_tensor(test, dtype=torch.float32))
    part = fitted(Moments, values[:, some], seen[:, some], ridge=0.01).quadratic(
        torch.as_tensor(test[:, some], dtype=torch.float32)
    )
    torch.testing.assert_close(whole[:, some], part, rtol=1e-4, atol=1e-5)


@RELAXED
@given(st.integers(0, 2**32), st.integers(2, 20), st.sampled_from([1.0, 1e3]), st.sampled_from([Moments, Samples]))
def test_the_quadratic_form_is_never_negative_however_degenerate_the_covariance(seed, pairs, ratio, kind):
    values, seen = drawn(seed, pairs, 3, 12, ratio=ratio)
    values[:, :, 6:] = values[:, :, :6]  # every feature stands twice: the covariance is singular
    gaussian = fitted(kind, values, seen, ridge=0.0, relative=1e-6)
    square = gaussian.quadratic(torch.as_tensor(values.astype(np.float32)))
    assert torch.isfinite(square).all()
    assert (square >= 0).all()
    assert not gaussian.distance(torch.as_tensor(values.astype(np.float32)), "maha").isnan().any()


@pytest.mark.parametrize("kind", [Moments, Samples])
def test_a_pair_at_the_mean_has_distance_zero_and_one_far_off_grows_linearly(kind):
    values, seen = drawn(5, 30, 4, 6)
    gaussian = fitted(kind, values, seen, ridge=0.01)
    step = torch.ones(1, 4, 6)
    near, far = (gaussian.distance(gaussian.mean[None] + c * step, "maha") for c in (1.0, 10.0))
    assert not gaussian.distance(gaussian.mean[None], "maha").any()
    torch.testing.assert_close(far, 10 * near, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Moments, Samples])
@pytest.mark.parametrize("name", DISTANCES)
def test_a_patch_seen_too_seldom_has_no_distance_and_does_not_touch_the_others(kind, name):
    values, seen = drawn(6, 20, 4, 6)
    seen[:] = True
    seen[9:, 1] = False  # seen in 9 pairs
    seen[:, 2] = False
    test = torch.as_tensor(drawn(9, 3, 4, 6)[0], dtype=torch.float32)
    gaussian = fitted(kind, values, seen, ridge=0.01, least=10)
    assert gaussian.usable.tolist() == [True, False, False, True]
    assert gaussian.count.tolist() == [20, 0, 0, 20]
    found = gaussian.distance(test, name, torch.as_tensor(WEIGHTS, dtype=torch.float32))
    assert found.isnan().tolist() == [[False, True, True, False]] * 3
    wanted = slow(values, seen, test.numpy().astype(float), name, WEIGHTS, ridge=0.01, relative=0.0, least=10)
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-4)
    assert fitted(kind, values, seen, ridge=0.01, least=9).usable.tolist() == [True, True, False, True]


@RELAXED
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_scaling_features_leaves_maha_alone_and_moves_nlml_by_the_logarithm(seed, times):
    values, seen = drawn(seed, 40, 3, 6)
    test, _ = drawn(seed + 1, 5, 3, 6)
    for ridges, scale in (
        ({"ridge": 0.0}, times * np.array([1, 2, 0.5, 3, 1, 4])),  # each feature by its own factor
        ({"ridge": 0.0, "relative": 0.01}, np.full(6, times)),  # a relative ridge knows one common factor only
    ):
        plain, scaled = fitted(Moments, values, seen, **ridges), fitted(Moments, values * scale, seen, **ridges)
        one, other = (torch.as_tensor(t, dtype=torch.float32) for t in (test, test * scale))
        torch.testing.assert_close(scaled.distance(other, "maha"), plain.distance(one, "maha"), rtol=2e-3, atol=2e-3)
        moved = scaled.log_determinant - plain.log_determinant  # NLML holds half of it, and half of Maha squared
        np.testing.assert_allclose(moved, 2 * np.log(scale).sum(), rtol=1e-4, atol=1e-3)


def test_an_absolute_ridge_is_not_scale_free():
    values, seen = drawn(1, 40, 3, 6)
    test, _ = drawn(2, 5, 3, 6)
    big, small = (
        fitted(Moments, c * values, seen, ridge=0.01).distance(torch.as_tensor(c * test, dtype=torch.float32), "maha")
        for c in (1.0, 0.01)
    )
    assert float((small / big).max()) < 0.9


def test_weights_of_one_change_nothing_and_weights_of_zero_hide_the_features():
    values, seen = drawn(1, 40, 3, 6)
    test = torch.as_tensor(drawn(2, 5, 3, 6)[0], dtype=torch.float32)
    gaussian = fitted(Moments, values, seen, ridge=0.01)
    assert torch.equal(gaussian.distance(test, "wmaha", torch.ones(6)), gaussian.distance(test, "maha"))
    assert not gaussian.distance(test, "wmaha", torch.zeros(6)).any()


@pytest.mark.parametrize("kind", [Moments, Samples])
def test_what_cannot_be_is_refused_with_the_reason(kind):
    values, seen = drawn(0, 3, 2, 6)
    with pytest.raises(ValueError, match=r"no patch was seen in 4 pairs \(most: 3\): fit on more pairs"):
        fitted(kind, values, seen, ridge=0.01, least=4)
    with pytest.raises(ValueError, match="no patch was seen in 2 pairs"):
        fitted(kind, values[:1], seen[:1], ridge=0.01, least=1)
    gaussian = fitted(kind, values, seen, ridge=0.01)
    test = torch.zeros(1, 2, 6)
    with pytest.raises(ValueError, match="distance = 'euclid': choose one of maha, nlml, wmaha, wnlml"):
        gaussian.distance(test, "euclid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="distance = 'wmaha' needs layer weights"):
        gaussian.distance(test, "wmaha")


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize(("pairs", "share"), [(4, 1.0), (10, 0.7), (60, 0.9)])
def test_kept_samples_and_moments_are_the_same_gaussian_on_either_side_of_the_number_of_features(name, pairs, share):
    values, seen = drawn(12, pairs, 5, 24, seen=share)
    parts = [
        Samples.of(torch.as_tensor(v, dtype=torch.float32), torch.as_tensor(s))
        for v, s in ((values[:3], seen[:3]), (values[3:], seen[3:]))
    ]
    low_rank = (Samples.zero(5, 24) + parts[0] + parts[1]).gaussian(ridge=0.0, relative=0.01)
    whole = fitted(Moments, values, seen, ridge=0.0, relative=0.01)
    weights = torch.linspace(0, 3, 24)
    test = torch.as_tensor(drawn(13, 6, 5, 24, ratio=1.0)[0], dtype=torch.float32)
    torch.testing.assert_close(
        low_rank.distance(test, name, weights), whole.distance(test, name, weights), rtol=1e-3, atol=1e-3, equal_nan=True
    )
    torch.testing.assert_close(low_rank.count, whole.count)


BLOCKS = torch.tensor([0, 0, 1, 0, 1, 2])
"""Three blocks of three, two and one patches, in no order."""


def pooled(values: np.ndarray, seen: np.ndarray) -> Moments:
    return Moments.of(torch.as_tensor(values), torch.as_tensor(seen), blocks=BLOCKS)


def shared_covariances(values: np.ndarray, seen: np.ndarray, relative: float) -> np.ndarray:
    """Covariance (patch, feature, feature) by the definition: the block's correlations, variances half-way."""
    rows = [values[seen[:, p], p] for p in range(len(BLOCKS))]
    centred = [one - one.mean(0) for one in rows]
    out = []
    for p, block in enumerate(BLOCKS.tolist()):
        some = [q for q, other in enumerate(BLOCKS.tolist()) if other == block]
        shared = sum(centred[q].T @ centred[q] for q in some) / sum(len(rows[q]) - 1 for q in some)
        shared = shared + relative * np.diag(shared).mean() * np.eye(values.shape[2])
        own = rows[p].var(0, ddof=1)
        own = own + relative * own.mean()
        step = (own / np.diag(shared)) ** 0.25
        out.append(step[:, None] * shared * step)
    return np.array(out)


@pytest.mark.parametrize("seed", range(3))
def test_patches_of_a_block_share_correlations_and_keep_means_and_half_of_their_variances(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(30, 6, 4)) @ rng.normal(size=(4, 4)) * rng.uniform(0.3, 3, (6, 1)) + rng.normal(size=(6, 4))
    seen, asked = rng.random((30, 6)) < 0.8, rng.normal(size=(5, 6, 4))
    gaussian = pooled(values, seen).gaussian(ridge=0.0, relative=0.01)
    cov = shared_covariances(values, seen, 0.01)
    mean = np.array([values[seen[:, p], p].mean(0) for p in range(6)])
    d = asked - mean
    wanted = np.einsum("npi,pij,npj->np", d, np.linalg.inv(cov), d)
    found = gaussian.quadratic(torch.as_tensor(asked, dtype=torch.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    np.testing.assert_allclose(gaussian.log_determinant, np.linalg.slogdet(cov)[1], rtol=1e-4, atol=1e-4)
    close = gaussian.halved().quadratic(torch.as_tensor(asked, dtype=torch.float32))
    np.testing.assert_allclose(close, wanted, rtol=0.02)
    assert not torch.equal(close, found)


@pytest.mark.parametrize("seed", range(3))
def test_moments_with_blocks_are_a_sum(seed):
    rng = np.random.default_rng(seed)
    values, seen = rng.normal(5, 1, (24, 6, 3)), rng.random((24, 6)) < 0.7
    whole = pooled(values, seen)
    cuts = [slice(0, 1), slice(1, 9), slice(9, 24)]
    parts = [pooled(values[c], seen[c]) for c in cuts]
    empty = Moments.zero(6, 3, blocks=BLOCKS)
    for total in (empty + parts[0] + parts[1] + parts[2], parts[2] + (parts[0] + parts[1]) + empty):
        for name in ("count", "mass", "mean", "scatter", "spread"):
            np.testing.assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-11, atol=1e-11, err_msg=name)


def test_a_block_of_one_patch_is_a_patch_of_its_own():
    rng = np.random.default_rng(0)
    values, seen = rng.normal(size=(20, 4, 3)), np.ones((20, 4), bool)
    alone = Moments.of(torch.as_tensor(values), torch.as_tensor(seen), blocks=torch.arange(4))
    asked = torch.as_tensor(rng.normal(size=(2, 4, 3)), dtype=torch.float32)
    found, wanted = (m.gaussian(ridge=0.1).quadratic(asked) for m in (alone, moments(values, seen)))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@pytest.mark.parametrize("half", [False, True])
def test_gaussians_of_bands_of_patches_join_to_those_of_all(half):
    rng = np.random.default_rng(0)
    values, seen = rng.normal(size=(40, 30, 4)), rng.random((40, 30)) < 0.9
    asked = torch.as_tensor(rng.normal(size=(3, 30, 4)), dtype=torch.float32)

    def fit(rows: slice) -> PatchGaussian:
        part = slice(rows.start * 6, rows.stop * 6)
        blocks = blocks_of((rows.stop - rows.start, 6), 2)
        made = Moments.of(torch.as_tensor(values[:, part]), torch.as_tensor(seen[:, part]), blocks=blocks).gaussian(
            ridge=0.1
        )
        return made.halved() if half else made

    whole, joined = fit(slice(0, 5)), PatchGaussian.joined([fit(slice(0, 2)), fit(slice(2, 4)), fit(slice(4, 5))])
    np.testing.assert_allclose(joined.quadratic(asked), whole.quadratic(asked), rtol=1e-6)
