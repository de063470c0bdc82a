"""What people's labels say of flags: how many of those that were told turned out to be the volcano."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from insar_anomaly.names import volcano_of

VOLCANIC, UNSURE = "volcanic", "unsure"


@dataclass(frozen=True)
class Precision:
    """Of one volcano: its flags, those that people were told of, and what these were labelled.

    `precision` is the part of the told flags with a label that are volcanic; flags labelled unsure do not count. None where
    no flag counts.
    """

    gvp: int
    flags: int
    told: int
    volcanic: int
    other: int

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
        return f"{self.gvp}: {self.flags} flags, {self.told} with notices; {known}"


def precision(flags: Iterable[tuple[str, int, bool]], labels: Mapping[tuple[str, int], str]) -> list[Precision]:
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
        found = [labels.get((stack, number)) for stack, number, told in mine if told]
        volcanic = sum(label == VOLCANIC for label in found)
        other = sum(label not in (None, VOLCANIC, UNSURE) for label in found)
        out.append(Precision(gvp, len(mine), sum(told for _, _, told in mine), volcanic, other))
    return out
