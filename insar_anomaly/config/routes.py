"""Channels by their names, and what routes and channels say that does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from insar_anomaly.config.channel import ChannelSettings
from insar_anomaly.config.sections import Config


def named(channels: Sequence[ChannelSettings]) -> dict[str, ChannelSettings]:
    """The configured channels under their names: their own, or else the kind, numbered from the second of a kind on."""
    out: dict[str, ChannelSettings] = {}
    for channel in channels:
        alike = sum(one.kind == channel.kind and one.name is None for one in out.values())
        out[channel.name or (channel.kind if not alike else f"{channel.kind}-{alike + 1}")] = channel
    return out


def route_mistakes(config: Config) -> Iterator[tuple[str, int, str, str]]:
    """Mistakes in [[channel]] and [[route]]: the table, its number, the key, and what is wrong."""
    given = [channel.name for channel in config.channel if channel.name]
    free = named([channel for channel in config.channel if not channel.name])
    for number, channel in enumerate(config.channel):
        if channel.name and (given.count(channel.name) > 1 or channel.name in free):
            yield "channel", number, "name", f'"{channel.name}" is the name of another channel too; give another'
    known = named(config.channel)
    for number, route in enumerate(config.route):
        settings = known.get(route.channel)
        if settings is None:
            there = f"there is {', '.join(known)}" if known else "no [[channel]] is configured"
            yield "route", number, "channel", f'no channel is called "{route.channel}"; {there}'
        elif route.recipients and "recipients" not in type(settings).model_fields:
            yield "route", number, "recipients", f"a channel of kind {settings.kind} has no recipients; leave it out"
