"""LiCSAR archives where they really are: below tracks, behind index pages, in several places; and folders that are none."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import installation
import numpy as np
import pytest
import web
from installation import DATES, QUIET, STEP, WEST, WIDE, read_tif, write_tif

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import HeightUnusable, NotInFrame, NotNow, PairRejected, SourceUnavailable, WrongFolder
from insar_anomaly.registry import SOURCES
from insar_anomaly.sources import open_source
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.base import Listed, Listing
from insar_anomaly.sources.joined import JoinedSource, chosen
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.sources.looks_like import layout_in, layout_of, misfit
from insar_anomaly.sources.web import links
from insar_anomaly.sources.web_file import WebFile
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import NISAR_WAVELENGTH_M, SENTINEL1_WAVELENGTH_M

BOX = Volcano(gvp=990002, name="Rising Cone", lat=0, lon=WEST + 0.094, frames=(WIDE,), box_km=6).box
PAIR = f"{DATES[17]:%Y%m%d}_{DATES[18]:%Y%m%d}"


@pytest.fixture
def archive(built, tmp_path):
    """An archive of the test's own: a few pairs around the unrest."""
    place = installation.Installation(tmp_path / "own")
    shutil.copytree(built.archive / WIDE / "metadata", place.archive / WIDE / "metadata")
    for pair in built.pairs()[48:54]:
        shutil.copytree(built.phase(pair).parent, place.phase(pair).parent)
    return place


def grid(source):
    return Grid.of(source.static(WIDE, BOX, height=True))


def named(source, pair=PAIR):
    return next(p for p in source.pairs(WIDE).pairs if p.pair == pair)


def window(source, pair=PAIR):
    return source.read(named(source, pair), {"": grid(source)})[""]


# below tracks


@pytest.mark.parametrize("above", ["1", "001"])
def test_a_frame_below_its_track_reads_as_one_in_the_root(above, archive):
    before = window(LicsarSource(str(archive.archive)))
    (archive.archive / above).mkdir()
    (archive.archive / WIDE).rename(archive.archive / above / WIDE)
    source = LicsarSource(str(archive.archive))
    assert source.frames() == [WIDE]
    np.testing.assert_array_equal(window(source).phase, before.phase)
    assert LicsarSource(str(archive.archive / above)).frames() == [WIDE]


def test_frames_are_found_in_the_root_and_below_tracks_and_nothing_below_a_frame_is_listed(archive):
    (archive.archive / "64" / "064D_05354_131313" / "interferograms").mkdir(parents=True)
    (archive.archive / "12" / "metadata").mkdir(parents=True)
    with web.serving(archive.archive) as served:
        assert LicsarSource(served.url).frames() == [WIDE, "064D_05354_131313", "12"]
        assert sorted(path for _, path, _ in served.asked) == ["/", "/12/", "/64/"]


def test_a_frame_of_another_mission_has_that_missions_wavelength(archive):
    source = LicsarSource(str(archive.archive))
    assert window(source).physics.wavelength_m == SENTINEL1_WAVELENGTH_M
    (archive.archive / "nisar.L" / "1").mkdir(parents=True)
    (archive.archive / WIDE).rename(archive.archive / "nisar.L" / "1" / WIDE)
    assert source.frames() == [WIDE]
    assert window(source).physics.wavelength_m == NISAR_WAVELENGTH_M
    assert source.static(WIDE, BOX, height=True).attrs["wavelength_m"] == NISAR_WAVELENGTH_M


def test_a_url_above_an_archive_of_tracks_is_answered_with_the_url_to_write(archive):
    (archive.archive / "1").mkdir()
    (archive.archive / WIDE).rename(archive.archive / "1" / WIDE)
    with pytest.raises(NotInFrame, match=f'write url = "{archive.archive}" in'):
        LicsarSource(str(archive.archive.parent)).pairs(WIDE)


# behind index pages


