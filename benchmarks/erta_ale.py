"""One real stack from end to end: Erta Ale 079D, fitted on 2019-2020, screened over January 2017 and 2021-2022.

    python benchmarks/erta_ale.py --shared ../shared --work work/erta_ale [--json OUT]

Runs the command line as an operator would (ingest, fit, nightly, scores), twice: on the archive as it is, and on the same
archive with one synthetic 4 cm source in every pair of 2021-2022. Needs the evaluation data beside the repository, which
are no part of it. What the work folder already holds is not made again.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from insar_anomaly.calibration.metrics import Estimate, auroc_interval, proportion, rate_per_year

FRAME = "079D_07694_131313"
CATALOGUE = f"""[[volcano]]
gvp = 221080
name = "Erta Ale"
lat = 13.601
lon = 40.666
frames = ["{FRAME}"]
"""
CONFIG = """store = "store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"

[[source]]
kind = "licsar"
url = "archive"

[detector]
kind = "{kind}"
{options}

[[channel]]
kind = "files"
folder = "notices"
"""
FIT = ("--from", "2019-01-01", "--to", "2020-12-31")
EVENT = ("--from", "2016-11-01", "--to", "2017-03-31", "--as-of", "2017-03-31")
QUIET = ("--from", "2021-01-01", "--to", "2022-12-31", "--as-of", "2022-12-31")
INTRUSION = (date(2017, 1, 4), date(2017, 1, 28))


def main() -> int:
    """Run it, print the figures; exit code 1 where one misses its aim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="folder of the evaluation data")
    parser.add_argument("--work", type=Path, required=True, help="where archives and stores go")
    parser.add_argument("--kind", default="padim", help="detector")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="setting of the detector, TOML")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    started = time.monotonic()
    clean = installation(given.work / "clean", given.shared, [[]], given.kind, given.option)
    inject = [["--from", "20190101", "--to", "20201231"], ["--inject", "4", "--from", "20210101", "--to", "20221231"]]
    injected = installation(given.work / "injected", given.shared, inject, given.kind, given.option)
    for config in (clean, injected):
        run(config, "ingest", "--as-of", "2023-12-31")
        run(config, "fit", *FIT)
    run(clean, "nightly", *EVENT)
    for config in (clean, injected):
        run(config, "nightly", *QUIET)
    report = figures(clean, injected)
    report["seconds"] = round(time.monotonic() - started)
    text = json.dumps(report, indent=1, default=str)
    if given.json:
        given.json.write_text(text + "\n")
    print(text)
    return 0 if all(report["aims"].values()) else 1


def installation(folder: Path, shared: Path, parts: list[list[str]], kind: str, options: list[str]) -> Path:
    """Archive, catalogue and configuration in `folder`; returns the configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    stack = shared / "data/erta_ale_079D/erta_ale_079D_07694_131313_licsalert.nc"
    if not (folder / "archive.done").exists():
        for part in parts:
            tool = [sys.executable, shared / "tools/real_archive.py", stack, folder / "archive", *part]
            subprocess.run([str(word) for word in tool], check=True)
        (folder / "archive.done").touch()
    (folder / "volcanoes.toml").write_text(CATALOGUE)
    (folder / "config.toml").write_text(CONFIG.format(kind=kind, options="\n".join(options)))
    return folder / "config.toml"


def run(config: Path, *words: str) -> str:
    """One command of the command line; what it prints."""
    command = [sys.executable, "-m", "insar_anomaly", "-c", str(config), *words]
    print("insar-anomaly", *command[3:], file=sys.stderr)
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode not in (0, 3):  # 3: done, some stacks are blind
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    print("  " + done.stdout.strip().replace("\n", "\n  "), file=sys.stderr)
    return done.stdout


def figures(clean: Path, injected: Path) -> dict[str, Any]:
    """Flags, rates and AUROC, with their intervals, beside what was aimed at."""
    flags = json.loads(run(clean, "--json", "flags"))
    event = [f for f in flags if f["since"] < "2018"]
    late = [f for f in flags if f["since"] >= "2021"]
    hit = [
        f for f in event if date.fromisoformat(f["since"]) < INTRUSION[1] and date.fromisoformat(f["until"]) > INTRUSION[0]
    ]
    quiet, moved = scores(clean), scores(injected)
    both = sorted(set(quiet) & set(moved))
    labels = [0] * len(both) + [1] * len(both)
    dates = [pair.split("_") for pair in both] * 2
    separation = auroc_interval([quiet[p] for p in both] + [moved[p] for p in both], labels, dates)
    days = [date.fromisoformat(f"{d[:4]}-{d[4:6]}-{d[6:]}") for pair in quiet for d in pair.split("_")]
    rate = rate_per_year(len(late), (max(days) - min(days)).days / 365.25)
    over = proportion(sum(v > threshold(clean) for v in quiet.values()), len(quiet))
    told = [json.loads(file.read_text()) for file in sorted((clean.parent / "notices").glob("*_raised_*.json"))]
    detected = told[0]["payload"]["calibration"]["detection"] if told else {}
    return {
        "threshold of single pairs": threshold(clean),
        "threshold of intervals": told[0]["payload"]["threshold"] if told else None,
        "intervals detected": {name: str(Estimate(*found)) for name, found in detected.items()},
        "flags 2016-11 to 2017-03": [f"{f['since']} to {f['until']}, peak {f['peak_pair']}" for f in event],
        "flags 2021-2022": [f"{f['since']} to {f['until']}, peak {f['peak_pair']}" for f in late],
        "false alarms a year 2021-2022": str(rate),
        "pairs over the threshold 2021-2022": str(over),
        "AUROC 4 cm 2021-2022": str(separation),
        "pairs 2021-2022": len(quiet),
        "aims": {
            "exactly one flag, on the intrusion": len(event) == 1 and len(hit) == 1,
            "false alarms at or below 1 a year": rate.value <= 1.0,
            "AUROC of 4 cm at least 0.94": separation.value >= 0.94,
        },
    }


def scores(config: Path) -> dict[str, float]:
    """Scores of 2021-2022 by pair."""
    rows = csv.DictReader(io.StringIO(run_quiet(config)))
    return {r["pair"]: float(r["score"]) for r in rows if r["score"] and r["pair"] >= "2021" and r["pair"][9:] < "2023"}


def threshold(config: Path) -> float:
    """The stack's threshold."""
    rows = csv.DictReader(io.StringIO(run_quiet(config)))
    return float(next(r["threshold"] for r in rows if r["threshold"]))


def run_quiet(config: Path) -> str:
    """The scores as CSV."""
    command = [sys.executable, "-m", "insar_anomaly", "-c", str(config), "-q", "scores"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
