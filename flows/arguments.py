"""What the flows take from the command line; `insar-anomaly` takes the same without Prefect."""

from __future__ import annotations

import argparse
import sys
from datetime import date

from insar_anomaly.errors import UsageError
from insar_anomaly.pipeline.check import load_checked


def parsed(name: str, words: str | None) -> argparse.Namespace:
    """Arguments of a flow, checked before any server is started: a mistake ends with exit code 2."""
    parser = argparse.ArgumentParser(prog=f"python -m flows.{name}", description=words)
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration")
    parser.add_argument("--from", dest="first", type=date.fromisoformat, metavar="DATE", help="pairs not before it")
    parser.add_argument("--to", dest="last", type=date.fromisoformat, metavar="DATE", help="pairs not after it")
    if name == "nightly":
        parser.add_argument("--as-of", type=date.fromisoformat, metavar="DATE", help="as if today were this date")
    else:
        parser.add_argument("--again", action="store_true", help="fit also where nothing has changed")
    given = parser.parse_args()
    if given.first and given.last and given.first >= given.last:
        parser.error(f"--from {given.first} is not before --to {given.last}")
    checked(name, given.config)
    return given


def checked(name: str, file: str, *, volcanoes: bool = True) -> None:
    """Check a configuration and, where it is needed, its catalogue; a mistake ends the process with exit code 2."""
    try:
        load_checked(file, volcanoes=volcanoes)
    except UsageError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        sys.exit(2)
