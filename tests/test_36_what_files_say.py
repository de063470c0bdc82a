"""What a raster says of its numbers, on which grid it lies, and what a folder of files holds."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.warp import transform
from rasterio.windows import Window as Pixels

from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.errors import CatalogueError, NotNow, PairRejected, SourceUnavailable, Verdict
from insar_anomaly.simulate.atmosphere import turbulence
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.grid import cut, grid_of, most_common, on_grid, resampled, upright, window
from insar_anomaly.sources.numbers import HEIGHT, LOOK, PHASE, read_coherence, read_numbers
from insar_anomaly.stack import prechecks
from insar_anomaly.stack.schema import Grid

SHAPE = (24, 30)
STEP = 0.001
PLACE = Affine(STEP, 0, 40.0, 0, -STEP, 10.0)
GRID = Grid(40.0, 10.0, STEP, STEP, SHAPE)


def smooth(seed=0, shape=SHAPE):
    """A field (y, x), rad, between -6 and 6, and a hole (y, x) in it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    field = 3 * np.sin(x / 7 + rng.uniform(0, 6)) + 3 * np.cos(y / 9 + rng.uniform(0, 6))
    return field.astype(np.float32), (abs(y - 8) < 3) & (abs(x - 9) < 4)


def write(path, array, *, place=PLACE, crs="EPSG:4326", **profile):
    bands = array if array.ndim == 3 else array[None]
    size = {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=place, **size | profile) as tif:
        tif.write(bands)
    return str(path)


def numbers(path, what=PHASE, pixels=None):
    with rasterio.open(path) as tif:
        return read_numbers(tif, pixels, what, uri=path)


@contextmanager
def refused(verdict, words):
    with pytest.raises(PairRejected, match=words) as caught:
        yield
    assert caught.value.verdict == verdict


# numbers


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["int16", "int32", "float32", "float64"]),
    scale=st.sampled_from([0.001, 0.0005]),
    offset=st.sampled_from([0.0, 1.5]),
    nodata=st.sampled_from([-32768, 0, -9999, None]),
    tiled=st.booleans(),
    big=st.booleans(),
    seed=st.integers(0, 99),
)
def test_however_a_phase_is_kept_it_comes_out_the_same(tmp_path, kind, scale, offset, nodata, tiled, big, seed):
    field, hole = smooth(seed)
    whole = np.dtype(kind).kind == "i"
    raw = np.rint((field - offset) / scale) if whole else field.astype(kind)
    raw = np.where(hole, -9999 if nodata is None else nodata, raw).astype(kind)
    blocks = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {}
    file = write(tmp_path / "phase.tif", raw, nodata=nodata, BIGTIFF="YES" if big else "NO", **blocks)
    if whole:
        with rasterio.open(file, "r+") as tif:
            tif.scales, tif.offsets = (scale,), (offset,)
    found = numbers(file)
    wanted = hole | (raw == (-9999 if nodata is None else nodata))
    np.testing.assert_array_equal(np.isnan(found), wanted)
    np.testing.assert_allclose(found[~wanted], field[~wanted], atol=scale if whole else 1e-6)


def test_an_internal_mask_and_an_alpha_band_are_no_measurement(tmp_path):
    field, hole = smooth()
    file = tmp_path / "masked.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        write(file, field)
        with rasterio.open(file, "r+") as tif:
            tif.write_mask(~hole)
    np.testing.assert_array_equal(np.isnan(numbers(str(file))), hole)
    bands = np.stack([field, np.where(hole, 0, 255).astype(np.float32)])
    with_alpha = write(tmp_path / "alpha.tif", bands, ALPHA="YES")
    np.testing.assert_array_equal(np.isnan(numbers(with_alpha)), hole)


def test_a_half_float_is_a_float(tmp_path):
    field, _ = smooth()
    file = write(tmp_path / "half.tif", field, NBITS=16)
    np.testing.assert_allclose(numbers(file), field, atol=5e-3)


def test_the_band_that_is_named_phase_is_taken_and_two_bands_without_names_are_refused(tmp_path):
    field, _ = smooth()
    file = write(tmp_path / "two.tif", np.stack([field + 100, field]))
    with refused(Verdict.WRONG_NUMBERS, "2 bands .without a name, without a name., and none is named phase"):
        numbers(file)
    with rasterio.open(file, "r+") as tif:
        tif.descriptions = ("amplitude", "unwrapped phase")
    np.testing.assert_array_equal(numbers(file), field)


