"""Interferograms from physics: the closed form of the point source, the sign, the air's spectrum, closure."""

from __future__ import annotations

import math
from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly import simulate
from insar_anomaly.simulate import LOOK, PointSource, Scene, Unrest, line_of_sight, mogi
from insar_anomaly.units import RAD_PER_M, SENTINEL1_WAVELENGTH_M

SLOW = settings(deadline=None, max_examples=60)
PIXEL = (0.1, 0.1)

depths = st.floats(0.5, 20)
volumes = st.floats(1e4, 1e8)
offsets = st.floats(-30, 30)


def at(
    east: float, north: float, *, depth_km: float, volume_m3: float = 1e6, poisson: float = 0.25
) -> tuple[float, float, float]:
    """Displacement of one point, m."""
    found = mogi(np.array(east), np.array(north), depth_km=depth_km, volume_m3=volume_m3, poisson=poisson)
    return float(found[0]), float(found[1]), float(found[2])


# ------------------------------------------------------------------------------------------------------ Mogi source


@given(depths, volumes, st.floats(0.1, 0.45))
def test_uplift_right_above_the_source_is_one_minus_poisson_times_volume_over_pi_depth_squared(depth, volume, poisson):
    east, north, up = at(0, 0, depth_km=depth, volume_m3=volume, poisson=poisson)
    assert (east, north) == (0, 0)
    assert up == pytest.approx((1 - poisson) * volume / (math.pi * (depth * 1000) ** 2), rel=1e-12)


def test_a_million_cubic_metres_at_three_kilometres_lift_the_ground_by_2_65_cm():
    assert at(0, 0, depth_km=3)[2] == pytest.approx(0.026526, abs=1e-6)  # 0.75e6 / (pi 9e6)


@given(depths, offsets, offsets)
def test_radial_over_vertical_motion_is_radius_over_depth_and_points_outwards(depth, x, y):
    east, north, up = at(x, y, depth_km=depth)
    assert east == pytest.approx(up * x / depth, rel=1e-9, abs=1e-15)
    assert north == pytest.approx(up * y / depth, rel=1e-9, abs=1e-15)


def test_vertical_motion_halves_where_mogi_says_and_horizontal_motion_peaks_at_depth_over_root_two():
    d = 4.0
    half = d * math.sqrt(2 ** (2 / 3) - 1)
    assert at(half, 0, depth_km=d)[2] == pytest.approx(at(0, 0, depth_km=d)[2] / 2, rel=1e-12)
    r = np.linspace(0, 20, 200001)
    radial = mogi(r, np.zeros_like(r), depth_km=d, volume_m3=1e6)[0]
    assert r[radial.argmax()] == pytest.approx(d / math.sqrt(2), abs=2e-4)


def test_motion_far_away_decays_as_radius_to_the_minus_three_up_and_minus_two_out():
    near, far = at(300, 0, depth_km=1), at(600, 0, depth_km=1)
    assert near[2] / far[2] == pytest.approx(8, rel=1e-4)
    assert near[0] / far[0] == pytest.approx(4, rel=1e-4)


@given(depths, offsets, offsets)
def test_the_field_is_symmetric_about_the_source(depth, x, y):
    one, opposite, turned = at(x, y, depth_km=depth), at(-x, -y, depth_km=depth), at(-y, x, depth_km=depth)
    assert opposite == pytest.approx((-one[0], -one[1], one[2]))
    assert turned == pytest.approx((-one[1], one[0], one[2]))


@given(volumes, st.floats(0.1, 10))
def test_motion_is_linear_in_volume_and_deflation_is_its_mirror(volume, times):
    one = np.array(at(2, 1, depth_km=3, volume_m3=volume))
    np.testing.assert_allclose(at(2, 1, depth_km=3, volume_m3=volume * times), one * times, rtol=1e-12)
    np.testing.assert_array_equal(at(2, 1, depth_km=3, volume_m3=-volume), -one)


@pytest.mark.parametrize("depth", [0.0, -1.0])
def test_a_source_at_or_above_the_surface_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth_km = {depth}"):
        at(0, 0, depth_km=depth)


# ------------------------------------------------------------------------------------------------------ line of sight


