"""Bad input: every kind gets its own verdict or error with file and remedy, the rest goes on, nothing stored is lost."""

from __future__ import annotations

import json
import resource
import shutil
import time
from contextlib import contextmanager
from pathlib import Path

import installation
import numpy as np
import pytest
import rasterio
from installation import (
    BLIND,
    CONFIG,
    NORTH,
    QUIET,
    RISING,
    SHORT,
    STEP,
    WEST,
    WIDE,
    ledger_content,
    read_tif,
    store_content,
    write_tif,
)
from web import serving

from insar_anomaly import cli
from insar_anomaly.errors import Verdict


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def beheaded(path):
    path.write_bytes(path.read_bytes()[:6])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("<html>404 Not Found</html>\n")


def all_nan(path):
    write_tif(path, np.full_like(read_tif(path), np.nan))


def all_zero(path):
    write_tif(path, np.zeros_like(read_tif(path)))


def constant(path):
    write_tif(path, np.full_like(read_tif(path), 2.5))


def hardly_measured(path):
    phase = read_tif(path)
    phase[:, :100] = phase[:, 103:] = 0  # a strip in Rising Cone's box only
    write_tif(path, phase)


def incoherent(path):
    write_tif(path, np.full_like(read_tif(path), 5))


def in_metres(path):
    write_tif(path, read_tif(path), crs="EPSG:32637")


def without_crs(path):
    write_tif(path, read_tif(path), crs=None)


def too_small(path):
    write_tif(path, read_tif(path)[:40, :50])


def coarser(path):
    write_tif(path, read_tif(path)[::2, ::2], transform=rasterio.Affine(2 * STEP, 0, WEST, 0, -2 * STEP, NORTH))


def half_a_pixel_off(path):
    write_tif(path, read_tif(path), transform=rasterio.Affine(STEP, 0, WEST + STEP / 2, 0, -STEP, NORTH))


def rotated(path):
    write_tif(path, read_tif(path), transform=rasterio.Affine(STEP, STEP / 5, WEST, STEP / 5, -STEP, NORTH))


UNREADABLE = Verdict.UNREADABLE
SPOILED = [
    # what is done, to which file, its verdict, words of the reason
    (truncated, "phase", UNREADABLE, "upload it again"),
    (beheaded, "phase", UNREADABLE, "upload it again"),
    (empty, "phase", UNREADABLE, "upload it again"),
    (text, "phase", UNREADABLE, "upload it again"),
    (all_nan, "phase", Verdict.NO_DATA, "all pixels of the box are NaN or 0"),
    (all_zero, "phase", Verdict.NO_DATA, "all pixels of the box are NaN or 0"),
    (constant, "phase", Verdict.CONSTANT, "2.5 rad"),
    (hardly_measured, "phase", Verdict.TOO_FEW_VALID, "[ingest] min_valid = 0.1"),
    (in_metres, "phase", Verdict.WRONG_CRS, "EPSG:32637; reproject it to EPSG:4326"),
    (without_crs, "phase", Verdict.WRONG_CRS, "reproject it"),
    (too_small, "phase", Verdict.WRONG_GRID, "40 x 50 pixels"),
    (coarser, "phase", Verdict.WRONG_GRID, "do not hold the stack's grid"),
    (half_a_pixel_off, "phase", Verdict.WRONG_GRID, "product of the same frame"),
    (rotated, "phase", Verdict.ROTATED, "resample it to a north-up grid"),
    (Path.unlink, "phase", Verdict.MISSING_PHASE, "geo.unw.tif; upload what is missing"),
    (truncated, "coherence", UNREADABLE, "upload it again"),
    (text, "coherence", UNREADABLE, "upload it again"),
    (too_small, "coherence", Verdict.WRONG_GRID, "do not hold the stack's grid"),
    (incoherent, "coherence", Verdict.LOW_COHERENCE, "[ingest] min_coherence = 0.05"),
    (Path.unlink, "coherence", Verdict.MISSING_COHERENCE, "geo.cc.tif; upload what is missing"),
]
IDS = [f"{how.__name__}-{which}" for how, which, _, _ in SPOILED]
NONSENSE = ["20210105_20210105", "20211301_20211305", "thumbnails_", "2021-01-05_2021-01-17"]


