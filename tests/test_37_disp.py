"""OPERA DISP-S1: displacement since a moving reference becomes phase of pairs of neighbouring epochs."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from itertools import pairwise

import h5py
import numpy as np
import pytest
import rasterio
from scipy.ndimage import binary_erosion

from insar_anomaly import cli
from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.sections import Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import MissingLayer, NotInFrame, PairRejected, Verdict, WrongFolder
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline import storage_options
from insar_anomaly.simulate import PointSource, Scene, Unrest
from insar_anomaly.sources import open_source
from insar_anomaly.sources._disp_chain import Named, chains, newest
from insar_anomaly.sources.archive import Entry
from insar_anomaly.sources.disp import looks_like
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.tools.layouts import frame_name, writer
from insar_anomaly.units import RAD_PER_M, SENTINEL1_WAVELENGTH_M, Platform

WRITTEN, FRAME = "064D_00017_010101", "064D_F00017"
DATES = tuple(date(2021, 1, 5) + timedelta(days=12 * i) for i in range(19))
RISING = Unrest(PointSource(24, 30, depth_km=1.5, peak_cm=12.0), DATES[15], DATES[16])
WEST, NORTH, STEP = 40.0, 10.024, 0.001
BOX = Box(west=40.008, south=9.984, east=40.052, north=10.016)


def simulated():
    """Screens that are smooth at the scale of a pixel, a hole, a source that grows between the 16th and the 17th epoch."""
    rng = np.random.default_rng(4)
    row, col = np.mgrid[:48, :60]
    screens = np.stack([a * np.sin(col / 15 + b) + c * np.cos(row / 12) for a, b, c in rng.normal(0, 1, (len(DATES), 3))])
    lost = np.zeros((48, 60), bool)
    lost[30:36, 40:50] = True
    return Scene(DATES, screens, 800 + 10.0 * row, lost, (RISING,), (0.11, 0.11))


SCENE = simulated()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disp")
    names = writer("disp")(folder, WRITTEN, SCENE, west=WEST, north=NORTH, step=STEP)
    assert len(names) == len(DATES) - 1
    return folder


@pytest.fixture
def archive(kept, tmp_path):
    """A copy that may be spoiled."""
    return shutil.copytree(kept, tmp_path / "opera")


def source(folder):
    return open_source(SourceSettings(kind="disp", url=str(folder)), {})


def product(folder, first, last):
    """The file of a product."""
    [found] = folder.glob(f"OPERA_L3_DISP-S1_IW_*_{first:%Y%m%d}T*_{last:%Y%m%d}T*.nc")
    return found


def read(its, first, last, grid=None):
    name = f"{first:%Y%m%d}_{last:%Y%m%d}"
    one = next(one for one in its.pairs(FRAME).pairs if one.pair == name)
    return its.read(one, {"": grid or Grid.of(its.static(FRAME, BOX, height=True))})[""]


def truth(first, last, grid):
    row, col = round((NORTH - grid.north) / STEP), round((grid.west - WEST) / STEP)
    return SCENE.phase(DATES.index(first), DATES.index(last))[row : row + grid.shape[0], col : col + grid.shape[1]]


def test_frames_have_track_and_direction_in_their_names(kept):
    assert source(kept).frames() == [FRAME] == [frame_name("disp", WRITTEN)]
    assert looks_like([path.name for path in kept.iterdir()])
    assert not looks_like(["20210105_20210117", "dem.tif"])


def test_pairs_are_those_of_neighbouring_epochs_across_the_moves_of_the_reference(kept):
    listing = source(kept).pairs(FRAME)
    expected = [f"{a:%Y%m%d}_{b:%Y%m%d}" for a, b in pairwise(DATES)]
    assert [one.pair for one in listing.pairs] == expected
    assert not listing.twice
    assert not listing.unlisted
    # the first of each reference and the first after it moved are products themselves
    assert [len(one.links) for one in listing.pairs] == [1, *[2] * 14, 1, 2, 2]


@pytest.mark.parametrize("number", [0, 5, 14, 15, 17])
def test_phase_of_every_kind_of_chain_is_that_of_the_pair(kept, number):
    its = source(kept)
    first, last = DATES[number : number + 2]
    grid = Grid.of(its.static(FRAME, BOX, height=True))
    window = read(its, first, last)
    inside = binary_erosion(np.isfinite(truth(first, last, grid)), iterations=1)
    assert inside.mean() > 0.8
    assert np.isfinite(window.phase[inside]).all()
    limit = 0.25 if number == 15 else 0.05  # the source is steep
    assert np.abs(window.phase - truth(first, last, grid))[inside].max() < limit
    assert window.phase.dtype == np.float32
    assert window.coherence.dtype == np.uint8
    assert np.median(window.coherence) == pytest.approx(0.8 * 255, abs=1)
    assert window.baseline == pytest.approx(10, abs=0.01)
    assert window.physics.sign == -1
    assert window.physics.wavelength_m == SENTINEL1_WAVELENGTH_M
    assert window.physics.platforms == (Platform.S1A, Platform.S1A)
    assert window.physics.utc_s == 30 * 60 + 21


def test_inflation_is_motion_towards_the_satellite(kept):
    window = read(source(kept), *DATES[15:17])
    row, col = 8, 8  # where the box begins
    quiet = (SCENE.screens[16] - SCENE.screens[15])[row : row + 32, col : col + 44]
    cm = (window.phase - quiet) / RAD_PER_M * 100
    assert np.nanmax(cm[11:21, 17:27]) == pytest.approx(12, abs=0.5)
    assert np.nanmin(cm) > -0.5


def test_what_the_recommended_mask_leaves_out_is_not_read(kept):
    its = source(kept)
    grid = Grid.of(its.static(FRAME, BOX, height=True))
    lost = np.isnan(truth(DATES[3], DATES[4], grid))
    assert lost.sum() == 60
    window = read(its, DATES[3], DATES[4])
    assert np.isnan(window.phase[binary_erosion(lost)]).all()
    near = np.abs(window.phase - truth(DATES[3], DATES[4], grid))
    assert np.nanmax(near) < 0.2  # the 10 cm that were written there would be 20 rad


def test_without_a_recommended_mask_temporal_coherence_and_water_mask_are_used(archive):
    for day in (DATES[3], DATES[4]):
        with h5py.File(product(archive, DATES[0], day), "r+") as file:
            del file["recommended_mask"]
            file["water_mask"][:, :60] = 0
    its = source(archive)
    grid = Grid.of(its.static(FRAME, BOX, height=True))
    window = read(its, DATES[3], DATES[4], grid)
    assert np.isnan(window.phase[binary_erosion(np.isnan(truth(DATES[3], DATES[4], grid)))]).all()
    assert np.isnan(window.phase[:, :5]).all()
    assert np.isfinite(window.phase[:10, 15:]).all()


def test_water_height_and_look_vector_are_those_of_the_products(archive):
    newest_one = product(archive, DATES[15], DATES[18])
    with h5py.File(newest_one, "r+") as file:
        file["water_mask"][:, :70] = 0
    static = source(archive).static(FRAME, BOX, height=True)
    assert static.attrs["look"] == "frame's layers"
    assert static.attrs["left_out"] == []
    assert static.attrs["wavelength_m"] == SENTINEL1_WAVELENGTH_M
    np.testing.assert_allclose([static[name].values.mean() for name in "enu"], [0.62, -0.11, 0.78], atol=1e-3)
    assert float(static["height"][0, 0]) == pytest.approx(800 + 10 * 8, abs=4)
    assert static["water"].values[:, :8].all()
    assert not static["water"].values[:, 20:].any()
    west, north, dx, dy = static.attrs["grid"]
    assert (dx, dy) == (0.001, 0.001)
    np.testing.assert_allclose([west / dx % 1, north / dy % 1], 0, atol=1e-6)


def test_without_static_layers_the_look_is_nominal_and_a_needed_height_is_asked_for(archive):
    for path in archive.glob("*STATIC*"):
        path.unlink()
    its = source(archive)
    assert its.static(FRAME, BOX, height=False).attrs["look"] == "nominal"
    with pytest.raises(MissingLayer, match=r"OPERA_L3_DISP-S1-STATIC_F00017_.*dem\.tif is missing; add it, or leave height"):
        its.static(FRAME, BOX, height=True)


def test_a_static_layer_that_is_broken_costs_a_line(archive):
    [path] = archive.glob("*line_of_sight_enu.tif")
    with rasterio.open(path, "r+") as tif:
        tif.write(np.full((tif.height, tif.width), 3, np.float32), 1)
    static = source(archive).static(FRAME, BOX, height=True)
    assert static.attrs["look"] == "nominal"
    assert path.name in static.attrs["left_out"][0]


def test_a_pair_to_which_no_products_lead_is_not_made_and_is_named(archive):
    product(archive, DATES[0], DATES[15]).unlink()  # the one that the reference moved on with
    listing = source(archive).pairs(FRAME)
    assert len(listing.pairs) == len(DATES) - 2
    gap = f"{DATES[14]:%Y%m%d}_{DATES[15]:%Y%m%d}"
    assert gap not in {one.pair for one in listing.pairs}
    assert len(listing.unlisted) == 1
    assert gap in listing.unlisted[0]


def named(first, last, version="1.0", made="20250415T000000Z"):
    days = (date(2021, 1, 1) + timedelta(days=day) for day in (first, last))
    dates = "_".join(f"{day:%Y%m%d}T000000Z" for day in days)
    return Named.of(Entry("", f"OPERA_L3_DISP-S1_IW_F00017_VV_{dates}_v{version}_{made}.nc", False))


def day(pair):
    return tuple((one - date(2021, 1, 1)).days for one in pair.days)


def test_chains_take_the_fewest_products_and_a_missing_epoch_widens_a_pair():
    products = [named(0, 12), named(0, 36), named(24, 48), named(0, 24), named(24, 60)]
    made, broken = chains(products)
    assert not broken
    assert [day(one.pair) for one in made] == [(0, 12), (12, 24), (24, 36), (36, 48), (48, 60)]
    walked = [[(*[(d - date(2021, 1, 1)).days for d in link.named.days], link.sign) for link in one.links] for one in made]
    assert walked == [
        [(0, 12, 1)],
        [(0, 12, -1), (0, 24, 1)],
        [(0, 24, -1), (0, 36, 1)],
        [(0, 36, -1), (0, 24, 1), (24, 48, 1)],  # the reference is older than the earlier epoch
        [(24, 48, -1), (24, 60, 1)],
    ]
    made, broken = chains([one for one in products if one != named(0, 12)])
    assert [day(one.pair) for one in made] == [(0, 24), (24, 36), (36, 48), (48, 60)]
    made, broken = chains([one for one in products if one != named(0, 24)])
    assert [day(one) for one in broken] == [(12, 24), (24, 36), (36, 48)]  # nothing leads from 0 to 24


def test_the_newest_version_then_the_newest_production_wins():
    old, later, new = named(0, 12), named(0, 12, made="20250601T000000Z"), named(0, 12, "1.1", "20250101T000000Z")
    tenth = named(0, 12, "1.10", "20240101T000000Z")
    assert newest([later, old]) == [later]
    assert newest([new, later, old]) == [new]
    assert newest([new, tenth, old]) == [tenth]
    assert Named.of(Entry("", "OPERA_L3_DISP-S1-STATIC_F08882_20140403_S1A_v1.0_dem.tif", False)) is None


def test_a_reprocessed_product_replaces_the_old_one_in_every_pair_it_is_part_of(archive):
    before = {one.pair: one.fingerprint for one in source(archive).pairs(FRAME).pairs}
    old = product(archive, DATES[0], DATES[4])
    new = archive / old.name.replace("_v1.0_20250415", "_v1.1_20260101")
    shutil.copy(old, new)
    with h5py.File(new, "r+") as file:
        file["displacement"][...] += 0.01
    its = source(archive)
    after = {one.pair: one.fingerprint for one in its.pairs(FRAME).pairs}
    changed = [f"{a:%Y%m%d}_{b:%Y%m%d}" for a, b in (DATES[3:5], DATES[4:6])]
    assert [pair for pair in before if before[pair] != after[pair]] == changed
    grid = Grid.of(its.static(FRAME, BOX, height=True))
    moved = read(its, *DATES[3:5], grid).phase - truth(*DATES[3:5], grid)
    assert np.nanmedian(moved) == pytest.approx(0.01 * RAD_PER_M, abs=0.05)


def unit(file):
    file["displacement"].attrs["units"] = "radians"


def too_much(file):
    file["displacement"][50:60] = 500


def no_place(file):
    del file["spatial_ref"].attrs["GeoTransform"]


def no_layer(file):
    del file["displacement"]


@pytest.mark.parametrize(
    ("spoil", "verdict", "words"),
    [
        (unit, Verdict.WRONG_NUMBERS, "displacement in radians, and m is needed"),
        (too_much, Verdict.WRONG_NUMBERS, "at most 100 can be right"),
        (no_place, Verdict.WRONG_CRS, "spatial_ref does not tell"),
        (no_layer, Verdict.UNREADABLE, "no displacement in it"),
    ],
)
def test_a_product_that_is_wrong_costs_the_pairs_it_is_part_of_and_is_named(archive, spoil, verdict, words):
    its = source(archive)
    grid = Grid.of(its.static(FRAME, BOX, height=True))
    bad = product(archive, DATES[0], DATES[4])
    with h5py.File(bad, "r+") as file:
        spoil(file)
    for first, last in (DATES[3:5], DATES[4:6]):
        with pytest.raises(PairRejected, match=words) as caught:
            read(its, first, last, grid)
        assert caught.value.verdict == verdict
        assert bad.name in str(caught.value)
    read(its, *DATES[5:7], grid)


def test_a_truncated_product_is_unreadable_and_the_frame_keeps_its_name(archive):
    bad = product(archive, DATES[15], DATES[18])
    bad.write_bytes(bad.read_bytes()[:5000])
    its = source(archive)
    assert its.frames() == [FRAME]
    grid = its.grid(FRAME)
    with pytest.raises(PairRejected) as caught:
        read(its, *DATES[17:19], grid)
    assert caught.value.verdict == Verdict.UNREADABLE
    assert bad.name in caught.value.detail


def test_a_frame_that_is_not_there_is_told_with_those_that_are(kept, tmp_path):
    with pytest.raises(NotInFrame, match="frame 064D_F00018 is not in .* which holds F00017; correct the frame"):
        source(kept).pairs("064D_F00018")
    with pytest.raises(WrongFolder, match="is empty, and no product named OPERA_L3_DISP-S1"):
        source(tmp_path).pairs(FRAME)


def test_a_bucket_gives_the_same_as_a_folder(kept, bucket):
    bucket.upload(kept, "opera")
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    there = open_source(SourceSettings(kind="disp", url=f"{bucket.url}/opera"), options)
    here = source(kept)
    assert there.frames() == [FRAME]
    grid = Grid.of(here.static(FRAME, BOX, height=True))
    assert here.static(FRAME, BOX, height=True).equals(there.static(FRAME, BOX, height=True))
    for a, b in zip(read(here, *DATES[3:5], grid), read(there, *DATES[3:5], grid), strict=True):
        np.testing.assert_array_equal(a, b)


def test_ingest_through_the_command_line(kept, tmp_path):
    (tmp_path / "volcanoes.toml").write_text(
        f'[[volcano]]\ngvp = 100001\nname = "V"\nlat = 10.0\nlon = 40.03\nframes = ["{FRAME}"]\nbox_km = 4\n'
    )
    (tmp_path / "config.toml").write_text(f'[[source]]\nkind = "disp"\nurl = "{kept}"\n\n[cluster]\nkind = "inline"\n')
    assert cli.main(["-q", "-c", str(tmp_path / "config.toml"), "ingest"]) == 0
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        assert {int(seen.verdict) for seen in ledger.seen(f"100001/{FRAME}").values()} == {0}
    stack = Store(str(tmp_path / "store")).open(f"100001/{FRAME}").load()
    assert stack.sizes["pair"] == len(DATES) - 1
    assert set(stack["sign"].values) == {-1}
    assert (stack["platforms"].values == Platform.S1A).all()
