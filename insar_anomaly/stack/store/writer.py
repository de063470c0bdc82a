"""Who commits to a stack, and how it is made sure that nobody else does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Writer:
    """The holder of a stack's lease, as the store sees it.

    Parameters
    ----------
    fence : the lease's fencing number, which rises with every owner; each commit carries it
    owner : who it is, in words; each commit carries it too
    insist : raises where the lease was taken over; called just before each commit
    """

    fence: int
    owner: str
    insist: Callable[[], None]

    @property
    def mark(self) -> dict[str, object]:
        """What a commit says of its writer."""
        return {FENCE: self.fence, "owner": self.owner}


FENCE = "fence"
