"""The flag's life as a pure function: (state, evidence) -> (state, notices).

A *flag* says "this stack does not look like its quiet self": it is a screening flag, never an alert level. One flag covers
one episode: it is raised by the first evidence over the threshold, stays silent while more of it arrives, and is cleared
when `clear_after_days` of data time have passed without any. Evidence is a pair, or an assessment at an interval between two
acquisitions; an interval is assessed again as more acquisitions come, and where none of an episode's intervals is over the
threshold any more, the episode is *withdrawn*: cleared on that day, since no evidence is left. What was corrected by its
provider is assessed again, too: then even a single pair, and an episode that was cleared long ago, can lose its evidence.

Evidence over the threshold makes an episode; it is *noted*. Evidence over the level from which on flags are told makes it
*raised*, and from then on its growth and its end are told. The level is never below the threshold, and once a flag is raised
the threshold alone holds it: a score that swings about the level raises one flag.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from insar_anomaly.flags.states import FlagState
from insar_anomaly.names import Pair

_ASSESSED_AGAIN = " looked at"
"""Marks an interval among the keys of an episode, in the words of the version that first stored them."""


def names_of(keys: Iterable[str]) -> list[str]:
    """Names of the pairs and intervals of an episode's keys, without the mark, in order."""
    return sorted({key.removesuffix(_ASSESSED_AGAIN) for key in keys})


@dataclass(frozen=True)
class Evidence:
    """One scored pair or assessment: its dates, its score and the threshold it is judged by.

    `counted` says that the same pair or interval was over before, at an earlier threshold or assessment: it is not counted
    twice. `seen` is the day from which on an assessment could be made; None for a pair, which is assessed once. `again` says
    that it was over before and is assessed again on corrected data; its score is -inf where there is nothing left to assess.
    `level` is the score from which on people are told, never below the threshold; None is the threshold. `growth` is the
    distance in score by which evidence becomes ten times as rare on quiet ground; infinite where that is unknown.
    """

    reference: date
    secondary: date
    score: float
    threshold: float
    counted: bool = False
    seen: date | None = None
    again: bool = False
    level: float | None = None
    growth: float = math.inf

    def __post_init__(self) -> None:
        if self.level is not None and self.level < self.threshold:
            raise ValueError(f"the level {self.level:g} lies below the threshold {self.threshold:g}")

    @property
    def key(self) -> str:
        """What stands for it in an episode: an interval may have the name of a pair."""
        return self.pair if self.seen is None else f"{self.pair}{_ASSESSED_AGAIN}"

    @property
    def arrival(self) -> tuple[date, bool, date, date]:
        """Its place in time: when it could be made, then its dates; of one day's assessments those over the threshold first.

        Motion between two acquisitions moves on to the next interval as more of them come: whoever took the fallen one
        first would withdraw a flag and raise it again on the same day.
        """
        return self.seen or self.secondary, self.seen is not None and not self.over, self.secondary, self.reference

    @property
    def over(self) -> bool:
        """True where the score is over the threshold. A NaN score is never evidence; ask for its verdict instead."""
        return self.score > self.threshold

    @property
    def tells(self) -> bool:
        """True where the score is over the level from which on people are told."""
        return self.score > (self.threshold if self.level is None else self.level)

    @property
    def pair(self) -> str:
        """`YYYYMMDD_YYYYMMDD`, earlier date first."""
        return Pair(self.reference, self.secondary).name


@dataclass(frozen=True)
class Episode:
    """A span of data time in which the stack was flagged.

    `number` counts the stack's episodes from 1; `since` is the first reference date and `until` the last secondary date
    of the pairs over the threshold; `state` says where the flag stands; `cleared` is the day on which it ended, the
    secondary date of the pair that closed it (None while the state is an open one; its own `until` where it was history when
    it was raised). `standing` names the evidence that is over at its last assessment. `told` is the highest score that
    people were told of, None as long as the episode is only noted.

    Raises
    ------
    ValueError : the state is an open one and `cleared` is a date, or the other way round; or it is a told one and `told` is
        None
    """

    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    threshold: float
    pairs_over: int = 1
    state: FlagState = FlagState.NOTED
    cleared: date | None = None
    standing: frozenset[str] = frozenset()
    told: float | None = None

    def __post_init__(self) -> None:
        if self.state.open != (self.cleared is None):
            raise ValueError(f"flag {self.number} is {self.state} and its day of clearing is {self.cleared}")
        if self.state.told and self.told is None:
            raise ValueError(f"flag {self.number} is {self.state} and has no score of a notice")

    @property
    def withdrawn(self) -> bool:
        """True where nothing speaks for the flag any more."""
        return not self.state.stands

    def overlaps(self, evidence: Evidence) -> bool:
        """True where the pair spans part of this episode's time, so that it saw the same ground motion."""
        return evidence.reference < self.until and self.since < evidence.secondary


