"""LiCSAR archives in a folder and in a bucket: the same windows, the right sign, no more bytes than needed."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta

import installation
import numpy as np
import pytest
import rasterio
import xarray as xr
from installation import DATES, NORTH, QUIET, RISING, STEP, UNREST, WEST, WIDE, read_tif, write_tif

from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.config.sections import Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import NotInFrame, PairRejected, SourceUnavailable, Verdict, WrongFolder
from insar_anomaly.ledger.records import Seen
from insar_anomaly.names import Pair
from insar_anomaly.pipeline import storage_options
from insar_anomaly.sources import open_source
from insar_anomaly.sources.base import Listed
from insar_anomaly.sources.grid import cut
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.sources.licsar_layout import baselines
from insar_anomaly.sources.listing import fresh as unseen
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import RAD_PER_M, Platform

BOX = Volcano(gvp=990002, name="Rising Cone", lat=0, lon=WEST + 0.094, frames=(WIDE,), box_km=6).box
PAIR = f"{DATES[17]:%Y%m%d}_{DATES[18]:%Y%m%d}"


@pytest.fixture
def archive(built, tmp_path):
    """An archive of the test's own: a few pairs around the unrest."""
    place = installation.Installation(tmp_path)
    shutil.copytree(built.archive / WIDE / "metadata", place.archive / WIDE / "metadata")
    for pair in built.pairs()[48:54]:
        shutil.copytree(built.phase(pair).parent, place.phase(pair).parent)
    assert PAIR in place.pairs()
    return place


def local(place):
    return LicsarSource(str(place.archive))


def remote(bucket, place):
    bucket.upload(place.archive, "licsar")
    return LicsarSource(f"{bucket.url}/licsar", storage_options(Storage(endpoint_url=bucket.endpoint)))


def named(source, pair=PAIR):
    """A pair as the source lists it."""
    return next(p for p in source.pairs(WIDE)[0] if p.pair == pair)


def grids(source):
    """The grids of two boxes."""
    wide = Grid.of(source.static(WIDE, BOX, height=True))
    return {"wide": wide, "small": Grid(wide.west + 20 * STEP, wide.north - 10 * STEP, STEP, STEP, (20, 18))}


def window(source, pair=PAIR):
    return source.read(named(source, pair), grids(source))


def same(one, other):
    assert one.keys() == other.keys()
    for stack in one:
        for a, b in zip(one[stack][:3], other[stack][:3], strict=True):
            np.testing.assert_array_equal(a, b)
        assert repr(one[stack].physics) == repr(other[stack].physics)  # a time that is not known is NaN


def test_a_folder_and_a_bucket_give_the_same_pairs_layers_and_windows(archive, bucket):
    here, there = local(archive), remote(bucket, archive)
    assert here.frames() == there.frames() == [WIDE]
    assert [p.pair for p in here.pairs(WIDE)[0]] == [p.pair for p in there.pairs(WIDE)[0]] == sorted(archive.pairs())
    one, other = (s.static(WIDE, BOX, height=True) for s in (here, there))
    assert one.attrs.pop("source") != other.attrs.pop("source")
    xr.testing.assert_identical(one, other)
    same(window(here), window(there))


def test_a_window_is_the_file_cut_to_the_box(archive):
    source = local(archive)
    wide, small = window(source)["wide"], window(source)["small"]
    full = np.where(read_tif(archive.phase(PAIR)) == 0, np.nan, read_tif(archive.phase(PAIR)))
    grid = grids(source)["wide"]
    row, col = round((NORTH - grid.north) / STEP), round((grid.west - WEST) / STEP)
    assert wide[0].dtype == np.float32
    assert wide[1].dtype == np.uint8
    assert wide[0].shape == grid.shape == (54, 54)
    np.testing.assert_array_equal(wide[0], full[row : row + 54, col : col + 54])
    np.testing.assert_array_equal(small[0], wide[0][10:30, 20:38])
    assert np.isnan(wide[0]).any()
    assert np.isfinite(wide[0]).mean() > 0.5


