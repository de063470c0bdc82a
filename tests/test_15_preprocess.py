"""From a stack to tiles: the same bits lazily, holes against a dense solve, trends that leave nothing behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dask
import dask.array
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from insar_anomaly import simulate
from insar_anomaly.tiles import laplace
from insar_anomaly.tiles.laplace import laplace_fill
from insar_anomaly.tiles.preprocess import clean, tiles
from insar_anomaly.tiles.trends import PARTS, trend

RELAXED = settings(deadline=None, max_examples=80)
SETTINGS: dict[str, Any] = {
    "remove": ("plane", "height"),
    "range_form": "tanh",
    "range_rad": 8.0,
    "min_coherence": 0.0,
    "fill_grow": 0,
}


def stack(phase: np.ndarray, *, water: np.ndarray | None = None, height: np.ndarray | None = None) -> xr.Dataset:
    """A stack as the store gives it, of phase (pair, y, x) rad."""
    n, rows, cols = phase.shape
    rng = np.random.default_rng(5)
    days = np.datetime64("2020-01-01", "ns") + np.arange(n + 1) * np.timedelta64(12, "D")
    flat = ("y", "x")
    return xr.Dataset(
        {
            "phase": (("pair", *flat), phase.astype(np.float32)),
            "coherence": (("pair", *flat), rng.integers(0, 256, phase.shape).astype(np.uint8)),
            "water": (flat, np.zeros((rows, cols), bool) if water is None else water),
            "height": (flat, (simulate.relief((rows, cols), rng) if height is None else height).astype(np.float32)),
            "e": (flat, np.full((rows, cols), -0.6, np.float32)),
            "n": (flat, np.full((rows, cols), -0.1, np.float32)),
            "u": (flat, np.full((rows, cols), 0.79, np.float32)),
        },
        coords={
            "pair": [f"p{i}" for i in range(n)],
            "reference": ("pair", days[:-1]),
            "secondary": ("pair", days[1:]),
            "y": 10 - 0.001 * np.arange(rows),
            "x": 20 + 0.001 * np.arange(cols),
        },
    )


def holed(pairs: int = 7, shape: tuple[int, int] = (30, 34), seed: int = 0) -> xr.Dataset:
    """Turbulent phase with holes of its own in each pair, water in a corner."""
    rng = np.random.default_rng(seed)
    phase = np.stack([simulate.turbulence(shape, rng, std_rad=4.0) + 20 for _ in range(pairs)])
    for one in phase:
        one[simulate.decorrelated(shape, rng, fraction=0.2)] = np.nan
    water = np.zeros(shape, bool)
    water[:6, :8] = True
    return stack(phase, water=water)


# ------------------------------------------------------------------------------------------------------ lazy = eager


@pytest.mark.parametrize("chunk", [1, 3, -1])
@pytest.mark.parametrize(
    "changed", [{}, {"min_coherence": 0.3, "fill_grow": 2, "range_form": "clip"}, {"remove": ()}, {"remove": ("height",)}]
)
def test_lazy_tiles_are_bit_for_bit_the_eager_ones(chunk, changed):
    one = holed()
    eager = tiles(one, **SETTINGS | changed)
    lazy = tiles(one.chunk({"pair": chunk}), **SETTINGS | changed)
    assert all(dask.is_dask_collection(lazy[name].data) for name in ("phase", "tile", "valid"))
    xr.testing.assert_identical(lazy.compute(), eager)
    assert {n: str(eager[n].dtype) for n in eager.data_vars} == {"phase": "float32", "tile": "float32", "valid": "bool"}


@pytest.mark.parametrize("chunk", [None, 2])
def test_the_order_of_the_pairs_and_their_company_change_no_bit(chunk):
    one = holed()
    whole = tiles(one, **SETTINGS)
    order = np.random.default_rng(0).permutation(7)
    shuffled = one.isel(pair=order)
    shuffled = shuffled.chunk({"pair": chunk}) if chunk else shuffled
    xr.testing.assert_identical(tiles(shuffled, **SETTINGS).compute(), whole.isel(pair=order))
    for i in range(7):
        xr.testing.assert_identical(tiles(one.isel(pair=[i]), **SETTINGS), whole.isel(pair=[i]))


def test_coherence_is_read_only_where_it_decides():
    one = holed(pairs=2).chunk({"pair": 1})

    def unreadable(block: np.ndarray) -> np.ndarray:
        if block.size:
            raise OSError("coherence was read")
        return block

    broken = one.assign(coherence=one["coherence"].copy(data=one["coherence"].data.map_blocks(unreadable, dtype=np.uint8)))
    assert np.isfinite(tiles(broken, **SETTINGS).compute()["phase"]).all()
    with pytest.raises(OSError, match="coherence was read"):
        tiles(broken, **SETTINGS | {"min_coherence": 0.1}).compute()


# ------------------------------------------------------------------------------------------------------ Laplace fill


def disk(radius: int) -> list[tuple[int, int]]:
    reach = range(-radius, radius + 1)
    return [(i, j) for i in reach for j in reach if i * i + j * j <= radius * radius]


def dilated(mask: np.ndarray, radius: int) -> np.ndarray:
    out = np.zeros_like(mask)
    for i, j in np.argwhere(mask):
        for di, dj in disk(radius):
            if 0 <= i + di < mask.shape[0] and 0 <= j + dj < mask.shape[1]:
                out[i + di, j + dj] = True
    return out


def dense_fill(phase: np.ndarray, masked: np.ndarray, grow: int, close: int = 5) -> np.ndarray:
    """Slow oracle: morphology pixel by pixel, Laplace's equation as one dense least-squares solve."""
    written = dilated(masked, grow)
    region = ~dilated(~dilated(written, close), close) | written  # ground beyond the scene's edge never erodes
    if region.all():
        written = region = masked
    index = {(int(i), int(j)): n for n, (i, j) in enumerate(np.argwhere(region))}
    matrix, right = np.zeros((len(index), len(index))), np.zeros(len(index))
    for (i, j), n in index.items():
        for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if 0 <= a < phase.shape[0] and 0 <= b < phase.shape[1]:
                matrix[n, n] += 1
                if (a, b) in index:
                    matrix[n, index[a, b]] -= 1
                else:
                    right[n] += phase[a, b]
    # an island without a ring is determined up to a constant: the smallest solution of its zero right side is zero
    solved = np.linalg.lstsq(matrix, right, rcond=1e-12)[0]
    out = phase.copy()
    for (i, j), n in index.items():
        if written[i, j]:
            out[i, j] = solved[n]
    return out


