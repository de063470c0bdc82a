"""The rows of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple


@dataclass(frozen=True)
class PairRow:
    """An interferogram that was looked at: where it lies, its fingerprint there, and the numbered verdict of the prechecks.

    `snapshot` is the store's snapshot that holds it; None where it was rejected.
    """

    pair: str
    uri: str
    fingerprint: str
    verdict: int
    detail: str
    snapshot: str | None


@dataclass(frozen=True)
class ModelRow:
    """A published model and its threshold. `settings` and `calibration` are JSON.

    `threshold` is None where the stack could not be calibrated, and `why` says why; `evidence` is what it judges: pair,
    interval or acquisition.
    """

    model: str
    detector: str
    settings: str
    fit_from: date
    fit_to: date
    pairs: int
    snapshot: str
    version: str
    threshold: float | None
    policy: str
    calibration: str
    why: str
    evidence: str = "pair"


@dataclass(frozen=True)
class ScoreRow:
    """One assessment scored by one model. `score` is None where the verdict is not 0 and the assessment has no score.

    `pair` names the pair, the interval, or the acquisition (its date twice); `after` is the number of acquisitions after it
    that were seen and `inputs` a hash of the pairs that were fused, both 0 for a pair; `seen` is the day of the last
    acquisition that the assessment needed.
    """

    pair: str
    model: str
    score: float | None
    threshold: float | None
    verdict: int
    percentile: float | None
    snapshot: str
    after: int = 0
    inputs: int = 0
    seen: date | None = None


@dataclass(frozen=True)
class EpisodeRow:
    """One episode of a stack, as `flags.machine.Episode` defines it, and the model that raised it.

    `cleared` is None while open. `standing` is JSON.
    """

    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    threshold: float
    pairs_over: int
    cleared: date | None
    model: str
    withdrawn: bool = False
    standing: str = "[]"


@dataclass(frozen=True)
class NoticeRow:
    """One notice for one channel in the outbox. `payload` is JSON; `delivered_at` is UTC, None while it waits."""

    key: str
    stack: str
    channel: str
    kind: str
    payload: str
    attempts: int
    last_error: str | None
    delivered_at: datetime | None


class NewNotice(NamedTuple):
    """A notice for the outbox. `payload` is JSON; the key is unique over all channels: let it name its channel.

    `after` is the key of the notice that this one follows: where that was never put into the outbox, this one is not.
    """

    key: str
    channel: str
    kind: str
    payload: str
    after: str | None = None


Step = Callable[[list[EpisodeRow], list[ScoreRow], set[str]], tuple[Sequence[EpisodeRow], Sequence[NewNotice]]]
Judge = Callable[[ScoreRow], ScoreRow]
