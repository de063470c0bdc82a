"""What every part of the ledger has: the open database, and how rows are read and changed in it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Select, Table, update

from insar_anomaly.errors import StoreFailed
from insar_anomaly.ledger.database import Database
from insar_anomaly.ledger.sql import read

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


class Part:
    """One part of the ledger, on a database that the others use too."""

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self._database = Database(url, read_only=read_only)
        self._transaction = self._database.transaction
        self.name = self._database.name  # the URL without its password

    def _read(self, kind: type[Row], query: Select[Any], **values: object) -> list[Row]:
        """The answer to a query, as rows of that kind; `values` are those of its `bindparam`s."""
        with self._transaction(writes=False) as tx:
            return read(tx, kind, query, **values)

    def _change(self, table: Table, key: str, value: object, **values: object) -> None:
        """Change one row. Raises StoreFailed where there is none."""
        with self._transaction(writes=True) as tx:
            if tx.execute(update(table).where(table.c[key] == value).values(**values)).rowcount == 0:
                raise StoreFailed(f"ledger {self.name}: no {table.name} with {key} {value!r}; is this the right ledger?")


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)