def test_what_an_index_page_lists_are_its_own_entries_only():
    page = """<a href="?C=N;O=D">Name</a> <A HREF='/data/'>Parent Directory</A> <a href="../">..</a> <a href="#x">x</a>
    <a href="20210101_20210113/">p</a> <a href="./b.tif">b</a> <a href="/data/1/c.tif">c</a> <a href="http://h/data/1/d/">d</a>
    <a href="http://other/data/1/e/">e</a> <a href="sub/deeper.tif">f</a> <a href="mailto:x@y">m</a> <a name="n">n</a>
    <a href="http://[x">bad</a>"""
    assert links(page, "http://h/data/1/") == ["20210101_20210113/", "b.tif", "c.tif", "d/"]
    assert links(page, "http://h/data/1") == links(page, "http://h/data/1/")
    assert links(page, "http://h/data/1/index.html") == links(page, "http://h/data/1/")


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/%7Edata/1/a%20b/", "a%20b/"),  # the server escapes more than the address does
        ("/~data/1/a&amp;b%5Fc.tif", "a%26b_c.tif"),
        ("https://h:443/~data/1/d/", "d/"),  # behind a proxy that speaks TLS
        ("d/index.html", "d/"),
        ("//h/~data/1/d.tif", "d.tif"),
        ("?C=N;O=D", None),
        ("?C=N&amp;O=D", None),
        ("d/?C=N;O=D", None),
        ("/~data/2/d/", None),
        ("/~data/1/../2/", None),
        ("index.html", None),
        ("javascript:void(0)", None),
        ("", None),
    ],
)
def test_a_link_of_an_index_page_is_a_name_or_nothing(target, name):
    assert links(f'<a href="{target}">x</a>', "http://h/~data/1/") == ([name] if name else [])


@pytest.mark.parametrize("pages", ["nginx", "fancy", "static"])
def test_index_pages_of_other_servers_give_the_same(pages, archive):
    deep = archive.archive / "LiCSAR_products ~1" / "1"
    deep.mkdir(parents=True)
    (archive.archive / WIDE).rename(deep / WIDE)
    here = LicsarSource(str(deep.parent))
    with web.serving(archive.archive, pages=pages) as served:
        there = LicsarSource(f"{served.url}/LiCSAR_products%20~1")
        assert there.frames() == here.frames() == [WIDE]
        assert [p.pair for p in there.pairs(WIDE).pairs] == [p.pair for p in here.pairs(WIDE).pairs]
        assert there.pairs(WIDE).complete
        assert grid(there) == grid(here)
        np.testing.assert_array_equal(window(there).phase, window(here).phase)


def test_a_bucket_that_answers_in_the_place_of_an_index_page_is_told_with_the_url_to_write(archive):
    words = "listing of a bucket.*s3://<bucket>/<prefix>.*endpoint_url"
    with web.serving(archive.archive, pages="bucket") as served, pytest.raises(SourceUnavailable, match=words):
        LicsarSource(served.url).frames()


@pytest.mark.parametrize("how", [{}, {"ranges": False}, {"heads": False}, {"etags": False}], ids=str)
def test_a_folder_and_a_web_server_give_the_same(how, archive):
    here = LicsarSource(str(archive.archive))
    with web.serving(archive.archive, **how) as served:
        there = LicsarSource(served.url)
        assert there.frames() == here.frames()
        assert [p.pair for p in there.pairs(WIDE).pairs] == [p.pair for p in here.pairs(WIDE).pairs]
        assert there.pairs(WIDE).complete
        assert grid(there) == grid(here)
        np.testing.assert_array_equal(window(there).phase, window(here).phase)
        np.testing.assert_array_equal(window(there).coherence, window(here).coherence)


@pytest.mark.parametrize("etags", [True, False])
def test_a_fingerprint_on_the_web_changes_with_the_file_alone(etags, archive):
    with web.serving(archive.archive, etags=etags) as served:
        source = LicsarSource(served.url)
        before = {one.pair: one for one in source.pairs(WIDE).pairs}
        assert named(source).fingerprint == before[PAIR].fingerprint
        assert before[PAIR].modified == pytest.approx(archive.phase(PAIR).stat().st_mtime, abs=2)
        os.utime(archive.phase(PAIR), (1e9, 1e9))
        after = {one.pair: one for one in source.pairs(WIDE).pairs}
        assert {pair for pair in after if after[pair].fingerprint != before[pair].fingerprint} == {PAIR}


