"""Commands that only read: scores, flags, notices, digest, draw."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from insar_anomaly.cli.arguments import day, words_given
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import file_of, ledger_of
from insar_anomaly.cli.tables import json_text
from insar_anomaly.errors import Busy, UsageError
from insar_anomaly.names import EvidenceKind, FlagName, columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import TextIO

    from insar_anomaly.flags.told import Told
    from insar_anomaly.ledger import EpisodeRow, Ledger, ModelRow, NoticeRow, ScoredAssessment, ScoredPair


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
    columns += ["reason"] if args.evidence == EvidenceKind.PAIR else []
    with ledger_of(args) as ledger:
        every: Sequence[ScoredPair | ScoredAssessment] = ledger.scores()
        if args.evidence != EvidenceKind.PAIR:
            columns[2:3] = ["pair", "after", "seen"]
            every = [row for stack in ledger.modelled(args.evidence) for row in ledger.assessments(stack, args.evidence)]
    chosen = [row for row in every if not args.volcano or row.gvp in args.volcano]
    rows = [{name: value for name, value in _columns(row).items() if name in columns} for row in chosen]
    if args.json:
        print(json_text(rows))
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
    from insar_anomaly.flags.told import Told
    from insar_anomaly.stack.freshness import stale_words

    with ledger_of(args) as ledger:
        rows = [row for row in ledger.episodes(open_only=args.open) if not args.volcano or row.gvp in args.volcano]
        models = [_raised_by(ledger, row) for row in rows]
        states, heard = ledger.newest_states(), ledger.told()
    told = [heard.get(FlagName(row.stack, row.number), Told.NOT_TOLD) for row in rows]
    night = max((state.as_of for state in states.values()), default=None)
    stale = [stale_words(row.stack, states) if row.state.open else None for row in rows]
    if args.json:
        columns = [
            _flag_columns(row, one) | {"stale": why, "as_of": night} for row, one, why in zip(rows, told, stale, strict=True)
        ]
        print(json_text(columns))
        return Exit.OK
    for row, model, one, why in zip(rows, models, told, stale, strict=True):
        state = f"{row.state}, open" if row.state.open else f"{row.state} {row.cleared}"
        state += f"; {one.value}"
        if model and model.threshold is not None and model.threshold != row.threshold:
            state += f"; the present threshold is {model.threshold:.4g}, the count uses the threshold of each night"
        state += f"; nothing new can clear it: {why}" if why else ""
        over = (model.evidence if model else EvidenceKind.PAIR).counted(row.pairs_over)
        print(
            f"{FlagName(row.stack, row.number)}: {row.since} to {row.until}, {over} over {row.threshold:.4g}, "
            f"peak {row.peak_score:.4g} in {row.peak_pair}, {state}"
        )
    if rows and night:
        print(f"flags as they stand after the newest night that was run, {night}")
    if not rows:
        print("no flags")
    return Exit.OK


def _columns(row: ScoredPair | ScoredAssessment | EpisodeRow) -> dict[str, object]:
    """A row as a table has it: the stack's name in two columns."""
    return {**columns_of(row.stack), **vars(row)}


def _flag_columns(row: EpisodeRow, told: Told) -> dict[str, object]:
    """A flag for JSON: `told` says whether a notice of it was sent, `told_score` the highest score that it tells of."""
    from insar_anomaly.flags.machine import names_of

    kept = {name: value for name, value in _columns(row).items() if name != "stack"}
    words = {"told": told.value, "told_score": row.told}
    return {**kept, **words, "withdrawn": not row.state.stands, "standing": names_of(row.standing)}


def _raised_by(ledger: Ledger, row: EpisodeRow) -> ModelRow | None:
    """The present model of the evidence that a flag was raised by."""
    model = ledger.model(row.stack, row.model)
    return ledger.current(row.stack, model.evidence if model else EvidenceKind.PAIR)


def _drop(ledger: Ledger, key: str, why: str) -> None:
    """Drop a notice that nobody is sending at this moment."""
    from insar_anomaly.ledger.leases import NOTICES, Held
    from insar_anomaly.ledger.owner import Owner

    if not any(row.key == key and row.waits for row in ledger.notices()):
        raise UsageError(f"--drop {key}: no notice with this key waits; `insar-anomaly notices` lists those that do")
    lease = ledger.take(NOTICES, Owner.here("notices --drop"), seconds=60)
    if isinstance(lease, Held):
        raise Busy(f"notices are delivered now by {lease.words}; wait until that run ends, then drop {key} again")
    try:
        ledger.drop(key, why)
    finally:
        ledger.release(lease)


def _retry(ledger: Ledger, key: str) -> None:
    """Take up a parked notice again."""
    if not any(row.key == key and row.waits and row.parked is not None for row in ledger.notices()):
        raise UsageError(f"--retry {key}: no notice with this key is parked; `insar-anomaly notices` lists those that are")
    ledger.retry(key)


