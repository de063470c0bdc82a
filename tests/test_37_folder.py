"""A plain folder of GeoTIFFs: names by a pattern, numbers and signs as the settings say, any raster onto one grid."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rasterio import Affine
from rasterio.shutil import copy as copy_raster
from rasterio.warp import transform as warp
from scipy.ndimage import binary_erosion

from insar_anomaly import cli
from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.load import load
from insar_anomaly.config.sections import Storage
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import ConfigError, HeightUnusable, MissingLayer, NotInFrame, PairRejected, Verdict, WrongFolder
from insar_anomaly.files.pattern import Pattern
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.names import Pair
from insar_anomaly.pipeline import storage_options
from insar_anomaly.simulate import PointSource, Unrest, acquisitions, scene
from insar_anomaly.sources import open_source
from insar_anomaly.sources.folder import looks_like
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.tools.layouts import source_lines, writer
from insar_anomaly.units import RAD_PER_M, SENTINEL1_WAVELENGTH_M, Platform

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FRAME, PAIR = "005A_mexico", "20200101_20200113"
GRID = Grid(40.0, 10.0, 0.001, 0.001, (40, 50))
AFFINE = Affine(0.001, 0, 40.0, 0, -0.001, 10.0)
NOISE = np.random.default_rng(1).normal(0, 3, GRID.shape).astype(np.float32)
PATTERN = "{reference:%Y%m%d}_{secondary:%Y%m%d}.unw.tif"
TWICE = "{reference}_{secondary}/{reference}_{secondary}.tif"
TIMED = "{reference:%Y-%m-%dT%H%M%S}_{secondary:%Y-%m-%dT%H%M%S}.tif"


def write(path, array, **profile):
    """A GeoTIFF of one band, north up in degrees where nothing else is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"count": 1, "crs": "EPSG:4326", "transform": AFFINE, "dtype": array.dtype} | profile
    with rasterio.open(
        path, "w", driver=kept.pop("driver", "GTiff"), height=array.shape[0], width=array.shape[1], **kept
    ) as tif:
        tif.write(array, 1)
    return path


def source(folder, **its):
    its = {"pattern": PATTERN} | its
    if "{frame}" not in its["pattern"]:
        its = {"frame": FRAME} | its
    return open_source(SourceSettings(kind="folder", url=str(folder), **its), {})


def phase(folder, grid=GRID, **its):
    """The window of the only pair."""
    its = source(folder, **its)
    [one] = its.pairs(its.frames()[0]).pairs
    return its.read(one, {"": grid})[""]


@pytest.mark.parametrize(
    ("pattern", "path", "found"),
    [
        (PATTERN, "20200101_20200113.unw.tif", ("", "20200101", "20200113")),
        ("{frame}/{reference}-{secondary}/unw.tif", "5A_x/20200113-20200101/unw.tif", ("5A_x", "20200113", "20200101")),
        (TWICE, "20200101_20200113/20200101_20200113.tif", ("", "20200101", "20200113")),
        (TWICE, "20200101_20200113/20200101_20200125.tif", None),
        ("a/*_{reference:%d%b%y}_{secondary:%d%b%y}*.tif", "a/crop_01Jan20_13Jan20_VV.tif", ("", "20200101", "20200113")),
        ("{reference:%Y%j}_{secondary:%Y%j}.tif", "2020001_2020013.tif", ("", "20200101", "20200113")),
        ("{reference:%Y%J}_{secondary:%Y%J}/u.tif", "2020000_2020012/u.tif", ("", "20200101", "20200113")),
        (TIMED, "2020-01-01T003000_2020-01-13T003000.tif", ("", "20200101", "20200113")),
        (PATTERN, "20200101_20200113.cc.tif", None),
        (PATTERN, "deeper/20200101_20200113.unw.tif", None),
    ],
)  # fmt: skip
def test_a_pattern_tells_frame_and_dates(pattern, path, found):
    matched = Pattern(pattern).match(path)
    if found is None:
        assert matched is None
    else:
        assert (matched.frame, f"{matched.reference:%Y%m%d}", f"{matched.secondary:%Y%m%d}") == found
        assert path.count("/") == Pattern(pattern).levels - 1 + (Pattern(pattern).folder != "")


