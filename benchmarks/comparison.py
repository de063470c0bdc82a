"""The table of docs/benchmark.md: every system on real atmosphere and on five simulated volcanoes.

    python benchmarks/comparison.py --shared ../shared --work work/comparison [--budget small]

Two calls of `insar-anomaly benchmark`: on Erta Ale 079D (train on pairs inside 2019-2020, every second pair inside
2021-2022, sources of 2, 4 and 8 cm injected), and on five simulated quiet volcanoes (2 and 4 cm). It goes on where it was
stopped. Needs the evaluation data beside the repository for the first; without `--shared` only the second runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from erta_ale import installation


def main() -> int:
    """Run both comparisons, each with the same systems and budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, help="folder of the evaluation data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--budget", default="brief", help="training that the networks get; brief takes an hour on one core")
    given = parser.parse_args()
    if given.shared:
        config = installation(given.work / "erta_ale", given.shared, [[]], "padim", [])
        split = ["--train-from", "2019-01-01", "--train-until", "2020-12-31"]
        split += ["--test-from", "2021-01-01", "--test-until", "2022-12-31", "--every", "2"]
        _compare(config, given.work / "out_erta_ale", [*split, "--budget", given.budget, "--peaks", "2", "4", "8"])
    simulated = given.work / "simulated"
    _call("simulate", str(simulated), "--quiet-volcanoes", "--seed", "1")
    split = ["--train-until", "2021-03-31", "--test-from", "2021-04-01", "--every", "4"]
    out = given.work / "out_simulated"
    _compare(simulated / "demo.toml", out, [*split, "--budget", given.budget, "--peaks", "2", "4"])
    return 0


def _compare(config: Path, out: Path, words: list[str]) -> None:
    """Every system on random weights; then ours again on the package's own."""
    _call("-c", str(config), "benchmark", "--out", str(out), *words, "--weights", "random")
    own = f"{out}_own_weights"
    _call("-c", str(config), "benchmark", "--out", own, *words, "--weights", "insar", "--system", "ours")


def _call(*words: str) -> None:
    print("insar-anomaly", *words, flush=True)
    subprocess.run([sys.executable, "-m", "insar_anomaly", *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
