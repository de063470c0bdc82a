"""Arguments that several commands take: dates and the period that they make."""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING

from insar_anomaly.errors import UsageError

if TYPE_CHECKING:
    from insar_anomaly.names import Period


def day(text: str) -> date:
    """A date of the command line: YYYY-MM-DD or YYYYMMDD."""
    from datetime import datetime

    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is not a date: write YYYY-MM-DD")


def period_arguments(sub: argparse.ArgumentParser) -> None:
    """Add --from and --to."""
    sub.add_argument(
        "--from", dest="first", type=day, metavar="DATE", help="only pairs whose dates are both on or after DATE"
    )
    sub.add_argument("--to", dest="last", type=day, metavar="DATE", help="only pairs whose dates are both on or before DATE")


def as_of_argument(sub: argparse.ArgumentParser) -> None:
    """Add --as-of."""
    sub.add_argument("--as-of", type=day, metavar="DATE", help="pretend that today is DATE: use nothing that came later")


def period_of(args: argparse.Namespace) -> Period | None:
    """The period that --from, --to and --as-of give; None where none of them does."""
    from insar_anomaly.names import Period

    if args.first and args.last and args.first >= args.last:
        raise UsageError(f"--from {args.first} is not before --to {args.last}")
    last = min((d for d in (args.last, getattr(args, "as_of", None)) if d), default=None)
    return Period(args.first, last) if args.first or last else None
