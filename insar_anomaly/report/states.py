"""The stacks' data in the digest: how old they are, what came, which stacks are stale, whose summit nobody sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date

from insar_anomaly.names import JsonObject, Stack, day_of, direction, track
from insar_anomaly.stack.freshness import RECENT, SUMMIT_KM, StackState
from insar_anomaly.units import Platform


@dataclass(frozen=True)
class Stale:
    """A stack that gets nothing usable any more: why that is thought, and what a person can do."""

    stack: str
    why: str
    remedy: str

    @property
    def words(self) -> str:
        """One line."""
        return f"{self.stack}: {self.why}; {self.remedy}"


@dataclass(frozen=True)
class Unmeasured:
    """A stack that does not measure its summit, or all of its box, and what is known of that."""

    stack: str
    why: str


UNJUDGED = "the stack failed, so that no pair could be judged"
"""Why a stack is stale of which pairs are listed, and which could not be read."""


def stale_of(states: Mapping[str, StackState], failed: Mapping[str, str] | None = None) -> tuple[Stale, ...]:
    """The stacks that are stale; see `unjudged` for `failed`."""
    out = []
    for stack, state in sorted(states.items()):
        if state.stale:
            why = unjudged(stack, state, failed or {})
            remedy = f"{UNJUDGED}: {why}" if why else state.remedy
            out.append(Stale(stack, state.why, remedy))
    return tuple(out)


def unjudged(stack: str, state: StackState, failed: Mapping[str, str]) -> str:
    """The failure that kept newer pairs of a stack from being judged; empty where there is none.

    `failed` has what the stacks that failed while they were read said, each with its remedy.
    """
    newer = state.newest is None or (state.listed_newest is not None and state.listed_newest > state.newest)
    return failed.get(stack, "") if state.listed and newer else ""


def unmeasured_of(states: Mapping[str, StackState]) -> tuple[Unmeasured, ...]:
    """The stacks whose summit was measured in none of their last acquisitions."""
    why = (
        "at most {:.0%} of the ground within {:g} km of the summit was measured in the pairs of the last {} acquisitions: "
        "what happens there cannot be flagged"
    )
    return tuple(
        Unmeasured(stack, why.format(state.summit, SUMMIT_KM, RECENT))
        for stack, state in sorted(states.items())
        if state.summit_measured is False
    )


def partly_of(states: Mapping[str, StackState]) -> tuple[Unmeasured, ...]:
    """The stacks that measure a part of their volcano's box only, with what another frame of the same track measures."""
    why = "{:.0%} of the volcano's box was measured in the pairs of the last {} acquisitions: motion elsewhere is not seen"
    out = []
    for stack, state in sorted(states.items()):
        if state.partly:
            added = [f"; {one}, of the same track, measures {area:.0%}" for one, area in beside(stack, states)]
            out.append(Unmeasured(stack, why.format(state.area, RECENT) + "".join(added)))
    return tuple(out)


def beside(stack: str, states: Mapping[str, StackState]) -> list[tuple[str, float]]:
    """Other stacks that see the volcano from the same track, each with the part of the box that it measures."""
    mine = _pass_of(stack)
    others = [one for one in sorted(states) if one != stack and _pass_of(one) == mine and mine[1] is not None]
    return [(one, states[one].area or 0.0) for one in others]


def _pass_of(stack: str) -> tuple[int, int | None, str | None]:
    """The volcano, the track and the direction from which a stack sees it."""
    one = Stack.of(stack)
    return one.gvp, track(one.frame), direction(one.frame)


def remarks(states: Mapping[str, StackState], as_of: date, failed: Mapping[str, str] | None = None) -> list[str]:
    """What a person should read of the states beside the lists: one line of each kind, however many stacks it is true of.

    `failed` as in `unjudged`.
    """
    out = []
    if stale := stale_of(states, failed):
        first = (
            stale[0].words
            if unjudged(stale[0].stack, states[stale[0].stack], failed or {}) == ""
            else (
                f"{stale[0].stack}: {stale[0].why}; {UNJUDGED}"  # the failure is said where failures are
            )
        )
        out.append(f"{_stacks(len(stale), len(states))} stale, first {first}")
    if later := [stack for stack, state in sorted(states.items()) if state.later]:
        pairs = states[later[0]].later
        out.append(
            f"the night's date, {as_of}, lies before pairs that were already accepted ({_stacks(len(later), len(states))} "
            f"concerned, first {later[0]} with {pairs}); they were left out. If this is no replay of the past, set the "
            "machine's clock or --as-of right"
        )
    if ahead := [stack for stack, state in sorted(states.items()) if state.ahead]:
        out.append(
            f"pairs are listed that end after {as_of} and after today ({_stacks(len(ahead), len(states))} concerned, first "
            f"{ahead[0]} with {states[ahead[0]].ahead}); they were left out: set the machine's clock right, or correct "
            "their names"
        )
    return out


def state_row(stack: str, state: StackState) -> dict[str, object]:
    """A row of the table for JSON: acquisitions with the satellite that made each (``unknown`` where nobody says)."""
    content = asdict(state) | {"acquisitions": {day: Platform(one).words for day, one in state.acquisitions.items()}}
    plain = {name: value.isoformat() if isinstance(value, date) else value for name, value in content.items()}
    parts = {name: None if content[name] is None else round(float(content[name]), 3) for name in ("area", "summit")}
    return {"stack": stack} | plain | parts | {"summit_measured": state.summit_measured}


def state_of_row(row: JsonObject) -> tuple[str, StackState]:
    """Stack and state of a row that `state_row` made."""
    known = {one.name: row[one.name] for one in fields(StackState) if one.name in row}
    days = {name: date.fromisoformat(row[name]) for name in _DAYS if row.get(name)}
    came = {day: int(_PLATFORMS.get(words, Platform.UNKNOWN)) for day, words in row["acquisitions"].items()}
    return row["stack"], StackState(**{**known, **days, "acquisitions": came})


_DAYS = ("as_of", "newest", "expected", "listed_newest")
_PLATFORMS = {one.words: one for one in Platform}


def arrivals(states: Mapping[str, StackState]) -> list[tuple[str, str, int | None]]:
    """The stacks that got acquisitions in the night: their days with the satellites, and the age of their data in days."""
    found = []
    for stack, state in sorted(states.items()):
        if state.acquisitions:
            days = [f"{day_of(day)} ({Platform(one).words})" for day, one in state.acquisitions.items()]
            found.append((stack, ", ".join(days), state.age_days))
    return found


def _stacks(number: int, of: int) -> str:
    return f"{number} of {of} stacks {'is' if number == 1 else 'are'}"
