"""What goes out together, and when a channel is left alone. Pure: nothing is opened and nothing is sent."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from insar_anomaly.config.route import OF_A_NIGHT
from insar_anomaly.ledger.records import RECEIPT
from insar_anomaly.notify.message import NotDelivered, Refused, Unreachable

_REGION_DIGITS = 2
"""Digits of a volcano's number that stand for its region, as the Smithsonian's catalogue counts them."""
_PATIENCE = 3
"""Notices in a row that fail at a channel that answers, after which it is left alone."""
PARKED = "parked"
"""Kind of the notice by which one channel tells what another one does not take."""
REGION = "region"
"""Kind of the notice that many stacks crossed on one date."""
GROUP = "group"
"""Kind of the message of many notices."""
ALONE = (*OF_A_NIGHT, PARKED, REGION, GROUP)
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
class Letter:
    """What a parcel says to some receivers: the keys of its notices, in order.

    `contacts` are addresses of volcanoes' contacts; `own` says that the destination's own recipients get it too.
    """

    keys: tuple[str, ...]
    contacts: tuple[str, ...]
    own: bool


@dataclass(frozen=True)
class Parcel:
    """Notices that go out together; `bundle` is their key, None where a notice goes out alone. `contacts` has those of each
    notice, in the order of `keys`."""

    keys: tuple[str, ...]
    contacts: tuple[tuple[str, ...], ...]
    bundle: str | None = None
    region: str = ""

    def letters(self, own: Collection[str] = ()) -> list[Letter]:
        """One letter for each set of receivers, so that nobody gets two of one parcel, nor a notice of another's volcano.

        Parameters
        ----------
        own : the destination's own recipients, who get every notice
        """
        mine: dict[str, list[str]] = {}
        for key, contacts in zip(self.keys, self.contacts, strict=True):
            for one in dict.fromkeys(contacts):
                mine.setdefault(one, []).append(key)
        by_keys: dict[tuple[str, ...], list[str]] = {}
        for one, keys in mine.items():
            if one not in own:
                by_keys.setdefault(tuple(keys), []).append(one)
        everything = Letter(self.keys, tuple(by_keys.pop(self.keys, ())), own=True)
        lost = tuple(key for key, contacts in zip(self.keys, self.contacts, strict=True) if not contacts)
        # what nobody gets is a letter too: the channel says what is missing
        alone = [Letter(lost, (), own=True)] if lost else []
        first = [everything] if own or everything.contacts or not by_keys else alone
        return first + [Letter(keys, tuple(some), own=False) for keys, some in by_keys.items()]

    def key_of(self, letter: Letter) -> str | None:
        """The key of a letter: the bundle's where it has every notice of it, else another one that is always the same."""
        if self.bundle is None or letter.keys == self.keys:
            return self.bundle
        return f"{self.bundle}:{_digest(letter.keys)}"

    def receipt_of(self, letter: Letter) -> str:
        """What the outbox calls a letter of several that has arrived: other for other receivers."""
        return f"{self.bundle}:{_digest((*letter.keys, *letter.contacts, str(letter.own)))}{RECEIPT}"


def parcels(destination: str, waiting: Sequence[Waiting], *, above: int, together: bool = True) -> list[Parcel]:
    """What goes to a destination, in order of the oldest notice of each parcel.

    Where more than `above` notices wait, those of one region go out together. What was put together in an earlier attempt
    stays together: its receiver may have got it, and knows it by its key.
    """
    single = [one for one in waiting if one.kind not in ALONE and one.bundle is None]
    many = together and len(single) > above
    groups: dict[tuple[object, ...], list[Waiting]] = {}
    for one in waiting:
        if one.bundle is not None and together:
            groups.setdefault(("bundle", one.bundle), []).append(one)
        elif many and one.kind not in ALONE:
            groups.setdefault(("region", one.region), []).append(one)
        else:
            groups.setdefault(("alone", one.key), []).append(one)
    return [_parcel(destination, some) for some in groups.values()]


def _parcel(destination: str, some: Sequence[Waiting]) -> Parcel:
    first, keys, contacts = some[0], tuple(one.key for one in some), tuple(one.contacts for one in some)
    if len(some) == 1 and first.bundle is None:
        return Parcel(keys, contacts)
    return Parcel(keys, contacts, first.bundle or f"group:{destination}:{_digest(keys)}", first.region)


def _digest(keys: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()[:16]


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


def counted(kinds: Iterable[str]) -> list[tuple[str, int]]:
    """Kinds of notices and how many there are of each, in order of the first."""
    return list(Counter(kinds).items())
