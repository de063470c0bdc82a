"""What an operator checks before the first night, and after a night that went wrong: is everything there, does it work?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from insar_anomaly import catalogue, notify
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.detectors import backbone as features
from insar_anomaly.detectors.base import Registration as Detector
from insar_anomaly.errors import InsarAnomalyError, PluginFailed
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.notify.files import Files
from insar_anomaly.notify.message import Registration as Channel
from insar_anomaly.pipeline import storage_options
from insar_anomaly.pipeline.cluster import local_count, workers
from insar_anomaly.pipeline.parts import build_detector
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.registry import CHANNELS, DETECTORS, SOURCES, Registry
from insar_anomaly.sources import open_source
from insar_anomaly.sources.base import Registration as Source
from insar_anomaly.stack.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    what: str
    ok: bool
    words: str


def examine(config: Config) -> list[Finding]:
    """Check catalogue, sources, ledger, store, figures, channels, detector, workers and other packages.

    Changes nothing but the ledger's tables; what it writes to see whether it can, it takes away again.
    """
    return [
        *_catalogue_and_sources(config),
        _ledger(config),
        _store(config),
        _figures(config),
        *_channels(config),
        _detector(config),
        _device(),
        _workers(config),
        *_plugins(),
    ]


def _catalogue_and_sources(config: Config) -> Iterator[Finding]:
    volcanoes = _volcanoes(config)
    if isinstance(volcanoes, InsarAnomalyError):
        yield Finding("catalogue", False, str(volcanoes))
        return
    frames = {f for v in volcanoes for f in v.frames}
    yield Finding("catalogue", True, f"{len(volcanoes)} volcanoes on {len(frames)} frames")
    held: set[str] = set()
    if not config.source:
        yield Finding("source", False, "no [[source]] is configured; add one with its url")
    for source in config.source:
        try:
            found = set(open_source(source.kind, source.url, storage_options(config.storage)).frames())
        except InsarAnomalyError as problem:
            yield Finding(f"source {source.url}", False, str(problem))
            continue
        held |= found
        yield Finding(f"source {source.url}", True, f"{len(found)} frames, {len(found & frames)} of the catalogue's")
    missing = sorted(frames - held)
    if missing:
        yield Finding("frames", False, f"{len(missing)} of the catalogue's are in no source, first {missing[0]}")


def _volcanoes(config: Config) -> list[Volcano] | InsarAnomalyError:
    try:
        return catalogue.load(config.catalogue)
    except InsarAnomalyError as problem:
        return problem


def _ledger(config: Config) -> Finding:
    try:
        with Ledger(config.ledger) as ledger:
            runs = ledger.runs(limit=1)
            last = f"last run {runs[0].kind} of {runs[0].as_of}: {runs[0].status}" if runs else "no run yet"
            stuck = [n for n in ledger.pending() if n.attempts]
            remedy = f"; {len(stuck)} notices have not arrived, see `insar-anomaly notices`" if stuck else ""
            return Finding("ledger", not stuck, f"{ledger.name}: {last}{remedy}")
    except InsarAnomalyError as problem:
        return Finding("ledger", False, str(problem))


def _store(config: Config) -> Finding:
    storage = config.storage
    try:
        Store(config.store, storage.endpoint_url, storage.region, storage.anonymous).probe()
    except InsarAnomalyError as problem:
        return Finding("store", False, str(problem))
    return Finding("store", True, f"{config.store}: can be read and written")


def _figures(config: Config) -> Finding:
    problem = _unwritable(Path(config.figures))
    return Finding("figures", problem is None, problem or f"{config.figures}: can be written")


def _channels(config: Config) -> Iterator[Finding]:
    volcanoes = _volcanoes(config)
    known = [] if isinstance(volcanoes, InsarAnomalyError) else volcanoes
    if not config.channel:
        yield Finding("channels", False, "no [[channel]] is configured: flags are raised and nobody is notified; add one")
    for name, settings in notify.named(config.channel).items():
        try:
            channel = notify.opened(settings, name, notify.SOMEBODY)
        except InsarAnomalyError as mistake:
            yield Finding(f"channel {name}", False, str(mistake))
            continue
        unheard = [v.name for v in known if not notify.reaches(settings, v.contacts)]
        problem = _unwritable(channel.folder) if isinstance(channel, Files) else None
        if unheard and len(unheard) == len(known):
            problem = "nobody gets its notices: add recipients, or contacts in the catalogue"
        silent = f"; {len(unheard)} volcanoes have nobody who gets them, first {unheard[0]}" if unheard else ""
        yield Finding(f"channel {name}", problem is None, problem or f"its settings can be used; nothing was sent{silent}")


def _detector(config: Config) -> Finding:
    try:
        build_detector(DetectorChoice(config.detector.kind, config.detector.options), storage_options(config.storage))
    except InsarAnomalyError as problem:
        return Finding("detector", False, str(problem))
    return Finding("detector", True, config.detector.kind)


def _device() -> Finding:
    device = features.device()
    return Finding("device", True, f"scoring runs on {device} here" + ("" if device.type == "cuda" else "; no GPU found"))


def _workers(config: Config) -> Finding:
    place = config.cluster
    try:
        # one local worker proves that they start; a night starts as many as are configured
        with workers(place.kind, count=1, address=place.address) as hands:
            gpu = "GPU workers" if hands.gpu_wanted() else "CPU workers"
            count = place.workers or local_count() if place.kind == "local" else hands.width
            return Finding("workers", True, f"{place.kind}: {count} {gpu}")
    except (InsarAnomalyError, OSError) as problem:
        return Finding("workers", False, f"{place.kind}: {problem}; check [cluster]")


def _plugins() -> Iterator[Finding]:
    """What other installed packages add; one that cannot be imported matters only to who uses it, and is told here."""
    forms: list[tuple[Registry, type]] = [(SOURCES, Source), (DETECTORS, Detector), (CHANNELS, Channel)]
    for registry, form in forms:
        for plugin in registry.plugins:
            what = f"{registry.what} {plugin.kind}"
            try:
                registry.load_plugin(plugin, form)
            except PluginFailed as problem:
                yield Finding(what, False, str(problem))
            else:
                yield Finding(what, True, f"of package {plugin.package}")


def _unwritable(folder: Path) -> str | None:
    """Why files cannot be written to a folder that may not exist yet; None where they can."""
    made = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    probe = made / f".insar-anomaly-doctor.{os.getpid()}"
    try:
        probe.write_bytes(b"0")
    except OSError as problem:
        return f"{folder}: {problem.strerror}; make it a folder that can be written"
    with contextlib.suppress(OSError):
        probe.unlink()
    return None
