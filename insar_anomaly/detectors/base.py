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


def settings_of(dataset: xr.Dataset) -> JsonObject:
    """The settings that `to_dataset` stored as JSON in attribute ``settings``."""
    settings: JsonObject = json.loads(dataset.attrs["settings"])
    return settings
