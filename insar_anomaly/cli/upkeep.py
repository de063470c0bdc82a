"""Commands that keep an installation healthy: config, doctor, expire."""

from __future__ import annotations

import argparse

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, opened, progress
from insar_anomaly.cli.tables import counted, json_text, outcome
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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def doctor_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    words = "longest time for each step at a source, such as a listing (default: 60)"
    sub.add_argument("--limit", type=_seconds, default=60.0, metavar="SECONDS", help=words)


def doctor(args: argparse.Namespace) -> int:
    """Print one line for each thing that a night needs: there or not, and what to do. A line comes once it is known."""
    from dataclasses import asdict

    from insar_anomaly.pipeline.check import Part, load_checked
    from insar_anomaly.tools.doctor import examine

    # catalogue and channels are among the findings: a mistake there must not hide the others
    config = load_checked(file_of(args), volcanoes=False, needs={Part.SOURCES, Part.DETECTOR, Part.LABELS})
    findings = []
    with progress(args) as watch:
        for finding in examine(config, watch=watch, limit_s=args.limit, only=args.volcano):
            findings.append(finding)
            if not args.json and not (args.quiet and finding.ok):
                print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.words}", flush=True)
    if args.json:
        print(json_text([asdict(finding) for finding in findings]))
    return Exit.OK if all(f.ok for f in findings) else Exit.FAILED


def _days(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def restack_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `restack`."""
    sub.add_argument("stack", metavar="STACK", help="GVP/FRAME, for example 221080/079D_07694_131313")


def restack(args: argparse.Namespace) -> int:
    """Build a stack anew beside the present one, on the grid of its pairs and for its box of now, and swap it in."""
    from insar_anomaly.pipeline import restack
    from insar_anomaly.pipeline.check import Part

    with opened(args, "restack", {Part.SOURCES}) as (s, run):
        restack(s, run, args.stack)
    return outcome(args, run, *counted(run, "restack", "nothing was built"))


def expire_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `expire`."""
    sub.add_argument("--days", type=_days, default=90, metavar="N", help="keep snapshots of the last N days (default: 90)")


def expire(args: argparse.Namespace) -> int:
    """Delete old snapshots of every stack, and the data that only they hold."""
    from datetime import timedelta

    from insar_anomaly.report.digest import Count

    with opened(args, "expire") as (s, run):
        for stack in s.by_stack:
            try:
                old, young = timedelta(days=args.days), timedelta(hours=1)
                keep = {row.snapshot for row in s.ledger.superseded(stack)}  # what corrected scores were made from
                run.counts[Count.EXPIRED_SNAPSHOTS] += s.store.expire(stack, older_than=old, young=young, keep=keep)
            except InsarAnomalyError as problem:
                run.fail(stack, "expire", problem)
    return outcome(args, run, *counted(run, "expire", f"no snapshot is older than {args.days} days"))
