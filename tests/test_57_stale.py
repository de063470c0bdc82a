"""What was expected of a stack beside what came: stale data, listings and clocks that make no sense, unseen summits."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from installation import AS_OF, BLIND, DATES, QUIET, RISING, SHORT, WIDE, read_tif, write_tif
from test_46_stored_forms import PAYLOAD, mistakes, schema

from insar_anomaly import cli
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.ledger import Ledger
from insar_anomaly.names import Pair, stamp
from insar_anomaly.notify import wording
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.heard import Heard
from insar_anomaly.report.digest import lines
from insar_anomaly.report.figures import PairFigure, pair_png
from insar_anomaly.report.states import arrivals, remarks, stale_of, unmeasured_of
from insar_anomaly.sources.base import Window
from insar_anomaly.stack.coverage import coverage_of, summit_part
from insar_anomaly.stack.freshness import (
    RECENT,
    Coverage,
    Listing,
    StackState,
    recent,
    stale_words,
    state_of,
    usual_repeat,
)
from insar_anomaly.stack.schema import Grid, Physics
from insar_anomaly.units import Platform

FIRST = date(2019, 1, 1)
LATE = AS_OF + timedelta(days=100)
SPACINGS = st.lists(st.integers(1, 60), min_size=1, max_size=40)


def days_of(spacings, first=FIRST):
    """Acquisitions with these days between them."""
    return [first + timedelta(days=n) for n in accumulate(spacings, initial=0)]


def pairs_of(days):
    """Each acquisition with the next one, and the one after that."""
    return [Pair(days[i], days[j]).name for i in range(len(days)) for j in (i + 1, i + 2) if j < len(days)]


# the rules, which know no clock


@given(st.integers(1, 48), st.integers(5, 40))
def test_the_repeat_of_a_steady_constellation_is_its_spacing(every, number):
    assert usual_repeat(days_of([every] * number)) == every


@given(st.integers(6, 24), st.integers(25, 250), st.integers(0, 19))
def test_one_long_gap_does_not_change_the_repeat(every, gap, place):
    spacings = [every] * 20
    spacings[place] = gap
    assert usual_repeat(days_of(spacings)) == every


@pytest.mark.parametrize(
    ("spacings", "repeat"),
    [
        ([12] * 20 + [6] * 20, 6),  # a second satellite came more than a year ago
        ([1, 11] * 15, 11),  # one satellite a day behind the other
        ([6, 12] * 12, 6),
        ([12, 12, 24, 12, 36, 12, 12], 12),
        ([400], 400),
    ],
)
def test_the_repeat_is_the_shortest_common_spacing(spacings, repeat):
    assert usual_repeat(days_of(spacings)) == repeat


def test_fewer_than_two_acquisitions_have_no_repeat():
    assert usual_repeat([]) is None
    assert usual_repeat([FIRST]) is None


@given(SPACINGS, st.integers(-3000, 3000))
def test_the_repeat_is_one_of_the_spacings_and_does_not_depend_on_when_they_were(spacings, shift):
    found = usual_repeat(days_of(spacings))
    assert found in spacings
    assert found == usual_repeat(days_of(spacings, FIRST + timedelta(days=shift)))


@given(SPACINGS, st.integers(0, 3000))
def test_a_state_in_the_past_is_that_of_a_stack_to_which_nothing_came_later(spacings, later):
    days = days_of(spacings)
    as_of = days[0] + timedelta(days=later % ((days[-1] - days[0]).days + 1))
    known = [name for name in pairs_of(days) if Pair.of(name).last <= as_of]
    now, then = state_of(as_of, pairs_of(days), stale_after=3), state_of(as_of, known, stale_after=3)
    assert replace(now, later=0) == then
    assert then.later == 0
    assert (now.newest is None) == (not known)


@given(SPACINGS, st.integers(0, 500), st.integers(0, 500), st.integers(1, 10))
def test_data_only_grow_older_until_something_comes(spacings, first, more, limit):
    days = days_of(spacings)
    early, late = (state_of(days[-1] + timedelta(days=n), pairs_of(days), stale_after=limit) for n in (first, first + more))
    assert (early.age_days, late.age_days) == (first, first + more)
    assert (early.newest, early.repeat_days, early.gap_days) == (late.newest, late.repeat_days, late.gap_days)
    assert early.missed <= late.missed
    assert early.stale <= late.stale
    for state in (early, late):
        assert state.stale == (state.missed >= limit)
        missed_by = state.newest + timedelta(days=state.repeat_days * state.missed)
        assert missed_by < state.as_of or state.missed == 0
        assert state.as_of <= missed_by + timedelta(days=state.repeat_days)


def test_an_acquisition_is_missed_from_the_day_after_it_was_expected():
    days = days_of([12] * 10)
    missed = [state_of(days[-1] + timedelta(days=n), pairs_of(days), stale_after=3).missed for n in (0, 12, 13, 24, 25, 37)]
    assert missed == [0, 0, 1, 1, 2, 3]


def test_a_stack_of_which_pairs_are_listed_and_none_was_accepted_is_stale():
    assert state_of(AS_OF, [], stale_after=3, listing=Listing(5, DATES[-1])).stale
    assert not state_of(AS_OF, [], stale_after=3, listing=Listing(0)).stale
    assert not state_of(AS_OF, [], stale_after=3).stale


def test_the_remedy_follows_from_what_is_listed():
    days = days_of([12] * 10)
    late = days[-1] + timedelta(days=100)
    judged = {
        "could not be listed": None,
        "lists no pair": Listing(0),
        "none was accepted since": Listing(30, late - timedelta(days=2)),
        "lists nothing newer": Listing(19, days[-1]),
    }
    for words, listing in judged.items():
        assert words in state_of(late, pairs_of(days), stale_after=3, listing=listing).remedy


def test_a_listing_counts_what_lies_before_the_night_and_what_nobody_can_have_measured():
    names = ["20210101_20210113", "20210113_20210125", "20310101_20310113", "notes", "20210206_20210218"]
    listing = Listing.of(names, as_of=date(2021, 2, 1), today=date(2026, 1, 1))
    assert listing == Listing(2, date(2021, 1, 25), ahead=1)
    assert Listing.of(names, as_of=date(2021, 2, 1), today=date(2021, 2, 1)).ahead == 2


@given(SPACINGS)
def test_recent_pairs_are_those_of_the_last_acquisitions(spacings):
    days = days_of(spacings)
    chosen = recent(pairs_of(days))
    last = set(days[-RECENT:])
    assert all(last & set(Pair.of(name).days) for name in chosen)
    assert {day for name in chosen for day in Pair.of(name).days} >= last


def test_area_is_the_median_and_the_summit_the_best_of_the_recent_pairs():
    days = days_of([12] * 10)
    names = pairs_of(days)
    coverage = {name: Coverage(0.5, 0.1) for name in names} | {names[-1]: Coverage(0.9, 0.2), names[0]: Coverage(1.0, 1.0)}
    state = state_of(days[-1], names, stale_after=3, coverage=coverage)
    assert (state.area, state.summit, state.summit_measured) == (0.5, 0.2, False)
    assert state_of(days[-1], names, stale_after=3).summit_measured is None


# what an interferogram measures

VOLCANO = Volcano(gvp=990001, name="Test", lat=0.0, lon=40.03, frames=(WIDE,), box_km=6)
GRID = Grid(40.003, 0.027, 0.001, 0.001, (54, 54))


def measured(phase, grid=GRID, volcano=VOLCANO):
    return coverage_of(phase, grid, volcano.box, (volcano.lat, volcano.lon))


def test_a_whole_window_measures_the_box_and_the_summit_and_an_empty_one_neither():
    whole, none = measured(np.zeros(GRID.shape)), measured(np.full(GRID.shape, np.nan))
    assert whole.summit == 1
    assert whole.box == pytest.approx(1, abs=0.05)
    assert none == Coverage(0.0, 0.0)


def test_a_hole_of_one_kilometre_hides_the_summit_alone():
    y, x = np.mgrid[:54, :54]
    phase = np.where(np.hypot(y - 26.5, x - 26.5) * 0.111 <= 1.05, np.nan, 1.0)
    found = measured(phase)
    assert found.summit == 0
    assert found.box > 0.85


def test_a_summit_outside_the_grid_is_not_measured_and_one_on_its_edge_in_half():
    beyond, edge = Grid(40.05, 0.027, 0.001, 0.001, (54, 54)), Grid(40.03, 0.027, 0.001, 0.001, (54, 54))
    assert measured(np.zeros((54, 54)), beyond).summit == 0
    assert measured(np.zeros((54, 54)), edge).summit == pytest.approx(0.5, abs=0.05)


@given(st.floats(-70, 70), st.floats(-180, 180), st.sampled_from([0.0005, 0.001, 0.01, 0.05]))
def test_a_summit_inside_its_grid_is_measured_wherever_on_earth_it_is(lat, lon, step):
    grid = Grid(lon - 40 * step, lat + 40 * step, step, step, (80, 80))
    assert summit_part(np.ones((80, 80), bool), grid, (lat, (lon + 180) % 360 - 180)) == pytest.approx(1, abs=0.2)
    assert summit_part(np.zeros((80, 80), bool), grid, (lat, lon)) == 0


# the ledger keeps it

STATE = StackState(
    as_of=AS_OF,
    newest=DATES[-1],
    age_days=3,
    repeat_days=12,
    expected=DATES[-1] + timedelta(days=12),
    listed=60,
    listed_newest=DATES[-1],
    accepted=60,
    area=0.5,
    summit=0.25,
    acquisitions={stamp(DATES[-1]): int(Platform.S1A)},
)


@pytest.fixture
def ledger(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as opened:
        yield opened


def test_a_state_comes_back_as_it_was_and_the_newest_night_is_found(ledger):
    before = replace(STATE, as_of=AS_OF - timedelta(days=12), stale=True)
    for state in (STATE, before):
        ledger.record_state(QUIET, state)
    assert ledger.states(AS_OF) == {QUIET: STATE}
    assert ledger.newest_states() == {QUIET: STATE}
    assert ledger.state(QUIET, AS_OF - timedelta(days=1)) == before
    assert ledger.state(QUIET, AS_OF - timedelta(days=13)) is None


def test_a_second_run_of_a_night_keeps_what_came_in_the_first(ledger):
    ledger.record_state(QUIET, STATE)
    ledger.record_state(QUIET, replace(STATE, acquisitions={}, accepted=61))
    assert ledger.states(AS_OF)[QUIET] == replace(STATE, accepted=61)


def test_a_pair_that_was_stored_anew_is_measured_anew(ingested):
    with ingested.opened() as (s, _):
        name = ingested.pairs()[-1]
        assert name in s.ledger.coverage(QUIET, [name])
    with closing(sqlite3.connect(ingested.folder / "ledger.sqlite")) as database, database:
        database.execute("update interferogram set snapshot = 'another' where stack = ? and pair = ?", (QUIET, name))
    with ingested.opened() as (s, _):
        assert s.ledger.coverage(QUIET, [name]) == {}
        assert s.ledger.stored_in(QUIET, [name]) == {name: "another"}


# a night


def test_a_night_writes_down_how_old_the_data_of_each_stack_are(ingested):
    _, digest = ingested.nightly()
    table = {row["stack"]: row for row in digest["states"]}
    assert set(table) == {QUIET, RISING, BLIND}
    wide, short = table[RISING], table[BLIND]
    assert (wide["newest"], wide["age_days"], wide["repeat_days"], wide["missed"]) == (str(DATES[-1]), 3, 12, 0)
    assert (wide["expected"], wide["gap_days"]) == (str(DATES[-1] + timedelta(12)), 12)
    assert (wide["listed"], wide["accepted"], wide["summit_measured"], wide["stale"]) == (60, 60, True, False)
    assert wide["area"] > 0.8
    assert (short["newest"], short["missed"]) == (str(DATES[19]), 2)
    assert digest["stale"] == digest["unmeasured_summits"] == []
    assert not any("stale" in words for words in digest["warnings"])


def test_a_stack_that_gets_nothing_is_stale_and_every_digest_says_so(ingested):
    for night in (LATE, LATE + timedelta(days=1)):
        run, digest = ingested.night(night)
        content = json.loads(digest.text)
        assert [one["stack"] for one in content["stale"]] == [QUIET, RISING, BLIND]
        assert f"newest acquisition {DATES[-1]}" in content["stale"][0]["why"]
        assert "lists nothing newer" in content["stale"][0]["remedy"]
        assert mistakes(schema("report", "digest"), content) == []
        [words] = [words for words in run.warnings if "stale" in words]
        assert words.startswith(f"3 of 3 stacks are stale, first {QUIET}")
        assert "stale: nothing usable comes any more" in "\n".join(lines(digest))
    ingested.change("batch = 16", "batch = 16\nstale_after_repeats = 30")
    _, digest = ingested.nightly(LATE)
    assert digest["stale"] == []


def test_a_night_in_the_past_is_judged_as_of_that_day_and_says_that_later_pairs_were_left_out(ingested):
    day = DATES[10] + timedelta(days=3)
    _, digest = ingested.nightly(day)
    assert digest["states"][0]["newest"] == str(DATES[10])
    assert digest["stale"] == []
    [words] = [words for words in digest["warnings"] if "lies before pairs that were already accepted" in words]
    assert "machine's clock or --as-of" in words
    _, digest = ingested.nightly()
    assert not any("lies before" in words for words in digest["warnings"])


def test_a_stack_whose_new_pairs_are_all_rejected_becomes_stale(fresh):
    with fresh.opened("ingest", DATES[12]) as (s, run):
        from insar_anomaly import pipeline

        pipeline.ingest(s, run)
    fresh.change("batch = 16", "batch = 16\nmin_coherence = 0.99")
    _, digest = fresh.nightly()
    stale = {one["stack"]: one for one in digest["stale"]}
    assert RISING in stale
    assert f"pairs up to {DATES[-1]} are listed and none was accepted since" in stale[RISING]["remedy"]


def test_an_empty_listing_of_a_frame_that_is_known_fails_its_stacks_by_name(ingested):
    shutil.rmtree(ingested.archive / SHORT / "interferograms")
    (ingested.archive / SHORT / "interferograms").mkdir()
    run, digest = ingested.nightly()
    assert run.failed == {BLIND}
    [failure] = run.failures
    assert "lists no pair of its frame" in failure.error
    assert "see whether the archive was moved or emptied" in failure.error
    assert digest["status"] == "failed"
    assert {row["stack"]: row["listed"] for row in digest["states"]} == {QUIET: 60, RISING: 60, BLIND: 0}


def test_a_pair_from_the_future_is_told(ingested):
    here = ingested.archive / WIDE / "interferograms"
    shutil.copytree(here / ingested.pairs()[-1], here / "29000101_29000113")
    _, digest = ingested.nightly()
    [words] = [words for words in digest["warnings"] if "after today" in words]
    assert f"first {QUIET} with 1" in words


def test_a_source_out_of_reach_leaves_the_data_growing_older(ingested):
    ingested.archive.rename(ingested.folder / "elsewhere")
    _, digest = ingested.nightly(LATE)
    assert digest["states"][0]["listed"] is None
    assert digest["states"][0]["age_days"] == 103
    assert "could not be listed" in digest["stale"][0]["remedy"]


def test_acquisitions_of_the_night_are_in_its_table_with_their_satellites(fresh):
    with fresh.opened("ingest", DATES[-3]) as (s, run):
        from insar_anomaly import pipeline

        pipeline.ingest(s, run)
    _, digest = fresh.night()
    content = json.loads(digest.text)
    row = next(row for row in content["states"] if row["stack"] == QUIET)
    assert row["acquisitions"] == {stamp(day): "unknown" for day in DATES[-2:]}
    assert f"{QUIET}: {DATES[-2]} (unknown), {DATES[-1]} (unknown); data 3 days old" in "\n".join(lines(digest))
    _, again = fresh.nightly()
    assert next(one for one in again["states"] if one["stack"] == QUIET)["acquisitions"] == row["acquisitions"]


def test_the_satellites_of_stored_pairs_are_heard():
    heard, empty = Heard(), np.empty((0, 0))
    both = Physics(platforms=(Platform.S1A, Platform.S1C))
    half = Physics(platforms=(Platform.UNKNOWN, Platform.S1A))
    heard.stored(QUIET, {"20250101_20250107": Window(empty, empty, 0.0, both)})
    heard.stored(QUIET, {"20250107_20250113": Window(empty, empty, 0.0, half)})
    assert heard.came[QUIET] == {"20250101": Platform.S1A, "20250107": Platform.S1C, "20250113": Platform.S1A}
    state = replace(STATE, acquisitions=heard.came[QUIET])
    assert arrivals({QUIET: state}) == [(QUIET, "2025-01-01 (S1A), 2025-01-07 (S1C), 2025-01-13 (S1A)", 3)]


# an open flag on a stack to which nothing comes


def test_a_flag_on_a_stale_stack_says_that_nothing_new_can_clear_it(fitted, capsys):
    _, digest = fitted.night()
    assert digest.open_flags[0].stale is None
    _, digest = fitted.night(LATE)
    [flag] = digest.open_flags
    assert flag.stale.startswith(f"{RISING} is stale on the night of {LATE} (newest acquisition {DATES[-1]}")
    assert f"nothing new can clear it: {RISING} is stale" in "\n".join(lines(digest))
    assert cli.main(["-c", str(fitted.config), "flags"]) == 0
    assert "nothing new can clear it" in capsys.readouterr().out
    assert cli.main(["-c", str(fitted.config), "--json", "flags"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    assert (found["stale"], found["as_of"]) == (flag.stale, str(LATE))


def test_a_couple_is_stale_where_one_of_its_stacks_is():
    states = {"990001/001A_1": STATE, "990001/002D_2": replace(STATE, stale=True)}
    assert stale_words("990001/001A_1+002D_2", states).startswith("990001/002D_2 is stale")
    assert stale_words("990001/001A_1", states) is None
    assert stale_words("990009/001A_1", states) is None


# a summit that nobody sees


def hide_summit(installation, pairs, column):
    """Nothing is measured within 1.1 km of row 32 and this column of the wide frame."""
    y, x = np.mgrid[:64, :124]
    hole = np.hypot(y - 32, x - column) * 0.111 <= 1.15
    for pair in pairs:
        phase = read_tif(installation.phase(pair))
        write_tif(installation.phase(pair), np.where(hole, np.float32(0), phase))


def test_a_summit_that_no_recent_pair_measures_is_told_every_night(fresh):
    fresh.only(990001, 990002)
    hide_summit(fresh, [name for name in fresh.pairs() if Pair.of(name).last >= DATES[-7]], 29.5)
    _, digest = fresh.night()
    content = json.loads(digest.text)
    [one] = content["unmeasured_summits"]
    assert one["stack"] == QUIET
    assert "at most 0% of the ground within 1 km of the summit" in one["why"]
    assert "summit not measured" in "\n".join(lines(digest))
    assert mistakes(schema("report", "digest"), content) == []
    # judged as of a day on which it was still seen
    _, digest = fresh.nightly(DATES[12])
    assert digest["unmeasured_summits"] == []


def test_stacks_of_before_are_measured_from_the_store(ingested):
    kept = sorted(ingested.rows("select stack, pair, box, summit from coverage"))
    with closing(sqlite3.connect(ingested.folder / "ledger.sqlite")) as database, database:
        database.execute("delete from coverage")
    _, digest = ingested.nightly()
    assert {row["summit_measured"] for row in digest["states"]} == {True}
    again = ingested.rows("select stack, pair, box, summit from coverage")
    assert again
    assert set(again) <= set(kept)


def test_the_notice_says_that_the_summit_was_not_measured(fitted):
    with closing(sqlite3.connect(fitted.folder / "ledger.sqlite")) as database, database:
        database.execute("update coverage set summit = 0.1 where stack = ?", (RISING,))
    _, digest = fitted.nightly()
    assert [one["stack"] for one in digest["unmeasured_summits"]] == [RISING]
    [notice] = fitted.notices
    content = json.loads(notice.read_text())
    assert content["payload"]["unmeasured_summits"] == [RISING]
    assert f"{RISING} has not measured the summit" in content["body"]
    assert "It is blind there" in content["body"]


def test_the_sentence_stands_in_every_kind_of_notice_and_older_notices_are_read():
    blind = replace(PAYLOAD, unmeasured_summits=(PAYLOAD.stack,))
    cleared = replace(blind, kind="cleared", episode=replace(blind.episode, cleared=date(2020, 4, 1)))
    for told in (blind, cleared):
        assert "has not measured the summit" in wording.body(told)
        assert mistakes(schema("notify", "notice"), told.as_dict()) == []
        assert Payload.read(told.text).text == told.text
    assert "has not measured the summit" not in wording.body(PAYLOAD)
    old = json.loads(PAYLOAD.text)
    del old["unmeasured_summits"]
    assert Payload.read(json.dumps(old)).unmeasured_summits == ()


def test_the_map_marks_a_summit_that_is_not_measured():
    phase = np.random.default_rng(0).normal(size=(54, 54))
    figure = PairFigure(
        title="t",
        grid=GRID,
        volcano=(VOLCANO.lat, VOLCANO.lon),
        cm=phase,
        coherence=np.ones((54, 54)),
        score_map=np.ones((14, 14)),
        stride=4,
        threshold=None,
        wavelength_m=0.055,
    )
    hidden = replace(figure, cm=np.where(np.isfinite(phase[::-1]), phase, np.nan))
    hidden.cm[15:39, 15:39] = np.nan
    assert figure.summit_measured
    assert not hidden.summit_measured
    # the same pixels drawn, with the mark and without: only where the summit lies differs the mark
    assert pair_png(hidden) != pair_png(replace(hidden, volcano=(0.02, 40.01)))


def test_remarks_are_one_line_each_however_many_stacks():
    states = {f"99000{n}/{WIDE}": replace(STATE, stale=True, missed=5, later=2, ahead=1, summit=0.0) for n in range(1, 6)}
    stale, later, ahead = remarks(states, AS_OF)
    assert stale.startswith("5 of 5 stacks are stale, first 990001/")
    assert "5 of 5 stacks are concerned, first 990001/" in later
    assert "5 of 5 stacks are concerned, first 990001/" in ahead
    assert len(stale_of(states)) == len(unmeasured_of(states)) == 5
    assert remarks({QUIET: STATE}, AS_OF) == []
