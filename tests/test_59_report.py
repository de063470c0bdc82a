"""The screening report of a whole installation: what is written, when, in which order, and where."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from installation import AS_OF, BLIND, QUIET, RISING

from insar_anomaly.cli import main
from insar_anomaly.errors import StoreFailed
from insar_anomaly.ledger.people_rows import ActKind, ActRow
from insar_anomaly.pipeline import report, shelf
from insar_anomaly.pipeline.overview import Overview
from insar_anomaly.pipeline.report import write_report
from insar_anomaly.report.site.rows import Mark

GVPS = (990001, 990002, 990003)


@pytest.fixture(scope="module")
def written(with_a_flag, tmp_path_factory):
    """A site of the installation with one flag, and what writing it gave. Shared: read it only."""
    place = tmp_path_factory.mktemp("site")
    with with_a_flag.opened() as (s, _):
        return place, write_report(s, str(place))


def content(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def referred(folder):
    """Every file that a page or a page's data names, as a path below the folder."""
    found = set()
    for page in folder.rglob("*.html"):
        for name in re.findall(r'(?:src|href)="([^"#]+)"|"src":"([^"]+)"', page.read_text()):
            target = name[0] or name[1]
            if not re.match(r"\w+:", target):
                found.add(str((page.parent / target).resolve().relative_to(folder.resolve())))
    return found


def test_every_volcano_has_its_pages_and_every_file_that_they_name_is_there(written):
    folder, done = written
    assert done.written == GVPS
    assert done.failed == ()
    names = set(content(folder))
    assert {f"v/{gvp}{what}.html" for gvp in GVPS for what in ("", "-model")} | {"index.html"} <= names
    assert referred(folder) <= names
    assert names - referred(folder) <= {"manifest.json", "index.html"}  # nothing lies there that nobody shows


def test_the_marks_are_those_of_the_night(flagged):
    with flagged.opened() as (s, _):
        rows = {volcano.gvp: Overview.of(s).row(volcano) for volcano in s.volcanoes}
    assert rows[990002].mark is Mark.FLAGGED
    assert rows[990003].mark is Mark.BLIND
    assert rows[990001].mark is Mark.NO_FLAG
    assert rows[990002].open_flags == 1
    assert rows[990002].period > 10 > (rows[990001].period or 0)
    assert rows[990002].ratio > 1


def test_a_volcano_page_has_its_panels_series_and_files(written):
    folder, _ = written
    page = (folder / "v" / "990002.html").read_text()
    assert f"{RISING}:1" in page
    for panel in ("motion", "fringes", "coherence", "scores"):
        assert re.search(rf'<img src="\.\./f/990002/[\w.-]+-{panel}\.\w+\.png"', page)
    for ending in ("csv", "geojson", "tif", "nc"):
        assert re.search(rf'href="\.\./f/990002/[\w.-]+\.{ending}" download', page)
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["s0"]
    assert data["threshold"] > 0
    assert any(row[5] for row in data["rows"])
    assert data["film"]["names"] == [row[0] for row in data["rows"] if row[0] in data["film"]["names"]]
    assert data["motion"][0]["days"]


