"""Rows of what people did with flags and stacks, and of the quiet peaks that decide what people are told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


@dataclass(frozen=True)
class PoolRow:
    """The quiet peaks of all stacks of the installation, as `calibration.budget.Pool` defines them."""

    rates: tuple[float, ...]
    days: tuple[int, ...]
    peaks: int
    stacks: int
    years: float
    without: int = 0


class ActKind(StrEnum):
    """What a person did with a flag or a stack."""

    ACKNOWLEDGED = "acknowledged"
    MUTED = "muted"
    UNMUTED = "unmuted"
    LABELLED = "labelled"
    NOTED = "noted"


class Label(StrEnum):
    """What a person takes a flag for. Only `VOLCANIC` counts as a true flag."""

    VOLCANIC = "volcanic"
    ATMOSPHERE = "atmosphere"
    NON_VOLCANIC = "non-volcanic"
    PROCESSING = "processing"
    UNSURE = "unsure"


@dataclass(frozen=True)
class ActRow:
    """What a person did: who (`by`), when (`at`, UTC) and why (`note`).

    `stack` is what it is about: a stack or couple with the number of the flag, or a whole stack, volcano (its number as
    text) or region (``region NAME``) where `episode` is None. `until` is the first day on which a mute has ended; `label`
    and `confidence` (0 to 1) belong to a label.
    """

    stack: str
    episode: int | None
    kind: ActKind
    by: str
    at: datetime
    note: str = ""
    until: date | None = None
    label: Label | None = None
    confidence: float | None = None
