"""What every detector is: `Detector.fit(tiles) -> Scorer`, `Scorer.score(tiles) -> scores`.

*tiles* is what `tiles.preprocess.tiles` returns: a lazy (Dask) or loaded Dataset with dims ``(pair, y, x)``,

==========  =======  ===========================================================================================
``phase``   float32  rad, positive away from the satellite, referenced, masked ground filled, no NaN
``tile``    float32  the same after the range step, in [-1, 1]
``valid``   bool     True where the ground was measured (not masked, not water)
``weight``  float32  only where asked for: how much the measurement counts, above 0; 0 where it is not valid
==========  =======  ===========================================================================================

coordinates ``pair`` (``YYYYMMDD_YYYYMMDD``), ``reference`` and ``secondary`` (datetime64), ``y`` and ``x`` (degrees), and
attributes ``pixel_km`` (height, width) and ``look`` (east, north, up).

*scores* is a Dataset with ``score`` (pair) float64 and ``score_map`` (pair, v, u) float32; larger is less like the quiet
stack. The map has one cell per ``stride`` x ``stride`` pixels (attribute ``stride``). NaN in the map is ground that was not
scored (masked, or never seen in the fit); a NaN score is a pair of which nothing could be scored. Nothing in it is lazy.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import xarray as xr
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

from insar_anomaly.names import JsonObject

Progress = Callable[[int, int], None]
"""Called with (done, total) while a fit works."""


BATCH = 16
"""Pairs that are in memory at the same time while a stack is walked."""
FEWEST = 8
"""Pairs, or assessments of intervals or acquisitions, that anything can be fitted on."""


def silent(done: int, total: int) -> None:
    """The progress of somebody who does not watch."""


@runtime_checkable
class Scorer(Protocol):
    """A fitted detector: arrays and attributes, nothing that a pickle would be needed for."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables of *tiles* that `score` reads; the caller computes only these."""
        ...

    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Score every pair of *tiles*."""
        ...

    def to_dataset(self) -> xr.Dataset:
        """The whole scorer as one Dataset; attribute ``detector`` names its class."""
        ...

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> Scorer:
        """The inverse of `to_dataset`."""
        ...


@runtime_checkable
class Detector(Protocol):
    """Settings of a method, ready to be fitted."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables of *tiles* that `fit` reads."""
        ...

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> Scorer:
        """Learn what quiet pairs look like.

        Raises
        ------
        ValueError
            where there are too few pairs or no valid ground.
        """
        ...


@runtime_checkable
class Summed(Protocol):
    """A `Detector` whose fit is a sum over features of single tiles, so that many fits can share them: see `folds`."""

    def space(self, shape: tuple[int, int]) -> FeatureSpace | None:
        """The features of tiles of `shape` (y, x); None where these settings have no such sum."""
        ...


