"""Read a configuration: one TOML file plus environment variables. All mistakes are reported, each with its place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic_settings import SettingsError

from insar_anomaly.config.presets import PRESETS
from insar_anomaly.config.routes import route_mistakes
from insar_anomaly.config.section import Section
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import ConfigError
from insar_anomaly.files.lines import Lines
from insar_anomaly.files.mistakes import Mistake, header, nearest, validated
from insar_anomaly.files.text import NotText, Table, toml

_NAME = re.compile(r"[A-Z]{2,20}|[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")
"""What names of variables look like; keys and passwords have small letters, or no underscores between many characters."""
_LONGEST_NAME = 60


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
    lines = Lines.of(text)
    mistakes = _unknown_variables()
    try:
        config, wrong = validated(Config, values)
    except SettingsError as problem:
        raise ConfigError("\n".join([*mistakes, _not_json(problem)])) from None
    mistakes += sorted((_told(file, lines, mistake) for mistake in wrong), key=_by_line)
    if config is not None:
        mistakes += _contradictions(file, lines, config) + (_unset_secrets(file, lines, config) if secrets else [])
    if config is None or mistakes:
        raise ConfigError("\n".join(mistakes))
    return _resolved(config, file.resolve().parent)


def detector_table(path: str | Path) -> Table:
    """The file's [detector] table as it stands there, preset included, whatever else is wrong in the file."""
    table = _parsed(Path(path))[1].get("detector", {})
    return table if isinstance(table, dict) else {}


def source_tables(path: str | Path) -> list[Table]:
    """The file's [[source]] tables as they stand there, whatever else is wrong in the file; relative paths made absolute."""
    tables = _parsed(Path(path))[1].get("source", [])
    out = []
    for table in tables if isinstance(tables, list) else []:
        if isinstance(table, dict):
            url = str(table.get("url", ""))
            out.append({**table, "url": url if "://" in url else str(Path(path).resolve().parent / Path(url).expanduser())})
    return out


def where(path: str | Path, *place: str | int) -> str:
    """``file:line`` of a section, the number of a table among its like, or a key: ``where(file, "source", 0, "url")``."""
    file = Path(path)
    return f"{file}:{Lines.of(toml(file)[0]).line(place)}"


def secret(variable: str | None) -> str | None:
    """The value of the environment variable that a channel names, None where it names none.

    Raises ConfigError where the variable is not set.
    """
    if variable and variable not in os.environ:
        raise ConfigError(unset(variable))
    return os.environ[variable] if variable else None


def unset(variable: str) -> str:
    """What is said of an environment variable that is not set.

    Its name is repeated where it looks like one. Anything else may be the secret itself, put in the place of the name.
    """
    if len(variable) <= _LONGEST_NAME and _NAME.fullmatch(variable):
        return f"environment variable {variable} is not set; give it a value"
    return (
        "no environment variable has this name (it is not repeated here: it may be the secret itself); write the name of a "
        "variable, such as HOOK_SECRET, and give the variable the secret"
    )


def _told(file: Path, lines: Lines, mistake: Mistake) -> str:
    if not mistake.names:  # of settings that do not go together: the words name them
        return f"{file}: {mistake}"
    *sections, key = mistake.names
    section = f"{header(Config, sections[0])} " if sections else ""
    variable = f"INSAR_ANOMALY_{'__'.join(mistake.names).upper()}"
    given_there = variable in os.environ
    where = f"environment variable {variable}" if given_there else f"{file}:{lines.line(mistake.place)}"
    return f"{where}: {section}{key}: {mistake}"


def _by_line(words: str) -> list[str | int]:
    """What to sort mistakes by: numbers as numbers, so that line 2 comes before line 15."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", words)]


def _not_json(problem: SettingsError) -> str:
    """What is said of an environment variable that is no JSON where it should be."""
    found = re.search(r'field "(\w+)"', str(problem))
    field = Config.model_fields.get(found[1]) if found else None
    if found is None or field is None:
        return f"environment: {problem}; a list or a whole section is given as JSON"
    example = '[{"url": "s3://bucket/archive"}]' if found[1] == "source" else "{...} for a section, [...] for a list"
    return f'environment variable INSAR_ANOMALY_{found[1].upper()}: "{found[1]}" is given as JSON here: {example}'


def _parsed(file: Path) -> tuple[str, Table]:
    """Text and tables of the file, with its preset's."""
    try:
        text, tables = toml(file)
    except OSError as problem:
        raise ConfigError(
            f"{file}: cannot be read ({problem.strerror}); `insar-anomaly config > {file}` makes one"
        ) from None
    except NotText as problem:
        raise ConfigError(f"{file}:{problem.line}: not valid TOML: {problem}") from None
    return text, _with_preset(tables)


