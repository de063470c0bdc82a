"""Commands that only read the ledger: scores, flags, notices."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import ledger_of
from insar_anomaly.errors import UsageError
from insar_anomaly.names import EvidenceKind, stack_name, volcano_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from insar_anomaly.ledger import Ledger, ModelRow


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
        if args.evidence == "pair":
            every = ledger.scores()
        else:
            columns[2:3] = ["pair", "after", "seen"]
            every = [row for stack in ledger.modelled(args.evidence) for row in ledger.assessments(stack, args.evidence)]
        rows = [{name: r[name] for name in columns} for r in every if not args.volcano or int(r["gvp"]) in args.volcano]
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
        rows = [r for r in ledger.episodes(open_only=args.open) if not args.volcano or int(r["gvp"]) in args.volcano]
        current = {stack: _raised_by(ledger, stack, r["model"]) for r in rows if (stack := stack_name(r["gvp"], r["frame"]))}
    if args.json:
        print(json.dumps(rows, default=str))
        return Exit.OK
    for row in rows:
        state = f"{'withdrawn' if row['withdrawn'] else 'cleared'} {row['cleared']}" if row["cleared"] else "open"
        model = current[stack_name(row["gvp"], row["frame"])]
        if model and model.threshold is not None and model.threshold != row["threshold"]:
            state += f"; the present threshold is {model.threshold:.4g}, the count uses the threshold of each night"
        over = EvidenceKind(model.evidence if model else "pair").counted(row["pairs_over"])
        print(
            f"{row['gvp']}/{row['frame']} flag {row['number']}: {row['since']} to {row['until']}, "
            f"{over} over {row['threshold']:.4g}, peak {row['peak_score']:.4g} "
            f"in {row['peak_pair']}, {state}"
        )
    if not rows:
        print("no flags")
    return Exit.OK


def _raised_by(ledger: Ledger, stack: str, identity: str) -> ModelRow | None:
    """The present model of the evidence that a flag was raised by."""
    evidence = next((row.evidence for row in ledger.models(stack) if row.model == identity), "pair")
    return ledger.current(stack, evidence)


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
        rows = [r for r in ledger.notices() if not args.volcano or volcano_of(r["stack"]) in args.volcano]
    rows = [row for row in rows if args.all or (row["delivered_at"] is None and row["dropped"] is None)]
    if args.json:
        print(json.dumps(rows, default=str))
        return Exit.OK
    for row in rows:
        state = f"arrived {row['delivered_at']:%Y-%m-%d %H:%M} UTC" if row["delivered_at"] else "waits"
        state = f"dropped: {row['dropped']}" if row["dropped"] else state
        tried = f", {row['attempts']} attempts, the last: {row['last_error']}" if row["last_error"] else ""
        print(f"{row['key']}: {state}{tried}")
    if not rows:
        print("no notices" if args.all else "no notice waits")
    return Exit.OK
