"""Flags, scores and stacks for other programs, and the state of the installation: what is written is what was found."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import cap_rules
import installation
import pytest
import stac_rules
from hypothesis import given
from hypothesis import strategies as st
from installation import AS_OF, BLIND, DATES, QUIET, RISING, command
from jsonschema import Draft202012Validator
from test_46_stored_forms import mistakes, schema

from insar_anomaly import cli, config
from insar_anomaly.catalogue.volcano import Box, Volcano
from insar_anomaly.errors import ConfigError, StoreFailed
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger import EpisodeRow, Ledger
from insar_anomaly.names import EvidenceKind
from insar_anomaly.report.exports.cap import Sender, Sent, cap_text
from insar_anomaly.report.exports.columns import FLAGS, SCORES, STACKS, Flag, Kind, StackNow, markdown, rows
from insar_anomaly.report.exports.geojson import geojson_text
from insar_anomaly.report.exports.places import bounds, polygon
from insar_anomaly.report.exports.stac import stac_text
from insar_anomaly.report.exports.status import Standing
from insar_anomaly.report.exports.tables import csv_text
from insar_anomaly.tools.doctor import _ages

ROOT = Path(__file__).resolve().parents[1]
TABLES = {"flags": FLAGS, "scores": SCORES, "stacks": STACKS}


@pytest.fixture(scope="module")
def screened(learned, tmp_path_factory):
    """The whole tiny installation after its night, with a status file and CAP allowed. Shared: read it only."""
    place = installation.copy(learned, tmp_path_factory.mktemp("screened"))
    more = '[status]\nfile = "web/status.json"\n[cap]\nenabled = true\nsender_id = "night@obs.example.org"\n\n[detector]'
    place.change("[detector]", more)
    run, _ = place.nightly()
    assert run.failures == []
    return place


@pytest.fixture
def export(screened, capfdbinary):
    def exported(*words, code=0):
        assert cli.main(["-c", str(screened.config), "export", *words]) == code
        said = capfdbinary.readouterr()
        return said.out.decode() if code == 0 else said.err.decode()

    return exported


# CSV


@pytest.mark.parametrize("what", TABLES)
def test_a_table_has_its_columns_in_order_and_every_value_of_its_kind(export, what):
    text = export(what)
    assert text.count("\r\n") == text.count("\n")  # RFC 4180
    found = list(csv.DictReader(io.StringIO(text, newline="")))
    assert found
    assert list(found[0]) == [column.name for column in TABLES[what]]
    read = {
        Kind.WHOLE: int,
        Kind.NUMBER: float,
        Kind.DAY: date.fromisoformat,
        Kind.YES: {"true": True, "false": False}.__getitem__,
        Kind.TEXT: str,
    }
    for row in found:
        for column in TABLES[what]:
            if row[column.name]:
                read[column.kind](row[column.name])


def test_flags_and_scores_are_the_ledger_s(export, screened):
    flags = list(csv.DictReader(io.StringIO(export("flags"))))
    kept = screened.rows("select stack, number, peak_score, state from episode order by stack, number")
    assert [(f["stack"], int(f["number"]), float(f["peak_score"]), f["state"]) for f in flags] == kept
    scores = list(csv.DictReader(io.StringIO(export("scores", "--evidence", "interval"))))
    query = (
        "select count(*) from score s join model m on m.stack = s.stack and m.model = s.model where m.evidence = 'interval'"
    )
    assert len(scores) == screened.rows(query)[0][0]
    assert {row["evidence"] for row in scores} == {"interval"}
    assert any(row["over"] == "true" for row in scores)


def test_what_is_exported_can_be_chosen(export):
    rising = list(csv.DictReader(io.StringIO(export("flags", "--stack", RISING))))
    assert {row["stack"] for row in rising} == {RISING}
    since, until = date.fromisoformat(rising[0]["since"]), date.fromisoformat(rising[0]["until"])
    for first, last, there in ((until, None, True), (None, since, True), (date(2022, 1, 1), None, False)):
        words = [*(["--from", str(first)] if first else []), *(["--to", str(last)] if last else [])]
        found = list(csv.DictReader(io.StringIO(export("flags", "--stack", RISING, *words))))
        assert (rising[0]["flag"] in {row["flag"] for row in found}) is there
    assert {row["gvp"] for row in csv.DictReader(io.StringIO(export("stacks", "--volcano", "990003")))} == {"990003"}
    assert export("flags", "--volcano", "990003") == ",".join(c.name for c in FLAGS) + "\r\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stacks", "--from", "2021-01-01"), "stacks are exported as they are now"),
        (("scores", "--format", "cap"), "a CAP message is of a flag"),
        (("flags", "--stack", "990001/nowhere"), "has such a stack"),
        (("flags", "--evidence", "pair"), "`export flags` does not take it"),
        (("flags", "--pair", "20210105_20210117"), "`export flags` does not take it"),
        (("flags", "--from", "2022-01-01", "--to", "2021-01-01"), "is after --to"),
        (("--format", "csv", "--stack", RISING), "a score map is of one stack"),
        ((), "a score map is of one stack"),
        (("flags", "--out", "/proc/nowhere/x.csv"), "name a place that can be written"),
    ],
)
def test_what_does_not_go_together_is_said(export, words, said):
    assert said in export(*words, code=2)


def test_a_file_is_written_whole_and_said(screened, tmp_path, capsys):
    place = tmp_path / "new" / "flags.csv"
    assert cli.main(["-c", str(screened.config), "export", "flags", "--out", str(place)]) == 0
    assert f"{place}: " in capsys.readouterr().err
    assert place.read_bytes().endswith(b"\r\n")
    assert [file.name for file in place.parent.iterdir()] == ["flags.csv"]


def test_a_map_is_exported_as_before(screened, tmp_path):
    place = tmp_path / "map.tif"
    assert cli.main(["-q", "-c", str(screened.config), "export", "--stack", RISING, "--out", str(place)]) == 0
    assert place.read_bytes()[:2] == b"II"


def test_standard_output_is_utf8_whatever_the_locale_says(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    catalogue = place.folder / "volcanoes.toml"
    catalogue.write_text(catalogue.read_text().replace("Quiet Peak", "Öræfajökull, 火"), encoding="utf-8")
    words = command("-c", place.config, "export", "stacks")
    done = subprocess.run(
        words, capture_output=True, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PATH": "/usr/bin"}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert '"Öræfajökull, 火"'.encode() in done.stdout


# the ledger is only read


def test_an_export_changes_nothing(learned, tmp_path, capsys):
    place = installation.copy(learned, tmp_path / "here")
    file = place.folder / "ledger.sqlite"
    with Ledger(f"sqlite:///{file}", read_only=True) as ledger:
        assert ledger.stacks()
        with pytest.raises(StoreFailed, match="readonly"):
            ledger.record_pulse("url", None)
    before = file.read_bytes()
    for what in TABLES:
        assert cli.main(["-q", "-c", str(place.config), "export", what]) == 0
    assert file.read_bytes() == before
    capsys.readouterr()


def test_a_ledger_that_is_only_read_refuses_every_change(url):
    with Ledger(url) as ledger:
        ledger.record_pulse("url", None)
    with Ledger(url, read_only=True) as ledger:
        assert [row.way for row in ledger.pulses()] == ["url"]
        with pytest.raises(StoreFailed, match="read-?only"):
            ledger.record_pulse("file", None)
        assert [row.way for row in ledger.pulses()] == ["url"]


def test_a_ledger_that_is_not_there_is_not_made(built, tmp_path, capsys):
    place = installation.copy(built, tmp_path / "here")
    assert cli.main(["-c", str(place.config), "export", "flags"]) == 2
    assert "the first ingest makes it" in capsys.readouterr().err
    assert not (place.folder / "ledger.sqlite").exists()


def test_an_older_ledger_is_not_brought_up_to_date_by_reading_it(learned, tmp_path):
    import sqlite3

    place = installation.copy(learned, tmp_path / "here")
    with sqlite3.connect(place.folder / "ledger.sqlite") as database:
        database.execute("update ledger_version set version_num = '0008'")
    database.close()
    with pytest.raises(ConfigError, match="is of an older version, and is only read here"):
        Ledger(config.load(place.config).ledger, read_only=True)


# places


BOXES = st.tuples(st.floats(-180, 360), st.floats(-80, 80), st.floats(2, 120))


def _volcano(lon, lat, box_km=25.0, frames=("079D_07694_131313",)):
    return Volcano(gvp=221080, name="Erta Ale", lat=lat, lon=lon, frames=frames, box_km=box_km)


def _rings(geometry):
    found = geometry["coordinates"]
    return [found[0]] if geometry["type"] == "Polygon" else [part[0] for part in found]


@given(BOXES)
def test_outlines_are_counterclockwise_closed_and_inside_the_world(place):
    box = _volcano(*place).box
    geometry = polygon(box)
    assert list(stac_rules.Draft202012Validator(stac_rules.GEOMETRY).iter_errors(json.loads(json.dumps(geometry)))) == []
    width = 0.0
    for ring in _rings(geometry):
        assert ring[0] == ring[-1]
        twice = sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairwise(ring))
        assert twice >= 0  # RFC 7946, 3.1.6
        width += max(x for x, _ in ring) - min(x for x, _ in ring)
    assert width == pytest.approx(box.east - box.west, abs=1e-5)  # nothing runs around the Earth


@pytest.mark.parametrize(("lon", "cut"), [(179.9, True), (-179.95, True), (180.0, True), (0.0, False), (359.9, False)])
def test_a_box_over_the_antimeridian_is_cut_there(lon, cut):
    box = _volcano(lon, -16.8).box
    geometry = polygon(box)
    west, south, east, north = bounds(box)
    assert (geometry["type"] == "MultiPolygon") is cut
    assert (west > east) is cut
    assert south < north
    if cut:
        edges = [x for ring in _rings(geometry) for x, _ in ring]
        assert 180.0 in edges
        assert -180.0 in edges


def test_a_box_that_ends_at_the_antimeridian_is_not_cut():
    assert polygon(Box(west=179.0, south=0.0, east=180.0, north=1.0))["type"] == "Polygon"


# GeoJSON and STAC


@pytest.mark.parametrize("what", TABLES)
def test_geojson_holds_the_columns_the_places_and_the_disclaimer(export, what):
    content = json.loads(export(what, "--format", "geojson"))
    assert content["type"] == "FeatureCollection"
    assert "not an alert level" in content["disclaimer"]
    assert "crs" not in content  # RFC 7946, 4
    ids = [one["id"] for one in content["features"]]
    assert len(set(ids)) == len(ids) > 0
    for one in content["features"]:
        assert list(one["properties"]) == [column.name for column in TABLES[what]]
        assert list(Draft202012Validator(stac_rules.GEOMETRY).iter_errors(one["geometry"])) == []


@pytest.mark.parametrize("what", TABLES)
def test_stac_items_keep_the_rules_of_stac(export, what):
    content = json.loads(export(what, "--format", "stac"))
    assert content["features"]
    assert [words for item in content["features"] for words in stac_rules.mistakes(item)] == []
    assert len({item["id"] for item in content["features"]}) == len(content["features"])
    item = content["features"][0]
    assert item["properties"]["insar_anomaly:gvp"] == 990001
    assert item["properties"]["sat:orbit_state"] == "ascending"
    assert item["properties"]["sat:relative_orbit"] == 1


def test_the_rules_of_stac_find_what_is_wrong(export):
    item = json.loads(export("flags", "--format", "stac"))["features"][0]
    bad = [
        {**item, "stac_version": "0.9"},
        {**item, "stac_extensions": []},
        {key: value for key, value in item.items() if key != "bbox"},
        {**item, "properties": {**item["properties"], "start_datetime": "2021-08-09"}},
        {**item, "properties": {**item["properties"], "sar:frequency_band": "Z"}},
    ]
    assert all(list(stac_rules.mistakes(one)) for one in bad)


EPISODE = EpisodeRow(
    stack="221080/079D_07694_131313",
    number=3,
    since=date(2017, 1, 4),
    until=date(2017, 1, 28),
    first_pair="20170104_20170116",
    peak_pair="20170116_20170128",
    peak_score=12.5,
    threshold=5.0,
    pairs_over=4,
    model="abc",
    state=FlagState.RAISED,
    told=12.5,
)


def test_a_volcano_that_left_the_catalogue_and_a_frame_of_another_satellite_claim_nothing():
    gone = Flag(replace(EPISODE, stack="221080/NISAR_track_7"), None, None)
    [item] = json.loads(stac_text(FLAGS, [gone], disclaimer="x"))["features"]
    assert (item["geometry"], item["stac_extensions"], "bbox" in item) == (None, [], False)
    assert list(stac_rules.mistakes(item)) == []
    couple = Flag(replace(EPISODE, stack="221080/014A_1_1+079D_2_2"), EvidenceKind.DIRECTIONS, _volcano(40.67, 13.6))
    [both] = json.loads(stac_text(FLAGS, [couple], disclaimer="x"))["features"]
    assert list(stac_rules.mistakes(both)) == []
    assert "sat:orbit_state" not in both["properties"]


def test_a_stack_without_any_day_is_in_the_table_and_not_among_the_items():
    never = StackNow("221080/079D_07694_131313", _volcano(40.67, 13.6), None, {}, 0)
    assert json.loads(stac_text(STACKS, [never], disclaimer="x"))["features"] == []
    assert len(json.loads(geojson_text(STACKS, [never], disclaimer="x"))["features"]) == 1
    assert csv_text(STACKS, [never]).count("\r\n") == 2


# CAP

SENDER = Sender("night@obs.example.org", "Draft", "Not an alert level.", "duty officer, +1 555 0100")


@pytest.mark.parametrize("state", FlagState)
@pytest.mark.parametrize("lon", [40.67, 179.95])
def test_a_flag_as_a_cap_message_keeps_the_rules_and_is_never_actual(state, lon):
    cleared = None if state.open else date(2017, 4, 2)
    flag = Flag(replace(EPISODE, state=state, cleared=cleared), EvidenceKind.INTERVAL, _volcano(lon, 13.6))
    sent = Sent(datetime(2017, 2, 1, 3, tzinfo=UTC), None if state.open else datetime(2017, 4, 3, tzinfo=UTC))
    text = cap_text(flag, sent, SENDER)
    assert cap_rules.mistakes(text) == []
    assert "<status>Draft</status>" in text
    assert "<scope>Restricted</scope>" in text
    assert "<certainty>Possible</certainty>" in text
    assert text.count("Not an alert level.") == 2
    assert text.count("<polygon>") == (2 if lon > 170 else 1)
    opened = "insar-anomaly.221080_079D_07694_131313.3.raised,2017-02-01T03:00:00-00:00"
    assert (f"<references>night@obs.example.org,{opened}</references>" in text) is not state.open
    assert (f"<msgType>{'Alert' if state.open else 'Cancel'}</msgType>") in text
    assert cap_text(flag, sent, SENDER) == text


def test_a_name_that_xml_cannot_hold_is_written_all_the_same():
    volcano = _volcano(40.67, 13.6).model_copy(update={"name": "A & <B>\x07 火"})
    text = cap_text(Flag(EPISODE, None, volcano), Sent(), SENDER)
    assert cap_rules.mistakes(text) == []
    assert "A &amp; &lt;B&gt;\ufffd 火" in text
    assert "<sent>2017-01-28T00:00:00-00:00</sent>" in text  # no notice: the day of the flag itself


def test_the_rules_of_cap_find_what_is_wrong():
    text = cap_text(Flag(EPISODE, None, _volcano(40.67, 13.6)), Sent(), SENDER)
    for old, new in (
        ("<status>Draft", "<status>draft"),
        ("-00:00</sent>", "Z</sent>"),
        ("<certainty>Possible</certainty>", ""),
        ("<msgType>Alert", "<msgType>Cancel"),
        ("<scope>Restricted</scope>", "<scope>Restricted</scope><source>twice</source>"),
        ("<polygon>", "<polygon>13.5;40.5 "),
        ("<sender>", "<sender>night shift, "),
    ):
        assert old in text
        assert cap_rules.mistakes(text.replace(old, new)), old


def test_cap_is_off_until_it_is_allowed_and_actual_is_no_choice(learned, tmp_path, capsys):
    place = installation.copy(learned, tmp_path / "here")
    words = ["-c", str(place.config), "export", "flags", "--format", "cap"]
    assert cli.main(words) == 2
    assert "CAP messages are off" in capsys.readouterr().err
    place.change("[detector]", '[cap]\nenabled = true\nsender_id = "a@b.example"\nstatus = "Actual"\n[detector]')
    with pytest.raises(ConfigError, match=r"\[cap\] status"):
        config.load(place.config)
    place.change('sender_id = "a@b.example"\nstatus = "Actual"\n', "")
    with pytest.raises(ConfigError, match=r"\[cap\] enabled: a message needs a sender; write sender_id too"):
        config.load(place.config)


def test_cap_messages_go_one_to_a_file(export, screened, tmp_path):
    flags = list(csv.DictReader(io.StringIO(export("flags"))))
    export("flags", "--format", "cap", "--out", str(tmp_path / "cap"))
    files = sorted((tmp_path / "cap").iterdir())
    told = [one["flag"] for one in flags if one["told"] != "not told"]
    assert len(files) == len(told) == len(flags) - 1  # one was raised and withdrawn in one night: nobody was told
    assert [words for file in files for words in cap_rules.mistakes(file.read_text(encoding="utf-8"))] == []
    alone = export("flags", "--format", "cap", "--stack", RISING)
    assert f"{RISING}:1" in alone
    created = screened.rows("select created from notice where stack = ?", RISING)[0][0]
    assert f"<sent>{created[:10]}T{created[11:19]}-00:00</sent>" in alone


# status.json


def test_the_status_fits_its_schema_and_says_how_each_volcano_stands(screened):
    content = json.loads((screened.folder / "web" / "status.json").read_text(encoding="utf-8"))
    assert mistakes(schema("report.exports", "status"), content) == []
    assert (content["night"]["as_of"], content["night"]["status"]) == (AS_OF.isoformat(), "ok")
    states = {one["gvp"]: one["state"] for one in content["volcanoes"]}
    assert states == {990001: "no_flag", 990002: "flagged", 990003: "blind"}
    assert content["totals"] | {"flagged": 1, "no_flag": 1, "blind": 1, "open_flags": 1, "stacks": 3} == content["totals"]
    [flag] = content["volcanoes"][1]["open_flags"]
    assert flag["flag"] == f"{RISING}:1"
    assert content["volcanoes"][2]["stacks"][0]["blind"]
    assert content["data_age_days"]["least"] == 3
    assert "not an alert level" in content["disclaimer"]


def test_the_schema_of_the_status_names_every_standing():
    content = schema("report.exports", "status").schema
    assert content["$defs"]["state"]["enum"] == [one.value for one in Standing]
    assert content["properties"]["version"]["const"] == 1


def test_a_failed_stack_and_a_night_of_one_volcano_are_in_the_status_of_all(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    place.change("[detector]", '[status]\nfile = "status.json"\n[detector]')
    (place.archive / installation.SHORT).rename(place.archive / "gone")
    run, _ = place.nightly()
    content = json.loads((place.folder / "status.json").read_text())
    assert mistakes(schema("report.exports", "status"), content) == []
    assert run.failures
    assert content["night"]["status"] == "failed"
    assert {one["stack"] for one in content["night"]["failures"]} == {BLIND}
    assert content["volcanoes"][2]["state"] == "failed"
    words = ["-q", "-c", str(place.config), "--volcano", "990001", "nightly", "--as-of", str(AS_OF)]
    assert cli.main(words) == 0
    again = json.loads((place.folder / "status.json").read_text())
    assert [one["state"] for one in again["volcanoes"]][:2] == ["no_flag", "flagged"]
    assert QUIET in {row["stack"] for one in again["volcanoes"] for row in one["stacks"]}


def test_a_night_of_the_past_that_is_run_again_says_which_day_each_number_is_of(learned, tmp_path, capsys):
    place = installation.copy(learned, tmp_path / "here")
    place.only(990001, 990002)
    place.change("[detector]", '[status]\nfile = "status.json"\n[detector]')
    place.nightly()
    past = DATES[18]
    place.nightly(past)
    content = json.loads((place.folder / "status.json").read_text())
    assert mistakes(schema("report.exports", "status"), content) == []
    assert content["night"]["as_of"] == past.isoformat()
    assert content["data_age_days"] == {"as_of": past.isoformat(), "stacks": 2, "least": 0, "most": 0}
    assert {row["as_of"] for one in content["volcanoes"] for row in one["stacks"]} == {past.isoformat()}
    assert content["totals"]["flags_as_of"] == AS_OF.isoformat()
    capsys.readouterr()
    assert cli.main(["-c", str(place.config), "flags"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"flags as they stand after the newest night that was run, {AS_OF}"


def test_doctor_says_the_age_of_the_data_night_by_night(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    place.only(990001, 990002)
    place.nightly()
    words = ["-q", "-c", str(place.config), "--volcano", "990001", "nightly", "--as-of", str(AS_OF + timedelta(days=5))]
    assert cli.main(words) == 0
    with Ledger(f"sqlite:///{place.folder}/ledger.sqlite") as ledger:
        states = ledger.newest_states()
        said = list(_ages({stack: states[stack] for stack in (QUIET, RISING)}))
    assert said == [
        f"1 stack up to the night of {AS_OF + timedelta(days=5)}: newest acquisition 8 days old",
        f"1 stack up to the night of {AS_OF}: newest acquisition 3 days old",
    ]


def test_a_status_that_cannot_be_written_fails_the_night(learned, tmp_path):
    place = installation.copy(learned, tmp_path / "here")
    place.only(990001)
    place.change("[detector]", '[status]\nfile = "config.toml/status.json"\n[detector]')
    run, digest = place.nightly()
    assert [one.stage for one in run.failures] == ["status"]
    assert [one["stage"] for one in digest["failures"]] == ["status"]


# documents


@pytest.mark.parametrize(("what", "columns"), TABLES.items())
def test_the_document_has_the_columns_as_the_code_has_them(what, columns):
    text = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    assert markdown(columns) in text, f"docs/exports.md: put markdown({what.upper()}) under its heading"


def test_every_number_has_a_unit_and_every_column_a_name_of_its_own():
    for columns in TABLES.values():
        names = [column.name for column in columns]
        assert len(set(names)) == len(names)
        assert all(column.unit for column in columns if column.kind in (Kind.NUMBER, Kind.DAY))


def test_rows_hold_all_columns_and_no_value_that_json_or_csv_lacks():
    [row] = rows(FLAGS, [Flag(EPISODE, EvidenceKind.INTERVAL, _volcano(40.67, 13.6))])
    assert row["flag"] == "221080/079D_07694_131313:3"
    assert {type(value) for value in row.values()} <= {str, int, float, bool, date, type(None)}