@pytest.fixture(scope="module")
def spoiled(built, tmp_path_factory):
    """All of it in one archive, ingested once, and the run."""
    place = installation.copy(built, tmp_path_factory.mktemp("spoiled"))
    pairs = place.pairs()
    for (how, which, _, _), pair in zip(SPOILED, pairs, strict=False):
        how(getattr(place, which)(pair))
    for name in NONSENSE:
        folder = place.archive / WIDE / "interferograms" / name
        shutil.copytree(place.phase(pairs[-1]).parent, folder)
        for file in list(folder.iterdir()):
            file.rename(folder / file.name.replace(pairs[-1], name))
    shutil.copytree(place.phase(pairs[-2]).parent, place.archive / WIDE / "GEOC" / pairs[-2])
    return place, pairs, place.ingest()


@pytest.mark.parametrize(("number", "case"), list(enumerate(SPOILED)), ids=IDS)
def test_a_bad_file_gets_its_numbered_verdict_naming_file_and_remedy(number, case, spoiled):
    place, pairs, _ = spoiled
    _, _, verdict, words = case
    query = "select verdict, detail from interferogram where stack = ? and pair = ?"
    [(found, detail)] = place.rows(query, RISING, pairs[number])
    assert Verdict(found) == verdict
    assert words in detail
    # where a file is missing, the one that is there is named
    assert f"{pairs[number]}.geo." in detail
    if verdict != Verdict.TOO_FEW_VALID:
        assert place.verdicts(QUIET)[pairs[number]] == verdict


def test_a_strip_of_data_is_too_little_for_one_box_and_nothing_for_the_other(spoiled):
    place, pairs, _ = spoiled
    pair = pairs[IDS.index("hardly_measured-phase")]
    assert place.verdicts(RISING)[pair] == Verdict.TOO_FEW_VALID
    assert place.verdicts(QUIET)[pair] == Verdict.NO_DATA


@pytest.mark.parametrize("name", NONSENSE)
def test_a_nonsense_name_gets_verdict_10(name, spoiled):
    place, _, _ = spoiled
    [(verdict, detail)] = place.rows("select verdict, detail from interferogram where pair = ? and stack = ?", name, QUIET)
    assert verdict == Verdict.BAD_NAME
    assert name in detail
    assert "rename or remove" in detail


def test_a_pair_in_two_folders_is_used_once_and_written_down(spoiled):
    place, pairs, _ = spoiled
    assert place.verdicts(QUIET)[pairs[-2]] == Verdict.OK
    [(verdict, detail)] = place.rows(
        "select verdict, detail from interferogram where pair = ? and stack = ?", f"{pairs[-2]} (GEOC)", QUIET
    )
    assert verdict == Verdict.DUPLICATE
    assert "GEOC" in detail
    assert "remove one of the two" in detail


def test_the_rest_of_the_night_goes_on_and_every_rejection_is_counted(spoiled):
    place, pairs, run = spoiled
    assert run.failures == []
    good = pairs[len(SPOILED) :]
    for stack in (QUIET, RISING):
        assert {p for p, verdict in place.verdicts(stack).items() if verdict == Verdict.OK} == set(good)
    assert set(place.verdicts(BLIND).values()) == {Verdict.OK}
    rejected = place.rows("select count(*) from interferogram where verdict != 0")[0][0]
    assert run.counts["rejected_pairs"] == rejected == 2 * (len(SPOILED) + len(NONSENSE) + 1)
    with place.opened() as (s, _):
        assert s.store.pairs(QUIET) == good


def test_what_was_rejected_is_not_looked_at_again_until_it_changes(spoiled):
    place, *_ = spoiled
    before = ledger_content(place)
    run = place.ingest()
    assert {n: c for n, c in run.counts.items() if c} == {}
    assert ledger_content(place) == before