def test_only_the_files_of_pairs_are_asked_for_size_and_time(archive):
    for pair in archive.pairs():
        (archive.phase(pair).parent / f"{pair}.geo.unw.png").write_bytes(b"a picture")
    with web.serving(archive.archive) as served:
        LicsarSource(served.url).pairs(WIDE)
        heads = [path for method, path, _ in served.asked if method == "HEAD"]
        assert len([path for path in heads if path.endswith(".tif")]) == 2 * len(archive.pairs())
        assert not [path for path in heads if path.endswith(".png")]


def test_a_window_is_read_by_parts_of_the_file(tmp_path):
    content = np.random.default_rng(0).bytes(2**20)
    (tmp_path / "file").write_bytes(content)
    with web.serving(tmp_path) as served:
        file = WebFile(f"{served.url}/file", {"size": len(content)}, 1024)
        file.seek(500_000)
        assert file.read(10) == content[500_000:500_010]
        assert file.read(100) == content[500_010:500_110]
        file.seek(-5, os.SEEK_END)
        assert file.read() == content[-5:]
        assert [one[2] for one in served.asked] == ["bytes=500000-501023", f"bytes={2**20 - 5}-{2**20 - 1}"]


def test_a_file_that_changes_while_it_is_read_is_tried_again_and_not_rejected(archive):
    path = archive.phase(PAIR)
    with web.serving(archive.archive) as served:
        archived = Archive(served.url)
        uri = f"{served.url}/{WIDE}/interferograms/{PAIR}/{PAIR}.geo.unw.tif"

        def read():
            with archived.file(uri) as file:
                path.write_bytes(path.read_bytes() + b"\0")
                file.read(10)

        with pytest.raises(NotNow, match="it changed while it was read"):
            read()


def test_a_file_that_is_too_long_for_a_server_without_ranges_is_refused_with_the_remedy(archive, monkeypatch):
    monkeypatch.setattr("insar_anomaly.sources.web_file.WHOLE_BYTES", 1000)
    with web.serving(archive.archive, ranges=False) as served:
        source = LicsarSource(served.url)
        with pytest.raises(NotNow, match="sends no parts of files.*licsar fetch"):
            source.read(named(source), {"": Grid(WEST, 0.03, STEP, STEP, (4, 4))})


def test_a_web_server_that_is_not_there_is_out_of_reach_and_a_file_that_vanished_is_the_pairs_fault(archive, closed_port):
    with pytest.raises(SourceUnavailable, match="cannot be reached"):
        LicsarSource(f"http://127.0.0.1:{closed_port()}/x").frames()
    with web.serving(archive.archive) as served:
        source = LicsarSource(served.url)
        with pytest.raises(SourceUnavailable, match="does not exist"):
            LicsarSource(f"{served.url}/nothing").frames()
        one, wanted = named(source), {"": grid(source)}
        archive.phase(PAIR).unlink()
        with pytest.raises(PairRejected, match="it is listed, but it is not there"):
            source.read(one, wanted)
        assert "no 20" in named(source).lacks


# several sources


@pytest.fixture
def second(archive, tmp_path):
    """A copy of the archive, as a second source."""
    shutil.copytree(archive.archive, tmp_path / "second")
    return installation.Installation(tmp_path), LicsarSource(str(tmp_path / "second"))


def raised(path):
    """The phase of a file, 1 rad more; 0 stays no data."""
    phase = read_tif(path)
    return np.where(phase == 0, 0, phase + 1).astype(phase.dtype)


def later(path, by=1000.0):
    os.utime(path, (path.stat().st_mtime + by,) * 2)


def test_a_second_source_that_holds_nothing_new_changes_no_fingerprint(archive, second, tmp_path):
    first = LicsarSource(str(archive.archive))
    for file in (tmp_path / "second").rglob("*.tif"):
        later(file)
    joined = JoinedSource((first, second[1])).pairs(WIDE)
    assert joined.complete
    assert [(one.pair, one.source, one.fingerprint) for one in joined.pairs] == [
        (one.pair, 0, one.fingerprint) for one in first.pairs(WIDE).pairs
    ]