def test_inflation_is_motion_towards_the_satellite_and_negative_phase_in_the_stack(with_stacks):
    peak = UNREST.source
    with with_stacks.opened() as (s, _):
        stack = s.store.open(RISING)
        phase = stack["phase"].sel(pair=PAIR)
        at = phase.sel(y=NORTH - (peak.row + 0.5) * STEP, x=WEST + (peak.col + 0.5) * STEP, method="nearest")
        quiet = s.store.open(QUIET)["phase"].sel(pair=PAIR)
        away = float(np.nanmedian(quiet.values))
    assert peak.peak_cm > 0
    near = phase.values[22:32, 22:32]
    assert float(np.nanmin(near)) - away < 0.7 * RAD_PER_M * peak.peak_cm / 100 < 0
    assert float(at) < away


def test_windowed_reads_from_a_bucket_fetch_a_part_of_the_file(bucket, tmp_path, monkeypatch):
    from s3fs.core import S3File

    size = 1200
    folder = tmp_path / WIDE / "interferograms" / PAIR
    folder.mkdir(parents=True)
    profile = {"driver": "GTiff", "count": 1, "crs": "EPSG:4326", "height": size, "width": size, "compress": "deflate"}
    transform = rasterio.Affine(STEP, 0, WEST, 0, -STEP, NORTH)
    noise = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
    for end, array in (("unw", noise), ("cc", np.full((size, size), 200, np.uint8))):
        with rasterio.open(folder / f"{PAIR}.geo.{end}.tif", "w", dtype=array.dtype, transform=transform, **profile) as tif:
            tif.write(array, 1)
    bucket.upload(tmp_path / WIDE, f"licsar/{WIDE}")
    source = LicsarSource(f"{bucket.url}/licsar", storage_options(Storage(endpoint_url=bucket.endpoint)))
    fetched = []
    original = S3File._fetch_range

    def counting(self, start, end):
        fetched.append(end - start)
        return original(self, start, end)

    monkeypatch.setattr(S3File, "_fetch_range", counting)
    grid = Grid(WEST + 600 * STEP, NORTH - 600 * STEP, STEP, STEP, (54, 54))
    read = source.read(named(source), {"": grid})[""]
    np.testing.assert_array_equal(read[0], noise[600:654, 600:654])
    whole = (folder / f"{PAIR}.geo.unw.tif").stat().st_size
    assert whole > 4e6
    assert 0 < sum(fetched) < whole / 3


def test_the_public_spelling_with_geoc_reads_the_same(archive):
    before, static = window(local(archive)), local(archive).static(WIDE, BOX, height=True)
    frame = archive.archive / WIDE
    (frame / "interferograms").rename(frame / "GEOC")
    for file in (frame / "metadata").iterdir():
        file.rename(frame / "GEOC" / file.name)
    (frame / "metadata").rmdir()
    same(window(local(archive)), before)
    xr.testing.assert_identical(local(archive).static(WIDE, BOX, height=True), static)


def test_a_pair_with_its_later_date_first_counts_from_it_and_is_turned(archive):
    before, folder = window(local(archive))["wide"], archive.phase(PAIR).parent
    turned = "_".join(reversed(PAIR.split("_")))
    other = folder.rename(folder.with_name(turned))
    for file in list(other.iterdir()):
        file.rename(other / file.name.replace(PAIR, turned))
    source = local(archive)
    one = named(source)
    assert one.turned
    after = source.read(one, grids(source))["wide"]
    np.testing.assert_array_equal(after.phase, -before.phase)
    assert (before.physics.sign, after.physics.sign) == (1, -1)
    assert one.platforms == named(local(archive)).platforms


def test_an_acquisition_that_crosses_midnight_has_one_date(archive):
    first, last = Pair.of(PAIR).days
    before = {one.pair for one in local(archive).pairs(WIDE).pairs}
    for pair in [pair for pair in archive.pairs() if pair.startswith(f"{last:%Y%m%d}")]:
        moved = pair.replace(f"{last:%Y%m%d}", f"{last + timedelta(1):%Y%m%d}")
        folder = archive.phase(pair).parent.rename(archive.phase(pair).parent.with_name(moved))
        for file in list(folder.iterdir()):
            file.rename(folder / file.name.replace(pair, moved))
    assert {one.pair for one in local(archive).pairs(WIDE).pairs} != before
    (archive.archive / WIDE / "metadata/metadata.txt").write_text(
        "master=20170524\ncenter_time=23:59:58.75\nheading=-10.0\n"
    )
    listing = local(archive).pairs(WIDE)
    assert {one.pair for one in listing.pairs} == before
    assert {one.utc_s for one in listing.pairs} == {86398.75}
    assert first < last


