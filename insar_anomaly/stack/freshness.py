"""How old a stack's data are on a night, what was expected and did not come, and whether its summit is measured.

No clock is read here: the night's date is an argument.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from statistics import median

from insar_anomaly.names import Couple, Pair, by_date, day_of, place, stamp

RECENT = 6
"""Acquisitions, counted back from the newest, in whose accepted pairs the summit is looked for."""
SUMMIT_KM = 1.0
"""Radius, km, of the ground around the volcano's place that is called the summit."""
SUMMIT_LEAST = 0.25
"""Least part of that ground that has to be measured in one pair."""
BOX_LEAST = 0.75
"""Part of the box below which a stack is said to measure a part of it only."""
_YEAR = timedelta(days=365)
_SPACINGS = 5
"""Spacings that are looked at where the last year has fewer."""
_COMMON = 0.2
"""Part of the time between acquisitions that the usual repeat fills at least."""
_TOLD = 12


@dataclass(frozen=True)
class Coverage:
    """What one accepted pair measures: part of the volcano's box, and part of its summit, 0 to 1; see `stack.coverage`."""

    box: float
    summit: float


@dataclass(frozen=True)
class Listing:
    """What a source listed of a stack's frame, up to the night's date.

    Parameters
    ----------
    pairs : number of pairs
    newest : their newest acquisition; None where there is no pair
    ahead : pairs that end after the night's date and after today's: nobody can have measured them yet
    """

    pairs: int
    newest: date | None = None
    ahead: int = 0

    @classmethod
    def of(cls, names: Iterable[str], *, as_of: date, today: date) -> Listing:
        """From the names of everything that is listed; what is no pair's name is left out."""
        last = [pair.last for name in names if (pair := Pair.parse(name))]
        so_far = [day for day in last if day <= as_of]
        return cls(len(so_far), max(so_far, default=None), sum(day > max(as_of, today) for day in last))


@dataclass(frozen=True)
class StackState:
    """A stack's data as they were on one night: what came, beside what was expected.

    Parameters
    ----------
    as_of : the night's date; nothing later is counted, except in `later` and `ahead`
    newest : newest acquisition of an accepted pair; None where no pair was accepted
    age_days : days from it to the night
    repeat_days : the usual repeat, see `usual_repeat`; None where there are fewer than two acquisitions
    expected : day of the acquisition that should follow the newest
    missed : expected acquisitions that lie before the night and are not there
    gap_days : longest time between two acquisitions that follow each other
    listed : pairs that the source listed; None where it could not be listed
    listed_newest : their newest acquisition
    ahead : listed pairs that end after the night and after the day on which it was run
    accepted : accepted pairs
    later : accepted pairs that end more than a day after the night
    area : part of the box that the pairs of the last `RECENT` acquisitions measure, their median; None where it is unknown
    summit : the largest part of the summit that one of them measures; None where it is unknown
    stale : too many repeats were missed in a row
    acquisitions : what came in that night, the newest `_TOLD` of it: ``YYYYMMDD`` -> number of `units.Platform`
    """

    as_of: date
    newest: date | None = None
    age_days: int | None = None
    repeat_days: int | None = None
    expected: date | None = None
    missed: int = 0
    gap_days: int | None = None
    listed: int | None = None
    listed_newest: date | None = None
    ahead: int = 0
    accepted: int = 0
    later: int = 0
    area: float | None = None
    summit: float | None = None
    stale: bool = False
    acquisitions: Mapping[str, int] = field(default_factory=dict)

    @property
    def summit_measured(self) -> bool | None:
        """False where the summit was measured in none of the pairs of the last acquisitions; None where it is unknown."""
        return None if self.summit is None else self.summit >= SUMMIT_LEAST

    @property
    def partly(self) -> bool:
        """True where the stack measures a part of the volcano's box only, as far as it is known."""
        return self.area is not None and self.area < BOX_LEAST

    @property
    def why(self) -> str:
        """How old the data are, in words."""
        if self.newest is None:
            return f"no pair was ever accepted, {_many(self.listed or 0, 'pair')} listed"
        words = f"newest acquisition {self.newest}, {_many(self.age_days or 0, 'day')} old"
        if not self.repeat_days or not self.missed:
            return words
        missed = (
            f"{_many(self.missed, 'repeat')} of {_many(self.repeat_days, 'day')} {'was' if self.missed == 1 else 'were'}"
        )
        return f"{words}; the next was expected on {self.expected}, and {missed} missed"

    @property
    def remedy(self) -> str:
        """What a person can do where nothing usable comes."""
        if self.listed is None:
            return "the source could not be listed; see the failures of the night"
        if not self.listed:
            return "the source lists no pair of this frame; check that its disk is mounted, and url in [[source]]"
        if self.newest is None or (self.listed_newest and self.listed_newest > self.newest):
            return (
                f"pairs up to {self.listed_newest} are listed and none was accepted since; `insar-anomaly scores` gives "
                "their verdicts, docs/verdicts.md what mends them"
            )
        return (
            "the source lists nothing newer; ask the provider whether the frame goes on, look for its pairs in another "
            "[[source]], or take the frame out of the catalogue"
        )