@st.composite
def holes(draw: st.DrawFn) -> np.ndarray:
    """A mask of a few rectangles, edges and corners included."""
    rows, cols = draw(st.integers(3, 22)), draw(st.integers(3, 22))
    mask = np.zeros((rows, cols), bool)
    for _ in range(draw(st.integers(0, 4))):
        i, j = draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1))
        mask[i : i + draw(st.integers(1, 6)), j : j + draw(st.integers(1, 6))] = True
    return mask


@RELAXED
@given(holes(), st.integers(0, 2), st.integers(0, 2**32))
def test_filled_holes_solve_laplaces_equation_as_a_dense_solve_does(masked, grow, seed):
    phase = np.where(masked, 0, np.random.default_rng(seed).normal(0, 10, masked.shape))
    found = laplace_fill(phase, masked, grow=grow)
    np.testing.assert_allclose(found, dense_fill(phase, masked, grow) if masked.any() else phase, atol=1e-8)


@RELAXED
@given(holes(), st.integers(0, 2**32))
def test_measured_ground_stays_as_it_is_and_filled_ground_between_its_extremes(masked, seed):
    phase = np.where(masked, 0, np.random.default_rng(seed).normal(5, 1, masked.shape))
    found = laplace_fill(phase, masked, grow=0)
    np.testing.assert_array_equal(found[~masked], phase[~masked])
    if not masked.all():
        assert found.min() >= phase[~masked].min() - 1e-9
        assert found.max() <= phase[~masked].max() + 1e-9


