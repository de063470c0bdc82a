"""Every setting, once: what it means, its default and its bounds."""

from __future__ import annotations

from dataclasses import dataclass
from types import GenericAlias
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SerializeAsAny, TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from insar_anomaly.config.places import Local, Place, StorePlace
from insar_anomaly.errors import PluginFailed
from insar_anomaly.files.allowed import ByKind
from insar_anomaly.files.mistakes import UNKNOWN_KIND
from insar_anomaly.registry import CHANNELS, SOURCES, Registry


class Section(BaseModel):
    """A table of the file: frozen, and no key that is not described here."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _unknown(registry: Registry) -> PydanticCustomError:
    return PydanticCustomError(UNKNOWN_KIND, "no such kind", {"kinds": registry.kinds})


def _source(kind: object) -> object:
    if kind not in SOURCES.kinds:
        raise _unknown(SOURCES)
    return kind


_FOLDER = "folder, relative to the configuration file"
Folder = Annotated[str, _FOLDER]


class Source(Section):
    """A place where interferograms are found. Give one [[source]] per place; the first that has a frame is used."""

    kind: Annotated[str, BeforeValidator(_source)] = Field("licsar", description="layout of the archive")
    url: Place = Field(description="folder of the frames: a path, file:// or s3://bucket/prefix")


class Storage(Section):
    """Object storage, for every s3:// URL here. Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY in the environment."""

    endpoint_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        examples=["http://127.0.0.1:9000"],
        description="S3 endpoint where it is not Amazon's, e.g. http://127.0.0.1:9000",
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
    """From a stack to tiles; see insar_anomaly.tiles.preprocess."""

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
    """Evidence fused from many pairs, assessed beside the single pairs; see insar_anomaly.evidence."""

    evidence: tuple[Literal["interval", "acquisition", "directions"], ...] = Field(
        ("interval", "acquisition", "directions"),
        description="interval: what happened between two acquisitions; acquisition: what one of them shows alone; "
        "directions: intervals of an ascending and a descending frame of a volcano together",
    )
    before: int = Field(3, ge=1, le=12, description="acquisitions before an interval that are averaged")
    after: int = Field(3, ge=1, le=12, description="acquisitions after it; it is assessed again as each of them comes")
    beside: int = Field(2, ge=1, le=12, description="acquisitions on either side that one acquisition is compared with")
    range_rad: float = Field(
        8.0,
        gt=0,
        le=100,
        description="phase, rad, that fills the range of fused evidence; a larger value finds more, "
        "and gives more false alarms in stormy weather",
    )


class Calibrate(Section):
    """How each stack's threshold is chosen from its ROC curve; see insar_anomaly.calibration."""

    policy: Literal["false-alarms-per-year", "fpr", "youden", "quantile"] = Field(
        "false-alarms-per-year", description="how the threshold is chosen; quantile is the papers' in-sample percentile"
    )
    false_alarms_per_year: float = Field(1.0, gt=0, le=365, description="flags per stack and year on quiet ground")
    fpr: float = Field(0.01, gt=0, lt=1, description="false positive rate per pair, for policy fpr")
    quantile: float = Field(0.95, gt=0, lt=1, description="quantile of the training scores, for policy quantile")
    folds: int = Field(4, ge=2, le=20, description="blocks of time; each is scored by a model that saw none of its dates")
    min_pairs: int = Field(
        40,
        ge=5,
        description="fewer quiet pairs (or assessments of intervals) scored out of sample: not calibrated, never flagged",
    )
    peaks_cm: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        (1.0, 2.0, 4.0, 8.0), min_length=1, description="peaks of the injected sources, cm along the line of sight"
    )
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
        180,
        ge=1,
        description="a flag whose last pair over the threshold is older than this is listed, but no notice is sent",
    )


class Cluster(Section):
    """Where the work runs."""

    kind: Literal["local", "inline", "address"] = Field("local", description="inline works without Dask workers")
    workers: int | None = Field(None, ge=1, le=4096, description="local worker processes; unset: one per core, at most 8")
    address: str | None = Field(None, description="scheduler of a running cluster, for kind address")
    batch: int = Field(32, ge=1, le=1000, description="pairs per scoring task")
    volcanoes_per_task: int = Field(25, ge=1, le=10000, description="volcanoes per Prefect task")


class ChannelSettings(Section):
    """What every [[channel]] has. The settings of each kind are a class of their own, beside the channel that they open.

    A setting whose name ends in ``_env`` names an environment variable, which must be set. A `Folder` is relative to the
    file.
    """

    kind: str = Field(description="how notices are sent")

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that hold secrets: setting -> variable, where one is named."""
        named = {key: getattr(self, key) for key in type(self).model_fields if key.endswith("_env")}
        return {key: str(variable) for key, variable in named.items() if variable}

    @property
    def folders(self) -> dict[str, str]:
        """The settings that are a `Folder`, where one is named."""
        marked = [key for key, field in type(self).model_fields.items() if _FOLDER in field.metadata]
        return {key: str(folder) for key in marked if (folder := getattr(self, key))}


@dataclass(frozen=True)
class ChannelKind:
    """What the configuration needs of a channel's registration, see `notify.message.Registration`."""

    settings: type[ChannelSettings]


class UnknownChannel(ChannelSettings):
    """A channel whose package cannot be imported: its settings are not checked, and what wants to open it fails."""

    model_config = ConfigDict(frozen=True, extra="allow")


def _channel(given: object) -> object:
    """The settings of a [[channel]] in the class of its kind."""
    if not isinstance(given, dict):
        return given
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in CHANNELS.kinds:
        mistake: InitErrorDetails = {"type": _unknown(CHANNELS), "loc": ("kind",), "input": kind}
        raise ValidationError.from_exception_data("channel", [mistake])
    # as a dictionary, so that the kind stands in the place of every mistake, for `files.mistakes`
    table: Any = GenericAlias(dict, (str, _channel_settings(kind) or UnknownChannel))
    return TypeAdapter[dict[str, ChannelSettings]](table).validate_python({kind: given})[kind]


def _channel_settings(kind: str) -> type[ChannelSettings] | None:
    """The class of a kind's settings; None where there is none, or its package cannot be imported."""
    try:
        return CHANNELS.load(kind, ChannelKind).settings if kind in CHANNELS.kinds else None
    except PluginFailed:
        return None


_BY_KIND = ByKind(lambda: CHANNELS.kinds, _channel_settings)
Channel = Annotated[SerializeAsAny[ChannelSettings], BeforeValidator(_channel), _BY_KIND]


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
