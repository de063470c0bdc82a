"""Bounds of a detector's settings, checked where it is made: a wrong value is told before the night, not in the fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bound:
    """What a number may be: from `least` (or only above `over`) to `most` (or only below `under`); None is open."""

    least: float | None = None
    over: float | None = None
    most: float | None = None
    under: float | None = None

    def holds(self, value: float) -> bool:
        """True for a value inside; NaN never is."""
        return (
            (self.least is None or value >= self.least)
            and (self.over is None or value > self.over)
            and (self.most is None or value <= self.most)
            and (self.under is None or value < self.under)
            and value == value
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"a number from {self.least} to {self.most}"
        lower = f"from {self.least} on" if self.least is not None else f"above {self.over}" if self.over is not None else ""
        upper = f"at most {self.most}" if self.most is not None else f"below {self.under}" if self.under is not None else ""
        return f"a number {' and '.join(part for part in (lower, upper) if part)}"


Bounds = Mapping[str, Bound | tuple[str, ...]]
"""What settings may be, by name: a bound for numbers (and for each of a tuple), or the words to choose from."""

PART = Bound(least=0, most=1)
FROM_0, FROM_1, ABOVE_0 = Bound(least=0), Bound(least=1), Bound(over=0)


def insist(settings: object, bounds: Bounds, more: Iterable[str] = ()) -> None:
    """Refuse settings outside their bounds. None is not checked: it stands for a default.

    Parameters
    ----------
    more : what is wrong with settings that are right one by one

    Raises
    ------
    ValueError
        with a line for each mistake, ``name = value: what to give``.
    """
    wrong = [words for name, bound in bounds.items() if (words := _wrong(name, getattr(settings, name), bound))]
    if wrong := wrong or list(more):
        raise ValueError("\n".join(wrong))


def _wrong(name: str, value: Any, bound: Bound | tuple[str, ...]) -> str | None:
    if value is None:
        return None
    if isinstance(bound, tuple):
        return None if value in bound else f"{name} = {value!r}: choose one of {', '.join(bound)}"
    every = value if isinstance(value, tuple | list) else (value,)
    which = " in each place" if len(every) > 1 else ""
    return None if every and all(map(bound.holds, every)) else f"{name} = {value!r}: give {bound}{which}"
