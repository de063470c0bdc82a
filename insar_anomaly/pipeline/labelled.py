"""What people's labels of flags mean for a fit: which time was not quiet, and which false flags belong to quiet ground."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from insar_anomaly.ledger.people_rows import Label
from insar_anomaly.names import Couple, FlagName, Pair, place, volcano_of
from insar_anomaly.pipeline.installation import Installation

_QUIET = (Label.ATMOSPHERE, Label.NON_VOLCANIC, Label.PROCESSING)


@dataclass(frozen=True)
class Labelled:
    """A flag with the last label that a person gave it, and its time."""

    flag: FlagName
    label: Label
    since: date
    until: date

    @property
    def stack(self) -> str:
        """The stack that the flag is of; of a couple, its ascending one."""
        one = place(self.flag.stack)
        return str(one.members[0]) if isinstance(one, Couple) else self.flag.stack

    @property
    def moved(self) -> bool:
        """True where the volcano moved: a fit must not learn this time as quiet, nor may it lift a threshold."""
        return self.label is Label.VOLCANIC

    @property
    def quiet(self) -> bool:
        """True where a person says that the volcano was quiet: such scores are what a threshold has to count."""
        return self.label in _QUIET

    def touches(self, pair: str) -> bool:
        """True where the pair saw a part of this time."""
        span = Pair.of(pair)
        return span.first < self.until and self.since < span.last


def labelled(s: Installation, stack: str) -> list[Labelled]:
    """Labelled flags of a stack's volcano, also those of its other stacks and couples: they all see the same ground."""
    gvp = volcano_of(stack)
    last = {(act.stack, act.episode): act.label for act in s.ledger.acts() if act.label is not None and act.episode}
    mine = {name: label for name, label in last.items() if volcano_of(name[0]) == gvp}
    rows = [row for one in sorted({name for name, _ in mine}) for row in s.ledger.episodes(one)]
    return [
        Labelled(FlagName(row.stack, row.number), label, row.since, row.until)
        for row in rows
        if (label := mine.get((row.stack, row.number))) is not None
    ]


def heeded(found: Iterable[Labelled], pairs: Iterable[str]) -> tuple[list[Labelled], list[Labelled]]:
    """Of the labelled flags that one of the pairs touches: those that moved, and those that are quiet."""
    every = list(pairs)
    touched = [one for one in found if any(one.touches(pair) for pair in every)]
    return [one for one in touched if one.moved], [one for one in touched if one.quiet]
