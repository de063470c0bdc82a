"""How long the small commands take: python -m benchmarks.startup [--repeat 5] [-c FILE]

Each command runs in a process of its own. Printed are seconds, and the ratio to an empty Python process, which does not
depend on the machine's speed. The fastest of the repetitions counts. A mark says where the machine was busy with something
else: then the seconds are too long.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BUSY = 0.5
"""Load average per core before a measurement, from which it is marked."""


def seconds(words: list[str], repeat: int) -> tuple[float, float]:
    """The fastest of several runs, and the load average per core when the first of them started."""
    load = os.getloadavg()[0] / len(os.sched_getaffinity(0))
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        taken.append(time.perf_counter() - started)
        if done.returncode:
            sys.exit(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return min(taken), load


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each command; the fastest counts")
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="an installation without new pairs (default: the demonstration)"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = given.config or str(Path(folder) / "demo.toml")
        ours = ["-m", "insar_anomaly"]
        if not given.config:
            seconds([*ours, "simulate", folder], 1)
            seconds([*ours, "-c", file, "ingest"], 1)
        commands = {
            "python -c pass": ["-c", "pass"],
            "--help": [*ours, "--help"],
            "flags": [*ours, "-c", file, "flags"],
            "ingest, nothing new": [*ours, "-c", file, "ingest"],
            "config --check": [*ours, "config", "--check", file],
            "doctor": [*ours, "-c", file, "doctor"],
        }
        bare = 0.0
        print(f"{'command':<22} {'seconds':>8} {'ratio':>8}")
        for name, words in commands.items():
            taken, load = seconds(words, given.repeat)
            bare = bare or taken
            mark = f"  busy: load {load:.1f} per core" if load > BUSY else ""
            print(f"{name:<22} {taken:>8.2f} {taken / bare:>8.1f}{mark}")


if __name__ == "__main__":
    main()
