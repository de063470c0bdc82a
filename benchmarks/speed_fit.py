"""A fit with its calibration beside that of an earlier revision: CPU seconds, peak memory, AUROC and thresholds.

    python -m benchmarks.speed fit --shared ../shared [--before REV] [--work FOLDER]

Both revisions fit the same stored stack in one run, one thread each: Erta Ale 079D, the quiet pairs of 2019 and 2020, all
kinds of evidence. Then this revision fits it again with nothing new, and a month later. With `--simulate PIXELS PAIRS...`
simulated stacks of PIXELS x PIXELS are fitted with each number of pairs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from benchmarks import erta_ale
from benchmarks.speed import HERE, Cost, revision, run

BEFORE = "83fd88b"
"""The last revision in which every block's model was fitted from the phases, and every peak was injected by itself."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The part's own options."""
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data")
    parser.add_argument("--before", default=BEFORE, metavar="REV", help="revision to compare with; none: no comparison")
    parser.add_argument("--work", type=Path, default=Path("work/speed_fit"), help="where stacks are kept between runs")
    parser.add_argument("--simulate", type=int, nargs="+", metavar="N", help="pixels of a side, then numbers of pairs")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """The real stack with both revisions, and simulated stacks with this one."""
    work = given.work.resolve()
    report = _real(work, given.shared.resolve(), given.before) if given.shared else {}
    side, *numbers = given.simulate or [0]
    return report | {f"{side} x {side} pixels, {n} pairs": _simulated(work, side, n) for n in numbers}


def _simulated(work: Path, side: int, pairs: int) -> dict[str, Any]:
    folder = work / f"simulated_{side}_{pairs}"
    words = [sys.executable, "-m", "benchmarks.simulated_fit", folder, str(side), str(pairs)]
    if not folder.exists():
        run([*words, "--make"], tree=HERE.parent)
    cost, said = run(words, tree=HERE.parent)
    return cost.plain | {"kept": json.loads(said.splitlines()[-1])}  # storage may warn before


def _real(work: Path, shared: Path, before: str) -> dict[str, Any]:
    """Fit with both revisions on copies of one installation; then again, and a month later."""
    trees = {"now": HERE.parent}
    if before != "none":
        trees = {"before": revision(before, work / f"code_{before}"), **trees}
    # the earlier code ingests: it could not open what today's has written, and today's opens what it has
    config = _installation(work / "installation", shared, next(iter(trees.values())))
    report: dict[str, Any] = {}
    for name, tree in trees.items():
        folder = work / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(config.parent, folder, ignore=shutil.ignore_patterns("archive"))
        cost, _ = _fit(folder / config.name, tree)
        report[name] = cost.plain | calibrations(folder / "ledger.sqlite")
    if "before" in report:
        report["ratio"] = round(report["before"]["cpu_s"] / report["now"]["cpu_s"], 2)
    now = work / "now" / config.name
    report["now, features kept, MB"] = _megabytes(work / "now/store/features")
    report["now, pairs, MB"] = _megabytes(work / "now/store/stacks")
    report["again, nothing new"] = _fit(now, HERE.parent, "--again")[0].plain
    report["a month later, window moved on"] = _fit(now, HERE.parent, "--from", "2019-02-01", "--to", "2021-01-31")[0].plain
    return report


def _megabytes(folder: Path) -> float:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1)


def _installation(folder: Path, shared: Path, tree: Path) -> Path:
    """The real stack, ingested; tasks run in the command's own process."""
    config = erta_ale.installation(folder, shared, [["--from", "20190101", "--to", "20210131"]], "padim", [])
    config.write_text(config.read_text() + '\n[cluster]\nkind = "inline"\n')
    if not (folder / "store").exists():
        run([sys.executable, "-m", "insar_anomaly", "-c", config, "ingest", "--as-of", "2023-12-31"], tree=tree)
    return config


def _fit(config: Path, tree: Path, *words: str) -> tuple[Cost, str]:
    period = () if "--from" in words else erta_ale.FIT
    command = [sys.executable, "-m", "insar_anomaly", "-q", "-c", config, "fit", "--no-ingest", *period, *words]
    return run(command, tree=tree)


def calibrations(ledger: Path) -> dict[str, Any]:
    """Threshold, AUROC and detectability of the newest model of each kind of evidence, from a ledger file."""
    found: dict[str, Any] = {}
    with sqlite3.connect(ledger) as opened:
        rows = opened.execute("select evidence, threshold, calibration from model order by number").fetchall()
    for kind, threshold, text in rows:
        content = json.loads(text)
        smallest = content["detectability"] or {}
        found[kind] = {
            "threshold": threshold if threshold is None else round(threshold, 3),
            "auroc": {name: round(value, 4) for name, value in content["auroc"].items()},
            "half_cm": smallest.get("half"),
            "most_cm": smallest.get("most"),
        }
    return found
