"""Who gets what, as a table: one row for each destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.route import KINDS, OF_A_NIGHT
from insar_anomaly.config.sections import Config
from insar_anomaly.notify import personal, reaches
from insar_anomaly.notify.routing import Destination, destinations


@dataclass(frozen=True)
class Row:
    """What one destination gets.

    `recipients` are addresses, where it has any; `contacts`: a volcano's contacts get its notices, too. `volcanoes` are the
    numbers of those whose notices somebody gets there, and `unheard` of those whose notices reach nobody there.
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
    language: str
    max_per_hour: int | None

    def words(self, total: int) -> str:
        """One line; `total` is the number of volcanoes in the catalogue."""
        to = [*self.recipients, *(["each volcano's contacts"] if self.contacts else [])]
        which = "every volcano" if len(self.volcanoes) == total else f"{len(self.volcanoes)} of {total} volcanoes"
        if 0 < len(self.volcanoes) < min(total, 6):
            which += f" ({', '.join(map(str, self.volcanoes))})"
        parts = [
            f"{self.destination} ({self.kind}{', to ' + ', '.join(to) if to else ''}): {', '.join(self.kinds)}",
            which,
            " or ".join(self.hours) or "at any hour",
            f"language {self.language}",
        ]
        parts += [f"at most {self.max_per_hour} messages an hour"] if self.max_per_hour else []
        parts += [f"NOBODY gets the notices of {len(self.unheard)} volcanoes here"] if self.unheard else []
        return "; ".join(parts)


def matrix(config: Config, volcanoes: Sequence[Volcano]) -> list[Row]:
    """Every destination, in the order of the configuration."""
    return [_row(one, volcanoes) for one in destinations(config.channel, config.route).values()]


def _row(one: Destination, volcanoes: Sequence[Volcano]) -> Row:
    mine = [volcano for volcano in volcanoes if one.covers(volcano.gvp, volcano.name)]
    with_contacts = one.personal and personal(one.settings)
    heard = [v.gvp for v in mine if reaches(one.settings, v.contacts if with_contacts else ())]
    anyone = [(0, "")] if not volcanoes else [(v.gvp, v.name) for v in mine]
    taken = [kind for kind in KINDS if any(one.takes(kind, *which) for which in anyone)]
    return Row(
        destination=one.name,
        channel=one.channel,
        kind=one.settings.kind,
        recipients=tuple(getattr(one.settings, "recipients", ())),
        contacts=with_contacts,
        kinds=tuple(kind for kind in KINDS if kind in taken or (kind in OF_A_NIGHT and one.takes_of_a_night(kind))),
        volcanoes=tuple(heard),
        unheard=tuple(v.gvp for v in mine if v.gvp not in heard),
        hours=tuple(dict.fromkeys(f"{route.hours} {route.timezone}" for route in one.routes if route.hours)),
        language=one.language,
        max_per_hour=one.settings.max_per_hour,
    )
