"""Dates, directions and numbers as people say them, in each language that notices are written in.

A further language is one more `Language` here, one more folder of templates beside those of `notify/templates`,
`report/templates` and `serve/templates`, and one more entry in `report.figures.words`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

DEFAULT: Final = "en"


@dataclass(frozen=True)
class Language:
    """The words of one language.

    `months` are twelve names and `points` eight, clockwise from north, and `letters` stand for north, south, east and west;
    `day`, `month` and `year` are what one date is, and `spans` what a span is that stays within a month, within a year, or
    within none. `passes` are ascending and descending, `track` says where a satellite sees from, `both` joins two of these,
    `scored` says how something was scored, `none` stands for a number that is not known, and `beyond` for one of years that
    is larger than anybody can mean. `states` are those of a flag, by their names in the ledger; `told` says whether people
    were told of one, by the words of `flags.told`.
    """

    months: tuple[str, ...]
    points: tuple[str, ...]
    letters: tuple[str, ...]
    day: str
    spans: tuple[str, str, str]
    passes: Mapping[str, str]
    track: str
    both: str
    scored: str
    none: str
    beyond: str
    states: Mapping[str, str]
    told: Mapping[str, str]

    def one_day(self, day: date) -> str:
        """``4 January 2017``."""
        return self.day.format(d=day.day, m=self.months[day.month - 1], y=day.year)

    def years(self, value: float) -> str:
        """A number of years with two digits, and none beyond ten thousand."""
        return self.beyond if value >= 1e4 else f"{float(f'{value:.2g}'):g}"

    def span(self, first: date, last: date) -> str:
        """``4 to 28 January 2017``; one day where both are the same."""
        if first == last:
            return self.one_day(first)
        same = 0 if (first.year, first.month) == (last.year, last.month) else 1 if first.year == last.year else 2
        names = {"d": first.day, "m": self.months[first.month - 1], "y": first.year}
        more = {"d2": last.day, "m2": self.months[last.month - 1], "y2": last.year}
        return self.spans[same].format(**names, **more)

    def compass(self, bearing: float) -> str:
        """The nearest of eight points of the compass to a bearing in degrees, clockwise from north."""
        return self.points[round(bearing / 45) % 8]

    def place(self, lat: float, lon: float, *, digits: int = 3) -> str:
        """``13.601° N, 40.670° E``."""
        east = (lon + 180) % 360 - 180
        north_south, east_west = self.letters[0 if lat >= 0 else 1], self.letters[2 if east >= 0 else 3]
        return f"{abs(lat):.{digits}f}° {north_south}, {abs(east):.{digits}f}° {east_west}"


LANGUAGES: Mapping[str, Language] = {
    "en": Language(
        months=tuple(
            "January February March April May June July August September October November December".split()  # noqa: SIM905
        ),
        points=("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west"),
        letters=("N", "S", "E", "W"),
        day="{d} {m} {y}",
        spans=("{d} to {d2} {m} {y}", "{d} {m} to {d2} {m2} {y}", "{d} {m} {y} to {d2} {m2} {y2}"),
        passes={"A": "ascending", "D": "descending"},
        track="track {number} ({way})",
        both=" and ",
        scored="{span}: score {score}, threshold {threshold}",
        none="not known",
        beyond="more than 10,000",
        states={
            "noted": "noted",
            "raised": "raised",
            "escalated": "escalated",
            "acknowledged": "acknowledged",
            "cleared": "cleared",
            "withdrawn": "withdrawn",
        },
        told={"not told": "not told", "told": "told", "delivered": "delivered"},
    ),
    "es": Language(
        months=tuple(
            "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre".split()  # noqa: SIM905
        ),
        points=("norte", "noreste", "este", "sureste", "sur", "suroeste", "oeste", "noroeste"),
        letters=("N", "S", "E", "O"),
        day="{d} de {m} de {y}",
        spans=(
            "del {d} al {d2} de {m} de {y}",
            "del {d} de {m} al {d2} de {m2} de {y}",
            "del {d} de {m} de {y} al {d2} de {m2} de {y2}",
        ),
        passes={"A": "ascendente", "D": "descendente"},
        track="órbita {number} ({way})",
        both=" y la ",
        scored="{span}: puntuación {score}, umbral {threshold}",
        none="desconocido",
        beyond="más de 10 000",
        states={
            "noted": "anotado",
            "raised": "emitido",
            "escalated": "en aumento",
            "acknowledged": "confirmado",
            "cleared": "cerrado",
            "withdrawn": "retirado",
        },
        told={"not told": "no comunicado", "told": "comunicado", "delivered": "entregado"},
    ),
}
"""By code (ISO 639-1)."""


def rounded(value: float) -> str:
    """A length, an area or a score with two digits, or whole from 10 on: ``0.43``, ``3.2``, ``12``; never ``1e+02``."""
    size = abs(value)
    if size >= 9.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if size >= 0.95 else f"{value:.2g}" if size >= 0.01 else "0"


def one_line(text: str) -> str:
    """Text without line breaks and control characters, for names that other people have written."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
