"""What the scores of a trial are of: quiet evidence, injected sources of one peak, or pairs that labels call deformation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where a sample of scores comes from."""

    QUIET = "quiet"
    INJECTED = "injected"
    LABELLED = "labels"


class Age(StrEnum):
    """How much of the time after an interval an assessment has seen.

    A single pair has one assessment only; it counts as complete.
    """

    FIRST = "first"
    COMPLETE = "complete"


@dataclass(frozen=True, order=True)
class Sample:
    """The key of a set of scores. `peak_cm` is the injected peak, cm line of sight; 0 for other origins.

    The printed form is the key in JSON: ``quiet``, ``labels``, ``4 cm``, ``4 cm, first assessment``.
    """

    origin: Origin
    peak_cm: float = 0.0
    age: Age = Age.COMPLETE

    def __str__(self) -> str:
        if self.origin is not Origin.INJECTED:
            return self.origin.value
        return f"{self.peak_cm:g} cm" + (", first assessment" if self.age is Age.FIRST else "")

    @classmethod
    def parse(cls, text: str) -> Sample:
        """The sample of a printed form, those of earlier versions (``4 cm at once``) included. Raises ValueError."""
        if text in (Origin.QUIET, Origin.LABELLED):
            return cls(Origin(text))
        found = re.fullmatch(r"([0-9.e+-]+) cm(, first assessment| at once)?", text)
        if found is None:
            raise ValueError(f"{text!r} names no sample of scores: quiet, labels or a peak such as '4 cm'")
        return cls(Origin.INJECTED, float(found[1]), Age.FIRST if found[2] else Age.COMPLETE)


QUIET = Sample(Origin.QUIET)
LABELLED = Sample(Origin.LABELLED)


def injected(peak_cm: float, age: Age = Age.COMPLETE) -> Sample:
    """Sources of one peak, injected into quiet evidence."""
    return Sample(Origin.INJECTED, peak_cm, age)
