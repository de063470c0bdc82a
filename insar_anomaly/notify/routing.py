"""Who gets what: destinations, made from channels and routes. Pure: nothing is opened and nothing is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.route import OF_A_NIGHT, RouteSettings
from insar_anomaly.config.routes import named

_APART = "@"
"""Between a channel's name and what its route adds, in the outbox."""
_URGENT = {"raised", "escalated", "released", "reopened"}


@dataclass(frozen=True)
class Destination:
    """Where a notice goes: a channel, and what routes say of it.

    `name` is that of the outbox: the channel's, or the channel's and the route's where the route keeps its notices apart.
    `settings` are the channel's, with the route's recipients; `personal` says that a volcano's contacts get its notices too.
    Without routes it takes every notice of a flag, at any hour.
    """

    name: str
    channel: str
    settings: ChannelSettings
    routes: tuple[RouteSettings, ...] = ()
    personal: bool = True

    @property
    def language(self) -> str:
        """The language of its texts."""
        named = self.routes[0].language if self.routes else None
        return named or self.settings.language

    def takes(self, kind: str, gvp: int, volcano: str) -> bool:
        """True where it takes notices of this kind of this volcano."""
        if not self.routes:
            return kind not in OF_A_NIGHT
        return any(route.takes(kind) and route.covers(gvp, volcano) for route in self.routes)

    def takes_of_a_night(self, kind: str) -> bool:
        """True where it takes notices of this kind, which tell of a night and of no volcano."""
        return any(route.takes(kind) for route in self.routes)

    def covers(self, gvp: int, volcano: str) -> bool:
        """True where it takes anything of this volcano."""
        return not self.routes or any(route.covers(gvp, volcano) for route in self.routes)

    def open_at(self, moment: datetime, kind: str, payload: Mapping[str, object]) -> bool:
        """True where this notice may go out at a moment."""
        if not self.routes:
            return True
        years = return_period(payload) if kind in _URGENT else None
        return any(
            route.open_at(moment)
            or (years is not None and route.any_hour_above_years is not None and years > route.any_hour_above_years)
            for route in self.routes
            if route.takes(kind)
        ) or not any(route.takes(kind) for route in self.routes)


def destinations(channels: Sequence[ChannelSettings], routes: Sequence[RouteSettings]) -> dict[str, Destination]:
    """Every destination by its name: one for each channel where there are no routes, else what the routes name."""
    known = named(channels)
    if not routes:
        return {name: Destination(name, name, settings) for name, settings in known.items()}
    by_name: dict[str, list[RouteSettings]] = {}
    for route in routes:
        by_name.setdefault(_name(route), []).append(route)
    return {name: _destination(name, known[some[0].channel], some) for name, some in by_name.items()}


def destination_of(
    name: str, known: Mapping[str, Destination], channels: Mapping[str, ChannelSettings]
) -> Destination | None:
    """The destination of a notice in the outbox; None where its channel is not configured any more.

    Where its route is gone, the channel itself takes it: what waits is not lost with a setting.
    """
    channel = name.partition(_APART)[0]
    if name in known:
        return known[name]
    return Destination(name, channel, channels[channel]) if channel in channels else None


def return_period(payload: Mapping[str, object]) -> float | None:
    """The return period, years, that a notice tells of its flag; None where it tells of none."""
    found = payload.get("return_period_years")
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _name(route: RouteSettings) -> str:
    if route.name is None and not route.recipients and route.language is None:
        return route.channel
    made = hashlib.sha256(f"{sorted(route.recipients)} {route.language}".encode()).hexdigest()[:8]
    return f"{route.channel}{_APART}{route.name or made}"


def _destination(name: str, settings: ChannelSettings, routes: Sequence[RouteSettings]) -> Destination:
    recipients = tuple(dict.fromkeys(address for route in routes for address in route.recipients))
    own = settings.model_copy(update={"recipients": recipients}) if recipients else settings
    return Destination(name, routes[0].channel, own, tuple(routes), personal=not recipients)
