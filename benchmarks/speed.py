"""Speed and size, as ratios within one run.

    python -m benchmarks.speed PART [options] [--json OUT]

A part is a file ``benchmarks/speed_PART.py`` with ``arguments(parser)`` and ``measure(given) -> report``. Times are CPU
seconds: CPU over wall stands beside them, so that a busy machine shows itself. The report is JSON.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Cost:
    """What a process used: CPU and wall seconds, and its peak memory in MB (that of the process itself)."""

    cpu_s: float
    wall_s: float
    peak_mb: float

    @property
    def plain(self) -> dict[str, float]:
        """Ready for JSON, with CPU over wall."""
        shares = {"cpu_s": self.cpu_s, "cpu_over_wall": self.cpu_s / max(self.wall_s, 1e-9), "peak_mb": self.peak_mb}
        return {name: round(value, 2) for name, value in shares.items()}


def run(command: Sequence[str | Path], *, tree: Path, more: Mapping[str, str] | None = None) -> tuple[Cost, str]:
    """Run a command in the folder and with the code of `tree`, one thread; what it used and what it printed.

    Stops where it fails.
    """
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(tree)} | dict(more or {})
    started = time.monotonic()
    words = [str(word) for word in command]
    with subprocess.Popen(words, env=environment, cwd=tree, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = child.stdout.read()
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 3):  # 3: done, some stacks are blind
        sys.exit(f"{' '.join(map(str, command))}: exit code {child.returncode}\n{said}")
    return Cost(used.ru_utime + used.ru_stime, time.monotonic() - started, used.ru_maxrss / 1024), said


def revision(name: str, folder: Path) -> Path:
    """The code of a revision of this repository, unpacked into `folder`."""
    if not (folder / "insar_anomaly").exists():
        folder.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(["git", "-C", str(HERE.parent), "archive", name], check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=made.stdout, check=True)
    return folder


def main() -> int:
    """Measure one part, print its report."""
    parts = sorted(file.stem.removeprefix("speed_") for file in HERE.glob("speed_*.py"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    chosen = parser.add_subparsers(dest="part", required=True)
    modules: dict[str, Any] = {}
    for part in parts:
        modules[part] = importlib.import_module(f"benchmarks.speed_{part}")
        own = chosen.add_parser(
            part, description=modules[part].__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        own.add_argument("--json", type=Path, help="file for the report")
        modules[part].arguments(own)
    given = parser.parse_args()
    report = modules[given.part].measure(given)
    text = json.dumps({given.part: report}, indent=1)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
