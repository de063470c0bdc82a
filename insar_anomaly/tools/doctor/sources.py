"""Sources: which frames they hold, how long a listing takes, and one pair of each read from end to end."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.pipeline import storage_options
from insar_anomaly.pipeline.installation import store_of
from insar_anomaly.pipeline.run import Watch
from insar_anomaly.sources import open_source
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.bands import parted, two_bands
from insar_anomaly.sources.base import Source
from insar_anomaly.sources.foreign import guarded
from insar_anomaly.sources.grid import cut
from insar_anomaly.sources.joined import JoinedSource
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.schema import wavelength_of
from insar_anomaly.tools.doctor.finding import Finding, within
from insar_anomaly.tools.doctor.pair import Sample, examine_pair

_FEW = 5
"""Names that are given of a longer list."""


def examine_sources(config: Config, volcanoes: Sequence[Volcano], watch: Watch, *, limit_s: float) -> Iterator[Finding]:
    """Every source, then what none of them holds, then the boxes.

    Parameters
    ----------
    limit_s : longest time in seconds for each step at a source, and for all boxes together
    """
    frames = {frame for volcano in volcanoes for frame in volcano.frames}
    held: dict[str, list[Source]] = {}
    reached: list[tuple[str, Source, set[str]]] = []
    if not config.source:
        yield Finding("source", False, "no [[source]] is configured; add one with its url")
    for number, place in enumerate(config.source, 1):
        watch("sources", number, len(config.source), place.url)
        what = f"source {place.url}"
        try:
            source = open_source(place, storage_options(config.storage))
            found, seconds = within(limit_s, f"listing of {place.url}", partial(guarded, place.url, _frames, source))
            yield from _left_out(place.url, what)
        except InsarAnomalyError as problem:
            yield Finding(what, False, str(problem))
            continue
        mine = found & frames
        reached.append((what, source, mine))
        for frame in mine:
            held.setdefault(frame, []).append(source)
        yield _listed(what, found, frames, seconds)
        if frames and not mine:
            yield from _none_of(source, what, min(frames), limit_s)
    joined = {frame: several[0] if len(several) == 1 else JoinedSource(tuple(several)) for frame, several in held.items()}
    for what, source, mine in reached:
        if mine:
            volcano = next(one for one in volcanoes if not mine.isdisjoint(one.frames))
            frame = next(frame for frame in volcano.frames if frame in mine)
            sample = Sample(source, joined[frame], volcano, frame, f"{what}, frame {frame}")
            yield from examine_pair(config, sample, limit_s=limit_s)
    several = [frame for frame, source in joined.items() if isinstance(source, JoinedSource)]
    yield from (found for frame in several for found in _two_bands(config, joined[frame], frame, volcanoes, limit_s=limit_s))
    missing = sorted(frames - held.keys())
    if missing:
        words = f"{len(missing)} of the catalogue's {'is' if len(missing) == 1 else 'are'} in no source, first {missing[0]}"
        yield Finding("frames", False, words, {"missing": missing})
    yield from _boxes(volcanoes, joined, watch, limit_s=limit_s)


def _two_bands(
    config: Config, source: Source, frame: str, volcanoes: Sequence[Volcano], *, limit_s: float
) -> Iterator[Finding]:
    """A frame of which several sources hold products of two wavelengths."""
    store, what = store_of(config), f"frame {frame}"
    stacks = [stack for one in volcanoes for name, stack in zip(one.frames, one.stacks, strict=True) if name == frame]
    try:
        listing, _ = within(limit_s, f"listing of {frame}", partial(guarded, what, source.pairs, frame))
        made = next((stack for stack in stacks if store.has(stack)), None)
        first = next((one.wavelength_m for one in listing.pairs), float("nan"))
        wavelength = wavelength_of(store.open(made)) if made else first
    except InsarAnomalyError as problem:
        yield Finding(what, False, str(problem))
        return
    if refused := parted(listing, wavelength)[1]:
        yield Finding(what, False, two_bands(frame, refused, wavelength))


def _left_out(url: str, what: str) -> Iterator[Finding]:
    """What of a local source's folder cannot be listed."""
    archive = Archive(url)
    problems: list[str] = []
    if archive.local:
        archive.entries(archive.root, problems)
    if problems:
        words = f"{counted(len(problems), 'thing')} left out of the listing: {'; '.join(problems[:_FEW])}"
        yield Finding(what, False, words, {"unlisted": problems})


def _frames(source: Source) -> set[str]:
    return set(source.frames())


def _listed(what: str, found: Collection[str], frames: Collection[str], seconds: float) -> Finding:
    missing = sorted(set(frames) - set(found))
    words = (
        f"{counted(len(found), 'frame')}{_few(sorted(found))}, {len(frames) - len(missing)} of the catalogue's; "
        f"listed in {seconds:.2g} s"
    )
    if missing and len(missing) < len(frames):
        words += f"; not here: {len(missing)} of the catalogue's{_few(missing)}"
    details = {"frames": len(found), "first": sorted(found)[:_FEW], "missing": missing, "seconds": round(seconds, 3)}
    return Finding(what, True, words, details)


def _few(names: Sequence[str]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:_FEW])}{', ...' if len(names) > _FEW else ''})"


def _none_of(source: Source, what: str, frame: str, limit_s: float) -> Iterator[Finding]:
    """What a source says of a frame of the catalogue, where it has none of them: nearest names, or the folder to write."""
    try:
        within(limit_s, f"{what}: listing of {frame}", partial(guarded, what, source.pairs, frame))
    except InsarAnomalyError as problem:
        yield Finding(what, False, str(problem))


def _boxes(volcanoes: Sequence[Volcano], held: Mapping[str, Source], watch: Watch, *, limit_s: float) -> Iterator[Finding]:
    """Every volcano whose box lies outside one of its frames; a frame's grid is read once."""
    outside, skipped, deadline = 0, 0, time.monotonic() + limit_s
    for number, frame in enumerate(sorted(held), 1):
        watch("boxes", number, len(held), frame)
        left = deadline - time.monotonic()
        if left <= 0:
            skipped = len(held) - number + 1
            break
        here = [volcano for volcano in volcanoes if frame in volcano.frames]
        try:
            grid, _ = within(left, f"grid of frame {frame}", partial(guarded, f"frame {frame}", held[frame].grid, frame))
        except InsarAnomalyError as problem:
            yield Finding(f"frame {frame}", False, str(problem))
            continue
        for volcano in here:
            try:
                cut(grid, volcano.box, what=f"frame {frame}")
            except InsarAnomalyError as problem:
                outside += 1
                yield Finding(f"volcano {volcano.gvp} {volcano.name}", False, str(problem))
    if skipped:
        compared = f"{len(held) - skipped} of {len(held)} frames were compared within {limit_s:g} s"
        yield Finding("boxes", not outside, f"{compared}; give more time with --limit")
    elif held and not outside:
        yield Finding("boxes", True, f"every volcano lies in its frames, {len(held)} of which were compared")