def test_baselines_are_differences_of_the_two_dates_and_nan_where_unknown(archive):
    first, second = (f"{DATES[i]:%Y%m%d}" for i in (17, 18))
    lines = f"20210105 {first} 20.5 0\n20210105 {second} -30.0 12\nnonsense\n20210105 2021 7\n20210105 20210209 x 1\n"
    assert baselines(lines) == {DATES[17]: 20.5, DATES[18]: -30.0}
    (archive.archive / WIDE / "metadata" / "baselines").write_text(lines)
    assert window(local(archive))["wide"][2] == -50.5
    others = [p.baseline for p in local(archive).pairs(WIDE)[0] if p.pair != PAIR]
    assert others
    assert np.isnan(others).all()


def test_a_pair_is_read_with_the_satellites_that_passed(archive):
    """LiCSAR does not say them: they follow from the frame's track and the dates, see `sources.orbits`."""
    frame = "079D_07694_131313"
    shutil.move(archive.archive / WIDE, archive.archive / frame)
    names = {"20170104_20170110": (Platform.S1A, Platform.S1B)}  # S1A passed 079D on 4 January 2017
    for name in names:
        shutil.copytree(archive.archive / frame / "interferograms" / PAIR, archive.archive / frame / "interferograms" / name)
        for file in (archive.archive / frame / "interferograms" / name).iterdir():
            file.rename(file.with_name(file.name.replace(PAIR, name)))
    source = local(archive)
    listed = {one.pair: one for one in source.pairs(frame)[0]}
    for name, platforms in names.items():
        assert listed[name].platforms == platforms
        read = source.read(listed[name], {"": source.grid(frame)})[""]
        assert (read.physics.platforms, read.physics.sign) == (platforms, 1)


def test_the_frames_own_look_vectors_and_landmask_are_used(archive):
    meta = archive.archive / WIDE / "metadata"
    for i, name in enumerate("ENU"):
        path = meta / f"{WIDE}.geo.{name}.tif"
        write_tif(path, np.full_like(read_tif(path), 0.5 + i / 10))
    mask = np.ones((64, 124), np.uint8)
    mask[:, :80] = 0
    shutil.copy(meta / f"{WIDE}.geo.hgt.tif", meta / f"{WIDE}.geo.landmask.tif")
    write_tif(meta / f"{WIDE}.geo.landmask.tif", mask, dtype="uint8", predictor=2)
    static = local(archive).static(WIDE, BOX, height=True)
    assert [float(static[k].mean()) for k in "enu"] == pytest.approx([0.5, 0.6, 0.7])
    assert static.attrs["look"] == "frame's layers"
    column = round((float(static["x"][0]) - STEP / 2 - WEST) / STEP)
    np.testing.assert_array_equal(static["water"].values, np.broadcast_to(np.arange(54) < 80 - column, (54, 54)))


@pytest.mark.parametrize(("letter", "east"), [("A", -0.62), ("D", 0.62)])
def test_without_look_vectors_the_orbit_direction_gives_nominal_ones(letter, east, archive):
    frame = f"001{letter}_00001_010101"
    for name in "ENU":
        (archive.archive / WIDE / "metadata" / f"{WIDE}.geo.{name}.tif").unlink()
    if letter == "D":
        folder = (archive.archive / WIDE).rename(archive.archive / frame)
        for file in (folder / "metadata").iterdir():
            file.rename(file.with_name(file.name.replace(WIDE, frame)))
    static = local(archive).static(frame, BOX, height=True)
    assert static.attrs["look"] == "nominal"
    assert float(static["e"].mean()) == pytest.approx(east)
    assert float(static["u"].mean()) > 0.5
    assert not static["water"].any()


def test_coherence_in_bytes_or_in_parts_of_one_is_stored_the_same(archive):
    expected = window(local(archive))["wide"][1]
    path = archive.coherence(PAIR)
    parts = read_tif(path).astype(np.float32) / 255
    write_tif(path, parts, dtype="float32", predictor=3, nodata=np.nan)
    np.testing.assert_array_equal(window(local(archive))["wide"][1], expected)


