"""Matched filter: how much of a pair looks like a point source, in units of the volcano's own quiet scatter.

The classical yardstick. Block means of the phase are compared with the line-of-sight pattern ``t`` of a Mogi source
under every block and at several depths, whitened by the covariance ``S`` of the quiet pairs:
``|t' S^-1 x| / sqrt(t' S^-1 t)``. The score is the largest value over places and depths: a generalised likelihood ratio
for a source of unknown place, depth and size (Kay 1998, Detection Theory). With the true ``S`` a quiet pair's response
would have unit variance; with one estimated from fewer pairs than blocks, new quiet pairs score several times higher
than the fitted ones, so that a threshold must come from pairs that were not fitted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from insar_anomaly.detectors._bounds import ABOVE_0, FROM_1, PART, insist
from insar_anomaly.detectors.base import Progress, Registration, batches, join, scores, settings_of, silent
from insar_anomaly.names import JsonObject
from insar_anomaly.simulate import PointSource

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class MatchedFilter:
    """Settings of the matched filter.

    Parameters
    ----------
    block : pixels per side of a block, which is also a cell of the score map
    depths_km : depths of the sources that are looked for
    spacing : blocks from one source to the next along y and x; more than 1 saves memory on large tiles
    least_valid : a block with a smaller share of measured pixels is masked in that pair
    least_seen : a block masked in more than ``1 - least_seen`` of the quiet pairs is never used
    """

    block: int = 8
    depths_km: tuple[float, ...] = (1.0, 1.5, 2.5, 4.0)
    spacing: int = 1
    least_valid: float = 0.5
    least_seen: float = 0.9

    def __post_init__(self) -> None:
        bounds = {"block": FROM_1, "depths_km": ABOVE_0, "spacing": FROM_1, "least_valid": PART, "least_seen": PART}
        insist(self, bounds)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("phase", "valid")

    def fit(self, tiles: xr.Dataset, *, progress: Progress = silent) -> MatchedFilterScorer:
        """Covariance of the quiet pairs' block means. See `detectors.base`.

        Reads the attributes ``pixel_km``, ``look`` and ``removed`` of *tiles*.
        """
        parts, total = [], tiles.sizes["pair"]
        for batch in batches(tiles, self.inputs):
            parts.append(block_means(batch["phase"].values, batch["valid"].values, self.block, self.least_valid))
            progress(sum(len(p) for p in parts), total)
        blocks = np.concatenate(parts)
        usable = np.isfinite(blocks).mean(0) >= self.least_seen
        held = np.isfinite(blocks[:, usable]).any(1)
        if usable.sum() < 2 or held.sum() < 2:
            raise ValueError(
                f"{usable.sum()} blocks are measured in {self.least_seen:.0%} of {total} pairs: "
                "fit on at least two quiet pairs with common ground, or mask less"
            )
        known = centred(blocks[held][:, usable])
        mean = known.mean(0)
        if not (known - mean).any():
            raise ValueError("the quiet pairs are all the same: a matched filter needs their scatter")
        factor: Floats = np.linalg.cholesky(ledoit_wolf(known - mean)).astype(np.float64, copy=False)
        settings: JsonObject = json.loads(json.dumps(asdict(self)))
        settings["shape"] = [tiles.sizes["y"], tiles.sizes["x"]]
        settings["removed"] = json.loads(tiles.attrs.get("removed", "[]"))
        settings |= {name: [float(value) for value in tiles.attrs[name]] for name in ("pixel_km", "look")}
        return MatchedFilterScorer(usable, mean, factor, settings, tuple(str(p) for p in tiles["pair"].values))


@dataclass(frozen=True)
class MatchedFilterScorer:
    """A fitted `MatchedFilter`.

    ``usable`` (v, u) bool says which blocks are used; ``mean`` (block,) rad and ``factor`` (block, block), the lower
    Cholesky factor of the covariance in rad2, are those of the usable blocks in row order, float64.
    """

    usable: Bools
    mean: Floats
    factor: Floats
    settings: JsonObject
    pairs: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Variables of *tiles* that are read."""
        return ("phase", "valid")

    @cached_property
    def _filters(self) -> NDArray[np.float32]:
        """Whitened templates of unit length (depth, place, block); float32, since there are many and they only point."""
        s = self.settings
        out = []
        for depth in s["depths_km"]:
            patterns = templates(self.usable, depth, **{k: s[k] for k in ("block", "spacing", "pixel_km", "look")})
            patterns = patterns - trend_of(patterns, self.usable, removed=s["removed"])
            whitened = solve_triangular(self.factor, patterns.T, lower=True, check_finite=False)
            out.append((whitened / np.linalg.norm(whitened, axis=0)).T.astype(np.float32))
        return np.stack(out)

    def score(self, tiles: xr.Dataset) -> xr.Dataset:
        """Largest response over depth per block, and over blocks per pair. See `detectors.base`."""
        shape = [tiles.sizes["y"], tiles.sizes["x"]]
        if shape != self.settings["shape"]:
            raise ValueError(
                f"tiles of {shape} pixels, but the model was fitted on {self.settings['shape']}: fit this stack again"
            )
        parts = []
        for batch in batches(tiles, self.inputs):
            score_map = np.stack(
                [self._respond(*pair) for pair in zip(batch["phase"].values, batch["valid"].values, strict=True)]
            )
            best = np.where(np.isfinite(score_map), score_map, -np.inf).max((1, 2))
            best = np.where(np.isfinite(best), best, np.nan)
            parts.append(scores(batch, best, score_map, stride=self.settings["block"]))
        return join(parts)

    def _respond(self, phase: NDArray[np.float32], valid: Bools) -> Floats:
        """Response map (v, u) of one pair (y, x); one at a time, so that its neighbours cannot change the last digit."""
        s = self.settings
        blocks = block_means(phase[None], valid[None], s["block"], s["least_valid"])
        seen = np.isfinite(blocks[0]) & self.usable
        if not seen.any():
            return np.full(self.usable.shape, np.nan)
        known = centred(blocks[:, self.usable])[0]
        # masked ground is set to what the quiet pairs are there on average: it then says nothing
        difference = np.where(seen[self.usable], known - self.mean, 0.0)
        white = solve_triangular(self.factor, difference, lower=True, check_finite=False).astype(np.float32)
        response = np.abs(self._filters @ white).max(0)
        place = place_of(self.usable, s["spacing"])
        return np.where(seen, response[place], np.nan)

    def to_dataset(self) -> xr.Dataset:
        """The model as one Dataset; of the factor only the lower triangle."""
        out = xr.Dataset(
            {
                "usable": (("v", "u"), self.usable),
                "mean": ("block", self.mean),
                "factor": ("triangle", self.factor[np.tril_indices(len(self.mean))]),
                "fitted_pair": ("fitted_pair", np.asarray(self.pairs)),
            }
        )
        out.attrs = {"detector": type(self).__name__, "settings": json.dumps(self.settings)}
        return out

    @classmethod
    def from_dataset(cls, dataset: xr.Dataset) -> MatchedFilterScorer:
        """The inverse of `to_dataset`."""
        mean = np.asarray(dataset["mean"].values, np.float64)
        factor = np.zeros((len(mean), len(mean)))
        factor[np.tril_indices(len(mean))] = dataset["factor"].values
        pairs = tuple(str(p) for p in dataset["fitted_pair"].values)
        return cls(np.asarray(dataset["usable"].values, np.bool_), mean, factor, settings_of(dataset), pairs)


