"""PaDiM in steps, for many fits that share their tiles: features, sums, Gaussians, distances, scores. See `folds`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.detectors._blocks import blocks_of
from insar_anomaly.detectors._padim_layouts import aggregated, smoothed
from insar_anomaly.detectors._padim_parts import Parts, distance_of, kept_as_samples, pool_of, rounded
from insar_anomaly.detectors.backbone import Channels, Weights, digest
from insar_anomaly.detectors.base import Features, Scorer
from insar_anomaly.detectors.gaussians import Gaussian, Moments, PatchGaussian, Samples
from insar_anomaly.names import JsonObject

_DECIDE = ("backbone", "weights", "dims", "seed", "stride", "eight_bit")
"""Settings that decide a tile's features; all others are about what is made of them."""
_PIXELS = 2**19
"""Pixels that go through the network at the same time: its first maps take 256 bytes for each."""
_FORM = 1
"""Of the features' arithmetic and stored form: a larger number leaves stored features unused."""


MakeScorer = Callable[[tuple[Gaussian, ...], Weights, JsonObject, tuple[int, int], tuple[str, ...]], Scorer]
"""Makes the scorer of Gaussians, weights, settings, shape and the names of what they were fitted on."""


class PadimFeatures:
    """See `detectors.base.FeatureSpace`: the joint form with one Gaussian per place of the box."""

    inputs = ("tile", "valid")

    def __init__(self, weights: Weights, settings: JsonObject, shape: tuple[int, int], made: MakeScorer) -> None:
        self._weights, self._settings, self._shape, self._made = weights, settings, shape, made
        self.grid = (-(-shape[0] // settings["stride"]), -(-shape[1] // settings["stride"]))

    @cached_property
    def _parts(self) -> Parts:
        return Parts(self._settings, self._weights, self._shape)

    @cached_property
    def identity(self) -> str:
        """Hash of the backbone's weights and of the settings that decide the features."""
        content = {name: self._settings[name] for name in _DECIDE} | {"network": digest(self._weights), "form": _FORM}
        return hashlib.sha256(json.dumps([content, self._shape], sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def repeats(self) -> NDArray[np.int64]:
        """Deeper layers have coarser grids: 4, 8 and 16 pixels."""
        channels = Channels(self._settings["backbone"], self._settings["dims"], self._settings["seed"])
        times: NDArray[np.int64] = np.maximum(1, (4 << channels.layer) // self._settings["stride"])
        return times

    def features(self, tiles: xr.Dataset) -> Features:
        """Features of loaded tiles on the grid; few large tiles go through the network at the same time."""
        some = max(1, _PIXELS // (self._shape[0] * self._shape[1]))
        starts = range(0, tiles.sizes["pair"], some)
        parts = [self._features(tiles.isel(pair=slice(start, start + some))) for start in starts]
        weight = None if parts[0].weight is None else np.concatenate([p.weight for p in parts if p.weight is not None])
        return Features(np.concatenate([p.values for p in parts]), np.concatenate([p.seen for p in parts]), weight)

    def _features(self, tiles: xr.Dataset) -> Features:
        units = self._parts.layout.training(rounded(tiles) if self._settings["eight_bit"] else tiles)
        values, seen, weight = units.embeddings[0], units.seen[0], units.weight[0]
        size = (len(seen), *self.grid)
        return Features(
            values.reshape(*size, -1).cpu().numpy(),
            seen.reshape(size).cpu().numpy(),
            None if weight is None else weight.reshape(size).cpu().numpy(),
        )

    @cached_property
    def _pool(self) -> int:
        return pool_of(self._settings)

    def few(self, units: int) -> bool:
        """True where there are fewer tiles than features, and patches share nothing: see `Padim.fit`."""
        return kept_as_samples(units, len(self.repeats), self._pool)

    def total(self, features: Features, places: NDArray[np.int64], *, few: bool) -> Moments | Samples:
        """Moments, or the samples themselves. Squares of patches that share correlations lie whole in `places`."""
        weight = None if features.weight is None else self._tensor(features.weight)
        values, seen = self._tensor(features.values), self._tensor(features.seen)
        if few:
            return Samples.of(values, seen, weight)
        return Moments.of(values, seen, weight, blocks=self._blocks(places))

    def _blocks(self, places: NDArray[np.int64]) -> torch.Tensor | None:
        """The square of each of these patches, numbered from 0; None where every patch stands for itself."""
        if self._pool == 1:
            return None
        every = blocks_of(self.grid, self._pool)[torch.as_tensor(places)]
        numbered: torch.Tensor = torch.unique(every, return_inverse=True)[1]
        return numbered.to(self._parts.embedder.device)

    def closed(self, total: Any, units: int, *, usable: bool) -> Gaussian:
        """The Gaussians of a sum."""
        ridges = {"ridge": self._settings["ridge"], "relative": self._settings["relative_ridge"]}
        if usable:
            made: Gaussian = total.gaussian(**ridges, least=self.least(units))
            return self._short(made)
        blank: Any = total.gaussian(**ridges, least=0)
        hidden: Gaussian = replace(blank, count=torch.zeros_like(blank.count))
        return self._short(hidden)

    def _short(self, made: Gaussian) -> Gaussian:
        halved = self._settings["factors"] == "float16" and isinstance(made, PatchGaussian)
        return made.halved() if halved and isinstance(made, PatchGaussian) else made

    @torch.inference_mode()
    def distance(self, fitted: Any, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The settings' distance, NaN where a patch has no Gaussian."""
        found = distance_of((fitted,), self._settings, self._parts.feature_weights, 0, self._tensor(values))
        out: NDArray[np.float32] = found.cpu().numpy()
        return out

    def least(self, units: int) -> int:
        """`least_seen` of the tiles, and never fewer than two."""
        return max(2, int(np.ceil(self._settings["least_seen"] * units)))

    def score(self, distance: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The settings' aggregate over the ground that was seen, smoothed before where they say so."""
        found = torch.where(torch.as_tensor(seen), torch.as_tensor(distance), torch.nan)
        if sigma := self._settings["smooth"]:
            found = smoothed(found.reshape(-1, *self.grid), self._settings["stride"], sigma).flatten(1)
        out: NDArray[np.float64] = aggregated(found, self._settings["aggregate"], self._settings["top_percent"]).numpy()
        return out.astype(np.float64)

    def scorer(self, fitted: list[Any], places: NDArray[np.int64], names: tuple[str, ...]) -> Scorer:
        """All patches in one set of Gaussians, in the grid's order. `fitted` is emptied: both would be large."""
        if isinstance(fitted[0], PatchGaussian):
            whole = PatchGaussian.joined(_alike(fitted)).ordered(torch.as_tensor(places, device=fitted[0].count.device))
            fitted.clear()
            return self._made((whole,), self._weights, self._settings, self._shape, names)
        kind = type(fitted[0])
        parts = {f.name: getattr(fitted[0], f.name) for f in fields(fitted[0])}
        arrays = {name: part.new_empty((len(places), *part.shape[1:])) for name, part in parts.items()}
        start = 0
        while fitted:
            one = fitted.pop(0)
            where = torch.as_tensor(places[start : start + len(one.count)], device=one.count.device)
            for name, array in arrays.items():
                array[where] = getattr(one, name)
            start += len(where)
        return self._made((kind(**arrays),), self._weights, self._settings, self._shape, names)

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.as_tensor(array, device=self._parts.embedder.device)


def _alike(fitted: list[Any]) -> list[PatchGaussian]:
    """The same Gaussians, all in 16 bits or none: some patches may not have been fit for it."""
    if len({one.scale is None for one in fitted}) == 1:
        return fitted
    return [one if one.scale is None else one.lengthened() for one in fitted]
