"""Who gets what, as a table: one row for each destination, and one for each channel that no route uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.route import KINDS, OF_A_NIGHT, RouteSettings
from insar_anomaly.config.sections import Config
from insar_anomaly.notify import named, personal, reaches
from insar_anomaly.notify.routing import Destination, destinations
from insar_anomaly.spoken import one_line


@dataclass(frozen=True)
class Row:
    """What one destination gets.

    `recipients` are addresses, where it has any; `contacts`: a volcano's contacts get its notices, too. `volcanoes` are the
    numbers of those whose notices somebody gets there, and `unheard` of those whose notices reach nobody there. `hours` has
    the hours of its routes, and `any_hour_above_years` for each of them the return period above which a flag does not wait
    for them, None where every flag does. `unmatched` are the patterns of its routes that match no volcano of the catalogue.
    `used` is False for a channel that no route uses.
    """

    destination: str
    channel: str
    kind: str
    recipients: tuple[str, ...]
    contacts: bool
    kinds: tuple[str, ...]
    volcanoes: tuple[int, ...]
    unheard: tuple[int, ...]
    hours: tuple[str, ...]
    any_hour_above_years: tuple[float | None, ...]
    always: bool
    language: str
    max_per_hour: int | None
    unmatched: tuple[str, ...] = ()
    used: bool = True

    def words(self, total: int) -> str:
        """One line; `total` is the number of volcanoes in the catalogue."""
        to = [*self.recipients, *(["each volcano's contacts"] if self.contacts else [])]
        who = f"{self.destination} ({self.kind}{', to ' + ', '.join(to) if to else ''})"
        if not self.used:
            return f"{who}: reaches NOBODY: no [[route]] uses this channel; add one, or remove the channel"
        which = "every volcano" if len(self.volcanoes) == total else f"{len(self.volcanoes)} of {total} volcanoes"
        if 0 < len(self.volcanoes) < min(total, 6):
            which += f" ({', '.join(map(str, self.volcanoes))})"
        parts = [f"{who}: {', '.join(self.kinds) or 'nothing'}", which, self._when(), f"language {self.language}"]
        parts += [f"at most {self.max_per_hour} messages an hour"] if self.max_per_hour else []
        parts += [f"NOBODY gets the notices of {len(self.unheard)} volcanoes here"] if self.unheard else []
        if self.unmatched:
            names = ", ".join(f'"{one_line(one)}"' for one in self.unmatched)
            parts.append(f"NO volcano of the catalogue matches {names}: correct volcanoes of its [[route]]")
        return "; ".join(parts)

    def _when(self) -> str:
        spans = []
        for hours, years in zip(self.hours, self.any_hour_above_years, strict=True):
            rare = f" (raised, escalated or released with a return period above {years or 0:g} years: at any hour)"
            spans.append(f"{hours}{rare if years is not None else ''}")
        return " or ".join([*spans, *(["at any hour"] if self.always else [])])


def matrix(config: Config, volcanoes: Sequence[Volcano], chosen: Sequence[int] = ()) -> list[Row]:
    """Every destination, in the order of the configuration, then the channels that no route uses.

    Parameters
    ----------
    volcanoes : the whole catalogue
    chosen : count these volcanoes only; none: all
    """
    every = destinations(config.channel, config.route)
    rows = [_row(one, volcanoes, chosen) for one in every.values()]
    used = {one.channel for one in every.values()}
    idle = [(name, settings) for name, settings in named(config.channel).items() if name not in used]
    return rows + [_idle(Destination(name, name, settings)) for name, settings in idle]


def _row(one: Destination, volcanoes: Sequence[Volcano], chosen: Sequence[int]) -> Row:
    counted = [volcano for volcano in volcanoes if not chosen or volcano.gvp in chosen]
    mine = [volcano for volcano in counted if one.covers(volcano.gvp, volcano.name)]
    with_contacts = one.personal and personal(one.settings)
    heard = [v.gvp for v in mine if reaches(one.settings, v.contacts if with_contacts else ())]
    anyone = [(0, "")] if not volcanoes else [(v.gvp, v.name) for v in mine]
    taken = [kind for kind in KINDS if any(one.takes(kind, *which) for which in anyone)]
    hours = dict.fromkeys(
        (f"{route.hours} {route.timezone}", route.any_hour_above_years) for route in one.routes if route.hours
    )
    return Row(
        destination=one.name,
        channel=one.channel,
        kind=one.settings.kind,
        recipients=tuple(getattr(one.settings, "recipients", ())),
        contacts=with_contacts,
        kinds=tuple(kind for kind in KINDS if kind in taken or (kind in OF_A_NIGHT and one.takes_of_a_night(kind))),
        volcanoes=tuple(heard),
        unheard=tuple(v.gvp for v in mine if v.gvp not in heard),
        hours=tuple(words for words, _ in hours),
        any_hour_above_years=tuple(years for _, years in hours),
        always=not one.routes or any(route.hours is None for route in one.routes),
        language=one.language,
        max_per_hour=one.settings.max_per_hour,
        unmatched=tuple(dict.fromkeys(pattern for route in one.routes for pattern in _unmatched(route, volcanoes))),
    )


def _unmatched(route: RouteSettings, volcanoes: Sequence[Volcano]) -> list[str]:
    """The patterns of a route that match no volcano: a misspelt name, or a volcano that is not in the catalogue."""
    alone = ((pattern, route.model_copy(update={"volcanoes": (pattern,)})) for pattern in route.volcanoes)
    return [pattern for pattern, one in alone if not any(one.covers(v.gvp, v.name) for v in volcanoes)]


def _idle(one: Destination) -> Row:
    """A channel that no route uses."""
    return Row(
        destination=one.name,
        channel=one.channel,
        kind=one.settings.kind,
        recipients=tuple(getattr(one.settings, "recipients", ())),
        contacts=False,
        kinds=(),
        volcanoes=(),
        unheard=(),
        hours=(),
        any_hour_above_years=(),
        always=False,
        language=one.language,
        max_per_hour=one.settings.max_per_hour,
        used=False,
    )