def block_means(phase: NDArray[np.float32], valid: Bools, block: int, least_valid: float) -> Floats:
    """Means (pair, v, u) float64 of the measured pixels of phase (pair, y, x), rad.

    NaN where a smaller share than `least_valid` was measured; blocks at the far edges may have fewer pixels to share.
    """
    starts = [np.arange(0, n, block) for n in phase.shape[1:]]

    def total(array: NDArray[Any]) -> Floats:
        rows = np.add.reduceat(array, starts[0], axis=1, dtype=np.float64)
        out: Floats = np.add.reduceat(rows, starts[1], axis=2)
        return out

    number, size = total(valid), total(np.ones_like(valid[:1]))
    enough = (number > 0) & (number >= least_valid * size)
    return np.where(enough, total(np.where(valid, phase, 0)) / np.maximum(number, 1), np.nan)


def centred(blocks: Floats) -> Floats:
    """Blocks (pair, block) less each pair's mean over its measured blocks; 0 where masked (NaN)."""
    known = np.isfinite(blocks)
    filled = np.where(known, blocks, 0)
    mean = filled.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    return np.where(known, filled - mean, 0)


def ledoit_wolf(x: Floats) -> Floats:
    """Covariance (block, block) of centred rows x (pair, block), shrunk towards ``mu I`` as far as the rows suggest.

    Source: Ledoit and Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices, J.
    Multivariate Analysis 88, lemma 3.2 to 3.5, as in scikit-learn (divided by N, not N - 1).
    """
    n, p = x.shape
    cov: Floats = x.T @ x / n
    mu = np.trace(cov) / p
    square = (cov**2).sum()
    spread = square - p * mu**2  # |S - mu I|^2
    doubt = ((x**2).sum(1) ** 2).sum() / n**2 - square / n  # expected |S - true S|^2
    part = min(doubt, spread) / spread if spread > 0 else 1.0
    cov *= 1 - part
    cov[np.diag_indices(p)] += part * mu
    return cov