@pytest.mark.parametrize(
    ("array", "profile", "unit", "words"),
    [
        (smooth()[0].astype(np.int16), {}, None, "phase is kept as int16 without a scale"),
        (np.exp(1j * smooth()[0]).astype(np.complex64), {}, None, "complex, so a wrapped interferogram"),
        (np.where(smooth()[1], -12345.0, smooth()[0]).astype(np.float32), {}, None, "phase of -12345 rad, and at most 5000"),
        (smooth()[0], {}, "cm", "phase in cm, and rad is needed; convert it"),
    ],
    ids=["integers", "complex", "undeclared", "centimetres"],
)
def test_numbers_that_cannot_be_a_phase_are_refused_with_file_value_and_remedy(tmp_path, array, profile, unit, words):
    file = write(tmp_path / "wrong.tif", array, **profile)
    if unit:
        with rasterio.open(file, "r+") as tif:
            tif.units = (unit,)
    with pytest.raises(PairRejected, match=f"{file}: .*{words}") as caught:
        numbers(file)
    assert caught.value.verdict == Verdict.WRONG_NUMBERS


@pytest.mark.parametrize("tags", [{"DATA_UNITS": "MILLIMETRES"}, {"units": "cm"}])
def test_a_unit_in_a_tag_counts_as_one_in_its_own_place(tags, tmp_path):
    file = write(tmp_path / "tagged.tif", smooth()[0])
    with rasterio.open(file, "r+") as tif:
        tif.update_tags(**tags)
    with refused(Verdict.WRONG_NUMBERS, f"phase in {next(iter(tags.values())).lower()}, and rad is needed"):
        numbers(file)
    with rasterio.open(file, "r+") as tif:
        tif.update_tags(**dict.fromkeys(tags, "RADIANS"))
    np.testing.assert_array_equal(numbers(file), smooth()[0])


def test_other_words_in_a_unit_tag_are_no_unit(tmp_path):
    file = write(tmp_path / "tagged.tif", smooth()[0])
    with rasterio.open(file, "r+") as tif:
        tif.update_tags(units="see the header")
    np.testing.assert_array_equal(numbers(file), smooth()[0])


def test_a_pipe_is_named_and_nobody_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "20220101_20220113.unw.tif")
    found = Archive(str(tmp_path)).below(str(tmp_path), levels=1)
    assert found.files == ()
    assert found.unlisted == (f"{tmp_path}/20220101_20220113.unw.tif: it is neither a file nor a folder; remove it",)


def test_infinite_values_are_no_measurement(tmp_path):
    field, hole = smooth()
    file = write(tmp_path / "inf.tif", np.where(hole, np.inf, field).astype(np.float32))
    np.testing.assert_array_equal(np.isnan(numbers(file)), hole)


def test_a_height_in_integers_with_voids_and_a_look_vector_longer_than_one(tmp_path):
    height = np.full(SHAPE, 900, np.int16)
    height[3, 4] = -32768
    found = numbers(write(tmp_path / "hgt.tif", height), HEIGHT)
    assert np.isnan(found[3, 4])
    assert np.nanmin(found) == 900
    with refused(Verdict.WRONG_NUMBERS, "look vector of 1.5"):
        numbers(write(tmp_path / "e.tif", np.full(SHAPE, 1.5, np.float32)), LOOK)


@pytest.mark.parametrize(
    ("values", "kind", "full", "wanted"),
    [
        ([0, 5, 255], "uint8", None, [0, 5, 255]),
        ([0, 5, 255], "uint16", None, [0, 5, 255]),
        ([0, 0.5, 1], "float32", None, [0, 128, 255]),
        ([0, 127.5, 255], "float32", 255.0, [0, 128, 255]),
        ([0, 50, 100], "uint8", 100.0, [0, 128, 255]),
        ([np.nan, 0.5, 1], "float64", None, [0, 128, 255]),
    ],
)
def test_coherence_is_read_on_the_scale_that_its_source_states(tmp_path, values, kind, full, wanted):
    file = write(tmp_path / "cc.tif", np.tile(np.array(values, kind), (4, 1)))
    with rasterio.open(file) as tif:
        assert read_coherence(tif, None, full=full, uri=file)[0].tolist() == wanted


