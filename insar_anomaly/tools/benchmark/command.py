"""The comparison's arguments, for the command line and the flow alike. Imports nothing heavy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import date
from pathlib import Path

from insar_anomaly.errors import UsageError


def arguments(sub: argparse.ArgumentParser, day: Callable[[str], date]) -> None:
    """Add the comparison's arguments to a parser; `day` reads a date."""
    sub.add_argument(
        "--out",
        default="benchmark",
        metavar="DIR",
        help="folder for tables and figures; finished parts there are not repeated",
    )
    sub.add_argument("--train-from", type=day, metavar="DATE", help="first day of the training period")
    sub.add_argument("--train-until", type=day, metavar="DATE", help="last day of the training period")
    sub.add_argument(
        "--test-from", type=day, metavar="DATE", help="first day of the test period; pairs that reach over it are left out"
    )
    sub.add_argument("--test-until", type=day, metavar="DATE", help="last day of the test period")
    sub.add_argument(
        "--labels",
        metavar="FILE",
        help="labels of the test pairs: CSV of frame,pair,label or the authors' JSON; without it, simulated sources are "
        "injected into the test pairs",
    )
    sub.add_argument(
        "--cases", action="store_true", help="use the poster's five case studies, where a source has their frames"
    )
    sub.add_argument("--system", action="append", default=[], metavar="NAME", help="only this detector; may be repeated")
    sub.add_argument(
        "--peaks", type=float, nargs="+", default=[2.0, 4.0, 8.0], metavar="CM", help="peaks of the injected sources, cm"
    )
    sub.add_argument("--every", type=int, default=1, metavar="N", help="use each N-th quiet test pair (default: all)")
    sub.add_argument(
        "--budget",
        default="small",
        help="effort of the training: small (CPU), brief (CPU, less), full (GPU, as in the papers) or tiny (a trial)",
    )
    sub.add_argument("--weights", default="insar", help="backbone of the PaDiM detectors: insar, imagenet, random or a file")
    sub.add_argument("--seed", type=int, default=0, help="seed of the injected sources and of the training (default: 0)")


def check(given: argparse.Namespace) -> None:
    """Raise UsageError where these arguments do not say what to compare."""
    if not given.cases and not (given.train_until and given.test_from):
        raise UsageError("benchmark needs --train-until and --test-from (or --cases)")
    if given.labels and not Path(given.labels).is_file():
        raise UsageError(f"--labels {given.labels}: no such file")
