"""What every stage needs, opened once: settings, volcanoes, store, ledger, workers; and the run that counts and fails."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from insar_anomaly import __version__, catalogue
from insar_anomaly.calibration.threshold import Target
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config, Storage
from insar_anomaly.errors import Lost, UsageError
from insar_anomaly.ledger.leases import Lease
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.owner import Owner
from insar_anomaly.ledger.presence import parted
from insar_anomaly.ledger.records import ModelRow
from insar_anomaly.ledger.runs import lease_of
from insar_anomaly.names import OF_A_STACK, Couple, EvidenceKind, JsonObject, place
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.pipeline.cluster import Workers, workers
from insar_anomaly.pipeline.heartbeat import Beat
from insar_anomaly.pipeline.leases import beating
from insar_anomaly.pipeline.meter import WHOLE
from insar_anomaly.pipeline.metrics import publish
from insar_anomaly.pipeline.run import Run, Watch
from insar_anomaly.pipeline.tonight import date_of
from insar_anomaly.sources import open_source
from insar_anomaly.sources.base import Listing, Source, StorageOptions
from insar_anomaly.sources.joined import JoinedSource
from insar_anomaly.stack.contents import kinds_held
from insar_anomaly.stack.store import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """The sources that hold a frame, as places among the configured ones, and what those say that are out of reach."""

    sources: tuple[int, ...]
    away: tuple[str, ...] = ()


Located = Held | str
"""Where a frame's sources are; or why there is none."""


@dataclass
class Installation:
    """An opened installation."""

    config: Config
    volcanoes: list[Volcano]
    store: Store
    ledger: Ledger
    workers: Workers
    watch: Watch
    located: Mapping[str, Located] | None = None
    """Where the source of each frame is; None where nobody has looked yet, see `pipeline.ingest.locate`."""
    listings: dict[str, Listing] | None = None
    """What was listed of each frame, kept where a stage lists it more than once; None where each listing is a new one."""

    @cached_property  # asked for once per task
    def by_stack(self) -> dict[str, Volcano]:
        """Volcano of every stack."""
        return {stack: volcano for volcano in self.volcanoes for stack in volcano.stacks}

    @property
    def sources(self) -> list[Source]:
        """Readers of the configured sources."""
        options = storage_options(self.config.storage)
        return [open_source(s, options) for s in self.config.source]

    def source_of(self, place: Held) -> Source:
        """The reader of a frame: one source, or several joined; see `sources.joined`."""
        every = self.sources
        here = tuple(every[number] for number in place.sources)
        return here[0] if len(here) == 1 and not place.away else JoinedSource(here, place.away)

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

    @cached_property
    def by_couple(self) -> dict[str, Volcano]:
        """Volcano of every couple of an ascending and a descending frame, ``gvp/FRAME+FRAME``."""
        if "directions" not in self.config.fusion.evidence:
            return {}
        return {str(couple): v for v in self.volcanoes for couple in Couple.among(v.gvp, v.frames)}

    def resting(self, stack: str, known: Mapping[EvidenceKind, ModelRow] | None = None) -> tuple[ModelRow | None, str]:
        """The model that the stack's flags rest on, and why it is not of the evidence that was asked for (empty if it is).

        None where the stack has no model. Where intervals have no threshold but single pairs have one, flags rest on these:
        better a worse threshold than a blind stack. `known` has the stack's current models, where they were read before.
        """
        if isinstance(place(stack), Couple):
            return self.ledger.current(stack, "directions"), ""

        def current(kind: str) -> ModelRow | None:
            return self.ledger.current(stack, kind) if known is None else known.get(EvidenceKind(kind))

        wanted = self.config.flags.rests_on
        asked, pairs = current(wanted), current(EvidenceKind.PAIR)
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
            if "command" in channel:
                channel["command"] = [*channel["command"][:1], "(the rest is not kept: it may hold a password)"]
        for section, key in (("metrics", "push_url"), ("heartbeat", "url"), ("heartbeat", "icinga_url")):
            if address := settings[section][key]:
                settings[section][key] = f"{urlsplit(address).hostname} (the rest is not kept: it may hold a password)"
        return settings

    @contextmanager
    def run(self, kind: str, as_of: date | None = None, *, beat: Beat | None = None) -> Iterator[Run]:
        """A run, from start to outcome. Any number may be open at the same time: each stack has one writer, see `leases`.

        A run that an error ends is closed as failed; one that a kill ends is closed by the next. Its signs of life
        are those of `beat`, where it has one. Raises UsageError where `as_of` is in the future.
        """
        day, seconds = date_of(as_of), self.config.cluster.lease_s
        with ExitStack() as opened:
            opened.enter_context(self.ledger.in_use())
            gone = parted(self.ledger, self.held, self.config.store)
            tolerated = gone and (gone.harmless or (kind == "ingest" and not gone.ledger))
            if gone and not tolerated:
                raise Lost(gone.words)
            me = Owner.here(kind)
            settings = json.dumps(self._settings)
            number = self.ledger.start_run(kind, day, settings, __version__, owner=me, seconds=seconds)
            alive = self.ledger.take(lease_of(number), me, seconds=seconds)
            assert isinstance(alive, Lease)
            opened.callback(self.ledger.release, alive, forget=True)
            opened.enter_context(beating(self.ledger, {alive.name: alive}, seconds=seconds))
            run = Run(number, kind, day, self.ledger)
            log.info("run %d: %s as of %s, %d stacks", number, kind, day, len(self.by_stack))
            if gone:
                run.warn(gone.words)
            beat = beat or Beat(self.config.heartbeat, kind)
            beat.run = run
            try:
                beat.start()
                with run.meter.stage(WHOLE):
                    yield run
                outcome = {**run.summary, "failures": len(run.failures), "blind": len(run.blind)}
                self.ledger.record_costs(number, run.meter.rows)
                self.ledger.finish_run(number, "failed" if run.failures else "ok", outcome)
            except BaseException as problem:
                beat.fail(problem)  # first: the error may be the ledger's own
                self.ledger.record_costs(number, run.meter.rows)
                self.ledger.finish_run(number, "failed", {**run.summary, "stopped": True})
                raise
            beat.end()
        for words in () if run.dry else publish(self.config.metrics, self.ledger):
            run.warn(words)

    def of(self, stacks: Collection[str]) -> Installation:
        """The same installation for these stacks alone: a volcano has only their frames."""
        mine = []
        for volcano in self.volcanoes:
            frames = tuple(frame for frame, stack in zip(volcano.frames, volcano.stacks, strict=True) if stack in stacks)
            mine += [volcano.model_copy(update={"frames": frames})] if frames else []
        return replace(self, volcanoes=mine)

    def narrowed(self, volcanoes: Sequence[Volcano]) -> Installation:
        """The same installation for some of its volcanoes."""
        return replace(self, volcanoes=list(volcanoes))


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
    cluster = config.cluster
    with (
        Ledger(config.ledger) as ledger,
        workers(cluster.kind, count=cluster.workers, address=cluster.address) as hands,
    ):
        yield Installation(config, chosen, store_of(config), ledger, hands, watch or _unwatched)


def store_of(config: Config) -> Store:
    """The store that a configuration names."""
    storage = config.storage
    return Store(config.store, storage.endpoint_url, storage.region, storage.anonymous)


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
