"""What an operator checks before the first night, and after a night that went wrong: is everything there, does it work?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Mapping
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
from insar_anomaly.pipeline.cluster import workers
from insar_anomaly.pipeline.installation import store_of
from insar_anomaly.pipeline.level import level_in
from insar_anomaly.pipeline.local import local_count
from insar_anomaly.pipeline.misfits import another_grid
from insar_anomaly.pipeline.parts import build_detector
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.pipeline.run import Watch
from insar_anomaly.registry import CHANNELS, DETECTORS, SOURCES, Registry
from insar_anomaly.report.states import partly_of, stale_of, state_row, unmeasured_of
from insar_anomaly.sources.base import Registration as SourceKind
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.contents import kinds_held
from insar_anomaly.stack.freshness import StackState
from insar_anomaly.stack.store import Store
from insar_anomaly.tools.doctor.finding import Finding
from insar_anomaly.tools.doctor.heartbeat import heartbeat_findings
from insar_anomaly.tools.doctor.sources import examine_sources
from insar_anomaly.tools.doctor.stacks import failed_reading, stack_findings

LIMIT_S = 60.0
"""Longest time in seconds for one step at a source."""


def examine(
    config: Config, *, watch: Watch | None = None, limit_s: float = LIMIT_S, only: Collection[int] = ()
) -> Iterator[Finding]:
    """Examine catalogue, sources, boxes, ledger, data, store, figures, channels, heartbeat, detector, workers, packages.

    Each finding comes as soon as it is known. Changes nothing but the ledger's tables; what it writes to see whether it can,
    it takes away again.

    Parameters
    ----------
    watch : hears how far it is with what takes long
    limit_s : longest time in seconds for one step at a source: a source that does not answer is a finding
    only : GVP numbers to look at; empty: the whole catalogue
    """
    yield from _catalogue_and_sources(config, watch or _unwatched, limit_s, only)
    yield _ledger(config)
    yield from _data(config, only)
    volcanoes = _volcanoes(config, only)
    yield from stack_findings(config, [] if isinstance(volcanoes, InsarAnomalyError) else volcanoes)
    yield from _level(config)
    yield _store(config)
    yield from _looks(config, only)
    yield from _parted(config)
    yield _figures(config)
    yield from _channels(config, only)
    yield from heartbeat_findings(config)
    yield _detector(config)
    yield _device()
    yield _workers(config)
    yield from _plugins()


def _unwatched(stage: str, done: int, total: int, note: str = "") -> None:
    """Nobody watches."""


def _catalogue_and_sources(config: Config, watch: Watch, limit_s: float, only: Collection[int]) -> Iterator[Finding]:
    volcanoes = _volcanoes(config, only)
    if isinstance(volcanoes, InsarAnomalyError):
        yield Finding("catalogue", False, str(volcanoes))
        return
    frames = {f for v in volcanoes for f in v.frames}
    yield Finding("catalogue", True, f"{counted(len(volcanoes), 'volcano', 'volcanoes')} on {counted(len(frames), 'frame')}")
    yield from examine_sources(config, volcanoes, watch, limit_s=limit_s)


def _data(config: Config, only: Collection[int]) -> Iterator[Finding]:
    """How old the stacks' data were on their last night, and which frames have another grid by now."""
    volcanoes = _volcanoes(config, only)
    wanted = set() if isinstance(volcanoes, InsarAnomalyError) else {s for v in volcanoes for s in v.stacks}
    try:
        with Ledger(config.ledger) as ledger:
            states = {stack: state for stack, state in ledger.newest_states().items() if stack in wanted}
            moved = {stack: words for stack in sorted(wanted) if (words := another_grid(ledger, stack))}
            failed = failed_reading(ledger)
    except InsarAnomalyError:
        return  # a finding already
    if words := "; ".join(_ages(states)):
        yield Finding("data", True, words, {"states": [state_row(stack, state) for stack, state in sorted(states.items())]})
    for one in stale_of(states, failed):
        yield Finding(
            f"stack {one.stack}", False, f"stale on the night of {states[one.stack].as_of}: {one.why}; {one.remedy}"
        )
    for hidden in unmeasured_of(states):
        remedy = "check lat and lon in the catalogue, or add a frame that sees the summit"
        night = states[hidden.stack].as_of
        yield Finding(f"summit of {hidden.stack}", False, f"on the night of {night}: {hidden.why}; {remedy}")
    if partly := partly_of(states):
        words = f"{counted(len(partly), 'stack')} measure a part of the box: " + "; ".join(
            f"{o.stack}, on the night of {states[o.stack].as_of}: {o.why}" for o in partly
        )
        yield Finding("boxes in part", True, words, {"partly": [one.stack for one in partly]})
    for stack, words in moved.items():
        yield Finding(f"grid of {stack}", False, words)