@pytest.mark.parametrize("grow", [0, 2])
@pytest.mark.parametrize(
    "harmonic", [lambda y, x: 3 * y - 2 * x + 1, lambda y, x: x * y / 10, lambda y, x: (x**2 - y**2) / 20]
)
def test_a_hole_in_a_harmonic_function_is_filled_exactly(harmonic, grow):
    y, x = np.mgrid[:40, :44].astype(float)
    whole = harmonic(y, x)
    masked = (y - 20) ** 2 + (x - 18) ** 2 < 50
    masked[12, 33] = True
    found = laplace_fill(np.where(masked, 0, whole), masked, grow=grow)
    np.testing.assert_allclose(found, whole, atol=1e-9)


def test_a_scene_of_nothing_but_holes_is_zero():
    assert not laplace_fill(np.full((5, 6), 7.0), np.ones((5, 6), bool), grow=1).any()


def test_one_measured_pixel_fills_the_whole_scene_with_its_value():
    masked = np.ones((8, 9), bool)
    masked[3, 4] = False
    found = laplace_fill(np.where(masked, 0, 2.5), masked, grow=2)
    np.testing.assert_allclose(found, 2.5)


def test_an_unmasked_scene_is_returned_as_it_is():
    phase = np.random.default_rng(0).normal(size=(8, 9))
    np.testing.assert_array_equal(laplace_fill(phase, np.zeros((8, 9), bool), grow=2), phase)


# ------------------------------------------------------------------------------------------------------ trends


def terrain(shape: tuple[int, int] = (40, 44)) -> tuple[np.ndarray, np.ndarray]:
    height = simulate.relief(shape, np.random.default_rng(3)).astype(np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return height, 2.0 + 0.3 * y - 0.2 * x


def gap(shape: tuple[int, int] = (40, 44)) -> np.ndarray:
    return simulate.decorrelated(shape, np.random.default_rng(8), fraction=0.3)


def test_a_plane_is_removed_exactly():
    height, plane = terrain()
    found = clean(plane.astype(np.float32), gap(), height, remove=("plane",), fill_grow=0)
    assert np.abs(found).max() < 1e-5


def test_the_part_that_follows_height_is_removed_exactly():
    height, _ = terrain()
    found = clean((4 + 7e-3 * height).astype(np.float32), gap(), height, remove=("height",), fill_grow=0)
    assert np.abs(found).max() < 1e-5


def test_a_second_order_surface_is_removed_exactly():
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 44), indexing="ij")
    height, plane = terrain()
    planted = plane + 5 * y * y - 3 * x * x + 4 * x * y
    found = clean(planted.astype(np.float32), gap(), height, remove=("plane", "quadratic"), fill_grow=0)
    assert np.abs(found).max() < 1e-5
    assert np.abs(clean(planted, gap(), height, remove=("plane",), fill_grow=0)).max() > 1


def test_delay_that_is_piecewise_linear_in_height_is_removed_exactly():
    height, plane = terrain()
    bend = np.quantile(height[~gap()], 0.5)
    planted = plane + np.interp(height, [height.min(), bend, height.max()], [0, 6, 4])
    found = clean(planted.astype(np.float32), gap(), height, remove=("plane", "height", "piecewise-height"), fill_grow=0)
    assert np.abs(found).max() < 1e-4
    assert np.abs(clean(planted, gap(), height, remove=("plane", "height"), fill_grow=0)).max() > 0.5


def test_a_plane_and_a_height_part_together_leave_less_than_a_ten_thousandth_of_a_radian():
    height, plane = terrain()
    planted = (plane - 9e-3 * height + 40).astype(np.float32)
    assert planted.std() > 3
    found = clean(planted, gap(), height, remove=("plane", "height"), fill_grow=0)
    assert np.abs(found).max() < 1e-4


@pytest.mark.parametrize(
    ("remove", "left"), [((), ("plane", "height")), (("plane",), ("height",)), (("height",), ("plane",))]
)
def test_what_is_not_asked_for_stays(remove, left):
    height, plane = terrain()
    parts = {"plane": plane, "height": 7e-3 * height.astype(float)}
    for name in left:
        found = clean(parts[name].astype(np.float32), gap(), height, remove=remove, fill_grow=0)
        assert found[~gap()].std() > 0.3


