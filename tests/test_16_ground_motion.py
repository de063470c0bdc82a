"""Rectangles, cracks and look directions: published values, limits, symmetry; the air's spectrum and the terrains."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.simulate import (
    LOOK,
    TERRAINS,
    Rectangle,
    Spectrum,
    line_of_sight,
    look_vector,
    mogi,
    okada,
    penny_crack,
    point_crack,
    terrain,
)
from insar_anomaly.units import NOMINAL_LOOK

SLOW = settings(deadline=None, max_examples=40)
EAST, NORTH = np.meshgrid(np.linspace(-9, 9, 19), np.linspace(-8, 8, 17))

# Okada 1985, table 2, finite source of length 3 and width 2: case 2 (x=2, y=3, d=4, dip 70) and case 3 (x=y=0, d=4, dip 90)
TABLE_2 = [
    ((2, 3), 70, (1, 0, 0), (-8.689e-3, -4.298e-3, -2.747e-3)),
    ((2, 3), 70, (0, 1, 0), (-4.682e-3, -3.527e-2, -3.564e-2)),
    ((2, 3), 70, (0, 0, 1), (-2.660e-4, 1.056e-2, 3.214e-3)),
    ((0, 0), 90, (1, 0, 0), (0, 5.253e-3, 0)),
    ((0, 0), 90, (0, 1, 0), (0, 0, 0)),
    ((0, 0), 90, (0, 0, 1), (1.223e-2, 0, -1.606e-2)),
    ((0, 0), -90, (1, 0, 0), (0, -1.303e-3, 0)),
    ((0, 0), -90, (0, 1, 0), (0, 0, 0)),
    ((0, 0), -90, (0, 0, 1), (3.507e-3, 0, -7.740e-3)),
]


@pytest.mark.parametrize(("at", "dip", "slip", "published"), TABLE_2)
def test_the_rectangle_moves_the_ground_as_okada_printed_it(at, dip, slip, published):
    found = okada(np.array(at[0]), np.array(at[1]), depth=4, dip_deg=dip, size=(3, 2), slip=slip)
    np.testing.assert_allclose(np.array(found), published, rtol=5e-4, atol=5e-7)


@SLOW
@given(st.floats(0, 360), st.floats(0, 90), st.tuples(*[st.floats(-2, 2)] * 3))
def test_motion_is_linear_in_slip_and_finite_everywhere(strike, dip, slip):
    def moved(s):
        return np.array(Rectangle(3, 4, 2, strike, dip, s).displacement(EAST, NORTH))

    assert np.isfinite(moved(slip)).all()
    parts = [moved(tuple(slip[j] if i == j else 0.0 for j in range(3))) for i in range(3)]
    # near the vertical, terms of opposite sign nearly cancel
    np.testing.assert_allclose(sum(parts), moved(slip), atol=1e-9 * max(np.abs(moved(slip)).max(), 1e-3))


def test_vertical_is_the_limit_of_steep():
    steep, upright = (
        np.array(Rectangle(3, 4, 2, 30, dip, (0.3, 0.5, 1.0)).displacement(EAST, NORTH)) for dip in (89.999, 90)
    )
    np.testing.assert_allclose(steep, upright, atol=2e-4 * np.abs(upright).max())


def test_a_dyke_opens_to_both_sides_and_is_its_own_mirror_image():
    east, north, up = Rectangle(2, 4, 2, 0, 90, (0, 0, 1)).displacement(EAST, NORTH)
    np.testing.assert_allclose(east, -east[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(up, up[:, ::-1], atol=1e-12)
    np.testing.assert_allclose(north, -north[::-1], atol=1e-12)
    assert east[8, -1] > 0 > east[8, 0]


def test_turning_the_strike_turns_the_field():
    along_north = Rectangle(3, 4, 2, 0, 40, (0.5, 1, 0.2)).displacement(EAST, NORTH)
    along_east = Rectangle(3, 4, 2, 90, 40, (0.5, 1, 0.2)).displacement(NORTH, -EAST)  # the same places, turned clockwise
    np.testing.assert_allclose(along_east[0], along_north[1], atol=1e-12)
    np.testing.assert_allclose(along_east[1], -along_north[0], atol=1e-12)
    np.testing.assert_allclose(along_east[2], along_north[2], atol=1e-12)


def test_thrust_lifts_the_side_that_rides_up():
    up = Rectangle(3, 8, 3, 0, 45, (0, 1, 0)).displacement(np.array([3.0, -5.0]), np.zeros(2))[2]
    assert up[0] > 0  # striking north, dipping east: the eastern block is the hanging wall
    assert up[0] > abs(up[1])


@SLOW
@given(st.floats(1, 6), st.floats(0, 360))
def test_a_small_sill_and_a_small_penny_crack_are_a_point_crack(depth, strike):
    volume = 1e4
    point = np.array(point_crack(EAST, NORTH, depth_km=depth, volume_m3=volume))
    sill = np.array(Rectangle(depth, 0.1, 0.1, strike, 0, (0, 0, 1)).displacement(EAST, NORTH))
    penny = np.array(penny_crack(EAST, NORTH, depth_km=depth, radius_km=0.05, volume_m3=volume))
    scale = np.abs(point).max()
    np.testing.assert_allclose(sill, point, atol=0.01 * scale)
    np.testing.assert_allclose(penny, point, atol=0.01 * scale)


def test_far_away_a_penny_crack_of_any_radius_is_a_point_crack():
    far = np.array([60.0, 80.0])
    point = penny_crack(far, far, depth_km=4, radius_km=0.01, volume_m3=1e6)
    wide = penny_crack(far, far, depth_km=4, radius_km=3, volume_m3=1e6)
    np.testing.assert_allclose(wide, point, rtol=0.02)


def test_the_ground_over_a_horizontal_crack_rises_by_as_much_volume_as_the_crack_opens():
    x = np.linspace(-150, 150, 1501)
    east, north = np.meshgrid(x, x)
    up = penny_crack(east, north, depth_km=2, radius_km=1.5, volume_m3=1e6)[2]
    assert up.sum() * 200**2 == pytest.approx(1e6, rel=0.01)


def test_a_crack_spreads_less_than_a_point_of_pressure():
    crack, point = (source(np.array([0.0, 3.0]), np.zeros(2), depth_km=3, volume_m3=1e6) for source in (point_crack, mogi))
    assert crack[0][1] / crack[2][0] < point[0][1] / point[2][0]


def test_impossible_sources_are_refused():
    with pytest.raises(ValueError, match="above the ground"):
        Rectangle(0.5, 2, 2, 0, 90, (0, 0, 1)).displacement(EAST, NORTH)
    for depth, radius in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="positive"):
            penny_crack(EAST, NORTH, depth_km=depth, radius_km=radius, volume_m3=1.0)


def test_both_look_directions_are_unit_vectors_that_mirror_east_and_west():
    ascending, descending = look_vector(38.7, -12), look_vector(38.7, -168)
    assert ascending == pytest.approx(LOOK, abs=0.04)
    assert np.linalg.norm(ascending) == pytest.approx(1)
    assert descending == pytest.approx((-ascending[0], ascending[1], ascending[2]))
    eastward = (np.array(1.0), np.array(0.0), np.array(0.0))
    assert line_of_sight(eastward, ascending) < 0 < line_of_sight(eastward, descending)


def test_the_two_regimes_of_the_air_show_in_its_spectrum():
    law = Spectrum((2.5, 4.0), break_km=2.0, outer_km=1000.0)
    fields = law.fields((256, 256), np.random.default_rng(1), number=24, pixel_km=0.1)
    assert fields.shape == (24, 256, 256)
    np.testing.assert_allclose(fields.std((1, 2)), 1)
    window = np.hanning(256)[:, None] * np.hanning(256)[None]
    power = (np.abs(np.fft.fft2(fields * window)) ** 2).mean(0)
    k = np.hypot(np.fft.fftfreq(256, 0.1)[:, None], np.fft.fftfreq(256, 0.1)[None])

    def slope(low, high):
        within = (k > low) & (k < high)
        return -np.polyfit(np.log(k[within]), np.log(power[within]), 1)[0]

    assert slope(0.1, 0.25) == pytest.approx(2.5, abs=0.6)
    assert slope(1.5, 3.5) == pytest.approx(4.0, abs=0.3)


def test_stretched_air_varies_less_along_than_across():
    field = Spectrum(stretch=2.5).fields((128, 128), np.random.default_rng(2), number=8, pixel_km=0.1)
    assert np.diff(field, axis=2).std() < 0.8 * np.diff(field, axis=1).std()


@pytest.mark.parametrize("kind", TERRAINS)
def test_terrains_are_seeded_finite_and_above_the_sea(kind):
    one, same, other = (terrain((60, 70), np.random.default_rng(s), kind=kind, pixel_km=0.1) for s in (3, 3, 4))
    assert one.shape == (60, 70)
    assert np.isfinite(one).all()
    assert one.min() >= 0
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_the_nominal_look_vectors_are_those_of_a_right_looking_satellite_at_mid_swath():
    for letter, heading in (("A", -10), ("D", -170)):
        assert NOMINAL_LOOK[letter] == pytest.approx(look_vector(38.7, heading), abs=5e-3)
    assert pytest.approx(NOMINAL_LOOK["A"], abs=0.0101) == LOOK