def _unknown_variables() -> list[str]:
    """Variables with our prefix that name nothing: what is misspelt would otherwise be ignored without a word."""
    known = [*Config.model_fields, "config"]  # the latter is for infra/prefect.yaml
    lines = []
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix("INSAR_ANOMALY_").split("__")[0].lower()
        if variable.upper().startswith("INSAR_ANOMALY_") and name not in known:
            near = nearest(name, known)
            hint = f"did you mean INSAR_ANOMALY_{near.upper()}?" if near else "unset it"
            lines.append(f"environment variable {variable}: there is no setting or section {name.upper()}; {hint}")
    return lines


def _contradictions(file: Path, lines: Lines, config: Config) -> list[str]:
    out = [
        f"{file}:{lines.line(['source', i, key])}: [[source]] {key}: {words}"
        for i, source in enumerate(config.source)
        for key, words in source.mistakes()
    ]
    out += [
        f"{file}:{lines.line([table, number, key])}: [[{table}]] {key}: {words}"
        for table, number, key, words in route_mistakes(config)
    ]
    if config.preset and config.detector.kind != PRESETS[config.preset]["detector"]["kind"]:
        place = f"{file}:{lines.line(['preset'])}"
        out.append(f'{place}: preset = "{config.preset}" is a form of padim, not of {config.detector.kind}: leave one out')
    if "directions" in config.fusion.evidence and "interval" not in config.fusion.evidence:
        line = lines.line(["fusion", "evidence"])
        out.append(f'{file}:{line}: [fusion] evidence: "directions" puts intervals together: add "interval"')
    if config.flags.rests_on == "interval" and "interval" not in config.fusion.evidence:
        line = lines.line(["flags", "rests_on"] if lines.written("flags", "rests_on") else ["fusion", "evidence"])
        out.append(
            f'{file}:{line}: [flags] rests_on = "interval" needs "interval" in [fusion] evidence: add it, or write '
            'rests_on = "pair"'
        )
    for name, section in (("heartbeat", config.heartbeat), ("serve", config.serve), ("cap", config.cap)):
        out += [f"{file}:{lines.line([name, key])}: [{name}] {key}: {words}" for key, words in section.mistakes()]
    if config.cluster.kind == "address" and not config.cluster.address:
        line = lines.line(["cluster", "kind"])
        out.append(f'{file}:{line}: [cluster] kind = "address" needs address = "tcp://host:port"')
    return out


def _unset_secrets(file: Path, lines: Lines, config: Config) -> list[str]:
    named: list[tuple[str, tuple[str | int, ...], str]] = []
    for i, channel in enumerate(config.channel):
        named += [("[[channel]]", ("channel", i, key), variable) for key, variable in channel.variables.items()]
    if config.serve.url and config.serve.secret_env:
        named.append(("[serve]", ("serve", "secret_env"), config.serve.secret_env))
    if config.heartbeat.icinga_password_env:
        named.append(("[heartbeat]", ("heartbeat", "icinga_password_env"), config.heartbeat.icinga_password_env))
    return [
        f"{file}:{lines.line(list(place))}: {section} {place[-1]}: {unset(variable)}"
        for section, place, variable in named
        if variable not in os.environ
    ]


def _with_preset(values: Table) -> Table:
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

    def changed(section: Section, *keys: str) -> Section:
        """The section with these paths made absolute, where they are given."""
        return section.model_copy(update={key: full(path) for key in keys if (path := getattr(section, key))})

    return config.model_copy(
        update={
            "store": full(config.store),
            "ledger": ledger,
            "catalogue": full(config.catalogue),
            "figures": full(config.figures),
            "source": tuple(s.model_copy(update={"url": full(s.url)}) for s in config.source),
            "channel": channels,
            "calibrate": changed(config.calibrate, "labels"),
            "metrics": changed(config.metrics, "file"),
            "heartbeat": changed(config.heartbeat, "file", "icinga_ca"),
            "status": changed(config.status, "file"),
            "report": changed(config.report, "out"),
        }
    )