class FeatureSpace(Protocol):
    """What a `Summed` detector does, in steps: features of tiles, sums over them, distances, scores.

    Features stand on a grid of patches, (tile, v, u, feature). `repeats` (feature,) says that a feature is the same over
    squares of so many patches, whose corners are multiples of it: it needs to be kept once for each square.
    """

    @property
    def identity(self) -> str:
        """Names everything but the tile that decides a tile's features."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along y and x."""
        ...

    @property
    def repeats(self) -> NDArray[np.int64]:
        """See above."""
        ...

    @property
    def inputs(self) -> tuple[str, ...]:
        """The variables of *tiles* that `features` reads; ``weight`` too where they have it."""
        ...

    def features(self, tiles: xr.Dataset) -> Features:
        """Features of loaded tiles."""
        ...

    def few(self, units: int) -> bool:
        """True where a fit on so many tiles keeps another kind of sum, because there are fewer tiles than features."""
        ...

    def total(self, features: Features, places: NDArray[np.int64], *, few: bool) -> Any:
        """The sum over tiles (tile, patch, feature): something with ``+``. Sums of `few` and of many do not add.

        `places` (patch,) says where the patches are in the grid, row by row. Squares of four patches a side are never cut.
        """
        ...

    def closed(self, total: Any, units: int, *, usable: bool) -> Any:
        """The fitted patches of a sum; with ``usable`` False, patches that are never scored, whatever was summed."""
        ...

    def distance(self, fitted: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distances (tile, patch) of features (tile, patch, feature)."""
        ...

    def least(self, units: int) -> int:
        """Tiles of a fit on `units` that must have seen a patch for it to be scored."""
        ...

    def score(self, distance: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Scores (tile,) of distances (tile, patch); NaN where no patch was seen."""
        ...

    def scorer(self, fitted: list[Any], places: NDArray[np.int64], names: tuple[str, ...]) -> Scorer:
        """The scorer whose patches stand at `places` (patch,) of the grid, row by row; fitted on tiles of these names.

        The list `fitted` may be emptied.
        """
        ...


@dataclass(frozen=True)
class Features:
    """Features of tiles: `values` (tile, patch.., feature) float32, which patches were `seen` (tile, patch..) bool, and
    how much each counts, `weight` (tile, patch..) float64 above 0 where seen; None where all count alike.
    """

    values: NDArray[np.float32]
    seen: NDArray[np.bool_]
    weight: NDArray[np.float64] | None = None

    def of(self, tiles: NDArray[np.int64]) -> Features:
        """Those of some tiles."""
        return Features(self.values[tiles], self.seen[tiles], None if self.weight is None else self.weight[tiles])


@dataclass(frozen=True)
class Registration:
    """What `registry.DETECTORS` holds of each kind.

    Parameters
    ----------
    detector : a frozen dataclass of settings, each with a default; a ``Parameters`` section in its docstring describes them
    scorer : what its `fit` returns. A stored model names this class, so its name must differ from those of other detectors
    """

    detector: type[Detector]
    scorer: type[Scorer]


def batches(tiles: xr.Dataset, names: tuple[str, ...], size: int = BATCH) -> Iterator[xr.Dataset]:
    """Load `names` of *tiles* for `size` pairs at a time: the one way in which a detector walks a lazy stack."""
    for start in range(0, tiles.sizes["pair"], size):
        yield tiles[list(names)].isel(pair=slice(start, start + size)).load()


def scores(
    tiles: xr.Dataset, score: NDArray[np.floating[Any]], score_map: NDArray[np.floating[Any]], *, stride: int
) -> xr.Dataset:
    """The Dataset that `Scorer.score` returns, with the coordinates of the pairs, or of what stands in their place."""
    kept = ("pair", "reference", "secondary", "after", "seen", "variance")
    coords = {name: tiles[name].compute() for name in kept if name in tiles.coords}
    return xr.Dataset(
        {
            "score": ("pair", np.asarray(score, np.float64)),
            "score_map": (("pair", "v", "u"), np.asarray(score_map, np.float32)),
        },
        coords=coords,
        attrs={"stride": stride},
    )


def join(parts: list[xr.Dataset]) -> xr.Dataset:
    """Scores of consecutive batches as one Dataset."""
    return xr.concat(parts, "pair", coords="minimal", compat="override", join="override", combine_attrs="override")


def pack_network(weights: dict[str, torch.Tensor]) -> xr.DataArray:
    """Network weights as safetensors bytes in a 1-D uint8 array, so that a scorer stays one Dataset."""
    from safetensors.torch import save  # torch takes a second to import, and who only reads stacks needs none of it

    return xr.DataArray(np.frombuffer(save({k: v.contiguous().cpu() for k, v in weights.items()}), np.uint8), dims="byte")


def unpack_network(packed: xr.DataArray) -> dict[str, torch.Tensor]:
    """The inverse of `pack_network`."""
    from safetensors.torch import load

    return dict(load(np.ascontiguousarray(packed.values, np.uint8).tobytes()))


def unpacked_once(packed: xr.DataArray) -> dict[str, torch.Tensor]:
    """`unpack_network` for a network that many models share: the same bytes give the same tensors.

    Nobody may change these tensors.
    """
    wanted = packed.values
    for kept, weights in tuple(_unpacked):
        if kept is wanted or np.array_equal(kept, wanted):
            return weights
    weights = unpack_network(packed)
    _unpacked.append((wanted, weights))
    return weights


_unpacked: deque[tuple[NDArray[np.uint8], dict[str, torch.Tensor]]] = deque(maxlen=2)


def settings_of(dataset: xr.Dataset) -> JsonObject:
    """The settings that `to_dataset` stored as JSON in attribute ``settings``."""
    settings: JsonObject = json.loads(dataset.attrs["settings"])
    return settings
