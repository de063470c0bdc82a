"""A source, a detector and a channel as another package would add them. `test_51_plugins` installs it into a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from pydantic import Field

from insar_anomaly.catalogue.volcano import Box
from insar_anomaly.config.channel import ChannelSettings, Folder
from insar_anomaly.detectors import base as detectors
from insar_anomaly.errors import NotInFrame
from insar_anomaly.notify import message
from insar_anomaly.sources import base as sources
from insar_anomaly.sources.grid import cut
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid


@dataclass(frozen=True)
class ArraySource:
    """Frames as ``<frame>.npz``: pairs, phase (rad, NaN = no data), coherence (bytes), west, north and step (degrees)."""

    url: str
    storage: dict[str, Any]

    def frames(self) -> list[str]:
        return sorted(file.stem for file in Path(self.url).glob("*.npz"))

    def pairs(self, frame: str) -> sources.Listing:
        uri = str(self._file(frame))
        with np.load(uri) as held:
            return sources.Listing([sources.Listed(str(pair), uri, uri, "mark") for pair in held["pairs"]], [])

    def grid(self, frame: str) -> Grid:
        return self._grid(self._file(frame))

    def static(self, frame: str, box: Box, *, height: bool) -> xr.Dataset:
        grid = cut(self._grid(self._file(frame)), box, what=frame)
        flat = {"height": 0.0, "e": -0.6, "n": -0.1, "u": 0.8}
        return xr.Dataset(
            {name: (("y", "x"), np.full(grid.shape, value, np.float32)) for name, value in flat.items()}
            | {"water": (("y", "x"), np.zeros(grid.shape, bool))},
            coords={"y": grid.lat, "x": grid.lon},
            attrs={"grid": grid.attribute, "crs": "EPSG:4326", "line_of_sight": LINE_OF_SIGHT, "source": f"arrays {frame}"},
        )

    def read(self, listed: sources.Listed, grids: Mapping[str, Grid]) -> dict[str, sources.Window]:
        file = Path(str(listed.phase_uri))
        here, out = self._grid(file), {}
        with np.load(file) as held:
            (number,) = np.flatnonzero(held["pairs"] == listed.pair)
            for stack, grid in grids.items():
                row, col = round((here.north - grid.north) / here.dy), round((grid.west - here.west) / here.dx)
                window = np.s_[number, row : row + grid.shape[0], col : col + grid.shape[1]]
                out[stack] = sources.Window(held["phase"][window], held["coherence"][window], float("nan"))
        return out

    def delays(
        self, wanted: Mapping[str, Sequence[sources.Listed]], grids: Mapping[str, Grid]
    ) -> tuple[sources.Delays, list[str]]:
        return {}, []

    def _file(self, frame: str) -> Path:
        file = Path(self.url) / f"{frame}.npz"
        if not file.exists():
            raise NotInFrame(f"{file} does not exist; correct the frame in the catalogue")
        return file

    def _grid(self, file: Path) -> Grid:
        with np.load(file) as held:
            shape = held["phase"].shape
            return Grid(float(held["west"]), float(held["north"]), float(held["step"]), float(held["step"]), shape[1:])


ARRAYS = sources.Registration(lambda settings, storage: ArraySource(settings.url, dict(storage)))


@dataclass(frozen=True)
class Blocks:
    """The largest deviation of a block's mean phase from what quiet pairs have there, in standard deviations.

    Parameters
    ----------
    block : pixels per side of a block
    """

    block: int = 8

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("phase", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: detectors.Progress = detectors.silent) -> BlocksScorer:
        means = block_means(tiles, self.block)
        if not np.isfinite(means).any():
            raise ValueError("no valid ground in any pair: check the exclusion polygons")
        progress(len(means), len(means))
        known = np.isfinite(means)
        count = known.sum(0)
        centre = np.where(known, means, 0).sum(0) / np.maximum(count, 1)
        spread = np.sqrt(np.where(known, (means - centre) ** 2, 0).sum(0) / np.maximum(count, 1))
        usable = (count > 1) & (spread > 0)
        pairs = tuple(map(str, tiles["pair"].values))
        return BlocksScorer(np.where(usable, centre, np.nan), np.where(usable, spread, np.nan), asdict(self), pairs)


@dataclass(frozen=True)
class BlocksScorer:
    """A fitted `Blocks`: mean and standard deviation of each block (v, u), rad."""

    centre: np.ndarray
    spread: np.ndarray
    settings: dict[str, Any]
    pairs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        return ("phase", "valid")

    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        far = np.abs(block_means(tiles, self.settings["block"]) - self.centre) / self.spread
        best = np.where(np.isfinite(far), far, -np.inf).max((1, 2))
        return detectors.scores(tiles, np.where(np.isfinite(best), best, np.nan), far, stride=self.settings["block"])

    def to_dataset(self) -> xr.Dataset:
        arrays = {"centre": (("v", "u"), self.centre), "spread": (("v", "u"), self.spread)}
        attrs = {"detector": type(self).__name__, "settings": json.dumps(self.settings)}
        return xr.Dataset(arrays | {"fitted_pair": ("fitted_pair", np.asarray(self.pairs))}, attrs=attrs)

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> BlocksScorer:
        pairs = tuple(map(str, dataset["fitted_pair"].values))
        return cls(dataset["centre"].values, dataset["spread"].values, detectors.settings_of(dataset), pairs)


def block_means(tiles: xr.Dataset, block: int) -> np.ndarray:
    """Mean of the measured phase of each block (pair, v, u) float64; NaN where nothing was measured."""
    valid = tiles["valid"].values
    rows, cols = (np.arange(0, n, block) for n in valid.shape[1:])

    def total(array: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(array.astype(np.float64), rows, axis=1), cols, axis=2)

    number = total(valid)
    return np.where(number > 0, total(np.where(valid, tiles["phase"].values, 0)) / np.maximum(number, 1), np.nan)


BLOCKS = detectors.Registration(Blocks, BlocksScorer)


class DiarySettings(ChannelSettings):
    """Notices as lines of a text file."""

    folder: Folder = Field(description="folder of the file diary.txt")
    width: int = Field(60, ge=20, description="characters per line")


@dataclass(frozen=True)
class Diary:
    """Appends one line for each notice, once."""

    file: Path
    width: int
    name: str

    def deliver(self, notice: message.Message) -> None:
        line = f"{notice.key} {notice.subject}"[: self.width]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        known = self.file.read_text().splitlines() if self.file.exists() else []
        if line not in known:
            self.file.write_text("\n".join([*known, line]) + "\n")


def open_diary(settings: DiarySettings, name: str, contacts: Sequence[str]) -> Diary:
    return Diary(Path(settings.folder) / "diary.txt", settings.width, name)


DIARY = message.Registration(DiarySettings, open_diary)
