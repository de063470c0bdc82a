"""A digest names what became of flags in its night, says why pairs were rejected, and how old the data are."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import installation
import pytest
import rasterio
from installation import AS_OF, DATES, QUIET, RISING
from test_46_stored_forms import mistakes, schema

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.episode import Episode
from insar_anomaly.flags.events import FlagEvent, events_between
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger import Ledger
from insar_anomaly.names import FlagName
from insar_anomaly.report.digest import lines
from insar_anomaly.report.stored import read_digest

FLAG = f"{RISING}:1"
DAY = date(2021, 1, 1)
NOTED = Episode(1, DAY, DAY, "p", "p", 2.0, 1.0)
RAISED = replace(NOTED, state=FlagState.RAISED, told=2.0, area=3.0)
GONE = replace(RAISED, state=FlagState.WITHDRAWN, cleared=DAY)
CLEARED = replace(RAISED, state=FlagState.CLEARED, cleared=DAY)
ROUTE = """
[[channel]]
kind = "files"
name = "night"
folder = "night"
language = "{language}"

[[route]]
channel = "night"
kinds = ["digest"]

[[route]]
channel = "files"
"""


@pytest.fixture
def rising(learned, tmp_path):
    """The volcano that rises, fitted; nothing after its quiet past was read. Flags end soon."""
    place = installation.copy(learned, tmp_path / "here")
    place.only(990002)
    place.change("[detector]", "[flags]\nclear_after_days = 1\n[detector]")
    return place


@pytest.mark.parametrize(
    ("before", "now", "events"),
    [
        (None, NOTED, ["noted"]),
        (None, RAISED, ["raised"]),
        (None, CLEARED, ["raised", "cleared"]),
        (None, GONE, ["raised", "withdrawn"]),
        (NOTED, NOTED, []),
        (NOTED, RAISED, ["raised"]),
        (RAISED, RAISED, []),
        (RAISED, replace(RAISED, state=FlagState.ESCALATED, told=4.0), ["escalated"]),
        (RAISED, replace(RAISED, state=FlagState.ESCALATED, area=9.0), ["escalated"]),
        (RAISED, replace(RAISED, state=FlagState.ESCALATED, agreed=True), ["escalated"]),
        (replace(RAISED, area=None), RAISED, []),  # an area that nobody knew before is no growth
        (RAISED, replace(RAISED, state=FlagState.ACKNOWLEDGED), []),
        (RAISED, CLEARED, ["cleared"]),
        (RAISED, replace(CLEARED, told=9.0), ["cleared"]),
        (RAISED, GONE, ["withdrawn"]),
        (CLEARED, GONE, ["withdrawn"]),
        (CLEARED, CLEARED, []),
        (GONE, GONE, []),
        (GONE, RAISED, ["reopened"]),
        (GONE, CLEARED, ["reopened"]),
    ],
)
def test_what_becomes_of_a_flag_follows_from_what_it_was_and_is(before, now, events):
    assert [str(one) for one in events_between(before, now)] == events


def changes(digest):
    return [(one["what"], one["flag"], one["told"]) for one in digest["changes"]]


def test_a_night_names_what_was_raised_and_the_night_after_what_ended(rising):
    _, quiet = rising.nightly(DATES[16])
    assert changes(quiet) == []
    assert "  no flag was raised, grew or ended in this night" in lines(read_digest(json.dumps(quiet)))
    _, raised = rising.nightly(DATES[18])
    assert changes(raised) == [("raised", FLAG, "delivered")]
    _, again = rising.nightly(DATES[18])
    assert changes(again) == changes(raised)  # a night is the same however often it is run
    assert [one["told"] for one in again["open_flags"]] == ["delivered"]
    assert mistakes(schema("report", "digest"), raised) == []
    ended = [rising.nightly(day)[1] for day in DATES[19:]]
    assert ("cleared", FLAG, "delivered") in [one for digest in ended for one in changes(digest)]
    assert sum(one == ("cleared", FLAG, "delivered") for digest in ended for one in changes(digest)) == 1


@pytest.mark.parametrize(
    ("language", "title"), [("en", "raised in this night:"), ("es", "avisos emitidos esta noche:")], ids=["en", "es"]
)
def test_text_page_and_json_of_a_digest_name_the_flag(rising, language, title):
    rising.config.write_text(rising.config.read_text() + ROUTE.format(language=language))
    _, digest = rising.nightly(DATES[18])
    [file] = (rising.folder / "night").glob("*.json")
    sent = json.loads(file.read_text())
    for text in (sent["body"], sent["html"]):
        assert f"  {title}\n    Rising Cone {FLAG}: " in text
    assert sent["html"].startswith("<!DOCTYPE html>")
    assert changes(sent["payload"]["digest"]) == changes(digest) == [("raised", FLAG, "delivered")]


def test_what_was_raised_and_cleared_in_one_night_is_named_twice(rising):
    _, digest = rising.nightly(AS_OF)
    found = changes(digest)
    assert {("raised", FLAG, "delivered"), ("cleared", FLAG, "delivered")} <= set(found)
    assert [one[0] for one in found] == sorted((one[0] for one in found), reverse=True)  # begins first, then ends
    with Ledger(f"sqlite:///{rising.folder}/ledger.sqlite") as ledger:
        assert ledger.events(AS_OF + timedelta(days=1)) == []


def test_a_flag_that_no_channel_takes_is_raised_and_not_told(rising):
    rising.config.write_text(rising.config.read_text().partition("[[channel]]")[0])
    _, digest = rising.nightly(DATES[18])
    assert changes(digest) == [("raised", FLAG, "not told")]
    assert any(line.endswith("; not told") for line in lines(read_digest(json.dumps(digest))))
    with Ledger(f"sqlite:///{rising.folder}/ledger.sqlite") as ledger:
        assert ledger.told_of(FlagName(RISING, 1)) is Told.NOT_TOLD


def test_rejected_pairs_are_counted_by_their_reason_over_all_runs_of_a_night(fresh):
    fresh.only(990001)
    first, second, third = fresh.pairs()[:3]
    for pair in (first, second):
        with rasterio.open(fresh.phase(pair)) as tif:
            empty = tif.read(1) * 0
        installation.write_tif(fresh.phase(pair), empty, nodata=0)
    fresh.phase(third).write_bytes(b"no GeoTIFF")
    run, digest = fresh.nightly()
    assert digest["rejected_pairs"] == sum(run.rejected.values()) == 3
    found = {one["verdict"]: (one["reason"], one["pairs"]) for one in digest["rejected"]}
    assert found[int(Verdict.UNREADABLE)] == ("file cannot be read", 1)
    said = next(line for line in lines(read_digest(json.dumps(digest))) if line.startswith("  rejected: "))
    assert said.startswith("  rejected: 3 pairs: 2 ")
    assert "1 file cannot be read (verdict 20)" in said
    _, again = fresh.nightly()
    assert again["rejected"] == []  # this run found nothing to do, and the stored digest is of both
    stored = json.loads((fresh.folder / "figures" / f"digest-{AS_OF}.json").read_text())
    assert stored["rejected"] == digest["rejected"]


def test_a_night_without_arrivals_says_how_old_the_data_are(ingested):
    _, digest = ingested.night(AS_OF + timedelta(days=1))
    said = "\n".join(lines(digest))
    assert "new acquisitions" not in said
    assert f"  age of the data, the oldest first:\n    {QUIET.replace('990001', '990003')[:6]}" in said
    assert f"{QUIET}: newest acquisition {DATES[-1]}, 4 days old" in said


def test_of_many_stacks_the_oldest_are_named_and_the_others_counted(ingested):
    _, digest = ingested.night(AS_OF)
    state = replace(digest.states[QUIET], stale=False)
    many = {f"2210{n:02d}/A": replace(state, age_days=n) for n in range(10, 30)}
    many |= {"221040/A": replace(state, age_days=99, stale=True), "221041/A": replace(state, newest=None, age_days=None)}
    said = lines(replace(digest, states=many))
    start = said.index("  age of the data, the oldest first:")
    assert said[start + 1].startswith("    221029/A: ")
    assert said[start + 6 : start + 8] == ["    and 15 more stacks: 10 to 24 days old", "    1 stack has no data yet"]
    assert not any("221040/A" in line for line in said[start : start + 8])  # it is listed among the stale ones
    assert any(line.startswith("    221040/A: newest acquisition") for line in said[:start])


def test_a_digest_of_the_sixth_version_claims_nothing_of_the_flags_of_its_night(ingested):
    content = json.loads(ingested.night(AS_OF)[1].text) | {"version": 6}
    del content["changes"], content["rejected"]
    found = read_digest(json.dumps(content))
    assert (found.changes, found.rejected) == (None, {})
    assert not any("in this night" in line for line in lines(found))


def test_every_event_has_its_title_in_the_digest():
    from insar_anomaly.spoken.sentences import template

    assert set(template("report", "digest").changed) == {str(one) for one in FlagEvent}
