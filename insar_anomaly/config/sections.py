"""Every setting, once: meaning, default and bounds. [[source]], [[channel]] and [[route]] have files of their own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from insar_anomaly.config.channel import Channel
from insar_anomaly.config.places import Local, StorePlace
from insar_anomaly.config.route import RouteSettings
from insar_anomaly.config.section import Section
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.config.watching import Canary, Cap, Heartbeat, Report, Serve, Status


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
    threads: int = Field(4, ge=1, le=64, description="pairs that a worker reads at the same time, from a source far away")
    min_valid: float = Field(0.1, ge=0, le=1, description="least part of the box with a measured phase")
    min_coherence: float = Field(0.05, ge=0, le=1, description="least mean coherence over the box (papers: 0.05)")
    replaced: Literal["take", "keep", "ask"] = Field(
        "take",
        description="files of a stored pair that were replaced: take them once they have been the same on two nights, keep "
        "what is stored, or ask in the digest",
    )
    withdrawn_after: int = Field(
        3, ge=1, le=1000, description="nights on which a complete listing lacks a stored pair, after which it is left out"
    )
    stale_after_repeats: int = Field(
        3, ge=1, le=1000, description="usual repeats in a row without a usable pair after which a stack is called stale"
    )


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
    before: int = Field(3, ge=1, le=12, description="acquisitions before an interval that are averaged, at least")
    after: int = Field(
        3, ge=1, le=12, description="acquisitions from its second one on, at least; it is assessed again as each comes"
    )
    most: int = Field(6, ge=1, le=24, description="acquisitions on either side, at most, where they come faster")
    days: int = Field(24, ge=0, le=366, description="days from the interval within which up to `most` are averaged")
    within_days: int = Field(72, ge=0, le=3660, description="no acquisition further than so many days from it is averaged")
    beside: int = Field(2, ge=1, le=12, description="acquisitions on either side that one acquisition is compared with")
    range_rad: float = Field(
        8.0,
        gt=0,
        le=100,
        description="phase, rad, that fills the range of fused evidence; a larger value finds more, "
        "and gives more false alarms in stormy weather",
    )


class Fit(Section):
    """How models are fitted, where that does not change what comes out."""

    keep_features: bool = Field(
        True,
        description="keep the features of quiet pairs in the store, so that the next fit computes only what is new; they "
        "take more space than the pairs themselves",
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
        (1.0, 2.0, 4.0, 8.0),
        min_length=1,
        description="peaks of the injected sources, cm along the line of sight: each is drawn at random between the "
        "smallest and the largest, and the part detected is given for those of the list",
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
    false_flags_per_year: float = Field(
        12.0,
        gt=0,
        description="false flags a year that make a notice, all stacks and directions together: notices are sent from the "
        "level on at which so many are expected; below it, from its stack's own threshold on, a flag is noted",
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
    lease_s: float = Field(
        120.0,
        ge=1,
        le=86400,
        description="seconds of silence after which another run may take over a run's stack",
    )
    wait_s: float = Field(3600.0, ge=0, le=86400, description="longest wait, seconds, for a stack that another run works on")
    volcanoes_per_task: int = Field(25, ge=1, le=10000, description="volcanoes per Prefect task")


class Metrics(Section):
    """What runs cost, in Prometheus' text format, after every run; a failure here is a warning and fails nothing."""

    file: str | None = Field(
        None,
        pattern=r"[^/]\.prom$",
        examples=["/var/lib/node_exporter/insar_anomaly.prom"],
        description="file for node_exporter's textfile collector, relative to the configuration file; ends with .prom",
    )
    push_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        examples=["http://127.0.0.1:9091"],
        repr=False,
        description="address of a Pushgateway, which gets a PUT",
    )


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
    source: tuple[SourceSettings, ...] = Field((), description="places where interferograms are found")
    storage: Storage = Storage()
    ingest: Ingest = Ingest()
    preprocess: Preprocess = Preprocess()
    detector: Detector = Detector()
    fusion: Fusion = Fusion()
    fit: Fit = Fit()
    calibrate: Calibrate = Calibrate()
    flags: Flags = Flags()
    cluster: Cluster = Cluster()
    metrics: Metrics = Metrics()
    heartbeat: Heartbeat = Heartbeat()
    status: Status = Status()
    serve: Serve = Serve()
    report: Report = Report()
    canary: Canary = Canary()
    cap: Cap = Cap()
    channel: tuple[Channel, ...] = Field((), description="how notices are sent")
    route: tuple[RouteSettings, ...] = Field((), description="who gets which notices, when, and in which language")

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
