"""Commands for channels: who gets what, a test notice, and sending what waits between two nights."""

from __future__ import annotations

import argparse
import json

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, opened
from insar_anomaly.cli.tables import counted, outcome
from insar_anomaly.errors import UsageError


def channels_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `channels`."""
    sub.add_argument(
        "--matrix", action="store_true", help="who gets what: recipients, kinds, volcanoes, hours and language of each route"
    )


def channels_command(args: argparse.Namespace) -> int:
    """List the channels, or who gets what by them."""
    from dataclasses import asdict

    from insar_anomaly import catalogue
    from insar_anomaly.config.load import load
    from insar_anomaly.config.routes import named

    config = load(file_of(args), secrets=False)
    if not args.matrix:
        known = named(config.channel).items()
        rows = [{"channel": name, "kind": one.kind, "max_per_hour": one.max_per_hour} for name, one in known]
        words = [f"{row['channel']}: {row['kind']}" for row in rows]
    else:
        from insar_anomaly.notify.matrix import matrix

        volcanoes = catalogue.load(config.catalogue)
        if unknown := set(args.volcano) - {one.gvp for one in volcanoes}:
            raise UsageError(f"--volcano {min(unknown)}: {config.catalogue} has no such volcano")
        found, total = matrix(config, volcanoes, args.volcano), len(set(args.volcano)) or len(volcanoes)
        rows, words = [asdict(row) for row in found], [row.words(total) for row in found]
    print(json.dumps(rows) if args.json else "\n".join(words) or "no [[channel]] is configured: no notice is sent")
    return Exit.OK


def notify_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `notify`."""
    sub.add_argument(
        "--test",
        metavar="CHANNEL",
        help="send a notice that says that it is a test to this channel or route, or to all; it touches no flag and no "
        "waiting notice",
    )


def notify_command(args: argparse.Namespace) -> int:
    """Send what waits in the outbox, as a night does at its end; or send a test."""
    from insar_anomaly.pipeline import deliver
    from insar_anomaly.pipeline.check import Part

    if args.test:
        return _test(args)
    with opened(args, "notify", {Part.CHANNELS}) as (s, run):
        deliver(s, run)
    return outcome(args, run, *counted(run, "notify", "no notice could be sent now, or none waits"))


def _test(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from insar_anomaly.pipeline.check import Part, load_checked
    from insar_anomaly.pipeline.trial_notice import send_tests

    config = load_checked(file_of(args), volcanoes=False, needs={Part.CHANNELS})
    found = []
    for one in send_tests(config, args.test):
        found.append(one)
        if not args.json and not (args.quiet and one.ok):
            print(f"{'ok  ' if one.ok else 'FAIL'} {one.destination}: {one.words}", flush=True)
    if args.json:
        print(json.dumps([asdict(one) for one in found]))
    return Exit.OK if all(one.ok for one in found) else Exit.FAILED