@RELAXED
@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-0.01, 0.01), st.floats(-50, 50))
def test_what_is_added_along_plane_height_or_mean_changes_nothing(down, across, per_m, offset):
    height, _ = terrain()
    y, x = np.mgrid[:40, :44]
    air = simulate.turbulence((40, 44), np.random.default_rng(1), std_rad=2.0)
    more = air + down * y + across * x + per_m * height + offset
    one, other = (clean(p, gap(), height, remove=("plane", "height"), fill_grow=0) for p in (air, more))
    np.testing.assert_allclose(other, one, atol=2e-5)


@RELAXED
@given(holes(), st.sampled_from([(), ("plane",), ("height",), ("plane", "height"), PARTS]), st.integers(0, 2**32))
def test_the_mean_of_measured_ground_is_zero(masked, remove, seed):
    rng = np.random.default_rng(seed)
    phase = rng.normal(30, 5, masked.shape)
    found = clean(phase, masked, rng.uniform(0, 3000, masked.shape), remove=remove, fill_grow=0)
    if not masked.all():
        assert abs(float(found[~masked].mean(dtype=float))) < 1e-5


def test_the_trend_is_that_of_least_squares_over_the_measured_ground_only():
    height, _ = terrain()
    ground = ~gap()
    phase = np.where(ground, simulate.turbulence((40, 44), np.random.default_rng(4), std_rad=3.0), 1e6)
    y, x = np.mgrid[:40, :44].astype(float)
    columns = np.stack([np.ones_like(y), y / 40, x / 40, height.astype(float) / 1000], -1)
    wanted = columns @ np.linalg.lstsq(columns[ground], phase[ground], rcond=None)[0]
    np.testing.assert_allclose(trend(phase, ground, height, ("plane", "height")), wanted, atol=1e-7)


@pytest.mark.parametrize("level", [0.0, 1234.567, np.nan])
def test_flat_or_unknown_terrain_has_no_height_part(level):
    _, plane = terrain()
    air = plane + simulate.turbulence((40, 44), np.random.default_rng(4), std_rad=3.0)
    flat = np.full((40, 44), level, np.float32)
    one = clean(air, gap(), flat, remove=("plane", "height"), fill_grow=0)
    np.testing.assert_allclose(one, clean(air, gap(), flat, remove=("plane",), fill_grow=0), atol=1e-5)


@pytest.mark.parametrize("measured", [1, 2, 3, 5])
def test_few_measured_pixels_are_fitted_without_a_crash(measured):
    height, plane = terrain()
    masked = np.ones((40, 44), bool)
    masked[7, 10 : 10 + measured] = False  # on one line: the plane is not determined
    found = clean(plane * 10, masked, height, remove=PARTS, fill_grow=0)
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 1e-3


# ------------------------------------------------------------------------------------------------------ tiles


def test_water_and_excluded_ground_is_zero_in_the_tile_and_not_valid():
    one = holed()
    excluded = np.zeros((30, 34), bool)
    excluded[20:25, 20:] = True
    found = tiles(one, excluded=excluded, **SETTINGS)
    static = excluded | one["water"].values
    assert not found["tile"].values[:, static].any()
    assert not found["valid"].values[:, static].any()
    np.testing.assert_array_equal(found["valid"], np.isfinite(one["phase"]) & ~static)
    assert found["tile"].values[:, ~static].any()
    assert found["phase"].values[:, static].any()  # the phase itself is filled there


def test_what_stands_under_water_or_excluded_ground_does_not_matter():
    one = holed()
    excluded = np.zeros((30, 34), bool)
    excluded[20:25, 20:] = True
    wild = one["phase"].where(~(one["water"] | xr.DataArray(excluded, dims=("y", "x"))), 1e4)
    xr.testing.assert_identical(
        tiles(one.assign(phase=wild), excluded=excluded, **SETTINGS), tiles(one, excluded=excluded, **SETTINGS)
    )


