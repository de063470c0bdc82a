"""The states of a flag. A further state is one line here.

    noted -> raised -> escalated <-> acknowledged -> cleared or withdrawn

A flag is *noted* while it lies between its stack's own threshold and the level from which on flags are told, and *raised*
from that level on. It is *escalated* where it has grown since people were last told of it, and *acknowledged* where a person
said so. Every open state can end as cleared or withdrawn.
"""

from __future__ import annotations

from enum import StrEnum


class FlagState(StrEnum):
    """Where a flag stands: its name in the ledger, whether it is open, and whether something still speaks for it."""

    open: bool
    """The flag goes on: more evidence makes it longer. A stack has at most one such flag."""
    stands: bool
    """Something was over the threshold and was not taken back."""
    told: bool
    """People were told of it and it is open: its growth and its end are told, too."""

    def __new__(cls, text: str, is_open: bool, stands: bool, told: bool) -> FlagState:
        one = str.__new__(cls, text)
        one._value_ = text
        one.open, one.stands, one.told = is_open, stands, told
        return one

    NOTED = "noted", True, True, False
    RAISED = "raised", True, True, True
    ESCALATED = "escalated", True, True, True
    ACKNOWLEDGED = "acknowledged", True, True, True
    CLEARED = "cleared", False, True, False
    WITHDRAWN = "withdrawn", False, False, False
