"""The flag's life: raised once, cleared once, silent in between."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_anomaly.flags.machine import Evidence, Notice, State, acknowledged, run, step
from insar_anomaly.flags.states import FlagState

DAY0 = date(2020, 1, 1)
CLEAR = 60


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


def test_what_rises_again_after_a_withdrawal_raises_a_new_flag():
    state, notices = run(State(), [look(5, 1), look(5, 2, 0.5), look(5, 3)], clear_after_days=CLEAR)
    assert kinds(notices) == [("raised", 1), ("cleared", 1), ("raised", 2)]
    assert state.open is not None


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


@given(looks)
def test_night_by_night_and_all_at_once_end_alike(evidence):
    """Each look is taken on the day it can be made: a backfill finds what the nights would have found."""
    state, notices = State(), ()
    for day in sorted({one.seen for one in evidence}):
        state, new = run(state, [one for one in evidence if one.seen == day], clear_after_days=CLEAR)
        notices += new
    assert run(State(), evidence, clear_after_days=CLEAR) == (state, notices)


@given(looks)
def test_an_open_episode_is_one_for_which_something_stands(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    newest = {one.key: one for one in sorted(evidence, key=lambda e: e.arrival)}
    for episode in state.episodes:
        if episode.cleared is None:
            assert episode.standing
            assert all(newest[name].over for name in episode.standing)
        assert (episode.state is FlagState.WITHDRAWN) <= (episode.cleared is not None and not episode.standing)


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


@given(series)
def test_one_by_one_equals_run(evidence):
    state, notices = State(), ()
    for one in sorted(evidence, key=lambda e: (e.secondary, e.reference)):
        state, new = step(state, one, clear_after_days=CLEAR)
        notices += new
    assert run(State(), evidence, clear_after_days=CLEAR) == (state, notices)


@given(series)
def test_episodes_never_overlap_in_data_time(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    for before, after in zip(state.episodes, state.episodes[1:], strict=False):
        assert before.until <= after.since
        assert before.cleared is not None
        assert before.until < before.cleared <= after.until


@given(series)
def test_never_flagged_never_noticed(evidence):
    quiet = [one for one in evidence if not one.over]
    assert run(State(), quiet, clear_after_days=CLEAR) == (State(), ())


@given(series)
def test_every_pair_over_is_counted_once(evidence):
    state, _ = run(State(), evidence, clear_after_days=CLEAR)
    assert sum(episode.pairs_over for episode in state.episodes) == sum(one.over for one in evidence)


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
