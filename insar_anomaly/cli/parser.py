"""The commands and their arguments."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date

from insar_anomaly import __version__
from insar_anomaly.cli.experiments import (
    benchmark_command,
    config_command,
    demo_command,
    doctor_command,
    simulate_command,
    train_backbone_command,
)
from insar_anomaly.cli.reading import flags_command, notices_command, scores_command
from insar_anomaly.cli.stages import expire_command, fit_command, ingest_command, nightly_command
from insar_anomaly.names import read_date
from insar_anomaly.tools.benchmark.command import arguments
from insar_anomaly.tools.pretrain import command as pretraining

Command = Callable[[argparse.Namespace], int]


def parser() -> argparse.ArgumentParser:
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

    ingest = add("ingest", ingest_command, "bring new interferograms into the stacks")
    ingest.add_argument("--dry-run", action="store_true", help="only count what is new")
    fit = add("fit", fit_command, "ingest what is new, then fit every stack and calibrate its threshold")
    fit.add_argument("--no-ingest", action="store_true", help="fit on what is stored; read no source")
    fit.add_argument("--again", action="store_true", help="fit also where nothing has changed")
    night = add("nightly", nightly_command, "ingest, score, flag and notify")
    for sub in (ingest, fit, night):
        sub.add_argument("--from", dest="first", type=day, metavar="DATE", help="pairs whose earlier date is not before it")
        sub.add_argument("--to", dest="last", type=day, metavar="DATE", help="pairs whose later date is not after it")
    for sub in (ingest, night):
        sub.add_argument("--as-of", type=day, metavar="DATE", help="as if today were this date")
    scores = add("scores", scores_command, "write every pair's score and verdict")
    scores.add_argument("--csv", metavar="OUT", default="-", help="file, - for standard output")
    scores.add_argument(
        "--evidence",
        choices=("pair", "interval", "acquisition", "directions"),
        default="pair",
        help="what is scored (default: single pairs)",
    )
    flags = add("flags", flags_command, "list flags")
    flags.add_argument("--open", action="store_true", help="only those not cleared")
    notices = add("notices", notices_command, "list notices that have not arrived; every night tries them again")
    notices.add_argument("--all", action="store_true", help="also those that have arrived or were dropped")
    notices.add_argument("--drop", metavar="KEY", help="give up this notice")
    notices.add_argument("--why", metavar="TEXT", help="the reason, kept in the ledger")
    demo = add("demo", demo_command, "simulate an archive, fit it, screen it")
    demo.add_argument("--folder", default="demo", help="where everything goes")
    demo.add_argument("--prepare", action="store_true", help="only simulate and configure")
    simulate = add("simulate", simulate_command, "write a simulated archive and its configuration")
    simulate.add_argument("folder")
    simulate.add_argument("--seed", type=int, default=0)
    simulate.add_argument("--quiet-volcanoes", action="store_true", help="five volcanoes without unrest, for comparisons")
    arguments(add("benchmark", benchmark_command, "compare every detector on labelled or injected pairs"), day)
    pretraining.arguments(add("train-backbone", train_backbone_command, "train the backbone on simulated interferograms"))
    config = add("config", config_command, "print the commented defaults, or check a file")
    config.add_argument("--check", metavar="FILE")
    expire = add("expire", expire_command, "forget old snapshots and collect what only they held")
    expire.add_argument("--days", type=int, default=90, help="keep snapshots younger than this")
    add("doctor", doctor_command, "check configuration, catalogue, ledger, store, sources and workers")
    return parser


def day(text: str) -> date:
    try:
        return read_date(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
