"""What a notebook does: open an installation, read a stack, its scores, maps and flags, export a map, run a stage."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import rasterio
import xarray as xr
from installation import AS_OF, BLIND, DATES, QUIET, RISING, STEP

import insar_anomaly as ia
from insar_anomaly.errors import NotFitted, UsageError
from insar_anomaly.names import Interval, Pair


@pytest.fixture(scope="module")
def screened(with_models, tmp_path_factory):
    """After a night. Shared: read it, never change it."""
    import installation

    copy = installation.copy(with_models, tmp_path_factory.mktemp("screened"))
    copy.nightly()
    return copy


@pytest.fixture
def here(screened):
    with ia.open_installation(screened.config) as opened:
        yield opened


def test_everything_that_is_exported_is_there():
    for name in ia.__all__:
        assert callable(getattr(ia, name))
    assert set(ia.__all__) <= set(dir(ia))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ia.nothing  # noqa: B018


def test_a_stack_opens_by_name_in_order_of_time(here):
    stack = ia.read_stack(here, RISING)
    assert stack["phase"].dims == ("pair", "y", "x")
    assert (np.diff(stack["secondary"].values) >= np.timedelta64(0, "D")).all()
    one = ia.read_stack(here, RISING, pairs=[str(stack["pair"].values[3])])
    np.testing.assert_array_equal(one["phase"].values[0], stack["phase"].values[3])


def test_scores_are_a_table(here):
    pairs = ia.read_scores(here, RISING)
    assert list(pairs.columns[:3]) == ["gvp", "frame", "pair"]
    assert set(pairs["verdict"]) == {0, 60}
    assert (pairs.loc[pairs["flagged"], "score"] > pairs.loc[pairs["flagged"], "threshold"]).all()
    intervals = ia.read_scores(here, evidence="interval")
    assert {"after", "seen"} <= set(intervals.columns)
    assert set(intervals["gvp"].astype(int)) == {990001, 990002, 990003}
    with pytest.raises(UsageError, match="choose one of pair, interval"):
        ia.read_scores(here, evidence="day")


def test_a_score_map_lies_where_the_ground_is(here):
    """The source rose at the volcano, in the middle of its box: there the flagged interval is over the threshold."""
    maps = ia.read_score_maps(here, RISING)
    [flag] = ia.read_flags(here, open_only=True).to_dict("records")
    one = maps.isel(pair=[str(name) == flag["peak_pair"] for name in maps["pair"].values]).isel(pair=-1)
    volcano = here.by_stack[RISING]
    there = one["score_map"].sel(lat=volcano.lat, lon=volcano.lon, method="nearest")
    half = maps.attrs["stride"] * STEP / 2
    assert abs(float(there["lat"]) - volcano.lat) <= half + STEP
    assert abs(float(there["lon"]) - volcano.lon) <= half + STEP
    assert float(there) > maps.attrs["threshold"]
    stack = ia.read_stack(here, RISING)
    box = stack.sel(
        y=slice(maps["lat"][0] + half, maps["lat"][0] - half), x=slice(maps["lon"][0] - half, maps["lon"][0] + half)
    )
    assert (box.sizes["y"], box.sizes["x"]) == (maps.attrs["stride"],) * 2  # a cell covers its pixels and no others
    assert maps.attrs["evidence"] == "interval"
    assert maps.attrs["threshold"] == flag["threshold"]
    # one row for each assessment, newest scores only
    keys = list(zip(map(str, maps["pair"].values), maps["after"].values, strict=True))
    assert len(set(keys)) == len(keys)


def test_a_store_of_an_older_version_gives_the_same_places(here, monkeypatch):
    """Before this version score groups had no lat and lon: they follow from the stack."""
    new = ia.read_score_maps(here, RISING)
    original = type(here.store).read_scores
    monkeypatch.setattr(
        type(here.store), "read_scores", lambda self, *a: original(self, *a).drop_vars(["lat", "lon"]).drop_attrs(deep=False)
    )
    old = ia.read_score_maps(here, RISING)
    xr.testing.assert_allclose(old["score_map"].load().astype(float), new["score_map"].load().astype(float))


def test_plain_xarray_opens_a_stack_and_its_scores_without_this_package(here, screened):
    """The commands that docs/api.md gives."""
    import icechunk

    gvp, frame = RISING.split("/")
    stored = icechunk.Repository.open(icechunk.local_filesystem_storage(str(screened.folder / "store/stacks" / gvp / frame)))
    plain = xr.open_zarr(stored.readonly_session("main").store, consolidated=False)
    assert plain.sizes["pair"] == ia.read_stack(here, RISING).sizes["pair"]
    scored = icechunk.Repository.open(icechunk.local_filesystem_storage(str(screened.folder / "store/scores" / gvp / frame)))
    model = here.ledger.current(RISING, ia.EvidenceKind.INTERVAL).model
    maps = xr.open_zarr(scored.readonly_session("main").store, group=model, consolidated=False)
    assert {"lat", "lon", "score_map"} <= set(maps.variables)
    assert (maps.attrs["stack"], maps.attrs["evidence"]) == (RISING, "interval")


def test_a_map_is_exported_as_a_geotiff_on_the_same_ground(here, tmp_path):
    maps = ia.read_score_maps(here, RISING)
    name = str(maps["pair"].values[-1])
    file = ia.export_score_map(here, RISING, name, out=tmp_path / "map.tif")
    with rasterio.open(file) as tif:
        assert tif.crs.to_epsg() == 4326
        assert tif.tags()["pair"] == name
        assert float(tif.tags()["score"]) == pytest.approx(float(maps["score"].values[-1]), rel=1e-4)
        written = tif.read(1)
        west, north, dx, dy = tif.transform.c, tif.transform.f, tif.transform.a, tif.transform.e
    np.testing.assert_array_equal(written, maps["score_map"].values[-1].astype(np.float32))
    assert (north + dy / 2, west + dx / 2) == pytest.approx((float(maps["lat"][0]), float(maps["lon"][0])))
    assert [p.name for p in tmp_path.iterdir()] == ["map.tif"]


def test_what_is_not_there_is_said_with_what_is(here, tmp_path):
    with pytest.raises(UsageError, match="is not a stack"):
        ia.read_stack(here, "123456/nowhere")
    with pytest.raises(UsageError, match="the newest are"):
        ia.export_score_map(here, RISING, "20010101_20010113", out=tmp_path / "x.tif")
    with pytest.raises(UsageError, match="cannot be written"):
        ia.export_score_map(here, RISING, out=tmp_path / "no" / "folder" / "x.tif")


def test_a_stack_without_model_or_scores_says_what_to_run(ingested):
    with ia.open_installation(ingested.config) as opened:
        with pytest.raises(NotFitted, match="insar-anomaly fit"):
            ia.read_score_maps(opened, QUIET)
        assert ia.read_scores(opened, QUIET)["score"].isna().all()
        flags = ia.read_flags(opened)
        assert len(flags[flags["state"] == "raised"]) == 0
        shutil.rmtree(ingested.folder / "store" / "stacks" / BLIND.split("/", maxsplit=1)[0])
        with pytest.raises(UsageError, match="insar-anomaly ingest"):
            ia.read_stack(opened, BLIND)


def test_a_lost_ledger_is_no_empty_table(screened, tmp_path):
    import installation

    copy = installation.copy(screened, tmp_path / "here")
    for file in copy.folder.glob("ledger.sqlite*"):
        file.unlink()
    with ia.open_installation(copy.config) as opened:
        for read in (ia.read_flags, ia.read_scores):
            with pytest.raises(UsageError, match=r"with its flags, is gone"):
                read(opened)


def test_a_stage_runs_from_a_notebook(fitted):
    fitted.only(990002)
    with ia.open_installation(str(fitted.config)) as opened:
        with opened.run("nightly", AS_OF) as run:
            digest = ia.nightly(opened, run, period=ia.Period(last=DATES[-1]))
        assert run.failures == []
        [flag] = digest.open_flags
        assert flag.stack == RISING
        first = Interval.of(flag.peak_pair)
        assert Pair.of(flag.first_pair).first <= first.first


def test_the_command_exports_the_newest_map(screened, tmp_path, capsys):
    from insar_anomaly import cli

    out = tmp_path / "newest.tif"
    words = ["-c", str(screened.config), "export", "--stack", RISING, "--out", str(out)]
    assert cli.main(words) == 0
    assert f"written: {out}" in capsys.readouterr().out
    with rasterio.open(out) as tif:
        assert tif.tags()["stack"] == RISING
    assert cli.main([*words, "--pair", "20010101_20010113"]) == 2
    assert "the newest are" in capsys.readouterr().err
