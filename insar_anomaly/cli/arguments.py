"""Arguments that several commands take: dates and the period that they make."""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insar_anomaly.names import Period


def day(text: str) -> date:
    """A date of the command line: YYYY-MM-DD or YYYYMMDD."""
    from insar_anomaly.names import read_date

    try:
        return read_date(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def words_given(text: str) -> str:
    """A reason or a note of the command line: one line that says something."""
    from insar_anomaly.spoken import one_line

    if not (words := one_line(text)):
        raise argparse.ArgumentTypeError("it is empty: say why in a few words, for who reads this later")
    return words


def period_arguments(sub: argparse.ArgumentParser) -> None:
    """Add --from and --to."""
    words = "only pairs whose dates are both on or {} DATE (default: {} pair)"
    sub.add_argument("--from", dest="first", type=day, metavar="DATE", help=words.format("after", "from the first"))
    sub.add_argument("--to", dest="last", type=day, metavar="DATE", help=words.format("before", "to the last"))


def as_of_argument(sub: argparse.ArgumentParser) -> None:
    """Add --as-of."""
    sub.add_argument(
        "--as-of",
        type=day,
        metavar="DATE",
        help="pretend that today is DATE, a date up to today in UTC: use nothing that came later",
    )


def metrics_argument(sub: argparse.ArgumentParser) -> None:
    """Add --metrics-url."""
    words = "push what the run cost to this Prometheus Pushgateway, in place of [metrics] push_url"
    sub.add_argument("--metrics-url", type=_address, metavar="URL", help=words)


def _address(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"{text!r} is not an http or https address, such as http://127.0.0.1:9091")
    return text


def period_of(args: argparse.Namespace) -> Period | None:
    """The period that --from, --to and --as-of give; None where none of them does."""
    from insar_anomaly.pipeline import period_asked

    return period_asked(args.first, args.last, getattr(args, "as_of", None))
