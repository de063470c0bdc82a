"""Mutes: make one, take one back, list those that stand."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from insar_anomaly.cli.arguments import day, words_given
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import ledger_of
from insar_anomaly.cli.people import act_of, by_argument, did, insist_known, named
from insar_anomaly.cli.tables import json_text
from insar_anomaly.errors import UsageError
from insar_anomaly.names import Target

if TYPE_CHECKING:
    from insar_anomaly.flags.mutes import Mute


def mute_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `mute`."""
    _target_argument(sub)
    sub.add_argument("--until", type=day, required=True, metavar="DATE", help="the day from which on notices are sent again")
    words = "the reason; it is kept with your name and the time"
    sub.add_argument("--why", required=True, type=words_given, metavar="TEXT", help=words)
    by_argument(sub)


def mute_command(args: argparse.Namespace) -> int:
    """Mute a stack, a volcano or a region."""
    from insar_anomaly.flags.mutes import LONGEST_YEARS, latest_end
    from insar_anomaly.ledger import ActKind

    today = datetime.now(UTC).date()
    if args.until <= today:
        raise UsageError(f"--until {args.until} is not after today, {today} (UTC): a mute ends on that day")
    if args.until > (latest := latest_end(today)):
        raise UsageError(
            f"--until {args.until} is more than {LONGEST_YEARS} years from now: give a day up to {latest}, and mute again "
            "when that mute has ended"
        )
    with ledger_of(args) as ledger:
        insist_known(ledger, args.target)
        return did(args, ledger, act_of(args, args.target, ActKind.MUTED, note=args.why, until=args.until))


def unmute_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `unmute`."""
    _target_argument(sub)
    by_argument(sub)
    words = "the reason; it is kept with your name and the time"
    sub.add_argument("--why", type=words_given, metavar="TEXT", help=words)


def unmute_command(args: argparse.Namespace) -> int:
    """Take a mute back."""
    from insar_anomaly.flags.mutes import muted_until, standing
    from insar_anomaly.ledger import ActKind

    today = datetime.now(UTC).date()
    with ledger_of(args) as ledger:
        muted = sorted(str(mute.target) for mute in standing(ledger.mutes(), today))
        if str(args.target) not in muted:
            others = f"muted are {', '.join(muted)}" if muted else "nothing is"
            raise UsageError(f"{args.target} is not muted; {others}")
        done = did(args, ledger, act_of(args, args.target, ActKind.UNMUTED, note=args.why or ""))
        name = str(args.target)
        its = name if "/" in name else f"{name}/any"  # a volcano is muted by its region, a stack by its volcano too
        until = None if name.endswith("*") else muted_until(ledger.mutes(), its, today)
        if until and not args.quiet and not args.json:
            print(f"{name} stays muted until {until}: {'its volcano or its region' if '/' in name else 'its region'} is")
        return done


def mutes_command(args: argparse.Namespace) -> int:
    """List the mutes that stand today."""
    from insar_anomaly.flags.mutes import standing

    with ledger_of(args) as ledger:
        found = standing(ledger.mutes(), datetime.now(UTC).date())
    found = [mute for mute in found if not args.volcano or any(_touches(mute.target, gvp) for gvp in args.volcano)]
    if args.json:
        print(json_text([mute_columns(mute) for mute in found]))
        return Exit.OK
    for mute in found:
        print(f"{mute.target}: {mute_words(mute)}")
    if not found:
        print("nothing is muted")
    return Exit.OK


def _touches(target: Target, gvp: int) -> bool:
    """True where a mute keeps back notices of the volcano, or of a stack of it."""
    return target.covers(f"{gvp}/any") or target.name.startswith(f"{gvp}/")


def mute_words(mute: Mute) -> str:
    """How long, by whom, when and why."""
    when = f" on {mute.at:%Y-%m-%d %H:%M} UTC" if mute.at else ""
    why = f": {mute.why}" if mute.why else ""
    return f"muted until {mute.until} by {mute.by}{when}{why}"


def mute_columns(mute: Mute) -> dict[str, object]:
    """A mute as JSON."""
    return {"target": str(mute.target), "until": mute.until, "by": mute.by, "why": mute.why, "at": mute.at}


def _target_argument(sub: argparse.ArgumentParser) -> None:
    words = "a volcano's number, a stack GVP/FRAME, or a region: the first digits of its volcanoes' numbers and a star"
    sub.add_argument("target", type=named(Target.of), metavar="GVP|STACK|REGION", help=words)
