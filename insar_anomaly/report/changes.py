"""What a digest says of its night by name and by reason: flags that changed, pairs that were rejected, the oldest data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date

from insar_anomaly.errors import Verdict
from insar_anomaly.flags.events import FlagEvent
from insar_anomaly.flags.states import FlagState
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import EpisodeRow, EventRow
from insar_anomaly.names import FlagName, JsonObject
from insar_anomaly.stack.freshness import StackState

OLDEST = 5
"""Stacks whose data's age a digest says by name; of the others it says how many they are."""


@dataclass(frozen=True)
class FlagChange:
    """What became of a flag in the night (`what`), and the flag as it stands after it; `name` is the volcano's.

    `told` says whether a notice of the flag was sent, see `flags.told`.
    """

    what: FlagEvent
    stack: str
    number: int
    name: str
    state: FlagState
    since: date
    until: date
    peak_pair: str
    peak_score: float
    threshold: float
    cleared: date | None
    told: Told

    @property
    def flag(self) -> str:
        """The flag's name in commands."""
        return f"{self.stack}:{self.number}"

    def as_dict(self) -> dict[str, object]:
        """The JSON form."""
        plain = {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(self).items()}
        return {"flag": self.flag} | plain

    @classmethod
    def of_row(cls, row: JsonObject) -> FlagChange:
        """From what `as_dict` gave."""
        days = {name: date.fromisoformat(row[name]) for name in ("since", "until", "cleared") if row[name]}
        state = next(one for one in FlagState if one == row["state"])
        words = {"what": FlagEvent(row["what"]), "state": state, "told": Told(row["told"])}
        return cls(**{name: value for name, value in row.items() if name != "flag"} | days | words)


def changes_of(
    events: Iterable[EventRow], episodes: Iterable[EpisodeRow], told: Mapping[FlagName, Told], names: Mapping[str, str]
) -> tuple[FlagChange, ...]:
    """The changes of a night, by what they are, then by stack and number.

    Parameters
    ----------
    told : whether a notice of each flag was sent; a flag that is not in it was not told
    names : stack or couple -> name of its volcano; what is not in it is left out
    """
    known, every = {(row.stack, row.number): row for row in episodes}, list(events)
    held = {(one.stack, one.number) for one in every if one.what is FlagEvent.HELD}
    out = []
    for one in every:
        row = known.get((one.stack, one.number))
        raised_and_held = one.what is FlagEvent.RAISED and (one.stack, one.number) in held
        if row is not None and one.stack in names and not raised_and_held:
            out.append(_change(one.what, row, told.get(FlagName(one.stack, one.number), Told.NOT_TOLD), names[one.stack]))
    order = list(FlagEvent)
    return tuple(sorted(out, key=lambda one: (order.index(one.what), one.stack, one.number)))


def _change(what: FlagEvent, row: EpisodeRow, told: Told, name: str) -> FlagChange:
    flag = (row.stack, row.number, name, row.state, row.since, row.until)
    return FlagChange(what, *flag, row.peak_pair, row.peak_score, row.threshold, row.cleared, told)


def rejected_rows(rejected: Mapping[Verdict, int]) -> list[dict[str, object]]:
    """The rejected pairs by reason for JSON, the most frequent reason first."""
    return [{"verdict": int(one), "reason": one.words, "pairs": number} for one, number in in_turn(rejected)]


def rejected_of_rows(rows: Iterable[JsonObject]) -> dict[Verdict, int]:
    """From what `rejected_rows` gave."""
    return {Verdict(row["verdict"]): row["pairs"] for row in rows}


def in_turn(rejected: Mapping[Verdict, int]) -> list[tuple[Verdict, int]]:
    """Reasons with their pairs, the most frequent first; without those that no pair was rejected for."""
    return sorted(((one, number) for one, number in rejected.items() if number), key=lambda found: (-found[1], found[0]))


def ages(states: Mapping[str, StackState]) -> tuple[list[tuple[str, StackState]], list[int], int]:
    """How old the data are of stacks that are not stale, which are listed by themselves: the oldest ones by name, the ages
    in days of the others in ascending order, and the number of stacks without any data."""
    known = {stack: state for stack, state in states.items() if not state.stale and state.age_days is not None}
    ordered = sorted(known.items(), key=lambda one: (-(one[1].age_days or 0), one[0]))
    rest = sorted(state.age_days or 0 for _, state in ordered[OLDEST:])
    return ordered[:OLDEST], rest, sum(state.newest is None and not state.stale for state in states.values())
