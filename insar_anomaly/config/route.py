"""Settings of a [[route]]: who gets what, when, and in which language."""

from __future__ import annotations

import re
import zoneinfo
from datetime import datetime, time
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from insar_anomaly.catalogue.contacts import checked
from insar_anomaly.config.section import Section
from insar_anomaly.files.mistakes import shown

OF_A_NIGHT = ("digest", "noted", "stale", "failure")
"""Kinds of notices that tell of a night; all others tell of a flag."""
KINDS = ("raised", "escalated", "released", "cleared", "withdrawn", *OF_A_NIGHT)
"""Every kind that a route may name."""


def _text(given: object) -> object:
    """A volcano's number may be written as a number."""
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _zone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is not a time zone; write one such as "America/Guayaquil" or "UTC"') from None
    return name


def _hours(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text):
        midnight = " and 00:00 for midnight" if "24:" in text else ""
        raise ValueError(
            f'{shown(text)} is no span of hours; write two times of two digits each, such as "07:00-19:00"{midnight}'
        )
    first, last = text.split("-")
    if first == last:
        raise ValueError(
            f"{shown(text)} could be no time at all or the whole day; write two different times, or leave hours out for the "
            "whole day"
        )
    return text


class RouteSettings(Section):
    """Who gets what. Without any [[route]] every channel gets every notice of a flag, at any hour."""

    channel: str = Field(examples=["email"], description="name of the channel")
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9_-]+$",
        examples=["night-duty"],
        description="keeps the notices of this route apart from others of the channel; unset: where recipients or language "
        "are given, a short name made from them",
    )
    recipients: tuple[Annotated[str, AfterValidator(checked)], ...] = Field(
        (), description="addresses in place of the channel's recipients and the volcano's contacts, for e-mail"
    )
    volcanoes: tuple[Annotated[str, BeforeValidator(_text)], ...] = Field(
        (),
        examples=[["221080", "Fuego", "26*"]],
        description="volcano numbers, names, or patterns of either, such as 26* for a region; none: every volcano",
    )
    kinds: tuple[
        Literal["raised", "escalated", "released", "cleared", "withdrawn", "digest", "noted", "stale", "failure"], ...
    ] = Field((), description="kinds of notices; none: those that tell of a flag, so none of the last four")
    hours: Annotated[str, AfterValidator(_hours)] | None = Field(
        None,
        examples=["07:00-19:00"],
        description="from when to when notices are sent; at other hours they wait for the next run; unset: at any hour",
    )
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", examples=["America/Guayaquil"], description="time zone of hours"
    )
    any_hour_above_years: float | None = Field(
        None,
        gt=0,
        le=1e6,
        description="a raised or escalated flag of a return period above so many years is sent at any hour; unset: none is",
    )
    language: Literal["en", "es"] | None = Field(
        None, examples=["es"], description="language of the texts; unset: that of the channel"
    )

    def covers(self, gvp: int, name: str) -> bool:
        """True where the route takes notices of a volcano."""
        known = (str(gvp), name.casefold())
        return not self.volcanoes or any(fnmatchcase(one, wanted.casefold()) for wanted in self.volcanoes for one in known)

    def takes(self, kind: str) -> bool:
        """True where the route takes notices of a kind."""
        kind = "raised" if kind == "reopened" else kind  # who hears of a flag hears that it stands again
        return kind in self.kinds if self.kinds else kind not in OF_A_NIGHT

    def open_at(self, moment: datetime) -> bool:
        """True where a notice may be sent at a moment, an aware datetime. Hours may go over midnight."""
        if self.hours is None:
            return True
        first, last = (time.fromisoformat(part) for part in self.hours.split("-"))
        now = moment.astimezone(zoneinfo.ZoneInfo(self.timezone)).time()
        return first <= now < last if first < last else now >= first or now < last
