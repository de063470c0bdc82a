"""HyP3's products: names, frames, the one resampling, what is masked, parts, duplicates, folders, .zip files, a bucket."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from installation import AS_OF, CONFIG, DATES, ENTRY, KM, NORTH, STEP, UNREST, WEST, Installation, read_tif, write_tif

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.sections import Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import MissingLayer, NotInFrame, PairRejected, SourceUnavailable, Verdict, WrongFolder
from insar_anomaly.pipeline import storage_options
from insar_anomaly.simulate import RAD_PER_M, scene
from insar_anomaly.sources import open_source
from insar_anomaly.sources.grid import resampled
from insar_anomaly.sources.hyp3 import Hyp3Source, looks_like
from insar_anomaly.sources.hyp3_layers import look_vector, masks_land
from insar_anomaly.sources.hyp3_names import on_orbit, parse, short_lived, split
from insar_anomaly.sources.hyp3_products import read_facts
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts.hyp3 import Form, parameters, product_name, write_archive, write_products
from insar_anomaly.units import NOMINAL_LOOK, SENTINEL1_WAVELENGTH_M, Platform

FRAME = "064A_simulated"
DAYS = DATES[16:20]
PAIR = f"{DATES[17]:%Y%m%d}_{DATES[18]:%Y%m%d}"
DEGREES = Grid(WEST, NORTH, STEP, STEP, (64, 124))
BOX = Box(west=40.0624, south=-0.024, east=40.1104, north=0.024)
GAMMA = "S1AA_20200604T022252_20200616T022253_VVP012_INT80_G_ueF_77F1"
BURST = "S1_136231_IW2_20200604_20200616_VV_INT80_77F1"
SEVERAL = "S1_064_000000s1n00-136231s2n02-000000s3n00_IW_20200604_20200616_VV_INT80_77F1"
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "hyp3_gamma_10px"


@pytest.fixture(scope="module")
def still():
    """Four acquisitions around the unrest; rough ground, little weather."""
    return scene((64, 124), np.random.default_rng(3), dates=DAYS, motion=[UNREST], pixel_km=(KM, KM), turbulence_rad=0.3)


@pytest.fixture(scope="module")
def written(still, tmp_path_factory):
    """GAMMA products of the scene, unpacked."""
    folder = tmp_path_factory.mktemp("hyp3")
    write_archive(folder, FRAME, still, west=WEST, north=NORTH, step=STEP)
    return folder


@pytest.fixture
def archive(written, tmp_path):
    """The products of one pair, the test's own."""
    name = product_name((DATES[17], DATES[18]), "A", Form())
    shutil.copytree(written / FRAME / name, tmp_path / "archive" / FRAME / name)
    return tmp_path / "archive"


def file(archive, layer):
    """A layer's file of the only product."""
    return next(archive.rglob(f"*_{layer}.tif"))


def named(source, pair=PAIR, frame=FRAME):
    """A pair as the source lists it."""
    return next(one for one in source.pairs(frame).pairs if one.pair == pair)


def window(source, pair=PAIR, frame=FRAME, box=BOX):
    """A pair on the box's grid."""
    grid = Grid.of(source.static(frame, box, height=False))
    return source.read(named(source, pair, frame), {"": grid})[""]


def at_peak(layer, grid):
    """The value at the middle of the unrest."""
    lat, lon = NORTH - (UNREST.source.row + 0.5) * STEP, WEST + (UNREST.source.col + 0.5) * STEP
    return float(layer[int((grid.north - lat) / grid.dy), int((lon - grid.west) / grid.dx)])


def centimetres(phase, grid):
    """Motion towards the satellite at the unrest's peak, against the median of the box."""
    return 100 * (at_peak(phase, grid) - float(np.nanmedian(phase))) / RAD_PER_M


