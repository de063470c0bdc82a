"""The states of a flag. A further state is one line here."""

from __future__ import annotations

from enum import StrEnum


class FlagState(StrEnum):
    """Where a flag stands: its name in the ledger, whether it is open, and whether something still speaks for it."""

    open: bool
    """The flag goes on: more evidence makes it longer. A stack has at most one such flag."""
    stands: bool
    """Something was over the threshold and was not taken back."""

    def __new__(cls, text: str, is_open: bool, stands: bool) -> FlagState:
        one = str.__new__(cls, text)
        one._value_ = text
        one.open, one.stands = is_open, stands
        return one

    RAISED = "raised", True, True
    CLEARED = "cleared", False, True
    WITHDRAWN = "withdrawn", False, False