def test_a_corrupt_pair_replaced_by_a_good_file_is_picked_up(fresh):
    fresh.only(990002)
    pairs = fresh.pairs()
    good = {pair: fresh.phase(pair).read_bytes() for pair in pairs[:3]}
    truncated(fresh.phase(pairs[0]))
    all_nan(fresh.phase(pairs[1]))
    fresh.phase(pairs[2]).unlink()
    fresh.ingest()
    assert [fresh.verdicts(RISING)[p] for p in pairs[:3]] == [20, 30, 24]
    for pair, content in good.items():
        fresh.phase(pair).write_bytes(content)
    run = fresh.ingest()
    assert run.counts["stored_pairs"] == 3
    assert set(fresh.verdicts(RISING).values()) == {0}
    with fresh.opened() as (s, _):
        assert sorted(s.store.pairs(RISING)) == sorted(pairs)


# a frame's own layers, frames and boxes


def height(place):
    return place.archive / WIDE / "metadata" / f"{WIDE}.geo.hgt.tif"


def test_a_height_that_is_needed_and_missing_stops_its_stacks_until_it_is_there(fresh):
    there = height(fresh).read_bytes()
    height(fresh).unlink()
    for _ in range(2):
        run = fresh.ingest()
        assert run.failed == {QUIET, RISING}
        assert all("geo.hgt.tif is missing; add it, or leave height out of" in f.error for f in run.failures)
    assert set(fresh.verdicts(BLIND).values()) == {0}
    height(fresh).write_bytes(there)
    assert fresh.ingest().failures == []
    with fresh.opened() as (s, _):
        assert np.isfinite(s.store.open(RISING)["height"].values).any()


def test_a_height_that_cannot_be_read_now_is_waited_for(fresh):
    fresh.only(990002)
    with serving(fresh.archive) as web:
        fresh.change('url = "archive"', f'url = "{web.url}/"')
        web.refused = {height(fresh).name}
        run = fresh.ingest()
        web.refused = set()
        assert run.failed == {RISING}
        assert height(fresh).name in run.failures[0].error
        assert fresh.ingest().failures == []


@pytest.mark.parametrize("how", [truncated, text, all_nan, in_metres], ids=lambda h: h.__name__)
def test_a_stack_is_built_without_a_height_whose_file_is_broken_and_that_is_said_every_night(how, fresh, capsys):
    fresh.only(990002)
    whole = height(fresh).read_bytes()
    how(height(fresh))
    for _ in range(2):
        run = fresh.ingest()
        assert run.failures == []
        [line] = [words for words in run.warnings if "hgt" in words]
        assert line.startswith(f"{RISING}: it has no terrain height (")
        assert f"{height(fresh).name}: " in line
        assert "height of [preprocess] remove cannot be removed from its pairs" in line
        assert f"run `insar-anomaly restack {RISING}`" in line
    assert set(fresh.verdicts(RISING).values()) == {0}
    cli.main(["--json", "-c", str(fresh.config), "doctor"])
    [found] = [one for one in json.loads(capsys.readouterr().out) if one["what"] == f"height of {RISING}"]
    assert not found["ok"]
    assert found["words"] in line
    assert fresh.fit().failures == []
    height(fresh).write_bytes(whole)
    assert cli.main(["-c", str(fresh.config), "restack", RISING]) == 0
    with fresh.opened() as (s, _):
        assert np.isfinite(s.store.open(RISING)["height"].values).any()
    assert not any("hgt" in words for words in fresh.ingest().warnings)


def test_a_stack_without_height_is_screened_and_its_flag_told(fresh):
    fresh.only(990002)
    truncated(height(fresh))
    fresh.ingest()
    assert fresh.fit().failures == []
    run, digest = fresh.nightly()
    assert run.failures == []
    assert any("it has no terrain height" in words for words in digest["warnings"])
    assert {flag["stack"] for flag in digest["open_flags"]} == {RISING}
    assert fresh.notices


