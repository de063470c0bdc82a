"""Why there was a flag, and how many there would have been: explain, whatif."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from insar_anomaly.cli.arguments import as_of_argument
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of
from insar_anomaly.cli.people import flag_argument
from insar_anomaly.cli.tables import aligned
from insar_anomaly.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from insar_anomaly.pipeline.whatif import Counted

_POLICIES = ("false-alarms-per-year", "fpr", "youden", "quantile")


def explain_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `explain`."""
    flag_argument(sub)


def explain_command(args: argparse.Namespace) -> int:
    """Compute a flag's highest score again; 1 where it does not come out as it was recorded."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.pipeline.explain import explain

    with open_installation(load_checked(file_of(args), needs=())) as s:
        try:
            found = explain(s, args.flag)
        except LookupError as problem:
            raise UsageError(f"{problem}; `insar-anomaly flags` lists those that there are") from None
    if args.json:
        print(json.dumps(asdict(found) | {"same": found.same}, default=str))
    elif not args.quiet:
        print("\n".join(found.lines()))
    return Exit.OK if found.same else Exit.FAILED


def whatif_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `whatif`."""
    sub.add_argument(
        "--false-flags-per-year",
        type=_positive,
        metavar="N",
        help="try this budget: false flags with a notice a year, all stacks together",
    )
    sub.add_argument(
        "--false-alarms-per-year",
        type=_positive,
        metavar="N",
        help="try this aim: flags a year of each stack on quiet ground, noted or not",
    )
    sub.add_argument(
        "--policy",
        choices=_POLICIES,
        metavar="NAME",
        help=f"try this policy for the threshold of each stack, with its aim in [calibrate]: {', '.join(_POLICIES)}",
    )
    sub.add_argument("--years", type=_years, default=1.0, metavar="N", help="count the last N years (default: 1)")
    as_of_argument(sub)


def whatif_command(args: argparse.Namespace) -> int:
    """Count the flags that each volcano would have had."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.pipeline.tonight import date_of
    from insar_anomaly.pipeline.whatif import Policy, whatif

    if args.false_alarms_per_year and args.policy not in (None, _POLICIES[0]):
        raise UsageError(
            f"--false-alarms-per-year is the aim of policy {_POLICIES[0]}, not of {args.policy}: give one of both"
        )
    policy = Policy(args.false_flags_per_year, args.false_alarms_per_year, args.policy)
    today = date_of(args.as_of)
    with open_installation(load_checked(file_of(args), needs=()), only=args.volcano) as s:
        found = whatif(s, policy, as_of=today, years=args.years)
    if args.json:
        print(json.dumps([asdict(one) for one in found]))
        return Exit.OK
    if any(one.known for one in found):
        titles = ("volcano", "years", "flags", "with a notice", "flags now", "with a notice now")
        rows = [_whatif_row(f"{one.gvp} {one.name}", f"{one.years:.2g}" if one.known else "-", [one]) for one in found]
        print("\n".join(aligned([titles, *rows, _whatif_row("together", "", found)])))
    else:
        print("nothing can be counted:")
    for words in _missing(found):
        print(words)
    if blind := sum(one.blind_then for one in found):
        print(f"stacks and couples without a threshold by this policy, which raise nothing: {blind}")
    print(f"counted up to {today}; `now` is by the settings")
    return Exit.OK


def _missing(found: Sequence[Counted]) -> Iterator[str]:
    """What could not be counted, the same reason once, with the number of its stacks, the first of them, and the remedy."""
    alike: dict[tuple[str, str], list[str]] = {}
    for one in (missing for volcano in found for missing in volcano.missing):
        alike.setdefault((one.why, one.remedy), []).append(one.stack)
    for (why, remedy), stacks in alike.items():
        more = f" and {len(stacks) - 1} more" if len(stacks) > 1 else ""
        yield f"not counted, or not as asked: {stacks[0]}{more}: {why}; {remedy}"


def _whatif_row(name: str, years: str, of: Sequence[Counted]) -> tuple[str, ...]:
    columns = ("flags_then", "notices_then", "flags_now", "notices_now")
    known = any(one.known for one in of)
    return (name, years, *(str(sum(getattr(one, column) for one in of)) if known else "-" for column in columns))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _years(text: str) -> float:
    if (value := _positive(text)) > 100:
        raise argparse.ArgumentTypeError(f"{text!r} is more than 100 years: no archive is as long")
    return value
