"""The same pipeline without Prefect, from the command line. Exit code 0, 1 (a stack failed) or 2 (usage)."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insar_anomaly import __version__
from insar_anomaly.benchmark.command import arguments
from insar_anomaly.errors import InsarAnomalyError, UsageError
from insar_anomaly.pretrain import command as pretraining

# everything heavy is imported by the command that needs it: --help answers at once
if TYPE_CHECKING:
    from insar_anomaly.catalogue import Volcano
    from insar_anomaly.ledger import Ledger, ModelRow
    from insar_anomaly.pipeline import Run, Screening, Watch

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.DEBUG if args.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    command: Command = args.command
    try:
        return command(args)
    except UsageError as problem:
        print(f"insar-anomaly: {problem}", file=sys.stderr)
        return 2
    except InsarAnomalyError as problem:
        print(f"insar-anomaly: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("insar-anomaly: stopped; what was committed is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="insar-anomaly", description="Screen interferograms of volcanoes for what does not look like their quiet past."
    )
    parser.add_argument("-c", "--config", metavar="FILE", help="configuration; `insar-anomaly config` prints the defaults")
    parser.add_argument("--json", action="store_true", help="print JSON; no progress")
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what is done")
    parser.add_argument(
        "--volcano", type=int, action="append", default=[], metavar="GVP", help="only this volcano; may repeat"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def add(name: str, command: Command, words: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=words, description=words)
        sub.set_defaults(command=command)
        return sub

    ingest = add("ingest", _ingest, "bring new interferograms into the stacks")
    ingest.add_argument("--dry-run", action="store_true", help="only count what is new")
    fit = add("fit", _fit, "fit every stack and calibrate its threshold")
    fit.add_argument("--again", action="store_true", help="fit also where nothing has changed")
    night = add("nightly", _nightly, "ingest, score, flag and notify")
    for sub in (ingest, fit, night):
        sub.add_argument("--from", dest="first", type=_day, metavar="DATE", help="pairs whose earlier date is not before it")
        sub.add_argument("--to", dest="last", type=_day, metavar="DATE", help="pairs whose later date is not after it")
    for sub in (ingest, night):
        sub.add_argument("--as-of", type=_day, metavar="DATE", help="as if today were this date")
    scores = add("scores", _scores, "write every pair's score and verdict")
    scores.add_argument("--csv", metavar="OUT", default="-", help="file, - for standard output")
    scores.add_argument(
        "--evidence",
        choices=("pair", "interval", "acquisition", "directions"),
        default="pair",
        help="what is scored (default: single pairs)",
    )
    flags = add("flags", _flags, "list flags")
    flags.add_argument("--open", action="store_true", help="only those not cleared")
    notices = add("notices", _notices, "list notices that have not arrived; every night tries them again")
    notices.add_argument("--all", action="store_true", help="also those that have arrived or were dropped")
    notices.add_argument("--drop", metavar="KEY", help="give up this notice")
    notices.add_argument("--why", metavar="TEXT", help="the reason, kept in the ledger")
    demo = add("demo", _demo, "simulate an archive, fit it, screen it")
    demo.add_argument("--folder", default="demo", help="where everything goes")
    demo.add_argument("--prepare", action="store_true", help="only simulate and configure")
    simulate = add("simulate", _simulate, "write a simulated archive and its configuration")
    simulate.add_argument("folder")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--quiet-volcanoes", action="store_true", help="five volcanoes without unrest, for comparisons")
    arguments(add("benchmark", _benchmark, "compare every detector on labelled or injected pairs"), _day)
    pretraining.arguments(add("train-backbone", _train_backbone, "train the backbone on simulated interferograms"))
    config = add("config", _config, "print the commented defaults, or check a file")
    config.add_argument("--check", metavar="FILE")
    expire = add("expire", _expire, "forget old snapshots and collect what only they held")
    expire.add_argument("--days", type=int, default=90, help="keep snapshots younger than this")
    add("doctor", _doctor, "check configuration, catalogue, ledger, store, sources and workers")
    return parser


def _day(text: str) -> date:
    for form in ("%Y-%m-%d", "%Y%m%d"):
        try:
            from datetime import datetime

            return datetime.strptime(text, form).date()  # noqa: DTZ007
        except ValueError:
            continue
    raise argparse.ArgumentTypeError(f"{text!r} is not a date: write YYYY-MM-DD")


def _file(args: argparse.Namespace) -> str:
    if not args.config:
        raise UsageError(
            "name the configuration: insar-anomaly -c FILE ...; `insar-anomaly config` prints one to start from"
        )
    return str(args.config)


@contextmanager
def _ledger_of(args: argparse.Namespace) -> Iterator[Ledger]:
    """The ledger alone, for commands that only look: a mistake elsewhere in the configuration does not stop them."""
    from insar_anomaly.config import load
    from insar_anomaly.ledger import Ledger

    with Ledger(load(_file(args)).ledger) as ledger:
        known = {int(row["gvp"]) for row in (*ledger.stacks(), *ledger.episodes())}
        if unknown := [gvp for gvp in args.volcano if gvp not in known]:
            raise UsageError(f"--volcano {unknown[0]}: the ledger holds nothing of it, but of {len(known)} other volcanoes")
        yield ledger


@contextmanager
def _opened(
    args: argparse.Namespace, kind: str, volcanoes: Sequence[Volcano] | None = None
) -> Iterator[tuple[Screening, Run]]:
    from insar_anomaly.pipeline import screening
    from insar_anomaly.settings import load_checked

    config = load_checked(_file(args), volcanoes=volcanoes is None)
    with (
        _progress(args) as watch,
        screening(config, only=args.volcano, watch=watch, volcanoes=volcanoes) as s,
        s.run(kind, getattr(args, "as_of", None)) as run,
    ):
        yield s, run


@contextmanager
def _progress(args: argparse.Namespace) -> Iterator[Watch | None]:
    """A progress bar per stage where a person watches, nothing elsewhere."""
    if args.json or args.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:<9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, Any] = {}

        def watch(stage: str, done: int, total: int) -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total)
            bars.update(known[stage], completed=done, total=total)

        yield watch


def _period(args: argparse.Namespace) -> Any:
    from insar_anomaly.pipeline import Period

    if args.first and args.last and args.first >= args.last:
        raise UsageError(f"--from {args.first} is not before --to {args.last}")
    last = min((d for d in (args.last, getattr(args, "as_of", None)) if d), default=None)
    return Period(args.first, last) if args.first or last else None


def _outcome(args: argparse.Namespace, run: Run, result: dict[str, Any], words: Sequence[str]) -> int:
    if args.json:
        print(json.dumps(result, default=str))
    elif not args.quiet:
        print("\n".join(words))
    if args.quiet or not args.json:
        for failure in run.failures:
            print(f"insar-anomaly: {failure.stack}: {failure.stage}: {failure.error}", file=sys.stderr)
    return 1 if run.failures else 0


def _counted(run: Run, kind: str) -> tuple[dict[str, Any], list[str]]:
    result = {
        "kind": kind,
        **run.counts,
        "failures": [vars(f) for f in run.failures],
        "blind": run.blind,
        "warnings": run.warnings,
    }
    counted = [f"{n} {name.replace('_', ' ')}" for name, n in run.counts.items() if n]
    words = [f"{kind}: " + (", ".join(counted) or "nothing to do")]
    words += [f"  {stack}: {why}" for stack, why in run.blind.items()]
    words += [f"  {warning}" for warning in run.warnings]
    return result, words


def _ingest(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import ingest

    with _opened(args, "ingest") as (s, run):
        ingest(s, run, period=_period(args), dry=args.dry_run)
    return _outcome(args, run, *_counted(run, "ingest, dry run" if args.dry_run else "ingest"))


def _fit(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import Period, fit

    with _opened(args, "fit") as (s, run):
        fit(s, run, period=_period(args) or Period(), again=args.again)
    return _outcome(args, run, *_counted(run, "fit"))


def _nightly(args: argparse.Namespace) -> int:
    from insar_anomaly.pipeline import nightly
    from insar_anomaly.report.digest import lines

    with _opened(args, "nightly") as (s, run):
        digest = nightly(s, run, period=_period(args))
    return _outcome(args, run, digest, lines(digest))


def _scores(args: argparse.Namespace) -> int:
    import csv

    columns = ["gvp", "frame", "pair", "score", "threshold", "flagged", "verdict", "snapshot", "model"]
    with _ledger_of(args) as ledger:
        if args.evidence == "pair":
            every = ledger.scores()
        else:
            columns[2:3] = ["pair", "after", "seen"]
            every = [row for stack in ledger.modelled(args.evidence) for row in ledger.looks(stack, args.evidence)]
        rows = [{name: r[name] for name in columns} for r in every if not args.volcano or int(r["gvp"]) in args.volcano]
    if args.json:
        print(json.dumps(rows, default=str))
        if args.csv == "-":
            return 0
    try:
        out = sys.stdout if args.csv == "-" else Path(args.csv).open("w", newline="", encoding="utf-8")  # noqa: SIM115
    except OSError as problem:
        raise UsageError(f"--csv {args.csv}: {problem.strerror}; name a file that can be written") from None
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    if out is not sys.stdout:
        out.close()
        if not args.quiet and not args.json:
            print(f"{args.csv}: {len(rows)} {'pairs' if args.evidence == 'pair' else 'looks'}", file=sys.stderr)
    return 0


def _flags(args: argparse.Namespace) -> int:
    from insar_anomaly.schema import counted

    with _ledger_of(args) as ledger:
        rows = [r for r in ledger.episodes(open_only=args.open) if not args.volcano or int(r["gvp"]) in args.volcano]
        current = {stack: _raised_by(ledger, stack, r["model"]) for r in rows if (stack := f"{r['gvp']}/{r['frame']}")}
    if args.json:
        print(json.dumps(rows, default=str))
        return 0
    for row in rows:
        state = f"{'withdrawn' if row['withdrawn'] else 'cleared'} {row['cleared']}" if row["cleared"] else "open"
        model = current[f"{row['gvp']}/{row['frame']}"]
        if model and model.threshold is not None and model.threshold != row["threshold"]:
            state += f"; the threshold is {model.threshold:.4g} now, pairs were counted by the one in force when they came"
        over = counted(row["pairs_over"], model.evidence if model else "pair")
        print(
            f"{row['gvp']}/{row['frame']} flag {row['number']}: {row['since']} to {row['until']}, "
            f"{over} over {row['threshold']:.4g}, peak {row['peak_score']:.4g} "
            f"in {row['peak_pair']}, {state}"
        )
    if not rows:
        print("no flags")
    return 0


def _raised_by(ledger: Ledger, stack: str, identity: str) -> ModelRow | None:
    """The present model of the evidence that a flag was raised by."""
    evidence = next((row.evidence for row in ledger.models(stack) if row.model == identity), "pair")
    return ledger.current(stack, evidence)


def _notices(args: argparse.Namespace) -> int:
    if bool(args.drop) != bool(args.why):
        raise UsageError("--drop KEY and --why TEXT belong together: who reads the outbox later wants the reason")
    with _ledger_of(args) as ledger:
        if args.drop:
            with ledger.lock():
                ledger.drop(args.drop, args.why)
        rows = [r for r in ledger.notices() if not args.volcano or int(r["stack"].split("/")[0]) in args.volcano]
    rows = [row for row in rows if args.all or (row["delivered_at"] is None and row["dropped"] is None)]
    if args.json:
        print(json.dumps(rows, default=str))
        return 0
    for row in rows:
        state = f"arrived {row['delivered_at']:%Y-%m-%d %H:%M} UTC" if row["delivered_at"] else "waits"
        state = f"dropped: {row['dropped']}" if row["dropped"] else state
        tried = f", {row['attempts']} attempts, the last: {row['last_error']}" if row["last_error"] else ""
        print(f"{row['key']}: {state}{tried}")
    if not rows:
        print("no notices" if args.all else "no notice waits")
    return 0


def _demo(args: argparse.Namespace) -> int:
    from insar_anomaly import demo, pipeline
    from insar_anomaly.config import load
    from insar_anomaly.report.digest import lines

    with _progress(args) as watch:
        file = demo.write_demo(Path(args.folder), watch=watch)
    if args.prepare:
        print(f"{file} is ready")
        return 0
    args.config = str(file)
    with _progress(args) as watch, pipeline.screening(load(file), watch=watch) as s:
        with s.run("fit", demo.AS_OF) as run:
            pipeline.ingest(s, run)
            pipeline.fit(s, run, period=demo.FIT)
        with s.run("nightly", demo.AS_OF) as run:
            digest = pipeline.nightly(s, run)
        words = [*lines(digest), *demo.verdict(demo.VOLCANOES, s.ledger.episodes())]
    where = f"scores: insar-anomaly -c {file} scores; notices and figures: {file.parent}/notices, {file.parent}/figures"
    return _outcome(args, run, digest, [*words, where])


def _benchmark(args: argparse.Namespace) -> int:
    from insar_anomaly import benchmark, pipeline

    with _opened(args, "benchmark", benchmark.case_study_volcanoes() if args.cases else None) as (s, run):
        pipeline.ingest(s, run)
        plan, said = benchmark.plan(args, [stack for stack in s.by_stack if s.store.has(stack)])
        for words in said:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        measured = benchmark.run(s, run, plan, Path(args.out))
        for words in run.warnings:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        written = benchmark.write(Path(args.out), plan, measured)
    table = [written[0].read_text(encoding="utf-8"), *(f"written: {path}" for path in written)]
    return _outcome(args, run, json.loads(written[1].read_text(encoding="utf-8")), table)


def _train_backbone(args: argparse.Namespace) -> int:
    with _progress(args) as watch:
        said = pretraining.run(args, watch)
    if not args.quiet:
        print(said)
    return 0


def _simulate(args: argparse.Namespace) -> int:
    from insar_anomaly.demo import QUIET_VOLCANOES, VOLCANOES, write_demo

    volcanoes = QUIET_VOLCANOES if args.quiet_volcanoes else VOLCANOES
    with _progress(args) as watch:
        file = write_demo(Path(args.folder), volcanoes=volcanoes, seed=args.seed, watch=watch)
    if not args.quiet:
        print(f"seed {args.seed}: archive in {args.folder}/archive, truth in {args.folder}/truth.json, configuration {file}")
    return 0


def _config(args: argparse.Namespace) -> int:
    from insar_anomaly.config import commented_defaults
    from insar_anomaly.settings import detector_lines, load_checked

    if not args.check:
        print(commented_defaults({"detector": detector_lines()}), end="")
        return 0
    load_checked(args.check)
    if not args.quiet:
        print(f"{args.check}: ok")
    return 0


def _expire(args: argparse.Namespace) -> int:
    from datetime import timedelta

    with _opened(args, "expire") as (s, run):
        for stack in s.by_stack:
            try:
                run.counts["expired_snapshots"] += s.store.expire(stack, older_than=timedelta(days=args.days))
            except InsarAnomalyError as problem:
                run.fail(stack, "expire", problem)
    return _outcome(args, run, *_counted(run, "expire"))


def _doctor(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from insar_anomaly.doctor import examine
    from insar_anomaly.settings import load_checked

    # the catalogue is one of the findings, not a reason to look no further
    findings = examine(load_checked(_file(args), volcanoes=False))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    for finding in () if args.json or args.quiet else findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.words}")
    return 0 if all(f.ok for f in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
