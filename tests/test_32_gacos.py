"""GACOS layers from the archive into the stack: the right sign, each file once, and no pair that depends on them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import installation
import numpy as np
import pytest
import rasterio
import xarray as xr
from installation import DATES, NORTH, QUIET, STEP, WEST, WIDE, read_tif, write_tif

from insar_anomaly import simulate
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Preprocess, Storage
from insar_anomaly.errors import StoreFailed, Verdict
from insar_anomaly.pipeline import storage_options
from insar_anomaly.pipeline.worker import ReadTask, read_pairs
from insar_anomaly.sources.base import Window
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.stack import prechecks
from insar_anomaly.stack.schema import STACK, Grid, check
from insar_anomaly.stack.store import Store
from insar_anomaly.tiles.preprocess import tiles
from insar_anomaly.tools.layouts.licsar import write_archive
from insar_anomaly.units import SENTINEL1_WAVELENGTH_M

SHAPE = (64, 124)
FEW = DATES[:5]
BOX = Volcano(gvp=990002, name="Rising Cone", lat=0, lon=WEST + 0.094, frames=(WIDE,), box_km=6).box


def simulated() -> simulate.Scene:
    """A few acquisitions, and a weather model that knows their atmosphere exactly, up to the dry delay."""
    still = simulate.scene(SHAPE, np.random.default_rng(3), dates=FEW, turbulence_rad=0.5)
    return replace(still, delays=still.screens + 650)


@pytest.fixture
def archive(tmp_path: Path) -> installation.Installation:
    """An archive with a GACOS layer of every acquisition."""
    place = installation.Installation(tmp_path)
    write_archive(place.archive, WIDE, simulated(), west=WEST, north=NORTH, step=STEP)
    return place


def layer(place: installation.Installation, n: int) -> Path:
    """The GACOS layer of the n-th acquisition."""
    day = f"{FEW[n]:%Y%m%d}"
    return place.archive / WIDE / "epochs" / day / f"{day}.sltd.geo.tif"


def found(source: LicsarSource):
    """Delays of every pair over two boxes, and what was wrong."""
    wide = Grid.of(source.static(WIDE, BOX, height=True))
    grids = {"wide": wide, "small": Grid(wide.west + 20 * STEP, wide.north - 10 * STEP, STEP, STEP, (20, 18))}
    listed = source.pairs(WIDE).pairs
    return source.delays(dict.fromkeys(grids, listed), grids)


def local(place: installation.Installation) -> LicsarSource:
    return LicsarSource(str(place.archive))


def test_subtracting_the_delay_of_a_pair_removes_an_atmosphere_that_the_model_knows(archive):
    source = local(archive)
    delays, problems = found(source)
    assert problems == []
    assert set(delays["wide"]) == set(archive.pairs())
    grid = Grid.of(source.static(WIDE, BOX, height=True))
    for one in source.pairs(WIDE)[0]:
        phase = source.read(one, {"": grid})[""][0]
        left = phase - delays["wide"][one.pair]
        assert np.nanstd(phase) > 0.3
        assert np.nanmax(np.abs(left)) < 1e-3  # float32 of 650 rad
        assert delays["wide"][one.pair].dtype == np.float32
        np.testing.assert_array_equal(delays["small"][one.pair], delays["wide"][one.pair][10:30, 20:38])


def test_the_layout_that_licsbas_downloads_and_a_bucket_give_the_same(archive, bucket):
    before = found(local(archive))[0]["wide"]
    folder = archive.archive / WIDE / "GACOS"
    folder.mkdir()
    for n in range(len(FEW)):
        layer(archive, n).rename(folder / layer(archive, n).name)
    shutil.rmtree(archive.archive / WIDE / "epochs")
    bucket.upload(archive.archive, "licsar")
    there = LicsarSource(f"{bucket.url}/licsar", storage_options(Storage(endpoint_url=bucket.endpoint)))
    for source in (local(archive), there):
        after, problems = found(source)
        assert problems == []
        for pair, delay in before.items():
            np.testing.assert_array_equal(after["wide"][pair], delay)


def test_every_file_is_opened_once_for_all_pairs_and_stacks(archive, monkeypatch):
    opened = []
    original = rasterio.open

    def counting(path, *args, **kwargs):
        opened.append(str(path))
        return original(path, *args, **kwargs)

    monkeypatch.setattr(rasterio, "open", counting)
    found(local(archive))
    layers = [path for path in opened if path.endswith(".sltd.geo.tif")]
    assert sorted(layers) == [str(layer(archive, n)) for n in range(len(FEW))]


def test_a_layer_on_a_coarser_and_shifted_grid_is_interpolated_and_no_data_is_nan(archive):
    y, x = np.mgrid[:40, :70]
    west, north = WEST - 0.3 * STEP, NORTH + 0.7 * STEP
    for n in range(len(FEW)):
        plane = (700 + 3 * n + n * 0.02 * x - n * 0.03 * y).astype(np.float32)
        plane[:, 55:] = 0  # no data
        transform = rasterio.Affine(2 * STEP, 0, west, 0, -2 * STEP, north)
        write_tif(layer(archive, n), plane, transform=transform)
    source = local(archive)
    delay = found(source)[0]["wide"][f"{FEW[0]:%Y%m%d}_{FEW[1]:%Y%m%d}"]
    grid = Grid.of(source.static(WIDE, BOX, height=True))
    lon, lat = np.meshgrid(grid.lon, grid.lat)
    column, row = (lon - west) / (2 * STEP) - 0.5, (north - lat) / (2 * STEP) - 0.5
    inside = column < 54
    np.testing.assert_allclose(delay[inside], (3 + 0.02 * column - 0.03 * row)[inside], atol=2e-3)
    assert np.isnan(delay[column > 55.5]).all()


def spoil_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def spoil_empty(path: Path) -> None:
    path.write_bytes(b"")


def spoil_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil_system(path: Path) -> None:
    write_tif(path, read_tif(path), crs="EPSG:32637")


def spoil_rotated(path: Path) -> None:
    write_tif(path, read_tif(path), transform=rasterio.Affine(STEP, STEP / 3, WEST, 0, -STEP, NORTH))


@pytest.mark.parametrize("spoil", [spoil_truncate, spoil_half, spoil_empty, spoil_system, spoil_rotated])
def test_a_broken_layer_is_named_once_and_its_pairs_have_no_delay(spoil, archive):
    spoil(layer(archive, 2))
    delays, problems = found(local(archive))
    (problem,) = problems
    assert str(layer(archive, 2)) in problem
    assert "left out" in problem
    day = f"{FEW[2]:%Y%m%d}"
    assert set(delays["wide"]) == {pair for pair in archive.pairs() if day not in pair} != set()


def test_a_layer_that_goes_away_after_the_listing_is_named_too(archive):
    source = local(archive)
    grid = Grid.of(source.static(WIDE, BOX, height=True))
    listed = source.pairs(WIDE).pairs
    layer(archive, 0).unlink()
    delays, problems = source.delays({"": listed}, {"": grid})
    assert len(problems) == 1
    assert set(delays[""]) == {pair for pair in archive.pairs() if f"{FEW[0]:%Y%m%d}" not in pair} != set()


def test_a_layer_that_says_nothing_of_the_box_is_none(archive):
    for n in range(len(FEW)):
        write_tif(
            layer(archive, n), read_tif(layer(archive, n)), transform=rasterio.Affine(STEP, 0, WEST + 9, 0, -STEP, NORTH)
        )
    assert found(local(archive)) == ({}, [])


class Unmounted(LicsarSource):
    """An archive whose disk goes away before its newest pair is read."""

    def read(self, listed, grids):
        if listed.pair == sorted(one.pair for one in LicsarSource(self.url).pairs(WIDE).pairs)[-1]:
            Path(self.url).rename(Path(self.url).with_name("away"))
        return super().read(listed, grids)


def test_storage_that_goes_away_between_pairs_and_layers_keeps_no_pair_without_its_delay(archive):
    source = Unmounted(local(archive).url)
    grid = Grid.of(source.static(WIDE, BOX, height=True))
    listed = sorted(source.pairs(WIDE)[0], key=lambda one: one.pair)
    listed[0] = replace(listed[0], delay_uris=None)
    stacks, limits = {one.pair: ("a",) for one in listed}, {"min_valid": 0.1, "min_coherence": 0.05}
    task = ReadTask(source, WIDE, tuple(listed), stacks, {"a": grid}, {"a": SENTINEL1_WAVELENGTH_M}, **limits)
    out = read_pairs(task)
    assert f"{source.url} does not exist" in str(out.unreached)
    assert list(out.windows["a"]) == [listed[0].pair]
    assert out.delays == {}


def test_layers_of_other_products_are_not_taken_and_pairs_need_both_dates(archive):
    layer(archive, 1).rename(layer(archive, 1).with_name(f"{FEW[1]:%Y%m%d}.icams.sltd.geo.tif"))
    for one in local(archive).pairs(WIDE)[0]:
        assert (one.delay_uris is None) == (f"{FEW[1]:%Y%m%d}" in one.pair)


def test_a_fingerprint_does_not_change_with_layers_that_come_late(archive):
    before = {one.pair: one.fingerprint for one in local(archive).pairs(WIDE)[0]}
    shutil.rmtree(archive.archive / WIDE / "epochs")
    assert {one.pair: one.fingerprint for one in local(archive).pairs(WIDE)[0]} == before


def test_an_archive_has_no_layers_unless_the_scene_has(tmp_path):
    write_archive(tmp_path, WIDE, replace(simulated(), delays=None), west=WEST, north=NORTH, step=STEP)
    assert not (tmp_path / WIDE / "epochs").exists()
    assert found(LicsarSource(str(tmp_path))) == ({}, [])


# ------------------------------------------------------------------------------------------------------ store


NAME, GRID = "990001/x", Grid(40.0, 13.0, 0.001, 0.001, (12, 17))


def static() -> xr.Dataset:
    layers = {name: (("y", "x"), np.ones(GRID.shape, np.float32)) for name in ("height", "e", "n", "u")}
    water = {"water": (("y", "x"), np.zeros(GRID.shape, bool))}
    return xr.Dataset(layers | water, coords={"y": GRID.lat, "x": GRID.lon}, attrs={"grid": GRID.attribute})


def batch(*days: int, delays: bool | tuple[int, ...] = ()) -> xr.Dataset:
    """Pairs that start on these days of January 2020, some or all of them with a delay."""
    rng = np.random.default_rng(list(days))
    windows = {
        f"202001{day:02d}_202002{day:02d}": Window(rng.normal(size=GRID.shape), rng.integers(0, 256, GRID.shape), 1.0)
        for day in days
    }
    with_delay = days if delays is True else delays or ()
    layers = {f"202001{day:02d}_202002{day:02d}": np.full(GRID.shape, day, np.float32) for day in with_delay}
    return prechecks.batch(windows, layers)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a stack that knows nothing of delays."""
    store = Store(str(tmp_path / "store"))
    store.create(NAME, static())
    store.append(NAME, batch(1, 2))
    return store


