"""What goes out together, and when a channel is left alone. Pure: nothing is opened and nothing is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from insar_anomaly.config.route import OF_A_NIGHT
from insar_anomaly.notify.message import NotDelivered, Refused, Unreachable

_REGION_DIGITS = 2
"""Digits of a volcano's number that stand for its region, as the Smithsonian's catalogue counts them."""
_PATIENCE = 3
"""Notices in a row that fail at a channel that answers, after which it is left alone."""
PARKED = "parked"
"""Kind of the notice by which one channel tells what another one does not take."""
REGION = "region"
"""Kind of the notice that many stacks crossed on one date."""
ALONE = (*OF_A_NIGHT, PARKED, REGION)
"""Kinds that are never told together with others."""


@dataclass(frozen=True)
class Waiting:
    """A notice that waits, as far as it matters for what goes out together.

    `contacts` are those that get it beside the destination's own recipients; `bundle` is the key of the message that it was
    made a part of in an earlier attempt.
    """

    key: str
    kind: str
    gvp: int
    contacts: tuple[str, ...] = ()
    bundle: str | None = None

    @property
    def region(self) -> str:
        """The volcano's region: the first digits of its number."""
        return str(self.gvp)[:_REGION_DIGITS]


@dataclass(frozen=True)
class Parcel:
    """Notices that one message tells; `bundle` is that message's key, None where it tells one notice alone."""

    keys: tuple[str, ...]
    contacts: tuple[str, ...] = ()
    bundle: str | None = None
    region: str = ""


def parcels(destination: str, waiting: Sequence[Waiting], *, above: int, together: bool = True) -> list[Parcel]:
    """What goes to a destination, in order of the oldest notice of each parcel.

    Where more than `above` notices wait, those of one region and the same contacts go out as one message. What was put
    together in an earlier attempt stays together: its receiver may have got it, and knows it by its key.
    """
    single = [one for one in waiting if one.kind not in ALONE and one.bundle is None]
    many = together and len(single) > above
    groups: dict[tuple[object, ...], list[Waiting]] = {}
    for one in waiting:
        if one.bundle is not None and together:
            groups.setdefault(("bundle", one.bundle), []).append(one)
        elif many and one.kind not in ALONE:
            groups.setdefault(("region", one.region, one.contacts), []).append(one)
        else:
            groups.setdefault(("alone", one.key), []).append(one)
    return [_parcel(destination, some) for some in groups.values()]


def _parcel(destination: str, some: Sequence[Waiting]) -> Parcel:
    first, keys = some[0], tuple(one.key for one in some)
    if len(some) == 1 and first.bundle is None:
        return Parcel(keys, first.contacts)
    digest = hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]
    return Parcel(keys, first.contacts, first.bundle or f"group:{destination}:{digest}", first.region)


@dataclass
class Breaker:
    """Says when a channel is left alone for the rest of a run: at once where nobody answers in time, or else after three
    failures in a row. A notice that is refused says nothing of the channel."""

    failures: int = 0
    why: str = ""

    @property
    def open(self) -> bool:
        """True where the channel is left alone."""
        return bool(self.why)

    def arrived(self) -> None:
        """The channel works."""
        self.failures = 0

    def failed(self, problem: BaseException) -> None:
        """A notice did not arrive."""
        if isinstance(problem, Refused):
            self.failures = 0
            return
        self.failures += 1
        if isinstance(problem, Unreachable) or (isinstance(problem, NotDelivered) and self.failures >= _PATIENCE):
            self.why = str(problem)


def counted(kinds: Iterable[str]) -> str:
    """``3 raised, 1 cleared``."""
    found: dict[str, int] = {}
    for kind in kinds:
        found[kind] = found.get(kind, 0) + 1
    return ", ".join(f"{number} {kind}" for kind, number in found.items())