def test_coherence_above_the_scale_says_that_the_scale_is_another(tmp_path):
    file = write(tmp_path / "cc.tif", np.full(SHAPE, 5, np.float32))
    words = "coherence of 5, and this source's scale is 0 to 1; set coherence_full"
    with rasterio.open(file) as tif, pytest.raises(PairRejected, match=words) as caught:
        read_coherence(tif, None, full=None, uri=file)
    assert caught.value.verdict == Verdict.WRONG_NUMBERS


# grids


def test_rows_from_the_south_and_pixels_that_are_points_give_the_same_window(tmp_path):
    field, _ = smooth()
    north = write(tmp_path / "north.tif", field)
    south = write(tmp_path / "south.tif", field[::-1], place=Affine(STEP, 0, 40.0, 0, STEP, 10.0 - SHAPE[0] * STEP))
    point = tmp_path / "point.tif"
    write(point, field)
    with rasterio.open(point, "r+") as tif:
        tif.update_tags(AREA_OR_POINT="Point")
    wanted = Grid(40.0 + 4 * STEP, 10.0 - 6 * STEP, STEP, STEP, (10, 12))
    for file in (north, south, str(point)):
        with rasterio.open(file) as tif:
            here = grid_of(tif, file)
            assert here.north == pytest.approx(10.0)
            found = upright(tif, window(here, wanted, file), lambda pixels, tif=tif: tif.read(1, window=pixels))
        np.testing.assert_array_equal(found, field[6:16, 4:16])


@pytest.mark.parametrize(("west", "lon"), [(179.985, -179.999), (-180.015, 179.998), (359.985, 0.001), (179.985, 180.001)])
def test_a_box_is_found_whichever_way_longitudes_are_counted(west, lon):
    frame = Grid(west, 10.0, STEP, STEP, (40, 40))
    box = Volcano(gvp=300000, name="On the line", lat=9.98, lon=lon, frames=("001A_x",), box_km=2.2).box
    found = cut(frame, box, what="the frame")
    middle = found.west + found.dx * found.shape[1] / 2
    assert abs((middle - lon + 180) % 360 - 180) < 2 * STEP
    assert found.shape[1] >= 20


def test_the_grid_of_most_wins_and_of_equals_the_first():
    other = Grid(40.0005, 10.0, STEP, STEP, SHAPE)
    hair = Grid(40.0 + STEP / 1000, 10.0, STEP, STEP, SHAPE)
    assert most_common([other, GRID, hair]) in (GRID, hair)
    assert most_common([other, GRID]) == other


def plane(x, y):
    return (2.0 + 30 * (x - 40.015) - 50 * (y - 9.99)).astype(np.float32)


def test_a_plane_stays_a_plane_from_utm_from_a_rotated_raster_and_half_a_pixel_off(tmp_path):
    """The slope is 50 rad a degree: 1e-4 rad is a five-hundredth of a pixel."""
    lon, lat = np.meshgrid(GRID.lon, GRID.lat)
    wanted = plane(lon, lat)
    (x0, x1), (y0, y1) = transform("EPSG:4326", "EPSG:32637", [39.99, 40.045], [10.01, 9.965])
    rotated = Affine.translation(39.99, 10.01) @ Affine.rotation(-8) @ Affine.scale(STEP, -STEP)
    places = {
        "utm": ("EPSG:32637", Affine(80, 0, x0, 0, -80, y0), (round((y0 - y1) / 80), round((x1 - x0) / 80))),
        "rotated": ("EPSG:4326", rotated, (60, 70)),
        "half": ("EPSG:4326", Affine(STEP, 0, 39.9905, 0, -STEP, 10.0105), (50, 60)),
    }
    for name, (crs, place, shape) in places.items():
        rows, cols = np.mgrid[: shape[0], : shape[1]] + 0.5
        x, y = (place.a * cols + place.b * rows + place.c, place.d * cols + place.e * rows + place.f)
        if crs != "EPSG:4326":
            x, y = (np.array(a).reshape(shape) for a in transform(crs, "EPSG:4326", x.ravel(), y.ravel()))
        file = write(tmp_path / f"{name}.tif", plane(x, y), crs=crs, place=place)
        with rasterio.open(file) as tif:
            found = on_grid(
                tif, GRID, lambda pixels, tif=tif, file=file: read_numbers(tif, pixels, PHASE, uri=file), uri=file
            )
        assert np.isfinite(found).all(), name
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=name)


