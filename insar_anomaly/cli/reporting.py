"""`report`: write the screening report, a static site."""

from __future__ import annotations

import argparse
import json
import sys

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, progress
from insar_anomaly.errors import UsageError


def report_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `report`."""
    sub.add_argument(
        "out",
        nargs="?",
        metavar="OUT",
        help="folder, or s3://bucket/prefix, of the site (default: [report] out); open its index.html",
    )
    sub.add_argument("--again", action="store_true", help="write the pages of all volcanoes, not only of those that changed")


def report_command(args: argparse.Namespace) -> int:
    """Bring the site up to date."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.pipeline.report import write_report

    config = load_checked(file_of(args), needs=())
    place = args.out or config.report.out
    if place is None:
        raise UsageError("name a folder, `insar-anomaly -c FILE report OUT`, or set [report] out")
    inline = config.model_copy(update={"cluster": config.cluster.model_copy(update={"kind": "inline"})})
    with progress(args) as watch, open_installation(inline, only=args.volcano, watch=watch) as s:
        done = write_report(s, place, again=args.again, only=args.volcano)
    if args.json:
        failed = [{"gvp": gvp, "error": words} for gvp, words in done.failed]
        counts = {"written": list(done.written), "unchanged": done.unchanged, "files": done.files}
        print(json.dumps({"place": place, **counts, "failed": failed}))
    elif not args.quiet:
        print(f"{place}: {len(done.written)} volcanoes written, {done.unchanged} unchanged, {done.files} files")
    for gvp, words in done.failed:
        print(f"insar-anomaly: {gvp}: {words}", file=sys.stderr)
    return Exit.FAILED if done.failed else Exit.OK
