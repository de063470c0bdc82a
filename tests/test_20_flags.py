"""The flag's life: raised once, cleared once, silent in between."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insar_anomaly.flags.growth import AREA_FACTOR, AREA_LEAST_KM2
from insar_anomaly.flags.machine import Evidence, Notice, State, acknowledged, agreeing, run, step
from insar_anomaly.flags.states import FlagState

DAY0 = date(2020, 1, 1)
CLEAR = 60
RELAXED = settings(deadline=None)


def pair(reference: int, secondary: int, score: float = 2.0) -> Evidence:
    """A pair between two days after DAY0, with threshold 1."""
    return Evidence(DAY0 + timedelta(days=reference), DAY0 + timedelta(days=secondary), score, 1.0)


def look(interval: int, after: int, score: float = 2.0) -> Evidence:
    """A look at the interval that begins so many times twelve days after DAY0, with `after` acquisitions after it."""
    start, seen = 12 * interval, DAY0 + timedelta(days=12 * (interval + after))
    return replace(pair(start, start + 12, score), seen=seen)


def kinds(notices: tuple[Notice, ...]) -> list[tuple[str, int]]:
    return [(notice.kind, notice.episode.number) for notice in notices]


pairs = st.builds(
    lambda reference, length, score: pair(reference, reference + length, score),
    st.integers(0, 900),
    st.sampled_from([6, 12, 24, 48, 180, 365]),
    st.sampled_from([0.5, 1.0, 1.5, 2.0, math.nan]),
)
series = st.lists(pairs, max_size=40)


def test_the_threshold_itself_is_not_over():
    assert not pair(0, 12, 1.0).over
    assert pair(0, 12, 1.0001).over
    assert not pair(0, 12, math.nan).over


def test_raised_once_and_cleared_by_the_first_quiet_pair_after_the_span():
    state, notices = run(State(), [pair(0, 12), pair(12, 24, 3.0), pair(24, 36, 0.5)], clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1)]
    assert state.open is not None
    assert (state.open.pairs_over, state.open.peak_score, state.open.peak_pair) == (2, 3.0, "20200113_20200125")
    assert (state.open.since, state.open.until) == (DAY0, DAY0 + timedelta(days=24))

    state, notices = step(state, pair(72, 84, 0.5), clear_after_days=CLEAR)
    assert notices == ()  # 84 = 24 + 60: not yet past
    state, notices = step(state, pair(73, 85, 0.5), clear_after_days=CLEAR)
    assert kinds(notices) == [("cleared", 1)]
    assert state.open is None
    assert state.episodes[0].cleared == DAY0 + timedelta(days=85)


def test_a_gap_closes_the_old_episode_and_raises_a_new_one():
    state, notices = run(State(), [pair(0, 12), pair(200, 212)], clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1), ("cleared", 1), ("raised", 2)]
    assert [episode.cleared is None for episode in state.episodes] == [False, True]
    assert {notice.pair for notice in notices[1:]} == {"20200719_20200731"}


def test_a_pair_that_reaches_into_a_closed_episode_gives_no_notice():
    state, _ = run(State(), [pair(0, 12), pair(100, 112, 0.5)], clear_after_days=CLEAR)
    after, notices = step(state, pair(6, 140, 9.0), clear_after_days=CLEAR)
    assert notices == ()
    (episode,) = after.episodes
    assert (episode.pairs_over, episode.peak_score) == (2, 9.0)
    assert (episode.since, episode.until, episode.cleared) == (
        state.episodes[0].since,
        state.episodes[0].until,
        state.episodes[0].cleared,
    )


def test_a_pair_that_reaches_into_a_closed_episode_does_not_lengthen_the_open_one():
    state, _ = run(State(), [pair(0, 12), pair(100, 112, 0.5), pair(120, 132)], clear_after_days=CLEAR)
    after, notices = step(state, pair(6, 180), clear_after_days=CLEAR)
    assert notices == ()
    assert after.open == state.open
    assert after.episodes[0].pairs_over == 2


def test_touching_is_not_overlapping():
    state, _ = run(State(), [pair(0, 12), pair(100, 112, 0.5)], clear_after_days=CLEAR)
    _, notices = step(state, pair(12, 136), clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 2)]


def test_history_that_arrives_late_is_an_episode_of_its_own_and_leaves_the_open_one_as_it_is():
    state, _ = run(State(), [pair(500, 512)], clear_after_days=CLEAR)
    after, notices = step(state, pair(0, 12), clear_after_days=CLEAR)
    assert after.open == state.open
    assert kinds(notices) == [("raised", 2), ("cleared", 2)]
    assert (after.episodes[1].since, after.episodes[1].until) == (DAY0, DAY0 + timedelta(days=12))
    again, notices = step(after, pair(6, 18), clear_after_days=CLEAR)
    assert (again.episodes[1].pairs_over, notices) == (2, ())


def test_a_late_pair_just_before_the_open_episode_makes_that_begin_earlier():
    state, _ = run(State(), [pair(100, 112)], clear_after_days=CLEAR)
    after, notices = step(state, pair(76, 88), clear_after_days=CLEAR)
    assert notices == ()
    assert after.open is not None
    assert (after.open.since, after.open.until) == (DAY0 + timedelta(days=76), DAY0 + timedelta(days=112))


def test_a_late_pair_does_not_join_the_open_episode_over_a_closed_one():
    state, _ = run(State(), [pair(20, 30), pair(70, 130)], clear_after_days=CLEAR)
    assert [(e.since - DAY0).days for e in state.episodes] == [20, 70]
    after, notices = step(state, pair(0, 12), clear_after_days=CLEAR)
    assert after.open == state.open
    assert kinds(notices) == [("raised", 3), ("cleared", 3)]


def test_a_pair_that_was_counted_before_is_not_counted_again():
    state, _ = run(State(), [pair(0, 12), pair(12, 24)], clear_after_days=CLEAR)
    after, notices = step(state, replace(pair(12, 24), threshold=1.5, counted=True), clear_after_days=CLEAR)
    assert (after, notices) == (state, ())


def test_nan_is_no_evidence_that_the_ground_is_quiet():
    state, _ = run(State(), [pair(0, 12)], clear_after_days=CLEAR)
    assert step(state, pair(100, 112, math.nan), clear_after_days=CLEAR) == (state, ())


def test_an_interval_that_does_not_stay_over_is_withdrawn_at_once():
    state, notices = run(State(), [look(5, 1)], clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1)]
    state, notices = step(state, look(5, 2, 0.5), clear_after_days=CLEAR)
    assert kinds(notices) == [("cleared", 1)]
    (episode,) = state.episodes
    assert episode.state is FlagState.WITHDRAWN
    assert episode.cleared == look(5, 2).seen  # the day on which the acquisition came that took it back


def test_an_episode_stands_as_long_as_one_of_its_intervals_does():
    looks = [look(5, 1), look(6, 1), look(5, 2, 0.5), look(6, 2), look(5, 3, 0.5), look(6, 3, 0.9)]
    *before, last = looks
    state, notices = run(State(), before, clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1)]
    assert state.open is not None
    assert state.open.standing == {look(6, 1).key}
    state, notices = step(state, last, clear_after_days=CLEAR)
    assert kinds(notices) == [("cleared", 1)]
    assert state.episodes[0].state is FlagState.WITHDRAWN


def test_what_rises_again_after_a_withdrawal_opens_the_same_flag_again():
    looks = [look(5, 1, 3.0), look(5, 2, 0.5), look(5, 3)]
    state, notices = run(State(), looks, clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1), ("cleared", 1), ("reopened", 1)]
    [episode] = state.episodes
    assert state.open == episode
    assert (episode.state, episode.peak_score, episode.told, episode.withdrawals) == (FlagState.RAISED, 2.0, 2.0, 1)
    state, notices = run(state, [look(5, 4, 0.5), look(5, 5)], clear_after_days=CLEAR)
    assert kinds(notices) == [("cleared", 1), ("reopened", 1)]


def test_what_rises_beside_a_withdrawn_flag_is_a_flag_of_its_own():
    state, notices = run(State(), [look(5, 1), look(5, 2, 0.5), look(6, 2)], clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1), ("cleared", 1), ("raised", 2)]
    assert [episode.state for episode in state.episodes] == [FlagState.WITHDRAWN, FlagState.RAISED]


def test_a_withdrawn_flag_of_which_nobody_was_told_stands_again_without_a_word_and_is_raised_when_it_tells():
    below = replace(look(5, 1, 1.5), level=LEVEL)
    state, notices = run(State(), [below, look(5, 2, 0.5), replace(look(5, 3, 1.5), level=LEVEL)], clear_after_days=CLEAR)
    assert notices == ()
    assert [episode.state for episode in state.episodes] == [FlagState.NOTED]
    state, notices = step(state, replace(look(5, 4, 2.5), level=LEVEL), clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1)]


NIGHT = DAY0 + timedelta(days=500)


def corrected(one: Evidence, score: float) -> Evidence:
    """The same evidence, assessed again on corrected data."""
    return replace(one, score=score, again=True, counted=True)


def test_a_flag_that_had_been_cleared_is_withdrawn_on_the_night_and_cleared_as_before_when_its_pair_returns():
    state, _ = run(State(), [pair(0, 12), pair(100, 112, 0.5)], clear_after_days=CLEAR)
    gone, notices = step(state, corrected(pair(0, 12), -math.inf), clear_after_days=CLEAR, today=NIGHT)
    assert kinds(notices) == [("cleared", 1)]
    [episode] = gone.episodes
    assert (episode.state, episode.cleared) == (FlagState.WITHDRAWN, NIGHT)
    assert episode.cleared_before == state.episodes[0].cleared
    back, notices = step(gone, pair(0, 12), clear_after_days=CLEAR, today=NIGHT)
    assert kinds(notices) == [("reopened", 1)]
    assert back.episodes == (replace(state.episodes[0], withdrawals=1),)


def test_an_open_flag_that_is_withdrawn_on_corrected_data_is_open_again_when_its_pair_returns():
    state, _ = run(State(), [pair(0, 12), pair(12, 24, 0.5)], clear_after_days=CLEAR)
    gone, _ = step(state, corrected(pair(0, 12), 0.5), clear_after_days=CLEAR, today=NIGHT)
    assert (gone.episodes[0].cleared, gone.episodes[0].cleared_before) == (NIGHT, None)
    back, notices = step(gone, pair(0, 12), clear_after_days=CLEAR, today=NIGHT)
    assert kinds(notices) == [("reopened", 1)]
    assert back.open is not None
    beside, _ = step(gone, pair(400, 412), clear_after_days=CLEAR)
    back, notices = step(beside, pair(0, 12), clear_after_days=CLEAR)
    assert kinds(notices) == [("reopened", 1)]
    assert back.open == beside.open  # there is never more than one
    assert back.episodes[0].state is FlagState.CLEARED


@pytest.mark.parametrize("state", FlagState)
def test_a_flag_is_open_or_has_a_day_on_which_it_ended(state):
    state_of, _ = run(State(), [pair(0, 12)], clear_after_days=CLEAR)
    episode = state_of.open
    assert episode is not None
    right, wrong = (None, DAY0) if state.open else (DAY0, None)
    assert State((replace(episode, state=state, cleared=right),)).open == (
        replace(episode, state=state) if state.open else None
    )
    with pytest.raises(ValueError, match=f"flag 1 is {state} and its day of clearing is {wrong}"):
        replace(episode, state=state, cleared=wrong)


def test_a_pair_that_is_judged_again_and_found_quiet_withdraws_nothing():
    state, _ = run(State(), [pair(0, 12)], clear_after_days=CLEAR)
    after, notices = step(state, replace(pair(0, 12), threshold=3.0, counted=True), clear_after_days=CLEAR)
    assert (after, notices) == (state, ())


looks = st.lists(
    st.builds(look, st.integers(0, 30), st.integers(1, 3), st.sampled_from([0.5, 1.5, 2.0])),
    max_size=40,
    unique_by=lambda one: (one.reference, one.seen),
)


@RELAXED
@given(looks)
def test_night_by_night_and_all_at_once_end_alike(evidence):
    """Each look is taken on the day it can be made: a backfill finds what the nights would have found."""
    state, notices = State(), ()
    for day in sorted({one.seen for one in evidence}):
        state, new = run(state, [one for one in evidence if one.seen == day], clear_after_days=CLEAR)
        notices += new
    assert run(State(), evidence, clear_after_days=CLEAR) == (state, notices)


@RELAXED
@given(looks)
def test_an_open_episode_is_one_for_which_something_stands(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    newest = {one.key: one for one in sorted(evidence, key=lambda e: e.arrival)}
    for episode in state.episodes:
        if episode.cleared is None:
            assert episode.standing
            assert all(newest[name].over for name in episode.standing)
        assert (episode.state is FlagState.WITHDRAWN) <= (episode.cleared is not None and not episode.standing)


@RELAXED
@given(st.lists(st.builds(look, st.integers(0, 6), st.integers(1, 9), st.sampled_from([0.5, 1.5, 2.0])), max_size=40))
def test_every_flag_is_raised_once_and_then_ends_and_stands_again_in_turns(evidence):
    state, notices = run(State(), evidence, clear_after_days=CLEAR)
    told: dict[int, list[str]] = {}
    for notice in notices:
        told.setdefault(notice.episode.number, []).append(notice.kind)
    for episode in state.episodes:
        first, *rest = told[episode.number]
        assert first == "raised"
        assert rest == [("cleared", "reopened")[n % 2] for n in range(len(rest))]
        assert episode.state.open == (len(rest) % 2 == 0)
        assert rest.count("reopened") == episode.withdrawals - episode.withdrawn


@RELAXED
@given(series)
def test_never_two_open_episodes_and_never_an_unmatched_notice(evidence):
    state, raised, cleared = State(), Counter(), Counter()
    for one in sorted(evidence, key=lambda e: (e.secondary, e.reference)):
        state, notices = step(state, one, clear_after_days=CLEAR)
        raised.update(notice.episode.number for notice in notices if notice.kind == "raised")
        cleared.update(notice.episode.number for notice in notices if notice.kind == "cleared")
        assert sum(episode.cleared is None for episode in state.episodes) <= 1
        assert raised.total() - cleared.total() == (state.open is not None)
        assert cleared <= raised
    assert max(raised.values(), default=1) == 1
    assert set(raised) == {episode.number for episode in state.episodes}


@RELAXED
@given(series)
def test_one_by_one_equals_run(evidence):
    state, notices = State(), ()
    for one in sorted(evidence, key=lambda e: (e.secondary, e.reference)):
        state, new = step(state, one, clear_after_days=CLEAR)
        notices += new
    assert run(State(), evidence, clear_after_days=CLEAR) == (state, notices)


@RELAXED
@given(series)
def test_episodes_never_overlap_in_data_time(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    for before, after in zip(state.episodes, state.episodes[1:], strict=False):
        assert before.until <= after.since
        assert before.cleared is not None
        assert before.until < before.cleared <= after.until


@RELAXED
@given(series)
def test_never_flagged_never_noticed(evidence):
    quiet = [one for one in evidence if not one.over]
    assert run(State(), quiet, clear_after_days=CLEAR) == (State(), ())


@RELAXED
@given(series)
def test_every_pair_over_is_counted_once(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    assert sum(episode.pairs_over for episode in state.episodes) == sum(one.over for one in evidence)


@RELAXED
@given(series, st.randoms(use_true_random=False))
def test_in_whatever_order_pairs_come_every_pair_over_is_in_an_episode_and_no_notice_is_unmatched(evidence, random):
    random.shuffle(evidence)
    state, balance = State(), Counter()
    for one in evidence:
        state, notices = step(state, one, clear_after_days=CLEAR)
        balance.update({"raised": 1, "cleared": -1}[n.kind] for n in notices)
        assert sum(episode.cleared is None for episode in state.episodes) <= 1
    assert balance[1] - balance[-1] == (state.open is not None)
    assert sum(episode.pairs_over for episode in state.episodes) == sum(one.over for one in evidence)


# -- noted, raised, escalated, acknowledged --------------------------------------------------------------------------

LEVEL, GROWTH = 2.0, 0.5


def levelled(reference: int, score: float) -> Evidence:
    """A pair of twelve days with threshold 1, told from 2 on, ten times as rare every half."""
    return replace(pair(reference, reference + 12, score), level=LEVEL, growth=GROWTH)


levels = st.lists(
    st.builds(levelled, st.integers(0, 60).map(lambda n: 12 * n), st.sampled_from([0.5, 1.5, 2.0, 2.5, 3.0, 6.0, 20.0])),
    max_size=30,
)


@pytest.mark.parametrize(
    ("scores", "state", "told"),
    [
        ([1.5], "noted", []),
        ([1.5, 1.9, 2.0], "noted", []),  # the level itself is not over
        ([1.5, 2.1], "raised", ["raised"]),
        ([2.1, 1.5, 2.1, 1.5, 2.1], "raised", ["raised"]),  # a swing about the level raises one flag
        ([2.1, 2.5], "raised", ["raised"]),  # not ten times as rare
        ([2.1, 3.1], "raised", ["raised"]),  # its excess is not twice what was told
        ([2.1, 3.3], "escalated", ["raised", "escalated"]),
        ([2.1, 3.3, 3.2, 3.3], "escalated", ["raised", "escalated"]),
        ([2.1, 3.3, 20.0], "escalated", ["raised", "escalated", "escalated"]),
    ],
)
def test_what_is_told_of_a_series(scores, state, told):
    found, notices = run(State(), [levelled(12 * n, score) for n, score in enumerate(scores)], clear_after_days=CLEAR)
    assert found.open is not None
    assert found.open.state == state
    assert [notice.kind for notice in notices] == told


def test_a_noted_flag_ends_without_a_word():
    state, notices = run(State(), [levelled(0, 1.5), levelled(200, 0.5)], clear_after_days=CLEAR)
    assert notices == ()
    assert state.episodes[0].state is FlagState.CLEARED
    assert state.episodes[0].told is None


def test_an_acknowledged_flag_stays_so_at_the_next_assessment_and_not_when_it_grows():
    state, _ = run(State(), [levelled(0, 2.1)], clear_after_days=CLEAR)
    state = acknowledged(state, 1)
    state, notices = step(state, levelled(12, 2.4), clear_after_days=CLEAR)
    assert (state.episodes[0].state, notices) == (FlagState.ACKNOWLEDGED, ())
    grown, notices = step(state, levelled(24, 9.0), clear_after_days=CLEAR)
    assert grown.episodes[0].state is FlagState.ESCALATED
    assert kinds(notices) == [("escalated", 1)]
    over, notices = step(state, levelled(200, 0.5), clear_after_days=CLEAR)
    assert over.episodes[0].state is FlagState.CLEARED
    assert kinds(notices) == [("cleared", 1)]


def test_what_is_only_noted_or_has_ended_is_not_changed_by_an_acknowledgement():
    noted, _ = run(State(), [levelled(0, 1.5)], clear_after_days=CLEAR)
    assert acknowledged(noted, 1) == noted
    ended, _ = run(State(), [levelled(0, 3.0), levelled(200, 0.5)], clear_after_days=CLEAR)
    assert acknowledged(ended, 1) == ended
    with pytest.raises(LookupError, match="no flag 2"):
        acknowledged(noted, 2)


def test_a_noted_flag_that_was_over_and_tells_late_is_raised_and_cleared():
    state, _ = run(State(), [levelled(0, 1.5), levelled(200, 0.5)], clear_after_days=CLEAR)
    after, notices = step(state, replace(levelled(3, 9.0), again=False), clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1), ("cleared", 1)]
    assert after.open is None


def test_a_level_below_the_threshold_is_a_mistake():
    with pytest.raises(ValueError, match="below the threshold"):
        replace(pair(0, 12), level=0.5)


@RELAXED
@given(levels, st.randoms(use_true_random=False), st.lists(st.integers(0, 29), max_size=5))
def test_nothing_is_told_twice_and_no_end_without_a_beginning_whatever_comes_and_whoever_acknowledges(
    evidence, random, acks
):
    random.shuffle(evidence)
    state, told = State(), Counter()
    peak: dict[int, float] = {}
    for turn, one in enumerate(evidence):
        before = state
        state, notices = step(state, one, clear_after_days=CLEAR)
        for notice in notices:
            number = notice.episode.number
            told[number, notice.kind] += 1
            if notice.kind == "escalated":
                assert one.score >= peak[number] + GROWTH
                assert notice.growth == ("peak",)
            if notice.kind == "cleared":
                assert told[number, "raised"] == 1
            else:
                peak[number] = one.score
        if not one.over:
            assert {e.number: e.state for e in state.episodes if e.state.open} == {
                e.number: e.state for e in before.episodes if e.state.open and state.episodes[e.number - 1].state.open
            }
        if turn in acks and state.open is not None:
            was = state.open
            state = acknowledged(state, was.number)
            assert state.open is not None
            assert state.open.state is (FlagState.ACKNOWLEDGED if was.state.told else FlagState.NOTED)
    for episode in state.episodes:
        assert told[episode.number, "raised"] == (episode.told is not None)
        assert told[episode.number, "cleared"] == (episode.told is not None and not episode.state.open)


# -- more ground, and the other direction ----------------------------------------------------------------------------


def wide(reference: int, score: float, area: float | None) -> Evidence:
    """A pair of twelve days that is told from 2 on, with its area over the threshold."""
    return replace(levelled(reference, score), area=area)


@pytest.mark.parametrize(
    ("series", "growth"),
    [
        ([(2.1, 4.0), (2.1, 8.0)], [("area",)]),
        ([(2.1, 4.0), (2.1, 7.9)], []),
        ([(2.1, 0.5), (2.1, 2.4)], []),  # many times as much, and still next to nothing
        ([(2.1, 0.5), (2.1, 2.5)], [("area",)]),
        ([(2.1, 4.0), (1.9, 80.0)], []),  # nobody would be told of this one by itself
        ([(2.1, 4.0), (3.3, 8.0)], [("peak", "area")]),
        ([(2.1, 4.0), (3.3, 3.0), (3.3, 7.9)], [("peak",)]),  # the largest area that was told counts
        ([(2.1, 4.0), (2.1, 8.0), (2.1, 8.0), (2.1, 5.0), (2.1, 9.0)], [("area",)]),  # no flapping
        ([(2.1, 4.0), (2.1, 8.0), (2.1, 16.0)], [("area",), ("area",)]),
        ([(2.1, None), (2.1, 4.0), (2.1, 8.0)], [("area",)]),  # the first area that is known is what later ones grow from
        ([(2.1, 4.0), (2.1, None)], []),
    ],
)
def test_a_flag_escalates_where_the_area_over_the_threshold_grows(series, growth):
    evidence = [wide(12 * n, score, area) for n, (score, area) in enumerate(series)]
    _, notices = run(State(), evidence, clear_after_days=CLEAR)
    assert [notice.growth for notice in notices if notice.kind == "escalated"] == growth


def test_areas_under_different_thresholds_are_not_compared():
    state, _ = run(State(), [wide(0, 2.1, 4.0)], clear_after_days=CLEAR)
    lower = replace(wide(12, 2.1, 40.0), threshold=0.8)
    _, notices = step(state, lower, clear_after_days=CLEAR)
    assert notices == ()


@RELAXED
@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0.5, 1.5, 2.5, 6.0]), st.floats(0, 1e3)), max_size=30))
def test_growth_is_told_a_few_times_however_fast(drawn):
    """Each notice of growth needs twice what was told of at least one of the two."""
    state, notices = run(State(), [wide(12 * n, score, area) for n, score, area in drawn], clear_after_days=CLEAR)
    for episode in state.episodes:
        mine = [notice for notice in notices if notice.episode.number == episode.number]
        areas = [notice.episode.area for notice in mine if "area" in notice.growth]
        assert all(later >= max(AREA_FACTOR * before, before + AREA_LEAST_KM2) for before, later in pairwise(areas))
        assert len(areas) <= 1 + math.log2(1e3 / AREA_LEAST_KM2)


def told_flag(reference: int, score: float = 2.5) -> State:
    return run(State(), [levelled(reference, score)], clear_after_days=CLEAR)[0]


@pytest.mark.parametrize(
    ("mine", "other", "agrees"),
    [
        (told_flag(0), told_flag(6), True),
        (told_flag(0), told_flag(12), False),  # touching is not overlapping
        (told_flag(0), told_flag(6, 1.5), False),  # only noted
        (told_flag(0, 1.5), told_flag(6), False),
        (told_flag(0), State(), False),
        (told_flag(0), run(told_flag(6), [levelled(200, 0.5)], clear_after_days=CLEAR)[0], True),  # cleared: it stood
        (run(told_flag(0), [levelled(200, 0.5)], clear_after_days=CLEAR)[0], told_flag(6), False),
    ],
)
def test_a_flag_escalates_where_one_of_the_other_direction_shares_its_time(mine, other, agrees):
    after, notices = agreeing(mine, other.episodes)
    assert kinds(notices) == ([("escalated", 1)] if agrees else [])
    assert [notice.growth for notice in notices] == [("direction",)] * agrees
    assert (after != mine) == agrees
    assert agreeing(after, other.episodes) == (after, ())  # told once


def test_a_withdrawn_flag_of_the_other_direction_does_not_agree():
    gone, _ = run(State(), [look(5, 1), look(5, 2, 0.5)], clear_after_days=CLEAR)
    assert agreeing(told_flag(60), gone.episodes) == (told_flag(60), ())


def test_an_acknowledged_flag_is_escalated_by_the_other_direction_and_the_next_assessment_says_nothing():
    state, _ = agreeing(acknowledged(told_flag(0), 1), told_flag(6).episodes)
    assert state.episodes[0].state is FlagState.ESCALATED
    assert step(acknowledged(state, 1), levelled(12, 2.4), clear_after_days=CLEAR)[1] == ()
