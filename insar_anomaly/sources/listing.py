"""Listed pairs against what was seen: what is new, what was replaced, and what a listing alone rejects."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
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

    @property
    def rests_on(self) -> str:
        """The setting that a rejection rests on, as ``min_valid = 0.1``; empty where there is none."""
        ...


def fresh(listed: Iterable[Listed], seen: Mapping[str, Known], settings: Collection[str] = ()) -> list[Listed]:
    """Listed minus seen, in order of dates.

    A rejected pair is checked again when its fingerprint has changed: a truncated file may have been an upload under way. It
    is checked again, too, when the setting that its rejection rests on is another one now. `seen` maps a pair to what is
    known of it; `settings` are those of now, in the words of `Known.rests_on`.
    """
    new = []
    for one in listed:
        known = seen.get(one.pair)
        if known is None or (
            known.verdict != Verdict.OK and (known.fingerprint != one.fingerprint or mended(known, settings))
        ):
            new.append(one)
    return sorted(new, key=lambda one: by_date(one.pair))


class Rested(Protocol):
    """Something that was decided by a setting."""

    @property
    def rests_on(self) -> str:
        """The setting, or nothing."""
        ...


def mended(known: Rested, settings: Collection[str]) -> bool:
    """True where the setting that a rejection rests on is not what it was."""
    return bool(known.rests_on and settings) and known.rests_on not in settings


def replaced(listed: Iterable[Listed], seen: Mapping[str, Known]) -> list[Listed]:
    """Accepted pairs whose files have changed since."""
    every = ((one, seen[one.pair]) for one in listed if one.pair in seen and one.phase_uri and one.coherence_uri)
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
        raise PairRejected(Verdict.MISSING_PHASE, listed.lacks or f"{listed.pair}: no phase; upload it")
    if listed.coherence_uri is None:
        raise PairRejected(Verdict.MISSING_COHERENCE, listed.lacks or f"{listed.pair}: no coherence; upload it")
