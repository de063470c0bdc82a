"""A flag's life with people in it: noted or told, acknowledged, labelled, muted; who did what and when."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from installation import AS_OF, BLIND, QUIET, RISING, WIDE

from insar_anomaly import cli
from insar_anomaly.calibration.return_period import words_of_years
from insar_anomaly.errors import StoreFailed
from insar_anomaly.flags.labels import LEAST_CONFIDENCE, Labelled, precision
from insar_anomaly.flags.mutes import Mute, muted_until
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger import ActKind, ActRow, Ledger, NewNotice
from insar_anomaly.names import FlagName, Target
from insar_anomaly.pipeline.reading import read_flags

FLAG = f"{RISING}:1"
NEXT_YEAR = datetime.now(UTC).date() + timedelta(days=365)
THRESHOLD = "select threshold from model where stack = ? and evidence = 'interval' order by number desc limit 1"
STRICT = "\n[flags]\nfalse_flags_per_year = 1e-12\n"


def run(place, *words):
    return cli.main(["-c", str(place.config), *map(str, words)])


# -- one budget for all ----------------------------------------------------------------------------------------------


def test_a_fit_says_the_level_of_all_stacks_and_every_score_has_its_return_period(flagged, capsys):
    assert run(flagged, "--json", "fit", "--no-ingest", "--to", "2021-06-22") in (0, 3)
    told = json.loads(capsys.readouterr().out)["level"]
    assert (told["budget"], told["stacks"]) == (12.0, 2)  # Silent Caldera is blind
    rows = flagged.rows("select return_period from score where verdict = 0 and threshold is not null")
    assert all(period > 0 for (period,) in rows)
    [(stack, rarest)] = flagged.rows("select stack, max(return_period) from score")
    assert (stack, rarest > 10) == (RISING, True)


def test_a_flag_below_the_level_is_noted_and_nobody_is_told(fitted):
    fitted.config.write_text(fitted.config.read_text() + STRICT)
    _, digest = fitted.nightly()
    assert [(flag["state"], flag["number"]) for flag in digest["open_flags"]] == [("noted", 1)]
    assert digest["new_notices"] == 0
    assert fitted.notices == []
    assert "too short for this budget" in digest["level"]


def test_a_noted_flag_is_listed_apart_and_ends_without_a_notice(fitted, capsys):
    fitted.config.write_text(fitted.config.read_text() + STRICT)
    assert run(fitted, "nightly", "--as-of", AS_OF) == 3
    said = capsys.readouterr().out
    assert "no flag is open" in said
    assert (
        f"noted, without a notice: over their own threshold, below the level:\n    Rising Cone {RISING}: noted flag 1"
        in said
    )


def test_a_ledger_that_was_never_fitted_for_a_level_tells_from_each_stacks_own_threshold(fitted):
    with closing(sqlite3.connect(fitted.folder / "ledger.sqlite")) as database:
        database.execute("delete from pool")
        database.commit()
    fitted.config.write_text(fitted.config.read_text() + STRICT)
    _, digest = fitted.nightly()
    assert [flag["state"] in ("raised", "escalated") for flag in digest["open_flags"]] == [True]
    assert digest["level"] is None


# -- what people do --------------------------------------------------------------------------------------------------


def test_an_acknowledgement_is_kept_with_who_when_and_why_and_survives_the_next_night(flagged, capsys):
    assert run(flagged, "ack", FLAG, "--by", "Ada", "--note", "looks like the 2017 dyke") == 0
    assert "the flag is acknowledged" in capsys.readouterr().out
    _, digest = flagged.nightly()
    assert [flag["state"] for flag in digest["open_flags"]] == ["acknowledged"]
    assert run(flagged, "show", FLAG) == 0
    said = capsys.readouterr().out
    assert f"{FLAG}: acknowledged" in said
    assert "Ada acknowledged: looks like the 2017 dyke" in said
    assert "notice raised by files: arrived" in said
    assert run(flagged, "--json", "show", FLAG) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["state"], shown["acts"][0]["by"]) == ("acknowledged", "Ada")
    assert shown["return_period_years"] > 10


def test_a_label_is_kept_and_the_next_fit_does_not_learn_a_volcanic_flags_time_as_quiet(flagged, capsys):
    assert run(flagged, "label", FLAG, "volcanic", "--by", "Ada", "--confidence", "0.8") == 0
    capsys.readouterr()
    before = flagged.rows("select max(pairs) from model where stack = ? and evidence = 'pair'", RISING)
    run(flagged, "fit", "--no-ingest")  # on everything, the motion included
    said = capsys.readouterr().out
    assert "1 label left out" in said
    assert "covers flag" not in said
    [(strict,)] = flagged.rows(THRESHOLD, RISING)
    [(pairs,)] = flagged.rows("select pairs from model where stack = ? order by number desc limit 1", RISING)
    [(quiet,)] = flagged.rows("select pairs from model where stack = ? order by number desc limit 1", QUIET)
    [(since, until)] = flagged.rows("select since, until from episode where stack = ?", RISING)
    seen = [p for p in flagged.pairs() if p[:8] < until.replace("-", "") and since.replace("-", "") < p[9:]]
    assert seen
    assert pairs == quiet - len(seen)
    assert before
    capsys.readouterr()
    assert run(flagged, "history") == 0
    assert "990002: 1 flags, 1 with notices; 1 of 1 labelled are volcanic (precision 100%)" in capsys.readouterr().out
    run(flagged, "label", FLAG, "atmosphere", "--by", "Bo")  # the last word counts
    run(flagged, "fit", "--no-ingest")
    assert "1 label kept quiet" in capsys.readouterr().out
    [(lax,)] = flagged.rows(THRESHOLD, RISING)
    assert strict < lax  # what was no volcano is what a threshold has to count
    assert flagged.rows("select pairs from model where stack = ? order by number desc limit 1", RISING) == [(quiet,)]
    run(flagged, "--json", "history", "990002")
    told = json.loads(capsys.readouterr().out)
    assert told["labels"] == [{"gvp": 990002, "flags": 1, "told": 1, "volcanic": 0, "other": 1, "unsure": 0}]
    assert [act["by"] for act in told["acts"]] == ["Ada", "Bo"]


def test_a_line_break_in_a_name_makes_no_line_of_somebody_else(flagged, capsys):
    assert run(flagged, "ack", FLAG, "--by", "Ann\n2026-01-01 Bob acknowledged", "--note", "red \x1b[31m\nink") == 0
    capsys.readouterr()
    assert run(flagged, "show", FLAG) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert [line for line in said.splitlines() if "Bob" in line and "Ann" not in line] == []
    assert "Ann 2026-01-01 Bob acknowledged acknowledged: red [31m ink" in said


def test_what_stays_muted_by_another_mute_is_said(flagged, capsys):
    for target in ("99*", "990002"):
        assert run(flagged, "mute", target, "--until", NEXT_YEAR, "--why", "field work", "--by", "Ada") == 0
    capsys.readouterr()
    assert run(flagged, "unmute", "990002", "--by", "Ada") == 0
    assert f"990002 stays muted until {NEXT_YEAR}: its region is" in capsys.readouterr().out
    assert run(flagged, "unmute", "99*", "--by", "Ada") == 0
    assert "stays muted" not in capsys.readouterr().out
    assert run(flagged, "unmute", "99*", "--by", "Ada") == 2
    assert "99* is not muted; nothing is" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("whatif", "--years", "2100"), ("serve", "--port", "99999"), ("serve", "--port", "-1")])
def test_numbers_that_cannot_be_are_refused(words, flagged, capsys):
    with pytest.raises(SystemExit) as ended:
        run(flagged, *words)
    assert ended.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_whatif_counts_up_to_today(flagged, capsys):
    assert run(flagged, "whatif", "--as-of", NEXT_YEAR) == 2
    assert "is in the future" in capsys.readouterr().err


def test_a_mute_ends_on_its_day_or_when_it_is_taken_back(flagged, capsys):
    assert run(flagged, "mute", "990002", "--until", NEXT_YEAR, "--why", "field work", "--by", "Ada") == 0
    assert f"Ada muted 990002 until {NEXT_YEAR}: field work" in capsys.readouterr().out
    run(flagged, "show", FLAG)
    assert f"muted until {NEXT_YEAR}" in capsys.readouterr().out
    assert run(flagged, "unmute", RISING, "--by", "Ada") == 2
    assert f"{RISING} is not muted; muted are 990002" in capsys.readouterr().err
    assert run(flagged, "unmute", "990002", "--by", "Ada") == 0
    capsys.readouterr()
    run(flagged, "show", FLAG)
    assert "muted until" not in capsys.readouterr().out
    run(flagged, "history", "990002")
    assert [line.split(" UTC ")[1] for line in capsys.readouterr().out.splitlines() if " UTC " in line] == [
        f"Ada muted 990002 until {NEXT_YEAR}: field work",
        "Ada unmuted 990002",
    ]


def test_mutes_lists_those_that_stand_with_who_why_and_until_when(flagged, capsys):
    assert run(flagged, "mutes") == 0
    assert capsys.readouterr().out == "nothing is muted\n"
    for target, by in (("99*", "Ada"), (RISING, "Bo"), ("990001", "Cy")):
        assert run(flagged, "-q", "mute", target, "--until", NEXT_YEAR, "--why", f"work of {by}", "--by", by) == 0
    run(flagged, "-q", "unmute", "990001", "--by", "Cy")
    assert run(flagged, "mutes") == 0
    region, stack = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"99\*: muted until {NEXT_YEAR} by Ada on \S+ \S+ UTC: work of Ada", region)
    assert stack.startswith(f"{RISING}: muted until {NEXT_YEAR} by Bo")
    assert run(flagged, "mutes", "--json", "--volcano", "990001") == 0
    [told] = json.loads(capsys.readouterr().out)
    assert (told["target"], told["until"], told["by"], told["why"]) == ("99*", str(NEXT_YEAR), "Ada", "work of Ada")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", told["at"])


def test_show_says_of_a_muted_flag_who_muted_it_and_that_nobody_has_its_notice(fitted, capsys):
    run(fitted, "mute", "990002", "--until", NEXT_YEAR, "--why", "field work", "--by", "Ada")
    fitted.nightly()
    capsys.readouterr()
    assert run(fitted, "show", FLAG) == 0
    said = capsys.readouterr().out
    assert re.search(rf"990002 is muted until {NEXT_YEAR} by Ada on \S+ \S+ UTC: field work", said)
    assert f"notice raised by files: waits for the end of the mute, {NEXT_YEAR}" in said
    assert re.search(r"threshold .*; told$", said, re.MULTILINE)
    assert "delivered" not in said
    assert run(fitted, "--json", "show", FLAG) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["muted_until"], shown["mutes"][0]["by"]) == (str(NEXT_YEAR), "Ada")


def test_show_gives_the_years_of_the_score_and_those_of_the_threshold_apart(flagged, capsys):
    assert run(flagged, "--json", "show", FLAG) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["return_period_years"] > told["threshold_return_period_years"] > 0
    assert run(flagged, "show", FLAG) == 0
    _, peak, threshold, *_ = capsys.readouterr().out.splitlines()
    score, usual = (words_of_years(told[f"{name}return_period_years"]) for name in ("", "threshold_"))
    assert re.search(rf"peak \S+ in \S+, a score that quiet ground reaches once in {re.escape(score)}$", peak)
    assert re.search(rf"threshold \S+, which quiet ground passes once in {re.escape(usual)}; delivered$", threshold)


def test_moments_in_json_are_iso_8601_in_utc(flagged, capsys):
    run(flagged, "-q", "ack", FLAG, "--by", "Ada")
    for words in (("show", FLAG), ("history", "990002"), ("notices", "--all"), ("ack", FLAG, "--by", "Bo")):
        assert run(flagged, "--json", *words) == 0
        out = capsys.readouterr().out
        moments = re.findall(r'"(?:at|created|delivered_at)": "([^"]+)"', out)
        assert moments, words
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", one) for one in moments)


def test_a_muted_stacks_raised_flag_waits_and_is_told_when_the_mute_ends(fitted, capsys):
    run(fitted, "mute", RISING, "--until", NEXT_YEAR, "--why", "field work", "--by", "Ada")
    _, digest = fitted.nightly()
    assert fitted.notices == []
    assert f"{RISING} is muted until {NEXT_YEAR}: notices that wait until then: 1" in digest["warnings"]
    run(fitted, "unmute", RISING, "--by", "Ada")
    fitted.nightly()
    assert [json.loads(path.read_text())["payload"]["kind"] for path in fitted.notices] == ["raised"]


def test_who_muted_still_learns_that_a_flag_ended_that_was_told_before(flagged):
    """The end is told at once; growth waits, and so does the end of a flag that nobody has heard of."""
    run(flagged, "mute", "99*", "--until", NEXT_YEAR, "--why", "field work", "--by", "Ada")
    before = len(flagged.notices)
    with flagged.opened() as (s, _):
        told = s.ledger.notices()[0]
        rows = [
            NewNotice(f"{RISING}:1:escalated:p:2:files", "files", "escalated", told.payload),
            NewNotice(f"{RISING}:1:cleared:files", "files", "cleared", told.payload.replace('"raised"', '"cleared"', 1)),
            NewNotice(f"{RISING}:2:raised:files", "files", "raised", told.payload),
            NewNotice(f"{RISING}:2:cleared:files", "files", "cleared", told.payload.replace('"raised"', '"cleared"', 1)),
        ]
        s.ledger.put(RISING, rows)
    flagged.nightly()
    assert len(flagged.notices) == before + 1
    with flagged.opened() as (s, _):
        assert sorted(row.key.split(":", 1)[1] for row in s.ledger.pending()) == [
            "1:escalated:p:2:files",
            "2:cleared:files",
            "2:raised:files",
        ]


def test_a_notice_tells_how_rare_its_score_is_and_how_rare_it_had_to_be(flagged):
    [path] = flagged.notices
    told = json.loads(path.read_text())["payload"]
    assert told["return_period_low"] <= told["return_period_years"] <= told["return_period_high"]
    assert told["return_period_years"] > told["asked_return_period_years"] > 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ack", f"{RISING}:2", "--by", "A"], f"there is no flag {RISING}:2; did you mean {FLAG}?"),
        (["ack", "990002", "--by", "A"], "'990002' is not the name of a flag: write GVP/FRAME:NUMBER"),
        (["ack", FLAG], "--by"),
        (["ack", FLAG, "--by", " "], "give a name"),
        (["label", FLAG, "eruption", "--by", "A"], "invalid choice: 'eruption'"),
        (["label", FLAG, "unsure", "--by", "A", "--confidence", "2"], "'2' is not a number from 0 to 1"),
        (["mute", "990002", "--until", "2020-01-01", "--why", "x", "--by", "A"], "--until 2020-01-01 is not after today"),
        (["mute", "123456", "--until", str(NEXT_YEAR), "--why", "x", "--by", "A"], "the ledger holds nothing of 123456"),
        (
            ["mute", "Rising", "--until", str(NEXT_YEAR), "--why", "x", "--by", "A"],
            "'Rising' names nothing: write GVP",
        ),
        (
            ["mute", "990002", "--until", "9999-12-31", "--why", "x", "--by", "A"],
            "more than 5 years from now: give a day",
        ),
        (
            ["mute", "990002", "--until", str(NEXT_YEAR), "--why", "", "--by", "A"],
            "--why: it is empty: say why",
        ),
        (["mute", "990002", "--until", str(NEXT_YEAR), "--why", "x", "--by", ""], "--by: give a name"),
        (["unmute", "990002", "--why", " ", "--by", "A"], "--why: it is empty"),
        (["ack", FLAG, "--by", "A", "--note", ""], "--note: it is empty"),
        (["ack", FLAG, "--by", "\x1b", "--note", "x"], "--by: give a name"),
        (["label", FLAG, "unsure", "--by", "A", "--note", "\n"], "--note: it is empty"),
        (["notices", "--drop", "x", "--why", ""], "--why: it is empty"),
        (["unmute", "990001", "--by", "A"], "990001 is not muted; nothing is"),
        (["history", "123456"], "the ledger holds nothing of 123456; it holds 3 volcanoes: 990001, 990002, 990003"),
    ],
)
def test_mistakes_are_named_and_change_nothing(words, said, flagged, capsys):
    try:
        code = run(flagged, *words)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert said in capsys.readouterr().err
    assert flagged.rows("select * from act") == []


def test_an_act_on_a_flag_that_is_not_there_writes_nothing(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        with pytest.raises(StoreFailed, match="has no flag 1; it has no flags"):
            ledger.record_act(ActRow(RISING, 1, ActKind.ACKNOWLEDGED, "Ada", datetime.now(UTC)))
        assert ledger.acts() == []


def test_the_state_is_read_as_it_was_written(flagged):
    run(flagged, "-q", "ack", FLAG, "--by", "Ada")
    with flagged.opened() as (s, _):
        [row] = s.ledger.episodes(open_only=True)
    assert (row.state, row.told) == (FlagState.ACKNOWLEDGED, row.told)
    assert row.told is not None


def test_every_command_and_export_says_the_same_of_whether_people_were_told(flagged, capsys):
    """In turn: a channel has accepted the notice; it waits; it was never sent. The score that it tells of stays the same."""
    flagged.change("[detector]", '[cap]\nenabled = true\nsender_id = "a@b.example"\n[detector]')

    def said():
        found = {}
        for name, words in {"flags": ["flags"], "show": ["show", FLAG], "history": ["history", "990002"]}.items():
            assert run(flagged, *words) == 0
            found[name] = capsys.readouterr().out
            assert run(flagged, "--json", *words) == 0
            content = json.loads(capsys.readouterr().out)
            row = content if name == "show" else (content["flags"] if name == "history" else content)[0]
            assert row["told_score"] > 0
            found[f"{name} --json"] = f"; {row['told']}"
        counted = found["history"]
        assert run(flagged, "export", "flags") == 0
        found["export"] = "; " + capsys.readouterr().out.splitlines()[1].rpartition(",")[2]
        with flagged.opened() as (s, _):
            found["python"] = f"; {read_flags(s)['told'][0]}"
        cap = run(flagged, "export", "flags", "--format", "cap")
        capsys.readouterr()
        words = ("; not told", "; delivered", "; told")
        return {next(one for one in words if one in text) for text in found.values()}, counted, cap

    def outbox(values):
        with closing(sqlite3.connect(flagged.folder / "ledger.sqlite")) as database:
            database.execute(f"update notice set {values}")
            database.commit()

    assert said()[0] == {"; delivered"}
    assert "1 flags, 1 with notices" in said()[1]
    outbox("delivered_at = null")
    word, table, cap = said()
    assert (word, "1 flags, 1 with notices" in table, cap) == ({"; told"}, True, 0)
    for why in ("held: many stacks crossed", "the flag was too old for a notice", "a person"):
        outbox(f"dropped = '{why}'")
        word, table, cap = said()
        assert (word, "1 flags, 0 with notices" in table, cap) == ({"; not told"}, True, 2)
    outbox("kind = 'cleared', dropped = null")  # the end alone tells nobody of the flag
    assert said()[0] == {"; not told"}


def test_a_label_of_low_confidence_does_not_count_and_the_table_says_so(flagged, capsys):
    run(flagged, "label", FLAG, "volcanic", "--by", "Ada", "--confidence", LEAST_CONFIDENCE - 0.1)
    capsys.readouterr()
    assert run(flagged, "history") == 0
    said = capsys.readouterr().out
    assert "990002: 1 flags, 1 with notices; none is labelled; labelled and left out as unsure: 1" in said
    assert f"labelled with a confidence of {LEAST_CONFIDENCE:g} or more and not unsure" in said
    run(flagged, "label", FLAG, "volcanic", "--by", "Ada", "--confidence", LEAST_CONFIDENCE)
    capsys.readouterr()
    run(flagged, "--json", "history")
    assert json.loads(capsys.readouterr().out)["labels"] == [
        {"gvp": 990002, "flags": 1, "told": 1, "volcanic": 1, "other": 0, "unsure": 0}
    ]


# -- names and mutes, pure -------------------------------------------------------------------------------------------

NUMBERS = st.sampled_from([221080, 221081, 222100, 310000])
STACKS = NUMBERS.map(lambda gvp: f"{gvp}/{WIDE}")
TARGETS = st.one_of(STACKS, NUMBERS.map(str), st.sampled_from(["2*", "22*", "2210*", "31*"])).map(Target.of)
DAY0 = date(2026, 1, 1)
DAYS = st.integers(-10, 10).map(lambda n: DAY0 + timedelta(days=n))
MUTES = st.lists(st.builds(Mute, TARGETS, st.one_of(st.none(), DAYS)), max_size=8)


@given(STACKS, st.integers(1, 99))
def test_a_flags_name_is_read_as_it_is_written(stack, number):
    assert FlagName.of(str(FlagName(stack, number))) == FlagName(stack, number)


@given(MUTES, STACKS, DAYS)
def test_a_stack_is_muted_as_long_as_the_longest_of_the_last_mutes_that_cover_it(mutes, stack, day):
    slow = None
    for target in {mute.target for mute in mutes}:
        last = next(mute for mute in reversed(mutes) if mute.target == target)
        if target.covers(stack) and last.until is not None and last.until > day:
            slow = last.until if slow is None else max(slow, last.until)
    assert muted_until(mutes, stack, day) == slow


@given(MUTES, STACKS, DAYS)
def test_what_is_taken_back_everywhere_mutes_nothing(mutes, stack, day):
    assert muted_until([*mutes, *(Mute(mute.target, None) for mute in mutes)], stack, day) is None


@pytest.mark.parametrize("name", ["", "22", "22108", "2210800", "*", "22**", "abc", "221080/", "221080/A+"])
def test_what_names_nothing_is_refused(name):
    with pytest.raises(ValueError, match=r"names nothing|is not the name"):
        Target.of(name)


def test_unsure_flags_and_flags_that_nobody_was_told_of_do_not_count_for_precision():
    flags = [(RISING, 1, True), (RISING, 2, True), (RISING, 3, True), (RISING, 4, False), (BLIND, 1, True)]
    labels = {(RISING, 1): "volcanic", (RISING, 2): "processing", (RISING, 3): "unsure", (RISING, 4): "volcanic"}
    one, other = precision(flags, {flag: Labelled(label) for flag, label in labels.items()})
    assert (one.gvp, one.flags, one.told, one.volcanic, one.other, one.precision) == (990002, 4, 3, 1, 1, 0.5)
    assert one.words.endswith("1 of 2 labelled are volcanic (precision 50%); labelled and left out as unsure: 1")
    assert other.precision is None
    assert other.words == "990003: 1 flags, 1 with notices; none is labelled"
