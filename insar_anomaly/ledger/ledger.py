"""What was seen, scored, flagged and sent, in one database: SQLite by default, PostgreSQL by URL.

Every write is one transaction and may be repeated: after a crash the night runs again and ends in the same ledger. Stacks
are named `gvp/frame`, pairs `YYYYMMDD_YYYYMMDD`. Numbers that are NaN are stored, and come back, as None.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Self

from insar_anomaly.ledger.assessments import Assessments
from insar_anomaly.ledger.database import checked
from insar_anomaly.ledger.episodes import Episodes
from insar_anomaly.ledger.outbox import Outbox
from insar_anomaly.ledger.pairs import Pairs
from insar_anomaly.ledger.runs import Runs


class Ledger(Runs, Pairs, Assessments, Episodes, Outbox):
    """The open ledger. Use it in a `with`, or call `close()`. Each part of it stands in a file of its own.

    Parameters
    ----------
    url : `sqlite:///relative/path`, `sqlite:////absolute/path` or `postgresql://user:password@host/database`; opening it
        creates the tables or brings them up to date. A SQLite file of an older version is copied first, to
        ``<file>.before-<revision>`` beside it; a PostgreSQL database is not: its copies are its administrator's task

    Raises
    ------
    ConfigError : the URL is wrong, the database cannot be reached, was written by newer code, or cannot be copied
    Busy : the tables need a change and another run holds the ledger
    StoreFailed : (any method) the database failed; the transaction was rolled back
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def lock(self) -> AbstractContextManager[None]:
        """The exclusive right to write, for the length of a `with`. It ends with the process, however that dies.

        Raises Busy where another run has it; the text names that run's process, host and start.
        """
        return self._database.lock()


def check_url(url: str) -> None:
    """Raise ConfigError where a ledger's URL cannot be understood; nothing is opened."""
    checked(url)
