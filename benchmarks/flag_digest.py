"""What `flag` and the digest cost per stack as the ledger grows: 300, 1,000 and 3,000 stacks.

    python benchmarks/flag_digest.py [--stacks 300 1000 3000] [--acquisitions 60] [--over 0.02] [--json FILE]

Each volcano has an ascending and a descending stack and the couple of both, with pairs, intervals and acquisitions of a
quiet past that are scored and considered already. Tonight's acquisition brings three pairs, three assessments of intervals
and one of an acquisition to every stack; a part of the stacks (``--over``) goes over its threshold. Then `flag` and the
digest run once, as in a night. Printed are milliseconds of CPU and of time per stack, and the ratio to the smallest ledger.
Nothing is stored or drawn: both read and write the ledger only. The history is the same in every stack, its scores are drawn
at random.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import QUIET
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import Verdict
from insar_anomaly.evidence.protocol import Assessed
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.ledger.records import ModelRow, PairRow, ScoreRow
from insar_anomaly.names import EvidenceKind, Interval, Pair
from insar_anomaly.pipeline import flag, open_installation, summary

FRAMES = ("001A_00001_010101", "001D_00001_010101")
KINDS = (EvidenceKind.PAIR, EvidenceKind.INTERVAL, EvidenceKind.ACQUISITION)
THRESHOLD = 10.0


def assessments(kind: EvidenceKind, days: Sequence[date]) -> Iterator[tuple[str, int, int, date]]:
    """Name, acquisitions after it, hash of its pairs and day of every assessment that the acquisitions allow."""
    for i, day in enumerate(days):
        if kind is EvidenceKind.PAIR:
            yield from ((Pair(days[j], day).name, 0, 0, day) for j in range(max(0, i - 3), i))
        elif kind is EvidenceKind.ACQUISITION:
            yield from ((Pair(day, day).name, 2, i, days[i + 2]) for _ in range(i + 2 < len(days)))
        elif i:
            name = Interval(days[i - 1], day).name
            yield from ((name, after, 10 * i + after, days[i + after - 1]) for after in (1, 2, 3) if i + after <= len(days))


def model(kind: EvidenceKind, days: Sequence[date], rng: np.random.Generator) -> ModelRow:
    """A model with a calibration of the usual size."""
    trial = [Assessed(a, b, 1, b, float(rng.normal())) for a, b in pairwise(days)]
    quiet = tuple(sorted(rng.normal(size=3 * len(days)).tolist()))
    calibration = Calibration("fpr", THRESHOLD, "", quiet, 2.0, assessments={QUIET: trial})
    return ModelRow(
        model=f"model of {kind.many}",
        detector="padim",
        settings="{}",
        fit_from=days[0],
        fit_to=days[-1],
        pairs=len(days),
        snapshot="A",
        version="0",
        threshold=THRESHOLD,
        policy="fpr",
        calibration=calibration.text,
        why="",
        evidence=kind,
    )


def write_stack(ledger: Ledger, stack: str, days: Sequence[date], tonight: date, rng: np.random.Generator) -> None:
    """Pairs, models and scores of one stack; all of tonight are over the threshold: quiet stacks are made so later."""
    every = [*days, tonight]
    names = [name for name, *_ in assessments(EvidenceKind.PAIR, every)]
    ledger.record_pairs(stack, [PairRow(name, f"s3://a/{name}", name, Verdict.OK, "", "A") for name in names])
    for kind in KINDS:
        one = model(kind, days, rng)
        ledger.publish(stack, one)
        rows = [
            ScoreRow(
                pair=name,
                model=one.model,
                score=2 * THRESHOLD if seen == tonight else float(rng.normal()),
                threshold=THRESHOLD,
                verdict=Verdict.OK,
                percentile=50.0,
                snapshot="A",
                after=after,
                inputs=inputs,
                seen=seen,
            )
            for name, after, inputs, seen in assessments(kind, every)
        ]
        ledger.record_scores(stack, rows)


def write_ledger(file: Path, stacks: int, acquisitions: int, over: float) -> list[Volcano]:
    """A ledger of so many stacks; returns their volcanoes."""
    volcanoes = [
        Volcano(gvp=100000 + i, name=f"Volcano {i}", lat=0.0, lon=0.0, frames=FRAMES, box_km=5) for i in range(stacks // 2)
    ]
    days = [date(2024, 1, 1) + timedelta(12 * i) for i in range(acquisitions)]
    tonight = days[-1] + timedelta(12)
    first = volcanoes[0].stacks
    with Ledger(f"sqlite:///{file}") as ledger:
        for stack in first:
            write_stack(ledger, stack, days, tonight, np.random.default_rng(1))
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE score SET considered = (seen < ?)", (str(tonight),))
        for table in ("interferogram", "model", "score"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] != "stack"]
            listed = ", ".join(columns)
            database.executemany(
                f"INSERT INTO {table} (stack, {listed}) SELECT ?, {listed} FROM {table} WHERE stack = ?",
                [(new, old) for volcano in volcanoes[1:] for new, old in zip(volcano.stacks, first, strict=True)],
            )
        quiet = [(stack,) for i, v in enumerate(volcanoes) for stack in v.stacks if i % max(1, round(1 / over))]
        database.executemany("UPDATE score SET score = 0.5 WHERE stack = ? AND considered = 0", quiet)
    return volcanoes


def measured(stacks: int, acquisitions: int, over: float) -> dict[str, float]:
    """Milliseconds per stack of `flag` and of the digest, CPU and time."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volcanoes = write_ledger(folder / "ledger.sqlite", stacks, acquisitions, over)
        (folder / "store" / "stacks").mkdir(parents=True)
        (folder / "store" / "stacks" / "somewhere").touch()  # a ledger without a store would be refused
        settings = Config(store=str(folder / "store"), ledger=f"sqlite:///{folder}/ledger.sqlite", figures=str(folder / "f"))
        day = date(2024, 1, 1) + timedelta(12 * acquisitions + 3)
        out: dict[str, float] = {"stacks": stacks, "rows": 0}
        with open_installation(settings, volcanoes=volcanoes) as s, s.run("nightly", day) as run:
            for stage, work in (("flag", lambda: flag(s, run)), ("digest", lambda: summary(s, run))):
                wall, cpu = time.perf_counter(), time.process_time()
                done = work()
                out[f"{stage}_cpu_ms"] = (time.process_time() - cpu) / stacks * 1e3
                out[f"{stage}_ms"] = (time.perf_counter() - wall) / stacks * 1e3
            assert done is not None
            out["open_flags"] = len(done.open_flags)
            assert not run.failures, run.failures[:3]
        with closing(sqlite3.connect(folder / "ledger.sqlite")) as database:
            out["rows"] = database.execute("SELECT count(*) FROM score").fetchone()[0]
    return out


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stacks", type=int, nargs="+", default=[300, 1000, 3000])
    parser.add_argument("--acquisitions", type=int, default=60)
    parser.add_argument("--over", type=float, default=0.02)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print("| stacks | scores | open flags | flag: CPU ms a stack | ms | ratio | digest: CPU ms a stack | ms | ratio |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    every: list[dict[str, float]] = []
    for stacks in given.stacks:
        one = measured(stacks, given.acquisitions, given.over)
        every.append(one)
        ratios = {f"{stage}_ratio": one[f"{stage}_cpu_ms"] / every[0][f"{stage}_cpu_ms"] for stage in ("flag", "digest")}
        words = "| {stacks} | {rows} | {open_flags} | {flag_cpu_ms:.2f} | {flag_ms:.2f} | {flag_ratio:.2f} "
        words += "| {digest_cpu_ms:.2f} | {digest_ms:.2f} | {digest_ratio:.2f} |"
        print(words.format_map(one | ratios), flush=True)
    busy = sum(one["flag_cpu_ms"] * one["stacks"] for one in every) / sum(one["flag_ms"] * one["stacks"] for one in every)
    print(f"\nCPU over wall {busy:.2f} (the rest waits for the disk)")
    if given.json:
        given.json.write_text(json.dumps(every, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
