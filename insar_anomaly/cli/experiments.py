"""Commands to try, compare and check: demo, simulate, benchmark, train-backbone, config, doctor."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from insar_anomaly.cli.opened import file_of, opened, progress
from insar_anomaly.cli.tables import outcome
from insar_anomaly.tools.pretrain import command as pretraining


def demo_command(args: argparse.Namespace) -> int:
    from insar_anomaly import pipeline
    from insar_anomaly.config.load import load
    from insar_anomaly.report.digest import lines
    from insar_anomaly.tools import demo

    with progress(args) as watch:
        file = demo.write_demo(Path(args.folder), watch=watch)
    if args.prepare:
        print(f"{file} is ready")
        return 0
    args.config = str(file)
    with progress(args) as watch, pipeline.open_installation(load(file), watch=watch) as s:
        with s.run("fit", demo.AS_OF) as run:
            pipeline.ingest(s, run)
            pipeline.fit(s, run, period=demo.FIT)
        with s.run("nightly", demo.AS_OF) as run:
            digest = pipeline.nightly(s, run)
        words = [*lines(digest), *demo.verdict(demo.VOLCANOES, s.ledger.episodes())]
    where = f"scores: insar-anomaly -c {file} scores; notices and figures: {file.parent}/notices, {file.parent}/figures"
    return outcome(args, run, digest, [*words, where])


def benchmark_command(args: argparse.Namespace) -> int:
    from insar_anomaly import pipeline
    from insar_anomaly.tools import benchmark

    with opened(args, "benchmark", benchmark.case_study_volcanoes() if args.cases else None) as (s, run):
        pipeline.ingest(s, run)
        plan, said = benchmark.plan(args, [stack for stack in s.by_stack if s.store.has(stack)])
        for words in said:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        measured = benchmark.run(s, run, plan, Path(args.out))
        for words in run.warnings:
            print(f"insar-anomaly: {words}", file=sys.stderr)
        written = benchmark.write(Path(args.out), plan, measured)
    table = [written[0].read_text(encoding="utf-8"), *(f"written: {path}" for path in written)]
    return outcome(args, run, json.loads(written[1].read_text(encoding="utf-8")), table)


def train_backbone_command(args: argparse.Namespace) -> int:
    with progress(args) as watch:
        said = pretraining.run(args, watch)
    if not args.quiet:
        print(said)
    return 0


def simulate_command(args: argparse.Namespace) -> int:
    from insar_anomaly.tools.demo import QUIET_VOLCANOES, VOLCANOES, write_demo

    volcanoes = QUIET_VOLCANOES if args.quiet_volcanoes else VOLCANOES
    with progress(args) as watch:
        file = write_demo(Path(args.folder), volcanoes=volcanoes, seed=args.seed, watch=watch)
    if not args.quiet:
        print(f"seed {args.seed}: archive in {args.folder}/archive, truth in {args.folder}/truth.json, configuration {file}")
    return 0


def config_command(args: argparse.Namespace) -> int:
    from insar_anomaly.config.defaults import commented_defaults
    from insar_anomaly.pipeline.check import detector_lines, load_checked

    if not args.check:
        print(commented_defaults({"detector": detector_lines()}), end="")
        return 0
    load_checked(args.check, places=True)
    if not args.quiet:
        print(f"{args.check}: ok")
    return 0


def doctor_command(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from insar_anomaly.pipeline.check import load_checked
    from insar_anomaly.tools.doctor import examine

    # the catalogue is one of the findings, not a reason to look no further
    findings = examine(load_checked(file_of(args), volcanoes=False))
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings]))
    for finding in () if args.json or args.quiet else findings:
        print(f"{'ok  ' if finding.ok else 'FAIL'} {finding.what}: {finding.words}")
    return 0 if all(f.ok for f in findings) else 1
