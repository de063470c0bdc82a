"""The configuration file with every default as a comment."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

from pydantic import BaseModel

from insar_anomaly.config.channel import ChannelKind, ChannelSettings
from insar_anomaly.config.route import RouteSettings
from insar_anomaly.config.section import Section
from insar_anomaly.config.sections import Config
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import PluginFailed
from insar_anomaly.files.allowed import as_toml
from insar_anomaly.registry import CHANNELS, SOURCES


def commented_defaults(extra: dict[str, list[str]] | None = None) -> str:
    """The file with every default as a comment, ready to be edited.

    `extra` maps a section's name to further lines for it (a detector's own settings).
    """
    lines = ["# insar-anomaly configuration. A commented line shows the default; secrets stay in the environment.", ""]
    lines += _described(Config, skip=("source", "channel", "route"))
    lines += ["", "# A place where interferograms are found; repeat the table for more.", "[[source]]"]
    lines += [f"# kinds of source: {', '.join(SOURCES.kinds)}", *_described(SourceSettings)]
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            lines += ["", f"# {_caption(field.annotation)}", f"[{name}]", *_described(field.annotation)]
            lines += (extra or {}).get(name, [])
    for kind in CHANNELS.kinds:
        lines += ["", *_channel(kind)]
    lines += ["", *_commented("route", RouteSettings, [])]
    return "\n".join(lines) + "\n"


def _channel(kind: str) -> list[str]:
    try:
        settings = CHANNELS.load(kind, ChannelKind).settings
    except PluginFailed as problem:
        return [f"# {problem}"]
    return _commented("channel", settings, [f"kind = {as_toml(kind)}"])


def _commented(table: str, settings: type[BaseModel], first: list[str]) -> list[str]:
    """A table of which there may be none or many, wholly as a comment."""
    shared = () if table == "route" else tuple(ChannelSettings.model_fields)  # what all channels have comes last
    own = tuple(name for name in settings.model_fields if name not in shared)
    lines = [*first, *_described(settings, skip=("kind", *shared)), *_described(settings, skip=("kind", *own))]
    return [f"# {_caption(settings)}", f"# [[{table}]]", *(one if one.startswith("#") else f"# {one}" for one in lines)]


def _described(model: type[BaseModel], skip: tuple[str, ...] = ()) -> list[str]:
    lines = []
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if name in skip or (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            continue
        choices = get_args(annotation) if get_origin(annotation) is Literal else ()
        hint = f" ({' | '.join(map(str, choices))})" if len(choices) > 1 else ""
        if field.is_required() and choices:
            lines.append(f"{name} = {as_toml(choices[0])}")
        elif field.is_required():
            given = '["..."]' if get_origin(annotation) in (list, tuple) else '"..."'
            lines.append(f"{name} = {given}  # required: {field.description}")
        elif field.default is None:
            lines.append(f"# {name} =  # unset; {field.description}{hint}")
        else:
            lines.append(f"# {name} = {as_toml(field.default)}  # {field.description}{hint}")
    return lines


def _caption(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]
