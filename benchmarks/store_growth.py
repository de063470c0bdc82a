"""What one night's append costs as a stack fills: the 1st beside the 1,500th.

    python benchmarks/store_growth.py [--nights 1500] [--pixels 64] [--expire-every 0] [--s3] [--json FILE]

Every night appends one pair to a stack and its scores, as `nightly` does, each in one transaction. Printed are the medians
of 15 nights at the start, on the way and at the end: milliseconds and CPU milliseconds of both appends, and their ratio to
the first appends of a young stack, made in the same minute and in turn with those of the old one. With ``--s3`` (a moto
server) also requests per append. ``--expire-every N`` runs `Store.expire` every N nights and keeps no history; 0 never runs
it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.names import Pair
from insar_anomaly.sources.base import Window
from insar_anomaly.stack.prechecks import batch
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.tools.rehearse.server import Server, serving

STACK, MODEL, WINDOW = "990001/001A_00001_010101", "0123456789abcdef", 15


def empty(pixels: int) -> xr.Dataset:
    """The static layers of a stack."""
    grid = Grid(40.0, 10.0, 0.001, 0.001, (pixels, pixels))
    flat = np.zeros(grid.shape, np.float32)
    layers = dict.fromkeys(("height", "e", "n", "u"), (("y", "x"), flat))
    water = (("y", "x"), np.zeros(grid.shape, bool))
    return xr.Dataset({**layers, "water": water}, {"y": grid.lat, "x": grid.lon}, {"grid": grid.attribute})


def night(number: int, pixels: int, rng: np.random.Generator) -> tuple[xr.Dataset, xr.Dataset]:
    """The pair that comes in one night, and its scores."""
    first = date(2000, 1, 1) + timedelta(6 * (number // 3))
    pair = Pair(first, first + timedelta(6 * (1 + number % 3)))
    phase = rng.normal(size=(pixels, pixels)).astype(np.float32)
    new = batch({pair.name: Window(phase, rng.integers(100, 255, phase.shape).astype(np.uint8), 1.0)})
    cells = -(-pixels // 8)
    scores = xr.Dataset(
        {
            "score": ("pair", rng.normal(size=1)),
            "score_map": (("pair", "v", "u"), rng.normal(size=(1, cells, cells)).astype(np.float32)),
            "reference": new["reference"],
            "secondary": new["secondary"],
        }
    )
    return new, scores


@contextmanager
def store(s3: bool) -> Iterator[tuple[Store, Server | None]]:
    """An empty store in a folder, or in a bucket of a server on loopback."""
    if not s3:
        with tempfile.TemporaryDirectory() as folder:
            yield Store(folder), None
        return
    import boto3

    with serving() as server:
        boto3.client("s3", endpoint_url=server.url).create_bucket(Bucket="store")
        yield Store("s3://store/here", server.url), server


def requests(server: Server | None) -> int:
    """Requests that the server has had."""
    return sum(server.asked().requests.values()) if server else 0


def appended(here: Store, stack: str, number: int, pixels: int, server: Server | None) -> NDArray[np.float64]:
    """One night of a stack: ms, CPU ms and requests (append, figure) of the append of a pair and of its scores."""
    new, scores = night(number, pixels, np.random.default_rng(number))
    out = []
    for append in (partial(here.append, stack, new), partial(here.append_scores, stack, MODEL, scores)):
        asked, wall, cpu = requests(server), time.perf_counter(), time.process_time()
        append()
        taken = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3
        out.append((*taken, requests(server) - asked))
    return np.array(out)


def measured(nights: int, pixels: int, every: int, *, s3: bool) -> dict[str, Any]:
    """Medians of old and young stack at every checkpoint, and what housekeeping took, ms per night."""
    checkpoints, keeping = {}, 0.0
    with store(s3) as (here, server):
        here.create(STACK, empty(pixels))
        old, young = [], []
        for number in range(nights):
            window = any(end - WINDOW <= number < end for end in ends(nights))
            old.append(appended(here, STACK, number, pixels, server))
            if window:  # night by night beside the old stack: a busy machine slows both
                place = len(young) % WINDOW
                if not place:
                    fresh = f"990002/{number:03d}A_00001_010101"
                    here.create(fresh, empty(pixels))
                    appended(here, fresh, nights, pixels, None)
                young.append(appended(here, fresh, place, pixels, server))
            if number + 1 in ends(nights):
                checkpoints[number + 1] = np.median(old[-WINDOW:], axis=0), np.median(young[-WINDOW:], axis=0)
            if every and number % every == every - 1:
                started = time.perf_counter()
                here.expire(STACK, older_than=timedelta(0))
                keeping += time.perf_counter() - started
        busy = np.sum(old, axis=(0, 1))
    return {"checkpoints": checkpoints, "housekeeping_ms": keeping / nights * 1e3, "cpu_over_wall": busy[1] / busy[0]}


def ends(nights: int) -> list[int]:
    """The nights at which a window of measurements ends."""
    return [n for n in (20, 100, 300, 500, 1000, 1500, 3000) if n < nights] + [nights]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=1500)
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--expire-every", type=int, default=0)
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measured(given.nights, given.pixels, given.expire_every, s3=given.s3)
    rows = []
    for which, name in enumerate(("pairs", "scores")):
        for end, (old, young) in found["checkpoints"].items():
            (wall, cpu, asked), (wall_1, cpu_1, asked_1) = old[which], young[which]
            row = {"append": name, "night": end, "ms": wall, "cpu_ms": cpu, "requests": asked, "requests_young": asked_1}
            rows.append(row | {"ratio": wall / wall_1, "cpu_ratio": cpu / cpu_1})
    keeping = f"every {given.expire_every} nights" if given.expire_every else "never"
    place = "S3 on loopback" if given.s3 else "a folder"
    print(f"{given.nights} nights, {given.pixels} x {given.pixels} pixels, {place}, housekeeping {keeping}\n")
    print("| append | night | ms | ratio | CPU ms | CPU ratio | requests | of a young stack |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        figures = "{ms:.1f} | {ratio:.2f} | {cpu_ms:.1f} | {cpu_ratio:.2f} | {requests:.0f} | {requests_young:.0f}"
        print(f"| {row['append']} | {row['night']} | {figures.format_map(row)} |")
    print(f"\nhousekeeping {found['housekeeping_ms']:.1f} ms per night; CPU over wall {found['cpu_over_wall']:.2f}")
    if given.json:
        given.json.write_text(json.dumps({"arguments": vars(given) | {"json": None}, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
