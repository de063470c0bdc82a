"""What an export is made of, read from a ledger that is open for reading, and chosen by volcano, stack and time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.outbox import flag_of
from insar_anomaly.ledger.records import ScoredAssessment, ScoredPair
from insar_anomaly.names import ALL_TIME, EvidenceKind, FlagName, Period, volcano_of
from insar_anomaly.report.exports.cap import Sent
from insar_anomaly.report.exports.columns import Flag, Score, StackNow


@dataclass(frozen=True)
class Choice:
    """What is exported: of these volcanoes and stacks (all where there are none), at least in part inside the period.

    Of scores only these kinds of `evidence`, of flags only those that go on where `open_only` is True.
    """

    volcanoes: Collection[int] = ()
    stacks: Collection[str] = ()
    period: Period = ALL_TIME
    evidence: Collection[EvidenceKind] = tuple(EvidenceKind)
    open_only: bool = False

    def takes(self, stack: str) -> bool:
        """True where the stack or couple is chosen."""
        return (not self.stacks or stack in self.stacks) and (not self.volcanoes or volcano_of(stack) in self.volcanoes)

    def meets(self, days: tuple[date, date] | None) -> bool:
        """True where these days, both included, lie at least in part inside the period."""
        if days is None:
            return self.period == ALL_TIME
        first, last = self.period.first or date.min, self.period.last or date.max
        return days[0] <= last and days[1] >= first


def flags(ledger: Ledger, catalogue: Sequence[Volcano], choice: Choice) -> list[Flag]:
    """The flags in order of stack and number."""
    known = {volcano.gvp: volcano for volcano in catalogue}
    rows = ledger.episodes(open_only=choice.open_only)
    chosen = [row for row in rows if choice.takes(row.stack) and choice.meets((row.since, row.until))]
    kinds, told = ledger.kinds(), ledger.told()
    return [
        Flag(
            row,
            kinds.get((row.stack, row.model)),
            known.get(volcano_of(row.stack)),
            told.get(FlagName(row.stack, row.number), Told.NOT_TOLD),
        )
        for row in chosen
    ]


def scores(ledger: Ledger, catalogue: Sequence[Volcano], choice: Choice) -> list[Score]:
    """The scores by the present models: of single pairs, with those that were rejected, then of each kind of assessment."""
    known = {volcano.gvp: volcano for volcano in catalogue}
    made = (
        Score(kind, row, known.get(volcano_of(row.stack))) for kind in EvidenceKind for row in _scored(ledger, kind, choice)
    )
    return [one for one in made if choice.meets(one.days)]


def _scored(ledger: Ledger, kind: EvidenceKind, choice: Choice) -> Iterator[ScoredPair | ScoredAssessment]:
    if kind not in choice.evidence:
        return
    if kind is EvidenceKind.PAIR:
        yield from (row for row in ledger.scores() if choice.takes(row.stack))
        return
    for stack in filter(choice.takes, ledger.modelled(kind)):
        yield from ledger.assessments(stack, kind)


def stacks(ledger: Ledger, catalogue: Sequence[Volcano], choice: Choice, *, night: date | None = None) -> list[StackNow]:
    """The stacks of the catalogue in its order, also those of which nothing was stored yet.

    Each has the state of its newest night; with `night`, of that one where it has been through it.
    """
    states, every = ledger.newest_states(), ledger.thresholds()
    states = states | (ledger.states(night) if night else {})
    is_open = ledger.episodes(open_only=True)
    told = Counter(row.stack for row in is_open if row.state.told)
    noted = Counter(row.stack for row in is_open if not row.state.told)
    thresholds: dict[str, dict[EvidenceKind, float | None]] = defaultdict(dict)
    for (stack, kind), threshold in every.items():
        thresholds[stack][kind] = threshold
    return [
        StackNow(stack, volcano, states.get(stack), thresholds[stack], told[stack], noted[stack])
        for volcano in catalogue
        for stack in volcano.stacks
        if choice.takes(stack)
    ]


def moments(ledger: Ledger) -> dict[str, Sent]:
    """When the notices of flags were written that were sent, or wait: name of the flag -> when it was raised and when it
    ended, as far as known."""
    found: dict[str, Sent] = {}
    for row in (row for row in ledger.notices() if row.dropped is None or row.delivered_at is not None):
        flag = flag_of(row.key)
        known = found.get(flag, Sent())
        found[flag] = replace(known, raised=known.raised or row.created) if row.kind in _BEGINS else known
        if row.kind == "reopened":
            found[flag] = replace(found[flag], ended=None)
        if row.kind in _ENDS:
            found[flag] = replace(found[flag], ended=row.created)
    return found


_BEGINS = ("raised", "released")
_ENDS = ("cleared", "withdrawn")