def test_the_motion_of_the_peak_and_of_chosen_places_shows_what_moved(written):
    """Rising Cone has risen by 12 cm, less what its own map takes for zero."""
    page = (written[0] / "v" / "990002.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])["s0"]
    of_flag = data["motion"][1]
    peak = [value for value in of_flag["peak"] if value is not None]
    assert 5 < max(peak) - min(peak) < 15
    cells = of_flag["cells"]
    last = [[place[-1] for place in row] for row in cells]
    known = [abs(value) for row in last for value in row if value is not None]
    assert max(known) > 4 * sorted(known)[len(known) // 2]


def test_a_blind_volcano_says_why(written):
    page = (written[0] / "v" / "990003.html").read_text()
    assert "<strong>Blind:</strong> it has no threshold" in page


def test_a_browser_opens_every_page_without_a_word_of_complaint(written):
    driver = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    said = []
    with driver.sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        tab = browser.new_page(viewport={"width": 1280, "height": 2000})
        for event in ("console", "pageerror"):
            tab.on(event, lambda one: said.append(str(getattr(one, "text", one))))
        # a picture that still loads when the next page is opened is given up, and no failure
        tab.on("requestfailed", lambda one: None if one.failure == "net::ERR_ABORTED" else said.append(f"{one.url}"))
        tab.on("request", lambda one: None if one.url.startswith(("file:", "data:")) else said.append(one.url))
        for page in sorted(written[0].rglob("*.html")):
            tab.goto(page.as_uri())
            tab.wait_for_load_state()
        tab.goto((written[0] / "v" / "990002.html").as_uri())
        assert tab.locator("#s0-series .p").count() > 3
        assert tab.locator("#s0-series .span").count() == 1
        browser.close()
    assert said == []


def test_nothing_is_written_again_where_nothing_has_changed(flagged, tmp_path):
    with flagged.opened() as (s, _):
        write_report(s, str(tmp_path / "site"))
        before = content(tmp_path / "site")
        done = write_report(s, str(tmp_path / "site"))
    assert (done.written, done.unchanged) == ((), 3)
    after = content(tmp_path / "site")
    assert {name for name in before if before[name] != after.get(name)} <= {"index.html", "manifest.json"}
    assert before.keys() == after.keys()


def test_what_a_person_does_changes_the_pages_of_that_volcano_only(flagged, tmp_path):
    flagged.only(990001, 990002)
    with flagged.opened() as (s, _):
        write_report(s, str(tmp_path / "site"))
        act = ActRow(RISING, 1, ActKind.ACKNOWLEDGED, "A. Duty", datetime(2021, 10, 1, tzinfo=UTC), "<b>field team</b>")
        s.ledger.record_act(act)
        done = write_report(s, str(tmp_path / "site"))
    assert done.written == (990002,)
    page = (tmp_path / "site" / "v" / "990002.html").read_text()
    assert "&lt;b&gt;field team&lt;/b&gt;" in page
    assert "A. Duty" in page


def test_a_mute_is_shown_and_ends_by_itself(flagged, tmp_path):
    with flagged.opened() as (s, _):
        now = datetime.now(UTC)
        s.ledger.record_act(ActRow("99*", None, ActKind.MUTED, "B", now, "works", until=date(now.year + 1, 1, 1)))
        volcano = s.volcanoes[1]
        muted = Overview.of(s)
        later = replace(muted, today=date(now.year + 2, 1, 1))
        assert muted.row(volcano).mark is Mark.MUTED
        assert later.row(volcano).mark is Mark.FLAGGED
        assert muted.mark_of(volcano) != later.mark_of(volcano)


class Kept:
    """A folder that keeps the order in which files are written and removed."""

    def __init__(self, place):
        self.inner, self.order, self.removed, self.most = shelf.shelf_of(str(place), {}), [], [], None

    def read(self, name):
        return self.inner.read(name)

    def names(self):
        return self.inner.names()

    def write(self, files):
        for name, one in files.items():
            if self.most is not None and len(self.order) >= self.most:
                raise StoreFailed("the disk is full")
            self.order.append(name)
            self.inner.write({name: one})

    def remove(self, names):
        self.removed += list(names)
        self.inner.remove(names)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    made = Kept(tmp_path / "site")
    monkeypatch.setattr(report, "shelf_of", lambda *_: made)
    return made


def test_files_come_before_the_pages_that_show_them_and_the_manifest_last(flagged, kept):
    flagged.only(990002)
    with flagged.opened() as (s, _):
        write_report(s, "here")
    place = {name: number for number, name in enumerate(kept.order)}
    pages = [name for name in kept.order if name.startswith("v/")]
    files = [name for name in kept.order if name.startswith(("f/", "assets/"))]
    assert max(place[name] for name in files) < min(place[name] for name in pages)
    assert kept.order[-2:] == ["index.html", "manifest.json"]


@pytest.mark.parametrize("most", [3, 14, 21])
def test_a_report_that_is_cut_off_leaves_no_page_half_new_and_the_next_one_ends_it(flagged, kept, tmp_path, most):
    site = tmp_path / "site"
    flagged.only(990002)
    with flagged.opened() as (s, _):
        write_report(s, "here")
        s.ledger.record_act(ActRow(RISING, 1, ActKind.NOTED, "A", datetime(2021, 10, 1, tzinfo=UTC), "new"))
        kept.order.clear()
        kept.most = most
        with pytest.raises(StoreFailed, match="disk is full"):
            write_report(s, "here", again=True)
        assert referred(site) <= set(content(site))
        kept.most = None
        done = write_report(s, "here")
    assert 990002 in done.written
    assert referred(site) <= set(content(site))
    assert "new" in (site / "v" / "990002.html").read_text()


def test_files_that_a_page_showed_before_stay_until_the_report_after(flagged, tmp_path):
    site = tmp_path / "site"
    flagged.only(990002)
    with flagged.opened() as (s, _):
        write_report(s, str(site))
        first = set(content(site))
        s.ledger.record_act(ActRow(RISING, 1, ActKind.ACKNOWLEDGED, "A", datetime(2021, 10, 1, tzinfo=UTC)))
        write_report(s, str(site))
        second = set(content(site))
        assert first <= second
        write_report(s, str(site))
        third = set(content(site))
    assert third <= second
    assert referred(site) <= third


def test_a_volcano_that_left_the_catalogue_leaves_the_site(flagged, tmp_path):
    with flagged.opened() as (s, _):
        write_report(s, str(tmp_path / "site"))
    flagged.only(990001, 990002)
    with flagged.opened() as (s, _):
        for _ in range(2):
            write_report(s, str(tmp_path / "site"))
    assert not (tmp_path / "site" / "v" / "990003.html").exists()
    assert "990003" not in (tmp_path / "site" / "index.html").read_text()


def test_one_volcano_that_cannot_be_shown_stops_no_other(flagged, tmp_path, monkeypatch):
    whole = report.volcano_view

    def broken(overview, volcano, files):
        if volcano.gvp == 990001:
            raise StoreFailed("the store is away")
        return whole(overview, volcano, files)

    with flagged.opened() as (s, _):
        write_report(s, str(tmp_path / "site"))
        monkeypatch.setattr(report, "volcano_view", broken)
        done = write_report(s, str(tmp_path / "site"), again=True)
        assert done.written == (990002, 990003)
        assert done.failed == ((990001, "its page cannot be made, the one of before stays: the store is away"),)
        assert (tmp_path / "site" / "v" / "990001.html").exists()
        monkeypatch.undo()
        assert write_report(s, str(tmp_path / "site")).written == (990001,)


def test_maps_that_are_gone_are_explained_on_the_page(flagged, tmp_path, monkeypatch):
    from insar_anomaly.pipeline import views

    def gone(*_):
        raise StoreFailed("no pair is left")

    monkeypatch.setattr(views, "glance_of", gone)
    with flagged.opened() as (s, _):
        assert write_report(s, str(tmp_path / "site")).failed == ()
    assert "There are no maps of it: no pair is left." in (tmp_path / "site" / "v" / "990002.html").read_text()


def test_the_site_on_s3_is_the_same_and_has_media_types(flagged, bucket, written):
    flagged.config.write_text(flagged.config.read_text() + f'\n[storage]\nendpoint_url = "{bucket.endpoint}"\n')
    with flagged.opened() as (s, _):
        done = write_report(s, f"{bucket.url}/report")
        again = write_report(s, f"{bucket.url}/report")
    assert (len(done.written), again.written) == (3, ())
    names = {name.removeprefix("report/") for name in bucket.objects("report/")}
    assert names == set(content(written[0]))
    kinds = {
        name: bucket.client.head_object(Bucket=bucket.name, Key=f"report/{name}")["ContentType"]
        for name in ("index.html", next(one for one in names if one.endswith(".css")))
    }
    assert list(kinds.values()) == ["text/html; charset=utf-8", "text/css; charset=utf-8"]


def test_the_command_writes_a_site_and_says_what_it_did(flagged, tmp_path, capsys):
    place = tmp_path / "out"
    assert main(["-c", str(flagged.config), "report", str(place)]) == 0
    assert re.fullmatch(rf"{re.escape(str(place))}: 3 volcanoes written, 0 unchanged, \d+ files\n", capsys.readouterr().out)
    assert main(["-c", str(flagged.config), "--json", "report", str(place)]) == 0
    assert json.loads(capsys.readouterr().out)["unchanged"] == 3
    assert main(["-c", str(flagged.config), "--volcano", "990001", "report", "--again", str(place)]) == 0
    assert "1 volcanoes written, 2 unchanged" in capsys.readouterr().out


def test_another_process_finds_the_same_pages_unchanged(flagged, tmp_path):
    """Sets have another order in each process; the marks must not."""
    counts = []
    for seed in ("1", "2"):
        words = [
            sys.executable,
            "-m",
            "insar_anomaly",
            "-c",
            str(flagged.config),
            "--json",
            "report",
            str(tmp_path / "site"),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        counts.append(len(json.loads(done.stdout)["written"]))
    assert counts == [3, 0]


def test_a_place_that_is_no_folder_and_no_bucket_is_refused(flagged, capsys):
    assert main(["-c", str(flagged.config), "report", "https://example.org/site"]) == 2
    assert "s3://bucket/prefix" in capsys.readouterr().err


def test_the_command_without_a_place_names_the_remedy(flagged, capsys):
    assert main(["-c", str(flagged.config), "report"]) == 2
    assert "set [report] out" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(flagged, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("no folder")
    assert main(["-c", str(flagged.config), "report", str(file)]) == 2
    assert str(file) in capsys.readouterr().err


def test_a_night_brings_the_site_up_to_date_where_it_is_asked_to(flagged):
    flagged.config.write_text(flagged.config.read_text() + '\n[report]\nout = "site"\ntitle = "Our volcanoes"\n')
    run, _ = flagged.nightly()
    assert run.failures == []
    page = (flagged.folder / "site" / "index.html").read_text()
    assert "<title>Our volcanoes</title>" in page
    assert f"{AS_OF.day} {AS_OF:%B} {AS_OF.year}" in page


def test_a_night_whose_site_cannot_be_written_fails_and_says_so(flagged):
    flagged.config.write_text(flagged.config.read_text() + '\n[report]\nout = "notices/file/site"\n')
    Path(flagged.folder / "notices" / "file").write_text("")
    run, _ = flagged.nightly()
    assert [(one.stack, one.stage) for one in run.failures] == [("every stack", "report")]
    assert "[report] out" in run.failures[0].error


def test_without_the_setting_a_night_writes_no_site(flagged):
    flagged.nightly()
    assert not list(flagged.folder.rglob("index.html"))


def test_links_that_act_are_on_the_pages_only_where_they_are_asked_for(flagged, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "s" * 40)
    serve = '\n[serve]\nurl = "https://screening.example.org/flags"\nsecret_env = "SECRET"\n'
    flagged.config.write_text(flagged.config.read_text() + serve)
    for setting, expected in (("", False), ("\n[report]\nlinks = true\n", True)):
        flagged.config.write_text(flagged.config.read_text() + setting)
        with flagged.opened() as (s, _):
            write_report(s, str(tmp_path / "site"))
        assert ("signature=" in (tmp_path / "site" / "v" / "990002.html").read_text()) is expected


def test_an_installation_without_models_has_a_site(ingested, tmp_path):
    with ingested.opened() as (s, _):
        done = write_report(s, str(tmp_path / "site"))
    assert done.failed == ()
    assert "it is not fitted" in (tmp_path / "site" / "v" / "990001.html").read_text()
    assert "No night has been run yet" in (tmp_path / "site" / "index.html").read_text()


def test_an_unreadable_manifest_makes_everything_anew(flagged, tmp_path):
    with flagged.opened() as (s, _):
        write_report(s, str(tmp_path / "site"))
        (tmp_path / "site" / "manifest.json").write_text("{")
        assert write_report(s, str(tmp_path / "site")).written == GVPS


def test_the_newest_scores_of_all_stacks_are_those_of_each(flagged):
    with flagged.opened() as (s, _):
        found = s.ledger.newest("interval")
        for stack in (QUIET, RISING, BLIND):
            rows = [row for row in s.ledger.assessments(stack, "interval") if row.score is not None]
            last = max(row.seen for row in rows)
            assert found[stack].score == max(row.score for row in rows if row.seen == last)


# --------------------------------------------------------------------------------------------- what others have put there


def test_a_place_where_something_else_lies_is_refused_and_left_as_it_is(flagged, tmp_path):
    for name in ("index.html", "manifest.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("<h1>ours</h1>")
        assert main(["-c", str(flagged.config), "report", str(folder)]) == 2
        assert content(folder) == {name: b"<h1>ours</h1>"}
    before = content(flagged.folder / "store")
    for inside in (flagged.folder / "store", flagged.folder / "store" / "report", flagged.folder):
        assert main(["-c", str(flagged.config), "report", str(inside)]) == 2
    assert content(flagged.folder / "store") == before
    assert main(["-c", str(flagged.config), "report", str(flagged.config)]) == 2


def test_the_site_of_another_installation_is_taken_over_only_where_that_is_asked_for(flagged, tmp_path, capsys):
    place = tmp_path / "site"
    assert main(["-c", str(flagged.config), "report", str(place)]) == 0
    manifest = json.loads((place / "manifest.json").read_text())
    (place / "manifest.json").write_text(json.dumps(manifest | {"owner": "sqlite:////elsewhere/ledger.sqlite"}))
    before = content(place)
    capsys.readouterr()
    assert main(["-c", str(flagged.config), "report", str(place)]) == 2
    assert "/elsewhere/ledger.sqlite" in capsys.readouterr().err
    assert content(place) == before
    assert main(["-c", str(flagged.config), "report", str(place), "--again"]) == 0
    assert json.loads((place / "manifest.json").read_text())["owner"] == manifest["owner"]


def test_a_page_or_a_picture_that_was_lost_is_written_again(flagged, tmp_path):
    place = tmp_path / "site"
    with flagged.opened() as (s, _):
        write_report(s, str(place))
        before = content(place)
        picture = next(name for name in before if name.endswith((".png", ".webp")))
        for lost in (f"v/{QUIET.split('/')[0]}.html", picture):
            (place / lost).unlink()
        done = write_report(s, str(place))
    assert len(done.written) in (1, 2)
    assert set(content(place)) == set(before)


def test_without_its_store_the_pages_of_before_stay(flagged, tmp_path):
    place = tmp_path / "site"
    assert main(["-c", str(flagged.config), "report", str(place)]) == 0
    before = content(place)
    (flagged.folder / "store").rename(tmp_path / "away")
    assert main(["-c", str(flagged.config), "report", str(place)]) == 2
    assert content(place) == before
