"""Every setting, once: what it means, its default and its bounds. One TOML file plus environment variables.

An environment variable overrides the file: ``INSAR_ANOMALY_CALIBRATE__POLICY=fpr`` is ``policy`` in ``[calibrate]``. Secrets
come from the environment only: a channel names the variable that holds its secret, and object storage takes the standard
``AWS_ACCESS_KEY_ID`` and ``AWS_SECRET_ACCESS_KEY``. Relative paths are relative to the file.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from insar_anomaly.addresses import checked
from insar_anomaly.errors import ConfigError

Address = Annotated[str, AfterValidator(checked)]

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # the papers' method as their public code runs it (its README's form A with NLML, clamped), parity switches included
    "poster": {
        "preprocess": {"remove": (), "range_form": "clip", "range_rad": 30.0, "fill_grow": 2},
        "detector": {
            "kind": "padim",
            "weights": "imagenet",
            "layout": "windows",
            "form": "per-layer",
            "distance": "nlml",
            "stride": 4,
            "aggregate": "authors",
            "ridge": 0.01,
            "relative_ridge": 0.0,
            "least_seen": 0.0,
            "clamp": True,
            "eight_bit": True,
        },
        "calibrate": {"policy": "quantile"},
        "fusion": {"evidence": ()},
        "flags": {"rests_on": "pair"},
    },
}
"""Named sets of settings; a key of the file that a preset has too wins over it."""


class Section(BaseModel):
    """A table of the file: frozen, and no key that is not described here."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _place(text: str) -> str:
    """A path or URL; what was meant as a URL and is none would otherwise become a folder of that name."""
    scheme = re.match(r"(s3|gs|gcs|az|abfs|file|https?|ftp):?/*", text)
    if scheme and "://" not in text and "/" in scheme[0]:
        raise ValueError(f"looks like a URL without ://, write {scheme[1]}://...")
    if not text.strip(". ") or text.endswith("://"):
        raise ValueError("names no folder or bucket")
    return text


def _kept(text: str) -> str:
    if "://" in _place(text) and not text.startswith(("s3://", "file://")):
        raise ValueError("can be a folder, file:// or s3://bucket/prefix")
    return text


Place = Annotated[str, AfterValidator(_place)]
StorePlace = Annotated[str, AfterValidator(_kept)]


class Source(Section):
    """A place where interferograms are found. Give one [[source]] per place; the first that has a frame is used."""

    kind: Literal["licsar"] = Field("licsar", description="layout of the archive")
    url: Place = Field(description="folder of the frames: a path, file:// or s3://bucket/prefix")


class Storage(Section):
    """Object storage, for every s3:// URL here. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY in the environment."""

    endpoint_url: str | None = Field(
        None, pattern=r"^https?://[^/]", description="S3 endpoint where it is not Amazon's, e.g. http://127.0.0.1:9000"
    )
    region: str = Field("us-east-1", description="S3 region")
    anonymous: bool = Field(False, description="read public buckets without credentials")
    timeout_s: float = Field(30.0, gt=0, le=3600, description="seconds to wait for a connection or an answer")


class Ingest(Section):
    """What a pair must be like to enter a stack, and how many enter per transaction."""

    batch: int = Field(32, ge=1, le=1000, description="pairs per transaction")
    min_valid: float = Field(0.1, ge=0, le=1, description="least part of the box with a measured phase")
    min_coherence: float = Field(0.05, ge=0, le=1, description="least mean coherence over the box (papers: 0.05)")


class Preprocess(Section):
    """From a stack to tiles; see insar_anomaly.preprocess."""

    remove: tuple[Literal["plane", "quadratic", "height", "piecewise-height"], ...] = Field(
        ("plane", "height"),
        description="parts fitted to each pair and subtracted: a plane, a quadratic, what is proportional to height, "
        "a piecewise-linear function of height; the last two need the height layer",
    )
    range_form: Literal["tanh", "clip"] = Field("tanh", description="tanh keeps large motion ordered; clip is the papers'")
    range_rad: float = Field(8.0, gt=0, le=100, description="phase, rad, that fills the range (papers: 30, with clip)")
    min_coherence: float = Field(0.0, ge=0, le=1, description="pixels of lower coherence are masked")
    fill_grow: int = Field(0, ge=0, le=20, description="pixels by which a hole is widened before it is filled (papers: 2)")
    gacos: Literal["off", "use"] = Field("off", description="use subtracts GACOS delay from pairs that came with it")
    smooth_px: float = Field(
        0.0, ge=0, le=20, description="sigma, pixels, of a mean weighted by squared coherence; for unfiltered interferograms"
    )
    weight: Literal["none", "coherence"] = Field(
        "none", description="coherence: a patch counts in PaDiM's fit by its squared coherence"
    )


