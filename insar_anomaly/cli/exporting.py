"""`export`: flags, scores and stacks for other programs, or one score map as a GeoTIFF."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.cli.arguments import day
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, ledger_of
from insar_anomaly.errors import UsageError
from insar_anomaly.files.whole import write_whole

if TYPE_CHECKING:
    from insar_anomaly.config import Config
    from insar_anomaly.ledger import Ledger
    from insar_anomaly.report.exports.columns import Flag
    from insar_anomaly.report.exports.gather import Choice

WHAT = ("map", "flags", "scores", "stacks")
FORMATS = ("csv", "geojson", "stac", "cap")
KINDS = ("pair", "interval", "acquisition", "directions")


def export_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    sub.add_argument(
        "what", nargs="?", choices=WHAT, default="map", help="what to write (default: one score map, as GeoTIFF)"
    )
    sub.add_argument("--format", choices=FORMATS, help="of flags, scores and stacks (default: csv); cap is of flags only")
    sub.add_argument(
        "--stack", action="append", default=[], metavar="GVP/FRAME", help="only this stack; may be repeated. A map needs one"
    )
    sub.add_argument(
        "--out",
        metavar="FILE",
        help="file to write; - is standard output (the default). Of cap: a folder, with one file for each flag. Of a map: "
        "a GeoTIFF (default: score-GVP_FRAME-NAME.tif here)",
    )
    words = "only what lies, at least in part, on or {} DATE; of flags and scores"
    sub.add_argument("--from", dest="first", type=day, metavar="DATE", help=words.format("after"))
    sub.add_argument("--to", dest="last", type=day, metavar="DATE", help=words.format("before"))
    sub.add_argument(
        "--evidence", choices=KINDS, help="of scores: only this kind; of a map: what it is of (default: interval)"
    )
    sub.add_argument("--pair", metavar="NAME", help="of a map: pair, interval or acquisition (default: the newest)")
    sub.add_argument(
        "--after",
        type=int,
        metavar="N",
        help="of an interval's map: the assessment with N acquisitions from its second one on, as the column `after` has it",
    )


def export_command(args: argparse.Namespace) -> int:
    """Write flags, scores, stacks or a map."""
    return _map(args) if args.what == "map" else _rows(args)


def _map(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.tools.export import export_score_map

    if len(args.stack) != 1 or args.format or args.first or args.last or args.evidence == "directions":
        raise UsageError(
            "a score map is of one stack: --stack GVP/FRAME, with --pair, --evidence and --after. `export flags`, `export "
            "scores` and `export stacks` write tables, and take --format, --from and --to"
        )
    evidence = args.evidence or "interval"
    with open_installation(load_checked(file_of(args), needs=())) as s:
        file = export_score_map(s, args.stack[0], args.pair, out=args.out, evidence=evidence, after=args.after)
    if args.json:
        print(json.dumps({"file": str(file)}))
    elif not args.quiet:
        print(f"written: {file}")
    return Exit.OK


def _rows(args: argparse.Namespace) -> int:
    from insar_anomaly import catalogue
    from insar_anomaly.config.load import load
    from insar_anomaly.report.exports import gather

    config, choice = load(file_of(args), secrets=False), _choice(args)
    volcanoes = catalogue.load(config.catalogue)
    with ledger_of(args, read_only=True) as ledger:
        known = {str(stack) for stack in ledger.stacks()} | {row.stack for row in ledger.episodes()}
        if strange := sorted(set(args.stack) - known - {stack for one in volcanoes for stack in one.stacks}):
            raise UsageError(f"--stack {strange[0]}: neither the ledger nor {config.catalogue} has such a stack")
        if args.format == "cap":
            return _cap(args, config, gather.flags(ledger, volcanoes, choice), ledger)
        every = getattr(gather, args.what)(ledger, volcanoes, choice)
    _write(args.out or "-", _text(args.what, args.format or "csv", every), what=f"{len(every)} {args.what}", args=args)
    return Exit.OK


def _choice(args: argparse.Namespace) -> Choice:
    from insar_anomaly.names import EvidenceKind, Period
    from insar_anomaly.report.exports.gather import Choice

    for option, given in (("--pair", args.pair), ("--after", args.after)):
        if given is not None:
            raise UsageError(f"{option} chooses a score map; `export {args.what}` does not take it")
    if args.what == "stacks" and (args.first or args.last):
        raise UsageError("stacks are exported as they are now; --from and --to choose flags and scores")
    if args.evidence and args.what != "scores":
        raise UsageError(f"--evidence chooses scores and maps; `export {args.what}` does not take it")
    if args.format == "cap" and args.what != "flags":
        raise UsageError(f"a CAP message is of a flag: `export flags --format cap`, not `export {args.what}`")
    if args.first and args.last and args.first > args.last:
        raise UsageError(f"--from {args.first} is after --to {args.last}")
    kinds = [EvidenceKind(args.evidence)] if args.evidence else list(EvidenceKind)
    return Choice(args.volcano, args.stack, Period(args.first, args.last), kinds)


def _text(what: str, form: str, every: Sequence[object]) -> str:
    from insar_anomaly.notify.message import DISCLAIMER
    from insar_anomaly.report.exports.columns import FLAGS, SCORES, STACKS
    from insar_anomaly.report.exports.geojson import geojson_text
    from insar_anomaly.report.exports.stac import stac_text
    from insar_anomaly.report.exports.tables import csv_text

    columns = {"flags": FLAGS, "scores": SCORES, "stacks": STACKS}[what]
    forms: dict[str, Callable[..., str]] = {"csv": csv_text, "geojson": geojson_text, "stac": stac_text}
    more = {} if form == "csv" else {"disclaimer": DISCLAIMER}
    return forms[form](columns, every, **more)


def _cap(args: argparse.Namespace, config: Config, flags: Sequence[Flag], ledger: Ledger) -> int:
    """One message for each flag: into a folder, or a single one to standard output."""
    from insar_anomaly.flags.told import Told
    from insar_anomaly.notify.message import DISCLAIMER
    from insar_anomaly.report.exports.cap import Sender, Sent, cap_text, file_name
    from insar_anomaly.report.exports.gather import moments

    if not (config.cap.enabled and config.cap.sender_id):
        raise UsageError(
            "CAP messages are off; [cap] enabled = true and sender_id = ... allow them, docs/exports.md says when"
        )
    sender = Sender(config.cap.sender_id, config.cap.status, DISCLAIMER, config.cap.contact)
    sent = moments(ledger)
    told = [flag for flag in flags if flag.told is not Told.NOT_TOLD]  # nobody is to be told more by a CAP message
    texts = {file_name(flag): cap_text(flag, sent.get(flag.name, Sent()), sender) for flag in told}
    if args.out in (None, "-"):
        if len(texts) != 1:
            raise UsageError(
                f"{len(texts)} flags that people are notified of are chosen, and a CAP file holds one: name a folder with "
                "--out, or choose one flag with --stack, --from and --to"
            )
        _write("-", next(iter(texts.values())), what="1 flag", args=args)
        return Exit.OK
    for name, text in texts.items():
        _replace(Path(args.out) / name, text)
    _said(args, args.out, f"{len(texts)} flags")
    return Exit.OK


def _write(place: str, text: str, *, what: str, args: argparse.Namespace) -> None:
    if place == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())  # line ends as they are, UTF-8 whatever the locale
        sys.stdout.buffer.flush()
        return
    _replace(Path(place), text)
    _said(args, place, what)


def _said(args: argparse.Namespace, place: str, what: str) -> None:
    if args.json:
        print(json.dumps({"file": place, "written": what}))
    elif not args.quiet:
        print(f"{place}: {what}", file=sys.stderr)


def _replace(file: Path, text: str) -> None:
    """Write a file whole or not at all. Raises UsageError naming it."""
    try:
        write_whole(file, text.encode())
    except OSError as problem:
        raise UsageError(f"--out {file}: {problem.strerror}; name a place that can be written") from None