def test_no_data_is_not_mixed_into_what_is_resampled(tmp_path):
    field, hole = np.full(SHAPE, 2.0, np.float32), smooth()[1]
    file = write(
        tmp_path / "a.tif", np.where(hole, -9999, field).astype(np.float32), place=PLACE @ Affine.translation(0.4, 0.3)
    )
    with rasterio.open(file) as tif:
        found = resampled(tif, GRID, lambda pixels: read_numbers(tif, pixels, PHASE, uri=file))
    assert np.isnan(found[8, 9])
    np.testing.assert_allclose(found[np.isfinite(found)], 2.0, atol=1e-6)


def test_a_raster_elsewhere_gives_nothing_and_one_without_a_coordinate_system_is_refused(tmp_path):
    field, _ = smooth()
    file = write(tmp_path / "far.tif", field, place=Affine(STEP, 0, 90.0, 0, -STEP, 10.0))
    with rasterio.open(file) as tif:
        assert np.isnan(resampled(tif, GRID, lambda pixels: tif.read(1, window=pixels))).all()
    bare = write(tmp_path / "bare.tif", field, crs=None)
    with rasterio.open(bare) as tif, refused(Verdict.WRONG_CRS, "no coordinate system"):
        resampled(tif, GRID, lambda pixels: tif.read(1, window=pixels))


# the catalogue's place


def test_a_polygon_over_the_antimeridian_covers_ground_on_both_sides():
    corners = ((179.99, 9.9), (-179.99, 9.9), (-179.99, 10.0), (179.99, 10.0))
    volcano = Volcano(gvp=300000, name="On the line", lat=10, lon=180, frames=("001A_x",), box_km=4, exclude=(corners,))
    lon = np.array([179.985, 179.995, 180.005, 180.015])
    for turn in (0, 360, -360):
        assert volcano.excluded(np.array([9.95]), lon + turn).tolist() == [[False, True, True, False]]


def test_a_polygon_that_covers_no_pixel_is_told_by_its_number():
    swapped = ((10.0, 40.0), (10.01, 40.0), (10.01, 40.01))
    right = ((40.0, 10.0), (40.01, 10.0), (40.01, 10.01))
    volcano = Volcano(gvp=300000, name="There", lat=10, lon=40, frames=("001A_x",), box_km=4, exclude=(right, swapped))
    assert volcano.useless_polygons(STEP) == [2]


def test_polygons_that_leave_nothing_of_the_box_are_told_at_the_check(fresh, capsys):
    from insar_anomaly import cli

    file = fresh.folder / "volcanoes.toml"
    whole = "exclude = [[[39.0, -1.0], [42.0, -1.0], [42.0, 1.0], [39.0, 1.0]]]\n"
    fresh.only(990003)
    file.write_text(file.read_text() + whole)
    assert cli.main(["config", "--check", str(fresh.config)]) == 2
    assert "(990003): exclude covers the whole box, and nothing is left to assess; make" in capsys.readouterr().err


def test_a_box_over_a_pole_is_refused_by_name():
    with pytest.raises(ValueError, match=r"the box reaches (the pole|latitude -89\.\d+), and grids in degrees end at 86"):
        Volcano(gvp=300000, name="Far south", lat=-89, lon=0, frames=("001A_x",))


# archives


