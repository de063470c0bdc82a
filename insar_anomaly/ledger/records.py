"""The rows of the ledger, as its methods take and give them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.events import FlagEvent, events_between
from insar_anomaly.flags.machine import Episode
from insar_anomaly.flags.states import FlagState
from insar_anomaly.names import EvidenceKind, JsonObject, frame_of, volcano_of


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


RECEIPT = ":sent"
"""End of the key of a message that went to some receivers of a group; before it stand the group's key and a digest."""


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
class CostRow:
    """What one stage of a run took: seconds and CPU seconds of the driver and of its workers, traffic, peak memory.

    `tasks` and `pairs` count what workers did (for scoring, assessments); requests, commits and bytes are what
    `insar_anomaly.traffic` counts; the peaks are of resident memory, of the driver and of its largest worker.
    """

    stage: str
    tasks: int = 0
    pairs: int = 0
    wall_s: float = 0.0
    driver_cpu_s: float = 0.0
    worker_cpu_s: float = 0.0
    requests: int = 0
    commits: int = 0
    read_bytes: int = 0
    written_bytes: int = 0
    driver_peak_bytes: int = 0
    worker_peak_bytes: int = 0


@dataclass(frozen=True)
class PairRow:
    """An interferogram that was checked: where it lies, its fingerprint there, and the numbered verdict of the prechecks.

    `snapshot` is the store's snapshot that holds it; None where it was rejected. `version` says how often the stored pair
    was replaced or came back; `rests_on` is the setting, such as ``min_valid = 0.1``, without which it would not have been
    rejected, empty where there is none.
    """

    pair: str
    uri: str
    fingerprint: str
    verdict: Verdict
    detail: str
    snapshot: str | None
    version: int = 0
    rests_on: str = ""


@dataclass(frozen=True)
class Seen:
    """What is known of a pair: the fingerprint of its files when they were last checked, the verdict, its version, and the
    setting that a rejection rests on; see `PairRow`."""

    fingerprint: str
    verdict: Verdict
    version: int = 0
    rests_on: str = ""


@dataclass(frozen=True)
class DeviationRow:
    """What a source shows of a stored pair, where that is not what was stored.

    `fingerprint` is of its files now, empty where none are listed; it was seen like that on so many `nights`, one after the
    other, the `last` one included. `verdict`, `detail` and `rests_on` say why these files cannot be used; the verdict is 0
    where nobody has read them.
    """

    pair: str
    fingerprint: str
    nights: int
    last: date
    verdict: Verdict = Verdict.OK
    detail: str = ""
    rests_on: str = ""


@dataclass(frozen=True)
class HoldingRow:
    """A stack's last listing: its `place`, and how many pairs it held; `grid` counts how often the stack was built anew."""

    place: str = ""
    listed: int = 0
    grid: int = 0


@dataclass(frozen=True)
class CoverageRow:
    """What an accepted pair measures of its box and of its summit, 0 to 1, as it was stored in a snapshot."""

    pair: str
    snapshot: str
    box: float
    summit: float


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

    `pair` names the pair, the interval, or the acquisition (its date twice); `after` is the number of acquisitions that were
    seen from its second one on, that one included, and `inputs` a hash of the pairs that were fused, both 0 for a pair;
    `seen` is the day of the last acquisition that the assessment needed; `return_period` says in how many years the stack's
    quiet ground reaches the score once, and `area` is the ground, km2, whose score is over the threshold; both None where
    that is not known.
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
    return_period: float | None = None
    area: float | None = None

    @classmethod
    def bare(cls, pair: str, model: str, score: float | None, threshold: float | None) -> ScoreRow:
        """A row of which no more is known than this."""
        return cls(pair, model, score, threshold, Verdict.OK, None, "")