def simulated(still, grid, what=None):
    """The pair's phase as it was simulated, or another layer of the scene, at the grid's pixels."""
    rows, cols = ((NORTH - grid.lat) / STEP).astype(int), ((grid.lon - WEST) / STEP).astype(int)
    return (still.phase(1, 2) if what is None else what)[np.ix_(rows, cols)]


# names and frames


@pytest.mark.parametrize(
    ("text", "track", "way", "platform", "start"),
    [
        (GAMMA, None, None, Platform.S1A, 8572.0),
        (BURST, 64, "D", Platform.UNKNOWN, None),
        (SEVERAL, 64, "D", Platform.UNKNOWN, None),
        ("S1CD_20200604T140722_20200616T140732_VVR001_INT40_G_weF_4F8B", None, None, Platform.S1C, 50842.0),
    ],
)
def test_a_products_name_tells_its_pair_and_what_else_it_holds(text, track, way, platform, start):
    name = parse(text)
    assert name.pair == "20200604_20200616"
    assert (name.track, name.way, name.platforms[0]) == (track, way, platform)
    assert np.isnan(name.starts_s[0]) if start is None else name.starts_s[0] == start
    assert not name.turned
    assert split(f"{text}_unw_phase.tif") == (name, "unw_phase")
    assert split(f"{text}_corr_clipped.tif") == (name, "corr")
    assert split(f"{text}.zip") == (name, "zip")
    assert split(f"{text}.txt") == (name, "txt")
    assert split(f"{text}.README.md.txt") is split(f"{text}_unw_phase.png") is split(f"{text}_wrapped_phase.tif") is None
    assert looks_like(["readme", text])
    assert looks_like([f"{text}.zip"])


@pytest.mark.parametrize(
    "text", ["20200604_20200616", "S1A_064_E053_1_N27_3_20200604_20200616_VV_INT80_7EB5", GAMMA[:-1], BURST + "0", "079D_x"]
)
def test_any_other_name_is_none_of_hyp3s(text):
    assert parse(text) is None
    assert not looks_like([text, f"{text}_unw_phase.tif"])


def test_burst_numbers_tell_track_and_pass_by_esas_definition():
    # granules in ASF's documents: S1_136231_IW2_20200604T022312 of path 64, S1_213524_IW1_20170411T133605 at 38 N, 118 W
    assert on_orbit(136231) == (64, "D")
    assert on_orbit(213524) == (100, "D")
    a_quarter = round(12 * 86400 / 175 / 2.758273 / 4)
    assert [on_orbit(1 + k * a_quarter + 5)[1] for k in range(5)] == ["A", "D", "D", "A", "A"]


def test_frames_are_folders_with_a_frames_name_else_track_and_pass(archive, still, tmp_path):
    loose = tmp_path / "loose"
    for kind, way in (("burst", "D"), ("multi_burst", "A")):
        write_products(loose / kind, replace(still, dates=DAYS[:2]), DEGREES, way=way, form=Form(kind=kind))
    shutil.copytree(next((archive / FRAME).iterdir()), loose / next((archive / FRAME).iterdir()).name)
    assert Hyp3Source(str(archive)).frames() == [FRAME]
    assert Hyp3Source(f"{archive}/{FRAME}").frames() == [FRAME]
    assert Hyp3Source(str(loose)).frames() == ["064A_hyp3", "064D_hyp3"]
    text = next(loose.rglob("S1AA*77F1.txt"))
    text.write_text("Reference Granule: S1D_IW\nReference Orbit Number: 12\nReference Pass Direction: ASCENDING\n")
    assert Hyp3Source(str(loose)).frames() == ["064A_hyp3", "064D_hyp3"]
    listing = Hyp3Source(str(loose)).pairs("064D_hyp3")
    assert "S1AA" in listing.unlisted[0]
    assert "put the product into a folder named by its frame, as 064D_name" in listing.unlisted[0]


