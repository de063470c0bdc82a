"""What a notice tells, measured and drawn when it is sent, once for all channels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.evidence.moved import Moved
from insar_anomaly.notify import wording
from insar_anomaly.notify.payload import OF_ENDS, Payload
from insar_anomaly.pipeline.drawing import drawn
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.measuring import scene_of
from insar_anomaly.pipeline.regional import with_others
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.scene import Scene
from insar_anomaly.pipeline.shown import of_notice
from insar_anomaly.spoken import DEFAULT

log = logging.getLogger(__name__)

_TOLD_BEFORE = ("raised", "escalated", "released", "reopened")
"""Kinds of notices that told of what moved."""
_AFTER_THEM = ("escalated", "withdrawn")
"""Outcomes that are told beside what was told before."""
_KEPT = 8
"""Tellings that are kept for other channels: the outbox has them one after the other."""


@dataclass(frozen=True)
class Telling:
    """What a notice tells, with what was measured for it, and its figure, a PNG or None."""

    told: Payload
    figure: bytes | None


def telling(s: Installation, run: Run, payload: str, language: str = DEFAULT) -> Telling:
    """What the payload (JSON text) of a notice tells; kept in the run, since each channel asks for it."""
    key = (payload, language)
    found = run.tellings.get(key)
    if found is None:
        while len(run.tellings) >= _KEPT:
            run.tellings.pop(next(iter(run.tellings)))
        found = run.tellings[key] = _telling(s, run, as_it_stands(s, run, Payload.read(payload)), language)
    return found


def as_it_stands(s: Installation, run: Run, told: Payload) -> Payload:
    """What a notice tells, with the end of its flag, where that had come by the run's date: a notice may go out late."""
    if told.kind in OF_ENDS:
        return told
    row = next((row for row in s.ledger.episodes(told.stack) if row.number == told.episode.number), None)
    if row is None or row.cleared is None or row.cleared > run.as_of:
        return told
    ended = replace(told.episode, cleared=row.cleared, withdrawn=not row.state.stands, until=row.until)
    return replace(told, episode=ended)


def measured(told: Payload, scenes: tuple[Scene, ...]) -> Payload:
    """The payload with what moved in its stacks; of a couple's, the motion that stands out more is the notice's."""
    moved = [scene.moved for scene in scenes]
    if not told.members:
        return replace(told, motion=next(iter(moved), None))
    members = tuple(replace(one, motion=motion) for one, motion in zip(told.members, moved, strict=False))
    clearest = max((one for one in moved if one is not None), key=_stands_out, default=None)
    if clearest is not None:  # its quiet scores are of one direction, and the flag's score is of both
        first, last = shared_time([one for one in moved if one is not None])
        clearest = replace(clearest, first=first, last=last, season_quiet=0, season_highest=None)
    return replace(told, members=members, motion=clearest)


def shared_time(moved: Sequence[Moved]) -> tuple[date, date]:
    """The time that the events of two directions share, where motion that both see is; the first's where there is none."""
    first, last = max(one.first for one in moved), min(one.last for one in moved)
    return (first, last) if first < last else (moved[0].first, moved[0].last)


def _telling(s: Installation, run: Run, told: Payload, language: str) -> Telling:
    told = with_others(s, told)
    try:
        scenes = tuple(scene_of(s, one) for one in of_notice(s, told))
        told = measured(told, scenes)
        if told.outcome in _AFTER_THEM:
            moved, over = _before(s, told)
            told = replace(told, before=moved, before_over_km2=over)
        return Telling(told, _figure(s, told, scenes, language))
    except Exception as problem:
        if told.outcome == "withdrawn" and isinstance(problem, StoreFailed | LookupError):
            return Telling(told, None)  # what it rested on may be gone
        if not isinstance(problem, InsarAnomalyError | OSError):
            log.exception("%s: the figure of %s could not be drawn", told.stack, told.pair)
        run.warn(f"{told.stack}: the notice of {told.pair} goes without a figure: {problem}")
        return Telling(told, None)


def _figure(s: Installation, told: Payload, scenes: tuple[Scene, ...], language: str) -> bytes:
    volcano = (s.by_stack | s.by_couple)[told.stack]
    return drawn(volcano, scenes, heading=wording.heading(told.outcome, language), language=language)


def _before(s: Installation, told: Payload) -> tuple[Moved | None, float | None]:
    """What moved, and the ground over the threshold in km2, as the last notice of the flag before this one told them; None
    where there is none, or it cannot be read."""
    earlier = [row for row in s.ledger.notices() if row.stack == told.stack and row.kind in _TOLD_BEFORE]
    read = [Payload.read(row.payload) for row in earlier if row.key.startswith(f"{told.flag}:")]
    older = [one for one in read if (one.as_of, one.kind) != (told.as_of, told.kind) and one.as_of <= told.as_of]
    if not older:
        return None, None
    last = max(older, key=lambda one: one.as_of)
    try:
        return measured(last, tuple(scene_of(s, one) for one in of_notice(s, last))).motion, last.area_over_km2
    except (InsarAnomalyError, LookupError, OSError):
        return None, last.area_over_km2


def _stands_out(moved: Moved) -> float:
    return abs(moved.cm) / (moved.sigma_cm or 1.0)