@dataclass(frozen=True)
class ScoredPair(OfStack):
    """A pair and its score by the stack's current model of pairs.

    Score, threshold and model are None where the pair has none; the verdict is the score's, or else the interferogram's,
    whose `reason` names file, value and remedy.
    """

    stack: str
    pair: str
    score: float | None
    threshold: float | None
    flagged: bool
    verdict: Verdict
    snapshot: str | None
    model: str | None
    reason: str = ""

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
    return_period: float | None = None

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
    state: FlagState = FlagState.NOTED
    cleared: date | None = None
    standing: frozenset[str] = frozenset()
    told: float | None = None
    area: float | None = None
    agreed: bool = False
    withdrawals: int = 0
    cleared_before: date | None = None

    @classmethod
    def of(cls, episode: Episode, *, stack: str, model: str) -> EpisodeRow:
        """The row of an episode."""
        return cls(stack=stack, model=model, **{f.name: getattr(episode, f.name) for f in fields(Episode)})

    @property
    def episode(self) -> Episode:
        """The episode alone, for the machine."""
        return Episode(**{f.name: getattr(self, f.name) for f in fields(Episode)})


@dataclass(frozen=True)
class EventRow(OfStack):
    """What became of a flag on a night. A flag has each event once a night, however often that night is run."""

    stack: str
    number: int
    night: date
    what: FlagEvent

    @classmethod
    def between(cls, before: Sequence[EpisodeRow], now: Sequence[EpisodeRow], night: date) -> list[EventRow]:
        """What became of a stack's flags from one list of its episodes to a later one."""
        known = {row.number: row.episode for row in before}
        return [
            cls(row.stack, row.number, night, what)
            for row in now
            for what in events_between(known.get(row.number), row.episode)
        ]


@dataclass(frozen=True)
class CanaryRow(OfStack):
    """A night's proof that it would have seen a source: one of `peak_cm`, put into real data that nobody stores.

    `pair` names the pair or interval, `after` the acquisitions from its second one on; `score` is None where the source was
    not measured.
    """

    night: date
    stack: str
    evidence: EvidenceKind
    pair: str
    after: int
    peak_cm: float
    score: float | None
    threshold: float

    @property
    def seen(self) -> bool:
        """True where the source's score is over the threshold."""
        return self.score is not None and self.score > self.threshold


@dataclass(frozen=True)
class NoticeRow(OfStack):
    """One notice for one channel in the outbox. `payload` is JSON.

    `delivered_at` is UTC, None while it waits; `dropped` is the reason for which it is not sent: a person's or the ledger's.
    `bundle` is the key of the message that tells several notices together, None for one that is told alone. `refused` counts
    the nights on which the receiver refused it, and `parked` says why it is not sent until a person takes it up again.
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
    bundle: str | None = None
    refused: int = 0
    parked: str | None = None

    @property
    def gvp(self) -> int:
        """The volcano's number; 0 where the notice tells of a night."""
        return volcano_of(self.stack) if self.stack else 0

    @property
    def content(self) -> JsonObject:
        """The payload, opened."""
        found: JsonObject = json.loads(self.payload)
        return found

    @property
    def ends(self) -> bool:
        """True where it tells of a flag's end."""
        return self.kind == "cleared"

    @property
    def begun(self) -> str:
        """The key of the notice, by the same channel, that told of the flag's beginning."""
        return f"{':'.join(self.key.split(':')[:2])}:raised:{self.channel}"

    @property
    def waits(self) -> bool:
        """True where it has not arrived and nobody dropped it. A parked one waits for a person."""
        return self.delivered_at is None and self.dropped is None


@dataclass(frozen=True)
class PulseRow:
    """A way in which runs give signs of life: when one was tried last, when one last arrived, and why the last one did not.

    Times are UTC; `arrived` is None where none ever did, `error` None where the last one arrived.
    """

    way: str
    tried: datetime
    arrived: datetime | None
    error: str | None


class NewNotice(NamedTuple):
    """A notice for the outbox. `payload` is JSON; the key is unique over all channels: let it name its channel.

    `after` is the key of the notice that this one follows: where that was never sent and never will be, this one is not put
    there. `dropped` says why it is written down and not sent.
    """

    key: str
    channel: str
    kind: str
    payload: str
    after: str | None = None
    dropped: str | None = None


@dataclass(frozen=True)
class Decision:
    """What follows from new scores: the stack's episodes as they are now, the notices to send, and what became of flags."""

    episodes: Sequence[EpisodeRow]
    notices: Sequence[NewNotice] = ()
    events: Sequence[EventRow] = ()


Judge = Callable[[ScoreRow], ScoreRow]
"""Gives a score anew: the same assessment by another threshold."""


def _over(score: float | None, threshold: float | None) -> bool:
    return score is not None and threshold is not None and score > threshold
