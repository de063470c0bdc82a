"""The rows of the ledger, as its methods take and give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.machine import Episode
from insar_anomaly.flags.states import FlagState
from insar_anomaly.names import EvidenceKind, frame_of, volcano_of


class OfStack:
    """A row that stands for a stack or couple, `stack`, and gives the two parts of that name."""

    stack: str

    @property
    def gvp(self) -> int:
        """The volcano's number."""
        return volcano_of(self.stack)

    @property
    def frame(self) -> str:
        """The frame, or both frames of a couple joined by ``+``."""
        return frame_of(self.stack)


class RunStatus(StrEnum):
    """How a run ended. `INTERRUPTED` was killed: the run after it found it still running."""

    RUNNING = "running"
    OK = "ok"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunRow:
    """A run: its number, what it did, for which night, with which settings (JSON) and code, and what it counted."""

    run: int
    kind: str
    as_of: date | None
    settings: str
    version: str
    started: datetime
    finished: datetime | None
    status: RunStatus
    summary: Mapping[str, int]


@dataclass(frozen=True)
class FailureRow(OfStack):
    """A stack that failed in a run, the stage where it stopped and the reason."""

    run: int
    stack: str
    stage: str
    error: str


@dataclass(frozen=True)
class PairRow:
    """An interferogram that was checked: where it lies, its fingerprint there, and the numbered verdict of the prechecks.

    `snapshot` is the store's snapshot that holds it; None where it was rejected.
    """

    pair: str
    uri: str
    fingerprint: str
    verdict: Verdict
    detail: str
    snapshot: str | None


@dataclass(frozen=True)
class Seen:
    """What is known of a pair: the fingerprint of its files when they were last checked, and the verdict."""

    fingerprint: str
    verdict: Verdict


@dataclass(frozen=True)
class ModelRow:
    """A published model and its threshold. `settings` and `calibration` are JSON.

    `threshold` is None where the stack could not be calibrated, and `why` says why; `evidence` is what it assesses.
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
    evidence: EvidenceKind = EvidenceKind.PAIR


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
    verdict: Verdict
    percentile: float | None
    snapshot: str
    after: int = 0
    inputs: int = 0
    seen: date | None = None


@dataclass(frozen=True)
class ScoredPair(OfStack):
    """A pair and its score by the stack's current model of pairs.

    Score, threshold and model are None where the pair has none; the verdict is the score's, or else the interferogram's.
    """

    stack: str
    pair: str
    score: float | None
    threshold: float | None
    flagged: bool
    verdict: Verdict
    snapshot: str | None
    model: str | None

    @property
    def over(self) -> bool:
        """True where there is a score and it is over the threshold."""
        return _over(self.score, self.threshold)


@dataclass(frozen=True)
class ScoredAssessment(OfStack):
    """An assessment and its score by the current model of its evidence; see `ScoreRow`."""

    stack: str
    pair: str
    after: int
    seen: date | None
    score: float | None
    threshold: float | None
    percentile: float | None
    flagged: bool
    verdict: Verdict
    snapshot: str
    model: str

    @property
    def over(self) -> bool:
        """True where there is a score and it is over the threshold."""
        return _over(self.score, self.threshold)


@dataclass(frozen=True)
class EpisodeRow(OfStack):
    """One episode of a stack, as `flags.machine.Episode` defines it, and the model that raised it."""

    stack: str
    number: int
    since: date
    until: date
    first_pair: str
    peak_pair: str
    peak_score: float
    threshold: float
    pairs_over: int
    model: str
    state: FlagState = FlagState.RAISED
    cleared: date | None = None
    standing: frozenset[str] = frozenset()

    @classmethod
    def of(cls, episode: Episode, *, stack: str, model: str) -> EpisodeRow:
        """The row of an episode."""
        return cls(stack=stack, model=model, **{f.name: getattr(episode, f.name) for f in fields(Episode)})

    @property
    def episode(self) -> Episode:
        """The episode alone, for the machine."""
        return Episode(**{f.name: getattr(self, f.name) for f in fields(Episode)})


@dataclass(frozen=True)
class NoticeRow(OfStack):
    """One notice for one channel in the outbox. `payload` is JSON.

    `delivered_at` is UTC, None while it waits; `dropped` is the reason for which a person took it out of the outbox.
    """

    key: str
    stack: str
    channel: str
    kind: str
    payload: str
    created: datetime
    attempts: int
    last_error: str | None
    delivered_at: datetime | None
    dropped: str | None

    @property
    def waits(self) -> bool:
        """True where it has not arrived and nobody dropped it."""
        return self.delivered_at is None and self.dropped is None


class NewNotice(NamedTuple):
    """A notice for the outbox. `payload` is JSON; the key is unique over all channels: let it name its channel.

    `after` is the key of the notice that this one follows: where that was never put into the outbox, this one is not.
    """

    key: str
    channel: str
    kind: str
    payload: str
    after: str | None = None


@dataclass(frozen=True)
class Decision:
    """What follows from new scores: the stack's episodes as they are now, and the notices to send."""

    episodes: Sequence[EpisodeRow]
    notices: Sequence[NewNotice] = ()


Judge = Callable[[ScoreRow], ScoreRow]
"""Gives a score anew: the same assessment by another threshold."""


def _over(score: float | None, threshold: float | None) -> bool:
    return score is not None and threshold is not None and score > threshold
