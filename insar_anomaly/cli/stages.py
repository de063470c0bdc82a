"""Commands that do a night's work, whole or in parts: ingest, fit, nightly."""

from __future__ import annotations

import argparse

from insar_anomaly.cli.arguments import as_of_argument, period_arguments, period_of
from insar_anomaly.cli.opened import opened
from insar_anomaly.cli.tables import counted, outcome


def ingest_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `ingest`."""
    sub.add_argument("--dry-run", action="store_true", help="only count the new pairs; write nothing")
    period_arguments(sub)
    as_of_argument(sub)


def ingest(args: argparse.Namespace) -> int:
    """Copy new pairs into the stacks."""
    from insar_anomaly.pipeline import ingest
    from insar_anomaly.pipeline.check import Part

    with opened(args, "ingest", {Part.SOURCES}) as (s, run):
        ingest(s, run, period=period_of(args), dry=args.dry_run)
    return outcome(args, run, *counted(run, "ingest, dry run" if args.dry_run else "ingest", "no new pairs"))


def fit_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `fit`."""
    sub.add_argument("--no-ingest", action="store_true", help="fit on what is stored; read no source")
    sub.add_argument("--again", action="store_true", help="fit also the stacks whose pairs and settings have not changed")
    period_arguments(sub)


def fit(args: argparse.Namespace) -> int:
    """Fit and calibrate every stack."""
    from insar_anomaly.names import Period
    from insar_anomaly.pipeline import fit_stages, walk
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.pipeline.outcome import calibrated, fit_result, words_of

    with opened(args, "fit", {Part.SOURCES, Part.DETECTOR, Part.LABELS}) as (s, run):
        period = period_of(args) or Period()
        walk(fit_stages(period, again=args.again, new_pairs=not args.no_ingest), s, run)
        result = fit_result(s, run)
        words = [*words_of(run, "fit", "nothing was fitted"), *(f"  {one.words}" for one in calibrated(s))]
    return outcome(args, run, result, words)


def nightly_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `nightly`."""
    period_arguments(sub)
    as_of_argument(sub)


def nightly(args: argparse.Namespace) -> int:
    """One night, and its digest."""
    from insar_anomaly.pipeline import nightly
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.report.digest import lines

    with opened(args, "nightly", tuple(Part)) as (s, run):
        digest = nightly(s, run, period=period_of(args))
    # failures go to standard error, and need not be read twice
    return outcome(args, run, digest.as_dict(), lines(digest, failures=False))
