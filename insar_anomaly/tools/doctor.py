"""What an operator checks before the first night, and after a night that went wrong: is everything there, does it work?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from insar_anomaly import catalogue, notify
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.detectors import backbone as features
from insar_anomaly.detectors.base import Registration as DetectorKind
from insar_anomaly.errors import InsarAnomalyError, PluginFailed
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.presence import parted
from insar_anomaly.notify.files import Files
from insar_anomaly.notify.message import Registration as ChannelKind
from insar_anomaly.pipeline import storage_options
from insar_anomaly.pipeline.cluster import local_count, workers
from insar_anomaly.pipeline.parts import build_detector
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.registry import CHANNELS, DETECTORS, SOURCES, Registry
from insar_anomaly.sources import open_source
from insar_anomaly.sources.base import Registration as SourceKind
from insar_anomaly.sources.base import Source
from insar_anomaly.sources.grid import cut
from insar_anomaly.stack.contents import kinds_held
from insar_anomaly.stack.store import Store


@dataclass(frozen=True)
class Finding:
    """One thing that was examined, whether it is right, and what mends it where it is not."""

    what: str
    ok: bool
    words: str


def examine(config: Config) -> list[Finding]:
    """Examine catalogue, sources, boxes, ledger, store, figures, channels, detector, workers and other packages.

    Changes nothing but the ledger's tables; what it writes to see whether it can, it takes away again.
    """
    return [
        *_catalogue_and_sources(config),
        _ledger(config),
        _store(config),
        *_parted(config),
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
    held: dict[str, Source] = {}
    if not config.source:
        yield Finding("source", False, "no [[source]] is configured; add one with its url")
    for place in config.source:
        try:
            source = open_source(place.kind, place.url, storage_options(config.storage))
            found = set(source.frames())
        except InsarAnomalyError as problem:
            yield Finding(f"source {place.url}", False, str(problem))
            continue
        held = dict.fromkeys(found & frames, source) | held
        yield Finding(f"source {place.url}", True, f"{len(found)} frames, {len(found & frames)} of the catalogue's")
        if frames and not found & frames:
            yield from _none_of(source, place.url, min(frames))
    missing = sorted(frames - held.keys())
    if missing:
        yield Finding("frames", False, f"{len(missing)} of the catalogue's are in no source, first {missing[0]}")
    yield from _boxes(volcanoes, held)


def _none_of(source: Source, url: str, frame: str) -> Iterator[Finding]:
    """What a source says of a frame of the catalogue, where it has none of them: nearest names, or the folder to write."""
    try:
        source.pairs(frame)
    except InsarAnomalyError as problem:
        yield Finding(f"source {url}", False, str(problem))


def _boxes(volcanoes: list[Volcano], held: Mapping[str, Source]) -> Iterator[Finding]:
    """Every volcano whose box lies outside one of its frames; a frame's grid is read once."""
    outside = 0
    for frame in sorted(held):
        here = [volcano for volcano in volcanoes if frame in volcano.frames]
        try:
            grid = held[frame].grid(frame)
        except InsarAnomalyError as problem:
            yield Finding(f"frame {frame}", False, str(problem))
            continue
        for volcano in here:
            try:
                cut(grid, volcano.box, what=f"frame {frame}")
            except InsarAnomalyError as problem:
                outside += 1
                yield Finding(f"volcano {volcano.gvp} {volcano.name}", False, str(problem))
    if held and not outside:
        yield Finding("boxes", True, f"every volcano lies in its frames, {len(held)} of which were compared")


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


def _parted(config: Config) -> Iterator[Finding]:
    """Whether ledger and store belong together; nothing where one of them cannot be opened, which is a finding already."""
    try:
        with Ledger(config.ledger) as ledger:
            held = partial(kinds_held, config.store, storage_options(config.storage))
            gone = parted(ledger, held, config.store)
    except InsarAnomalyError:
        return
    if gone:
        yield Finding("ledger and store", gone.harmless, gone.words)


def _figures(config: Config) -> Finding:
    problem = _unwritable(Path(config.figures))
    return Finding("figures", problem is None, problem or f"{config.figures}: can be written")


def _channels(config: Config) -> Iterator[Finding]:
    volcanoes = _volcanoes(config)
    known = [] if isinstance(volcanoes, InsarAnomalyError) else volcanoes
    if not config.channel:
        yield Finding("channels", False, "no [[channel]] is configured: flags are raised, and no notice is sent; add one")
    for name, settings in notify.named(config.channel).items():
        try:
            channel = notify.opened(settings, name, notify.SOMEBODY)
        except InsarAnomalyError as mistake:
            yield Finding(f"channel {name}", False, str(mistake))
            continue
        unheard = [v.name for v in known if not notify.reaches(settings, v.contacts)]
        problem = _unwritable(channel.folder) if isinstance(channel, Files) else None
        if unheard and len(unheard) == len(known):
            problem = "its notices go to no address: add recipients, or contacts in the catalogue"
        silent = f"; notices of {len(unheard)} volcanoes go to no address, first {unheard[0]}" if unheard else ""
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
    forms: list[tuple[Registry, type]] = [(SOURCES, SourceKind), (DETECTORS, DetectorKind), (CHANNELS, ChannelKind)]
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