@dataclass(frozen=True)
class State:
    """All episodes of one stack, oldest first. `State()` is a stack never flagged."""

    episodes: tuple[Episode, ...] = ()

    @property
    def open(self) -> Episode | None:
        """The episode that is open now, if any."""
        return next((e for e in reversed(self.episodes) if e.state.open), None)


@dataclass(frozen=True)
class Notice:
    """Something a person should hear of: an episode was raised, has grown, or ended with `pair`."""

    kind: Literal["raised", "escalated", "cleared"]
    episode: Episode
    pair: str


def step(state: State, evidence: Evidence, *, clear_after_days: int) -> tuple[State, tuple[Notice, ...]]:
    """Take one pair into account.

    Parameters
    ----------
    state : the stack's episodes so far
    evidence : one scored pair or assessment; feed them in order of their `arrival`
    clear_after_days : days of data time without a pair over the threshold after which an episode is cleared

    A pair that reaches back into an episode already cleared saw that episode's motion: it is absorbed without a notice and
    without making the episode longer, so that a long pair cannot hide what comes later. A pair that arrives late and lies
    wholly before the open episode makes that one begin earlier where it would have done so in time; else it is history: an
    episode of its own, raised and cleared on the same day. An interval that falls below the threshold at a later assessment
    no longer stands for the open episode; where nothing else does, that is withdrawn, and what rises over the threshold
    later in its time raises a flag anew. Evidence that is assessed `again` stays with the episode that it stands for. A NaN
    score or threshold is no evidence either way.

    An episode that was only noted ends without a notice. One that was told of is escalated where a score's excess over the
    threshold is twice what was told and the score at least ten times as rare: growth is told a few times, however fast.
    """
    if math.isnan(evidence.score) or math.isnan(evidence.threshold):
        return state, ()
    current = state.open
    notices: tuple[Notice, ...] = ()
    if current is not None and evidence.secondary > current.until + timedelta(days=clear_after_days):
        closed = replace(current, state=FlagState.CLEARED, cleared=evidence.secondary)
        state, current, notices = _replace(state, closed), None, _ended(closed, evidence)
    if not evidence.over:
        return _fallen(state, current, evidence, notices)
    if evidence.again and (
        holder := next((e for e in state.episodes if e.state.stands and evidence.key in e.standing), None)
    ):
        return _told_of(state, _absorbed(holder, evidence), evidence, notices)
    for episode in reversed(state.episodes):
        if not episode.state.open and episode.state.stands and episode.overlaps(evidence):
            return _told_of(state, _absorbed(episode, evidence), evidence, notices)
    if current is not None and not _is_history(state, current, evidence, clear_after_days):
        return _told_of(state, _grown(current, evidence), evidence, notices)
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


def run(state: State, evidence: Iterable[Evidence], *, clear_after_days: int) -> tuple[State, tuple[Notice, ...]]:
    """`step` over many pairs or assessments, sorted here by `arrival`."""
    notices: list[Notice] = []
    for one in sorted(evidence, key=lambda e: e.arrival):
        state, new = step(state, one, clear_after_days=clear_after_days)
        notices.extend(new)
    return state, tuple(notices)


def _fallen(
    state: State, current: Episode | None, evidence: Evidence, notices: tuple[Notice, ...]
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
    left = replace(left, state=FlagState.WITHDRAWN, cleared=holder.cleared or evidence.seen or evidence.secondary)
    return _replace(state, left), (*notices, *_ended(left, evidence))


def _ended(episode: Episode, evidence: Evidence) -> tuple[Notice, ...]:
    """The notice of an episode's end; none where nobody was told of its beginning."""
    return () if episode.told is None else (Notice("cleared", episode, evidence.pair),)


def _told_of(
    state: State, episode: Episode, evidence: Evidence, notices: tuple[Notice, ...]
) -> tuple[State, tuple[Notice, ...]]:
    """The episode, which holds the evidence now, with what people are told of that."""
    kind: Literal["raised", "escalated"]
    if episode.told is None and evidence.tells:
        kind, known = "raised", replace(episode, told=evidence.score)
    elif episode.told is not None and episode.state.open and _has_grown(episode, episode.told, evidence):
        kind, known = "escalated", replace(episode, told=evidence.score)
    else:
        return _replace(state, episode), notices
    if known.state.open:
        known = replace(known, state=FlagState.RAISED if kind == "raised" else FlagState.ESCALATED)
    notices = (*notices, Notice(kind, known, evidence.pair))
    return _replace(state, known), notices if known.state.open else (*notices, *_ended(known, evidence))


def _has_grown(episode: Episode, told: float, evidence: Evidence) -> bool:
    return evidence.score >= told + max(told - episode.threshold, evidence.growth)


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
