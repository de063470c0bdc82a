"""GUNW products of ARIA and NISAR: sign, units and grid, several products of a pair, look vectors, bad files, a bucket."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from pathlib import Path

import gunw_archive
import h5py
import numpy as np
import pytest
import rasterio
import xarray as xr
from gunw_archive import BOX, DATES, NORTH, PAIR, PEAK, SIMULATED, STEP, WEST, changing, truth_cm

from insar_anomaly import pipeline
from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.sections import Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import (
    HeightUnusable,
    MissingLayer,
    NotInFrame,
    PairRejected,
    SourceUnavailable,
    Verdict,
    WrongFolder,
)
from insar_anomaly.names import Pair
from insar_anomaly.pipeline import storage_options
from insar_anomaly.sources import aria, lattice, nisar, open_source
from insar_anomaly.sources.hdf5 import Raster
from insar_anomaly.sources.mosaic import mosaic
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts import aria as aria_layout
from insar_anomaly.tools.layouts import nisar as nisar_layout
from insar_anomaly.units import NOMINAL_LOOK, SENTINEL1_WAVELENGTH_M, Platform, rad_per_m

KINDS = ("aria", "nisar")
PHASE = {"aria": "science/grids/data/unwrappedPhase", "nisar": f"{nisar.UNWRAPPED}/HH/unwrappedPhase"}
COHERENCE = {"aria": "science/grids/data/coherence", "nisar": f"{nisar.UNWRAPPED}/HH/coherenceMagnitude"}


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Both archives. Shared: read them, copy them, never change them."""
    return {kind: gunw_archive.write(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(params=KINDS)
def shared(written, request):
    """An archive of each kind. Shared: never change it."""
    return written[request.param]


@pytest.fixture
def own(shared, tmp_path):
    """An archive of each kind, of the test's own."""
    return gunw_archive.Archive(shared.kind, Path(shutil.copytree(shared.folder, tmp_path / "own")))


@pytest.fixture
def mine(written, tmp_path):
    """An archive of a kind, of the test's own."""
    return lambda kind: gunw_archive.Archive(kind, Path(shutil.copytree(written[kind].folder, tmp_path / kind)))


def centimetres(window):
    return window.phase / rad_per_m(window.physics.wavelength_m) * 100


def level(values):
    return values - np.nanmedian(values)


# sign, units, grid


def test_inflation_is_motion_towards_the_satellite_in_cm(shared):
    window, grid = shared.window(), shared.grid()
    motion = level(centimetres(window))
    row, col = int((NORTH - PEAK.row * STEP - grid.north) / -grid.dy), int((WEST + PEAK.col * STEP - grid.west) / grid.dx)
    assert 8 < np.nanmedian(motion[row - 2 : row + 3, col - 2 : col + 3]) < 14
    assert np.nanmedian(np.abs(motion - level(truth_cm(grid)))) < 0.15
    assert window.phase.dtype == np.float32
    assert window.coherence.dtype == np.uint8
    assert set(np.unique(window.coherence[np.isfinite(window.phase)])) <= set(range(178, 180))


def test_the_physics_of_a_product_is_its_own(written):
    one, other = (written[kind].window() for kind in KINDS)
    assert one.physics.wavelength_m == SENTINEL1_WAVELENGTH_M
    assert one.physics.sign == -1
    assert one.physics.platforms == (Platform.S1B, Platform.S1A)
    assert one.physics.utc_s == 3600 + 50 * 60 + 1
    assert other.physics.wavelength_m == pytest.approx(299792458 / 1.239e9)
    assert other.physics.sign == 1
    assert other.physics.platforms == (Platform.NISAR, Platform.NISAR)
    assert other.physics.utc_s == 12 * 3600 + 46 * 60 + 15
    assert one.baseline == other.baseline == 42


def test_a_product_whose_dates_stand_the_other_way_round_is_turned(own):
    before = own.window()
    for path in own.products():
        first, last = (f"{day:%Y%m%d}" for day in PAIR.days)
        exchanged = path.name.replace(first, "@").replace(last, first).replace("@", last)
        path.rename(path.with_name(exchanged))
    after = own.window()
    assert after.physics.sign == -before.physics.sign
    assert after.baseline == -before.baseline
    np.testing.assert_array_equal(after.phase, -before.phase)


def test_products_on_the_lattice_are_read_as_they_are(written):
    grid = written["aria"].grid()
    window = written["aria"].window()
    row, col = round((NORTH - grid.north) / STEP), round((grid.west - WEST) / STEP)
    true = SIMULATED.phase(0, 1)[row : row + grid.shape[0], col : col + grid.shape[1]]
    np.testing.assert_allclose(level(window.phase), level(true), atol=1e-5)
    assert np.isnan(true).any()


def test_the_grid_of_a_stack_is_no_products(shared):
    source, grid = shared.source(), shared.grid()
    assert grid.dx == grid.dy == {"aria": STEP, "nisar": 0.001}[shared.kind]
    for edge in (grid.west, grid.north):
        assert edge / grid.dx == pytest.approx(round(edge / grid.dx), abs=1e-6)
    whole = source.grid(shared.frame)
    assert whole.west <= WEST + STEP
    assert whole.north >= NORTH - STEP
    half = Box(west=BOX.west, south=BOX.south, east=(BOX.west + BOX.east) / 2, north=BOX.north)
    assert Grid.of(source.static(shared.frame, half, height=False)).shape[1] == pytest.approx(grid.shape[1] / 2, abs=1)
    with pytest.raises(NotInFrame, match=shared.frame):
        source.static(shared.frame, Box(west=50, south=-0.02, east=50.1, north=0.02), height=False)


def test_a_product_a_part_of_a_pixel_aside_fits_the_same_stack(mine):
    archive = mine("aria")
    before, grid = archive.window(), archive.grid()
    for path in archive.products():
        with changing(path) as file:
            file["science/grids/data/longitude"][...] += 0.3 * STEP
    after = archive.source().read(archive.listed(), {"": grid})[""].phase
    moved = np.full(after.shape, np.nan, np.float32)
    moved[:, 1:] = 0.7 * before.phase[:, 1:] + 0.3 * before.phase[:, :-1]
    both = np.isfinite(after) & np.isfinite(moved)
    assert both.mean() > 0.8
    assert np.abs(level(np.where(both, after, np.nan)) - level(np.where(both, moved, np.nan)))[both].max() < 2e-3


@pytest.mark.parametrize("epsg", [32637, 3031, 3413])
def test_the_lattice_covers_rasters_of_any_projection(epsg):
    centre = {32637: (500000.0, 100000.0), 3031: (800000.0, 900000.0), 3413: (800000.0, -900000.0)}[epsg]
    x, y = (middle + 80.0 * np.arange(-50, 50) for middle in centre)
    place = Raster.of(x, y[::-1], epsg, uri="it")
    grid = lattice.covering([place])
    lon, lat = rasterio.warp.transform(f"EPSG:{epsg}", "EPSG:4326", x, y)
    assert grid.dx == 0.001
    assert grid.west < min(lon)
    assert grid.west + grid.dx * grid.shape[1] > max(lon)
    assert grid.north > max(lat)
    assert lattice.touches(place, grid)


def test_products_on_both_sides_of_the_antimeridian_make_one_grid():
    y = 0.05 - STEP * np.arange(100)
    west, east = (Raster.of(start + STEP * np.arange(100), y, 4326, uri="it") for start in (179.9, -180.0))
    grid = lattice.covering([west, east])
    assert grid.west == pytest.approx(179.8995, abs=STEP)
    assert grid.shape[1] == pytest.approx(200, abs=2)
    assert lattice.touches(east, grid)


# static layers


def test_look_vector_height_and_water(shared):
    static = shared.source().static(shared.frame, BOX, height=True)
    e, n, u = np.array(NOMINAL_LOOK["A"]) / np.linalg.norm(NOMINAL_LOOK["A"])
    side = {"aria": 1, "nisar": -1}[shared.kind]
    for name, value in (("e", side * e), ("n", side * n), ("u", u)):
        np.testing.assert_allclose(static[name], value, atol=1e-5)
    assert static.attrs["look"] == "products' cubes"
    assert static.attrs["left_out"] == []
    grid = Grid.of(static)
    row, col = ((NORTH - grid.lat) / STEP).astype(int), ((grid.lon - WEST) / STEP).astype(int)
    true = SIMULATED.height_m[np.ix_(row, col)]
    assert np.abs(static["height"].values - true).max() < 200
    assert np.median(np.abs(static["height"].values - true)) < 15
    assert not static["water"].any()


def test_the_look_vector_is_taken_at_the_height_of_the_terrain(mine):
    archive = mine("nisar")
    for path in archive.folder.rglob("*.h5"):
        with changing(path) as file:
            heights = file[f"{nisar.CUBES}/heightAboveEllipsoid"][:]
            file[f"{nisar.CUBES}/losUnitVectorX"][...] = (0.5 + heights / 1e5)[:, None, None]
    static = archive.source().static(archive.frame, BOX, height=True)
    np.testing.assert_allclose(static["e"], 0.5 + static["height"] / 1e5, atol=1e-6)
    (archive.folder / f"{archive.frame}.dem.tif").unlink()
    np.testing.assert_allclose(archive.source().static(archive.frame, BOX, height=False)["e"], 0.5, atol=1e-6)


def test_water_is_what_the_masks_hundreds_say_and_ground_outside_the_swaths_is_not_measured(mine):
    archive = mine("nisar")
    for path in archive.folder.rglob("*.h5"):
        with changing(path) as file:
            mask = file[f"{nisar.UNWRAPPED}/mask"]
            codes = mask[...]
            codes[:, : codes.shape[1] // 2] = 111
            codes[: codes.shape[0] // 2] = 10
            mask[...] = codes
    source = archive.source()
    static, window = source.static(archive.frame, BOX, height=False), archive.window(source)
    rows, cols = static["water"].shape
    assert static["water"].values[rows // 2 + 3 :, : cols // 2 - 3].all()
    assert not static["water"].values[:, cols // 2 + 3 :].any()
    assert np.isnan(window.phase[: rows // 2 - 3]).all()
    assert np.isfinite(window.phase[rows // 2 + 3 :]).any()


def test_without_a_terrain_model_the_remedy_is_said(own):
    (own.folder / f"{own.frame}.dem.tif").unlink()
    with pytest.raises(
        MissingLayer, match=rf"no {own.frame}\.dem\.tif and no dem\.tif.*put a terrain model there, or leave"
    ):
        own.source().static(own.frame, BOX, height=True)
    static = own.source().static(own.frame, BOX, height=False)
    assert np.isnan(static["height"]).all()
    assert static.attrs["look"] == "products' cubes"


def test_a_broken_terrain_model_costs_a_line_and_the_stack_only_where_it_is_needed(own):
    (own.folder / f"{own.frame}.dem.tif").write_bytes(b"II*\0nothing")
    with pytest.raises(HeightUnusable, match="dem.tif"):
        own.source().static(own.frame, BOX, height=True)
    (line,) = own.source().static(own.frame, BOX, height=False).attrs["left_out"]
    assert "dem.tif" in line


def test_a_look_vector_that_is_not_whole_is_left_out(own):
    name = {"aria": "science/grids/imagingGeometry/azimuthAngle", "nisar": f"{nisar.CUBES}/losUnitVectorY"}[own.kind]
    for path in [*own.folder.rglob("*.nc"), *own.folder.rglob("*.h5")]:
        with changing(path) as file:
            cube = file[name]
            cube[:, : cube.shape[1] // 2] = 0 if own.kind == "aria" else np.nan
    static = own.source().static(own.frame, BOX, height=False)
    assert static.attrs["look"] == "nominal"
    assert "nominal" in static.attrs["left_out"][0]
    assert float(static["e"].mean()) == pytest.approx({"aria": -0.62, "nisar": 0.62}[own.kind])
    for path in [*own.folder.rglob("*.nc"), *own.folder.rglob("*.h5")]:
        with changing(path) as file:
            del file[name]
    static = own.source().static(own.frame, BOX, height=False)
    assert static.attrs["look"] == "nominal"
    assert name in static.attrs["left_out"][0]


# several products of a pair


def test_products_of_a_pair_are_made_one_without_the_constant_between_them(mine):
    archive = mine("aria")
    whole = archive.window()
    assert len(archive.products()) == 2
    with changing(archive.products()[1]) as file:
        phase = file[PHASE["aria"]]
        phase[...] = np.where(phase[...] == 0, 0, phase[...] + 17)
    np.testing.assert_allclose(level(archive.window().phase), level(whole.phase), atol=1e-4)
    archive.products()[1].unlink()
    alone = archive.window().phase
    assert np.isnan(alone[-5:]).all()
    assert np.isfinite(alone[:5]).mean() > 0.7


def test_parts_share_a_level_by_what_they_have_in_common_and_the_more_coherent_wins():
    truth = np.add.outer(np.arange(30.0), np.arange(40.0)).astype(np.float32)
    west, east = truth.copy(), truth + 7
    west[:, 26:], east[:, :18] = np.nan, np.nan
    poor, good = (np.where(np.isnan(one), 0, value).astype(np.uint8) for one, value in ((west, 90), (east, 200)))
    east[5, 20] += 1  # where both measure, the more coherent one is taken
    phase, coherence = mosaic([(west, poor), (east, good)], truth.shape)
    expected = truth + np.float32(0)
    expected[5, 20] += 1
    level = np.median(phase - expected)  # the larger part keeps its own
    np.testing.assert_allclose(phase - level, expected, atol=1e-4)
    assert (coherence[:, 18:] == 200).all()
    assert (coherence[:, :18] == 90).all()
    apart = east.copy()
    apart[:, :30] = np.nan
    alone, _ = mosaic([(west, poor), (apart, good)], truth.shape)
    np.testing.assert_array_equal(np.isnan(alone), np.isnan(west))


def test_a_product_that_does_not_overlap_the_others_is_left_out():
    left, right = (np.full((20, 20), np.nan, np.float32) for _ in "ab")
    left[:, :12], right[:, 12:] = 1.0, 5.0
    full = np.full((20, 20), 200, np.uint8)
    phase, coherence = mosaic([(right, full // 2), (left, full)], (20, 20))
    np.testing.assert_array_equal(phase, left)
    assert (coherence == 200).all()
    right[:, 8:] = 5.0
    phase, coherence = mosaic([(right, full // 2), (left, full)], (20, 20))
    assert (phase == 1.0).all() or (phase == 5.0).all()
    nothing = np.full((20, 20), np.nan, np.float32)
    assert np.isnan(mosaic([(nothing, full)], (20, 20))[0]).all()
    assert np.isnan(mosaic([], (20, 20))[0]).all()


def test_the_newest_version_of_a_pair_is_used_alone(mine):
    archive = mine("aria")
    expected, before = archive.window(), archive.listed()
    for path in archive.products():
        for version in ("v3_0_0", "v2_0_6"):
            copy = path.with_name(path.name.replace(aria_layout.VERSION, version))
            shutil.copy(path, copy)
            with changing(copy) as file:
                file[PHASE["aria"]][...] = 1234.0
    listing = archive.source().pairs(archive.frame)
    assert listing.twice == []
    assert archive.listed().fingerprint == before.fingerprint
    np.testing.assert_array_equal(archive.window().phase, expected.phase)
    for path in archive.products():
        if aria_layout.VERSION in path.name:
            path.unlink()
    assert archive.listed().fingerprint != before.fingerprint
    assert np.nanmax(np.abs(level(archive.window().phase))) == 0


def test_better_orbits_replace_and_a_later_counter_too(mine):
    archive = mine("nisar")
    assert len(archive.products()) == 1
    place = nisar_layout.utm(Grid(WEST, NORTH, STEP, STEP, SIMULATED.height_m.shape))
    flat = np.full((len(place.y), len(place.x)), 3.0, np.float32)

    def add(**words):
        name = nisar_layout.product_name("064A_00001_010101", PAIR, **words)
        nisar_layout.write_product(archive.folder / f"{name}.h5", PAIR, flat, place, direction="A")

    before = archive.listed()
    add(orbits="N", release="P09000", counter=7)
    add(orbits="F")
    assert archive.listed().phase_uri == before.phase_uri
    assert archive.listed().fingerprint == before.fingerprint
    assert archive.listed().parts == ()
    add(counter=2)
    assert archive.listed().fingerprint != before.fingerprint
    assert np.nanmax(np.abs(archive.window().phase - 3)) < 1e-5


def test_partial_products_that_follow_each_other_are_parts_of_one_pair():
    layout = nisar.NisarLayout()

    def named(begin, end, covers="P", orbits="P"):
        times = f"20210105T{begin}_20210105T{end}_20210117T{begin}_20210117T{end}"
        name = f"NISAR_L2_PR_GUNW_004_064_A_024_005_4000_SH_{times}_P05023_{orbits}_{covers}_J_001.h5"
        found = layout.product(name)
        assert found is not None
        return found

    first, second = named("124615", "124635"), named("124632", "124650")
    assert layout.chosen([first, second]).used == [first, second]
    whole = named("124615", "124650", covers="F", orbits="N")
    chosen = layout.chosen([whole, first])
    assert (chosen.used, chosen.replaced) == ([first], [whole])
    midnight = layout.product(first.name.replace("T124635", "T000010").replace("T124615", "T235955"))
    assert midnight is not None
    assert midnight.seconds[1] - midnight.seconds[0] == 15


def test_a_product_that_is_there_twice_is_named(own):
    path = own.products()[0]
    (own.folder / "again").mkdir()
    shutil.copy(path, own.folder / "again" / path.name)
    (twice,) = own.source().pairs(own.frame).twice
    assert path.name in twice.pair
    assert np.isfinite(own.window().phase).any()


def test_the_ionosphere_is_subtracted_where_it_is_asked_for(mine):
    archive = mine("nisar")
    off = archive.window()
    with changing(archive.products()[0]) as file:
        file[f"{nisar.UNWRAPPED}/HH/ionospherePhaseScreen"][...] = 2.5
    np.testing.assert_array_equal(archive.window().phase, off.phase)
    on = archive.window(archive.source(ionosphere=True))
    np.testing.assert_allclose(on.phase, off.phase - 2.5, atol=1e-5)


# what the folder holds


def test_names_are_read_as_the_providers_write_them():
    layout = aria.AriaLayout()
    one = layout.product("S1-GUNW-A-R-064-tops-20210723_20210711-015001-00119W_00032N-PP-6267-v2_0_4.nc")
    assert one is not None
    assert (one.frame, one.pair, one.sign, one.rank) == ("064A_aria", "20210711_20210723", -1, (2, 0, 4))
    older = layout.product("S1-GUNW-D-R-071-tops-20200130_20200124-135156-34956N_32979N-PP-913f-v2_0_4.nc")
    assert older is not None
    assert older.frame == "071D_aria"
    name = "NISAR_L2_PR_GUNW_004_077_A_024_005_4000_SH_20251103T124615_20251103T124650_20251115T124615_20251115T124650_"
    two = nisar.NisarLayout().product(f"{name}X05010_N_F_J_001.h5")
    assert two is not None
    assert (two.frame, two.pair, two.sign) == ("077A_024_4000", "20251103_20251115", 1)
    assert [module.looks_like([one.name, "README"]) for module in (aria, nisar)] == [True, False]
    assert [module.looks_like([two.name, "README"]) for module in (aria, nisar)] == [False, True]
    assert not aria.looks_like([])


def test_names_that_cannot_be_right_are_told_and_other_files_left_alone(own):
    bad = {
        "aria": "S1-GUNW-A-R-064-tops-20211345_20210711-015001-00119W_00032N-PP-6267-v2_0_4.nc",
        "nisar": own.products()[0].name.replace("20210105", "20210199"),
    }[own.kind]
    (own.folder / bad).write_bytes(b"")
    (own.folder / "README.txt").write_text("hello")
    (own.folder / own.products()[0].name.replace(".h5", "_QA_STATS.h5").replace(".nc", ".iso.xml")).write_bytes(b"")
    listing = own.source().pairs(own.frame)
    (line,) = listing.unlisted
    assert bad in line
    assert len(listing.pairs) == 3


def test_a_frame_that_is_not_there_gets_the_nearest_name(shared):
    with pytest.raises(NotInFrame, match=f"did you mean {shared.frame}"):
        shared.source().pairs(shared.frame.replace("064", "065"))
    assert shared.source().frames() == [shared.frame]


def test_a_folder_that_is_not_there_is_said(shared, tmp_path):
    with pytest.raises(SourceUnavailable, match="does not exist"):
        open_source(SourceSettings(kind=shared.kind, url=str(tmp_path / "nowhere")), {}).frames()
    (tmp_path / "empty").mkdir()
    source = open_source(SourceSettings(kind=shared.kind, url=str(tmp_path / "empty")), {})
    with pytest.raises(WrongFolder, match=r"is empty.*correct url in \[\[source\]\], or wait for data"):
        source.pairs(shared.frame)


# bad files


@pytest.mark.parametrize("part", [0.0, 4, 0.5], ids=["empty", "four bytes", "half"])
def test_a_truncated_file_is_the_files_fault(part, own):
    listed, grid = own.listed(), own.grid()
    path = own.products()[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content)) if part < 1 else int(part)])
    with pytest.raises(PairRejected, match="upload it again") as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.UNREADABLE
    assert path.name in str(rejected.value)


def test_a_file_with_a_broken_piece_is_the_files_fault(own):
    listed, grid = own.listed(), own.grid()
    path = own.products()[0]
    with h5py.File(path, "r") as file:
        where = file[PHASE[own.kind]].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[where.byte_offset : where.byte_offset + where.size] = bytes(where.size)
    path.write_bytes(content)
    with pytest.raises(PairRejected) as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.UNREADABLE


def change(archive, name, value=None, attributes=None):
    """Write a dataset anew, or change its attributes, or remove it."""
    with changing(archive.products()[0]) as file:
        if attributes:
            file[name].attrs.update(attributes)
            return
        del file[name]
        if value is not None:
            file[name] = value


def test_missing_groups_and_layers_are_named(own):
    listed, grid = own.listed(), own.grid()
    change(own, COHERENCE[own.kind])
    with pytest.raises(PairRejected, match=COHERENCE[own.kind]) as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.MISSING_COHERENCE
    change(own, PHASE[own.kind])
    with pytest.raises(PairRejected, match="download it again") as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.MISSING_PHASE
    change(own, "science")
    with pytest.raises(PairRejected) as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict in (Verdict.UNREADABLE, Verdict.MISSING_PHASE)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (np.zeros((3, 4), np.float32), Verdict.WRONG_GRID),
        (np.zeros(7, np.float32), Verdict.WRONG_GRID),
        ("complex", Verdict.WRONG_NUMBERS),
        ("metres", Verdict.WRONG_NUMBERS),
        ("huge", Verdict.WRONG_NUMBERS),
        ("integers", Verdict.WRONG_NUMBERS),
    ],
    ids=["shape", "one dimension", "complex", "metres", "huge", "integers"],
)
def test_numbers_that_cannot_be_right_are_refused(value, verdict, own):
    listed, grid, name = own.listed(), own.grid(), PHASE[own.kind]
    with h5py.File(own.products()[0], "r") as file:
        held = file[name][...]
    if isinstance(value, np.ndarray):
        change(own, name, value)
    elif value == "metres":
        change(own, name, attributes={"units": "meters"})
    else:
        change(own, name, {"complex": held.astype(np.complex64), "huge": held * 0 + 9e4, "integers": held * 0 + 3}[value])
        if value == "integers":
            change(own, name, np.full(held.shape, 3, np.int16))
    with pytest.raises(PairRejected) as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == verdict
    assert own.products()[0].name in str(rejected.value)


def test_scale_and_fill_values_are_those_of_the_file(own):
    before, grid, listed = own.window(), own.grid(), own.listed()
    for path in own.products():
        with changing(path) as file:
            layer = file[PHASE[own.kind]]
            held, attributes = layer[...], dict(layer.attrs)
            del file[PHASE[own.kind]]
            known, counts = np.isfinite(held) & (held != 0), np.rint(held / 0.001)
            counts[counts == 0] = 1  # 0 is no data in ARIA's phase
            new = file.create_dataset(PHASE[own.kind], data=np.where(known, counts, -32768).astype(np.int32))
            new.attrs.update({k: v for k, v in attributes.items() if k in ("units", "description")})
            new.attrs.update({"scale_factor": 0.001, "_FillValue": np.int32(-32768)})
    after = own.source().read(listed, {"": grid})[""]
    np.testing.assert_allclose(level(after.phase), level(before.phase), atol=4e-3)


def test_ground_in_no_connected_component_is_not_measured(own):
    name = PHASE[own.kind].replace("unwrappedPhase", "connectedComponents")
    for path in own.products():
        with changing(path) as file:
            file[name][:, : file[name].shape[1] // 2] = 0
    phase = own.window().phase
    assert np.isnan(phase[:, :20]).all()
    assert np.isfinite(phase[:, -20:]).any()
    for path in own.products():
        with changing(path) as file:
            del file[name]
    assert np.isfinite(own.window().phase[:, :20]).any()


def test_coordinates_that_make_no_grid_are_refused(own):
    listed, grid = own.listed(), own.grid()
    name = {"aria": "science/grids/data/latitude", "nisar": f"{nisar.UNWRAPPED}/HH/yCoordinates"}[own.kind]
    with changing(own.products()[0]) as file:
        file[name][3] += 0.4 * abs(file[name][1] - file[name][0])
    with pytest.raises(PairRejected, match="not evenly spaced") as rejected:
        own.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.ROTATED


def test_an_unknown_coordinate_system_is_refused(mine):
    archive = mine("nisar")
    listed, grid = archive.listed(), archive.grid()
    change(archive, f"{nisar.UNWRAPPED}/HH/projection", np.uint32(99999))
    with pytest.raises(PairRejected) as rejected:
        archive.source().read(listed, {"": grid})
    assert rejected.value.verdict == Verdict.WRONG_CRS


def test_a_broken_newest_product_does_not_hide_the_frames_grid(own):
    whole = own.source().grid(own.frame)
    for path in own.products(Pair(DATES[1], DATES[2])):
        path.write_bytes(b"")
    assert own.source().grid(own.frame) == whole
    for path in [*own.folder.rglob("*.nc"), *own.folder.rglob("*.h5")]:
        path.write_bytes(b"")
    with pytest.raises(MissingLayer, match="nothing else tells the frame's grid"):
        own.source().grid(own.frame)


def test_rows_from_the_south_give_the_same(own):
    before, grid, listed = own.window(), own.grid(), own.listed()
    group = PHASE[own.kind].rsplit("/", 1)[0]
    rows = {"aria": "latitude", "nisar": "yCoordinates"}[own.kind]
    for path in own.products():
        with changing(path) as file:
            height = len(file[f"{group}/{rows}"])
            layers = [file[group][name] for name in file[group] if file[group][name].shape[:1] == (height,)]
            if own.kind == "nisar":
                layers.append(file[f"{nisar.UNWRAPPED}/mask"])
            for layer in layers:
                if layer.name.endswith(rows) or layer.ndim == 2:
                    layer[...] = layer[...][::-1]
    after = own.source().read(listed, {"": grid})[""]
    np.testing.assert_allclose(level(after.phase), level(before.phase), atol=1e-4)


# elsewhere


def test_the_products_that_are_written_open_as_netcdf(written):
    with xr.open_dataset(written["aria"].products()[0], group="science/grids/data", engine="h5netcdf") as data:
        assert data["unwrappedPhase"].dims == ("latitude", "longitude")
        assert data["unwrappedPhase"].attrs["units"] == "rad"
        assert np.isnan(data["unwrappedPhase"]).any()
    with xr.open_dataset(
        written["nisar"].products()[0], group=f"{nisar.UNWRAPPED}/HH", engine="h5netcdf", phony_dims="sort"
    ) as data:
        assert data["unwrappedPhase"].dims == ("yCoordinates", "xCoordinates")


def test_a_bucket_gives_the_same_as_a_folder(shared, bucket):
    bucket.upload(shared.folder, "gunw")
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    there = open_source(SourceSettings(kind=shared.kind, url=f"{bucket.url}/gunw"), options)
    here = shared.source()
    assert there.frames() == here.frames()
    assert [p.pair for p in there.pairs(shared.frame).pairs] == [p.pair for p in here.pairs(shared.frame).pairs]
    one, other = (source.static(shared.frame, BOX, height=True) for source in (here, there))
    assert one.attrs.pop("source") != other.attrs.pop("source")
    xr.testing.assert_identical(one, other)
    for a, b in zip(shared.window(here), shared.window(there), strict=True):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_a_truncated_file_and_a_bucket_that_goes_away_are_told_apart(own, bucket, closed_port):
    content = own.products()[0].read_bytes()
    own.products()[0].write_bytes(content[: len(content) // 2])
    bucket.upload(own.folder, "gunw")
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    source = open_source(SourceSettings(kind=own.kind, url=f"{bucket.url}/gunw"), options)
    listed, grid = own.listed(source), Grid(40.03, 0.03, 0.001, 0.001, (40, 40))
    with pytest.raises(PairRejected, match="upload it again"):
        source.read(listed, {"": grid})
    away = storage_options(Storage(endpoint_url=f"http://127.0.0.1:{closed_port()}", timeout_s=1))
    gone = open_source(SourceSettings(kind=own.kind, url=f"{bucket.url}/gunw"), away)
    with pytest.raises(SourceUnavailable, match="nothing was lost"):
        gone.read(listed, {"": grid})


def test_a_window_of_a_large_product_in_a_bucket_costs_a_part_of_it(tmp_path, bucket, monkeypatch):
    from s3fs.core import S3File

    pair, size = Pair(date(2021, 1, 5), date(2021, 1, 5) + timedelta(12)), 2048
    grid = Grid(40.0, 1.0, 0.001, 0.001, (size, size))
    noise = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    path = tmp_path / aria_layout.product_name("064A_x", pair, grid)
    aria_layout.write_product(path, pair, noise, grid, direction="A")
    bucket.upload(tmp_path, "gunw")
    source = open_source(
        SourceSettings(kind="aria", url=f"{bucket.url}/gunw"), storage_options(Storage(endpoint_url=bucket.endpoint))
    )
    (listed,) = source.pairs("064A_aria").pairs
    fetched, original = [], S3File._fetch_range

    def counting(self, start, end):
        fetched.append(end - start)
        return original(self, start, end)

    monkeypatch.setattr(S3File, "_fetch_range", counting)
    wanted = Grid(40.6, 0.4, 0.001, 0.001, (50, 50))
    np.testing.assert_allclose(source.read(listed, {"": wanted})[""].phase, noise[600:650, 600:650], atol=1e-5)
    assert path.stat().st_size > 10e6
    assert 0 < sum(fetched) < path.stat().st_size / 2


CONFIG = """\
store = "store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"

[[source]]
kind = "{kind}"
url = "{url}"

[cluster]
kind = "inline"
"""


def test_an_ingest_brings_the_pairs_into_the_stack(shared, tmp_path):
    from insar_anomaly.config.load import load

    entry = (
        f'[[volcano]]\ngvp = 990001\nname = "Swelling Cone"\nlat = 0.0\nlon = {WEST + 0.06}\nframes = ["{shared.frame}"]\n'
    )
    (tmp_path / "volcanoes.toml").write_text(f"{entry}box_km = 8\n")
    (tmp_path / "night.toml").write_text(CONFIG.format(kind=shared.kind, url=shared.folder))
    with (
        pipeline.open_installation(load(tmp_path / "night.toml")) as s,
        s.run("ingest", DATES[-1] + timedelta(days=1)) as run,
    ):
        pipeline.ingest(s, run)
        assert run.failures == []
        stack = s.store.open(f"990001/{shared.frame}")
        assert stack.sizes["pair"] == 3
        assert set(stack["sign"].values) == {{"aria": -1, "nisar": 1}[shared.kind]}
        assert stack["wavelength"].values == pytest.approx(stack.attrs["wavelength_m"])
        phase = stack["phase"].sel(pair=PAIR.name)
        at = phase.sel(y=NORTH - PEAK.row * STEP, x=WEST + PEAK.col * STEP, method="nearest")
        motion = (float(at) - float(np.nanmedian(phase))) / rad_per_m(stack.attrs["wavelength_m"]) * 100
        assert motion > 8
        assert np.isfinite(stack["height"]).all()
