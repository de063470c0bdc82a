"""What a flag's life is made of: evidence, episodes, and what people are told of them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
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
    distance in score by which evidence becomes ten times as rare on quiet ground; infinite where that is unknown. `area` is
    the ground whose score is over the threshold, km2; None where no map says so.
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
    area: float | None = None

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
    it was raised), or the day on which it was withdrawn; then `cleared_before` is the day on which it had been cleared, None
    where it was open. `standing` names the evidence that is over at its last assessment. `told` is the highest score that
    people were told of, None as long as the episode is only noted, and `area` the largest area, km2, None where none was
    known. `agreed` says that they were told of a flag from the other direction. `withdrawals` counts how often a flag that
    they had been told of was withdrawn.

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
    area: float | None = None
    agreed: bool = False
    withdrawals: int = 0
    cleared_before: date | None = None

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

    def shares_time(self, other: Episode) -> bool:
        """True where both episodes hold some time."""
        return other.since < self.until and self.since < other.until


@dataclass(frozen=True)
class State:
    """All episodes of one stack, oldest first. `State()` is a stack never flagged."""

    episodes: tuple[Episode, ...] = ()

    @property
    def open(self) -> Episode | None:
        """The episode that is open now, if any."""
        return next((e for e in reversed(self.episodes) if e.state.open), None)


class Growth(StrEnum):
    """By what a flag has grown since people were last told of it."""

    PEAK = "peak"
    AREA = "area"
    DIRECTION = "direction"


@dataclass(frozen=True)
class Notice:
    """Something a person should hear of: an episode was raised, has grown, was withdrawn and stands again, or ended.

    `pair` is what it follows from; `growth` says by what an escalated one has grown, empty for the others.
    """

    kind: Literal["raised", "escalated", "reopened", "cleared"]
    episode: Episode
    pair: str
    growth: tuple[Growth, ...] = ()