def test_a_box_is_cut_to_the_frame_and_one_outside_is_refused():
    frame = Grid(40.0, 1.0, 0.001, 0.001, (1000, 1000))
    inside = cut(frame, Box(west=39.9, south=0.5, east=40.1, north=1.5), what="it")
    assert (inside.west, inside.north, inside.shape) == (40.0, 1.0, (500, 100))
    with pytest.raises(NotInFrame, match=r"it covers 40\.000 to 41\.000 E, 0\.000 to 1\.000 N"):
        cut(frame, Box(west=41.1, south=0.5, east=41.2, north=0.6), what="it")


@pytest.mark.parametrize("shift", [(0.4, 0), (0, 0.4), (80, 0), (0, -40)], ids=str)
def test_a_file_off_the_stacks_grid_is_rejected(shift, archive):
    source = local(archive)
    wanted, one = grids(source), named(source)
    path = archive.phase(PAIR)
    write_tif(
        path, read_tif(path), transform=rasterio.Affine(STEP, 0, WEST + shift[0] * STEP, 0, -STEP, NORTH + shift[1] * STEP)
    )
    with pytest.raises(PairRejected, match="do not hold the stack's grid") as rejected:
        source.read(one, wanted)
    assert rejected.value.verdict == Verdict.WRONG_GRID
    assert str(path) in str(rejected.value)


def test_a_file_of_a_larger_extent_on_the_same_grid_is_read(archive):
    source = local(archive)
    before, wanted = window(source), grids(source)
    path = archive.phase(PAIR)
    wider = np.pad(read_tif(path), ((5, 3), (7, 2)))
    write_tif(path, wider, transform=rasterio.Affine(STEP, 0, WEST - 7 * STEP, 0, -STEP, NORTH + 5 * STEP))
    np.testing.assert_array_equal(source.read(named(source), wanted)["wide"][0], before["wide"][0])


def test_a_fingerprint_changes_with_the_file_and_with_nothing_else_in_a_folder(archive):
    source = local(archive)
    before = named(source).fingerprint
    assert named(source).fingerprint == before
    os.utime(archive.coherence(PAIR), (1, 1))
    after = named(source).fingerprint
    assert after != before
    archive.phase(PAIR).write_bytes(archive.phase(PAIR).read_bytes() + b"\0")
    assert named(source).fingerprint != after


def test_a_fingerprint_changes_with_the_content_in_a_bucket_and_new_pairs_are_seen(archive, bucket):
    source = remote(bucket, archive)
    before = named(source)
    key = f"licsar/{WIDE}/interferograms/{PAIR}/{PAIR}.geo.unw.tif"
    content = bytearray(archive.phase(PAIR).read_bytes())
    content[-1] ^= 1
    bucket.client.put_object(Bucket=bucket.name, Key=key, Body=bytes(content))
    assert named(source).fingerprint != before.fingerprint
    other = key.replace(PAIR, "20220101_20220113")
    bucket.client.put_object(Bucket=bucket.name, Key=other, Body=bytes(content))
    assert named(source, "20220101_20220113").coherence_uri is None
    bucket.client.put_object(Bucket=bucket.name, Key="licsar/009D_new/metadata/x", Body=b"")
    assert source.frames() == [WIDE, "009D_new"]


def test_a_bucket_that_goes_away_during_a_read_is_not_the_files_fault(archive, bucket):
    source = remote(bucket, archive)
    wanted, one = grids(source), named(source)
    for key in bucket.objects():
        bucket.client.delete_object(Bucket=bucket.name, Key=key)
    with pytest.raises(SourceUnavailable, match=bucket.url):
        source.read(one, wanted)


def test_a_server_that_goes_away_during_a_read_is_not_the_files_fault(archive, bucket, closed_port):
    source = remote(bucket, archive)
    wanted, one = grids(source), named(source)
    storage = Storage(endpoint_url=f"http://127.0.0.1:{closed_port()}", timeout_s=1)
    gone = LicsarSource(source.url, storage_options(storage))
    with pytest.raises(SourceUnavailable, match=r"cannot be reached.*nothing was lost"):
        gone.read(one, wanted)