def test_one_fringe_is_half_a_wavelength_and_motion_towards_the_satellite_is_negative_phase():
    fringe_rad = RAD_PER_M * SENTINEL1_WAVELENGTH_M / 2
    assert fringe_rad == pytest.approx(-2 * math.pi)


def test_inflation_is_motion_towards_the_satellite_and_so_negative_phase():
    up = line_of_sight((np.array(0.0), np.array(0.0), np.array(0.1)))
    assert up == pytest.approx(0.078)
    assert RAD_PER_M * up < 0
    inflating = PointSource(row=20, col=20, depth_km=2, peak_cm=5).phase((41, 41), pixel_km=PIXEL)
    assert inflating[20, 20] < 0
    assert inflating.min() == pytest.approx(5 / 100 * RAD_PER_M, rel=1e-9)
    deflating = PointSource(row=20, col=20, depth_km=2, peak_cm=-5).phase((41, 41), pixel_km=PIXEL)
    np.testing.assert_array_equal(deflating, -inflating)


def test_the_look_vector_is_a_unit_vector_from_the_ground_to_the_satellite():
    assert math.hypot(*LOOK) == pytest.approx(1, abs=5e-3)
    assert LOOK[2] > 0


def test_seen_from_the_west_the_western_flank_of_an_inflating_source_comes_closer_than_the_eastern():
    phase = PointSource(row=30, col=30, depth_km=2, peak_cm=5).phase((61, 61), pixel_km=PIXEL)  # LOOK points west and up
    assert phase[30, 20] < phase[30, 40]
    east_looking = PointSource(row=30, col=30, depth_km=2, peak_cm=5).phase(
        (61, 61), pixel_km=PIXEL, look=(0.62, -0.10, 0.78)
    )
    np.testing.assert_allclose(east_looking, phase[:, ::-1], atol=1e-12)


def test_row_zero_is_north():
    look = (0.0, 0.6, 0.8)  # a satellite in the north sees the northern flank come closer
    phase = PointSource(row=30, col=30, depth_km=2, peak_cm=5).phase((61, 61), pixel_km=PIXEL, look=look)
    assert phase[20, 30] < phase[40, 30]


@SLOW
@given(
    st.tuples(st.integers(8, 60), st.integers(8, 60)),
    st.floats(-0.5, 1.5),
    st.floats(-0.5, 1.5),
    st.floats(0.5, 8),
    st.floats(0.1, 30),
    st.booleans(),
)
def test_the_largest_phase_of_a_source_is_its_peak_wherever_it_lies(shape, row, col, depth, peak, inflates):
    source = PointSource(row * shape[0], col * shape[1], depth, peak if inflates else -peak)
    phase = source.phase(shape, pixel_km=(0.1, 0.08))
    assert phase.shape == shape
    assert np.abs(phase).max() == pytest.approx(peak / 100 * 4 * math.pi / SENTINEL1_WAVELENGTH_M, rel=1e-9)


def test_pixels_of_other_sizes_show_the_same_ground():
    square = PointSource(30, 30, 2, 5).phase((61, 61), pixel_km=(0.2, 0.2))
    wide = PointSource(30, 15, 2, 5).phase((61, 31), pixel_km=(0.2, 0.4))
    np.testing.assert_allclose(wide, square[:, ::2], atol=1e-12)


@SLOW
@given(st.integers(0, 2**32), st.floats(0.5, 10))
def test_drawn_sources_lie_in_the_middle_half_at_the_asked_depths(seed, peak):
    source = simulate.draw_source((80, 120), np.random.default_rng(seed), peak_cm=peak)
    assert 20 <= source.row <= 60
    assert 30 <= source.col <= 90
    assert 1 <= source.depth_km <= 4
    assert abs(source.peak_cm) == peak


