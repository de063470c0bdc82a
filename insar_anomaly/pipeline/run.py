"""A run: what it is for, what it counted, what failed; and who listens to how far it is."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Protocol

from insar_anomaly.errors import InsarAnomalyError, Verdict, not_written
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.records import CostRow
from insar_anomaly.names import ALL_TIME, Period
from insar_anomaly.notify.parcels import Breaker
from insar_anomaly.pipeline.heard import Heard
from insar_anomaly.pipeline.leases import Holding
from insar_anomaly.pipeline.meter import Meter, this_process
from insar_anomaly.report.digest import Count, Failure
from insar_anomaly.stack.store import Writer

if TYPE_CHECKING:
    from insar_anomaly.pipeline.telling import Telling

log = logging.getLogger(__name__)


class Watch(Protocol):
    """Hears how far a stage is: its name, what is done, the whole, and what it works on in a few words."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None: ...


@dataclass(frozen=True)
class Tally:
    """What a part of a run counted, on its way from a worker: small, whatever was read or scored."""

    counts: Mapping[Count, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    blind: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    costs: tuple[CostRow, ...] = ()
    process: str = ""
    rejected: Mapping[Verdict, int] = field(default_factory=dict)


@dataclass
class Run:
    """One run of the ledger: what was done, what failed. Nothing fails without being counted here and in the ledger."""

    number: int
    kind: str
    as_of: date
    ledger: Ledger
    counts: Counter[Count] = field(default_factory=Counter)
    rejected: Counter[Verdict] = field(default_factory=Counter)
    """Pairs that were rejected, by the reason: their sum is the count of rejected pairs."""
    failures: list[Failure] = field(default_factory=list)
    blind: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    meter: Meter = field(default_factory=Meter)
    held: Holding | None = None
    heard: Heard = field(default_factory=Heard)
    seen: Period = ALL_TIME
    """Only scores that could be made within this time are considered for flags: a replay walks through it."""
    dry: bool = False
    """It only looks: its costs are no run's, and are not published."""
    unsent: str | None = None
    """Why notices of this run are written down and not sent; None where they are sent."""
    tellings: dict[tuple[str, str], Telling] = field(default_factory=dict, repr=False)
    """What notices tell, by payload and language: measured and drawn once for all channels, see `pipeline.telling`."""

    breakers: dict[str, Breaker] = field(default_factory=dict, repr=False)
    """By channel: one that is dead costs one deadline in a run, however often the run sends."""

    @property
    def replays(self) -> bool:
        """True where it stands for a night of the past."""
        return self.seen != ALL_TIME

    @property
    def known(self) -> date:
        """The day up to which assessments count as made: what came later is not known on this night."""
        return self.seen.last or self.as_of

    @property
    def what(self) -> str:
        """The run in a few words, for those who wait for it."""
        return f"run {self.number} ({self.kind})"

    def writer(self, stack: str) -> Writer:
        """Who commits to a stack in this run. Stages that write run inside `pipeline.spread`, which holds the leases."""
        if self.held is None:
            raise RuntimeError(f"{stack}: written without a lease; call the stage through pipeline.walk")
        return self.held.writer(stack)

    def add(self, other: Tally) -> None:
        """Take over what a part of the run has counted, and written down already."""
        self.counts.update(other.counts)
        self.rejected.update(other.rejected)
        self.failures += other.failures
        self.blind.update(other.blind)
        for words in other.warnings:
            self.warn(words)
        self.meter.take(other.costs, other.process)

    def reject(self, verdicts: Iterable[Verdict]) -> None:
        """Count pairs that were rejected, each with its reason."""
        self.counts[Count.REJECTED_PAIRS] += 0
        for verdict in verdicts:
            self.counts[Count.REJECTED_PAIRS] += 1
            self.rejected[verdict] += 1

    def warn(self, words: str) -> None:
        """Say something that a person should know, though nothing failed: it stands in the digest, once."""
        if words not in self.warnings:
            log.info("%s", words)
            self.warnings.append(words)

    def fail(self, stack: str, stage: str, error: BaseException | str) -> None:
        """Write a failure down; who ends the run says it, once. An error that is not one of ours is a defect."""
        if isinstance(error, OSError) and (words := not_written(error)):
            error = words
        elif isinstance(error, BaseException) and not isinstance(error, InsarAnomalyError):
            log.debug("%s: %s failed", stack, stage, exc_info=error)
            error = f"{type(error).__name__}: {error} (a defect of insar-anomaly: please report it with the output of -v)"
        failure = Failure(stack, stage, str(error))
        self.failures.append(failure)
        self.ledger.record_failure(self.number, stack, stage, failure.error)

    @property
    def tally(self) -> Tally:
        """What was counted so far."""
        costs = tuple(self.meter.rows)
        parts = dict(self.counts), tuple(self.failures), dict(self.blind), tuple(self.warnings)
        return Tally(*parts, costs, this_process(), dict(self.rejected))

    @property
    def counted(self) -> dict[str, int]:
        """The counts, ready for JSON."""
        return {count.value: number for count, number in self.counts.items()}

    @property
    def summary(self) -> dict[str, int]:
        """What the ledger keeps of the run: the counts, and the rejected pairs by verdict, see `rejected_name`."""
        return self.counted | {rejected_name(verdict): number for verdict, number in self.rejected.items()}

    @property
    def failed(self) -> set[str]:
        """Stacks that failed in some stage."""
        return {f.stack for f in self.failures}


def rejected_name(verdict: Verdict) -> str:
    """What a run's summary calls the number of pairs that were rejected for this reason."""
    return f"rejected_pairs_{int(verdict)}"


class Silent(Run):
    """A run that only finds out what there is to do: what fails in it is written down nowhere, and will fail again."""

    @classmethod
    def of(cls, run: Run) -> Silent:
        """Beside another run."""
        return cls(run.number, run.kind, run.as_of, run.ledger)

    def fail(self, stack: str, stage: str, error: BaseException | str) -> None:
        """Count a failure."""
        self.failures.append(Failure(stack, stage, str(error)))
