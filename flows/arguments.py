"""What the flows take, from the command line and as parameters of a deployment; `insar-anomaly` takes the same."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date, datetime
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from insar_anomaly.errors import UsageError
from insar_anomaly.names import read_date
from insar_anomaly.pipeline import period_asked
from insar_anomaly.pipeline.check import load_checked
from insar_anomaly.pipeline.tonight import date_of


def _refused(words: str) -> PydanticCustomError:
    """The error whose text Prefect shows as it is, after the parameter's name."""
    return PydanticCustomError("parameter", "{words}", {"words": words})


def _as_date(given: object) -> date:
    """A deployment's parameters come as JSON: ``-p as_of=2023-12-31`` is text, ``-p as_of=20231231`` is a number."""
    if isinstance(given, date):
        return given.date() if isinstance(given, datetime) else given
    try:
        return read_date(str(given))
    except ValueError as problem:
        raise _refused(str(problem)) from None


def _as_yes_or_no(given: object) -> bool:
    words = {"true": True, "false": False}
    if str(given).lower() not in words:
        raise _refused(f"{given!r} is neither true nor false: write one of these")
    return words[str(given).lower()]


def _as_file(given: object) -> str:
    if isinstance(given, str | os.PathLike) and os.fspath(given):
        return str(given)
    if given == "":  # what a deployment holds that was made without the variable
        raise _refused("no file is named: export INSAR_ANOMALY_CONFIG and deploy again, or write config=/path/to/night.toml")
    raise _refused(f"{given!r} is not the path of a file: write config=/path/to/night.toml")


Day = Annotated[date, BeforeValidator(_as_date)]
"""A date, or its text in one of the forms that the command line takes."""

YesOrNo = Annotated[bool, BeforeValidator(_as_yes_or_no)]
"""A truth value, or ``true`` or ``false`` as text."""

ConfigFile = Annotated[str, BeforeValidator(_as_file)]
"""The path of a configuration on the machine where the flow runs."""


def parsed(name: str, words: str | None) -> argparse.Namespace:
    """Arguments of a flow, checked before any server is started: a mistake ends with exit code 2."""
    parser = argparse.ArgumentParser(prog=f"python -m flows.{name}", description=words)
    parser.add_argument("-c", "--config", required=True, metavar="FILE", help="configuration")
    parser.add_argument("--from", dest="first", type=day, metavar="DATE", help="pairs whose earlier date is not before it")
    parser.add_argument("--to", dest="last", type=day, metavar="DATE", help="pairs whose later date is not after it")
    if name == "nightly":
        parser.add_argument("--as-of", type=day, metavar="DATE", help="as if today were this date")
    elif name == "backfill":
        parser.add_argument("--as-of", type=day, metavar="DATE", help="as if today were this date")
        parser.add_argument("--volcano", type=int, action="append", metavar="GVP", help="only this volcano; may be repeated")
        parser.add_argument("--frame", action="append", metavar="FRAME", help="only this frame; may be repeated")
        parser.add_argument("--replay", action="store_true", help="write the flags and notices that would have gone out")
        parser.add_argument("--send", action="store_true", help="with --replay: deliver these notices too")
    else:
        parser.add_argument("--again", action="store_true", help="fit also where nothing has changed")
        parser.add_argument("--no-ingest", action="store_true", help="fit on what is stored; read no source")
    given = parser.parse_args()
    try:
        period_asked(given.first, given.last)
        date_of(getattr(given, "as_of", None))
    except UsageError as problem:
        parser.error(str(problem))
    checked(name, given.config)
    return given


def day(text: str) -> date:
    """A date on the command line."""
    try:
        return read_date(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def checked(name: str, file: str, *, volcanoes: bool = True) -> None:
    """Check a configuration and, where it is needed, its catalogue; a mistake ends the process with exit code 2."""
    try:
        load_checked(file, volcanoes=volcanoes)
    except UsageError as problem:
        print(f"{name}: {problem}", file=sys.stderr)
        sys.exit(2)