def test_what_stands_for_a_date_and_is_none_is_named_and_the_others_are_listed(tmp_path):
    for name in ("20200101_20200113", "20201301_20201401", "20200101_20200101"):
        write(tmp_path / f"{name}.unw.tif", NOISE)
    listing = source(tmp_path).pairs(FRAME)
    assert [one.pair for one in listing.pairs] == [PAIR]
    assert len(listing.unlisted) == 2
    assert "20201301_20201401.unw.tif: 20201301 is no date" in listing.unlisted[1]
    assert "20200101_20200101.unw.tif: both dates are the same" in listing.unlisted[0]


SIGNS = [
    # name of the file, positive, reference -> whether the reader turns it
    ("20200101_20200113", "away", "named", 1),
    ("20200113_20200101", "away", "named", -1),
    ("20200101_20200113", "towards", "named", -1),
    ("20200113_20200101", "towards", "named", 1),
    ("20200113_20200101", "away", "earlier", 1),
    ("20200101_20200113", "away", "later", -1),
    ("20200101_20200113", "towards", "later", 1),
]


@pytest.mark.parametrize(("name", "positive", "reference", "sign"), SIGNS)
def test_phase_is_away_from_the_satellite_since_the_earlier_date_in_either_order_of_dates(
    tmp_path, name, positive, reference, sign
):
    write(tmp_path / f"{name}.unw.tif", NOISE)
    window = phase(tmp_path, positive=positive, reference=reference, platform="S1C")
    np.testing.assert_array_equal(window.phase, sign * NOISE)
    assert window.physics.sign == sign
    assert window.physics.wavelength_m == SENTINEL1_WAVELENGTH_M
    assert window.physics.platforms == (Platform.S1C, Platform.S1C)


