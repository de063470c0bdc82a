"""Everything about a configuration that can be checked before work begins; a detector's own settings, checked and printed
from its dataclass, where their defaults stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import MISSING, fields
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import Field, create_model

from insar_anomaly import catalogue, detectors, notify
from insar_anomaly.config.load import detector_table, load, source_tables, where
from insar_anomaly.config.section import Section
from insar_anomaly.config.sections import Config, Detector
from insar_anomaly.errors import ConfigError, PluginFailed, SourceUnavailable, UsageError
from insar_anomaly.files.allowed import as_toml
from insar_anomaly.files.mistakes import unknown_key, validated
from insar_anomaly.files.text import Table
from insar_anomaly.ledger.ledger import check_url
from insar_anomaly.ledger.presence import parted_on_disk
from insar_anomaly.registry import DETECTORS
from insar_anomaly.sources import check_source, open_source
from insar_anomaly.stack.contents import kinds_held

# arrays, which a configuration cannot hold; `weights` names a file for the first
_NOT_IN_FILES = ("network", "network_name", "labelled")

_PIXEL = 0.001
"""Degrees, 100 m: the pixels of LiCSAR."""


class Part(StrEnum):
    """A part of the configuration that some commands use and others do not."""

    SOURCES = "sources"
    DETECTOR = "detector"
    LABELS = "labels"
    CHANNELS = "channels"


def load_checked(
    path: str | Path, *, volcanoes: bool = True, needs: Collection[Part] = tuple(Part), places: bool = False
) -> Config:
    """The configuration, once everything that can be known before work begins is right.

    Looks at the file, the environment, the ledger's URL and, unless `volcanoes` is False, the catalogue. Nothing is opened
    on a network.

    Parameters
    ----------
    needs : further parts to check: what the command does not use cannot stop it. A secret must be set only where channels
        are needed
    places : look at local folders too: sources that do not exist or are a frame's own folder, and a ledger or store without
        the other. A command does not ask for that: one source out of reach must not stop the others, and the run itself says
        what is gone

    Raises
    ------
    ConfigError
        listing every mistake with its place.
    """
    mistakes: list[str] = []
    try:
        config = load(path, secrets=Part.CHANNELS in needs)
    except ConfigError as problem:
        mistakes += str(problem).splitlines()
        if Part.SOURCES in needs and (hints := _layouts_of_others(path)):
            mistakes += hints
            problem = ConfigError("\n".join(mistakes))
        if Part.DETECTOR not in needs:
            raise problem from None
        table = detector_table(path)  # a file that cannot be read at all ends here
        mistakes += _detector_mistakes(path, str(table.get("kind", Detector().kind)), table)
        raise ConfigError("\n".join(mistakes)) from None
    mistakes += _complaints(where(path, "ledger"), lambda: check_url(config.ledger))
    for part in Part:
        mistakes += _CHECKS[part](path, config) if part in needs else []
    if Part.DETECTOR in needs:
        config = config.model_copy(update={"detector": _numbers(config.detector)})
    if volcanoes:
        mistakes += _complaints(where(path, "catalogue"), lambda: catalogue.load(config.catalogue))
    if places:
        mistakes += _local_places(path, config)
        mistakes += _useless_polygons(config) if volcanoes and not mistakes else []
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return config


def _source_mistakes(path: str | Path, config: Config) -> list[str]:
    mistakes = []
    for number, source in enumerate(config.source):
        place = where(path, "source", number, "url")
        mistakes += _complaints(f"{place}: [[source]] url", partial(check_source, source.kind, source.url))
    return mistakes


def _layouts_of_others(path: str | Path) -> list[str]:
    """Local folders of kind folder for which no pattern is given, and whose layout another kind reads without one."""
    lines = []
    for number, table in enumerate(source_tables(path)):
        if table.get("kind") != "folder" or "pattern" in table or "://" in table["url"]:
            continue
        from insar_anomaly.sources.archive import Archive  # with GDAL, which takes its time
        from insar_anomaly.sources.looks_like import layout_in

        place = Archive(table["url"])
        try:
            found = layout_in(place, place.root)
        except SourceUnavailable as problem:
            lines.append(f"{where(path, 'source', number, 'url')}: [[source]] url: {problem}")
            continue
        if found and found[0] != "folder":
            words = f'{place.url} looks like {found[0]}: write kind = "{found[0]}", which needs no pattern'
            lines.append(f"{where(path, 'source', number, 'kind')}: [[source]] kind: {words}")
    return lines


def _channel_mistakes(path: str | Path, config: Config) -> list[str]:
    mistakes = []
    for number, (name, channel) in enumerate(notify.named(config.channel).items()):
        place = f"{where(path, 'channel', number)}: [[channel]] {channel.kind}"
        mistakes += _complaints(place, partial(notify.opened, channel, name, notify.SOMEBODY))
    return mistakes


def _label_mistakes(path: str | Path, config: Config) -> list[str]:
    labels = config.calibrate.labels
    if not labels or Path(labels).is_file():
        return []
    return [f"{where(path, 'calibrate', 'labels')}: [calibrate] labels: {labels} is no file"]


def _useless_polygons(config: Config) -> list[str]:
    """Exclusion polygons that exclude nothing (corners in the wrong order, or of another volcano), or all of a box."""
    volcanoes = catalogue.load(config.catalogue)
    everything = [
        f"{config.catalogue}: {volcano.nothing_left}" for volcano in volcanoes if volcano.excludes_everything(_PIXEL)
    ]
    return everything + [
        f"{config.catalogue}: {volcano.name} ({volcano.gvp}): exclude, polygon {number} covers no pixel of the box; "
        "write corners as [lon, lat], or remove it"
        for volcano in volcanoes
        for number in volcano.useless_polygons(_PIXEL)
    ]


_CHECKS: dict[Part, Callable[[str | Path, Config], list[str]]] = {
    Part.SOURCES: _source_mistakes,
    Part.DETECTOR: lambda path, config: _detector_mistakes(path, config.detector.kind, config.detector.options),
    Part.LABELS: _label_mistakes,
    Part.CHANNELS: _channel_mistakes,
}


def _local_places(path: str | Path, config: Config) -> list[str]:
    """What is wrong with local sources, and with the ledger or the store where the other is there."""
    lines = (
        [] if config.source else [f"{path}:1: no [[source]] is configured: nothing can be ingested; add one with its url"]
    )
    for number, source in enumerate(config.source):
        place = f"{where(path, 'source', number, 'url')}: [[source]] url"
        if "://" not in source.url or source.url.startswith("file://"):
            try:
                open_source(source, {}).frames()
            except SourceUnavailable as problem:
                lines.append(f"{place}: {problem}")
            except PluginFailed:  # told already
                continue
    if not config.store.startswith("s3://"):
        try:
            gone = parted_on_disk(config.ledger, partial(kinds_held, config.store, {}), config.store)
        except ConfigError:  # a wrong URL of the ledger is told already
            gone = None
        if gone and not gone.harmless:
            lines.append(f"{where(path, 'ledger' if gone.ledger else 'store')}: {gone.words}")
    return lines


def _complaints(place: str, look: Callable[[], object]) -> list[str]:
    try:
        look()
    except UsageError as problem:
        return [f"{place}: {line}" for line in str(problem).splitlines()]
    return []


def _detector_mistakes(path: str | Path, kind: str, table: Table) -> list[str]:
    options = {name: value for name, value in table.items() if name != "kind"}
    try:
        settings = _settings(kind)
    except (ValueError, PluginFailed) as problem:
        return [f"{where(path, 'detector', 'kind')}: [detector] {problem}"]
    lines = []
    for name in [name for name in options if name not in settings]:
        words = unknown_key(name, settings, there=kind)
        lines.append(f"{where(path, 'detector', name)}: [detector] {name}: {words}")
        del options[name]
    types = create_model("Detector", __base__=Section, **settings)
    for mistake in validated(types, options)[1]:
        name = mistake.names[0]
        lines.append(f"{where(path, 'detector', name)}: [detector] {name}: {mistake}")
    if not lines:
        try:
            detectors.build(kind, **_numbers(Detector(kind=kind, **options)).options)
        except (ValueError, PluginFailed) as problem:  # what the detector itself refuses, a line for each mistake
            for words in str(problem).splitlines():
                name = words.partition(" = ")[0]
                place = where(path, "detector", name) if name in options else where(path, "detector")
                lines.append(f"{place}: [detector] {words}")
    return lines


def _numbers(detector: Detector) -> Detector:
    """The table with numbers that the environment gave as text as numbers; as it is where something else is wrong in it."""
    try:
        made, _ = validated(create_model("Detector", __base__=Section, **_settings(detector.kind)), detector.options)
    except (ValueError, PluginFailed):
        return detector
    typed = {name: getattr(made, name) for name, given in detector.options.items() if made and isinstance(given, str)}
    numbers = {name: value for name, value in typed.items() if isinstance(value, int | float)}
    return Detector(**{"kind": detector.kind, **detector.options, **numbers})


def detector_lines() -> list[str]:
    """Commented defaults of every detector, for `insar-anomaly config`."""
    lines = []
    for kind in DETECTORS.kinds:
        try:
            settings = _settings(kind)
        except PluginFailed as problem:
            lines.append(f"# {problem}")
            continue
        lines.append(f'# settings of kind = "{kind}":')
        for name, (_, field) in settings.items():
            shown = f"{as_toml(field.default)}" if field.default is not None else " # unset"
            lines.append(f"# {name} = {shown}" + (f"  # {field.description}" if field.description else ""))
    return lines


def _settings(kind: str) -> dict[str, Any]:
    """Name -> (type, default and description) of a detector's settings."""
    known = detectors.settings_class(kind)
    hints = get_type_hints(known)
    words: dict[str, str] = {}
    for base in reversed(known.__mro__[:-1]):
        words |= _descriptions(base.__doc__ or "")
    out = {}
    for one in fields(known):
        if one.name in _NOT_IN_FILES:
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        out[one.name] = (hints[one.name], Field(default, description=words.get(one.name)))
    return out


def _descriptions(doc: str) -> dict[str, str]:
    """Descriptions from a numpydoc ``Parameters`` section; one line may describe several names."""
    out: dict[str, str] = {}
    names: list[str] = []
    for line in doc.splitlines():
        if found := re.match(r"^    ([a-z_, ]+) : (.*)$", line):
            names = [n.strip() for n in found[1].split(",")]
            out |= dict.fromkeys(names, found[2])
        elif names and line.startswith("        "):
            for name in names:
                out[name] += " " + line.strip()
        else:
            names = []
    return out