def test_a_frame_that_is_not_there_is_answered_with_those_that_are(archive, tmp_path):
    with pytest.raises(NotInFrame, match=f"did you mean {FRAME}"):
        Hyp3Source(str(archive)).pairs("064D_simulated")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WrongFolder, match="is empty, and no HyP3 product"):
        Hyp3Source(str(tmp_path / "empty")).pairs(FRAME)
    with pytest.raises(SourceUnavailable, match="does not exist"):
        open_source(SourceSettings(kind="hyp3", url=str(tmp_path / "nowhere")), {}).static(FRAME, BOX, height=True)


def test_a_parameter_file_tells_track_pass_satellites_baseline_and_time():
    facts = read_facts(parameters(GAMMA, "D"))
    assert (facts.track, facts.way, facts.baseline, facts.utc_s) == (64, "D", 58.3898, 8572.691361)
    assert facts.platforms == (Platform.S1A, Platform.S1A)
    nothing = read_facts("nonsense\nBaseline: far\n: 3\n")
    assert (nothing.track, nothing.way) == (None, None)
    assert np.isnan([nothing.baseline, nothing.utc_s]).all()


# the sign, and what arrives


@pytest.mark.parametrize("kind", ["gamma", "burst", "multi_burst"])
def test_simulated_inflation_is_motion_towards_the_satellite_in_cm(kind, still, tmp_path):
    write_products(tmp_path / FRAME, replace(still, dates=DAYS), DEGREES, form=Form(kind=kind))
    source = Hyp3Source(str(tmp_path))
    grid = Grid.of(source.static(FRAME, BOX, height=True))
    found = window(source)
    assert UNREST.source.peak_cm == 12.0
    assert centimetres(found.phase, grid) > 8.0  # its foot lifts the box's median
    assert centimetres(found.phase, grid) == pytest.approx(centimetres(simulated(still, grid), grid), abs=0.5)
    assert found.physics.sign == 1
    assert found.physics.wavelength_m == SENTINEL1_WAVELENGTH_M
    assert found.physics.utc_s == pytest.approx(8572, abs=1)
    assert found.physics.platforms == ((Platform.S1A,) * 2 if kind == "gamma" else (Platform.UNKNOWN,) * 2)
    assert found.baseline == 58.3898


def test_a_product_with_the_later_date_first_is_turned(archive):
    source = Hyp3Source(str(archive))
    straight = window(source)
    product = next((archive / FRAME).iterdir())
    a, b = (f"{day:%Y%m%d}T022252" for day in (DATES[17], DATES[18]))
    turned = product.name.replace(f"{a}_{b}", f"{b}_{a}").replace("S1AA", "S1AC")
    for one in product.iterdir():
        one.rename(one.with_name(one.name.replace(product.name, turned)))
    product.rename(product.with_name(turned))
    found = window(source)
    np.testing.assert_array_equal(found.phase, -straight.phase)
    assert (found.physics.sign, found.baseline) == (-1, -58.3898)
    assert found.physics.platforms == (Platform.S1C, Platform.S1A)


def test_phase_coherence_height_and_look_vector_survive_the_way_through_utm(archive, still):
    source = Hyp3Source(str(archive))
    static = source.static(FRAME, BOX, height=True)
    grid = Grid.of(static)
    found = window(source)
    assert found.phase.dtype == np.float32
    assert found.coherence.dtype == np.uint8
    assert found.phase.shape == found.coherence.shape == grid.shape
    expected, height = simulated(still, grid), simulated(still, grid, still.height_m)
    assert np.nanstd(found.phase - expected) < 0.2 * np.nanstd(expected)
    assert (np.isnan(found.phase) == np.isnan(expected)).mean() > 0.95
    assert np.std(static["height"].values - height) < 0.1 * np.std(height)
    assert set(np.unique(found.coherence)) == {0, round(0.71 * 255)}
    assert (found.coherence > 0)[np.isfinite(found.phase)].all()
    whole = np.array(NOMINAL_LOOK["A"]) / np.linalg.norm(NOMINAL_LOOK["A"])
    np.testing.assert_allclose([static[part].mean() for part in "enu"], whole, atol=1e-4)
    assert static.attrs["look"] == "products' layers"
    assert static.attrs["left_out"] == []
    assert not static["water"].any()


