"""What was seen, scored, flagged and sent, in one database: SQLite by default, PostgreSQL by URL.

Every write is one transaction and may be repeated: after a crash the night runs again and ends in the same ledger. Stacks
are named `gvp/frame`, pairs `YYYYMMDD_YYYYMMDD`. Numbers that are NaN are stored, and come back, as None.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from insar_anomaly.ledger.assessments import Assessments
from insar_anomaly.ledger.canaries import Canaries
from insar_anomaly.ledger.copies import Copies
from insar_anomaly.ledger.costs import Costs
from insar_anomaly.ledger.database import checked
from insar_anomaly.ledger.episodes import Episodes
from insar_anomaly.ledger.events import Events
from insar_anomaly.ledger.held import Held
from insar_anomaly.ledger.holdings import Holdings
from insar_anomaly.ledger.leases import Leases
from insar_anomaly.ledger.outbox import Outbox
from insar_anomaly.ledger.outlook import Outlook
from insar_anomaly.ledger.pairs import Pairs
from insar_anomaly.ledger.people import People
from insar_anomaly.ledger.pulses import Pulses
from insar_anomaly.ledger.runs import Runs
from insar_anomaly.ledger.states import States


class Ledger(
    Runs,
    Costs,
    Pairs,
    Holdings,
    States,
    Assessments,
    Episodes,
    Events,
    Canaries,
    Held,
    People,
    Outbox,
    Leases,
    Copies,
    Pulses,
    Outlook,
):
    """The open ledger. Use it in a `with`, or call `close()`. Each part of it stands in a file of its own.

    Parameters
    ----------
    url : `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`; opening it
        creates the tables or brings them up to date. A SQLite file of an older version is copied first, to
        ``<file>.before-<revision>`` beside it; a PostgreSQL database is not: its copies are its administrator's task
    read_only : open it for reading alone: nothing is created or brought up to date, and every change raises StoreFailed

    Raises
    ------
    ConfigError : the URL is wrong, the database cannot be reached, was written by newer code, or cannot be copied
    Busy : the tables need a change while runs work with them
    StoreFailed : (any method) the database failed; the transaction was rolled back
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def together(self) -> AbstractContextManager[None]:
        """Make all that this thread writes in the ``with`` one transaction: all or nothing.

        Keep it short: on SQLite other writers wait for its end. Three decisions on one stack then wait for the disk once.
        """
        return self._database.together()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the tables as they are for the length of a `with`: any number of runs, and nobody who changes the schema.


        A database that goes away is waited for, see `Database.patient`. The hold ends with the process, however that dies.
        Raises Busy where the schema is being changed, or a run of a version before leases holds the whole ledger; the text
        names its process.
        """
        with self._database.lock(shared=True), self._database.patient():
            yield


def check_url(url: str) -> None:
    """Raise ConfigError where a ledger's URL cannot be understood; nothing is opened."""
    checked(url)
