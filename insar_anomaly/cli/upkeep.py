"""Commands that keep an installation healthy: config, doctor, expire."""

from __future__ import annotations

import argparse
import json

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, opened
from insar_anomaly.cli.tables import counted, outcome
from insar_anomaly.errors import InsarAnomalyError


def config_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `config`."""
    sub.add_argument("--check", metavar="FILE", help="check FILE and its catalogue; print every mistake with its line")


def config(args: argparse.Namespace) -> int:
    """Print the defaults as a commented file, or check a file."""
    from insar_anomaly.config.defaults import commented_defaults
    from insar_anomaly.pipeline.check import detector_lines, load_checked

    if not args.check:
        print(commented_defaults({"detector": detector_lines()}), end="")
        return Exit.OK
    load_checked(args.check, places=True)
    if not args.quiet:
        print(f"{args.check}: ok")
    return Exit.OK


def doctor(args: argparse.Namespace) -> int:
    """Print one line for each thing that a night needs: there or not, and what to do."""
    from dataclasses import asdict

    from insar_anomaly.pipeline.check import Part, load_checked
    from insar_anomaly.tools.doctor import examine

    # catalogue and channels are among the findings: a mistake there must not hide the others
    findings = examine(load_checked(file_of(args), volcanoes=False, needs={Part.SOURCES, Part.DETECTOR, Part.LABELS}))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    for finding in () if args.json else findings:
        if not (args.quiet and finding.ok):
            print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.words}")
    return Exit.OK if all(f.ok for f in findings) else Exit.FAILED


def expire_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `expire`."""
    sub.add_argument("--days", type=int, default=90, metavar="N", help="keep snapshots of the last N days (default: 90)")


def expire(args: argparse.Namespace) -> int:
    """Delete old snapshots of every stack, and the data that only they hold."""
    from datetime import timedelta

    from insar_anomaly.report.digest import Count

    with opened(args, "expire") as (s, run):
        for stack in s.by_stack:
            try:
                run.counts[Count.EXPIRED_SNAPSHOTS] += s.store.expire(stack, older_than=timedelta(days=args.days))
            except InsarAnomalyError as problem:
                run.fail(stack, "expire", problem)
    return outcome(args, run, *counted(run, "expire", f"no snapshot is older than {args.days} days"))
