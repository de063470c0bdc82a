"""Whether people were told of a flag: what really became of its notices, in one word."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

TELLS = ("raised", "released", "escalated", "reopened")
"""Kinds of notices that tell of a flag; those of its end do not count."""


class Told(StrEnum):
    """What became of a flag's notices.

    Nobody was told where it made none, or none that was sent: a flag that is only noted, was withdrawn on the night on which
    it was raised, is held or too old, or that no channel takes. It is told while a notice waits for a channel, and delivered
    once a channel has accepted one.
    """

    NOT_TOLD = "not told"
    TOLD = "told"
    DELIVERED = "delivered"

    @classmethod
    def of(cls, found: Iterable[Told]) -> Told:
        """Of several notices, the one that went furthest counts."""
        return max(found, key=_ORDER.index, default=cls.NOT_TOLD)


_ORDER = tuple(Told)
