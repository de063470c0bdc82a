"""The command licsar: copy a frame of LiCSAR's products into a folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.cli.arguments import day
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import progress

if TYPE_CHECKING:
    from insar_anomaly.tools.licsar_fetch import Mirrored


def licsar_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `licsar`."""
    sub.add_argument(
        "action", choices=["fetch"], help="fetch: copy a frame; run it again to continue or to bring it up to date"
    )
    sub.add_argument("frame", metavar="FRAME", help="the frame, e.g. 079D_07694_131313")
    sub.add_argument("--to", required=True, metavar="FOLDER", help="where FRAME's folder is made: the url of a [[source]]")
    sub.add_argument("--from", dest="source", metavar="URL", help="the archive (default: LiCSAR's public folder)")
    sub.add_argument("--since", type=day, metavar="DATE", help="only pairs whose later date is on or after DATE")
    sub.add_argument("--epochs", action="store_true", help="also the modelled delays (GACOS) of the pairs' acquisitions")
    sub.add_argument("--jobs", type=_jobs, default=4, metavar="N", help="files fetched at the same time (default: 4)")
    sub.add_argument("--dry-run", action="store_true", help="print number and size of the files; fetch nothing")
    sub.add_argument("--check", action="store_true", help="compare the files in FOLDER with their checksums; fetch nothing")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 64")
    return int(text)


def licsar(args: argparse.Namespace) -> int:
    """Copy a frame, or check the copy."""
    from insar_anomaly.sources.archive import Archive
    from insar_anomaly.tools.licsar_fetch import PORTAL, check, mirror, plan

    if args.check:
        return _checked(args, check(Path(args.to) / args.frame))
    archive = Archive((args.source or PORTAL).rstrip("/"), _storage(args), named="--from")
    from insar_anomaly.sources.words import counted

    wanted = plan(archive, args.frame, since=args.since, epochs=args.epochs)
    if args.dry_run:
        size = sum(one.entry.size or 0 for one in wanted)
        told = json.dumps({"frame": args.frame, "files": len(wanted), "bytes": size})
        print(
            told if args.json else f"{args.frame}: {counted(len(wanted), 'file')}, {size / 1e6:,.1f} MB; nothing was fetched"
        )
        return Exit.OK
    with progress(args) as watch:
        return _told(args, mirror(archive, wanted, frame=args.frame, to=Path(args.to), at_a_time=args.jobs, watch=watch))


def _storage(args: argparse.Namespace) -> dict[str, object]:
    """Options for s3:// addresses, as [storage] of the configuration has them, where one is given."""
    if not str(args.source or "").startswith("s3://"):
        return {}
    from insar_anomaly.config.load import load
    from insar_anomaly.config.sections import Storage
    from insar_anomaly.pipeline import storage_options

    return dict(storage_options(load(args.config, secrets=False).storage if args.config else Storage()))


def _checked(args: argparse.Namespace, wrong: dict[str, str]) -> int:
    if args.json:
        print(json.dumps(wrong))
    for place, words in () if args.json else wrong.items():
        print(f"{args.to}/{args.frame}/{place} {words}")
    if not (wrong or args.json or args.quiet):
        print(f"{args.to}/{args.frame}: every file is as it was fetched")
    return Exit.FAILED if wrong else Exit.OK


def _told(args: argparse.Namespace, done: Mirrored) -> int:
    from dataclasses import asdict

    from insar_anomaly.sources.words import counted

    if args.json:
        print(json.dumps(asdict(done)))
        return Exit.FAILED if done.failures else Exit.OK
    for place, words in done.failures.items():
        print(f"not fetched: {place}: {words}")
    if not args.quiet:
        there = done.files - done.fetched - len(done.failures)
        print(
            f"{done.frame}: {counted(done.fetched, 'file')} fetched, {there} were there already, {len(done.failures)} failed"
        )
        if done.gone:
            print(
                f"{counted(len(done.gone), 'file')} of earlier fetches not listed, first {done.gone[0]}; nothing is deleted"
            )
        print(f'to read it: [[source]] url = "{args.to}"')
    return Exit.FAILED if done.failures else Exit.OK