def test_the_newest_version_of_a_pair_counts_and_pairs_that_one_source_holds_are_added(archive, second, tmp_path):
    first = LicsarSource(str(archive.archive))
    other = tmp_path / "second" / WIDE / "interferograms" / PAIR / f"{PAIR}.geo.unw.tif"
    write_tif(other, raised(other))
    older = archive.pairs()[0] if archive.pairs()[0] != PAIR else archive.pairs()[1]
    stale = tmp_path / "second" / WIDE / "interferograms" / older / f"{older}.geo.unw.tif"
    write_tif(stale, raised(stale))
    os.utime(stale, (1e9, 1e9))
    os.utime(stale.with_name(f"{older}.geo.cc.tif"), (1e9, 1e9))
    later(other)
    only = archive.pairs()[-1]
    shutil.rmtree(archive.phase(only).parent)
    joined = JoinedSource((first, second[1]))
    assert {one.pair: one.source for one in joined.pairs(WIDE).pairs} == {
        pair: int(pair in (PAIR, only)) for pair in (*archive.pairs(), only)
    }
    measured = np.isfinite(window(joined).phase)
    np.testing.assert_allclose(window(joined).phase[measured], window(first).phase[measured] + 1, rtol=1e-5)


def test_a_whole_pair_comes_before_one_that_lacks_a_file_and_the_first_where_times_are_unknown():
    one = Listed("20210101_20210113", "a", "b", "1", modified=1.0, sizes=(1, 2))
    assert chosen([one, replace(one, fingerprint="2", modified=2.0, sizes=(3, 2))]).fingerprint == "2"
    assert chosen([one, replace(one, fingerprint="2", modified=2.0, sizes=(1, 2))]).fingerprint == "1"
    assert chosen([one, replace(one, fingerprint="2", modified=float("nan"), sizes=())]).fingerprint == "1"
    late = replace(one, fingerprint="2", modified=9.0, sizes=(3, None), coherence_uri=None, lacks="no coherence")
    assert chosen([one, late]).fingerprint == chosen([late, one]).fingerprint == "1"
    assert chosen([one, replace(late, baseline=3.0)]).baseline == 3.0


def test_static_layers_come_from_the_first_source_that_has_them_whole(archive, second):
    (archive.archive / WIDE / "metadata" / f"{WIDE}.geo.E.tif").unlink()
    joined = JoinedSource((LicsarSource(str(archive.archive)), second[1]))
    static = joined.static(WIDE, BOX, height=True)
    assert static.attrs["look"] == "frame's layers"
    assert static.attrs["source"] == f"licsar {second[1].url}/{WIDE}"
    (archive.archive / WIDE / "metadata" / f"{WIDE}.geo.hgt.tif").write_bytes(b"II*\0half")
    whole = joined.static(WIDE, BOX, height=True)
    assert np.isfinite(whole["height"].values).any()
    with pytest.raises(HeightUnusable, match="hgt.tif"):
        JoinedSource(joined.sources[:1]).static(WIDE, BOX, height=True)
    away = LicsarSource(str(archive.archive / "unmounted"))  # it may have the height that is broken here
    with pytest.raises(SourceUnavailable, match="unmounted"):
        JoinedSource((joined.sources[0], away)).static(WIDE, BOX, height=True)
    shutil.rmtree(archive.archive / WIDE / "metadata")
    assert joined.static(WIDE, BOX, height=True).attrs["source"] == static.attrs["source"]


