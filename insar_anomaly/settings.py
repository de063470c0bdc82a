"""A detector's own settings in the configuration: checked and printed from its dataclass, where their defaults stand."""

from __future__ import annotations

import difflib
import re
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ConfigDict, ValidationError, create_model

from insar_anomaly import detectors
from insar_anomaly.config import Config, as_toml
from insar_anomaly.errors import ConfigError

# arrays, which a configuration cannot hold; `weights` names a file for the first
_NOT_IN_FILES = ("network", "network_name", "labelled")


def check_detector(file: str | Path, config: Config) -> None:
    """Check ``[detector]`` against the settings of the detector that it names.

    Raises
    ------
    ConfigError
        naming the file, the key, the value and the nearest known key.
    """
    kind, options = config.detector.kind, config.detector.options
    try:
        settings = _settings(kind)
    except ValueError as problem:
        raise ConfigError(f"{file}: [detector] {problem}") from None
    for name in options:
        if name not in settings:
            near = difflib.get_close_matches(name, settings, n=1)
            hint = f"did you mean {near[0]}?" if near else f"{kind} has {', '.join(settings)}"
            raise ConfigError(f"{file}: [detector] {name}: unknown key; {hint}")
    try:
        create_model("Detector", __config__=ConfigDict(extra="forbid"), **settings)(**options)
    except ValidationError as problem:
        lines = [f"{file}: [detector] {e['loc'][0]}: {e['msg']} (given: {e['input']!r})" for e in problem.errors()]
        raise ConfigError("\n".join(lines)) from None


def detector_lines() -> list[str]:
    """Commented defaults of every detector, for `insar-anomaly config`."""
    lines = []
    for kind in detectors.NAMES:
        words: dict[str, str] = {}
        for one in reversed(detectors.settings_class(kind).__mro__[:-1]):
            words |= _descriptions(one.__doc__ or "")
        lines.append(f'# settings of kind = "{kind}":')
        for name, (_, default) in _settings(kind).items():
            shown = f"{as_toml(default)}" if default is not None else " # unset"
            lines.append(f"# {name} = {shown}" + (f"  # {words[name]}" if name in words else ""))
    return lines


def _settings(kind: str) -> dict[str, Any]:
    """Name -> (type, default) of a detector's settings."""
    known = detectors.settings_class(kind)
    hints = get_type_hints(known)
    out = {}
    for one in fields(known):
        if one.name in _NOT_IN_FILES:
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        out[one.name] = (hints[one.name], default)
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
