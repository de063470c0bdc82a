"""What a provider corrects, withdraws or moves: taken in once, told in words, and nothing that was screened is lost."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta

import installation
import numpy as np
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from installation import AS_OF, NORTH, QUIET, RISING, STEP, WEST, WIDE, read_tif, write_tif

from insar_anomaly import cli
from insar_anomaly.errors import Verdict
from insar_anomaly.flags import machine
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.records import DeviationRow, Seen
from insar_anomaly.names import Pair
from insar_anomaly.pipeline.corrections import deviations
from insar_anomaly.pipeline.restack import majority, nearest
from insar_anomaly.sources.base import Listed
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store

DAY = timedelta(days=1)


@pytest.fixture
def quiet(ingested):
    """An installation of one volcano whose pairs are stored."""
    ingested.only(990001)
    return ingested


def half_empty(path):
    phase = read_tif(path)
    phase[: phase.shape[0] // 2] = 0
    write_tif(path, phase)


def stored(place, stack=QUIET, **how):
    with place.opened() as (s, _):
        return s.store.open(stack, **how).load()


def same_phase(one, other):
    assert list(one["pair"].values) == list(other["pair"].values)
    np.testing.assert_array_equal(one["phase"].values, other["phase"].values)


def replaced_by(place, pair, factor):
    write_tif(place.phase(pair), read_tif(place.phase(pair)) * factor)


def read_as(run):
    """How many pairs came as what: new, replaced, returned, withdrawn."""
    every = ("new_pairs", "replaced_pairs", "returned_pairs", "withdrawn_pairs")
    return {name: run.counts[name] for name in every if run.counts[name]}


# replaced files


def test_a_replaced_file_is_taken_in_as_a_new_version_on_the_second_night_it_is_the_same(quiet):
    pair = quiet.pairs()[5]
    before = stored(quiet)
    replaced_by(quiet, pair, 2)
    first = quiet.ingest(AS_OF)
    xr.testing.assert_identical(stored(quiet), before)
    assert [f"`insar-anomaly ingest --take-replaced {QUIET}` takes them now" in words for words in first.warnings] == [True]
    again = quiet.ingest(AS_OF)  # a second run of the same night is no second night
    assert again.counts["stored_pairs"] == 0
    second = quiet.ingest(AS_OF + DAY)
    assert second.counts["stored_pairs"] == 1
    assert read_as(second) == {"replaced_pairs": 1}
    after = stored(quiet)
    np.testing.assert_allclose(after["phase"].sel(pair=pair), 2 * before["phase"].sel(pair=pair))
    same_phase(after.drop_sel(pair=pair), before.drop_sel(pair=pair))
    assert after["version"].sum() == after["version"].sel(pair=pair) == 1
    assert quiet.ingest(AS_OF + 2 * DAY).warnings == []
    same_phase(stored(quiet, snapshot=before.attrs["snapshot"]), before)


def test_a_file_that_changes_every_night_waits_until_it_stays_the_same(quiet):
    pair = quiet.pairs()[5]
    for night in range(3):
        replaced_by(quiet, pair, 1.5)
        assert quiet.ingest(AS_OF + night * DAY).counts["stored_pairs"] == 0
    assert quiet.ingest(AS_OF + 3 * DAY).counts["stored_pairs"] == 1


def test_a_file_half_written_when_it_was_first_read_is_taken_whole(fresh):
    fresh.only(990001)
    pair = fresh.pairs()[3]
    whole = fresh.phase(pair).read_bytes()
    half_empty(fresh.phase(pair))
    fresh.ingest(AS_OF)
    fresh.phase(pair).write_bytes(whole)
    fresh.ingest(AS_OF + DAY)
    fresh.ingest(AS_OF + 2 * DAY)
    assert np.isfinite(stored(fresh)["phase"].sel(pair=pair)).mean() > 0.9


@pytest.mark.parametrize(("policy", "words"), [("keep", "[ingest] replaced"), ("ask", "--take-replaced")])
def test_other_policies_keep_what_is_stored_and_say_so_every_night(quiet, policy, words):
    quiet.change("batch = 16", f'batch = 16\nreplaced = "{policy}"')
    pair = quiet.pairs()[5]
    replaced_by(quiet, pair, 2)
    for night in range(3):
        run = quiet.ingest(AS_OF + night * DAY)
        assert run.counts["stored_pairs"] == 0
        assert words in run.warnings[0]
    assert cli.main(["-c", str(quiet.config), "-q", "ingest", "--take-replaced", QUIET, "--as-of", str(AS_OF)]) == 0
    assert int(stored(quiet)["version"].sel(pair=pair)) == 1


def test_a_replacement_that_cannot_be_used_leaves_what_is_stored_and_is_read_once(quiet, monkeypatch):
    pair = quiet.pairs()[5]
    before = stored(quiet)
    quiet.phase(pair).write_bytes(b"no GeoTIFF")
    for night in range(2):
        run = quiet.ingest(AS_OF + night * DAY)
    assert run.counts["rejected_pairs"] == 1
    run = quiet.ingest(AS_OF + 2 * DAY)
    assert run.counts["rejected_pairs"] == run.counts["new_pairs"] == 0
    assert "the stack keeps what it has" in run.warnings[0]
    assert str(quiet.phase(pair)) in run.warnings[0]
    xr.testing.assert_identical(stored(quiet), before)


def test_an_unknown_stack_cannot_be_asked_for(quiet, capsys):
    assert cli.main(["-c", str(quiet.config), "ingest", "--take-replaced", "1/2"]) == 2
    assert "'1/2' is not a stack of" in capsys.readouterr().err


# withdrawn pairs


def withdrawn(place, pair):
    shutil.move(place.phase(pair).parent, place.folder / pair)


def test_a_pair_gone_on_three_nights_is_left_out_and_taken_again_when_it_comes_back(quiet):
    pair = quiet.pairs()[20]
    before = stored(quiet)
    withdrawn(quiet, pair)
    for night in range(2):
        [words] = quiet.ingest(AS_OF + night * DAY).warnings
        assert f"does not list any more: 1, first {pair}, night {night + 1} of 3" in words
    run = quiet.ingest(AS_OF + 2 * DAY)
    assert [f"withdrawn: 1 pair, first {pair}" in words for words in run.warnings] == [True]
    assert read_as(run) == {"withdrawn_pairs": 1}
    assert pair not in stored(quiet)["pair"].values
    assert stored(quiet, withdrawn=True).sizes == before.sizes
    assert pair in stored(quiet, snapshot=before.attrs["snapshot"])["pair"].values
    assert quiet.verdicts(QUIET)[pair] == Verdict.WITHDRAWN
    shutil.move(quiet.folder / pair, quiet.phase(pair).parent)
    run = quiet.ingest(AS_OF + 3 * DAY)
    assert run.counts["stored_pairs"] == 1
    assert read_as(run) == {"returned_pairs": 1}
    same_phase(stored(quiet), before)
    assert quiet.verdicts(QUIET)[pair] == Verdict.OK


def test_a_short_or_empty_listing_withdraws_nothing(quiet):
    folder = quiet.archive / WIDE / "interferograms"
    folder.rename(quiet.folder / "away")
    folder.mkdir()
    for night in range(4):
        run = quiet.ingest(AS_OF + night * DAY)
        assert "lists no pair of its frame, and listed 60 before" in run.failures[0].error
    for pair in sorted(path.name for path in (quiet.folder / "away").iterdir())[:20]:
        shutil.move(quiet.folder / "away" / pair, folder / pair)
    for night in range(4, 8):  # a disk that stays half mounted is said every night, and nothing is forgotten meanwhile
        run = quiet.ingest(AS_OF + night * DAY)
        assert "lacks 40 of 60 stored pairs that it should list" in run.warnings[0]
    assert quiet.rows("select count(*) from deviation") == [(0,)]
    assert stored(quiet).sizes["pair"] == 60


def test_nights_that_are_repeated_backwards_count_once(quiet):
    pair = quiet.pairs()[20]
    withdrawn(quiet, pair)
    for night in (2, 1, 0, 1, 2):
        quiet.ingest(AS_OF + night * DAY)
    assert quiet.rows("select pair, nights from deviation") == [(pair, 1)]
    assert pair in stored(quiet)["pair"].values


def test_a_pair_whose_file_is_at_fault_is_told_with_the_reason_and_the_table_of_scores_keeps_it(quiet, capsys):
    names = quiet.pairs()
    shutil.copytree(quiet.phase(names[0]).parent, quiet.phase("20210105_20210929").parent)
    for file in quiet.phase("20210105_20210929").parent.iterdir():
        file.rename(file.with_name(file.name.replace(names[0], "20210105_20210929")))
    quiet.phase("20210105_20210929").write_bytes(b"II*")
    run = quiet.ingest(date(2021, 10, 1))
    [words] = run.warnings
    assert "20210105_20210929 rejected, verdict 20 (" in words
    assert "upload it again" in words
    assert cli.main(["-c", str(quiet.config), "--json", "scores", "--csv", "/dev/null"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in rows if "upload it again" in row["reason"]] == [20]


def known(pairs):
    return {pair: Seen("f", Verdict.OK) for pair in pairs}


def listing(pairs):
    return {pair: Listed(pair, "a", "b", "f") for pair in pairs}


def pairs_every(days, count):
    first = date(2020, 1, 1)
    spans = [(first + k * days * DAY, first + (k + step) * days * DAY) for k in range(count) for step in (1, 2, 3)]
    return [Pair(*span).name for span in spans]


@given(kept=st.integers(1, 80), nights=st.integers(1, 9), seed=st.integers(0, 3))
@settings(deadline=None, max_examples=40)
def test_an_archive_of_recent_data_only_never_eats_history(kept, nights, seed):
    """Whether it keeps its newest pairs by name or by their later date, and however long that goes on."""
    names = sorted(pairs_every(12, 27), key=(lambda n: n) if seed % 2 else (lambda n: n[9:]))
    noted: dict[str, DeviationRow] = {}
    for night in range(nights):
        recent = names[-kept:][: max(1, kept)]
        noted = deviations(listing(recent), known(names), noted, today=AS_OF + night * DAY, complete=True)
    assert noted == {}


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12))
def test_only_complete_listings_one_after_the_other_count(nights):
    """`missing`, `complete` of each night: an incomplete listing neither counts nor forgives."""
    names = pairs_every(12, 10)
    gone, noted, expected = names[15], {}, 0
    for night, (missing, complete) in enumerate(nights):
        shown = [name for name in names if name != gone or not missing]
        noted = deviations(listing(shown), known(names), noted, today=AS_OF + night * DAY, complete=complete)
        expected = 0 if not missing else expected + complete
        assert (noted[gone].nights if gone in noted else 0) == expected


# the store: any order gives what the last state of the source gives

SHAPE = (4, 5)
GRID = Grid(40.0, 1.0, 0.001, 0.001, SHAPE)
NAMES = [Pair(date(2020, 1, 1) + 12 * k * DAY, date(2020, 1, 13) + 12 * k * DAY).name for k in range(4)]


def bare_stack(folder):
    store = Store(str(folder))
    zero = (("y", "x"), np.zeros(SHAPE, np.float32))
    static = xr.Dataset(
        {"height": zero, "e": zero, "n": zero, "u": zero, "water": (("y", "x"), np.zeros(SHAPE, bool))},
        coords={"y": GRID.lat, "x": GRID.lon},
        attrs={"grid": GRID.attribute},
    )
    store.create("1/a", static)
    return store


def batch(values, versions=None):
    spans = [Pair.of(name) for name in values]
    out = xr.Dataset(
        {
            "phase": (("pair", "y", "x"), np.stack([np.full(SHAPE, v, np.float32) for v in values.values()])),
            "coherence": (("pair", "y", "x"), np.full((len(values), *SHAPE), 200, np.uint8)),
            "reference": ("pair", np.array([s.first for s in spans], "datetime64[ns]")),
            "secondary": ("pair", np.array([s.last for s in spans], "datetime64[ns]")),
            "baseline": ("pair", np.array(list(values.values()), np.float32)),
        }
    )
    return out if versions is None else out.assign(version=("pair", np.array(versions, np.uint16)))


CHANGES = st.lists(
    st.tuples(st.sampled_from(["take", "withdraw"]), st.sampled_from(NAMES), st.integers(1, 9)), min_size=1, max_size=10
)


@given(CHANGES)
@settings(deadline=None, max_examples=15)
def test_any_order_of_taking_withdrawing_and_returning_gives_the_last_state(tmp_path_factory, changes):
    store, state, version = bare_stack(tmp_path_factory.mktemp("s")), dict.fromkeys(NAMES, 0), dict.fromkeys(NAMES, 0)
    store.append("1/a", batch(state))
    first = store.snapshot("1/a")
    for what, pair, value in changes:
        if what == "take":
            version[pair] += 1
            store.put("1/a", batch({pair: value}, [version[pair]]))
            state[pair] = value
        else:
            store.withdraw("1/a", [pair])
            state.pop(pair, None)
    held = store.open("1/a").load()
    fresh = bare_stack(tmp_path_factory.mktemp("f"))
    if state:
        fresh.append("1/a", batch({pair: state[pair] for pair in NAMES if pair in state}))
    for name in ("phase", "coherence", "baseline", "reference"):
        xr.testing.assert_equal(held[name].reset_coords(drop=True), fresh.open("1/a").load()[name].reset_coords(drop=True))
    assert float(np.abs(store.open("1/a", snapshot=first)["phase"]).max()) == 0


def test_expire_keeps_the_snapshots_that_corrected_scores_rest_on(tmp_path):
    store = bare_stack(tmp_path)
    store.append("1/a", batch(dict.fromkeys(NAMES, 1)))
    used = store.snapshot("1/a")
    store.put("1/a", batch({NAMES[0]: 5}, [1]))
    unused = store.snapshot("1/a")
    store.withdraw("1/a", [NAMES[1]])
    assert store.expire("1/a", older_than=timedelta(0), keep=[used]) > 0
    assert float(store.open("1/a", snapshot=used)["phase"].sel(pair=NAMES[0]).max()) == 1
    with pytest.raises(Exception, match="snapshot"):
        store.open("1/a", snapshot=unused)
    assert store.expire("1/a", older_than=timedelta(0)) == 0  # the tag stays
    assert store.open("1/a", snapshot=used).sizes["pair"] == 4


# assessments and flags


def test_what_used_a_corrected_pair_is_assessed_again_and_its_flag_is_withdrawn_and_stands_again_with_it(fitted):
    """The motion was an error of the provider, and then it was not: without it nothing is over, and the flag goes."""
    fitted.only(990002)
    _, before = fitted.nightly()
    assert len(before["open_flags"]) == 1
    shutil.copytree(fitted.archive, fitted.folder / "as it was")
    quiet_again(fitted)
    _, waiting = fitted.nightly(AS_OF + DAY)
    assert len(waiting["open_flags"]) == 1
    run, after = fitted.nightly(AS_OF + 2 * DAY)
    assert run.failures == []
    assert after["open_flags"] == []
    assert any("flag 1 is withdrawn: on corrected pairs" in words for words in after["warnings"])
    ended = fitted.rows("select state, cleared, withdrawals from episode where stack = ?", RISING)
    assert ended == [("withdrawn", str(AS_OF + 2 * DAY), 1)]
    assert after["scored_pairs"] == after["stored_pairs"] > 0
    assert any('"withdrawn": true' in path.read_text() for path in fitted.notices)
    old = fitted.rows("select distinct snapshot from superseded where stack = ?", RISING)
    with fitted.opened() as (s, _):
        assert all(s.store.open(RISING, snapshot=name).sizes["pair"] for (name,) in old)
    shutil.copytree(fitted.folder / "as it was", fitted.archive, dirs_exist_ok=True)
    _, quiet_night = fitted.nightly(AS_OF + 3 * DAY)
    assert (quiet_night["scored_pairs"], quiet_night["scored_intervals"], quiet_night["open_flags"]) == (0, 0, [])
    told = len(fitted.notices)
    _, back = fitted.nightly(AS_OF + 4 * DAY)
    assert [flag["number"] for flag in back["open_flags"]] == [1]
    assert any("flag 1 was withdrawn and stands again" in words for words in back["warnings"])
    assert len(fitted.notices) == told + 1
    [again] = [text for path in fitted.notices if (text := path.read_text()) and json.loads(text)["kind"] == "reopened"]
    assert "Screening flag stands again: Rising Cone" in again


def quiet_again(place):
    """Replace the pairs that hold the motion by what they show without it: half as quiet as another pair."""
    with place.opened() as (s, _):
        moving = [one.pair for one in s.ledger.assessments(RISING, "pair") if one.over]
        calm = [one for one in s.ledger.assessments(RISING, "pair") if one.score is not None and not one.over]
    source = min(calm, key=lambda one: one.score).pair
    spanning = [
        p
        for p in place.pairs()
        if Pair.of(p).first <= installation.UNREST.start and Pair.of(p).last > installation.UNREST.start
    ]
    for pair in sorted({*moving, *spanning}):
        write_tif(place.phase(pair), read_tif(place.phase(source)) * 0.5)


def test_a_withdrawn_pair_takes_its_assessments_with_it(fitted):
    fitted.only(990002)
    fitted.nightly()
    pair = fitted.pairs()[-2]
    scored = fitted.rows("select count(*) from score where verdict = 0 and score is not null")
    withdrawn(fitted, pair)
    for night in range(1, 4):
        run, digest = fitted.nightly(AS_OF + night * DAY)
    assert run.failures == []
    assert fitted.rows("select distinct verdict from score where pair = ? and after = 0", pair) == [(Verdict.WITHDRAWN,)]
    assert digest["scored_intervals"] > 0
    assert fitted.rows("select count(*) from score where verdict = 0 and score is not null") < scored


def day(n):
    return date(2020, 1, 1) + 12 * n * DAY


def seen_again(n, score):
    return machine.Evidence(day(n), day(n + 1), score, 5.0, counted=True, again=True)


def test_a_corrected_pair_that_falls_takes_its_place_in_a_flag_with_it():
    two = [machine.Evidence(day(n), day(n + 1), 9.0 - n, 5.0) for n in range(2)]
    state, _ = machine.run(machine.State(), two, clear_after_days=60)
    state, notices = machine.run(state, [seen_again(0, 1.0)], clear_after_days=60)
    [episode] = state.episodes
    assert (episode.state, episode.pairs_over, notices) == (FlagState.RAISED, 1, ())
    assert machine.with_peak(episode, {two[1].pair: 8.0}).peak_score == 8.0
    state, notices = machine.run(state, [seen_again(1, -np.inf)], clear_after_days=60)
    assert state.episodes[0].state == FlagState.WITHDRAWN
    assert [notice.kind for notice in notices] == ["cleared"]


def test_a_flag_that_was_cleared_loses_its_evidence_too_and_one_still_over_stays():
    state, _ = machine.run(machine.State(), [machine.Evidence(day(0), day(1), 9.0, 5.0)], clear_after_days=60)
    state, _ = machine.run(state, [machine.Evidence(day(20), day(21), 1.0, 5.0)], clear_after_days=60)
    assert state.episodes[0].state == FlagState.CLEARED
    same, notices = machine.run(state, [seen_again(0, 7.0)], clear_after_days=60)
    assert (same.episodes[0].state, same.episodes[0].pairs_over, notices) == (FlagState.CLEARED, 1, ())
    gone, _ = machine.run(state, [seen_again(0, 2.0)], clear_after_days=60)
    assert gone.episodes[0].state == FlagState.WITHDRAWN
    assert gone.episodes[0].cleared == state.episodes[0].cleared


# decided once, never again


def test_pairs_rejected_by_a_setting_are_judged_again_when_it_changes(fresh):
    fresh.only(990001)
    fresh.change("batch = 16", "batch = 16\nmin_coherence = 0.99")
    assert fresh.ingest().counts["rejected_pairs"] == 60
    assert fresh.ingest().counts["new_pairs"] == 0
    fresh.change("min_coherence = 0.99", "min_coherence = 0.1")
    assert fresh.ingest().counts["stored_pairs"] == 60


def moved_volcano(place, old, new):
    catalogue = place.folder / "volcanoes.toml"
    text = catalogue.read_text()
    assert old in text
    catalogue.write_text(text.replace(old, new))


def test_a_box_corrected_in_the_catalogue_is_said_every_night_and_restack_takes_it(quiet):
    moved_volcano(quiet, "lon = 40.03\n", "lon = 40.05\n")
    for night in range(2):
        run = quiet.ingest(AS_OF + night * DAY)
        assert f"insar-anomaly restack {QUIET}" in run.warnings[0]
    before = stored(quiet)
    assert cli.main(["-c", str(quiet.config), "-q", "restack", QUIET]) == 0
    held = stored(quiet)
    assert held.sizes["pair"] == before.sizes["pair"]
    assert float(held["x"].mean()) == pytest.approx(40.05, abs=STEP)
    assert quiet.ingest(AS_OF + 2 * DAY).warnings == []


def test_a_volcano_that_left_its_stack_fails_by_name(quiet):
    moved_volcano(quiet, "lon = 40.03\n", "lon = 40.094\n")
    run = quiet.ingest()
    assert "the volcano itself is not in its stack" in run.failures[0].error
    assert run.failures[0].stack == QUIET


# another grid


def moved(place, pairs):
    for pair in pairs:
        for path in (place.phase(pair), place.coherence(pair)):
            write_tif(path, read_tif(path), transform=rasterio.Affine(STEP, 0, WEST + STEP / 2, 0, -STEP, NORTH))


def doctor_says(place, capsys):
    """What `doctor` says of a grid, by stack."""
    capsys.readouterr()
    cli.main(["-c", str(place.config), "--json", "doctor"])
    found = {one["what"]: one for one in json.loads(capsys.readouterr().out)}
    return {what: one for what, one in found.items() if what.startswith("grid of ")}


def test_a_regridded_frame_is_said_every_night_and_restack_builds_the_new_grid(fitted, capsys):
    fitted.only(990001)
    fitted.nightly()
    before = stored(fitted)
    moved(fitted, fitted.pairs()[2:])
    for pair in fitted.pairs()[:2]:
        shutil.rmtree(fitted.phase(pair).parent)  # not listed any more: carried over
    for night in range(1, 4):
        _, digest = fitted.nightly(AS_OF + night * DAY)
    assert [f"insar-anomaly restack {QUIET}" in words for words in digest["warnings"]].count(True) == 1
    xr.testing.assert_identical(stored(fitted), before)
    [told] = doctor_says(fitted, capsys).values()
    assert not told["ok"]
    assert f"`insar-anomaly restack {QUIET}` builds the stack on it" in told["words"]
    assert cli.main(["-c", str(fitted.config), "-q", "restack", QUIET]) == 0
    assert doctor_says(fitted, capsys) == {}
    held = stored(fitted)
    assert Grid.of(held).west == pytest.approx(Grid.of(before).west + STEP / 2)
    assert sorted(held["pair"].values) == sorted(before["pair"].values)
    assert float(np.abs(held["height"] - before["height"].interp(x=held["x"], y=held["y"])).max()) < 30
    xr.testing.assert_identical(stored(fitted, snapshot=before.attrs["snapshot"]), before)
    run, digest = fitted.nightly(AS_OF + 4 * DAY)
    assert run.failures == []
    assert digest["scored_pairs"] == 0
    assert "built anew on another grid since it was fitted" in digest["blind"][0]["why"]
    assert fitted.fit().failures == []
    run, digest = fitted.nightly(AS_OF + 5 * DAY)
    assert (run.failures, digest["blind"], digest["new_notices"]) == ([], [], 0)
    assert digest["scored_pairs"] > 0


@pytest.mark.parametrize("step", ["append_beside", "swap", "end_restack"])
def test_a_restack_that_was_stopped_goes_on_where_it_was(quiet, step, monkeypatch):
    moved(quiet, quiet.pairs())
    before, calls = stored(quiet), []

    def stop(self, *args, **kwargs):
        calls.append(step)
        if len(calls) == (2 if step == "append_beside" else 1):
            raise KeyboardInterrupt
        return real(self, *args, **kwargs)

    real = getattr(Store, step)
    monkeypatch.setattr(Store, step, stop)
    with pytest.raises(KeyboardInterrupt), quiet.opened() as (s, run):
        restacked(s, run)
    if step != "end_restack":
        xr.testing.assert_identical(stored(quiet), before)
    monkeypatch.undo()
    with quiet.opened() as (s, run):
        restacked(s, run)
        assert run.failures == []
        assert s.store.beside(QUIET) is None
        assert s.ledger.holding(QUIET).grid >= 1
    assert stored(quiet).sizes["pair"] == 60
    assert set(quiet.verdicts(QUIET).values()) == {Verdict.OK}
    assert quiet.ingest(AS_OF + DAY).warnings == []


def restacked(s, run):
    from insar_anomaly import pipeline

    pipeline.restack(s, run, QUIET)


def test_the_grid_is_that_of_most_pairs():
    one, other = Grid(40, 1, 0.001, 0.001, (50, 50)), Grid(40.0005, 1, 0.001, 0.001, (50, 50))
    assert majority([one, other, other], "frame") == other
    assert majority([one, Grid(40 + 1e-9, 1, 0.001, 0.001, (50, 50)), other], "frame") in (one, one)


def test_carried_pairs_have_the_nearest_values_and_nothing_outside():
    held = batch({NAMES[0]: 1}).assign_coords(y=GRID.lat, x=GRID.lon).assign_attrs(grid=GRID.attribute)
    held["phase"].values[0] = np.arange(20).reshape(SHAPE)
    out = nearest(held, Grid(GRID.west + 0.001, GRID.north, 0.001, 0.001, SHAPE))
    np.testing.assert_array_equal(out["phase"].values[0, :, :4], held["phase"].values[0, :, 1:])
    assert np.isnan(out["phase"].values[0, :, 4]).all()
    assert (out["coherence"].values[0, :, 4] == 0).all()