def _resend(args: argparse.Namespace) -> int:
    """Send the notice of a flag that was too old for one."""
    from insar_anomaly.cli.opened import opened
    from insar_anomaly.cli.tables import counted, outcome
    from insar_anomaly.names import FlagName
    from insar_anomaly.pipeline import deliver
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.pipeline.owed import resend

    if args.drop:
        raise UsageError("--drop and --resend are two commands: give one of them")
    try:
        flag = FlagName.of(args.resend)
    except ValueError as problem:
        raise UsageError(f"--resend {problem}") from None
    with opened(args, "notices", {Part.CHANNELS}) as (s, run):
        resend(s, run, flag)
        deliver(s, run)
    return outcome(args, run, *counted(run, f"notice of flag {flag}", "nothing was sent"))


def notices_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `notices`."""
    sub.add_argument("--all", action="store_true", help="list also notices that were delivered or dropped")
    sub.add_argument("--drop", metavar="KEY", help="give up the notice with this key: it is not sent any more")
    words = "the reason for --drop; it is kept in the ledger"
    sub.add_argument("--why", type=words_given, metavar="TEXT", help=words)
    sub.add_argument("--retry", metavar="KEY", help="take up a parked notice again: the next run sends it")
    sub.add_argument(
        "--resend",
        metavar="FLAG",
        help="send the notice of the flag GVP/FRAME:NUMBER, which was too old for one or dropped; what waits is sent too",
    )


def notices_command(args: argparse.Namespace) -> int:
    """List the notices of the outbox, drop one, take a parked one up again, or send one after all."""
    if bool(args.drop) != bool(args.why):
        raise UsageError("--drop KEY and --why TEXT belong together: who reads the outbox later wants the reason")
    if args.resend:
        return _resend(args)
    with ledger_of(args) as ledger:
        if args.drop:
            _drop(ledger, args.drop, args.why)
            if not (args.json or args.quiet):
                print(f"dropped: {args.drop}")
        if args.retry:
            _retry(ledger, args.retry)
            if not (args.json or args.quiet):
                print(f"taken up again: {args.retry}; the next run sends it, or `insar-anomaly notify` now")
        rows = [row for row in ledger.notices() if not args.volcano or row.gvp in args.volcano]
    rows = [row for row in rows if args.all or row.waits]
    if args.json:
        print(json_text([vars(row) | {"payload": json.loads(row.payload)} for row in rows]))
        return Exit.OK
    for row in rows:
        tried = f", {row.attempts} attempts, the last: {row.last_error}" if row.last_error else ""
        print(f"{row.key}: {_state_of(row)}{tried}")
    if not rows:
        print("no notices" if args.all else "no notice waits")
    return Exit.OK


def _state_of(row: NoticeRow) -> str:
    """Where a notice is, in words."""
    from insar_anomaly.ledger.outbox import OWED, flag_of

    if row.dropped == OWED:
        return f"not sent: {OWED}; `insar-anomaly notices --resend {flag_of(row.key)}` sends it"
    if row.dropped:
        return f"dropped: {row.dropped}"
    if row.delivered_at:
        return f"arrived {row.delivered_at:%Y-%m-%d %H:%M} UTC"
    return f"parked, refused on {row.refused} nights" if row.parked else "waits"


def digest_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `digest`."""
    sub.add_argument("--date", type=day, metavar="DATE", help="of which night, YYYY-MM-DD (default: the newest)")


def digest_command(args: argparse.Namespace) -> int:
    """Print the digest of a night as it was written then."""
    from insar_anomaly.config.load import load
    from insar_anomaly.report.digest import lines
    from insar_anomaly.report.stored import digest_text, read_digest

    if args.volcano:
        raise UsageError("a digest is of all volcanoes; `insar-anomaly flags --volcano GVP` lists the flags of one")
    text = digest_text(load(file_of(args), secrets=False).figures, args.date)
    print(text.rstrip("\n") if args.json else "\n".join(lines(read_digest(text))))
    return Exit.OK


def draw_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `draw`."""
    sub.add_argument("what", metavar="FLAG|STACK", help="a flag, GVP/FRAME:NUMBER, or a stack, GVP/FRAME, and a date")
    sub.add_argument(
        "day", nargs="?", type=day, metavar="DATE", help="of a stack: draw the interval or pair that holds the day"
    )
    sub.add_argument(
        "--out",
        metavar="FILE",
        help="file to write; its ending says the format: .png, .svg, .pdf or .jpg (default: a PNG in flags/ of the figures' "
        "folder)",
    )
    sub.add_argument("--language", choices=("en", "es"), default="en", help="language of the figure (default: en)")


def draw_command(args: argparse.Namespace) -> int:
    """Draw the figure of a flag, or of what a stack shows of a day."""
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.pipeline.redraw import redraw

    with open_installation(load_checked(file_of(args), needs=())) as s:
        file = redraw(s, args.what, args.day, out=args.out, language=args.language)
    if args.json:
        print(json.dumps({"file": str(file)}))
    elif not args.quiet:
        print(f"written: {file}")
    return Exit.OK