def templates(
    usable: Bools,
    depth_km: float,
    *,
    block: int,
    spacing: int,
    pixel_km: tuple[float, float],
    look: tuple[float, float, float],
) -> Floats:
    """Block means (place, block) rad of the phase of Mogi sources 1 cm high at depth `depth_km`, one per place.

    Places are every `spacing`-th block (see `place_of`); blocks are those that are `usable` (v, u). One pattern on a
    grid twice as large holds them all, since a source in the middle of a block looks the same from every block;
    blocks that the tile's far edge cuts are taken as whole.
    """
    v, u = usable.shape
    around = (2 * v - 1, 2 * u - 1)
    middle = [(n // 2) * block + (block - 1) / 2 for n in around]
    source = PointSource(row=middle[0], col=middle[1], depth_km=depth_km, peak_cm=1.0)
    height, width = float(pixel_km[0]), float(pixel_km[1])
    east, north, up = look
    pixels = source.phase((around[0] * block, around[1] * block), pixel_km=(height, width), look=(east, north, up))
    pattern = pixels.reshape(around[0], block, around[1], block).mean((1, 3))
    row, col = np.nonzero(usable)
    at_row, at_col = (centres(n, spacing) for n in (v, u))
    places_row, places_col = (a.ravel() for a in np.meshgrid(at_row, at_col, indexing="ij"))
    out: Floats = pattern[row - places_row[:, None] + v - 1, col - places_col[:, None] + u - 1]
    return out


def centres(blocks: int, spacing: int) -> NDArray[np.int64]:
    """Blocks under which sources are looked for, along an axis of `blocks` blocks: the middle one of every `spacing`."""
    return np.minimum(np.arange(0, blocks, spacing) + spacing // 2, blocks - 1)


def place_of(usable: Bools, spacing: int) -> NDArray[np.int64]:
    """For every block (v, u), which of the places of `templates` is its own."""
    v, u = (np.arange(n) // spacing for n in usable.shape)
    place: NDArray[np.int64] = v[:, None] * (u[-1] + 1) + u[None]
    return place


def trend_of(patterns: Floats, usable: Bools, *, removed: Sequence[str]) -> Floats:
    """Mean, and least-squares plane and quadratic where `removed` names them, of patterns (place, block) over usable blocks.

    The pair's own trend was removed before it got here, and with it this much of any source.
    """
    row, col = (2 * at / max(1, n - 1) - 1 for at, n in zip(np.nonzero(usable), usable.shape, strict=True))
    terms = [np.ones(len(row))]
    terms += [row, col] if "plane" in removed else []
    terms += [row * row, col * col, row * col] if "quadratic" in removed else []
    basis = np.linalg.qr(np.stack(terms, 1))[0]
    out: Floats = patterns @ basis @ basis.T
    return out


REGISTRATION = Registration(MatchedFilter, MatchedFilterScorer)