def test_a_stack_that_has_its_height_keeps_it_where_the_file_breaks(ingested):
    truncated(height(ingested))
    run = ingested.ingest()
    assert run.failures == []
    assert not any("hgt" in words for words in run.warnings)
    with ingested.opened() as (s, _):
        before = s.store.open(RISING)["height"].values
    assert cli.main(["-c", str(ingested.config), "restack", RISING]) == 1
    with ingested.opened() as (s, _):
        assert np.array_equal(s.store.open(RISING)["height"].values, before)


def test_a_height_that_is_not_needed_may_be_missing(fresh):
    fresh.only(990002)
    height(fresh).unlink()
    fresh.config.write_text(CONFIG + '\n[preprocess]\nremove = ["plane"]\n')
    run = fresh.ingest()
    assert run.failures == []
    assert fresh.fit().failures == []
    with fresh.opened() as (s, _):
        assert np.isnan(s.store.open(RISING)["height"].values).all()


def test_a_height_that_goes_missing_later_stops_nothing(ingested):
    height(ingested).unlink()
    assert ingested.ingest().failures == []


def test_a_frame_without_pairs_fails_alone(fresh):
    shutil.rmtree(fresh.archive / WIDE / "interferograms")
    run = fresh.ingest()
    assert run.failed == {QUIET, RISING}
    assert all(f"frame {WIDE} is in the source and holds no interferogram" in f.error for f in run.failures)
    assert run.counts["stored_pairs"] == len(fresh.pairs(SHORT))


def test_an_unknown_frame_is_answered_with_the_nearest_names(fresh):
    catalogue = fresh.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace(SHORT, "002D_00002_020203"))
    run = fresh.ingest()
    [failure] = run.failures
    assert failure.stack == "990003/002D_00002_020203"
    assert f"frame 002D_00002_020203 is not in {fresh.archive}; did you mean {SHORT}" in failure.error
    assert run.counts["stored_pairs"] == 2 * len(fresh.pairs())


def test_a_volcano_outside_its_frame_fails_alone(fresh):
    catalogue = fresh.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("lon = 40.03\n", "lon = 43.0\n"))
    run = fresh.ingest()
    [failure] = run.failures
    assert failure.stack == QUIET
    assert "covers 40.000 to 40.124 E" in failure.error
    assert "correct lat, lon or frames" in failure.error
    assert run.counts["stored_pairs"] == len(fresh.pairs()) + len(fresh.pairs(SHORT))


def test_a_box_half_outside_its_frame_is_cut_to_it(fresh):
    fresh.only(990001)
    catalogue = fresh.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("lon = 40.03\n", "lon = 40.001\n"))
    assert fresh.ingest().failures == []
    with fresh.opened() as (s, _):
        held = s.store.open(QUIET)
        assert held["phase"].shape == (60, 54, 28)


# storage that cannot be reached


def test_an_unreachable_bucket_is_said_quickly_and_nothing_is_lost(ingested, closed_port, s3_environment):
    before = ledger_content(ingested), store_content(ingested)
    ingested.change('url = "archive"', 'url = "s3://volcanoes/licsar"')
    storage = f'[storage]\nendpoint_url = "http://127.0.0.1:{closed_port()}"\ntimeout_s = 1\n\n[ingest]'
    ingested.change("[ingest]", storage)
    started = time.monotonic()
    run = ingested.ingest()
    assert time.monotonic() - started < 20
    assert run.failed == {QUIET, RISING, BLIND}
    assert all("s3://volcanoes/licsar cannot be reached" in f.error and "[storage]" in f.error for f in run.failures)
    assert (ledger_content(ingested), store_content(ingested)) == before


def test_a_bucket_that_does_not_exist_is_named(fresh, s3_server, s3_environment):
    fresh.change('url = "archive"', 'url = "s3://no-such-bucket/licsar"')
    fresh.change("[ingest]", f'[storage]\nendpoint_url = "{s3_server}"\n\n[ingest]')
    run = fresh.ingest()
    assert run.failed == {QUIET, RISING, BLIND}
    assert all("s3://no-such-bucket/licsar" in f.error for f in run.failures)