def test_drawn_sources_inflate_and_deflate_equally_often_with_log_uniform_depths():
    rng = np.random.default_rng(0)
    drawn = [simulate.draw_source((50, 50), rng, peak_cm=1) for _ in range(2000)]
    assert np.mean([s.peak_cm > 0 for s in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.median([s.depth_km for s in drawn]) == pytest.approx(2.0, abs=0.1)  # sqrt(1 * 4)


# ------------------------------------------------------------------------------------------------------ air and ground


@pytest.mark.parametrize("shape", [(40, 40), (30, 50), (33, 41)])
def test_turbulence_has_the_asked_variance_at_every_pixel(shape):
    rng = np.random.default_rng(1)
    drawn = np.stack([simulate.turbulence(shape, rng, std_rad=1.7) for _ in range(600)])
    assert (drawn**2).mean() == pytest.approx(1.7**2, rel=0.08)
    for corner in (drawn[:, 0, 0], drawn[:, -1, -1], drawn[:, 0, -1]):
        assert corner.std() == pytest.approx(1.7, rel=0.12)
        assert abs(corner.mean()) < 4 * 1.7 / math.sqrt(600)


def spectral_slope(fields: np.ndarray, pixel_km: float) -> float:
    """Slope of the radially averaged power spectrum between 1/5 and 1/0.6 per km, in log-log."""
    n = fields.shape[-1]
    window = np.hanning(n)[:, None] * np.hanning(n)
    power = (np.abs(np.fft.fft2((fields - fields.mean((1, 2), keepdims=True)) * window)) ** 2).mean(0)
    k = np.hypot(np.fft.fftfreq(n, pixel_km)[:, None], np.fft.fftfreq(n, pixel_km))
    edges = np.geomspace(1 / 5, 1 / 0.6, 12)
    middle, mean = [], []
    for low, high in pairwise(edges):
        ring = (k >= low) & (k < high)
        middle.append(np.log(k[ring]).mean())
        mean.append(np.log(power[ring].mean()))
    return float(np.polyfit(middle, mean, 1)[0])


@pytest.mark.parametrize("slope", [2.0, 8 / 3, 3.5])
def test_the_power_spectrum_of_turbulence_falls_with_the_asked_slope(slope):
    rng = np.random.default_rng(2)
    fields = np.stack([simulate.turbulence((192, 192), rng, std_rad=1.0, slope=slope) for _ in range(12)])
    assert spectral_slope(fields, 0.1) == pytest.approx(-slope, abs=0.12)


def test_turbulence_is_isotropic_and_its_opposite_edges_are_independent():
    rng = np.random.default_rng(3)
    drawn = np.stack([simulate.turbulence((64, 64), rng, std_rad=1.0, outer_km=3.0) for _ in range(400)])
    down = ((drawn[:, 8:] - drawn[:, :-8]) ** 2).mean()
    across = ((drawn[:, :, 8:] - drawn[:, :, :-8]) ** 2).mean()
    assert down / across == pytest.approx(1, abs=0.1)
    edges = np.corrcoef(drawn[:, 0, 32], drawn[:, -1, 32])[0, 1]
    assert abs(edges) < 0.25
    neighbours = np.corrcoef(drawn[:, 0, 32], drawn[:, 1, 32])[0, 1]
    assert neighbours > 0.7


@SLOW
@given(st.integers(0, 2**32))
def test_one_seed_gives_one_screen_and_another_seed_another(seed):
    one, again = (simulate.turbulence((16, 20), np.random.default_rng(seed), std_rad=1) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, simulate.turbulence((16, 20), np.random.default_rng(seed + 1), std_rad=1))


def test_stratified_delay_follows_height_and_is_zero_on_average():
    height = simulate.relief((50, 60), np.random.default_rng(0))
    delay = simulate.stratified(height, rad_per_km=3.0)
    assert delay.mean() == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(delay - delay[0, 0], 3.0 * (height - height[0, 0]) / 1000, atol=1e-12)


def test_relief_is_a_mountain_in_the_middle_that_never_goes_below_one_metre():
    for seed in range(5):
        height = simulate.relief((100, 100), np.random.default_rng(seed), summit_m=3000)
        assert height.min() >= 1
        assert height[40:60, 40:60].mean() > height.mean() + 500


@SLOW
@given(st.floats(0, 0.9), st.integers(0, 1000))
def test_lost_coherence_covers_the_asked_part_of_the_scene(fraction, seed):
    lost = simulate.decorrelated((30, 40), np.random.default_rng(seed), fraction=fraction)
    assert lost.mean() == pytest.approx(fraction, abs=1.5 / lost.size)


# ------------------------------------------------------------------------------------------------------ scenes


def inflation(peak_cm: float = 4.0) -> Unrest:
    return Unrest(PointSource(20, 22, 2.0, peak_cm), date(2020, 2, 1), date(2020, 4, 1))


def volcano(motion: tuple[Unrest, ...] = (), seed: int = 0) -> Scene:
    dates = simulate.acquisitions(date(2020, 1, 1), date(2020, 6, 1))
    return simulate.scene((40, 44), np.random.default_rng(seed), dates=dates, motion=motion)


@pytest.mark.parametrize("motion", [(), (inflation(),), (inflation(), inflation(-9.0))])
def test_interferograms_close(motion):
    one = volcano(motion)
    n = len(one.dates)
    ground = ~one.lost
    for i, j, k in [(0, 1, 2), (0, 4, 9), (2, 5, n - 1), (3, 2, 1)]:
        loop = one.phase(i, j) + one.phase(j, k) - one.phase(i, k)
        assert np.abs(loop[ground]).max() < 1e-4
    np.testing.assert_array_equal(one.phase(3, 1), -one.phase(1, 3))
    assert not one.phase(2, 2)[ground].any()


def test_the_same_part_of_the_ground_is_lost_in_every_pair_and_only_there_is_the_phase_unknown():
    one = volcano()
    assert one.lost.mean() == pytest.approx(0.06, abs=0.001)
    for i, j in one.pairs():
        phase = one.phase(i, j)
        assert phase.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(phase), one.lost)


def test_a_scene_with_motion_is_the_same_scene_without_plus_the_share_that_happened_between_the_dates():
    moving, still = volcano((inflation(),)), volcano()
    unrest = inflation()
    seen = 0
    for i, j in moving.pairs((1, 4, 8)):
        share = unrest.share(moving.dates[j]) - unrest.share(moving.dates[i])
        added = moving.phase(i, j) - still.phase(i, j)
        wanted = share * unrest.source.phase((40, 44), pixel_km=PIXEL)
        np.testing.assert_allclose(added[~moving.lost], wanted[~moving.lost], atol=1e-5)
        seen += share > 0
    assert seen > 5


def test_motion_grows_linearly_between_its_dates_and_not_outside():
    unrest = inflation()
    assert [unrest.share(d) for d in (date(2019, 1, 1), unrest.start, unrest.end, date(2022, 1, 1))] == [0, 0, 1, 1]
    assert unrest.share(date(2020, 3, 2)) == pytest.approx(0.5)
    sudden = Unrest(unrest.source, unrest.start, unrest.start)
    assert [sudden.share(date(2020, 2, d)) for d in (1, 2)] == [0, 1]


def test_pairs_that_see_at_least_a_millimetre_are_called_deforming():
    one = volcano((inflation(4.0),))
    days = {d: i for i, d in enumerate(one.dates)}
    before, start, middle = days[date(2020, 1, 13)], days[date(2020, 1, 25)], days[date(2020, 3, 1)]
    end, after = days[date(2020, 4, 6)], days[date(2020, 5, 12)]
    assert not one.deforming(before, start)
    assert one.deforming(before, middle)
    assert one.deforming(middle, end)
    assert not one.deforming(end, after)
    assert not volcano((inflation(0.09),)).deforming(before, after)
    assert volcano((inflation(-0.11),)).deforming(before, after)
    assert not volcano().deforming(before, after)


def test_each_acquisition_is_joined_to_the_next_ones():
    one = volcano()
    n = len(one.dates)
    assert len(one.pairs()) == 3 * n - 6
    assert one.pairs((1,)) == [(i, i + 1) for i in range(n - 1)]
    assert all(i < j < n for i, j in one.pairs((1, 2, 3)))


def test_scenes_are_reproducible_from_their_seed():
    np.testing.assert_array_equal(volcano(seed=3).screens, volcano(seed=3).screens)
    assert not np.allclose(volcano(seed=3).screens, volcano(seed=4).screens)


def test_acquisitions_come_every_twelve_days_and_end_at_the_last_date():
    days = simulate.acquisitions(date(2020, 1, 1), date(2020, 1, 25))
    assert days == [date(2020, 1, 1), date(2020, 1, 13), date(2020, 1, 25)]
    assert len(simulate.acquisitions(date(2020, 1, 1), date(2020, 1, 24), every_days=6)) == 4