def test_a_folder_is_listed_whole_and_what_cannot_be_is_named(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.tif").write_bytes(b"1")
    place = tmp_path / "archive"
    (place / "pairs/a").mkdir(parents=True)
    (place / "pairs/a/a.tif").write_bytes(b"12")
    (place / "pairs/b").symlink_to(elsewhere)
    (place / "pairs/loop").symlink_to(place / "pairs")
    (place / "pairs/a/gone.tif").symlink_to("/nowhere/tape.tif")
    os.mkdir(os.fsencode(place / "pairs") + b"/r\xe9sum\xe9")  # noqa: PTH102  a name that no path of text has
    found = Archive(str(place)).below(str(place / "pairs"), levels=2)
    by_name = {one.name: one for one in found.files}
    assert set(by_name) == {"a.tif", "b.tif", "gone.tif"}
    assert (by_name["a.tif"].size, by_name["gone.tif"].size, by_name["gone.tif"].mark) == (2, None, "not there")
    [line] = found.unlisted
    assert line.endswith(r"r\xe9sum\xe9: its name is not UTF-8; rename it")


def test_faults_of_a_file_and_of_its_archive_are_told_apart(tmp_path):
    archive = Archive(str(tmp_path / "archive"))
    (tmp_path / "archive").mkdir()
    file = tmp_path / "archive/a.tif"
    file.write_bytes(b"no picture")
    with refused(Verdict.UNREADABLE, "upload it again"), archive.opened(str(file)):
        pass
    file.unlink()
    with refused(Verdict.UNREADABLE, "it is listed, but it is not there"), archive.opened(str(file)):
        pass
    (tmp_path / "archive").rename(tmp_path / "away")
    with pytest.raises(SourceUnavailable, match="does not exist"), archive.opened(str(file)):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_file_that_may_not_be_read_is_left_for_the_next_run(tmp_path):
    place = Path(tmp_path)
    for one in (place, *place.parents):
        if not one.stat().st_mode & 0o001:
            one.chmod(0o755)
    (place / "closed.tif").write_bytes(b"1")
    (place / "closed.tif").chmod(0)
    os.seteuid(65534)
    try:
        archive = Archive(str(place))
        refusal = pytest.raises(NotNow, match="reading it is refused .*allow this account")
        with refusal, archive.opened(str(place / "closed.tif")):
            pass
        [one] = Archive(str(place)).below(str(place), levels=1).files
        assert one.mark.endswith("not readable")
    finally:
        os.seteuid(0)


def judged(phase, coherence):
    prechecks.precheck(phase.astype(np.float32), coherence, min_valid=0.1, min_coherence=0.1, uri="a/b.tif")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("known", [0.7, 1.0], ids=["measured coherence", "coherence taken as full"])
def test_a_phase_whose_neighbours_differ_by_cycles_is_not_in_radians(known, seed):
    rng = np.random.default_rng(seed)
    atmosphere = turbulence((80, 90), rng, std_rad=3.0)
    coherence = np.full(atmosphere.shape, round(255 * known), np.uint8)
    for radians in (1.0, -1.0, 2.0):
        judged(radians * atmosphere, coherence)
    with refused(Verdict.WRONG_NUMBERS, r"a/b.tif: \d+% of the neighbouring pixels .* is it in degrees\? Convert it to rad"):
        judged(np.degrees(atmosphere), coherence)


@pytest.mark.parametrize("seed", range(3))
def test_noise_without_coherence_is_no_wrong_unit(seed):
    rng = np.random.default_rng(seed)
    atmosphere, noise = turbulence((80, 90), rng, std_rad=3.0), rng.uniform(-np.pi, np.pi, (80, 90))
    water = np.arange(90) < 60
    phase = np.where(water, noise, atmosphere)
    judged(phase, np.where(water, np.uint8(60), np.uint8(200)) * np.ones((80, 1), np.uint8))  # low coherence decides nothing
    judged(phase, np.full(phase.shape, 255, np.uint8))  # nothing is known of coherence
    judged(noise, np.full(phase.shape, 255, np.uint8))


def test_few_neighbours_say_nothing_of_the_unit():
    rng = np.random.default_rng(1)
    judged(rng.normal(0, 50, (20, 20)), np.full((20, 20), 200, np.uint8))


def test_a_box_that_misses_the_frame_says_so():
    with pytest.raises(Exception, match="leaves less than 16 pixels along a side of the") as caught:
        cut(GRID, Box(west=50, south=9.9, east=50.1, north=10.1), what="the frame")
    assert not isinstance(caught.value, CatalogueError)


def test_a_window_is_one_of_whole_pixels_inside_the_file():
    assert window(GRID, Grid(40.002, 9.997, STEP, STEP, (5, 6)), "a") == Pixels(2, 3, 6, 5)
    for wrong in (Grid(40.0025, 9.997, STEP, STEP, (5, 6)), Grid(40.002, 9.997, STEP, STEP, (50, 6))):
        with refused(Verdict.WRONG_GRID, "do not hold the stack's grid"):
            window(GRID, wrong, "a")
