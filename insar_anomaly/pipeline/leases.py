"""The stacks that a process works on: taken, kept alive while it works, and given back."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from insar_anomaly.errors import Busy, InsarAnomalyError, StackFailed
from insar_anomaly.ledger.leases import Held, Lease
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.owner import Owner
from insar_anomaly.stack.store import Writer

log = logging.getLogger(__name__)

_BEATS = 4
"""Times that an owner says that it lives, before its lease would expire."""


@dataclass
class Holding:
    """Leases held by one piece of work. `busy` has what could not be had: name -> who holds it, in words."""

    ledger: Ledger
    leases: Mapping[str, Lease] = field(default_factory=dict)
    busy: Mapping[str, str] = field(default_factory=dict)

    def writer(self, name: str) -> Writer:
        """Who commits to the stack, for the store. Raises KeyError where its lease is not held: that is a defect."""
        lease = self.leases[name]
        return Writer(lease.fence, lease.owner.words, lambda: self.insist(name))

    def insist(self, name: str) -> None:
        """Raise StackFailed where the lease was taken over."""
        lease = self.leases[name]
        if not self.ledger.holds(lease):
            raise StackFailed(
                f"{name}: {lease.owner.words} has been silent for too long, and another process has taken its work over; "
                "nothing more is written here, and nothing is lost"
            )


@contextmanager
def holding(ledger: Ledger, names: Sequence[str], *, what: str, seconds: float) -> Iterator[Holding]:
    """Hold the leases of `names`, as far as they can be had, for the length of a ``with``.

    They are renewed in a thread of their own. A process that is stopped does not renew them: after `seconds`, another one
    may take them over, and this one may commit nothing any more.

    Parameters
    ----------
    names : stacks, couples, or `ledger.leases.NOTICES`
    what : the run, for people who wait for it
    seconds : silence after which a lease may be taken over
    """
    owner = Owner.here(what)
    found = ledger.take_all(names, owner, seconds=seconds)
    held = Holding(
        ledger,
        {one.name: one for one in found if isinstance(one, Lease)},
        {one.name: one.words for one in found if isinstance(one, Held)},
    )
    with ExitStack() as undo:
        undo.callback(_give_back, held)
        if held.leases:
            undo.enter_context(beating(ledger, held.leases, seconds=seconds))
        yield held


@contextmanager
def patiently(
    ledger: Ledger, names: Sequence[str], *, what: str, lease_s: float, wait_s: float, say: Callable[[str], None]
) -> Iterator[Holding]:
    """Hold all of `names` for the length of a ``with``, after waiting for those who hold one of them.

    `say` hears once who is waited for. Raises Busy where that takes longer than `wait_s` seconds.
    """
    deadline, pauses, heard = time.monotonic() + wait_s, waits(), False
    while True:
        with holding(ledger, names, what=what, seconds=lease_s) as held:
            if not held.busy:
                yield held
                return
            words = "; ".join(f"{name} is held by {who}" for name, who in held.busy.items())
        if time.monotonic() >= deadline:
            raise Busy(f"{words}; it was waited for {wait_s:g} seconds ([cluster] wait_s); run the same command again")
        if not heard:
            say(words)
            heard = True
        time.sleep(next(pauses))


def waits() -> Iterator[float]:
    """Pauses, seconds, between two looks at what another run holds: longer and longer.

    They are random, so that two runs that wait for each other's stacks do not meet again and again.
    """
    pause = 0.2
    while True:
        yield pause * random.uniform(0.5, 1.5)  # noqa: S311
        pause = min(2 * pause, 15.0)


@contextmanager
def beating(ledger: Ledger, leases: Mapping[str, Lease], *, seconds: float) -> Iterator[None]:
    """Renew leases, in a thread, for the length of a ``with``. Where the ledger is away, it is tried again."""
    ended = threading.Event()
    known = dict(leases)

    def beat() -> None:
        while not ended.wait(seconds / _BEATS):
            with suppress(InsarAnomalyError):  # a commit looks for itself, so nothing depends on hearing it here
                for lost in ledger.renew(known, seconds=seconds):
                    log.warning("%s: its lease was taken over by another process", lost)
                    known.pop(lost)

    thread = threading.Thread(target=beat, name="insar-anomaly leases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _give_back(held: Holding) -> None:
    with suppress(InsarAnomalyError):  # they expire by themselves
        held.ledger.release_all(held.leases.values())