def values(stack: xr.Dataset) -> list[float]:
    """The delay of each pair, NaN where it has none."""
    return [float(one.values[0, 0]) for one in stack["delay"]]


def test_a_stack_without_delays_stays_without(store):
    store.append(NAME, batch(3))
    assert "delay" not in store.open(NAME)
    assert check(store.open(NAME).load(), STACK) == []


def test_the_first_batch_with_delays_gives_the_stack_the_array_and_loses_nothing(store):
    before, early = store.open(NAME).load(), store.snapshot(NAME)
    store.append(NAME, batch(3, 4, delays=(4,)))
    held = store.open(NAME).load()
    np.testing.assert_array_equal(values(held), [np.nan, np.nan, np.nan, 4])
    assert held["delay"].dtype == np.float32
    assert held["delay"].attrs["units"] == "rad"
    assert check(held, STACK) == []
    xr.testing.assert_identical(held.drop_vars("delay").isel(pair=[0, 1]).assign_attrs(before.attrs), before)
    xr.testing.assert_identical(store.open(NAME, snapshot=early).load(), before)


def test_batches_with_and_without_delays_follow_each_other(store):
    store.append(NAME, batch(5, delays=True))
    store.append(NAME, batch(6, 7))
    store.append(NAME, batch(8, delays=True))
    store.append(NAME, batch(8, 9, delays=True))
    np.testing.assert_array_equal(values(store.open(NAME).load()), [np.nan, np.nan, 5, np.nan, np.nan, 8, 9])
    np.testing.assert_array_equal(values(store.open(NAME, pairs=["20200106_20200206"]).load()), [np.nan])


