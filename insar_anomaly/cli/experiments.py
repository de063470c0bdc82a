"""Commands to try and to compare: demo, simulate, rehearse, benchmark, train-backbone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from insar_anomaly.cli.arguments import day
from insar_anomaly.cli.exits import Exit
from insar_anomaly.cli.opened import opened, progress
from insar_anomaly.cli.tables import outcome
from insar_anomaly.errors import writing
from insar_anomaly.tools.benchmark import command as comparison
from insar_anomaly.tools.layouts import LAYOUTS
from insar_anomaly.tools.pretrain import command as pretraining
from insar_anomaly.tools.rehearse import arguments as rehearsal


def demo_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `demo`."""
    sub.add_argument(
        "--folder", default="demo", help="folder that takes everything the demonstration writes (default: demo)"
    )
    sub.add_argument("--prepare", action="store_true", help="only write archive and configuration; fit and screen nothing")


def demo(args: argparse.Namespace) -> int:
    """Simulate an archive, fit it, screen one night, and print what was flagged beside what was simulated."""
    from insar_anomaly import pipeline
    from insar_anomaly.config.load import load
    from insar_anomaly.report.digest import lines
    from insar_anomaly.tools import demo

    with progress(args) as watch, writing(args.folder):
        file = demo.write_demo(Path(args.folder), watch=watch)
    if args.prepare:
        print(f"{file} is ready")
        return Exit.OK
    with progress(args) as watch, pipeline.open_installation(load(file), watch=watch) as s:
        with s.run("fit", demo.AS_OF) as run:
            pipeline.walk(pipeline.fit_stages(demo.FIT), s, run)
        with s.run("nightly", demo.AS_OF) as run:
            digest = pipeline.nightly(s, run)
        words = [*lines(digest, failures=False), *demo.verdict(demo.VOLCANOES, s.ledger.episodes())]
    where = f"scores: insar-anomaly -c {file} scores; notices and figures: {file.parent}/notices, {file.parent}/figures"
    return outcome(args, run, digest.as_dict(), [*words, where])


def simulate_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `simulate`."""
    sub.add_argument("folder", help="folder for archive, catalogue, configuration and truth; made where it does not exist")
    sub.add_argument("--seed", type=int, default=0, help="number that the random fields follow from (default: 0)")
    sub.add_argument("--layout", choices=sorted(LAYOUTS), default="licsar", help="layout of the archive (default: licsar)")
    sub.add_argument("--quiet-volcanoes", action="store_true", help="five volcanoes without unrest, for comparisons")


def simulate(args: argparse.Namespace) -> int:
    """Write a simulated archive and the configuration that screens it."""
    from insar_anomaly.tools.demo import QUIET_VOLCANOES, VOLCANOES, write_demo

    volcanoes = QUIET_VOLCANOES if args.quiet_volcanoes else VOLCANOES
    with progress(args) as watch, writing(args.folder):
        file = write_demo(Path(args.folder), volcanoes=volcanoes, seed=args.seed, layout=args.layout, watch=watch)
    written = {
        "seed": args.seed,
        "archive": f"{args.folder}/archive",
        "truth": f"{args.folder}/truth.json",
        "config": str(file),
    }
    if args.json:
        print(json.dumps(written))
    elif not args.quiet:
        print(f"seed {args.seed}: archive in {args.folder}/archive, truth in {args.folder}/truth.json, configuration {file}")
        print(f"next: insar-anomaly -c {file} ingest")
    return Exit.OK


def benchmark_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `benchmark`."""
    comparison.arguments(sub, day)


def benchmark(args: argparse.Namespace) -> int:
    """Ingest, then measure every detector on the same pairs and write tables and figures."""
    from insar_anomaly import pipeline
    from insar_anomaly.pipeline.check import Part
    from insar_anomaly.tools import benchmark

    cases = benchmark.case_study_volcanoes() if args.cases else None
    with opened(args, "benchmark", {Part.SOURCES, Part.DETECTOR, Part.LABELS}, cases) as (s, run):
        pipeline.walk(pipeline.ingest_stages(), s, run)
        plan, said = benchmark.plan(args, [stack for stack in s.by_stack if s.store.has(stack)])
        for words in said:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        measured = benchmark.run(s, run, plan, Path(args.out))
        for words in run.warnings:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        with writing(args.out):
            written = benchmark.write(Path(args.out), plan, measured)
    table = [written[0].read_text(encoding="utf-8"), *(f"written: {path}" for path in written)]
    return outcome(args, run, json.loads(written[1].read_text(encoding="utf-8")), table)


def rehearse_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `rehearse`."""
    rehearsal.arguments(sub)


def rehearse(args: argparse.Namespace) -> int:
    """Simulate a global night, run it whole, and print what it cost."""
    from insar_anomaly.tools.rehearse import command

    failed = False
    with progress(args) as watch, writing(args.folder):
        for report in command.run(command.plan(args), watch, keep=args.keep):
            failed = failed or bool(report.failures)
            print(command.as_json(report) if args.json else "\n".join(report.lines), flush=True)
    return Exit.FAILED if failed else Exit.OK


def training_arguments(sub: argparse.ArgumentParser) -> None:
    """Add the arguments of `train-backbone`."""
    pretraining.arguments(sub)


def train_backbone(args: argparse.Namespace) -> int:
    """Train the backbone and write its weights."""
    with progress(args) as watch:
        said = pretraining.run(args, watch)
    if not args.quiet:
        print(said)
    return Exit.OK