def usual_repeat(acquisitions: Sequence[date]) -> int | None:
    """The shortest common spacing of the last year, in days; None where there are fewer than two acquisitions.

    It is the smallest spacing for which the spacings up to it fill a fifth of the time. So a long gap does not make it
    longer, and single acquisitions a day apart (two satellites, one behind the other) do not make it a day.

    Parameters
    ----------
    acquisitions : distinct days in order
    """
    spacings = [((b - a).days, b) for a, b in pairwise(acquisitions)]
    if not spacings:
        return None
    lately = [days for days, end in spacings if end > acquisitions[-1] - _YEAR]
    chosen = sorted(lately if len(lately) >= _SPACINGS else [days for days, _ in spacings[-_SPACINGS:]])
    needed, filled = _COMMON * sum(chosen), 0
    for days in chosen:
        filled += days
        if filled >= needed:
            return days
    return chosen[-1]


def state_of(
    as_of: date,
    accepted: Iterable[str],
    *,
    stale_after: int,
    listing: Listing | None = None,
    coverage: Mapping[str, Coverage] | None = None,
    came: Mapping[str, int] | None = None,
) -> StackState:
    """A stack's state on a night.

    Parameters
    ----------
    accepted : names of its accepted pairs, also of those that came after the night's date
    stale_after : repeats in a row without anything usable after which it is stale
    listing : what its source listed; None where it could not be listed
    coverage : what accepted pairs measure, as far as it is known
    came : acquisitions that came in this night
    """
    every = list(accepted)
    mine = until(every, as_of)
    days = acquisitions_of(mine)
    known = {name: coverage[name] for name in recent(mine) if name in coverage} if coverage else {}
    newest, repeat = (days[-1] if days else None), usual_repeat(days)
    age = (as_of - newest).days if newest else None
    missed = max(0, age - 1) // repeat if age is not None and repeat else 0
    starved = newest is None and listing is not None and listing.pairs > 0
    return StackState(
        as_of=as_of,
        newest=newest,
        age_days=age,
        repeat_days=repeat,
        expected=newest + timedelta(days=repeat) if newest and repeat else None,
        missed=missed,
        gap_days=max(((b - a).days for a, b in pairwise(days)), default=None),
        listed=None if listing is None else listing.pairs,
        listed_newest=None if listing is None else listing.newest,
        ahead=0 if listing is None else listing.ahead,
        accepted=len(mine),
        later=len(every) - len(until(every, as_of + timedelta(days=1))),
        area=median(one.box for one in known.values()) if known else None,
        summit=max((one.summit for one in known.values()), default=None),
        stale=missed >= stale_after or starved,
        acquisitions=dict(sorted((came or {}).items())[-_TOLD:]),
    )


def stale_words(name: str, states: Mapping[str, StackState]) -> str | None:
    """Why nothing new can come of a stack, or of one of a couple's two; None where something can."""
    one = place(name)
    members = map(str, one.members) if isinstance(one, Couple) else (name,)
    stale = [(stack, states[stack]) for stack in members if stack in states and states[stack].stale]
    found = [f"{stack} is stale on the night of {state.as_of} ({state.why})" for stack, state in stale]
    return " and ".join(found) or None


def until(pairs: Iterable[str], day: date) -> list[str]:
    """Those of the pairs that do not end after a day."""
    return [name for name in pairs if by_date(name)[0] <= stamp(day)]


def acquisitions_of(pairs: Iterable[str]) -> list[date]:
    """The days of these pairs, each once, in order."""
    return [day for text in _stamps(pairs) if (day := day_of(text))]


def _stamps(pairs: Iterable[str]) -> list[str]:
    """The same as they are written. Thousands of names are taken apart every night: no date is made of one twice."""
    return sorted({text for name in pairs for text in by_date(name)})


def recent(pairs: Collection[str]) -> list[str]:
    """Those of the pairs that one of their last `RECENT` acquisitions takes part in."""
    last = set(_stamps(pairs)[-RECENT:])
    return [name for name in pairs if not last.isdisjoint(by_date(name))]


def _many(number: int, one: str) -> str:
    return f"{number} {one}" if number == 1 else f"{number} {one}s"
