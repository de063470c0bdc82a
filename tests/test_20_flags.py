"""The flag's life: raised once, cleared once, silent in between."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insar_anomaly.flags.machine import Evidence, Notice, State, run, step
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
