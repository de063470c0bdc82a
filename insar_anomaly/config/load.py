"""Read a configuration: one TOML file plus environment variables. Every mistake is told at once, with its place."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsError

from insar_anomaly.config.presets import PRESETS
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import ConfigError


def load(path: str | Path, *, secrets: bool = True) -> Config:
    """Read and check a configuration file.

    Parameters
    ----------
    secrets : False where nothing is sent: the environment variables that channels name need not be set then

    Raises
    ------
    ConfigError
        listing every mistake as ``file:line: [section] key: what is wrong``.
    """
    file = Path(path)
    text, values = _parsed(file)
    mistakes = _unknown_variables()
    try:
        config = Config(**values)
    except ValidationError as problem:
        mistakes += sorted({_explained(file, text, error) for error in problem.errors()})
    except SettingsError as problem:
        mistakes.append(f"{file}: environment: {problem}; a list or a whole section is given as JSON")
    else:
        mistakes += _contradictions(file, text, config) + (_unset_secrets(file, text, config) if secrets else [])
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    return _resolved(config, file.resolve().parent)


def detector_table(path: str | Path) -> dict[str, Any]:
    """The file's [detector] table as it stands there, preset included, whatever else is wrong in the file."""
    table = _parsed(Path(path))[1].get("detector", {})
    return table if isinstance(table, dict) else {}


def where(path: str | Path, *place: str | int) -> str:
    """``file:line`` of a section, the number of a table among its like, or a key: ``where(file, "source", 0, "url")``."""
    file = Path(path)
    return f"{file}:{_line(file.read_text(encoding='utf-8'), list(place))}"


def secret(variable: str | None) -> str | None:
    """The value of the environment variable that a channel names, None where it names none.

    Raises ConfigError where the variable is not set.
    """
    if variable and variable not in os.environ:
        raise ConfigError(f"environment variable {variable} is not set")
    return os.environ[variable] if variable else None


def _explained(file: Path, text: str, error: Any) -> str:
    place = list(error["loc"])
    names = [str(p) for p in place if not isinstance(p, int)]
    section = f"[{'.'.join(names[:-1])}] " if len(names) > 1 else ""
    what = error["msg"]
    if error["type"] == "extra_forbidden":
        secretly = re.search("password|secret|token|key", names[-1])
        what = "unknown key" + ("; secrets come from the environment, name the variable instead" if secretly else "")
    given = "" if error["type"] in ("missing", "extra_forbidden") else f" (given: {error['input']!r})"
    variable = f"INSAR_ANOMALY_{'__'.join(names).upper()}"
    where = f"environment variable {variable}" if variable in os.environ else f"{file}:{_line(text, place)}"
    return f"{where}: {section}{names[-1]}: {what}{given}"


def _line(text: str, place: list[str | int]) -> int:
    """The line that a mistake at `place` is about: its key where that is written, else its table's header, else 1."""
    section = next((str(p) for p in place), "")
    number = next((p for p in place[1:2] if isinstance(p, int)), 0)
    key = str(next((p for p in reversed(place) if isinstance(p, str)), ""))
    current, seen, header = "", -1, 1
    for n, line in enumerate(text.splitlines(), 1):
        if found := re.match(r"\s*\[+\s*([\w.-]+)", line):
            current = found[1]
            if current == section:
                seen += 1
                header = n if seen == number else header
        elif re.match(rf"\s*{re.escape(key)}\s*=", line) and (
            (current == section and seen == number) or (len(place) == 1 and not current)
        ):
            return n
    return header


def _parsed(file: Path) -> tuple[str, dict[str, Any]]:
    """Text and tables of the file, with its preset's."""
    try:
        text = file.read_text(encoding="utf-8")
        return text, _with_preset(tomllib.loads(text))
    except OSError as problem:
        raise ConfigError(
            f"{file}: cannot be read ({problem.strerror}); `insar-anomaly config > {file}` makes one"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{file}: not valid TOML: {problem}") from None


def _unknown_variables() -> list[str]:
    """Variables with our prefix that name nothing: what is misspelt would otherwise be ignored without a word."""
    known = [*Config.model_fields, "config"]  # the latter is for infra/prefect.yaml
    lines = []
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix("INSAR_ANOMALY_").split("__")[0].lower()
        if variable.upper().startswith("INSAR_ANOMALY_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0].upper()}?" if near else "unset it"
            lines.append(f"environment variable {variable}: there is no setting or section {name.upper()}; {hint}")
    return lines


def _contradictions(file: Path, text: str, config: Config) -> list[str]:
    lines = []
    if config.preset and config.detector.kind != PRESETS[config.preset]["detector"]["kind"]:
        place = f"{file}:{_line(text, ['preset'])}"
        lines.append(f'{place}: preset = "{config.preset}" is a form of padim, not of {config.detector.kind}: leave one out')
    if "directions" in config.fusion.evidence and "interval" not in config.fusion.evidence:
        line = _line(text, ["fusion", "evidence"])
        lines.append(f'{file}:{line}: [fusion] evidence: "directions" puts intervals together: add "interval"')
    if config.flags.rests_on == "interval" and "interval" not in config.fusion.evidence:
        line = _line(text, ["flags", "rests_on"] if "rests_on" in text else ["fusion", "evidence"])
        lines.append(
            f'{file}:{line}: [flags] rests_on = "interval" needs "interval" in [fusion] evidence: add it, or let flags rest '
            'on "pair"'
        )
    if config.cluster.kind == "address" and not config.cluster.address:
        line = _line(text, ["cluster", "kind"])
        lines.append(f'{file}:{line}: [cluster] kind = "address" needs address = "tcp://host:port"')
    return lines


def _unset_secrets(file: Path, text: str, config: Config) -> list[str]:
    lines = []
    for i, channel in enumerate(config.channel):
        for key, variable in channel.variables.items():
            if variable not in os.environ:
                line = _line(text, ["channel", i, key])
                lines.append(f"{file}:{line}: [[channel]] {key}: environment variable {variable} is not set")
    return lines


def _with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """The file's values over those of the preset that it names, section by section."""
    preset = PRESETS.get(os.environ.get("INSAR_ANOMALY_PRESET", str(values.get("preset"))), {})
    for section, settings in preset.items():
        own = values.get(section, {})
        if isinstance(own, dict) and own.get("kind", settings.get("kind")) != settings.get("kind"):
            continue  # its keys would be called unknown one by one; `_contradictions` says what is wrong
        values[section] = settings | own if isinstance(own, dict) else own
    return values


def _resolved(config: Config, folder: Path) -> Config:
    """Relative paths made absolute, so that a worker elsewhere finds the same files."""

    def full(path: str) -> str:
        return path if "://" in path else str(folder / Path(path).expanduser())

    ledger = config.ledger
    if ledger.startswith("sqlite:///") and not ledger.startswith("sqlite:////"):
        ledger = f"sqlite:///{folder / ledger.removeprefix('sqlite:///')}"
    channels = tuple(c.model_copy(update={key: full(path) for key, path in c.folders.items()}) for c in config.channel)
    labels = config.calibrate.labels
    return config.model_copy(
        update={
            "store": full(config.store),
            "ledger": ledger,
            "catalogue": full(config.catalogue),
            "figures": full(config.figures),
            "source": tuple(s.model_copy(update={"url": full(s.url)}) for s in config.source),
            "channel": channels,
            "calibrate": config.calibrate.model_copy(update={"labels": full(labels) if labels else None}),
        }
    )
