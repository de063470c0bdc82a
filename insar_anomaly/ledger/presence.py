"""Ledger and store belong together: is one of them there and the other gone?

=========================  =====================  ==========================================================================
ledger                     store                  what is done, and why
=========================  =====================  ==========================================================================
no run was ever in it      models or scores       error. The flags, thresholds and notices of these scores are in a ledger
                                                  that is gone. A run would begin a second history: the open flags would be
                                                  missing without a word, and old ones would be raised and sent again.
no run was ever in it      stacks only            warning. Nothing was assessed yet, so no flag can be missing; the next
                                                  ingest finds the pairs in the store and writes them down.
accepted pairs             empty                  error, but for `ingest` a warning. A run would find nothing to work on, or
                                                  read the whole archive again into the folder of a disk that is not mounted.
                                                  `ingest` by itself is how a person asks for exactly that.
anything else                                     nothing. It is a first run, a run after a crash, or a store that lost some
                                                  stacks, which `ingest` reads again.
=========================  =====================  ==========================================================================

A run is written into the ledger before anything is written into the store, so that a first run that was killed is not taken
for a lost ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from insar_anomaly.errors import Lost, Verdict
from insar_anomaly.ledger.database import checked
from insar_anomaly.ledger.ledger import Ledger

Held = Callable[[], frozenset[str] | None]
"""The kinds of things of which a store has any; None where it cannot be reached."""


@dataclass(frozen=True)
class Parted:
    """What is gone: `words` says what, where, and what to do."""

    words: str
    ledger: bool
    harmless: bool


def parted(ledger: Ledger, held: Held, store: str) -> Parted | None:
    """What is gone of an open ledger and its store; None where nothing is."""
    if not ledger.runs(limit=1):
        return _without_ledger(ledger.name, held() or frozenset(), store)
    kinds = held()
    if kinds is None or "stacks" in kinds:
        return None
    accepted = any(seen.verdict == Verdict.OK for stack in ledger.stacks() for seen in ledger.seen(str(stack)).values())
    return _without_store(ledger.name, store) if accepted else None


def parted_on_disk(url: str, held: Held, store: str) -> Parted | None:
    """The same of a ledger in an SQLite file, which is neither made nor changed; None also where that cannot be known."""
    parsed = checked(url)
    if parsed.drivername != "sqlite":
        return None
    file = Path(str(parsed.database))
    if not file.exists():
        return _without_ledger(str(file), held() or frozenset(), store)
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=1.0)) as database:
            ran = database.execute("SELECT 1 FROM run LIMIT 1").fetchone()
            accepted = database.execute("SELECT 1 FROM interferogram WHERE verdict = 0 LIMIT 1").fetchone()
    except sqlite3.Error:
        return None
    kinds = held()
    if not ran:
        return _without_ledger(str(file), kinds or frozenset(), store)
    return _without_store(str(file), store) if accepted and kinds is not None and "stacks" not in kinds else None


def insist(ledger: Ledger, held: Held, store: str) -> None:
    """Raise `Lost` where the ledger of a store with scores is gone: for commands that only read the ledger.

    The store is listed only where no run was ever in the ledger, so that this costs nothing on other days.
    """
    if ledger.runs(limit=1):
        return
    found = parted(ledger, held, store)
    if found and not found.harmless:
        raise Lost(found.words)


def _without_ledger(name: str, kinds: frozenset[str], store: str) -> Parted | None:
    if not kinds:
        return None
    if not kinds & {"models", "scores"}:
        words = f"the ledger {name} is new, but the store {store} holds stacks: their pairs are taken over as they are"
        return Parted(words, ledger=True, harmless=True)
    what = " and ".join(sorted(kinds & {"models", "scores"}))
    return Parted(
        f"the ledger {name} is empty, but the store {store} holds {what} of earlier runs: the ledger that belongs to them, "
        "with its flags, is gone. Restore it from its copy, or correct `ledger` in the configuration. To begin anew on "
        f"purpose, name a new folder in `store`, or move {store}/models and {store}/scores away, which keeps the stacks",
        ledger=True,
        harmless=False,
    )


def _without_store(name: str, store: str) -> Parted:
    return Parted(
        f"the store {store} is empty, but the ledger {name} knows pairs that were stored there. Mount or restore the store, "
        "or correct `store` in the configuration. If it is lost for good, run `insar-anomaly ingest`, which reads the pairs "
        "again from the source, and then `fit`",
        ledger=False,
        harmless=False,
    )
