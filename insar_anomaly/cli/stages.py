"""Commands that do a night's work, whole or in parts: ingest, fit, nightly; and the same for history: backfill."""

from __future__ import annotations

import argparse

from insar_anomaly.cli.arguments import as_of_argument, metrics_argument, period_arguments, period_of
from insar_anomaly.cli.opened import opened
from insar_anomaly.cli.tables import counted, outcome


def ingest_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `ingest`."""
    sub.add_argument("--dry-run", action="store_true", help="only count the new pairs; write nothing")
    sub.add_argument(
        "--take-replaced",
        action="append",
        default=[],
        metavar="STACK",
        help="take replaced files of this stack, GVP/FRAME, now, whatever [ingest] replaced says; may be repeated",
    )
    period_arguments(sub)
    as_of_argument(sub)
    metrics_argument(sub)


def ingest(args: argparse.Namespace) -> int:
    """Copy new pairs into the stacks."""
    from insar_anomaly.pipeline import ingest
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.report.digest import unread
    from insar_anomaly.report.states import remarks

    with opened(args, "ingest", {Part.SOURCES}) as (s, run):
        ingest(s, run, period=period_of(args), dry=args.dry_run, take_replaced=args.take_replaced)
        states = {} if args.dry_run else s.ledger.states(run.as_of)
        mine = {stack: one for stack, one in states.items() if stack in s.by_stack}
        for words in remarks(mine, run.as_of, unread(run.failures)):
            run.warn(words)
    return outcome(args, run, *counted(run, "ingest, dry run" if args.dry_run else "ingest", "no new pairs"))


def fit_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `fit`."""
    sub.add_argument("--no-ingest", action="store_true", help="fit on what is stored; read no source")
    sub.add_argument("--again", action="store_true", help="fit also the stacks whose pairs and settings have not changed")
    period_arguments(sub)
    metrics_argument(sub)


def fit(args: argparse.Namespace) -> int:
    """Fit and calibrate every stack."""
    from insar_anomaly.names import Period
    from insar_anomaly.pipeline import fit_stages, walk
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.pipeline.outcome import calibrated, fit_result, level_words, words_of

    with opened(args, "fit", {Part.SOURCES, Part.DETECTOR, Part.LABELS}) as (s, run):
        period = period_of(args) or Period()
        walk(fit_stages(period, again=args.again, new_pairs=not args.no_ingest), s, run)
        result = fit_result(s, run)
        words = [*words_of(run, "fit", "nothing was fitted"), *(f"  {one.words}" for one in calibrated(s))]
        words += [f"  {one}" for one in level_words(s)]
    return outcome(args, run, result, words)


def nightly_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `nightly`."""
    period_arguments(sub)
    as_of_argument(sub)
    metrics_argument(sub)


def nightly(args: argparse.Namespace) -> int:
    """One night, and its digest."""
    from insar_anomaly.pipeline import nightly
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.report.digest import lines

    with opened(args, "nightly", tuple(Part)) as (s, run):
        digest = nightly(s, run, period=period_of(args))
    # failures go to standard error, and need not be read twice
    return outcome(args, run, digest.as_dict(), lines(digest, failures=False))


def backfill_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `backfill`."""
    period_arguments(sub)
    sub.add_argument("--frame", action="append", default=[], metavar="FRAME", help="only this frame; may be repeated")
    sub.add_argument("--dry-run", action="store_true", help="say how many pairs, bytes, requests and hours; store nothing")
    sub.add_argument(
        "--replay",
        action="store_true",
        help="then walk through the nights in order, and write the flags and notices that would have gone out; without it, "
        "history is scored and raises no flags",
    )
    sub.add_argument("--send", action="store_true", help="with --replay: deliver these notices too")
    as_of_argument(sub)
    metrics_argument(sub)


def backfill(args: argparse.Namespace) -> int:
    """Read and score history, beside the nights."""
    from insar_anomaly.errors import UsageError
    from insar_anomaly.names import Period
    from insar_anomaly.pipeline.backfill import backfill, of_frames
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.pipeline.forecast import forecast
    from insar_anomaly.pipeline.run import Silent

    if args.send and not args.replay:
        raise UsageError("--send delivers the notices of a replay: give --replay too")
    period = period_of(args) or Period()
    needs = {Part.SOURCES} | ({Part.CHANNELS} if args.send else set())
    with opened(args, "backfill", needs) as (s, run):
        mine = of_frames(s, args.frame)
        if args.dry_run:
            run.dry = True
            found = forecast(mine, Silent.of(run), period=Period(period.first, period.last or run.as_of))
            return outcome(args, run, vars(found), found.words)
        backfill(mine, run, period=period, replay=args.replay, send=args.send)
    return outcome(args, run, *counted(run, "backfill", "nothing new in this period"))