def test_zero_phase_is_no_measurement():
    one = holed()
    phase = one["phase"].copy()
    phase[2, 10:14, 10:14] = 0
    gone = one["phase"].copy()
    gone[2, 10:14, 10:14] = np.nan
    xr.testing.assert_identical(tiles(one.assign(phase=phase), **SETTINGS), tiles(one.assign(phase=gone), **SETTINGS))


def test_tanh_keeps_large_motion_ordered_and_clip_cuts_it():
    one = holed()
    water = one["water"].values
    soft, hard = (tiles(one, **SETTINGS | {"range_form": form, "range_rad": 3.0}) for form in ("tanh", "clip"))
    np.testing.assert_array_equal(soft["phase"], hard["phase"])
    scaled = soft["phase"].values[:, ~water] / np.float32(3)
    np.testing.assert_allclose(soft["tile"].values[:, ~water], np.tanh(scaled), rtol=1e-6)
    np.testing.assert_array_equal(hard["tile"].values[:, ~water], np.clip(scaled, -1, 1))
    assert (np.abs(hard["tile"].values) == 1).any()
    assert np.abs(soft["tile"].values).max() < 1


def test_motion_towards_the_satellite_stays_negative():
    shape = (30, 34)
    source = simulate.PointSource(15, 17, depth_km=0.4, peak_cm=6.0)  # inflation
    phase = source.phase(shape, pixel_km=(0.1, 0.1))[None]
    found = tiles(stack(phase), **SETTINGS)
    assert found["tile"].values[0].argmin() == np.abs(phase).argmax()
    assert abs(found["tile"].values[0].min()) > 2 * found["tile"].values[0].max()


@pytest.mark.parametrize("least", [0.1, 0.5, 1.0])
def test_pixels_of_low_coherence_are_masked(least):
    one = holed()
    found = tiles(one, **SETTINGS | {"min_coherence": least})
    measured = np.isfinite(one["phase"]) & ~one["water"]
    np.testing.assert_array_equal(found["valid"], measured & (one["coherence"] / 255 >= least))
    np.testing.assert_array_equal(tiles(one, **SETTINGS)["valid"], measured)


def test_a_widened_hole_is_filled_wider_and_nothing_else_changes():
    rng = np.random.default_rng(0)
    phase = rng.normal(0, 3, (1, 40, 44)).astype(np.float32)
    phase[0, 20, 20] = np.nan
    narrow, wide = (tiles(stack(phase), **SETTINGS | {"fill_grow": g})["phase"].values[0] for g in (0, 2))
    changed = narrow != wide
    grown = ndimage.binary_dilation(np.isnan(phase[0]), np.hypot(*np.mgrid[-2:3, -2:3]) <= 2)
    assert changed[grown].sum() >= 12
    assert not changed[~grown].any()


@RELAXED
@given(
    st.tuples(st.integers(1, 3), st.integers(2, 12), st.integers(2, 12)),
    st.sampled_from(["tanh", "clip"]),
    st.integers(0, 2),
    st.integers(0, 2**32),
)
def test_there_is_never_a_nan_in_the_result(shape, form, grow, seed):
    rng = np.random.default_rng(seed)
    phase = rng.normal(0, 100, shape)
    lost = rng.random(shape) < rng.choice([0, 0.3, 0.9, 1])
    phase[lost] = rng.choice([np.nan, np.inf, -np.inf, 0.0], lost.sum())
    height = rng.uniform(0, 3000, shape[1:])
    height[rng.random(shape[1:]) < 0.3] = rng.choice([np.nan, np.inf])
    one = stack(phase, height=height, water=rng.random(shape[1:]) < 0.1)
    found = tiles(one, **SETTINGS | {"range_form": form, "fill_grow": grow, "min_coherence": float(rng.choice([0, 0.5]))})
    assert np.isfinite(found["phase"]).all()
    assert np.isfinite(found["tile"]).all()
    assert float(np.abs(found["tile"]).max()) <= 1


def test_a_pair_without_a_measurement_is_zero_and_wholly_invalid():
    one = holed(pairs=2)
    phase = one["phase"].copy()
    phase[1] = np.nan
    found = tiles(one.assign(phase=phase), **SETTINGS)
    assert not found["valid"].values[1].any()
    assert not found["phase"].values[1].any()
    assert not found["tile"].values[1].any()
    assert found["valid"].values[0].any()


