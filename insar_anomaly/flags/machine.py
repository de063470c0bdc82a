"""The flag's life as a pure function: (state, evidence) -> (state, notices).

A *flag* says "this stack does not look like its quiet self": it is a screening flag, never an alert level. One flag covers
one episode: it is raised by the first evidence over the threshold, stays silent while more of it arrives, and is cleared
when `clear_after_days` of data time have passed without any. Evidence is a pair, or an assessment at an interval between two
acquisitions; an interval is assessed again as more acquisitions come, and where none of an episode's intervals is over the
threshold any more, the episode is *withdrawn* on that day, since no evidence is left. What was corrected by its provider is
assessed again, too: then even a single pair, and an episode that was cleared long ago, can lose its evidence. Evidence that
comes back into the time of a withdrawn episode opens that one again: one event has one flag, and people are told that it
*stands again*.

Evidence over the threshold makes an episode; it is *noted*. Evidence over the level from which on flags are told makes it
*raised*, and from then on its growth and its end are told. The level is never below the threshold, and once a flag is raised
the threshold alone holds it: a score that swings about the level raises one flag.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, timedelta

from insar_anomaly.flags.episode import Episode, Evidence, Growth, Notice, State, names_of
from insar_anomaly.flags.growth import agreeing, grown_by, told_now
from insar_anomaly.flags.states import FlagState

__all__ = [
    "Episode",
    "Evidence",
    "Growth",
    "Notice",
    "State",
    "acknowledged",
    "agreeing",
    "names_of",
    "run",
    "step",
    "with_peak",
]


def step(
    state: State, evidence: Evidence, *, clear_after_days: int, today: date | None = None
) -> tuple[State, tuple[Notice, ...]]:
    """Take one pair into account.

    Parameters
    ----------
    state : the stack's episodes so far
    evidence : one scored pair or assessment; feed them in order of their `arrival`
    clear_after_days : days of data time without a pair over the threshold after which an episode is cleared
    today : the night's date: that of a withdrawal on corrected data; None takes the evidence's own

    A pair that reaches back into an episode already cleared saw that episode's motion: it is absorbed without a notice and
    without making the episode longer, so that a long pair cannot hide what comes later. A pair that arrives late and lies
    wholly before the open episode makes that one begin earlier where it would have done so in time; else it is history: an
    episode of its own, raised and cleared on the same day. An interval that falls below the threshold at a later assessment
    no longer stands for the open episode; where nothing else does, that is withdrawn. What rises over the threshold later in
    the time of a withdrawn episode opens it again under its number; one that had been cleared is cleared again as it was.
    Evidence that is assessed `again` stays with the episode that it stands for. A NaN score or threshold is no evidence
    either way.

    An episode that was only noted ends without a notice. One that was told of is escalated where it has grown, see
    `growth.grown_by`: what has to be exceeded doubles each time, so growth is told a few times, however fast.
    """
    if math.isnan(evidence.score) or math.isnan(evidence.threshold):
        return state, ()
    current = state.open
    notices: tuple[Notice, ...] = ()
    if current is not None and evidence.secondary > current.until + timedelta(days=clear_after_days):
        closed = replace(current, state=FlagState.CLEARED, cleared=evidence.secondary)
        state, current, notices = _replace(state, closed), None, _ended(closed, evidence)
    if not evidence.over:
        return _fallen(state, current, evidence, notices, today=today)
    if evidence.again and (
        holder := next((e for e in state.episodes if e.state.stands and evidence.key in e.standing), None)
    ):
        return _told_of(state, _absorbed(holder, evidence), evidence, notices)
    for episode in reversed(state.episodes):
        if not episode.state.open and episode.state.stands and episode.overlaps(evidence):
            return _told_of(state, _absorbed(episode, evidence), evidence, notices)
    if current is not None and not _is_history(state, current, evidence, clear_after_days):
        return _told_of(state, _grown(current, evidence), evidence, notices)
    if back := next((e for e in reversed(state.episodes) if e.withdrawn and e.overlaps(evidence)), None):
        return _told_of(state, _reopened(back, evidence, is_open=current is None), evidence, notices)
    fresh = Episode(
        number=len(state.episodes) + 1,
        since=evidence.reference,
        until=evidence.secondary,
        first_pair=evidence.pair,
        peak_pair=evidence.pair,
        peak_score=evidence.score,
        threshold=evidence.threshold,
        standing=frozenset({evidence.key}),
        state=FlagState.NOTED if current is None else FlagState.CLEARED,
        cleared=None if current is None else evidence.secondary,
    )
    return _told_of(State((*state.episodes, fresh)), fresh, evidence, notices)


def acknowledged(state: State, number: int) -> State:
    """The episodes after a person has acknowledged one of them. What is noted or has ended keeps its state.

    Raises
    ------
    LookupError
        where there is no such episode.
    """
    episode = next((e for e in state.episodes if e.number == number), None)
    if episode is None:
        raise LookupError(f"there is no flag {number}; flags are numbered 1 to {len(state.episodes)}")
    return _replace(state, replace(episode, state=FlagState.ACKNOWLEDGED) if episode.state.told else episode)


def with_peak(episode: Episode, over: Mapping[str, float]) -> Episode:
    """The episode with the highest score that stands for it now; `over` (name -> score) may have none of those."""
    standing = [name for name in names_of(episode.standing) if name in over]
    if not standing:
        return episode
    peak = max(standing, key=lambda name: over[name])
    return replace(episode, peak_pair=peak, peak_score=over[peak])


def run(
    state: State, evidence: Iterable[Evidence], *, clear_after_days: int, today: date | None = None
) -> tuple[State, tuple[Notice, ...]]:
    """`step` over many pairs or assessments, sorted here by `arrival`."""
    notices: list[Notice] = []
    for one in sorted(evidence, key=lambda e: e.arrival):
        state, new = step(state, one, clear_after_days=clear_after_days, today=today)
        notices.extend(new)
    return state, tuple(notices)


def _fallen(
    state: State, current: Episode | None, evidence: Evidence, notices: tuple[Notice, ...], *, today: date | None
) -> tuple[State, tuple[Notice, ...]]:
    """An assessment below the threshold: its interval stands for the open episode no longer, a corrected one for none."""
    holders = reversed(state.episodes) if evidence.again else filter(None, (current,) if evidence.seen else ())
    holder = next((e for e in holders if e.state.stands and evidence.key in e.standing), None)
    if holder is None:
        return state, notices
    fewer = max(0, holder.pairs_over - 1) if evidence.again else holder.pairs_over
    left = replace(holder, standing=holder.standing - {evidence.key}, pairs_over=fewer)
    if left.standing:
        return _replace(state, left), notices
    day = evidence.seen or evidence.secondary
    left = replace(
        left,
        state=FlagState.WITHDRAWN,
        cleared=max(day, today or day, holder.cleared or day) if evidence.again else day,
        cleared_before=holder.cleared,
        withdrawals=holder.withdrawals + (holder.told is not None),
    )
    return _replace(state, left), (*notices, *_ended(left, evidence))


def _reopened(episode: Episode, evidence: Evidence, *, is_open: bool) -> Episode:
    """A withdrawn episode that evidence speaks for again. Its time is kept, so that all of its event comes back to it."""
    cleared = episode.cleared_before if is_open else episode.cleared_before or evidence.secondary
    return replace(
        episode,
        since=min(episode.since, evidence.reference) if cleared is None else episode.since,
        until=max(episode.until, evidence.secondary) if cleared is None else episode.until,
        peak_pair=evidence.pair,
        peak_score=evidence.score,
        threshold=evidence.threshold,
        pairs_over=max(1, episode.pairs_over + (not evidence.counted)),
        standing=frozenset({evidence.key}),
        state=FlagState.NOTED if cleared is None else FlagState.CLEARED,
        cleared=cleared,
        cleared_before=None,
        told=None,
        area=None,
        agreed=False,
    )


def _ended(episode: Episode, evidence: Evidence) -> tuple[Notice, ...]:
    """The notice of an episode's end; none where nobody was told of its beginning."""
    return () if episode.told is None else (Notice("cleared", episode, evidence.pair),)


