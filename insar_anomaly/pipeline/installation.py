"""What every stage needs, opened once: settings, volcanoes, store, ledger, workers; and the run that counts and fails."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from insar_anomaly import __version__, catalogue
from insar_anomaly.calibration.threshold import Target
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config, Storage
from insar_anomaly.errors import InsarAnomalyError, Lost, UsageError, not_written
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.presence import parted
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.names import OF_A_STACK, Couple, EvidenceKind, JsonObject, place
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.pipeline.cluster import Workers, workers
from insar_anomaly.report.digest import Count, Failure
from insar_anomaly.sources import open_source
from insar_anomaly.sources.base import Source, StorageOptions
from insar_anomaly.stack.contents import kinds_held
from insar_anomaly.stack.store import Store

log = logging.getLogger(__name__)


class Watch(Protocol):
    """Hears how far a stage is: its name, what is done, the whole, and what it works on in a few words."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None: ...


@dataclass
class Run:
    """One run of the ledger: what was done, what failed. Nothing fails without being counted here and in the ledger."""

    number: int
    kind: str
    as_of: date
    ledger: Ledger
    counts: Counter[Count] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    blind: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

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
    def counted(self) -> dict[str, int]:
        """The counts, ready for JSON."""
        return {count.value: number for count, number in self.counts.items()}

    @property
    def failed(self) -> set[str]:
        """Stacks that failed in some stage."""
        return {f.stack for f in self.failures}


@dataclass
class Installation:
    """An opened installation."""

    config: Config
    volcanoes: list[Volcano]
    store: Store
    ledger: Ledger
    workers: Workers
    watch: Watch

    @property
    def by_stack(self) -> dict[str, Volcano]:
        """Volcano of every stack."""
        return {stack: volcano for volcano in self.volcanoes for stack in volcano.stacks}

    @property
    def sources(self) -> list[Source]:
        """Readers of the configured sources."""
        options = storage_options(self.config.storage)
        return [open_source(s.kind, s.url, options) for s in self.config.source]

    def held(self) -> frozenset[str] | None:
        """The kinds of things of which the store has any; None where it cannot be reached."""
        return kinds_held(self.config.store, storage_options(self.config.storage))

    @property
    def evidence(self) -> tuple[EvidenceKind, ...]:
        """The kinds of evidence that are fitted and scored: single pairs always."""
        asked = {EvidenceKind.PAIR, *map(EvidenceKind, self.config.fusion.evidence)}
        return tuple(kind for kind in OF_A_STACK if kind in asked)

    @property
    def target(self) -> Target:
        """What thresholds aim at."""
        aim = self.config.calibrate
        return Target(
            policy=aim.policy,
            false_alarms_per_year=aim.false_alarms_per_year,
            fpr=aim.fpr,
            quantile=aim.quantile,
            min_pairs=aim.min_pairs,
            clear_after_days=self.config.flags.clear_after_days,
        )

    @property
    def by_couple(self) -> dict[str, Volcano]:
        """Volcano of every couple of an ascending and a descending frame, ``gvp/FRAME+FRAME``."""
        if "directions" not in self.config.fusion.evidence:
            return {}
        return {str(couple): v for v in self.volcanoes for couple in Couple.among(v.gvp, v.frames)}

    def resting(self, stack: str) -> tuple[ModelRow | None, str]:
        """The model that the stack's flags rest on, and why it is not of the evidence that was asked for (empty if it is).

        None where the stack has no model. Where intervals have no threshold but single pairs have one, flags rest on these:
        better a worse threshold than a blind stack.
        """
        if isinstance(place(stack), Couple):
            return self.ledger.current(stack, "directions"), ""
        wanted = self.config.flags.rests_on
        asked, pairs = self.ledger.current(stack, wanted), self.ledger.current(stack)
        if wanted == "pair" or (asked is not None and asked.threshold is not None) or pairs is None:
            return asked, ""
        if asked is not None and pairs.threshold is None:
            return asked, ""
        return pairs, f"its {wanted}s are not calibrated: {asked.why}" if asked else f"its {wanted}s are not fitted"

    @property
    def _settings(self) -> JsonObject:
        """The settings as the ledger keeps them: without the secrets that a URL may hold."""
        settings: JsonObject = self.config.model_dump(mode="json")
        settings["ledger"] = self.ledger.name
        for channel in settings["channel"]:
            if "url" in channel:
                channel["url"] = f"{urlsplit(channel['url']).hostname} (the rest is not kept: it may be a key)"
        return settings

    @contextmanager
    def run(self, kind: str, as_of: date | None = None) -> Iterator[Run]:
        """A run, from start to outcome, with the exclusive right to write.

        A run that an error ends is closed as failed; one that a kill ends is closed by the next.
        """
        day = as_of or datetime.now(UTC).date()
        with self.ledger.lock():
            gone = parted(self.ledger, self.held, self.config.store)
            tolerated = gone and (gone.harmless or (kind == "ingest" and not gone.ledger))
            if gone and not tolerated:
                raise Lost(gone.words)
            number = self.ledger.start_run(kind, day, json.dumps(self._settings), __version__)
            run = Run(number, kind, day, self.ledger)
            log.info("run %d: %s as of %s, %d stacks", number, kind, day, len(self.by_stack))
            if gone:
                run.warn(gone.words)
            try:
                yield run
            except BaseException:
                self.ledger.finish_run(number, "failed", {**run.counted, "stopped": True})
                raise
            outcome = {**run.counted, "failures": len(run.failures), "blind": len(run.blind)}
            self.ledger.finish_run(number, "failed" if run.failures else "ok", outcome)

    def narrowed(self, volcanoes: Sequence[Volcano]) -> Installation:
        """The same installation for some of its volcanoes."""
        return Installation(self.config, list(volcanoes), self.store, self.ledger, self.workers, self.watch)


