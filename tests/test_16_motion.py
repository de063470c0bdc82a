"""What moved: size, place and time of simulated sources, against what was put in."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest

from insar_anomaly import simulate
from insar_anomaly.evidence import doubts, motion, timing
from insar_anomaly.evidence.motion import Ground, Map
from insar_anomaly.evidence.network import Network
from insar_anomaly.evidence.timing import Series
from insar_anomaly.simulate import PointSource
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tiles.trends import trend
from insar_anomaly.units import KM_PER_DEGREE, SENTINEL1_WAVELENGTH_M

SIDE, STEP = 124, 0.001
GRID = Grid(40.0, SIDE * STEP / 2, STEP, STEP, (SIDE, SIDE))
KM = STEP * KM_PER_DEGREE
VENT = (0.0, 40.0 + SIDE * STEP / 2)
EVERYWHERE = np.ones((SIDE, SIDE), bool)
DAYS = [date(2020, 1, 1) + timedelta(days=12 * k) for k in range(12)]


def relief(seed: int = 0) -> np.ndarray:
    """A cone on rough ground, m."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    rough = np.random.default_rng(seed).normal(scale=40, size=(SIDE, SIDE))
    return 1000 - 12 * np.hypot(y, x) + rough


def ground(removed: tuple[str, ...] = ("plane", "height")) -> Ground:
    return Ground(GRID, relief(), VENT, SENTINEL1_WAVELENGTH_M, removed)


def cleaned(phase: np.ndarray) -> Map:
    """As tiles have it: plane and height fitted to all ground, the source included."""
    return Map(phase - trend(phase, EVERYWHERE, relief(), ("plane", "height")), EVERYWHERE)


def source(cm: float, row: float = 50, col: float = 70, depth: float = 2.0) -> np.ndarray:
    return PointSource(row, col, depth_km=depth, peak_cm=cm).phase((SIDE, SIDE), pixel_km=(KM, KM))


@pytest.mark.parametrize("cm", [8.0, -8.0])
@pytest.mark.parametrize("depth", [1.0, 2.0, 4.0])
@pytest.mark.parametrize("place", [(62, 62), (40, 85)])
def test_a_peak_is_what_was_put_in_though_a_trend_was_fitted_to_it_too(cm, depth, place):
    put_in = source(cm, *place, depth)
    shown = cleaned(put_in)
    peak = motion.peak_of(shown, ground(), EVERYWHERE)
    assert peak.cm == pytest.approx(cm, abs=2 * peak.open_cm)
    assert abs(peak.cm - cm) < abs(np.abs(shown.phase).max() / np.abs(put_in).max() * abs(cm) - abs(cm)) + 0.2
    row, col = np.unravel_index(np.abs(put_in).argmax(), put_in.shape)
    assert np.hypot(peak.row - row, peak.column - col) <= 2
    if depth > 2:  # the source is as wide as the scene: its area is not what the scene can tell
        return
    half = (np.abs(put_in) >= np.abs(put_in).max() / 2).sum() * KM * KM
    assert peak.area_km2 == pytest.approx(half, rel=0.3)


def test_a_peak_is_looked_for_on_the_ground_that_the_flag_points_at_and_where_it_is_measured():
    shown = cleaned(source(8, 40, 40) + source(5, 90, 90))
    right = np.zeros_like(EVERYWHERE)
    right[70:, 70:] = True
    assert motion.peak_of(shown, ground(), EVERYWHERE).row < 60 < motion.peak_of(shown, ground(), right).row
    assert motion.peak_of(Map(shown.phase, ~right), ground(), right) is None


