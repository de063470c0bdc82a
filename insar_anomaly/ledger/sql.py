"""Rows in and out of tables, alike on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Select, Table, select
from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def insert(tx: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that knows what to do on conflict, in the database's own dialect."""
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)


def upsert(tx: Connection, table: Table, stack: str, rows: Sequence[DataclassInstance], **more: object) -> None:
    """Insert the rows; where the key is there already, replace the columns that the rows have and leave the others."""
    if not rows:
        return
    values = [{"stack": stack, **{f.name: _storable(getattr(row, f.name)) for f in fields(row)}, **more} for row in rows]
    statement = insert(tx, table)
    key = [column.name for column in table.primary_key]
    replaced = {name: statement.excluded[name] for name in values[0] if name not in key}
    tx.execute(statement.on_conflict_do_update(index_elements=key, set_=replaced), values)


@cache
def columns(table: Table, kind: type[DataclassInstance]) -> Select[Any]:
    """A SELECT of the columns that a row of this kind has."""
    return select(*(table.c[field.name] for field in fields(kind)))


def read(tx: Connection, kind: type[Row], query: Select[Any], **values: object) -> list[Row]:
    """The answer to a query made with `columns`, as rows of that kind; `values` are those of its `bindparam`s."""
    return [kind(*row) for row in tx.execute(query, values)]


def _storable(value: object) -> object:
    """Plain Python for enumerations and NumPy's numbers, which the drivers store as names and bytes; None for NaN."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return None if number != number else number
    return value