def test_pairs_without_delay_take_no_space(tmp_path):
    def chunks(where: str) -> int:
        return sum(1 for _ in (tmp_path / where).rglob("chunks/*"))

    numbers = []
    for where, delays in (("plain", ()), ("some", (1,))):
        store = Store(str(tmp_path / where))
        store.create(NAME, static())
        store.append(NAME, batch(*range(1, 20), delays=delays))
        numbers.append(chunks(where))
    assert numbers[0] > 0
    assert numbers[1] - numbers[0] <= 1


def test_a_batch_of_wrong_delays_is_refused_and_changes_nothing(store):
    before = store.snapshot(NAME)
    wrong = batch(3, delays=True)
    with pytest.raises(StoreFailed, match="delay has dims"):
        store.append(NAME, wrong.assign(delay=wrong["delay"].transpose("y", "x", "pair")))
    assert store.snapshot(NAME) == before


# ------------------------------------------------------------------------------------------------------ the whole way


@pytest.fixture
def layered(fresh: installation.Installation) -> installation.Installation:
    """An installation with one volcano, whose archive has GACOS layers."""
    fresh.only(990001)
    height = read_tif(fresh.archive / WIDE / "metadata" / f"{WIDE}.geo.hgt.tif").shape
    rng = np.random.default_rng(0)
    template = fresh.archive / WIDE / "metadata" / f"{WIDE}.geo.hgt.tif"
    for day in DATES:
        file = fresh.archive / WIDE / "epochs" / f"{day:%Y%m%d}" / f"{day:%Y%m%d}.sltd.geo.tif"
        file.parent.mkdir(parents=True)
        shutil.copy(template, file)
        write_tif(file, (650 + simulate.turbulence(height, rng, std_rad=1.0)).astype(np.float32))
    return fresh


