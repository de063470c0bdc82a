"""The simulated world of a rehearsal: volcanoes in groups of three on two frames, and an archive of them in a bucket.

One ascending and one descending frame are simulated; every group has the same rasters under names of its own, written
straight into the bucket. So the archive costs little to make, and a night has as much to list, read, store and score as a
real one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from insar_anomaly.names import Pair
from insar_anomaly.simulate import scene
from insar_anomaly.sources.licsar_layout import COHERENCE, PHASE
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE, NOMINAL_LOOK

GROUP = 3
"""Volcanoes that share two frames: as in the real world there are about 1.5 volcanoes for each frame."""
STEP = 0.001
START = date(2025, 1, 1)
EVERY_DAYS = 12
_THREADS = 4


class Advance(Protocol):
    """Hears how much of something is done, of how much."""

    def __call__(self, done: int, total: int) -> None: ...


@dataclass(frozen=True)
class World:
    """What is simulated: volcanoes, pixels a side of their boxes, acquisitions of the past, and those that come after it."""

    volcanoes: int
    pixels: int = 32
    history: int = 10
    nights: int = 1

    @property
    def groups(self) -> int:
        """Groups of volcanoes, the last one perhaps not full."""
        return -(-self.volcanoes // GROUP)

    def frames(self, group: int) -> tuple[str, str]:
        """The ascending and the descending frame of a group."""
        track = 1 + group % 175
        return f"{track:03d}A_{group:05d}_010101", f"{track:03d}D_{group:05d}_010101"

    def members(self, group: int) -> list[int]:
        """GVP numbers of a group's volcanoes."""
        first = 100000 + GROUP * group
        return list(range(first, min(first + GROUP, 100000 + self.volcanoes)))

    def stacks(self, group: int) -> list[str]:
        """Names of a group's stacks, always in the same order."""
        return [f"{gvp}/{frame}" for gvp in self.members(group) for frame in self.frames(group)]

    @property
    def days(self) -> list[date]:
        """All acquisitions, those of the nights at the end."""
        return [START + timedelta(EVERY_DAYS * i) for i in range(self.history + self.nights)]

    def day(self, night: int) -> date:
        """The acquisition that arrives in a night; night 0 is the last one of the history."""
        return self.days[self.history - 1 + night]

    @property
    def catalogue(self) -> str:
        """The volcanoes as TOML."""
        size = self.pixels * STEP
        lines = []
        for group in range(self.groups):
            for place, gvp in enumerate(self.members(group)):
                frames = ", ".join(f'"{frame}"' for frame in self.frames(group))
                lines.append(
                    f'[[volcano]]\ngvp = {gvp}\nname = "Simulated {gvp}"\nlat = 0.0\nlon = {(place + 0.5) * size:.6f}\n'
                    f"frames = [{frames}]\nbox_km = {size * KM_PER_DEGREE:.4f}\n"
                )
        return "\n".join(lines)


class Archive:
    """The archive of a world in a bucket. `client` is boto3's.

    The files of both frames are made once, a few MB in memory; `write` puts them into the bucket for every group.
    """

    def __init__(self, world: World, client: Any, *, bucket: str, seed: int = 0) -> None:
        self._world, self._client, self._bucket = world, client, bucket
        self._files = [dict(_frame_files(world, [seed, number])) for number in range(2)]

    def write(self, groups: Sequence[int], *, after: date | None = None, until: date, advance: Advance) -> int:
        """Put what came after a day and until another one; returns the number of pairs of frames.

        `after` None takes the static layers too.
        """
        items = [
            (f"{frame}/{name.replace('FRAME', frame)}", body)
            for group in groups
            for frame, files in zip(self._world.frames(group), self._files, strict=True)
            for (name, day), body in files.items()
            if (day is None and after is None) or (day and (after is None or day > after) and day <= until)
        ]
        with ThreadPoolExecutor(_THREADS) as pool:
            for done, _ in enumerate(pool.map(self._put, items), 1):
                advance(done, len(items))
        return sum(name.endswith(PHASE) for name, _ in items)

    def _put(self, item: tuple[str, bytes]) -> None:
        self._client.put_object(Bucket=self._bucket, Key=item[0], Body=item[1])


def _frame_files(world: World, seed: list[int]) -> Iterator[tuple[tuple[str, date | None], bytes]]:
    """The files of a frame: (name, day on which it comes; None for static layers) and content. FRAME stands for its name."""
    shape = (world.pixels, GROUP * world.pixels)
    still = scene(
        shape,
        np.random.default_rng(seed),
        dates=world.days,
        pixel_km=(STEP * KM_PER_DEGREE, STEP * KM_PER_DEGREE),
        turbulence_rad=0.6,
    )
    grid = Grid(0.0, world.pixels / 2 * STEP, STEP, STEP, shape)
    yield ("metadata/FRAME.geo.hgt.tif", None), _tif(still.height_m.astype(np.float32), grid)
    for name, value in zip("ENU", NOMINAL_LOOK["AD"[seed[-1]]], strict=True):
        yield (f"metadata/FRAME.geo.{name}.tif", None), _tif(np.full(shape, value, np.float32), grid)
    rng = np.random.default_rng([*seed, 1])
    for first, last in still.pairs():
        pair, phase = Pair(world.days[first], world.days[last]).name, still.phase(first, last)
        coherence = np.where(np.isfinite(phase), rng.integers(120, 220, shape), 20).astype(np.uint8)
        folder = f"interferograms/{pair}/{pair}"
        yield (folder + PHASE, world.days[last]), _tif(np.nan_to_num(phase), grid)
        yield (folder + COHERENCE, world.days[last]), _tif(coherence, grid)


def _tif(array: NDArray[Any], grid: Grid) -> bytes:
    """A GeoTIFF in memory."""
    place = rasterio.Affine(grid.dx, 0, grid.west, 0, -grid.dy, grid.north)
    size = {"height": grid.shape[0], "width": grid.shape[1], "count": 1, "dtype": array.dtype}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", crs="EPSG:4326", transform=place, nodata=0, compress="deflate", **size) as tif:
            tif.write(array, 1)
        return bytes(memory.getbuffer())