def test_the_lattice_is_fixed_whatever_the_products_pixels(still, tmp_path):
    grids = []
    for number, shift in enumerate([(0.0, 0.0), (0.4, 0.7)]):
        write_products(tmp_path / str(number) / FRAME, replace(still, dates=DAYS[:2]), DEGREES, form=Form(shift=shift))
        grids.append(Hyp3Source(str(tmp_path / str(number))).grid(FRAME))
    for grid in grids:
        assert grid.dx == grid.dy == 0.001
        steps = np.array([grid.west, grid.north]) / 0.001
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
        assert grid.west <= WEST
        assert grid.north >= NORTH


@pytest.mark.parametrize("form", [Form(shift=(0.4, 0.4)), Form(zone=38)], ids=["0.4 pixels", "next zone"])
def test_products_of_one_scene_on_other_pixels_give_the_same_stack(form, archive, still, tmp_path):
    """The bound that docs/sources/hyp3.md states: 0.1 rad rms, and holes that differ at their edges only."""
    write_products(tmp_path / "other" / FRAME, still, DEGREES, form=form)
    first, other = Hyp3Source(str(archive)), Hyp3Source(str(tmp_path / "other"))
    grid = Grid.of(first.static(FRAME, BOX, height=True))
    a, b = (source.read(named(source), {"": grid})[""] for source in (first, other))
    difference = a.phase - b.phase
    assert np.nanstd(a.phase) > 3
    assert np.sqrt(np.nanmean(difference**2)) < 0.1
    assert (np.isnan(a.phase) != np.isnan(b.phase)).mean() < 0.04
    assert centimetres(a.phase, grid) == pytest.approx(centimetres(b.phase, grid), abs=0.2)


def test_what_is_not_measured_never_mixes_into_what_is(archive):
    source = Hyp3Source(str(archive))
    before = window(source)
    coherence, phase = read_tif(file(archive, "corr")), read_tif(file(archive, "unw_phase"))
    mask = read_tif(file(archive, "water_mask"))
    coherence[30:36, 95:101], mask[40:46, 95:101] = 0, 0
    phase[30:36, 95:101], phase[40:46, 95:101] = 4000.0, -4000.0
    write_tif(file(archive, "corr"), coherence)
    write_tif(file(archive, "unw_phase"), phase)
    write_tif(file(archive, "water_mask"), mask)
    after = window(source)
    lost = np.isnan(after.phase) & np.isfinite(before.phase)
    assert 40 < lost.sum() < 90  # two holes of 36 pixels of 80 m, on pixels of 89 m
    kept = np.isfinite(after.phase)
    assert np.abs(after.phase[kept] - before.phase[kept]).max() < 2.0
    assert np.isfinite(before.phase[kept]).all()


def test_look_angles_become_the_vector_to_the_satellite():
    # 0 is east, pi/2 north; elevation is counted from the horizon
    east = look_vector(np.float32([np.pi / 4]), np.float32([0]))
    north = look_vector(np.float32([np.pi / 4]), np.float32([np.pi / 2]))
    np.testing.assert_allclose(np.ravel(east), [0.5**0.5, 0, 0.5**0.5], atol=1e-6)
    np.testing.assert_allclose(np.ravel(north), [0, 0.5**0.5, 0.5**0.5], atol=1e-6)


# layers that are missing or wrong


