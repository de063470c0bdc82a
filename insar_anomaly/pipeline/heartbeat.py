"""A run's signs of life: at its start, at its end, and where it fails or is interrupted. None of them can end the run.

The command line and the Prefect flows open every run through `before_the_run` and `Installation.run`, and so give the same
signs. What arrived last is in the ledger, for `insar-anomaly doctor`.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from insar_anomaly.config.load import secret
from insar_anomaly.errors import ConfigError, InsarAnomalyError
from insar_anomaly.notify import pulse
from insar_anomaly.notify.pulse import Check, Moment, NotTold, Result

if TYPE_CHECKING:
    from insar_anomaly.config.watching import Heartbeat
    from insar_anomaly.pipeline.run import Run

log = logging.getLogger(__name__)

VERSION = 1
"""Of the JSON file."""
_FAILURES = 20
"""Failures that are told by name."""


class Outcome(StrEnum):
    """How far a run is, or how it ended."""

    RUNNING = "running"
    OK = "ok"
    BLIND = "blind"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def bad(self) -> bool:
        """True where somebody has to look."""
        return self in (Outcome.FAILED, Outcome.INTERRUPTED)

    @classmethod
    def of(cls, run: Run) -> Outcome:
        """Of a run that came to its end."""
        if run.failures:
            return cls.FAILED
        return cls.BLIND if run.blind else cls.OK


_STATUS = {Outcome.OK: 0, Outcome.BLIND: 1, Outcome.FAILED: 2, Outcome.INTERRUPTED: 2}
"""Outcome -> what Icinga calls it: ok, warning, critical."""


@dataclass
class Beat:
    """The signs of one run.

    Parameters
    ----------
    settings : the section [heartbeat]
    kind : of the run
    run : the run; None where it could not begin
    """

    settings: Heartbeat
    kind: str
    run: Run | None = None
    rid: str = field(default_factory=lambda: str(uuid4()))
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def wanted(self) -> bool:
        """True where this kind of run gives signs."""
        return self.kind in self.settings.runs

    def start(self) -> None:
        """The run begins."""
        self._give(Outcome.RUNNING, f"{self._what} has begun")

    def end(self) -> None:
        """The run has come to its end, with or without failures."""
        run = self.run
        if run is None:
            return
        words = [f"{self._what}: {len(run.failures)} failures, {len(run.blind)} blind stacks"]
        words += [f"{one.stack}: {one.stage}: {one.error}" for one in run.failures[:_FAILURES]]
        self._give(Outcome.of(run), "\n".join(words))

    def fail(self, problem: BaseException) -> None:
        """An error, or a person, has ended the run."""
        stopped = not isinstance(problem, Exception)  # Ctrl-C, SIGTERM, Prefect's own signal
        why = "it was interrupted" if stopped else f"{type(problem).__name__}: {problem}"
        words = str(problem) if isinstance(problem, InsarAnomalyError) else why
        self._give(Outcome.INTERRUPTED if stopped else Outcome.FAILED, f"{self._what}: {words}")

    @property
    def _what(self) -> str:
        return (
            f"run {self.run.number} ({self.kind} of {self.run.as_of})" if self.run else f"{self.kind}, which could not begin"
        )

    def _give(self, outcome: Outcome, words: str) -> None:
        if not self.wanted:
            return
        for way, give in self._ways(outcome, words):
            error = None
            try:
                give()
            except (NotTold, ConfigError) as problem:
                error = str(problem)
            except Exception as problem:  # a sign of life must never end what it tells of
                log.exception("heartbeat %s", way)
                error = f"{type(problem).__name__}: {problem}"
            self._keep(way, error)

    def _ways(self, outcome: Outcome, words: str) -> Iterator[tuple[str, Callable[[], None]]]:
        settings = self.settings
        if url := settings.url:
            moment = Moment.START if outcome is Outcome.RUNNING else Moment.FAILURE if outcome.bad else Moment.END
            yield "url", lambda: pulse.ping(url, moment, words, rid=self.rid, deadline_s=settings.timeout_s)
        if settings.icinga_url and outcome is not Outcome.RUNNING:
            yield (
                "icinga",
                lambda: pulse.passive_check(_check(settings), self._result(outcome, words), deadline_s=settings.timeout_s),
            )
        if file := settings.file:
            yield "file", lambda: pulse.write(Path(file), self._content(outcome, words))

    def _result(self, outcome: Outcome, words: str) -> Result:
        numbers = {"failures": len(self.run.failures), "blind": len(self.run.blind)} if self.run else {}
        now = datetime.now(UTC)
        return Result(_STATUS[outcome], words, self.started.timestamp(), now.timestamp(), numbers)

    def _content(self, outcome: Outcome, words: str) -> dict[str, object]:
        """What the file says. Times are UTC; `finished` is null while the run goes on."""
        run, now = self.run, datetime.now(UTC)
        return {
            "version": VERSION,
            "outcome": outcome.value,
            "kind": self.kind,
            "run": run.number if run else None,
            "as_of": run.as_of.isoformat() if run else None,
            "started": self.started.isoformat(),
            "finished": None if outcome is Outcome.RUNNING else now.isoformat(),
            "words": words,
            "counts": run.counted if run else {},
            "failures": [vars(one) for one in run.failures[:_FAILURES]] if run else [],
            "blind": len(run.blind) if run else 0,
            "host": socket.gethostname(),
            "process": os.getpid(),
        }

    def _keep(self, way: str, error: str | None) -> None:
        """Say what did not arrive, and write down both."""
        if error is not None:
            log.warning("heartbeat: %s", error)
            if self.run:
                self.run.warn(f"heartbeat: {error}; check [heartbeat]")
        try:
            if self.run:
                self.run.ledger.record_pulse(way, error)
        except InsarAnomalyError as problem:
            log.warning("heartbeat: it is not written down: %s", problem)


@contextmanager
def before_the_run(settings: Heartbeat, kind: str) -> Iterator[Beat]:
    """Tell of an error that comes before a run has begun, such as a ledger out of reach. The run takes it over."""
    beat = Beat(settings, kind)
    try:
        yield beat
    except BaseException as problem:
        if beat.run is None:
            beat.fail(problem)
        raise


def _check(settings: Heartbeat) -> Check:
    return Check(
        url=settings.icinga_url or "",
        host=settings.icinga_host or "",
        service=settings.icinga_service,
        user=settings.icinga_user or "",
        password=secret(settings.icinga_password_env) or "",
        ca=settings.icinga_ca,
    )