def test_one_source_out_of_reach_does_not_stop_the_frames_of_another(fresh, closed_port, s3_environment):
    endpoint = f'[storage]\nendpoint_url = "http://127.0.0.1:{closed_port()}"\ntimeout_s = 1\n\n[ingest]'
    fresh.change("[ingest]", endpoint)
    fresh.change("[[source]]\n", '[[source]]\nurl = "s3://volcanoes/licsar"\n\n[[source]]\n')
    fresh.only(990003)
    run = fresh.ingest()
    assert run.counts["stored_pairs"] == len(fresh.pairs(SHORT))
    # but the night is not "ok": the source out of reach may hold newer pairs
    assert [f.stage for f in run.failures] == ["ingest"]
    assert "a source was left out: s3://volcanoes/licsar cannot be reached" in run.failures[0].error


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://nowhere/frames", "nosuch://nowhere/frames: unexpected ValueError (Protocol not known: nosuch"),
        ("ftp://127.0.0.1:{port}/frames", "cannot be reached ([Errno 111] Connection refused)"),
    ],
)
def test_what_a_source_raises_that_is_none_of_our_errors_costs_its_own_stacks(url, words, fresh, closed_port, caplog):
    url = url.format(port=closed_port())
    fresh.change('[[source]]\nurl = "archive"', f'[[source]]\nurl = "archive"\n[[source]]\nurl = "{url}"')
    fresh.only(990003)
    run = fresh.ingest()
    assert run.counts["stored_pairs"] == len(fresh.pairs(SHORT))
    assert [f.stage for f in run.failures] == ["ingest"]
    assert words in run.failures[0].error
    assert ("unexpected error of a source" in caplog.text) == ("unexpected" in words)
    fresh.change('url = "archive"\n[[source]]\n', "")
    run = fresh.ingest()
    assert run.failed == {BLIND}
    assert words in run.failures[0].error


def test_a_file_replaced_after_it_was_stored_is_said_and_the_stack_stays_as_it_was_screened(ingested):
    ingested.only(990003)
    pair = ingested.pairs(SHORT)[0]
    write_tif(ingested.phase(pair, SHORT), read_tif(ingested.phase(pair, SHORT)) * 2)
    before = store_content(ingested)
    run, digest = ingested.nightly()
    assert digest["changed_pairs"] == 1
    assert any("replaced after it was stored: 1 pair," in words and pair in words for words in digest["warnings"])
    assert store_content(ingested) == before
    assert run.failures == []


def test_a_store_that_was_lost_is_filled_again_from_the_source(fitted):
    fitted.only(990003)
    fitted.nightly()
    before = store_content(fitted)
    shutil.rmtree(fitted.folder / "store" / "stacks" / BLIND)
    run = fitted.ingest()
    assert run.failures == []
    assert run.counts["stored_pairs"] == len(fitted.pairs(SHORT))
    assert any("are not in" in words for words in run.warnings)
    assert store_content(fitted)[BLIND] == before[BLIND]
    run, digest = fitted.nightly()
    assert (run.failures, digest["scored_pairs"], digest["warnings"]) == ([], 0, [])


def test_pairs_lost_in_store_and_source_fail_their_stack_every_night(ingested):
    ingested.only(990003)
    shutil.rmtree(ingested.folder / "store" / "stacks" / BLIND)
    shutil.rmtree(ingested.phase(ingested.pairs(SHORT)[0], SHORT).parent)
    for _ in range(2):
        run = ingested.ingest()
        assert "restore the store from a copy" in run.failures[0].error


def test_figures_that_cannot_be_written_stop_neither_flags_nor_notices(fitted):
    fitted.only(990002)
    fitted.change('figures = "figures"', 'figures = "/proc/figures"')
    run, digest = fitted.nightly()
    assert len(fitted.notices) == 1
    assert digest["status"] == "failed"
    assert [(f.stage, "/proc/figures" in f.error) for f in run.failures] == [("digest", True)]


# a disk that is full or read only


