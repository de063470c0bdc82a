"""Small simulated archives of GUNW products for tests, in both layouts, and how to change a product."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import h5py
import numpy as np

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.names import Pair
from insar_anomaly.simulate import PointSource, Scene, Unrest, scene
from insar_anomaly.sources import open_source
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tools.layouts import frame_name, writer

DATES = tuple(date(2021, 1, 5) + timedelta(days=12 * i) for i in range(3))
STEP, WEST, NORTH, SHAPE = 0.001, 40.0, 0.06, (120, 124)
KM = 111.32 * STEP
PEAK = PointSource(60, 60, depth_km=1.5, peak_cm=12.0)
UNREST = Unrest(PEAK, DATES[0] + timedelta(1), DATES[1] - timedelta(1))
SIMULATED: Scene = scene(
    SHAPE, np.random.default_rng(3), dates=DATES, motion=[UNREST], pixel_km=(KM, KM), turbulence_rad=0.5
)
PAIR = Pair(DATES[0], DATES[1])
BOX = Volcano(gvp=990001, name="Swelling Cone", lat=0, lon=WEST + 0.06, frames=("064A_aria",), box_km=8).box


@dataclass(frozen=True)
class Archive:
    """An archive of one frame."""

    kind: str
    folder: Path

    @property
    def frame(self) -> str:
        """The frame's name in the catalogue."""
        return frame_name(self.kind, "064A_00001_010101")

    def source(self, **more):
        """Its reader."""
        return open_source(SourceSettings(kind=self.kind, url=str(self.folder), **more), {})

    def products(self, pair: Pair = PAIR) -> list[Path]:
        """Files of a pair, in order of their names."""
        days = [f"{day:%Y%m%d}" for day in pair.days]
        ends = {"aria": f"*-{days[1]}_{days[0]}-*.nc", "nisar": f"*/*_{days[0]}T*_{days[1]}T*.h5"}
        return sorted(self.folder.glob(ends[self.kind]))

    def listed(self, source=None, pair: Pair = PAIR):
        """A pair as the reader lists it."""
        return next(one for one in (source or self.source()).pairs(self.frame).pairs if one.pair == pair.name)

    def grid(self, source=None) -> Grid:
        """The grid of the volcano's box."""
        return Grid.of((source or self.source()).static(self.frame, BOX, height=False))

    def window(self, source=None, pair: Pair = PAIR):
        """A pair's window."""
        source = source or self.source()
        return source.read(self.listed(source, pair), {"": self.grid(source)})[""]


def write(kind: str, folder: Path) -> Archive:
    """Write the simulated frame in a layout."""
    writer(kind)(folder, "064A_00001_010101", SIMULATED, west=WEST, north=NORTH, step=STEP)
    return Archive(kind, folder)


@contextmanager
def changing(path: Path):
    """A product, open to be changed."""
    with h5py.File(path, "r+") as file:
        yield file


def truth_cm(grid: Grid) -> np.ndarray:
    """Line-of-sight motion and delay (y, x) of the pair in cm, positive towards the satellite, nearest pixels of a grid."""
    from insar_anomaly.units import RAD_PER_M

    row = np.clip(((NORTH - grid.lat) / STEP).astype(int), 0, SHAPE[0] - 1)
    col = np.clip(((grid.lon - WEST) / STEP).astype(int), 0, SHAPE[1] - 1)
    return SIMULATED.phase(0, 1)[np.ix_(row, col)] / RAD_PER_M * 100
