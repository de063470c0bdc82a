"""What people's labels say of flags: how many of those that were told turned out to be the volcano."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from insar_anomaly.names import volcano_of

VOLCANIC, UNSURE = "volcanic", "unsure"
LEAST_CONFIDENCE = 0.5
"""A label that its giver is less sure of counts as no label: it says little more than `UNSURE`."""
NOTE = (
    f"flags with notices: a notice was delivered, or waits for a channel; precision: the volcanic part of those that are "
    f"labelled with a confidence of {LEAST_CONFIDENCE:g} or more and not {UNSURE}"
)
"""What stands below the table."""


@dataclass(frozen=True)
class Labelled:
    """A label that a person gave, and how sure they were, 0 to 1; None where they did not say it: they count as sure."""

    label: str
    confidence: float | None = None

    @property
    def counts(self) -> bool:
        """True where it says what the flag was."""
        sure = self.confidence is None or self.confidence >= LEAST_CONFIDENCE
        return sure and self.label != UNSURE


@dataclass(frozen=True)
class Precision:
    """Of one volcano: its flags, those that people were told of, and what these were labelled.

    `precision` is the part of the told flags with a label that are volcanic. Flags that are labelled unsure, or with a
    confidence below `LEAST_CONFIDENCE`, do not count: `unsure` says how many of them there are. None where no flag counts.
    """

    gvp: int
    flags: int
    told: int
    volcanic: int
    other: int
    unsure: int = 0

    @property
    def precision(self) -> float | None:
        """See the class."""
        counted = self.volcanic + self.other
        return self.volcanic / counted if counted else None

    @property
    def words(self) -> str:
        """One line for people."""
        share = self.precision
        known = (
            "none is labelled"
            if share is None
            else f"{self.volcanic} of {self.volcanic + self.other} labelled are volcanic (precision {share:.0%})"
        )
        left = f"; labelled and left out as unsure: {self.unsure}" if self.unsure else ""
        return f"{self.gvp}: {self.flags} flags, {self.told} with notices; {known}{left}"


def precision(flags: Iterable[tuple[str, int, bool]], labels: Mapping[tuple[str, int], Labelled]) -> list[Precision]:
    """The running table, by volcano.

    Parameters
    ----------
    flags : stack or couple, number, and whether people were told, of each flag
    labels : (stack, number) -> the last label that a person gave
    """
    every: dict[int, list[tuple[str, int, bool]]] = {}
    for flag in flags:
        every.setdefault(volcano_of(flag[0]), []).append(flag)
    out = []
    for gvp, mine in sorted(every.items()):
        given = [labels[stack, number] for stack, number, told in mine if told and (stack, number) in labels]
        found = [one.label for one in given if one.counts]
        volcanic = sum(label == VOLCANIC for label in found)
        counts = volcanic, len(found) - volcanic, len(given) - len(found)
        out.append(Precision(gvp, len(mine), sum(told for _, _, told in mine), *counts))
    return out
