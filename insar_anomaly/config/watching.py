"""Settings of what others read of an installation: its heartbeat, its status file, its CAP messages."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from insar_anomaly.config.section import Section


class Serve(Section):
    """Links in notices by which a duty officer acknowledges, labels or mutes from a phone; `insar-anomaly serve` answers."""

    url: str | None = Field(
        None,
        pattern=r"^https?://[^/?#]+(/[^?#]*)?$",
        examples=["https://screening.example.org/flags"],
        description="address under which people reach `insar-anomaly serve`; unset: notices have no links",
    )
    secret_env: str | None = Field(
        None, description="environment variable with the secret that signs links, 32 characters or more"
    )
    link_days: int = Field(14, ge=1, le=365, description="days after which a link in a notice has expired")

    def mistakes(self) -> list[tuple[str, str]]:
        """Keys that contradict others, and why."""
        return [("url", "links are signed; write secret_env too")] if self.url and not self.secret_env else []


class Heartbeat(Section):
    """A sign of life of every run, also of one that fails; a sign that does not arrive is a warning and ends no run."""

    runs: tuple[Literal["ingest", "fit", "nightly", "backfill", "restack", "expire", "notices"], ...] = Field(
        ("nightly",),
        description="kinds of run that give it; a check that other runs keep alive would hide a night that never ran",
    )
    url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        examples=["https://hc-ping.com/your-uuid-here"],
        repr=False,
        description="address that gets a POST at the end, with /start added at the start and /fail after a failure, as "
        "Healthchecks and services like it take it",
    )
    timeout_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="longest time, seconds, for one sign, from connection to the answer's last byte",
    )
    file: str | None = Field(
        None,
        examples=["/var/lib/insar_anomaly/heartbeat.json"],
        description="JSON file of the run's outcome, relative to the configuration file; replaced whole at start and end",
    )
    icinga_url: str | None = Field(
        None,
        pattern=r"^https?://[^/]",
        examples=["https://icinga.example.org:5665"],
        repr=False,
        description="address of Icinga 2's API, which gets a passive check result at the end",
    )
    icinga_host: str | None = Field(None, min_length=1, description="host object of the check in Icinga")
    icinga_service: str = Field("insar-anomaly", min_length=1, description="service object of the check in Icinga")
    icinga_user: str | None = Field(None, min_length=1, description="ApiUser in Icinga")
    icinga_password_env: str | None = Field(None, description="environment variable with the ApiUser's password")
    icinga_ca: str | None = Field(
        None, description="certificate of Icinga's own authority (ca.crt), relative to the configuration file"
    )

    def mistakes(self) -> list[tuple[str, str]]:
        """Keys that contradict others, and why."""
        if self.icinga_url is None:
            return []
        needed = {"icinga_host": self.icinga_host, "icinga_user": self.icinga_user}
        needed["icinga_password_env"] = self.icinga_password_env
        return [("icinga_url", f"a check result needs it; write {key} too") for key, value in needed.items() if not value]


class Status(Section):
    """What the installation knows of itself after each night, as one JSON file for a web page or a monitor."""

    file: str | None = Field(
        None,
        examples=["/var/www/status.json"],
        description="the file, relative to the configuration file, and replaced whole; docs/exports.md explains it",
    )


class Canary(Section):
    """Each night's proof that it would have seen motion: a source put into the newest data of one stack, in turn."""

    enabled: bool = Field(True, description="score a synthetic source each night; nothing of it is stored but its score")
    times: float = Field(
        3.0,
        ge=1,
        le=100,
        description="peak of the source, in multiples of that of which nine tenths were detected when the stack was fitted",
    )


class Report(Section):
    """The screening report: pages that need no server; docs/report.md. `insar-anomaly report` writes them, or each night."""

    out: str | None = Field(
        None,
        min_length=1,
        examples=["/var/www/screening", "s3://bucket/report"],
        description="folder or s3://bucket/prefix that each night brings up to date; relative to the configuration file",
    )
    title: str = Field("Volcano screening", min_length=1, description="heading of the front page")
    links: bool = Field(
        False,
        description="put signed links of `insar-anomaly serve` on the pages: whoever reads the site can then acknowledge, "
        "label and mute",
    )


class Cap(Section):
    """Flags as CAP 1.2 messages, for the observatory's own use; off, and never with the status Actual."""

    enabled: bool = Field(False, description="allow `insar-anomaly export flags --format cap`")
    sender_id: str | None = Field(
        None,
        pattern=r"^[^\s,<&]+$",
        examples=["screening@observatory.example.org"],
        description="who sends it, a name that is the observatory's alone; no spaces, commas, < or &",
    )
    status: Literal["Draft", "Exercise", "Test"] = Field(
        "Draft",
        description="a screening flag is no warning: a person who has judged it sends an Actual message by other means",
    )
    contact: str | None = Field(None, min_length=1, description="whom to ask, in every message")

    def mistakes(self) -> list[tuple[str, str]]:
        """Keys that contradict others, and why."""
        return [("enabled", "a message needs a sender; write sender_id too")] if self.enabled and not self.sender_id else []