def test_a_source_out_of_reach_fails_by_name_and_nothing_seems_gone_or_replaced(built, tmp_path):
    place = installation.copy(built, tmp_path / "own")
    place.only(990001)
    shutil.copytree(place.archive / WIDE, tmp_path / "second" / WIDE)
    here = place.pairs()
    for pair in here[10:]:
        shutil.rmtree(place.phase(pair).parent)
    for pair in here[5:]:
        if pair not in here[5:15]:
            shutil.rmtree(tmp_path / "second" / WIDE / "interferograms" / pair)
    newer = tmp_path / "second" / WIDE / "interferograms" / here[7] / f"{here[7]}.geo.unw.tif"
    write_tif(newer, read_tif(newer) + 1)
    later(newer)
    place.change('url = "archive"', f'url = "archive"\n\n[[source]]\nurl = "{tmp_path / "second"}"')
    assert place.ingest().failures == []
    assert sorted(place.verdicts(QUIET)) == sorted(here[:15])
    (tmp_path / "second").rename(tmp_path / "away")
    run = place.ingest()
    assert [f"{tmp_path}/second" in failure.error for failure in run.failures] == [True]
    assert not [words for words in run.warnings if "replaced" in words]
    with place.opened() as (s, silent):
        from insar_anomaly.pipeline.ingest import locate

        held = s.source_of(locate(s, silent).located[WIDE])
        assert not held.pairs(WIDE).complete


# folders that are no LiCSAR archive


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((), r"is empty.*correct url in \[\[source\]\], or wait for data"),
        (("S1AA_20210105T0_VVP012_INT80_G_ueF_1234.zip",), r"holds zipped products \(1 of \.zip, first S1AA"),
        (("a.nc", "b.nc", "readme.txt"), r"holds NetCDF products \(2 of \.nc, first a\.nc\)"),
        (("something.h5",), r"holds HDF5 products"),
        (("NISAR_L2_PR_GUNW_001.h5",), r'it looks like nisar: write kind = "nisar" in its \[\[source\]\]'),
    ],
    ids=["empty", "zip", "nc", "h5", "nisar"],
)
def test_a_folder_without_frames_is_named_in_words(files, words, tmp_path):
    (tmp_path / "place").mkdir()
    for name in files:
        (tmp_path / "place" / name).write_bytes(b"x")
    with pytest.raises(WrongFolder, match=words):
        LicsarSource(str(tmp_path / "place")).frames()


def test_a_frame_folder_in_another_layout_is_not_told_to_wait_for_data(built, tmp_path):
    place = installation.copy(built, tmp_path / "own")
    place.only(990001)
    shutil.rmtree(place.archive / WIDE)
    (place.archive / WIDE / "S1AA_20210105T000000_20210117T000000_VVP012_INT80_G_ueF_1234").mkdir(parents=True)
    [failure] = place.ingest().failures
    assert 'is not in the layout licsar; it looks like hyp3: write kind = "hyp3" in its [[source]]' in failure.error
    assert "wait for data" not in failure.error
    assert str(place.archive / WIDE) in failure.error


def test_what_is_said_without_pairs_depends_on_whether_there_are_some_outside_the_period(built, tmp_path):
    from datetime import date

    place = installation.copy(built, tmp_path / "own")
    place.only(990001)
    early = place.ingest(as_of=date(2020, 1, 1)).failures[0].error
    assert f"holds {len(place.pairs())} pairs, from {DATES[0]} to {DATES[-1]}, and none of them in the period" in early
    assert "wait for data" not in early
    for pair in place.pairs():
        shutil.rmtree(place.phase(pair).parent)
    assert "holds no interferogram; wait for data" in place.ingest().failures[0].error


def test_a_layout_is_known_by_its_names_and_the_line_to_write_is_told(monkeypatch, tmp_path, archive):
    assert layout_of(sorted(p.name for p in archive.archive.iterdir())) == "licsar"
    assert layout_of([PAIR, "20210201_20210213"]) == "licsar"
    assert layout_of(["photo.jpg", "notes.txt"]) is None
    assert layout_of([]) is None
    place = Archive(str(archive.archive))
    assert layout_in(place, place.root) == ("licsar", f"{place.root}/{WIDE}/interferograms")
    assert 'write kind = "licsar"' in misfit(place, "other", what="product")


def test_the_listing_says_whether_it_is_complete():
    assert Listing([], []).complete
    assert not Listing([], [], ("a folder",)).complete
    assert not Listing([], [], (), ("a source",)).complete
    assert isinstance(open_source(SourceSettings(kind="licsar", url="x"), {}), LicsarSource)
    assert "licsar" in SOURCES.kinds
