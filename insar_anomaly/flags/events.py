"""What becomes of flags in a night: the steps of a flag's life that people read of by name."""

from __future__ import annotations

from enum import StrEnum

from insar_anomaly.flags.episode import Episode


class FlagEvent(StrEnum):
    """A step of a flag's life. The text is its name in the ledger and in the JSON form of digests."""

    RAISED = "raised"
    ESCALATED = "escalated"
    REOPENED = "reopened"
    HELD = "held"
    NOTED = "noted"
    CLEARED = "cleared"
    WITHDRAWN = "withdrawn"


def events_between(before: Episode | None, now: Episode) -> tuple[FlagEvent, ...]:
    """What became of a flag from one of its forms to a later one, in the order of its life; empty where nothing did.

    Parameters
    ----------
    before : the episode as it was; None where there was none
    now : the same episode as it is
    """
    begins = _begun(before, now)
    begun = () if begins is None else (begins,)
    if now.withdrawn:
        return begun if before is not None and before.withdrawn else (*begun, FlagEvent.WITHDRAWN)
    was_open = before is None or before.state.open
    return begun if now.state.open or not was_open else (*begun, FlagEvent.CLEARED)


def _begun(before: Episode | None, now: Episode) -> FlagEvent | None:
    if before is None:
        return FlagEvent.NOTED if now.told is None else FlagEvent.RAISED
    if before.withdrawn:
        return None if now.withdrawn else FlagEvent.REOPENED
    if before.told is None:
        return None if now.told is None else FlagEvent.RAISED
    return FlagEvent.ESCALATED if now.state.open and _has_grown(before, now) else None


def _has_grown(before: Episode, now: Episode) -> bool:
    """True where more is told now than before; an area that nobody knew before is no growth."""
    higher = before.told is not None and now.told is not None and now.told > before.told
    wider = before.area is not None and now.area is not None and now.area > before.area
    return higher or wider or (now.agreed and not before.agreed)
