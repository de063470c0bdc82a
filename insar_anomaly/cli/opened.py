"""What commands share: the opened installation, the opened ledger, the progress bar, the period."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from insar_anomaly.errors import UsageError

# everything heavy is imported by the command that needs it: --help answers at once
if TYPE_CHECKING:
    from insar_anomaly.catalogue import Volcano
    from insar_anomaly.config import Config
    from insar_anomaly.ledger import Ledger
    from insar_anomaly.pipeline import Installation, Run, Watch


def file_of(args: argparse.Namespace) -> str:
    if not args.config:
        raise UsageError(
            "name the configuration: insar-anomaly -c FILE ...; `insar-anomaly config` prints one to start from"
        )
    return str(args.config)


@contextmanager
def ledger_of(args: argparse.Namespace) -> Iterator[Ledger]:
    """The ledger alone, for commands that only look: a mistake elsewhere in the configuration does not stop them."""
    from insar_anomaly.config.load import load
    from insar_anomaly.ledger.ledger import Ledger
    from insar_anomaly.ledger.presence import insist

    config = load(file_of(args))
    with Ledger(config.ledger) as ledger:
        insist(ledger, partial(_held, config), config.store)
        known = {int(row["gvp"]) for row in (*ledger.stacks(), *ledger.episodes())}
        if unknown := [gvp for gvp in args.volcano if gvp not in known]:
            raise UsageError(f"--volcano {unknown[0]}: the ledger holds nothing of it, but of {len(known)} other volcanoes")
        yield ledger


def _held(config: Config) -> frozenset[str] | None:
    """What the store holds; storage options are heavy to import, and only a bucket needs them."""
    from insar_anomaly.stack.contents import kinds_held

    if not config.store.startswith("s3://"):
        return kinds_held(config.store, {})
    from insar_anomaly.pipeline import storage_options

    return kinds_held(config.store, storage_options(config.storage))


@contextmanager
def opened(
    args: argparse.Namespace, kind: str, volcanoes: Sequence[Volcano] | None = None
) -> Iterator[tuple[Installation, Run]]:
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked

    config = load_checked(file_of(args), volcanoes=volcanoes is None)
    with (
        progress(args) as watch,
        open_installation(config, only=args.volcano, watch=watch, volcanoes=volcanoes) as s,
        s.run(kind, getattr(args, "as_of", None)) as run,
    ):
        yield s, run


@contextmanager
def progress(args: argparse.Namespace) -> Iterator[Watch | None]:
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


def period_of(args: argparse.Namespace) -> Any:
    from insar_anomaly.names import Period

    if args.first and args.last and args.first >= args.last:
        raise UsageError(f"--from {args.first} is not before --to {args.last}")
    last = min((d for d in (args.last, getattr(args, "as_of", None)) if d), default=None)
    return Period(args.first, last) if args.first or last else None