class Detector(Section):
    """Which detector is fitted; further keys are its own settings, listed by `insar-anomaly config`."""

    model_config = ConfigDict(frozen=True, extra="allow")
    kind: str = Field("padim", description="name of the detector")

    @property
    def options(self) -> dict[str, Any]:
        """The detector's own settings, as far as the file gives them."""
        return dict(self.__pydantic_extra__ or {})


class Fusion(Section):
    """What many pairs tell together, scored beside each of them alone; see insar_anomaly.fusion."""

    evidence: tuple[Literal["interval", "acquisition", "directions"], ...] = Field(
        ("interval", "acquisition", "directions"),
        description="interval: what happened between two acquisitions; acquisition: what one of them shows alone; "
        "directions: intervals of an ascending and a descending frame of a volcano together",
    )
    before: int = Field(3, ge=1, le=12, description="acquisitions before an interval that are averaged")
    after: int = Field(3, ge=1, le=12, description="acquisitions after it; it is looked at again as each of them comes")
    beside: int = Field(2, ge=1, le=12, description="acquisitions on either side that one acquisition is compared with")
    range_rad: float = Field(
        8.0,
        gt=0,
        le=100,
        description="phase, rad, that fills the range of fused evidence; a wider one sees more and cries wolf in storms",
    )


class Calibrate(Section):
    """How each stack's threshold is chosen from ROC; see insar_anomaly.calibrate."""

    policy: Literal["false-alarms-per-year", "fpr", "youden", "quantile"] = Field(
        "false-alarms-per-year", description="quantile is the papers' in-sample percentile, for parity"
    )
    false_alarms_per_year: float = Field(1.0, gt=0, le=365, description="flags per stack and year on quiet ground")
    fpr: float = Field(0.01, gt=0, lt=1, description="false positive rate per pair, for policy fpr")
    quantile: float = Field(0.95, gt=0, lt=1, description="quantile of the training scores, for policy quantile")
    folds: int = Field(4, ge=2, le=20, description="blocks of time; each is scored by a model that saw none of its dates")
    min_pairs: int = Field(
        40, ge=5, description="fewer quiet pairs (or looks at intervals) scored out of sample: not calibrated, never flagged"
    )
    peaks_cm: tuple[float, ...] = Field((1.0, 2.0, 4.0, 8.0), min_length=1, description="injected peaks, cm line of sight")
    labels: str | None = Field(
        None, description="CSV of frame,pair,label (1 = deformation): replaces injected sources for single pairs"
    )
    seed: int = Field(0, ge=0, description="draws the injected sources")


class Flags(Section):
    """The life of a flag."""

    rests_on: Literal["interval", "pair"] = Field(
        "interval", description="the evidence that raises flags; single pairs where the intervals have no threshold"
    )
    clear_after_days: int = Field(60, ge=1, le=3650, description="days of data without a pair over the threshold")
    notice_max_age_days: int = Field(
        180, ge=1, description="a flag whose last pair over the threshold is older than this is listed, but nobody is told"
    )


class Cluster(Section):
    """Where the work runs."""

    kind: Literal["local", "inline", "address"] = Field("local", description="inline works without Dask workers")
    workers: int | None = Field(None, ge=1, le=4096, description="local worker processes; unset: one per core, at most 8")
    address: str | None = Field(None, description="scheduler of a running cluster, for kind address")
    batch: int = Field(32, ge=1, le=1000, description="pairs per scoring task")
    volcanoes_per_task: int = Field(25, ge=1, le=10000, description="volcanoes per Prefect task")


class FilesChannel(Section):
    """Notices as JSON and PNG files in a folder."""

    kind: Literal["files"]
    folder: str = Field(description="folder of the notices")


class WebhookChannel(Section):
    """Notices as signed HTTP POSTs (Standard Webhooks, CloudEvents)."""

    kind: Literal["webhook"]
    url: str = Field(pattern=r"^https?://", description="where to POST")
    secret_env: str | None = Field(None, description="environment variable with the whsec_... secret")
    timeout_s: float = Field(10.0, gt=0, le=300, description="seconds to wait for an answer")


