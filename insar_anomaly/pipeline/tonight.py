"""The date of a run: what a person asked for, or today. A date in the future is a mistake, and refused."""

from __future__ import annotations

from datetime import UTC, date, datetime

from insar_anomaly.errors import UsageError


def date_of(as_of: date | None) -> date:
    """The date of a run: `as_of`, or today in UTC where it is None.

    Raises
    ------
    UsageError
        where it lies in the future: data of the whole archive would count as old, and their flags as too old for a notice.
    """
    today = datetime.now(UTC).date()
    if as_of is not None and as_of > today:
        raise UsageError(
            f"the date of the run, {as_of}, is in the future: today is {today} in UTC. Write --as-of (as_of of the flow) as "
            "a date up to today, or leave it out; nothing was done"
        )
    return as_of or today
