"""Columns that hold more than text and numbers: moments, enumerations, sets of names, counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import TypeVar

from sqlalchemy import DateTime, Dialect, Integer, Text, TypeDecorator

Word = TypeVar("Word", bound=StrEnum)
Number = TypeVar("Number", bound=IntEnum)


class Utc(TypeDecorator[datetime]):
    """A moment. Takes aware datetimes only, stores UTC, gives aware UTC back (SQLite itself forgets the zone)."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a naive datetime: nobody can tell which moment it means."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value} has no time zone: pass an aware datetime")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Give the zone back."""
        return value and (value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC))


class Worded(TypeDecorator[Word]):
    """A member of an enumeration of words, stored as its word."""

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[Word]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Word | str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The member's word. Raises ValueError where it is none of the enumeration's."""
        return None if value is None else str(self.kind(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Word | None:  # noqa: ARG002
        """The member. Raises ValueError where the database holds another word."""
        return None if value is None else self.kind(value)


class Numbered(TypeDecorator[Number]):
    """A member of an enumeration of numbers, stored as its number."""

    impl = Integer
    cache_ok = True

    def __init__(self, kind: type[Number]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Number | int | None, dialect: Dialect) -> int | None:  # noqa: ARG002
        """The member's number. Raises ValueError where it is none of the enumeration's."""
        return None if value is None else int(self.kind(value))

    def process_result_value(self, value: int | None, dialect: Dialect) -> Number | None:  # noqa: ARG002
        """The member. Raises ValueError where the database holds another number."""
        return None if value is None else self.kind(value)


class NameSet(TypeDecorator[frozenset[str]]):
    """A set of names, stored as a JSON list in order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: frozenset[str] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The JSON list."""
        return None if value is None else json.dumps(sorted(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> frozenset[str] | None:  # noqa: ARG002
        """The set."""
        return None if value is None else frozenset(json.loads(value))


class Counts(TypeDecorator[Mapping[str, int]]):
    """What was counted, by name, stored as a JSON object."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, int] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The JSON object."""
        return None if value is None else json.dumps(dict(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, int] | None:  # noqa: ARG002
        """The counts."""
        return None if value is None else dict(json.loads(value))


class Numbers(TypeDecorator[tuple[float, ...]]):
    """A series of numbers, stored as a JSON list."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """The JSON list."""
        return None if value is None else json.dumps(list(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[float, ...] | None:  # noqa: ARG002
        """The series."""
        return None if value is None else tuple(json.loads(value))
