"""What commands share: the opened installation, the opened ledger, the progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
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
    from insar_anomaly.pipeline.check import Part


def file_of(args: argparse.Namespace) -> str:
    """The configuration that the command line names. Raises UsageError where it names none."""
    if not args.config:
        raise UsageError(
            "this command needs a configuration: insar-anomaly -c FILE ...; `insar-anomaly config > FILE` writes one to "
            "start from"
        )
    return str(args.config)


@contextmanager
def ledger_of(args: argparse.Namespace, *, read_only: bool = False) -> Iterator[Ledger]:
    """The ledger alone, for commands that send and compute nothing: they need no secret, no source and no catalogue.

    Opened `read_only`, it is neither made nor brought up to date, and nothing can be written into it.
    """
    from insar_anomaly.config.load import load
    from insar_anomaly.ledger.ledger import Ledger
    from insar_anomaly.ledger.presence import insist

    config = load(file_of(args), secrets=False)
    with Ledger(config.ledger, read_only=read_only) as ledger:
        insist(ledger, partial(_held, config), config.store)
        known = {stack.gvp for stack in ledger.stacks()} | {episode.gvp for episode in ledger.episodes()}
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
    args: argparse.Namespace, kind: str, needs: Collection[Part] = (), volcanoes: Sequence[Volcano] | None = None
) -> Iterator[tuple[Installation, Run]]:
    """The installation that the command line names, and a run in it.

    Parameters
    ----------
    kind : what the ledger calls the run
    needs : parts of the configuration that the command uses: these are checked first
    volcanoes : these, and not those of the configured catalogue
    """
    from insar_anomaly.pipeline import open_installation
    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.pipeline.heartbeat import before_the_run
    from insar_anomaly.pipeline.tonight import date_of

    date_of(getattr(args, "as_of", None))  # before anything is opened
    config = load_checked(file_of(args), volcanoes=volcanoes is None, needs=needs)
    if gateway := getattr(args, "metrics_url", None):
        config = config.model_copy(update={"metrics": config.metrics.model_copy(update={"push_url": gateway})})
    with (
        progress(args) as watch,
        before_the_run(config.heartbeat, kind) as beat,
        open_installation(config, only=args.volcano, watch=watch, volcanoes=volcanoes) as s,
        s.run(kind, getattr(args, "as_of", None), beat=beat) as run,
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

    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, Any] = {}

        def watch(stage: str, done: int, total: int, note: str = "") -> None:
            if stage not in known:
                known[stage] = bars.add_task(stage, total=total, note="")
            bars.update(known[stage], completed=done, total=total, note=note)

        yield watch