def test_quiet_maps_give_the_scatter_of_the_same_number():
    rng = np.random.default_rng(4)
    peak = motion.peak_of(cleaned(source(8)), ground(), EVERYWHERE)
    depth_of_air = rng.normal(scale=0.5, size=24)
    quiet = [cleaned(source(float(cm))) for cm in depth_of_air]
    scatter = motion.scatter_of(quiet, ground(), EVERYWHERE, peak)
    assert scatter.spans == 24
    assert scatter.sigma_cm == pytest.approx(np.sqrt(np.mean(depth_of_air**2)), rel=0.1)
    assert scatter.peak95_cm == pytest.approx(np.quantile(np.abs(depth_of_air), 0.95), rel=0.15)
    assert motion.scatter_of(quiet[:4], ground(), EVERYWHERE, peak) is None


def test_distance_and_bearing_are_from_the_vent():
    place = ground().from_vent(0.02, VENT[1])
    assert place == (pytest.approx(0.02 * KM_PER_DEGREE), pytest.approx(0))
    assert ground().from_vent(0.0, VENT[1] - 0.02)[1] == pytest.approx(270)
    assert ground().from_vent(0.0, VENT[1] + 359.99)[1] == pytest.approx(270)  # over the antimeridian
    high = Ground(GRID, relief(), (60.0, 10.0), SENTINEL1_WAVELENGTH_M, ())
    assert high.from_vent(60.0, 10.2) == (pytest.approx(0.1 * KM_PER_DEGREE, rel=1e-3), pytest.approx(90))


