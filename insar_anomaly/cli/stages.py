"""Commands that work: ingest, fit, nightly, expire."""

from __future__ import annotations

import argparse

from insar_anomaly.cli.opened import opened, period_of
from insar_anomaly.cli.tables import counted, outcome
from insar_anomaly.errors import InsarAnomalyError


def ingest_command(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import ingest

    with opened(args, "ingest") as (s, run):
        ingest(s, run, period=period_of(args), dry=args.dry_run)
    return outcome(args, run, *counted(run, "ingest, dry run" if args.dry_run else "ingest"))


def fit_command(args: argparse.Namespace) -> int:
    from insar_anomaly.names import Period
    from insar_anomaly.pipeline import fit_stages, walk

    with opened(args, "fit") as (s, run):
        period = period_of(args) or Period()
        walk(fit_stages(period, again=args.again, new_pairs=not args.no_ingest), s, run)
    return outcome(args, run, *counted(run, "fit"))


def nightly_command(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import nightly
    from insar_anomaly.report.digest import lines

    with opened(args, "nightly") as (s, run):
        digest = nightly(s, run, period=period_of(args))
    return outcome(args, run, digest.as_dict(), lines(digest))


def expire_command(args: argparse.Namespace) -> int:
    from datetime import timedelta

    from insar_anomaly.report.digest import Count

    with opened(args, "expire") as (s, run):
        for stack in s.by_stack:
            try:
                run.counts[Count.EXPIRED_SNAPSHOTS] += s.store.expire(stack, older_than=timedelta(days=args.days))
            except InsarAnomalyError as problem:
                run.fail(stack, "expire", problem)
    return outcome(args, run, *counted(run, "expire"))
