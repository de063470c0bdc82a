"""Many stacks that cross on one date are told once and held; what stands out, or still stands later, is not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from installation import AS_OF, ENTRY, RISING, WEST, WIDE

from insar_anomaly import pipeline
from insar_anomaly.flags import together as flags_together
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.together import New, Seen, by_platform, together, track_of
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger import Ledger
from insar_anomaly.ledger.records import ScoreRow
from insar_anomaly.names import FlagName, Interval
from insar_anomaly.pipeline.regional import hold_together
from insar_anomaly.stack.freshness import StackState

DAY, OTHER = date(2026, 3, 2), date(2026, 2, 18)


def stack(number: int, frame: str = "014A_00001_010101") -> str:
    return f"{300000 + number}/{frame}"


def new(number: int, years: float | None = 10.0, days: tuple[date, date] = (OTHER, DAY)) -> New:
    return New(FlagName(stack(number), 1), days, years)


def crossing(over: int, seen: int) -> list[Seen]:
    return [Seen(stack(number), (DAY - timedelta(6), DAY), number < over) for number in range(seen)]


@pytest.mark.parametrize(
    ("over", "seen", "held"),
    [
        (31, 40, True),
        (5, 20, True),
        (4, 4, False),  # too few to tell weather from a volcano
        (5, 21, False),  # too small a part
        (1, 40, False),
        (0, 0, False),
    ],
)
def test_flags_are_held_where_many_of_a_tracks_stacks_cross_on_one_date(over, seen, held):
    raised = [new(number) for number in range(min(over, 3))]
    found = together(raised, crossing(over, seen), asked_years=5.0)
    assert [flag for group in found for flag in group.held] == ([one.flag for one in raised] if held else [])


def test_the_group_is_named_by_number_track_and_date():
    [group] = together([new(0)], crossing(31, 40), asked_years=5.0)
    assert group.words == "probably atmosphere or processing: 31 of 40 stacks on track 014A, 2026-03-02"


def test_of_two_dates_that_hold_as_many_the_newer_one_is_told():
    [group] = together([new(0)], [replace(one, days=(OTHER, DAY)) for one in crossing(31, 40)], asked_years=5.0)
    assert group.day == DAY


def test_another_track_and_another_date_are_not_drawn_in():
    assessed = [*crossing(10, 20), Seen(stack(9), (date(2026, 1, 1), OTHER), True)]
    elsewhere = New(FlagName(stack(50, "021D_00001_010101"), 1), (OTHER, DAY), 10.0)
    assessed.append(Seen(elsewhere.flag.stack, (OTHER, DAY), True))
    before = new(11, days=(date(2026, 1, 1), OTHER))
    [group] = together([new(0), elsewhere, before], assessed, asked_years=5.0)
    assert group.held == (new(0).flag,)


def test_a_flag_far_above_its_level_or_among_its_neighbours_is_never_held():
    raised = [*(new(number) for number in range(5)), new(5, years=600.0), new(6, years=1200.0)]
    [group] = together(raised, crossing(20, 40), asked_years=6.0)
    assert group.held == tuple(one.flag for one in raised[:5])
    [group] = together(raised, crossing(20, 40), asked_years=None)
    assert group.held == tuple(one.flag for one in raised[: 6 if 600 < 100 * 10 else 5][: len(group.held)])
    assert raised[6].flag not in group.held
    [group] = together([new(0, years=None)], crossing(20, 40), asked_years=6.0)
    assert group.held == (new(0).flag,)


def test_a_frame_whose_name_has_no_track_counts_by_its_date_alone():
    assert track_of("300001/somewhere") is None
    assessed = [Seen(f"{300000 + n}/somewhere", (OTHER, DAY), True) for n in range(8)]
    [group] = together([New(FlagName("300001/somewhere", 1), (OTHER, DAY), 10.0)], assessed, asked_years=5.0)
    assert (group.track, group.over, group.seen) == (None, 8, 8)
    assert group.words.endswith("8 of 8 stacks of 2026-03-02")


# -- platform pairs: a provider's fault, whatever the track and the date --------------------------------------------------


def day_of_track(number: int) -> date:
    return date(2026, 3, number)


def mixed(over: int, seen: int, *, tracks: int = 8, one: str = "S1A", other: str = "S1C") -> list[Seen]:
    """Stacks of several tracks, each with dates of its own."""
    out = []
    for number in range(seen):
        frame, day = f"{1 + number % tracks:03d}A_00001_010101", day_of_track(1 + number % tracks)
        out.append(Seen(stack(number, frame), (day - timedelta(6), day), number < over, (one, other)))
    return out


def raised_by(seen: list[Seen], years: float | None = 10.0) -> list[New]:
    return [New(FlagName(each.stack, 1), each.days, years) for each in seen if each.over]


def test_flags_of_many_tracks_are_held_where_their_pairs_join_the_same_two_platforms():
    faulty, fine = mixed(24, 30), mixed(0, 40, one="S1A", other="S1A")
    [group] = together(raised_by(faulty), [*faulty, *fine], asked_years=5.0)
    assert group.words == "probably processing: 24 of 30 stacks in pairs that join S1A and S1C, up to 2026-03-08"
    assert (group.platforms, group.track, len(group.held)) == (("S1A", "S1C"), None, 24)
    alone = mixed(24, 30, one="S1C", other="S1C")
    [group] = together(raised_by(alone), alone, asked_years=5.0)
    assert "24 of 30 stacks in pairs of S1C alone" in group.words


@pytest.mark.parametrize(("over", "seen"), [(4, 8), (9, 40)])
def test_too_few_stacks_of_a_platform_pair_hold_nothing(over, seen):
    found = mixed(over, seen)
    assert together(raised_by(found), found, asked_years=5.0) == []


def test_what_one_track_and_date_explains_is_its_weather_and_no_fault_of_the_platforms():
    found = [*mixed(7, 10, tracks=1), *mixed(3, 10)[1:]]
    groups = together(raised_by(found), found, asked_years=5.0)
    assert [group.platforms for group in groups] == [None]
    assert "probably atmosphere or processing: " in groups[0].words


def test_a_flag_that_stands_out_in_its_platform_pair_is_not_held():
    found = mixed(24, 30)
    raised = raised_by(found)
    raised[3] = New(raised[3].flag, raised[3].days, 1200.0)
    [group] = together(raised, found, asked_years=None)
    assert raised[3].flag not in group.held
    assert len(group.held) == 23


def test_platforms_are_those_of_both_dates_where_both_are_known():
    seen = [Seen("1/a", (OTHER, DAY), True), Seen("1/b", (OTHER, DAY), True), Seen("1/c", (OTHER, DAY), True)]
    known = {"1/a": {DAY: "S1A", OTHER: "S1C"}, "1/b": {DAY: "S1A"}}
    assert [one.platforms for one in by_platform(seen, known)] == [("S1A", "S1C"), None, None]


# -- through a night -------------------------------------------------------------------------------------------------

COPIES = [f"{number}/{WIDE}" for number in range(990011, 990017)]


@pytest.fixture
def crowd(fitted, monkeypatch):
    """Six more volcanoes whose stacks are copies of the rising one, all of them scored."""
    monkeypatch.setattr(flags_together, "FAR_ABOVE", 1e12)  # the simulated motion is a volcano's, and stands out
    with fitted.opened() as (s, run):
        pipeline.ingest(s, run)
        pipeline.assess(s, run)
        s.ledger.copy_stack(RISING, COPIES)
    catalogue = fitted.folder / "volcanoes.toml"
    entries = [
        ENTRY.format(gvp=name[:6], name=f"Copy {name[:6]}", lon=WEST + 0.03, frame=WIDE, more="contacts = []\n")
        for name in COPIES
    ]
    catalogue.write_text(catalogue.read_text() + "\n".join(entries))
    return fitted


def flagged_and_held(crowd):
    with crowd.opened() as (s, run):
        pipeline.flag(s, run)
        hold_together(s, run)
        pipeline.deliver(s, run)
        return run, s.ledger.episodes(), s.ledger.notices()


def test_one_notice_tells_of_all_and_the_next_assessment_raises_what_still_stands(crowd):
    run, episodes, notices = flagged_and_held(crowd)
    assert {row.stack: row.state for row in episodes} == dict.fromkeys([RISING, *COPIES], FlagState.NOTED)
    assert any("probably atmosphere or processing: 7 of " in words for words in run.warnings)
    with crowd.opened() as (s, _):
        found = {one.what for one in s.ledger.events(AS_OF)}
        assert found == {FlagEvent.RAISED, FlagEvent.HELD}
        assert set(s.ledger.told().values()) == {Told.NOT_TOLD}
    [path] = crowd.notices
    told = json.loads(path.read_text())
    assert told["payload"]["kind"] == "region"
    assert len(told["payload"]["held"]) == 7
    held = [row for row in notices if row.kind == "raised"]
    assert all(row.dropped and row.dropped.startswith("held: probably atmosphere") for row in held)

    one = COPIES[0]
    with crowd.opened() as (s, _):
        [row] = s.ledger.episodes(one)
        model = s.ledger.current(one, "interval")
        later = ScoreRow(
            row.peak_pair,
            model.model,
            row.peak_score + 1.0,
            model.threshold,
            0,
            100.0,
            "S",
            after=9,
            inputs=1,
            seen=Interval.of(row.peak_pair).last.replace(month=12),
            return_period=50.0,
        )
        s.ledger.record_scores(one, [later])
    _, episodes, notices = flagged_and_held(crowd)
    assert next(row.state for row in episodes if row.stack == one) is FlagState.RAISED
    [notice] = [row for row in notices if row.stack == one]
    assert (notice.dropped, notice.kind, json.loads(notice.payload)["kind"]) == (None, "released", "released")
    assert "It still stands at the next assessment" in "".join(path.read_text() for path in crowd.notices)
    assert {row.stack: row.state for row in episodes if row.stack != one} == dict.fromkeys(
        [RISING, *COPIES[1:]], FlagState.NOTED
    )


def test_a_flag_that_stands_out_is_told_with_the_number_of_the_others(crowd, monkeypatch):
    monkeypatch.setattr(flags_together, "FAR_ABOVE", 1e-12)
    _, episodes, notices = flagged_and_held(crowd)
    assert all(row.state is not FlagState.NOTED for row in episodes)
    assert len(notices) == 7
    payloads = [json.loads(path.read_text())["payload"] for path in crowd.notices]
    assert {(told["others_over"], told["others_seen"]) for told in payloads} == {(6, 7)}  # Quiet Peak is not over


def test_holding_twice_or_after_a_delivery_changes_nothing(crowd):
    flagged_and_held(crowd)
    with crowd.opened() as (s, run):
        hold_together(s, run)
        assert s.ledger.hold(FlagName(RISING, 1), "again", night=AS_OF) == 0
    assert len(crowd.notices) == 1


def test_the_ledger_says_who_was_over_on_a_date(crowd):
    with crowd.opened() as (s, _):
        flagged = [row for row in s.ledger.assessments(RISING, "interval") if row.over]
        day = Interval.of(flagged[0].pair).last
        found = s.ledger.assessed_on(day, "interval", known=AS_OF)
        assert RISING not in s.ledger.assessed_on(day, "interval", known=min(Interval.of(flagged[0].pair).days))
        slow: dict[str, bool] = {}
        for name in s.by_stack:
            for row in s.ledger.assessments(name, "interval"):
                if day in Interval.of(row.pair).days and row.verdict == 0:
                    slow[name] = slow.get(name, False) or row.over
        near = s.ledger.assessed_near([day, day], "interval", known=AS_OF)
    assert found == slow
    assert {one.stack: any(other.over for other in near if other.stack == one.stack) for one in near} == slow
    assert all(day in one.days for one in near)
    assert len({(one.stack, one.days) for one in near}) == len(near)


def test_the_ledger_says_which_satellites_came_on_the_nights_from_a_day_on(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/ledger.sqlite") as ledger:
        for night, came in ((OTHER, {"20260218": 3}), (DAY, {"20260302": 1, "20260301": 0})):
            ledger.record_state(RISING, StackState(night, acquisitions=came))
        assert ledger.satellites(OTHER) == {RISING: {OTHER: "S1C", DAY: "S1A"}}  # of the third one nobody says it
        assert ledger.satellites(DAY) == {RISING: {DAY: "S1A"}}


def test_the_notice_of_a_region_is_in_the_language_of_its_channel(crowd):
    crowd.change('kind = "files"', 'kind = "files"\nlanguage = "es"')
    flagged_and_held(crowd)
    [path] = crowd.notices
    said = json.loads(path.read_text())
    assert said["subject"].startswith("Cribado: probablemente un efecto atmosférico o del procesamiento: 7 de ")
    assert "Estos avisos quedan como anotados." in said["body"]
    assert said["language"] == "es"