def test_layers_come_into_the_stack_and_a_broken_one_costs_no_pair(layered):
    day = f"{DATES[3]:%Y%m%d}"
    broken = layered.archive / WIDE / "epochs" / day / f"{day}.sltd.geo.tif"
    broken.write_bytes(b"nothing")
    run = layered.ingest()
    assert run.failures == []
    assert [words for words in run.warnings if str(broken) in words] == run.warnings
    assert len(run.warnings) == 1  # though batches of 16 pairs look at it more than once
    assert set(layered.verdicts(QUIET).values()) == {Verdict.OK}
    with layered.opened() as (s, _):
        stack = s.store.open(QUIET).load()
    known = np.isfinite(stack["delay"]).all(("y", "x")).values
    assert list(known) == [day not in str(pair) for pair in stack["pair"].values]
    used, off = (tiles(stack, **Preprocess(gacos=g).model_dump())["phase"] for g in ("use", "off"))
    changed = (used != off).any(("y", "x")).values
    assert list(changed) == list(known)


def test_an_old_stack_gets_delays_of_new_pairs_only_and_night_goes_on(layered):
    later = layered.archive / WIDE / "epochs"
    hidden = later.rename(later.with_name("elsewhere"))
    assert layered.ingest(as_of=DATES[15]).failures == []
    hidden.rename(later)
    layered.change("[detector]", '[preprocess]\ngacos = "use"\n\n[detector]')
    assert layered.fit().failures == []
    run, _ = layered.nightly()
    assert run.failures == []
    with layered.opened() as (s, _):
        stack = s.store.open(QUIET).load()
    known = np.isfinite(stack["delay"]).any(("y", "x")).values
    new = np.array([str(pair)[9:] > f"{DATES[15]:%Y%m%d}" for pair in stack["pair"].values])
    np.testing.assert_array_equal(known, new)
    scored = layered.rows("select pair from score where stack = ? and score is not null", QUIET)
    assert {pair for (pair,) in scored} >= {str(p) for p in stack["pair"].values[new]}
