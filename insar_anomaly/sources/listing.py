"""Listed pairs against what was seen: what is new, what was replaced, and what a listing alone rejects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.names import Pair, by_date
from insar_anomaly.sources.base import Listed


class Known(Protocol):
    """What was found out about a pair when its files were last checked."""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its files."""
        ...

    @property
    def verdict(self) -> Verdict:
        """The verdict of the prechecks."""
        ...


def fresh(listed: Iterable[Listed], seen: Mapping[str, Known]) -> list[Listed]:
    """Listed minus seen, in order of dates.

    A rejected pair is checked again when its fingerprint has changed: a truncated file may have been an upload under way.
    `seen` maps a pair to what is known of it.
    """
    new = []
    for one in listed:
        known = seen.get(one.pair)
        if known is None or (known.verdict != Verdict.OK and known.fingerprint != one.fingerprint):
            new.append(one)
    return sorted(new, key=lambda one: by_date(one.pair))


def replaced(listed: Iterable[Listed], seen: Mapping[str, Known]) -> list[Listed]:
    """Accepted pairs whose files have changed since: the stack keeps what it has, which is what was screened."""
    every = ((one, seen[one.pair]) for one in listed if one.pair in seen)
    return [one for one, known in every if known.verdict == Verdict.OK and known.fingerprint != one.fingerprint]


def precheck_listing(listed: Listed) -> None:
    """What can be said before a file is opened.

    Raises
    ------
    PairRejected
        BAD_NAME, MISSING_PHASE or MISSING_COHERENCE.
    """
    if Pair.parse(listed.pair) is None:
        raise PairRejected(Verdict.BAD_NAME, f"{listed.phase_uri or listed.pair}: rename or remove the folder")
    if listed.phase_uri is None:
        raise PairRejected(Verdict.MISSING_PHASE, f"{listed.coherence_uri}: no .geo.unw.tif beside it; upload it")
    if listed.coherence_uri is None:
        raise PairRejected(Verdict.MISSING_COHERENCE, f"{listed.phase_uri}: no .geo.cc.tif beside it; upload it")
