"""The commands, one line each, and the options that all of them take."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from insar_anomaly import __version__
from insar_anomaly.cli import (
    delivery,
    experiments,
    explaining,
    exporting,
    mirror,
    muting,
    people,
    reading,
    reporting,
    serving,
    stages,
    upkeep,
)
from insar_anomaly.cli.exits import Exit


@dataclass(frozen=True)
class Command:
    """A command: its name, what runs it, what it does and changes (one line of --help), and its own arguments."""

    name: str
    run: Callable[[argparse.Namespace], int]
    words: str
    arguments: Callable[[argparse.ArgumentParser], None] | None = None


COMMANDS = (
    Command("ingest", stages.ingest, "copy new interferograms from the sources into the store", stages.ingest_arguments),
    Command(
        "fit",
        stages.fit,
        "fit every stack on its quiet pairs and calibrate its threshold",
        stages.fit_arguments,
    ),
    Command("nightly", stages.nightly, "ingest, score, raise flags and send notices: one night", stages.nightly_arguments),
    Command(
        "backfill",
        stages.backfill,
        "read and score a period of history, beside the nights",
        stages.backfill_arguments,
    ),
    Command("flags", reading.flags_command, "list the screening flags; changes nothing", reading.flags_arguments),
    Command("show", people.show_command, "show one flag, its notices, and what people did with it", people.show_arguments),
    Command(
        "explain",
        explaining.explain_command,
        "compute a flag's score again and print every step",
        explaining.explain_arguments,
    ),
    Command(
        "whatif",
        explaining.whatif_command,
        "count the flags that another policy would have raised",
        explaining.whatif_arguments,
    ),
    Command("ack", people.ack_command, "acknowledge a flag: somebody looks after it", people.ack_arguments),
    Command("label", people.label_command, "say what a flag shows; the next fit heeds it", people.label_arguments),
    Command("mute", muting.mute_command, "send no notices of a stack, volcano or region until a day", muting.mute_arguments),
    Command("mutes", muting.mutes_command, "list the mutes that stand: who, why, until when"),
    Command("unmute", muting.unmute_command, "take a mute back", muting.unmute_arguments),
    Command(
        "history",
        people.history_command,
        "list a volcano's flags and what people did; of all volcanoes, how many flags were real",
        people.history_arguments,
    ),
    Command(
        "serve",
        serving.serve_command,
        "answer the links of notices: acknowledge, label or mute from a phone",
        serving.serve_arguments,
    ),
    Command("digest", reading.digest_command, "print the digest of a night again", reading.digest_arguments),
    Command("scores", reading.scores_command, "write a CSV table of scores and verdicts", reading.scores_arguments),
    Command(
        "notices", reading.notices_command, "list notices that wait for delivery, or drop one", reading.notices_arguments
    ),
    Command("notify", delivery.notify_command, "send the notices that wait, or a test", delivery.notify_arguments),
    Command("channels", delivery.channels_command, "list the channels, and who gets what", delivery.channels_arguments),
    Command(
        "export",
        exporting.export_command,
        "write flags, scores or stacks as CSV, GeoJSON, STAC or CAP, or a score map as a GeoTIFF",
        exporting.export_arguments,
    ),
    Command(
        "report",
        reporting.report_command,
        "write the screening report, a site of pages that needs no server",
        reporting.report_arguments,
    ),
    Command("draw", reading.draw_command, "draw the figure of a flag, or of a stack on a day", reading.draw_arguments),
    Command("config", upkeep.config, "print all settings with their defaults, or check a file", upkeep.config_arguments),
    Command(
        "doctor",
        upkeep.doctor,
        "check everything that a night needs: files, store, sources, channels, workers",
        upkeep.doctor_arguments,
    ),
    Command(
        "restack",
        upkeep.restack,
        "build a stack anew, where its frame has another grid or its box was corrected",
        upkeep.restack_arguments,
    ),
    Command("expire", upkeep.expire, "delete old snapshots from the store to free space", upkeep.expire_arguments),
    Command("licsar", mirror.licsar, "copy a frame of LiCSAR's products into a folder", mirror.licsar_arguments),
    Command("demo", experiments.demo, "simulate an archive, fit it, screen one night", experiments.demo_arguments),
    Command(
        "simulate", experiments.simulate, "write a simulated archive with its configuration", experiments.simulate_arguments
    ),
    Command(
        "rehearse",
        experiments.rehearse,
        "simulate a night of many volcanoes, run it whole and print its cost",
        experiments.rehearse_arguments,
    ),
    Command("benchmark", experiments.benchmark, "compare all detectors on the same pairs", experiments.benchmark_arguments),
    Command(
        "train-backbone", experiments.train_backbone, "train the network on simulated pairs", experiments.training_arguments
    ),
)


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The arguments of a command line; a mistake in them ends the process with exit code 2."""
    args = parser().parse_args(argv)
    args.volcano = [*args.volcano, *args.volcano_too]
    return args


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        prog="insar-anomaly",
        description="Screen interferograms of volcanoes for signals that differ from each volcano's quiet past.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _shared(top, "volcano", {"config": None, "json": False, "quiet": False, "verbose": 0, "volcano": [], "volcano_too": []})
    places = top.add_subparsers(dest="name", required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS:
        sub = places.add_parser(command.name, help=command.words, description=_sentence(command.words))
        sub.set_defaults(command=command)
        if command.arguments:
            command.arguments(sub)
        _shared(sub, "volcano_too", {})
    return top


def _shared(parser: argparse.ArgumentParser, volcano: str, defaults: dict[str, Any]) -> None:
    """Options of every command, which may stand before and after its name.

    After it they have no defaults of their own, which would hide what stands before.
    """
    group = parser.add_argument_group("options of every command")

    def add(*names: str, **how: Any) -> None:
        group.add_argument(*names, **({"default": argparse.SUPPRESS} | how))

    add("-c", "--config", metavar="FILE", help="the configuration; `insar-anomaly config` prints one to start from")
    add("--volcano", type=int, action="append", dest=volcano, metavar="GVP", help="only this volcano; may be repeated")
    add("--json", action="store_true", help="print the result as JSON, without progress bars")
    add("-q", "--quiet", action="store_true", help="print only failures and blind stacks")
    add("-v", "--verbose", action="count", help="log each step; -vv also logs what the libraries do")
    parser.set_defaults(**defaults)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _epilog() -> str:
    codes = "\n".join(f"  {int(code):>3}  {code.words}" for code in Exit)
    start = "insar-anomaly simulate try && insar-anomaly -c try/demo.toml ingest"
    return f"exit codes:\n{codes}\n\nto try it: {start}\n`insar-anomaly COMMAND --help` explains a command."