def pairs_of(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends and values (pair,) of pairs up to three acquisitions apart."""
    ends = np.array([(k, k + n) for k in range(len(truth)) for n in (1, 2, 3) if k + n < len(truth)])
    return ends, truth[ends[:, 1]] - truth[ends[:, 0]]


def test_a_series_comes_back_from_its_pairs_and_stops_where_nothing_joins():
    truth = np.random.default_rng(1).normal(size=len(DAYS))
    ends, values = pairs_of(truth)
    series = timing.series_of(DAYS, ends, values, through=4)
    np.testing.assert_allclose(series.cm, truth - truth[0], atol=1e-12)
    values[(ends <= 8).any(1) & (ends > 8).any(1)] = np.nan
    assert timing.series_of(DAYS, ends, values, through=4).days == tuple(DAYS[:9])


@pytest.mark.parametrize(("opens", "closes"), [(5, 6), (5, 7), (4, 7)])
@pytest.mark.parametrize("sign", [1, -1])
def test_an_event_is_named_by_the_span_that_holds_it(opens, closes, sign):
    truth = np.interp(np.arange(len(DAYS)), [opens, closes], [0, 10.0 * sign])
    noise = np.random.default_rng(2).normal(scale=0.15, size=len(DAYS))
    series = Series(tuple(DAYS), tuple(truth + noise))
    # the flag holds the intervals beside it, too, whatever their scores are
    event = timing.holding(series, DAYS[opens - 2], DAYS[closes + 2], sigma_cm=0.3)
    assert event == (DAYS[opens], DAYS[closes])


def test_an_event_lies_within_the_time_of_its_flag():
    series = Series(tuple(DAYS), tuple(np.r_[np.zeros(3), np.full(5, 2.0), np.full(4, 20.0)]))
    assert timing.holding(series, DAYS[1], DAYS[4], sigma_cm=0.1) == (DAYS[2], DAYS[3])
    inside = DAYS[3] + timedelta(1), DAYS[3] + timedelta(2)
    assert timing.holding(series, *inside, sigma_cm=0.1) == inside


def test_motion_stays_and_the_air_of_a_day_does_not():
    stays = Series(tuple(DAYS[:8]), (0, 0, 0, 0, 5, 5, 5, 5))
    air = Series(tuple(DAYS[:8]), (0, 0, 0, 0, 5, 0, 0, 0))
    assert timing.kept(stays, DAYS[3], DAYS[4]) == pytest.approx(1)
    assert timing.kept(air, DAYS[3], DAYS[4]) == pytest.approx(0)
    assert timing.kept(Series(tuple(DAYS[:5]), (0, 0, 0, 0, 5)), DAYS[3], DAYS[4]) is None


def test_layers_of_air_are_told_by_what_they_would_make_at_the_peak():
    height = relief()
    found = doubts.layers(0.002 * height, EVERYWHERE, height, (62, 62))
    assert found.correlation == pytest.approx(1)
    assert found.cm == pytest.approx(0.002 * (height[62, 62] - height.mean()))
    noise = np.random.default_rng(7).normal(size=height.shape)
    assert abs(doubts.layers(noise, EVERYWHERE, height, (62, 62)).correlation) < 0.1
    assert doubts.layers(noise, EVERYWHERE, np.full_like(height, 300.0), (62, 62)) is None
    assert doubts.layers(noise, EVERYWHERE, np.full_like(height, np.nan), (62, 62)) is None


@pytest.mark.parametrize("heading", [-168.0, -12.0, -90.0])
def test_bands_across_the_flight_are_told_from_weather_and_from_a_source(heading):
    rng, shape, km = np.random.default_rng(0), (120, 140), (0.5, 0.4)
    turned = np.radians(heading)
    look = (-0.6 * np.cos(turned), 0.6 * np.sin(turned))  # to the satellite, which looks to the right
    everywhere = np.ones(shape, bool)
    stripes = simulate.ionosphere(shape, rng, std_rad=1.0, pixel_km=km, heading_deg=heading, wavelengths_km=(20.0, 40.0))
    weather = simulate.Spectrum(outer_km=15).fields(shape, rng, number=1, pixel_km=0.45)[0]
    for of in (look, (-look[0], -look[1])):  # whichever way it flies along that line
        assert doubts.bands(stripes, everywhere, of, km).part > 0.6
        assert doubts.bands(stripes + 0.3 * weather, everywhere, of, km).part > 0.5
        assert doubts.bands(weather, everywhere, of, km).part < 0.4
    found = doubts.bands(stripes, everywhere, look, km)
    assert found.cm == pytest.approx(np.sqrt(found.part) * stripes.std(), rel=1e-6)
    assert doubts.bands(stripes, np.zeros(shape, bool), look, km) is None
    assert doubts.bands(stripes, everywhere, (0.0, 0.0), km) is None


def test_an_unwrapping_error_is_bordered_by_jumps():
    area = np.zeros_like(EVERYWHERE)
    area[50:70, 50:70] = True
    smooth = source(3).astype(np.float32)
    wrong = smooth + 2 * np.pi * area
    assert doubts.jumps([smooth], doubts.with_rim(area)) == 0
    assert doubts.jumps([wrong], doubts.with_rim(area)) > 0.05
    assert doubts.jumps([np.full_like(smooth, np.nan)], area) is None
    assert doubts.low_coherence(np.where(area, 0.1, 0.9), area) == 1
    assert doubts.low_coherence(np.full(area.shape, 0.9), area) == 0


def test_the_season_goes_over_the_turn_of_the_year():
    quiet = [(date(2018, 12, 20), 3.0), (date(2019, 1, 20), 4.0), (date(2019, 7, 1), 9.0)]
    assert doubts.season(quiet, date(2021, 1, 5)) == doubts.Season(2, 4.0)
    assert doubts.season(quiet, date(2021, 4, 10)) == doubts.Season(0, None)


def test_a_window_spans_several_intervals_and_knows_where_nothing_joins():
    dates = np.array([(DAYS[k], DAYS[k + n]) for k in range(11) for n in (1, 2) if k + n < 12], "datetime64[D]")
    network = Network.of(dates)
    window = network.spanning(4, 6, before=3, after=2)
    assert (window.before, window.after, window.ends) == ((2, 3, 4), (6, 7), (4, 6))
    assert window.group == (2, 3, 4, 5, 6, 7)
    assert network.spanning(4, 6, before=3, after=3, within_days=13).before == (3, 4)
    torn = Network.of(dates[(dates <= np.datetime64(DAYS[5])).all(1) | (dates > np.datetime64(DAYS[5])).all(1)])
    assert torn.spanning(5, 6, before=3, after=3) is None
