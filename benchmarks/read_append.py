"""Windowed read and append of pairs, beside plain rasterio and plain Zarr on the same bytes.

    python benchmarks/read_append.py [--pairs 40] [--pixels 500] [--frame 1500] [--batch 32 4 1] [--json FILE]

A LiCSAR-like archive in a folder, files striped and deflated as LiCSAR's are. Ours: `LicsarSource.read`, `precheck`,
`Store.append`, so with conversion, prechecks, transaction and history. Plain: `rasterio.open`, windowed `read`, resize and
assign of Zarr arrays with the same chunks and compressor, without any of these. Both read every file once and in turn, after
one round that nobody times; files come from the page cache. Printed are milliseconds of CPU and of time per pair, and plain
over ours: 1 is as fast as plain.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import rasterio
import zarr

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.simulate import turbulence
from insar_anomaly.sources.base import Listed
from insar_anomaly.sources.licsar import LicsarSource
from insar_anomaly.sources.licsar_layout import COHERENCE, PHASE
from insar_anomaly.stack.prechecks import batch, precheck
from insar_anomaly.stack.schema import Grid
from insar_anomaly.stack.store import Store
from insar_anomaly.stack.store.repository import COMPRESSORS

FRAME, STEP = "001A_00001_010101", 0.001


def write(path: Path, array: np.ndarray, west: float, north: float) -> None:
    """A GeoTIFF as LiCSAR writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = rasterio.Affine(STEP, 0, west, 0, -STEP, north)
    size = {"height": array.shape[0], "width": array.shape[1], "count": 1, "dtype": array.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:4326", transform=place, compress="deflate", **size) as tif:
        tif.write(array, 1)


def archive(folder: Path, pairs: int, side: int) -> list[str]:
    """Write pairs of a frame of so many pixels a side; returns their names."""
    rng = np.random.default_rng(0)
    screens = [turbulence((side, side), rng, std_rad=1.0).astype(np.float32) for _ in range(4)]
    hole = turbulence((side, side), rng, std_rad=1.0) > 1.0
    write(folder / FRAME / "metadata" / f"{FRAME}.geo.hgt.tif", screens[0] * 100, 40.0, 10.0)
    names = []
    for i in range(pairs):
        first = date(2020, 1, 1) + timedelta(6 * i)
        name = f"{first:%Y%m%d}_{first + timedelta(6):%Y%m%d}"
        phase = np.where(hole, 0, screens[i % 4] - np.roll(screens[(i + 1) % 4], i))
        base = folder / FRAME / "interferograms" / name / name
        write(base.with_name(name + PHASE), phase.astype(np.float32), 40.0, 10.0)
        write(base.with_name(name + COHERENCE), rng.integers(60, 250, (side, side)).astype(np.uint8), 40.0, 10.0)
        names.append(name)
    return names


def ours(source: LicsarSource, grid: Grid, store: Store, stack: str) -> Callable[[Sequence[Listed]], None]:
    """What ingest does with a batch of pairs."""

    def work(listed: Sequence[Listed]) -> None:
        windows = {one.pair: source.read(one, {stack: grid})[stack] for one in listed}
        for window in windows.values():
            precheck(window.phase, window.coherence, min_valid=0.1, min_coherence=0.05, uri="")
        store.append(stack, batch(windows))

    return work


def plain(grid: Grid, folder: Path) -> Callable[[Sequence[Listed]], None]:
    """The least that reads the same windows and stores the same bytes."""
    group = zarr.open_group(str(folder), mode="w")
    kinds = {"phase": np.float32, "coherence": np.uint8}
    arrays = [
        group.create_array(name, shape=(0, *grid.shape), chunks=(1, *grid.shape), dtype=kind, compressors=COMPRESSORS)
        for name, kind in kinds.items()
    ]
    col, row = round((grid.west - 40.0) / STEP), round((10.0 - grid.north) / STEP)
    window = rasterio.windows.Window(col, row, grid.shape[1], grid.shape[0])

    def work(listed: Sequence[Listed]) -> None:
        every = [one.phase_uri for one in listed], [one.coherence_uri for one in listed]
        for array, uris in zip(arrays, every, strict=True):
            layers = []
            for uri in uris:
                with rasterio.open(str(uri).removeprefix("file://")) as tif:
                    layers.append(tif.read(1, window=window))
            before = array.shape[0]
            array.resize((before + len(layers), *grid.shape))
            array[before:] = np.stack(layers)

    return work


def measured(listed: Sequence[Listed], works: Sequence[Callable[[Sequence[Listed]], None]], size: int) -> np.ndarray:
    """Milliseconds and CPU milliseconds per pair (way, figure); the ways take turns."""
    spent = np.zeros((len(works), 2))
    for start in range(0, len(listed), size):
        for number, work in enumerate(works):
            wall, cpu = time.perf_counter(), time.process_time()
            work(listed[start : start + size])
            spent[number] += time.perf_counter() - wall, time.process_time() - cpu
    return spent / len(listed) * 1e3


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--pixels", type=int, default=500)
    parser.add_argument("--frame", type=int, default=1500)
    parser.add_argument("--batch", type=int, nargs="+", default=[32, 4, 1])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive(folder / "archive", given.pairs, given.frame)
        source = LicsarSource(str(folder / "archive"))
        margin = (given.frame - given.pixels) // 2 * STEP
        wide = given.pixels * STEP
        box = Box(west=40 + margin, south=10 - margin - wide, east=40 + margin + wide, north=10 - margin)
        static = source.static(FRAME, box, height=True)
        grid = Grid.of(static)
        listed = sorted(source.pairs(FRAME)[0], key=lambda one: one.pair)
        for size in given.batch:
            store, stack = Store(str(folder / f"store-{size}")), f"990001/{FRAME}"
            store.create(stack, static)
            works = [ours(source, grid, store, stack), plain(grid, folder / f"plain-{size}")]
            warm, timed = listed[:2], listed[2:]
            for work in works:
                work(warm)
            (wall, cpu), (wall_plain, cpu_plain) = measured(timed, works, size)
            row = {"batch": size, "ms": wall, "cpu_ms": cpu, "plain_ms": wall_plain, "plain_cpu_ms": cpu_plain}
            rows.append(row | {"ratio": wall_plain / wall, "cpu_ratio": cpu_plain / cpu})
    print(f"{given.pairs} pairs, {given.pixels} x {given.pixels} pixels of {given.frame} x {given.frame}\n")
    print("| pairs per transaction | ms a pair | plain | plain / ours | CPU ms a pair | plain | plain / ours |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        words = "| {batch} | {ms:.1f} | {plain_ms:.1f} | {ratio:.2f} | {cpu_ms:.1f} | {plain_cpu_ms:.1f} | {cpu_ratio:.2f} |"
        print(words.format_map(row))
    print(f"\nCPU over wall {sum(row['cpu_ms'] for row in rows) / sum(row['ms'] for row in rows):.2f}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