def test_a_stack_without_height_is_cleaned_of_all_but_what_follows_it():
    one = holed()
    flat = one.assign(height=one["height"] * np.float32(np.nan))
    found = tiles(flat, **SETTINGS | {"remove": ("plane", "height", "piecewise-height")})
    xr.testing.assert_allclose(found["phase"], tiles(one, **SETTINGS | {"remove": ("plane",)})["phase"], atol=1e-5)
    assert found.attrs["removed"] == '["plane"]'


def test_tiles_know_their_pixels_look_and_what_was_removed():
    found = tiles(holed(), **SETTINGS)
    assert found.attrs["pixel_km"] == pytest.approx((0.11132, 0.11132 * np.cos(np.radians(9.9855))), rel=1e-6)
    assert found.attrs["look"] == pytest.approx((-0.6, -0.1, 0.79))
    assert found.attrs["removed"] == '["height", "plane"]'
    assert set(found.coords) == {"pair", "reference", "secondary", "y", "x"}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"remove": ("plane", "sea")}, r"remove = \['sea'\]: choose among plane, quadratic, height, piecewise-height"),
        ({"range_form": "sigmoid"}, "range_form = 'sigmoid': choose clip or tanh"),
    ],
)
def test_unknown_settings_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        tiles(holed(), **SETTINGS | changed)


def test_a_thread_evicts_no_other_threads_factors():
    """SuperLU gives memory back only in the thread that took it: what another thread evicts would never be freed."""

    def fill(column: int) -> None:
        masked = np.zeros((40, 40), bool)
        masked[20, 10 + column] = True
        laplace_fill(np.zeros(masked.shape), masked, grow=0)

    fill(0)
    before = laplace._FACTORED.equations.cache_info()
    with ThreadPoolExecutor(1) as other:
        list(other.map(fill, range(20)))
        there = other.submit(lambda: laplace._FACTORED.equations.cache_info()).result()
    assert laplace._FACTORED.equations.cache_info() == before
    assert there.misses > there.currsize == there.maxsize


def mixed_holes(shape: tuple[int, int], share: float, seed: int) -> np.ndarray:
    """A mask of holes of every size."""
    rng = np.random.default_rng(seed)
    field = sum(s * ndimage.gaussian_filter(rng.normal(size=shape), s) for s in (1, 3, 10))
    return field > np.quantile(field, 1 - share)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("shape", "share"), [((150, 131), 0.3), ((97, 160), 0.6), ((128, 128), 0.1)])
def test_large_holes_are_filled_like_a_factorisation_does(shape, share, seed):
    masked = mixed_holes(shape, share, seed)
    phase = np.where(masked, 0, ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 60, shape), 8))
    found = laplace_fill(phase, masked, grow=0)
    exact = laplace._Laplace(region := closed(masked))
    wanted = np.where(masked, 0, phase)
    wanted[region] = exact.solve(np.where(region, 0, phase))
    assert region.sum() > laplace._FACTOR_UP_TO
    assert wanted[masked].std() > 0.5
    np.testing.assert_array_equal(found[~masked], phase[~masked])
    np.testing.assert_allclose(found[masked], wanted[masked], atol=3 * laplace.TOLERANCE_RAD, rtol=0)


def closed(masked: np.ndarray) -> np.ndarray:
    disk = np.hypot(*np.mgrid[-5:6, -5:6]) <= 5
    grown = ndimage.binary_dilation(masked, disk)
    return ndimage.binary_erosion(grown, disk, border_value=1) | masked


@pytest.mark.parametrize("radius", range(8))
def test_a_mask_is_dilated_by_a_disk(radius):
    masked = np.random.default_rng(radius).random((40, 53)) < 0.02
    disk = np.hypot(*np.mgrid[-radius : radius + 1, -radius : radius + 1]) <= radius
    np.testing.assert_array_equal(laplace.dilated(masked, radius), ndimage.binary_dilation(masked, disk))