class EmailChannel(Section):
    """Notices as e-mail. A volcano's contacts are added to the recipients."""

    kind: Literal["email"]
    host: str = Field(description="SMTP server")
    port: int = Field(587, ge=1, le=65535, description="its port")
    sender: Address = Field(description="From address")
    recipients: tuple[Address, ...] = Field((), description="To addresses of every notice")
    username: str | None = Field(None, description="SMTP user")
    password_env: str | None = Field(None, description="environment variable with the SMTP password")
    starttls: bool = Field(True, description="encrypt the connection before signing in")
    timeout_s: float = Field(30.0, gt=0, le=300, description="seconds to wait for an answer")


Channel = Annotated[FilesChannel | WebhookChannel | EmailChannel, Field(discriminator="kind")]


def _local(folder: str) -> str:
    if "://" in folder:
        raise ValueError("figures are written to a local folder, not to a URL")
    return folder


Local = Annotated[str, AfterValidator(_local)]


class Config(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="INSAR_ANOMALY_",
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    store: StorePlace = Field(
        "store", description="where stacks, models and scores are kept: a folder or s3://bucket/prefix"
    )
    ledger: str = Field(
        "sqlite:///ledger.sqlite", description="SQLAlchemy URL: sqlite:///file or postgresql://user@host/name"
    )
    catalogue: str = Field("volcanoes.toml", description="the volcanoes: TOML or CSV")
    preset: Literal["poster"] | None = Field(None, description="poster: the papers' method, unless a section says otherwise")
    figures: Local = Field("figures", description="local folder for figures and the night's digest")
    source: tuple[Source, ...] = Field((), description="places where interferograms are found")
    storage: Storage = Storage()
    ingest: Ingest = Ingest()
    preprocess: Preprocess = Preprocess()
    detector: Detector = Detector()
    fusion: Fusion = Fusion()
    calibrate: Calibrate = Calibrate()
    flags: Flags = Flags()
    cluster: Cluster = Cluster()
    channel: tuple[Channel, ...] = Field((), description="how notices are sent")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before file; no .env files."""
        return env_settings, init_settings


def load(path: str | Path) -> Config:
    """Read and check a configuration file.

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
        mistakes += _contradictions(file, text, config)
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
    """The value of the environment variable that a channel names, None where it names none."""
    return os.environ[variable] if variable else None


def commented_defaults(extra: dict[str, list[str]] | None = None) -> str:
    """The file with every default as a comment, ready to be edited.

    `extra` maps a section's name to further lines for it (a detector's own settings).
    """
    lines = ["# insar-anomaly configuration. A commented line shows the default; secrets stay in the environment.", ""]
    lines += _described(Config, skip=("source", "channel"))
    lines += ["", "# A place where interferograms are found; repeat the table for more.", "[[source]]"]
    lines += _described(Source)
    for name, field in Config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            lines += ["", f"# {_caption(field.annotation)}", f"[{name}]", *_described(field.annotation)]
            lines += (extra or {}).get(name, [])
    for channel in (FilesChannel, WebhookChannel, EmailChannel):
        lines += ["", f"# {_caption(channel)}", "# [[channel]]"]
        lines += [line if line.startswith("#") else f"# {line}" for line in _described(channel)]
    return "\n".join(lines) + "\n"


def as_toml(value: Any) -> str:
    """A default as TOML text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(as_toml(v) for v in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


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
            lines.append(f'{name} = "..."  # required: {field.description}')
        elif field.default is None:
            lines.append(f"# {name} =  # unset; {field.description}{hint}")
        else:
            lines.append(f"# {name} = {as_toml(field.default)}  # {field.description}{hint}")
    return lines


def _caption(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _explained(file: Path, text: str, error: Any) -> str:
    # in a list of channels the kind stands in the place as if it were a key
    place = [p for i, p in enumerate(error["loc"]) if not (i == 2 and error["loc"][0] == "channel")]
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
    for i, channel in enumerate(config.channel):
        for key in ("secret_env", "password_env"):
            variable = getattr(channel, key, None)
            if variable and variable not in os.environ:
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
    channels = tuple(
        c.model_copy(update={"folder": full(c.folder)}) if isinstance(c, FilesChannel) else c for c in config.channel
    )
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
