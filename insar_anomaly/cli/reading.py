"""Commands that only read: scores, flags, notices, export."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, ledger_of
from insar_anomaly.errors import UsageError
from insar_anomaly.names import EvidenceKind, columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from insar_anomaly.ledger import EpisodeRow, Ledger, ModelRow, ScoredAssessment, ScoredPair


def scores_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `scores`."""
    sub.add_argument("--csv", metavar="OUT", default="-", help="file to write; - is standard output (the default)")
    sub.add_argument(
        "--evidence",
        choices=("pair", "interval", "acquisition", "directions"),
        default="pair",
        help="which scores: of single pairs (the default), of intervals between acquisitions, of acquisitions alone, or of "
        "an ascending and a descending frame together",
    )


def scores_command(args: argparse.Namespace) -> int:
    """Write a table of scores."""
    columns = ["gvp", "frame", "pair", "score", "threshold", "flagged", "verdict", "snapshot", "model"]
    with ledger_of(args) as ledger:
        every: Sequence[ScoredPair | ScoredAssessment] = ledger.scores()
        if args.evidence != EvidenceKind.PAIR:
            columns[2:3] = ["pair", "after", "seen"]
            every = [row for stack in ledger.modelled(args.evidence) for row in ledger.assessments(stack, args.evidence)]
    chosen = [row for row in every if not args.volcano or row.gvp in args.volcano]
    rows = [{name: value for name, value in _columns(row).items() if name in columns} for row in chosen]
    if args.json:
        print(json.dumps(rows, default=str))
        if args.csv == "-":
            return Exit.OK
    _write_csv(args.csv, columns, rows)
    if args.csv != "-" and not args.quiet and not args.json:
        print(f"{args.csv}: {len(rows)} {'pairs' if args.evidence == 'pair' else 'assessments'}", file=sys.stderr)
    return Exit.OK


def _write_csv(place: str, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows to a file, or to standard output where `place` is ``-``. Raises UsageError naming the file."""
    import csv

    def write(out: TextIO) -> None:
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    if place == "-":
        write(sys.stdout)
        return
    try:
        with Path(place).open("w", newline="", encoding="utf-8") as out:
            write(out)
    except OSError as problem:
        raise UsageError(f"--csv {place}: {problem.strerror}; name a file that can be written") from None


def flags_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `flags`."""
    sub.add_argument("--open", action="store_true", help="only flags that are neither cleared nor withdrawn")


def flags_command(args: argparse.Namespace) -> int:
    """List flags."""
    with ledger_of(args) as ledger:
        rows = [row for row in ledger.episodes(open_only=args.open) if not args.volcano or row.gvp in args.volcano]
        models = [_raised_by(ledger, row) for row in rows]
    if args.json:
        print(json.dumps([_flag_columns(row) for row in rows], default=str))
        return Exit.OK
    for row, model in zip(rows, models, strict=True):
        state = "open" if row.state.open else f"{row.state} {row.cleared}"
        if model and model.threshold is not None and model.threshold != row.threshold:
            state += f"; the present threshold is {model.threshold:.4g}, the count uses the threshold of each night"
        over = (model.evidence if model else EvidenceKind.PAIR).counted(row.pairs_over)
        print(
            f"{row.stack} flag {row.number}: {row.since} to {row.until}, {over} over {row.threshold:.4g}, "
            f"peak {row.peak_score:.4g} in {row.peak_pair}, {state}"
        )
    if not rows:
        print("no flags")
    return Exit.OK


def _columns(row: ScoredPair | ScoredAssessment | EpisodeRow) -> dict[str, object]:
    """A row as a table has it: the stack's name in two columns."""
    return {**columns_of(row.stack), **vars(row)}


def _flag_columns(row: EpisodeRow) -> dict[str, object]:
    from insar_anomaly.flags.machine import names_of

    kept = {name: value for name, value in _columns(row).items() if name != "stack"}
    return {**kept, "withdrawn": not row.state.stands, "standing": names_of(row.standing)}


def _raised_by(ledger: Ledger, row: EpisodeRow) -> ModelRow | None:
    """The present model of the evidence that a flag was raised by."""
    model = ledger.model(row.stack, row.model)
    return ledger.current(row.stack, model.evidence if model else EvidenceKind.PAIR)


def notices_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `notices`."""
    sub.add_argument("--all", action="store_true", help="list also notices that were delivered or dropped")
    sub.add_argument("--drop", metavar="KEY", help="give up the notice with this key: it is not sent any more")
    sub.add_argument("--why", metavar="TEXT", help="the reason for --drop; it is kept in the ledger")


def notices_command(args: argparse.Namespace) -> int:
    """List the notices of the outbox, or drop one."""
    if bool(args.drop) != bool(args.why):
        raise UsageError("--drop KEY and --why TEXT belong together: who reads the outbox later wants the reason")
    with ledger_of(args) as ledger:
        if args.drop:
            with ledger.lock():
                ledger.drop(args.drop, args.why)
            if not (args.json or args.quiet):
                print(f"dropped: {args.drop}")
        rows = [row for row in ledger.notices() if not args.volcano or row.gvp in args.volcano]
    rows = [row for row in rows if args.all or row.waits]
    if args.json:
        print(json.dumps([vars(row) | {"payload": json.loads(row.payload)} for row in rows], default=str))
        return Exit.OK
    for row in rows:
        state = f"arrived {row.delivered_at:%Y-%m-%d %H:%M} UTC" if row.delivered_at else "waits"
        state = f"dropped: {row.dropped}" if row.dropped else state
        tried = f", {row.attempts} attempts, the last: {row.last_error}" if row.last_error else ""
        print(f"{row.key}: {state}{tried}")
    if not rows:
        print("no notices" if args.all else "no notice waits")
    return Exit.OK


def export_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `export`."""
    sub.add_argument("--stack", required=True, metavar="GVP/FRAME", help="the stack, as `scores` and `flags` name it")
    sub.add_argument("--pair", metavar="NAME", help="pair, interval or acquisition, YYYYMMDD_YYYYMMDD (default: the newest)")
    sub.add_argument(
        "--evidence",
        choices=("pair", "interval", "acquisition"),
        default="interval",
        help="what the map is of (default: interval)",
    )
    sub.add_argument("--after", type=int, metavar="N", help="of an interval: the assessment with N acquisitions after it")
    sub.add_argument("--out", metavar="FILE", help="GeoTIFF to write (default: score-GVP_FRAME-NAME.tif here)")


def export_command(args: argparse.Namespace) -> int:
    """Write one score map as a GeoTIFF."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.tools.export import export_score_map

    with open_installation(load_checked(file_of(args), needs=())) as s:
        file = export_score_map(s, args.stack, args.pair, out=args.out, evidence=args.evidence, after=args.after)
    if args.json:
        print(json.dumps({"file": str(file)}))
    elif not args.quiet:
        print(f"written: {file}")
    return Exit.OK