@contextmanager
def largest_file(size):
    """No file may grow over `size` bytes: writes fail as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def main(place, *words):
    return cli.main(["-c", str(place.config), *words])


def test_after_a_full_disk_the_same_command_ends_as_if_nothing_had_been(fresh, with_stacks, small_disk, capsys):
    disk, remount = small_disk
    fresh.change('store = "store"', f'store = "{disk}/store"')
    assert main(fresh, "ingest") == 1
    said = capsys.readouterr().err
    assert f"store {disk}/store" in said
    assert "What was committed before is intact" in said
    assert "Traceback" not in said
    remount("size=100m")
    assert main(fresh, "ingest") == 0
    assert ledger_content(fresh) == ledger_content(with_stacks)
    assert store_content(fresh) == store_content(with_stacks)


def test_after_a_full_disk_under_the_ledger_the_same_command_ends_as_if_nothing_had_been(
    fresh, with_stacks, small_disk, capsys, monkeypatch
):
    monkeypatch.setattr("insar_anomaly.ledger.database._PATIENCE_S", 3.0)  # a full disk is waited for, too
    disk, remount = small_disk
    fresh.change('ledger = "sqlite:///ledger.sqlite"', f'ledger = "sqlite:///{disk}/ledger.sqlite"')
    (disk / "filler").write_bytes(bytes(100 * 1024))
    assert main(fresh, "ingest") in (1, 2)
    said = capsys.readouterr().err
    assert f"{disk}/ledger.sqlite" in said
    assert "Traceback" not in said
    remount("size=100m")
    assert main(fresh, "ingest") == 0
    fresh.folder.joinpath("ledger.sqlite").symlink_to(disk / "ledger.sqlite")
    assert ledger_content(fresh) == ledger_content(with_stacks)
    assert store_content(fresh) == store_content(with_stacks)


def test_a_model_that_does_not_fit_on_the_disk_is_fitted_by_the_same_command_later(ingested, with_models, capsys):
    ingested.only(990002)
    with largest_file(2**20):
        run = ingested.fit()
    assert len(run.failures) == 3  # one of each kind of evidence
    assert all("What was committed before is intact" in failure.error for failure in run.failures)
    assert ingested.rows("select * from model") == []
    assert ingested.fit().failures == []
    query = "select model, threshold from model where stack = ? order by evidence"
    assert ingested.rows(query, RISING) == with_models.rows(query, RISING)


def test_a_store_without_write_permission_is_said_and_nothing_is_lost(ingested, small_disk, capsys):
    disk, remount = small_disk
    remount("size=100m")
    shutil.copytree(ingested.folder / "store", disk / "store")
    ingested.change('store = "store"', f'store = "{disk}/store"')
    before = store_content(ingested)
    remount("ro")
    ingested.only(990002)
    pair = ingested.pairs()[0]
    shutil.copytree(ingested.phase(pair).parent, ingested.phase(pair).parent.with_name("20210105_20210110"))
    for file in list((ingested.archive / WIDE / "interferograms" / "20210105_20210110").iterdir()):
        file.rename(file.with_name(file.name.replace(pair, "20210105_20210110")))
    assert main(ingested, "ingest") == 1
    said = capsys.readouterr().err
    assert f"{RISING}: ingest: {RISING}: store {disk}/store" in said
    assert "permissions" in said
    remount("rw")
    assert main(ingested, "ingest") == 0
    ingested.config.write_text(ingested.config.read_text())
    after = store_content(ingested)
    assert after[RISING][0] == tuple(sorted((*before[RISING][0], "20210105_20210110"), key=lambda p: (p[9:], p[:8])))


def test_a_new_stack_that_cannot_be_made_fails_alone_and_its_night_ends_with_a_digest(fresh, small_disk):
    disk, remount = small_disk
    fresh.change('store = "store"', f'store = "{disk}/store"')
    remount("ro")
    run, digest = fresh.nightly()
    assert run.failed == {QUIET, RISING, BLIND}
    assert all("Read-only file system" in f.error and "permissions" in f.error for f in run.failures)
    assert digest["status"] == "failed"