def _ages(states: Mapping[str, StackState]) -> Iterator[str]:
    """How old the data were on each night that is the last one of some stacks, the newest night first."""
    for night in sorted({state.as_of for state in states.values()}, reverse=True):
        mine = [state.age_days for state in states.values() if state.as_of == night]
        ages = [age for age in mine if age is not None]
        if ages:
            one = f"newest acquisition {counted(ages[0], 'day')} old"
            old = one if min(ages) == max(ages) else f"newest acquisitions {min(ages)} to {max(ages)} days old"
            yield f"{counted(len(mine), 'stack')} up to the night of {night}: {old}"


def _level(config: Config) -> Iterator[Finding]:
    """From where on flags are told; nothing before the first fit."""
    try:
        with Ledger(config.ledger) as ledger:
            level = level_in(ledger, config.flags.false_flags_per_year)
    except InsarAnomalyError:
        return  # a finding already
    if level is not None:
        yield Finding("level", True, level.words)


def _volcanoes(config: Config, only: Collection[int]) -> list[Volcano] | InsarAnomalyError:
    try:
        return [one for one in catalogue.load(config.catalogue) if not only or one.gvp in only]
    except InsarAnomalyError as problem:
        return problem


def _ledger(config: Config) -> Finding:
    try:
        with Ledger(config.ledger) as ledger:
            runs = ledger.runs(limit=1)
            last = f"last run {runs[0].kind} of {runs[0].as_of}: {runs[0].status}" if runs else "no run yet"
            stuck = [n for n in ledger.pending() if n.attempts]
            remedy = f"; {counted(len(stuck), 'notice')} did not arrive, see `insar-anomaly notices`" if stuck else ""
            return Finding("ledger", not stuck, f"{ledger.name}: {last}{remedy}")
    except InsarAnomalyError as problem:
        return Finding("ledger", False, str(problem))


def _store(config: Config) -> Finding:
    storage = config.storage
    try:
        tried = Store(config.store, storage.endpoint_url, storage.region, storage.anonymous).probe()
    except InsarAnomalyError as problem:
        return Finding("store", False, str(problem))
    return Finding("store", True, f"{config.store}: can be read and written ({tried})")


def _looks(config: Config, only: Collection[int]) -> Iterator[Finding]:
    """Stacks whose look vector is the nominal one, as it was where the frame's layers were missing or broken at first."""
    volcanoes = _volcanoes(config, only)
    wanted = [] if isinstance(volcanoes, InsarAnomalyError) else [stack for one in volcanoes for stack in one.stacks]
    store = store_of(config)
    try:
        nominal = [stack for stack in wanted if store.has(stack) and store.open(stack).attrs.get("look") == "nominal"]
    except InsarAnomalyError:
        return  # a finding already
    if nominal:
        words = (
            f"{counted(len(nominal), 'stack')} with the nominal look vector, first {nominal[0]}; where the source has the "
            f"frame's own layers by now, `insar-anomaly restack {nominal[0]}` takes them"
        )
        yield Finding("look vector", True, words, {"nominal": nominal})


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


def _channels(config: Config, only: Collection[int]) -> Iterator[Finding]:
    volcanoes = _volcanoes(config, only)
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
        problem = _unwritable(channel.folder) if isinstance(channel, Files) else getattr(channel, "blocked", None)
        if unheard and len(unheard) == len(known):
            problem = "its notices go to no address: add recipients, or contacts in the catalogue"
        if config.route and name not in {route.channel for route in config.route}:
            problem = "no [[route]] names it: nothing is sent there; add one, or remove the channel"
        silent = (
            f"; notices of {counted(len(unheard), 'volcano', 'volcanoes')} go to no address, first {unheard[0]}"
            if unheard
            else ""
        )
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
