"""What a flag could be instead of motion, and which way each number speaks. A further one is one line of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from insar_anomaly.notify.payload import Payload


class Speaks(StrEnum):
    """Which way a number speaks: for the alternative, against it, for neither; or there is no number."""

    FOR = "for"
    AGAINST = "against"
    OPEN = "open"
    UNKNOWN = "unknown"


def alternatives(told: Payload) -> dict[str, Speaks]:
    """Every alternative by its name, in the order in which a notice tells them."""
    return {name: weigh(told) for name, weigh in ALTERNATIVES.items()}


def _weather(told: Payload) -> Speaks:
    """Layers of air follow the terrain; the air of one day is in that day alone; motion is still there later."""
    moved = told.motion
    if any(one is not None and one.threshold is not None and one.score > told.score for one in told.alone.values()):
        return Speaks.FOR
    if moved is None:
        return Speaks.UNKNOWN
    layers = abs((moved.height_cm or 0.0) / moved.cm) if moved.cm else 0.0
    if layers >= 0.5 or (moved.kept is not None and moved.kept < 0.3):
        return Speaks.FOR
    return Speaks.AGAINST if layers < 0.3 and moved.kept is not None and moved.kept >= 0.6 else Speaks.OPEN


def _ionosphere(told: Payload) -> Speaks:
    """In L band the ionosphere draws bands across the flight. Bands much smaller than the motion speak against it."""
    moved = told.motion
    if moved is None or moved.bands is None or moved.bands_cm is None:
        return Speaks.UNKNOWN
    if moved.bands >= 0.5 and moved.bands_cm >= 0.2 * abs(moved.cm):
        return Speaks.FOR
    return Speaks.AGAINST if moved.bands_cm < 0.1 * abs(moved.cm) else Speaks.OPEN


def _unwrapping(told: Payload) -> Speaks:
    """An unwrapping error has a border of whole cycles, and lies as a rule where the coherence is low."""
    moved = told.motion
    if moved is None or (moved.low_coherence is None and moved.jumps is None):
        return Speaks.UNKNOWN
    low, steps = moved.low_coherence or 0.0, moved.jumps or 0.0
    if steps >= 0.03 or low >= 0.5:
        return Speaks.FOR
    return Speaks.AGAINST if steps < 0.002 and low < 0.1 else Speaks.OPEN


def _season(told: Payload) -> Speaks:
    """What comes back every year was there in the quiet years too."""
    moved = told.motion
    if moved is None or moved.season_highest is None:
        return Speaks.UNKNOWN
    part = moved.season_highest / told.score if told.score > 0 else 1.0
    return Speaks.FOR if part >= 0.8 else Speaks.AGAINST if part < 0.5 and moved.season_quiet >= 5 else Speaks.OPEN


def _region(told: Payload) -> Speaks:
    """The air of a region, and a fault of a provider, are in many stacks of one date."""
    if told.others_over is None or not told.others_seen:
        return Speaks.UNKNOWN
    part = told.others_over / told.others_seen
    return Speaks.FOR if part >= 0.3 else Speaks.AGAINST if part <= 0.1 else Speaks.OPEN


ALTERNATIVES: Mapping[str, Callable[[Payload], Speaks]] = {
    "weather": _weather,
    "ionosphere": _ionosphere,
    "unwrapping": _unwrapping,
    "season": _season,
    "region": _region,
}