def _told_of(
    state: State, episode: Episode, evidence: Evidence, notices: tuple[Notice, ...]
) -> tuple[State, tuple[Notice, ...]]:
    """The episode, which holds the evidence now, with what people are told of that."""
    if episode.told is None:
        return _begun(state, episode, evidence, notices) if evidence.tells else (_replace(state, episode), notices)
    growth = grown_by(episode, evidence) if episode.state.open else ()
    if not growth:
        first = episode.area is None and evidence.threshold == episode.threshold  # nobody knew an area to compare with
        return _replace(state, replace(episode, area=evidence.area) if first else episode), notices
    known = replace(told_now(episode, evidence), state=FlagState.ESCALATED)
    return _replace(state, known), (*notices, Notice("escalated", known, evidence.pair, growth))


def _begun(
    state: State, episode: Episode, evidence: Evidence, notices: tuple[Notice, ...]
) -> tuple[State, tuple[Notice, ...]]:
    """An episode that people are told of now: for the first time, or as one that stands again."""
    known = told_now(episode, evidence)
    if known.state.open:
        known = replace(known, state=FlagState.RAISED)
    if episode.withdrawals:  # that it was cleared was told long ago
        return _replace(state, known), (*notices, Notice("reopened", known, evidence.pair))
    notices = (*notices, Notice("raised", known, evidence.pair))
    return _replace(state, known), notices if known.state.open else (*notices, *_ended(known, evidence))


def _is_history(state: State, current: Episode, evidence: Evidence, clear_after_days: int) -> bool:
    """True where the pair lies before the open episode and too far from it, or behind another one, to belong to it."""
    if evidence.secondary > current.since:
        return False
    if evidence.secondary + timedelta(days=clear_after_days) < current.since:
        return True
    return any(not e.state.open and evidence.secondary <= e.since < current.since for e in state.episodes)


def _replace(state: State, episode: Episode) -> State:
    return State(tuple(episode if e.number == episode.number else e for e in state.episodes))


def _absorbed(episode: Episode, evidence: Evidence) -> Episode:
    higher = evidence.score > episode.peak_score
    return replace(
        episode,
        pairs_over=episode.pairs_over + (not evidence.counted),
        standing=episode.standing | {evidence.key},
        peak_pair=evidence.pair if higher else episode.peak_pair,
        peak_score=evidence.score if higher else episode.peak_score,
    )


def _grown(episode: Episode, evidence: Evidence) -> Episode:
    return replace(
        _absorbed(episode, evidence),
        since=min(episode.since, evidence.reference),
        until=max(episode.until, evidence.secondary),
    )
