"""Growth of a flag that people were told of: a larger peak, more ground, or a flag from the other direction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from insar_anomaly.flags.episode import Episode, Evidence, Growth, Notice, State
from insar_anomaly.flags.states import FlagState

AREA_FACTOR = 2.0
"""The area over the threshold has grown where it is so many times what was last told,"""
AREA_LEAST_KM2 = 2.0
"""and larger by so much: two cells of a score map where there was one are no news."""


def grown_by(episode: Episode, evidence: Evidence) -> tuple[Growth, ...]:
    """By what evidence that belongs to an open, told episode exceeds what people were told; empty where by nothing.

    The peak has grown where a score's excess over the threshold is twice what was told and the score at least ten times as
    rare. The area has grown by `AREA_FACTOR` and `AREA_LEAST_KM2`; it counts where people would be told of the evidence by
    itself, and under the threshold that raised the flag: under another one the same ground has another area.
    """
    found = []
    if episode.told is not None and _higher(episode, episode.told, evidence):
        found.append(Growth.PEAK)
    if evidence.tells and evidence.threshold == episode.threshold and _wider(episode.area, evidence.area):
        found.append(Growth.AREA)
    return tuple(found)


def told_now(episode: Episode, evidence: Evidence) -> Episode:
    """The episode after people were told of this evidence. What they were told before stays where it was more."""
    told = evidence.score if episode.told is None else max(episode.told, evidence.score)
    return replace(episode, told=told, area=_largest(episode.area, evidence.area))


def agreeing(state: State, others: Collection[Episode]) -> tuple[State, tuple[Notice, ...]]:
    """Take flags from the other direction of the satellite's pass into account: each open flag is told of one once.

    Parameters
    ----------
    state : a stack's episodes
    others : episodes of stacks of the same volcano that see it from the other direction; those count that people were told
        of, that were not withdrawn, and that share time with the stack's own
    """
    known = [one for one in others if one.told is not None and one.state.stands]
    notices, episodes = [], []
    for mine in state.episodes:
        if mine.state.told and not mine.agreed and any(mine.shares_time(one) for one in known):
            mine = replace(mine, agreed=True, state=FlagState.ESCALATED)
            notices.append(Notice("escalated", mine, mine.peak_pair, (Growth.DIRECTION,)))
        episodes.append(mine)
    return State(tuple(episodes)), tuple(notices)


def _higher(episode: Episode, told: float, evidence: Evidence) -> bool:
    return evidence.score >= told + max(told - episode.threshold, evidence.growth)


def _wider(told: float | None, now: float | None) -> bool:
    return told is not None and now is not None and now >= max(AREA_FACTOR * told, told + AREA_LEAST_KM2)


def _largest(one: float | None, other: float | None) -> float | None:
    return max((area for area in (one, other) if area is not None), default=None)