@pytest.mark.parametrize(("unit", "per_metre"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_displacement_becomes_phase_with_the_wavelength(tmp_path, unit, per_metre):
    metres = NOISE / 100
    write(tmp_path / f"{PAIR}.unw.tif", (metres * per_metre).astype(np.float32))
    window = phase(tmp_path, unit=unit, positive="towards", wavelength_m=0.2384)
    np.testing.assert_allclose(window.phase, metres * -4 * np.pi / 0.2384, rtol=1e-5)
    write(tmp_path / f"{PAIR}.unw.tif", np.full(GRID.shape, 101 * per_metre, np.float32))
    with pytest.raises(PairRejected, match="displacement of 101") as caught:
        phase(tmp_path, unit=unit)
    assert caught.value.verdict == Verdict.WRONG_NUMBERS


def stored(kind, no_data, offset):
    """The noise with a hole, as a file keeps it: pixels, tags, and the phase that they stand for."""
    hole = np.zeros(GRID.shape, bool)
    hole[3:9, 4:15] = True
    if kind.startswith("int"):
        scale = 0.001 if kind == "int16" else 1e-6
        raw = np.rint((NOISE - offset) / scale)
        limit = np.iinfo(kind)
        raw = np.clip(raw, limit.min + 10, limit.max - 10).astype(kind)
        raw[hole] = fill = -32768 if kind == "int16" else -99999999
        truth = (raw * np.float64(scale) + offset).astype(np.float32)
        tags = {"scale": scale, "offset": offset, "nodata": fill}
    else:
        raw = NOISE.astype(kind)
        truth = raw.astype(np.float32)
        raw = raw.astype("float32" if kind == "float16" else kind)
        raw[hole] = no_data
        tags = {"scale": 1.0, "offset": 0.0, "nodata": no_data if abs(no_data) > 1e4 else None}
    return raw, tags, np.where(hole, np.float32(np.nan), truth)


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(
    kind="float16", no_data=-9999.0, offset=0.0, south_up=False, point=False, big=False, tiled=False, mask=False, bands=False
)
@given(
    kind=st.sampled_from(["float32", "float64", "float16", "int16", "int32"]),
    no_data=st.sampled_from([0.0, np.nan, -9999.0, np.inf, -3.4028234663852886e38]),
    offset=st.sampled_from([0.0, 2.5]),
    south_up=st.booleans(),
    point=st.booleans(),
    big=st.booleans(),
    tiled=st.booleans(),
    mask=st.booleans(),
    bands=st.booleans(),
)
def test_the_stored_phase_is_the_files_whatever_form_the_file_has(
    tmp_path_factory, kind, no_data, offset, south_up, point, big, tiled, mask, bands
):
    if kind == "float16" and np.isfinite(no_data) and abs(no_data) > 60000:
        no_data = np.nan
    raw, tags, truth = stored(kind, no_data, offset)
    folder = tmp_path_factory.mktemp("form")
    transform, rows = (Affine(0.001, 0, 40.0, 0, 0.001, 10.0 - 0.04), raw[::-1]) if south_up else (AFFINE, raw)
    profile = {
        "driver": "GTiff",
        "height": 40,
        "width": 50,
        "count": 2 if bands else 1,
        "dtype": raw.dtype,
        "crs": "EPSG:4326",
    }
    more = {"transform": transform, "nodata": tags["nodata"], "tiled": tiled, "BIGTIFF": "YES" if big else "NO"}
    if kind == "float16":
        more["NBITS"] = 16  # how GDAL writes half floats before version 3.11
    if tiled:
        more |= {"blockxsize": 16, "blockysize": 16, "compress": "deflate"}
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(folder / f"{PAIR}.unw.tif", "w", **profile, **more) as tif,
    ):
        tif.update_tags(AREA_OR_POINT="Point" if point else "Area")
        tif.write(rows, tif.count)
        if bands:
            tif.write(np.ones_like(rows), 1)
            tif.descriptions = ("amplitude", "unwrapped_phase")
        tif.scales, tif.offsets = (tags["scale"],) * tif.count, (tags["offset"],) * tif.count
        if mask and tags["nodata"] is None:
            tif.write_mask(~np.isnan(truth[::-1] if south_up else truth))
    window = phase(folder)
    shifted = (tif.transform.c, tif.transform.f)
    assert shifted == (transform.c, transform.f)
    np.testing.assert_array_equal(window.phase, truth)
    assert window.phase.dtype == np.float32


def test_a_cloud_optimised_file_with_an_internal_mask_is_read(tmp_path):
    raw = NOISE.copy()
    hole = np.zeros(GRID.shape, bool)
    hole[:10] = True
    raw[hole] = 77
    plain = tmp_path / "plain.tif"
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        with rasterio.open(
            plain, "w", driver="GTiff", height=40, width=50, count=1, dtype="float32", crs="EPSG:4326", transform=AFFINE
        ) as tif:
            tif.write(raw, 1)
            tif.write_mask(~hole)
        copy_raster(plain, tmp_path / f"{PAIR}.unw.tif", driver="COG", compress="deflate")
    np.testing.assert_array_equal(phase(tmp_path).phase, np.where(hole, np.nan, NOISE))


def smooth(lon, lat):
    return (5 * np.sin(lon * 60) + 4 * np.cos(lat * 50)).astype(np.float32)


@pytest.mark.parametrize("turn", [0, 20])
@pytest.mark.parametrize("south_up", [False, True])
def test_projected_and_rotated_rasters_land_on_the_fixed_lattice_where_they_lie(tmp_path, turn, south_up):
    for shift, name in ((0, "20200101_20200113"), (33, "20200113_20200125")):  # sub-pixel shifts between products
        affine = (
            Affine.translation(500000 + shift, 1100000 - shift)
            @ Affine.rotation(turn)
            @ Affine.scale(80, 80 if south_up else -80)
        )
        row, col = np.mgrid[0.5:90, 0.5:100]
        x, y = affine.a * col + affine.b * row + affine.c, affine.d * col + affine.e * row + affine.f
        lon, lat = (np.reshape(one, x.shape) for one in warp("EPSG:32637", "EPSG:4326", x.ravel(), y.ravel()))
        write(tmp_path / f"{name}.unw.tif", smooth(lon, lat), crs="EPSG:32637", transform=affine)
        write(tmp_path / f"{name}.cc.tif", np.full(x.shape, 0.5, np.float32), crs="EPSG:32637", transform=affine)
    its = source(tmp_path, coherence_pattern=PATTERN.replace("unw", "cc"))
    grid = its.grid(FRAME)
    assert (grid.dx, grid.dy) == (0.001, 0.001)
    assert grid.west / 0.001 == pytest.approx(round(grid.west / 0.001), abs=1e-6)
    truth = smooth(*np.meshgrid(grid.lon, grid.lat))
    for one in its.pairs(FRAME).pairs:
        window = its.read(one, {"": grid})[""]
        assert np.isfinite(window.phase).mean() > 0.4
        inside = binary_erosion(np.isfinite(window.phase), iterations=2)
        assert np.abs(window.phase - truth)[inside].max() < 0.03  # a tenth of a pixel
        assert set(np.unique(window.coherence)) <= {0, 127, 128}


def test_without_a_coordinate_system_a_file_is_refused_by_name(tmp_path):
    write(tmp_path / f"{PAIR}.unw.tif", NOISE)
    write(tmp_path / "20200113_20200125.unw.tif", NOISE, crs=None)
    its = source(tmp_path)
    [_, other] = its.pairs(FRAME).pairs
    with pytest.raises(PairRejected, match=r"20200113_20200125\.unw\.tif: no coordinate system; write it") as caught:
        its.read(other, {"": GRID})
    assert caught.value.verdict == Verdict.WRONG_CRS


@pytest.mark.parametrize("wrong", [{"crs": "EPSG:32637"}, {"transform": Affine(0.001, 0, 43.0, 0, -0.001, 10.0)}], ids=str)
def test_a_file_that_lies_elsewhere_is_not_taken_for_one_without_data(tmp_path, wrong):
    write(tmp_path / f"{PAIR}.unw.tif", NOISE)
    write(tmp_path / "20200113_20200125.unw.tif", NOISE, **wrong)
    its = source(tmp_path)
    good, other = its.pairs(FRAME).pairs
    assert np.isfinite(its.read(good, {"990001/x": GRID})["990001/x"].phase).any()
    with pytest.raises(PairRejected, match=r"20200125\.unw\.tif: in its .*nowhere near 990001/x; write the right") as told:
        its.read(other, {"990001/x": GRID})
    assert told.value.verdict == Verdict.WRONG_CRS


def test_bad_files_cost_their_own_pair(tmp_path):
    good = write(tmp_path / f"{PAIR}.unw.tif", NOISE)
    (tmp_path / "20200113_20200125.unw.tif").write_bytes(good.read_bytes()[:-3000])
    write(tmp_path / "20200125_20200206.unw.tif", (NOISE + 1j).astype(np.complex64))
    with rasterio.open(write(tmp_path / "20200206_20200218.unw.tif", NOISE), "r+") as tif:
        tif.units = ["mm"]
    write(tmp_path / f"{PAIR}.cc.tif", np.full(GRID.shape, 0.5, np.float32))
    its = source(tmp_path, coherence_pattern="*{reference}_{secondary}.cc.tif")
    pairs = its.pairs(FRAME).pairs
    assert its.grid(FRAME) == GRID
    assert [one.coherence_uri is None for one in pairs] == [False, True, True, True]
    assert "no coherence of 20200113_20200125 like" in pairs[1].lacks
    verdicts = []
    plain = source(tmp_path)
    for one in plain.pairs(FRAME).pairs[1:]:
        with pytest.raises(PairRejected) as caught:
            plain.read(one, {"": GRID})
        verdicts.append(caught.value.verdict)
        assert one.pair in caught.value.detail
    assert verdicts == [Verdict.UNREADABLE, Verdict.WRONG_NUMBERS, Verdict.WRONG_NUMBERS]


def test_a_pair_that_two_files_stand_for_is_listed_once_and_the_second_is_named(tmp_path):
    write(tmp_path / "20200101_20200113.unw.tif", NOISE)
    write(tmp_path / "20200113_20200101.unw.tif", NOISE)
    listing = source(tmp_path).pairs(FRAME)
    assert [one.pair for one in listing.pairs] == [PAIR]
    assert [one.pair for one in listing.twice] == [f"{PAIR} (20200113_20200101.unw.tif)"]


def test_the_fingerprint_changes_with_either_file(tmp_path):
    write(tmp_path / f"{PAIR}.unw.tif", NOISE)
    coherence = write(tmp_path / f"{PAIR}.cc.tif", np.ones(GRID.shape, np.float32))
    its = source(tmp_path, coherence_pattern=PATTERN.replace("unw", "cc"))
    before = its.pairs(FRAME).pairs[0].fingerprint
    assert its.pairs(FRAME).pairs[0].fingerprint == before
    write(coherence, np.ones((40, 50), np.float64))
    assert its.pairs(FRAME).pairs[0].fingerprint != before


def test_where_nothing_fits_the_pattern_a_path_that_is_there_is_given(tmp_path):
    write(tmp_path / "interferograms" / "20200101-20200113_unw.tif", NOISE)
    its = source(tmp_path)
    with pytest.raises(WrongFolder, match=r"interferograms/20200101-20200113_unw\.tif; correct pattern in \[\["):
        its.pairs(FRAME)
    other = source(tmp_path, pattern="{frame}/{reference}-{secondary}_unw.tif")
    with pytest.raises(NotInFrame, match="001A_x is not in .* which holds interferograms; correct the frame in"):
        other.pairs("001A_x")
    assert looks_like(["20200101-20200113_unw.tif", "readme"])
    assert not looks_like(["dem.tif", "20200101", "20209901_20209999.tif"])


def test_missing_coherence_is_full_where_there_is_phase_and_said(tmp_path):
    raw = NOISE.copy()
    raw[:5] = 0
    write(tmp_path / f"{PAIR}.unw.tif", raw)
    window = phase(tmp_path)
    np.testing.assert_array_equal(window.coherence, np.where(raw == 0, 0, 255))
    static = source(tmp_path).static(FRAME, Box(west=40, south=9.96, east=40.05, north=10), height=False)
    assert any("no coherence_pattern" in words and "full" in words for words in static.attrs["left_out"])
    with pytest.raises(MissingLayer, match=r"set height in \[\[source\]\]"):
        source(tmp_path).static(FRAME, Box(west=40, south=9.96, east=40.05, north=10), height=True)


ENU = np.array([-0.62, -0.11, 0.776])
ANGLES = {
    "enu": {name: np.float32(part) for name, part in zip("enu", ENU, strict=True)},
    "incidence-azimuth": {"inc": np.degrees(np.arccos(ENU[2])), "az": np.degrees(np.arctan2(-ENU[0], ENU[1]))},
    "theta-phi": {"theta": np.arcsin(ENU[2]), "phi": np.arctan2(ENU[1], ENU[0])},
}


@pytest.mark.parametrize("form", ANGLES)
def test_the_look_vector_points_from_the_ground_to_the_satellite_in_every_form(tmp_path, form):
    write(tmp_path / f"{PAIR}.unw.tif", NOISE)
    for name, value in ANGLES[form].items():
        write(tmp_path / f"{name}.tif", np.full(GRID.shape, value, np.float32))
    write(tmp_path / "dem.tif", np.full(GRID.shape, 1200, np.int16))
    box = Box(west=40.01, south=9.965, east=40.045, north=9.995)
    its = source(tmp_path, look=[f"{name}.tif" for name in ANGLES[form]], look_form=form, height="dem.tif")
    static = its.static(FRAME, box, height=True)
    assert static.attrs["look"] == "frame's layers"
    np.testing.assert_allclose([static[name].values.mean() for name in "enu"], ENU / np.linalg.norm(ENU), atol=1e-3)
    assert (static["height"].values == 1200).all()
    assert static["height"].shape == (30, 35)
    (tmp_path / f"{next(iter(ANGLES[form]))}.tif").unlink()
    again = its.static(FRAME, box, height=True)
    assert again.attrs["look"] == "nominal"
    assert again.attrs["left_out"]


def test_inflation_is_motion_towards_the_satellite_and_a_bucket_gives_the_same(tmp_path, bucket):
    rising = Unrest(PointSource(30, 34, depth_km=1.5, peak_cm=12.0), date(2021, 2, 1), date(2021, 2, 9))
    dates = acquisitions(date(2021, 1, 5), date(2021, 4, 1))
    still = scene((60, 68), np.random.default_rng(5), dates=dates, motion=[rising], turbulence_rad=0.2)
    writer("folder")(tmp_path, FRAME, still, west=40.0, north=10.03)
    bucket.upload(tmp_path, "folder")
    lines = tomllib.loads(source_lines("folder"))
    here = open_source(SourceSettings(kind="folder", url=str(tmp_path), **lines), {})
    options = storage_options(Storage(endpoint_url=bucket.endpoint))
    there = open_source(SourceSettings(kind="folder", url=f"{bucket.url}/folder", **lines), options)
    assert here.frames() == there.frames() == [FRAME]
    box = Box(west=40.01, south=9.98, east=40.06, north=10.02)
    static = here.static(FRAME, box, height=True)
    grid = Grid.of(static)
    assert static.equals(there.static(FRAME, box, height=True))
    listed = {one.pair: one for one in here.pairs(FRAME).pairs}
    assert set(listed) == {one.pair for one in there.pairs(FRAME).pairs}
    second = next(i for i, day in enumerate(dates) if day > rising.end)
    name = f"{dates[second - 1]:%Y%m%d}_{dates[second]:%Y%m%d}"
    window = here.read(listed[name], {"": grid})[""]
    other = there.read(next(one for one in there.pairs(FRAME).pairs if one.pair == name), {"": grid})[""]
    np.testing.assert_array_equal(window.phase, other.phase)
    np.testing.assert_array_equal(window.coherence, other.coherence)
    truth = still.phase(second - 1, second)[10:50, 10:60]
    np.testing.assert_allclose(window.phase, truth, atol=1e-4)
    cm = window.phase / RAD_PER_M * 100
    assert np.nanmax(cm[15:25, 19:29]) - np.nanmedian(cm) > 8


def test_ingest_through_the_command_line(tmp_path):
    still = scene(
        (60, 60), np.random.default_rng(6), dates=acquisitions(date(2021, 1, 5), date(2021, 3, 1)), turbulence_rad=0.5
    )
    names = writer("folder")(tmp_path / "archive", FRAME, still, west=40.0, north=10.03)
    (tmp_path / "volcanoes.toml").write_text(
        f'[[volcano]]\ngvp = 100001\nname = "V"\nlat = 10.0\nlon = 40.03\nframes = ["{FRAME}"]\nbox_km = 5\n'
    )
    (tmp_path / "config.toml").write_text(
        f'[[source]]\nkind = "folder"\nurl = "archive"\n{source_lines("folder")}\n[cluster]\nkind = "inline"\n'
    )
    assert cli.main(["-q", "-c", str(tmp_path / "config.toml"), "ingest"]) == 0
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        assert {pair: int(seen.verdict) for pair, seen in ledger.seen(f"100001/{FRAME}").items()} == dict.fromkeys(names, 0)
    stack = Store(str(tmp_path / "store")).open(f"100001/{FRAME}").load()
    assert stack.sizes["pair"] == len(names)
    assert set(stack["sign"].values) == {-1}


def test_a_sign_or_unit_that_is_corrected_later_is_refused_by_name_and_restack_reads_all_anew(tmp_path, capsys):
    """Pairs of two conventions in one stack would tell of motion that never was."""
    test_ingest_through_the_command_line(tmp_path)
    name, place, config = f"100001/{FRAME}", Store(str(tmp_path / "store")), tmp_path / "config.toml"
    before = place.open(name).load()
    config.write_text(config.read_text().replace('positive = "towards"', 'positive = "away"'))
    assert "away" in config.read_text()
    capsys.readouterr()
    assert cli.main(["-q", "-c", str(config), "ingest"]) == 1
    said = capsys.readouterr().err
    assert "its pairs were read as 'files in mm, positive towards the satellite" in said
    assert f"restack {name}" in said
    xr.testing.assert_identical(place.open(name).load(), before)
    assert cli.main(["-q", "-c", str(config), "restack", name]) == 0
    after = place.open(name).load()
    assert set(after["sign"].values) == {1}
    np.testing.assert_allclose(after["phase"].values, -before["phase"].values, rtol=1e-6)
    assert cli.main(["-q", "-c", str(config), "ingest"]) == 0


ONE = 'kind = "folder"\nurl = "a"\nframe = "5A_x"\n'
PLAIN = 'pattern = "{reference}_{secondary}.tif"\n'
IN_PATTERN = 'pattern = "{frame}/{reference}_{secondary}.tif"\n'
OTHER = 'coherence_pattern = "{frame}/{reference}_{secondary}.tif"'
MISTAKES = [
    (f'url = "a"\n{PLAIN}', 3, 'pattern: only kind = "folder" takes it; write kind'),
    ('url = "a"\nunit = "mm"', 3, 'unit: only kind = "folder" takes it'),
    (ONE, 1, "pattern: missing; give the paths of the phase files"),
    (f'{ONE}pattern = "{{reference}}.tif"', 5, "pattern: give a path below url such as"),
    (f'{ONE}pattern = "{{reference:%Q}}_{{secondary}}.tif"', 5, "pattern: give dates in a form of"),
    (f'kind = "folder"\nurl = "a"\n{PLAIN}', 1, "frame: missing; give one frame for all files, such as"),
    (f"{ONE}{IN_PATTERN}", 4, "frame: the pattern has {frame} already: leave"),
    (f'{ONE}{PLAIN}look = ["a.tif"]', 6, 'look: give 3 paths for look_form = "enu", not 1'),
    (f'{ONE}{PLAIN}unit = "km"', 6, 'unit: give "rad", "m", "cm" or "mm", not "km"'),
    (f"{ONE}{PLAIN}{OTHER}", 6, "coherence_pattern: give {frame} in both patterns, or in neither"),
]


@pytest.mark.parametrize(("text", "line", "words"), MISTAKES)
def test_mistakes_in_a_source_are_told_with_their_line(tmp_path, text, line, words):
    file = tmp_path / "config.toml"
    file.write_text(f"[[source]]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}:{line}: [[source]] {words}")


CROP = SHARED / "pyrate_crop"


@pytest.mark.skipif(not CROP.exists(), reason=f"no real interferograms in {CROP}")
def test_real_interferograms_of_gamma():
    its = source(
        CROP,
        pattern="geotiffs/cropA_{reference:%Y%m%d}-{secondary:%Y%m%d}_VV_8rlks_eqa_unw.tif",
        coherence_pattern="geotiffs/cropA_{reference:%Y%m%d}-{secondary:%Y%m%d}_VV_8rlks_flat_eqa_cc.tif",
        height="geotiffs/cropA_T005A_dem.tif",
        platform="S1A",
    )
    assert its.frames() == [FRAME]
    listing = its.pairs(FRAME)
    assert len(listing.pairs) == 30
    assert not listing.twice
    assert not listing.unlisted
    grid = its.grid(FRAME)
    assert grid.shape == (60, 100)
    static = its.static(FRAME, Box(west=-99.18, south=19.38, east=-99.08, north=19.44), height=True)
    assert 2217 <= float(static["height"].min()) <= float(static["height"].max()) <= 2287
    windows = {one.pair: its.read(one, {"": grid})[""] for one in listing.pairs}
    for one in listing.pairs:
        with rasterio.open(CROP / "geotiffs" / Path(one.phase_uri).name) as tif:
            raw = tif.read(1)
        np.testing.assert_array_equal(windows[one.pair].phase, np.where(raw == 0, np.nan, raw))
        assert 0.1 < windows[one.pair].coherence.mean() / 255 < 1
    # the lake bed sinks, so it moves away: phase grows where it sinks, and the longer the pair, the more
    spans = {pair: (Pair.parse(pair).last - Pair.parse(pair).first).days for pair in windows}
    swings = {pair: float(np.nanpercentile(w.phase, 95) - np.nanpercentile(w.phase, 50)) for pair, w in windows.items()}
    long, short = [p for p in spans if spans[p] >= 60], [p for p in spans if spans[p] <= 24]
    assert np.median([swings[p] for p in long]) > 2 * np.median([swings[p] for p in short])


CLIP = SHARED / "hyp3_gamma_10px"


@pytest.mark.skipif(not CLIP.exists(), reason=f"no real product in {CLIP}")
def test_a_real_product_of_hyp3_gives_the_same_phase_from_phase_and_from_displacement(tmp_path):
    for layer in ("unw_phase", "los_disp", "corr"):
        (tmp_path / f"20200101_20200113_{layer}.tif").write_bytes((CLIP / f"insar_{layer}.tif").read_bytes())
    for name in ("dem", "lv_theta", "lv_phi"):
        (tmp_path / f"{name}.tif").write_bytes((CLIP / f"insar_{name}.tif").read_bytes())
    dates = "{reference}_{secondary}"
    more = {
        "coherence_pattern": f"{dates}_corr.tif",
        "height": "dem.tif",
        "look": ["lv_theta.tif", "lv_phi.tif"],
        "look_form": "theta-phi",
    }
    radians = source(tmp_path, pattern=f"{dates}_unw_phase.tif", **more)
    metres = source(tmp_path, pattern=f"{dates}_los_disp.tif", unit="m", positive="towards", **more)
    grid = radians.grid(FRAME)
    assert grid.dx == 0.001  # 80 m
    assert grid == metres.grid(FRAME)
    one, other = (its.read(its.pairs(FRAME).pairs[0], {"": grid})[""] for its in (radians, metres))
    assert np.isfinite(one.phase).sum() > 20
    np.testing.assert_allclose(one.phase, other.phase, rtol=2e-3)
    with rasterio.open(CLIP / "insar_unw_phase.tif") as tif:
        raw = tif.read(1)
    assert raw[raw != 0].min() - 0.01 <= np.nanmin(one.phase) <= np.nanmax(one.phase) <= raw.max() + 0.01
    assert one.coherence.max() / 255 == pytest.approx(0.988, abs=0.02)
    assert (one.physics.sign, other.physics.sign) == (1, -1)


@pytest.mark.parametrize("form", ["%Y", "%Y%m", "%m%d", "%d", "%j", "%H%M", "%Y%H"])
def test_a_form_that_tells_no_day_is_refused(form):
    with pytest.raises(ValueError, match=r"tells no day: give year, month and day"):
        Pattern("{reference:%Y%m%d}_{secondary:" + form + "}.tif")


@pytest.mark.parametrize("form", ["%Y%m%d", "%y%j", "%Y%J", "%d%b%Y", "%Y%m%dT%H%M%S"])
def test_a_form_that_tells_a_day_is_taken(form):
    first, last = date(2021, 1, 5), date(2021, 3, 6)
    # GMTSAR counts the days of a year from 000, which Python does not write
    written = [f"{day:{form.replace('%J', f'{day.timetuple().tm_yday - 1:03d}')}}" for day in (first, last)]
    found = Pattern("{reference:" + form + "}_{secondary:" + form + "}.tif").match("_".join(written) + ".tif")
    assert found is not None
    assert (found.reference.date(), found.secondary.date()) == (first, last)


@pytest.mark.parametrize("broken", [b"half", None])
def test_a_needed_height_that_cannot_be_used_is_told_with_one_remedy(tmp_path, broken):
    write(tmp_path / "20200101_20200113.unw.tif", NOISE)
    if broken:
        (tmp_path / "dem.tif").write_bytes(broken)
    else:
        (tmp_path / "dem.tif").symlink_to("/nowhere.tif")
    with pytest.raises(
        MissingLayer
    ) as told:  # a stack can be built without the height of a broken file, not of a wrong path
        source(tmp_path, height="dem.tif").static(FRAME, Box(west=40, south=9.96, east=40.05, north=10), height=True)
    # a stack can be built without the height of a broken file, not of a wrong path
    assert isinstance(told.value, HeightUnusable) == bool(broken)
    words = str(told.value)
    assert "without it" not in words
    assert "set height" not in words
    assert words.count(";") == 1, words
    assert words.endswith(", or leave height out of [preprocess] remove")