@contextmanager
def open_installation(
    config: Config | str | Path,
    *,
    only: Sequence[int] = (),
    watch: Watch | None = None,
    volcanoes: Sequence[Volcano] | None = None,
) -> Iterator[Installation]:
    """Open an installation; closes ledger and workers at the end.

    Parameters
    ----------
    config : settings, or the path of a configuration, which is then checked as every command does
    only : GVP numbers to work on; empty takes the whole catalogue
    watch : hears of progress
    volcanoes : these, and not those of the configured catalogue

    Raises
    ------
    UsageError
        for mistakes in the catalogue, the ledger's URL or `only`.
    """
    if not isinstance(config, Config):
        config = load_checked(config, volcanoes=volcanoes is None)
    offered = catalogue.load(config.catalogue) if volcanoes is None else volcanoes
    known = {v.gvp for v in offered}
    if missing := [g for g in only if g not in known]:
        raise UsageError(f"volcano {missing[0]} is not in {config.catalogue}; it holds {len(known)} volcanoes")
    chosen = [v for v in offered if not only or v.gvp in only]
    storage = config.storage
    store = Store(config.store, storage.endpoint_url, storage.region, storage.anonymous)
    cluster = config.cluster
    with (
        Ledger(config.ledger) as ledger,
        workers(cluster.kind, count=cluster.workers, address=cluster.address) as hands,
    ):
        yield Installation(config, chosen, store, ledger, hands, watch or _unwatched)


def _unwatched(stage: str, done: int, total: int, note: str = "") -> None:
    """The progress of a run that nobody watches."""


def batches(volcanoes: Sequence[Volcano], size: int) -> list[list[Volcano]]:
    """Volcanoes in batches that keep those of one frame together, so that its files are opened once."""
    ordered = sorted(volcanoes, key=lambda v: (v.frames, v.gvp))
    return [list(ordered[i : i + size]) for i in range(0, len(ordered), size)]


def storage_options(storage: Storage) -> StorageOptions:
    """fsspec options for ``s3://`` URLs."""
    return {
        "anon": storage.anonymous,
        "endpoint_url": storage.endpoint_url,
        "client_kwargs": {"region_name": storage.region},
        "config_kwargs": {
            "connect_timeout": storage.timeout_s,
            "read_timeout": storage.timeout_s,
            "retries": {"max_attempts": 3, "mode": "standard"},
        },
    }