def test_layers_that_are_missing_or_broken_cost_a_line_and_the_height_only_where_it_is_needed(archive):
    source = Hyp3Source(str(archive))
    file(archive, "lv_phi").unlink()
    file(archive, "water_mask").write_bytes(b"II*\0")
    static = source.static(FRAME, BOX, height=True)
    assert static.attrs["look"] == "nominal"
    assert float(static["e"].mean()) == pytest.approx(NOMINAL_LOOK["A"][0])
    assert any("order products with look vectors" in line for line in static.attrs["left_out"])
    assert any("water_mask.tif" in line for line in static.attrs["left_out"])
    assert np.isfinite(window(source).phase).any()
    file(archive, "dem").unlink()
    assert np.isnan(source.static(FRAME, BOX, height=False)["height"]).all()
    with pytest.raises(MissingLayer, match=r"no product of 064A_simulated has a height.*order products with the DEM"):
        source.static(FRAME, BOX, height=True)


def test_a_water_mask_that_masks_coherent_land_is_left_out(archive):
    source = Hyp3Source(str(archive))
    before = window(source)
    mask = np.zeros_like(read_tif(file(archive, "water_mask")))
    write_tif(file(archive, "water_mask"), mask)
    static = source.static(FRAME, BOX, height=True)
    assert not static["water"].any()
    assert any("100% of the box is water, and it is coherent as land is" in line for line in static.attrs["left_out"])
    np.testing.assert_array_equal(window(source).phase, before.phase)
    mask[:, : mask.shape[1] * 3 // 4] = 1  # the sea in the east
    write_tif(file(archive, "water_mask"), mask)
    static = source.static(FRAME, BOX, height=True)
    assert static.attrs["left_out"] == []
    assert 0.1 < float(static["water"].mean()) < 0.9
    assert np.isnan(window(source).phase[static["water"].values]).all()
    assert not masks_land(np.ones((4, 4), bool), np.full((4, 4), 40, np.float32))


def spoiled(archive, how):
    """Spoil the product; the verdict and what its text names."""
    phase, coherence = file(archive, "unw_phase"), file(archive, "corr")
    if how.startswith("truncated"):  # in one of two files that are open at the same time: that one is named
        spoilt = coherence if "coherence" in how else phase
        spoilt.write_bytes(spoilt.read_bytes()[: spoilt.stat().st_size // 2])
        return Verdict.UNREADABLE, f"file://{spoilt}: "
    if how == "wrong unit":
        with rasterio.open(phase, "r+") as tif:
            tif.units = ("m",)
        return Verdict.WRONG_NUMBERS, "phase in m, and rad is needed"
    if how == "not radians":
        write_tif(phase, read_tif(phase) * 1e5)
        return Verdict.WRONG_NUMBERS, phase.name
    if how == "percent":
        write_tif(coherence, read_tif(coherence) * 100)
        return Verdict.WRONG_NUMBERS, "set coherence_full in"
    write_tif(coherence, read_tif(coherence)[1:])
    return Verdict.WRONG_GRID, coherence.name


@pytest.mark.parametrize("how", ["truncated", "truncated coherence", "wrong unit", "not radians", "percent", "other pixels"])
def test_a_file_that_cannot_be_used_costs_its_pair_and_is_named(how, archive):
    source = Hyp3Source(str(archive))
    grid = Grid.of(source.static(FRAME, BOX, height=True))
    verdict, words = spoiled(archive, how)
    with pytest.raises(PairRejected) as rejected:
        source.read(named(source), {"": grid})
    assert rejected.value.verdict == verdict
    assert words in rejected.value.detail


def test_a_product_that_lacks_a_file_says_which(archive):
    source = Hyp3Source(str(archive))
    before = named(source).fingerprint
    missing = file(archive, "corr")
    missing.unlink()
    one = named(source)
    assert one.coherence_uri is None
    assert f"{missing.name} missing; bring the product again" in one.lacks
    assert one.fingerprint != before
    (missing.parent / "insar_unw_phase.tif").write_bytes(b"")
    assert "its name is not HyP3's" in source.pairs(FRAME).unlisted[0]


# parts, duplicates


def half(archive, still, *, east, level, end="77F1"):
    """Multi-burst products that cover one half of the ground and a strip beyond, with a level of their own."""
    seen = np.arange(124) >= 55 if east else np.arange(124) < 70
    levels = level * np.arange(len(DAYS))[:, None, None]
    part = replace(still, lost=still.lost | ~seen[None, :], screens=still.screens + levels)
    bursts = f"000000s1n00-13523{4 if east else 1}s2n02-000000s3n00"
    write_products(archive / FRAME, part, DEGREES, form=Form(kind="multi_burst", bursts=bursts, end=end))


def test_two_products_of_one_pair_are_put_together_at_one_level(still, tmp_path):
    half(tmp_path / "halves", still, east=False, level=0.0)
    half(tmp_path / "halves", still, east=True, level=2.6, end="ABCD")
    write_products(tmp_path / "whole" / FRAME, still, DEGREES)
    halves, whole = (Hyp3Source(str(tmp_path / name)) for name in ("halves", "whole"))
    listing = halves.pairs(FRAME)
    assert len(listing.pairs) == len(still.pairs())
    assert listing.twice == []
    assert len(named(halves).products) == 2
    box = Box(west=WEST + 0.02, south=-0.02, east=WEST + 0.1, north=0.02)
    found, expected = window(halves, box=box), window(whole, box=box)
    assert np.isfinite(found.phase).mean() > 0.9
    difference = found.phase - expected.phase
    assert np.nanstd(difference) < 0.05
    assert abs(np.nanmean(difference[:, :20]) - np.nanmean(difference[:, -20:])) < 0.02  # no step where they meet
    assert np.isfinite(halves.static(FRAME, box, height=True)["height"]).all()


def test_of_a_product_that_was_made_twice_the_newest_is_taken_and_the_other_is_named(archive):
    source = Hyp3Source(str(archive))
    before = named(source)
    old = next((archive / FRAME).iterdir())
    new = old.with_name(old.name.replace("77F1", "0AB1"))
    shutil.copytree(old, new)
    for one in new.iterdir():
        one.rename(one.with_name(one.name.replace("77F1", "0AB1")))
    for time, product in ((1e9, old), (2e9, new)):
        for one in product.iterdir():
            os.utime(one, (time, time))
    listing = source.pairs(FRAME)
    assert [one.pair for one in listing.pairs] == [PAIR]
    assert "0AB1" in listing.pairs[0].phase_uri
    assert listing.pairs[0].fingerprint != before.fingerprint
    assert [one.pair for one in listing.twice] == [f"{PAIR} ({old.name})"]
    for one in old.iterdir():
        os.utime(one, (3e9, 3e9))
    assert "77F1" in source.pairs(FRAME).pairs[0].phase_uri


# folders, .zip files, buckets


@pytest.fixture
def zipped(archive):
    """The same product as HyP3 hands it out."""
    product = next((archive / FRAME).iterdir())
    place = archive.parent / "zipped" / FRAME
    place.mkdir(parents=True)
    shutil.make_archive(str(place / product.name), "zip", product.parent, product.name)
    return archive.parent / "zipped"


def same(one, other):
    for a, b in zip(one[:3], other[:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.physics == other.physics


def test_a_folder_a_zip_and_both_in_a_bucket_give_the_same(archive, zipped, bucket):
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    bucket.upload(archive, "unpacked")
    bucket.upload(zipped, "zipped")
    here = Hyp3Source(str(archive))
    others = [Hyp3Source(str(zipped)), *(Hyp3Source(f"{bucket.url}/{one}", options) for one in ("unpacked", "zipped"))]
    static, found = here.static(FRAME, BOX, height=True), window(here)
    del static.attrs["source"]
    for other in others:
        assert other.frames() == [FRAME]
        layers = other.static(FRAME, BOX, height=True)
        del layers.attrs["source"]
        xr.testing.assert_identical(layers, static)
        same(window(other), found)


def test_loose_gamma_products_in_a_bucket_are_placed_by_their_parameter_files(archive, zipped, bucket):
    bucket.upload(archive / FRAME, "hyp3/job1")
    bucket.upload(zipped / FRAME, "hyp3/job2")
    source = Hyp3Source(f"{bucket.url}/hyp3", storage_options(Storage(endpoint_url=bucket.endpoint)))
    assert source.frames() == ["064A_hyp3"]
    assert len(source.pairs("064A_hyp3").pairs) == 1


@pytest.mark.parametrize("part", [0.0, 0.5], ids=["empty", "half"])
@pytest.mark.parametrize("where", ["here", "bucket"])
def test_a_truncated_zip_is_the_files_fault(part, where, zipped, bucket):
    source = Hyp3Source(str(zipped))
    grid = Grid.of(source.static(FRAME, BOX, height=True))
    whole = next((zipped / FRAME).iterdir())
    whole.write_bytes(whole.read_bytes()[: int(part * whole.stat().st_size)])
    if where == "bucket":
        bucket.upload(zipped, "zipped")
        source = Hyp3Source(f"{bucket.url}/zipped", storage_options(Storage(endpoint_url=bucket.endpoint)))
    with pytest.raises(PairRejected) as rejected:
        source.read(named(source), {"": grid})
    assert rejected.value.verdict == Verdict.UNREADABLE
    assert whole.name in rejected.value.detail


def test_a_zip_without_the_coherence_and_one_with_spoiled_bytes_are_named(zipped):
    source = Hyp3Source(str(zipped))
    grid = Grid.of(source.static(FRAME, BOX, height=True))
    whole = next((zipped / FRAME).iterdir())
    shutil.unpack_archive(whole, zipped / "unpacked")
    product = zipped / "unpacked" / whole.stem
    (product / f"{whole.stem}_corr.tif").unlink()
    whole.unlink()
    shutil.make_archive(str(whole.with_suffix("")), "zip", product.parent, product.name)
    shutil.rmtree(zipped / "unpacked")
    with pytest.raises(PairRejected, match=r"\.zip holds no .*_corr\.tif; bring the product again") as rejected:
        source.read(named(source), {"": grid})
    assert rejected.value.verdict == Verdict.MISSING_COHERENCE


def test_a_bucket_that_goes_away_during_a_read_is_not_the_files_fault(zipped, bucket):
    bucket.upload(zipped, "zipped")
    source = Hyp3Source(f"{bucket.url}/zipped", storage_options(Storage(endpoint_url=bucket.endpoint)))
    grid, one = Grid.of(source.static(FRAME, BOX, height=True)), named(source)
    for key in bucket.objects():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    with pytest.raises(SourceUnavailable, match=bucket.url):
        source.read(one, {"": grid})


# where products do not last


DAY = 86400.0


@pytest.mark.parametrize(
    ("url", "ages", "words"),
    [
        ("s3://hyp3-contentbucket-fo259f6r6dn6/job", [1.0], "is HyP3's own storage, which deletes"),
        ("https://hyp3-download.asf.alaska.edu/x", [], "is HyP3's own storage, which deletes"),
        ("s3://our-hyp3-products", [1.0, 13.0], "may be HyP3's storage.*the oldest here is 13 days old"),
        ("s3://our-hyp3-products", [1.0, float("nan")], None),
        ("s3://observatory/hyp3", [400.0], None),
        ("/data/hyp3-contentbucket", [400.0], None),
    ],
)
def test_storage_that_deletes_is_warned_of(url, ages, words):
    said = short_lived(url, [100 * DAY - age * DAY for age in ages], now=100 * DAY)
    if words is None:
        assert said is None
    else:
        assert re.search(words, said)
        assert said.endswith("copy products to storage of your own")


# the antimeridian, and a real product


def test_a_zone_at_the_antimeridian_comes_onto_one_lattice(tmp_path):
    flat = scene((40, 60), np.random.default_rng(1), dates=[date(2021, 1, 5), date(2021, 1, 17)], pixel_km=(KM, KM))
    wide = Grid(179.97, 51.96, STEP, STEP, (40, 60))
    write_products(tmp_path / FRAME, flat, wide, form=Form(zone=60))
    source = Hyp3Source(str(tmp_path))
    for turn in (0, -360):
        box = Box(west=179.98 + turn, south=51.93, east=180.02 + turn, north=51.95)
        found = window(source, "20210105_20210117", box=box)
        assert found.phase.shape[1] == 40
        assert np.isfinite(found.phase).mean() > 0.8


@pytest.mark.skipif(not REAL.exists(), reason=f"no real product in {REAL}")
def test_a_real_gamma_product_is_read_with_its_sign_and_look_vector(tmp_path):
    product = tmp_path / "071D_real" / "S1AA_20190610T135156_20190622T135157_VVP012_INT80_G_ueF_F8BF"
    product.mkdir(parents=True)
    for layer in ("unw_phase", "corr", "dem", "lv_theta", "lv_phi", "los_disp"):
        shutil.copy(REAL / f"insar_{layer}.tif", product / f"{product.name}_{layer}.tif")
    source = Hyp3Source(str(tmp_path))
    whole = source.grid("071D_real")
    with rasterio.open(product / f"{product.name}_los_disp.tif") as tif:

        def metres(pixels):
            found = tif.read(1, window=pixels)
            return np.where(found == 0, np.nan, found).astype(np.float32)

        towards = resampled(tif, whole, metres)
    assert -118.2 < whole.west < -118
    assert 35.7 < whole.north < 35.9
    assert whole.shape[0] in (8, 9, 10)
    found = source.read(named(source, "20190610_20190622", "071D_real"), {"": whole})[""]
    measured = np.isfinite(found.phase) & np.isfinite(towards)
    assert measured.sum() > 60
    # HyP3's own displacement, positive towards the satellite, from the same phase
    np.testing.assert_allclose(found.phase[measured], (towards * RAD_PER_M)[measured], rtol=2e-3)
    assert found.coherence[measured].min() > 0.85 * 255
    layers = source_layers(source, whole)
    assert 1400 < np.nanmin(layers.height) < np.nanmax(layers.height) < 1900
    # the look vector of a descending pass: the satellite stands in the east-south-east
    np.testing.assert_allclose([float(part.mean()) for part in layers.look], (0.673, -0.115, 0.730), atol=2e-3)


def source_layers(source, grid):
    """Static layers on a grid that is too small for a stack."""
    from insar_anomaly.sources.archive import Archive
    from insar_anomaly.sources.hyp3_layers import read_static

    parts = source.pairs("071D_real").pairs[0].products
    return read_static(Archive(source.url), [parts], grid, full=None)


# through the pipeline


def test_ingest_takes_hyp3_products_into_a_stack(still, tmp_path):
    place = Installation(tmp_path)
    write_archive(place.archive, FRAME, still, west=WEST, north=NORTH, step=STEP)
    place.config.write_text(CONFIG.replace('url = "archive"', 'kind = "hyp3"\nurl = "archive"'))
    entry = ENTRY.format(gvp=990002, name="Rising Cone", lon=WEST + 0.094, frame=FRAME, more="")
    (tmp_path / "volcanoes.toml").write_text(entry)
    place.ingest(AS_OF)
    assert set(place.verdicts(f"990002/{FRAME}").values()) == {int(Verdict.OK)}
    with place.opened() as (s, _):
        stack = s.store.open(f"990002/{FRAME}")
        assert stack.sizes["pair"] == len(still.pairs())
        assert set(stack["sign"].values) == {1}
        assert set(stack["platforms"].values.ravel()) == {Platform.S1A}
        assert stack["wavelength"].values == pytest.approx(SENTINEL1_WAVELENGTH_M)
        grid = Grid.of(stack)
        phase = stack["phase"].sel(pair=PAIR).values
        assert centimetres(phase, grid) > 8.0
        assert centimetres(phase, grid) == pytest.approx(centimetres(simulated(still, grid), grid), abs=0.5)