@pytest.mark.parametrize("part", [0, 4, 0.5], ids=["empty", "four bytes", "half"])
def test_a_truncated_file_in_a_bucket_is_the_files_fault(part, archive, bucket):
    content = archive.phase(PAIR).read_bytes()
    archive.phase(PAIR).write_bytes(content[: int(part * len(content)) if part < 1 else part])
    source = remote(bucket, archive)
    with pytest.raises(PairRejected, match="upload it again") as rejected:
        source.read(named(source), grids(source))
    assert rejected.value.verdict == Verdict.UNREADABLE
    assert f"{PAIR}.geo.unw.tif" in rejected.value.detail


def test_what_is_new_is_listed_minus_seen_and_a_rejected_pair_counts_when_it_changed():
    listed = [Listed(p, "u", "c", f"mark of {p}") for p in ("20200125_20200206", "20200101_20200113", "20200113_20200125")]
    assert [p.pair for p in unseen(listed, {})] == ["20200101_20200113", "20200113_20200125", "20200125_20200206"]
    seen = {
        "20200101_20200113": Seen("another mark", Verdict.OK),
        "20200113_20200125": Seen("another mark", Verdict.UNREADABLE),
        "20200125_20200206": Seen("mark of 20200125_20200206", Verdict.UNREADABLE),
    }
    assert [p.pair for p in unseen(listed, seen)] == ["20200113_20200125"]


def test_an_unknown_kind_of_source_is_refused():
    with pytest.raises(ValueError, match="source kind = 'esa': choose one of licsar"):
        open_source(SourceSettings.model_construct(kind="esa", url="somewhere"), {})


# a URL that is not the folder of the frames


@pytest.fixture(params=["folder", "bucket"])
def at(request, archive):
    """Makes the source at a path below, or above, the archive."""
    if request.param == "folder":
        return lambda path: LicsarSource(os.path.normpath(f"{archive.archive}/{path}"))
    bucket = request.getfixturevalue("bucket")
    bucket.upload(archive.archive, "data/archive")
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    return lambda path: LicsarSource(f"{bucket.url}/{os.path.normpath(f'data/archive/{path}')}".removesuffix("/."), options)


@pytest.mark.parametrize(
    "path", [WIDE, f"{WIDE}/", f"{WIDE}/interferograms", f"{WIDE}/metadata", f"{WIDE}/interferograms/{PAIR}"]
)
def test_a_url_inside_a_frame_is_answered_with_the_url_to_write(path, at):
    right = at(".").url
    assert at(".").frames() == [WIDE]
    with pytest.raises(WrongFolder) as caught:
        at(path).frames()
    assert f'write the folder of the frames in [[source]]: url = "{right}"' in str(caught.value)
    with pytest.raises(WrongFolder):
        at(path).pairs(WIDE)


def test_a_url_above_the_archive_is_answered_with_the_url_to_write(at):
    with pytest.raises(NotInFrame) as caught:
        at("..").pairs(WIDE)
    assert f"frame {WIDE} is not in {at('..').url}; " in str(caught.value)
    assert f'write url = "{at(".").url}" in [[source]]' in str(caught.value)
    with pytest.raises(NotInFrame, match="correct the frame in the catalogue, or the url in"):
        at("..").pairs("999D_99999_999999")


def test_an_archive_that_holds_more_than_frames_is_one(archive):
    for name in ("metadata", "interferograms"):
        (archive.archive / name).mkdir()
    assert WIDE in local(archive).frames()


# volcano and frame


def test_a_box_that_would_lie_in_the_frame_with_lat_and_lon_exchanged_is_told(archive):
    whole = local(archive).grid(WIDE)
    assert cut(whole, BOX, what="the frame").shape == (54, 54)
    turned = Volcano(gvp=990002, name="Rising Cone", lat=WEST + 0.094, lon=0, frames=(WIDE,), box_km=6).box
    with pytest.raises(NotInFrame, match="lat and lon of the volcano seem to be swapped"):
        cut(whole, turned, what="the frame")
    far = Volcano(gvp=990002, name="Rising Cone", lat=0, lon=60, frames=(WIDE,), box_km=6).box
    with pytest.raises(NotInFrame) as caught:
        cut(whole, far, what="the frame")
    assert "swapped" not in str(caught.value)


def test_the_grid_of_a_frame_without_height_is_that_of_a_pair(archive):
    with_height = local(archive).grid(WIDE)
    (archive.archive / WIDE / "metadata" / f"{WIDE}.geo.hgt.tif").unlink()
    assert local(archive).grid(WIDE) == with_height
