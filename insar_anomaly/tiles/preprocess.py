"""Lazy: mask, weather model's delay, smoothing, plane and height-correlated part, Laplace fill, range.

`tiles` turns a stack (lazy or loaded) into what detectors read. Every pair is treated alone, so that chunks, order and
laziness cannot change a bit of the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy  # loads its parts when they are used
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.stack.schema import pixel_km
from insar_anomaly.tiles.laplace import Bools, laplace_fill
from insar_anomaly.tiles.trends import PARTS, needs_height, trend

Range = Literal["clip", "tanh"]
Gacos = Literal["off", "use"]
Weight = Literal["none", "coherence"]
_KNOWN = 0.5
"""Part of a pair's measured ground on which its delay must be known for the pair to be corrected."""


_LEAST_COHERENCE = 0.03
"""What counts as the coherence of measured ground whose coherence is lower or unknown."""


@dataclass(frozen=True)
class Cleaning:
    """The settings of `tiles`, with the same names and meaning."""

    remove: tuple[str, ...]
    range_form: Range
    range_rad: float
    min_coherence: float
    fill_grow: int
    gacos: Gacos = "off"
    smooth_px: float = 0.0
    weight: Weight = "none"

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Cleaning:
        """From settings as JSON or a configuration has them: lists become tuples."""
        plain: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in settings.items()}
        return cls(**plain)

    def tiles(self, stack: xr.Dataset, *, excluded: Bools | None = None) -> xr.Dataset:
        """`tiles` with these settings."""
        return tiles(stack, excluded=excluded, **vars(self))


def tiles(
    stack: xr.Dataset,
    *,
    excluded: Bools | None = None,
    remove: tuple[str, ...],
    range_form: Range,
    range_rad: float,
    min_coherence: float,
    fill_grow: int,
    gacos: Gacos = "off",
    smooth_px: float = 0.0,
    weight: Weight = "none",
) -> xr.Dataset:
    """Tiles of a stack, lazily where the stack is lazy.

    Parameters
    ----------
    stack : Dataset as in `stack.schema`: ``phase`` (pair, y, x) rad with NaN = no measurement, ``coherence`` uint8 in 1/255,
        static ``water``, ``height`` (m, may be NaN where `remove` does not name it)
    excluded : (y, x) bool, ground that is never assessed (a catalogue's exclusion polygons)
    remove : any of `PARTS`: they are fitted together to the measured ground by least squares and subtracted
    range_form : ``clip`` (the papers': phase / range_rad clipped at 1) or ``tanh`` (soft: large motion stays ordered)
    range_rad : phase that the range step maps to 1 (clip) or to tanh(1)
    min_coherence : pixels below it are masked
    fill_grow : pixels by which masked ground is widened before it is filled (2 in the papers)
    gacos : ``use`` subtracts the stack's ``delay`` (pair, y, x), rad, see `corrected`; a stack without one stays as it is
    smooth_px : sigma of a mean over neighbours, weighted by squared coherence, before anything is removed; 0 for none
    weight : ``coherence`` adds ``weight`` (pair, y, x) float32, the squared coherence, 0 where not valid

    The settings' defaults stand in `config.sections.Preprocess`.

    Returns
    -------
    Dataset ``phase``, ``tile`` float32 and ``valid`` bool, dims (pair, y, x); see `detectors.base`.

    Raises
    ------
    ValueError
        where a setting is unknown.
    """
    _check(remove, range_form=range_form, gacos=gacos, weight=weight)
    dims = ["y", "x"]
    static = stack["water"].astype(bool)
    if excluded is not None:
        static = static | xr.DataArray(excluded, dims=dims)
    height = (stack["height"] if needs_height(remove) else xr.zeros_like(stack["height"])).compute()
    # a stack without heights has no part that follows them: what detectors simulate keeps it
    removed = remove if np.isfinite(height.values).any() else [part for part in remove if not needs_height((part,))]
    # coherence is read only where it decides something
    coherence = stack["coherence"] if min_coherence > 0 or smooth_px > 0 else xr.full_like(static, 255, np.uint8)
    known = gacos == "use" and "delay" in stack
    phase, valid = xr.apply_ufunc(
        _clean_block,
        stack["phase"],
        coherence,
        stack["delay"] if known else xr.full_like(static, np.nan, np.float32).compute(),
        static.compute(),
        height,
        input_core_dims=[dims] * 5,
        output_core_dims=[dims, dims],
        kwargs={"remove": tuple(remove), "min_coherence": min_coherence, "smooth_px": smooth_px, "fill_grow": fill_grow},
        dask="parallelized",
        output_dtypes=[np.float32, np.bool_],
    )
    tile = xr.apply_ufunc(range_step(range_form, range_rad), phase, dask="parallelized", output_dtypes=[np.float32])
    tile = tile.where(~static, np.float32(0))
    out = xr.Dataset({"phase": phase, "tile": tile, "valid": valid}, coords=_pair_coords(stack))
    if weight == "coherence":
        counted = xr.apply_ufunc(_weight, stack["coherence"], valid, dask="parallelized", output_dtypes=[np.float32])
        out["weight"] = counted.transpose("pair", *dims)
    out.attrs = {"pixel_km": pixel_km(stack), "look": _mean_look(stack), "removed": json.dumps(sorted(removed))}
    return out


def range_step(range_form: Range, range_rad: float) -> Callable[[NDArray[np.floating[Any]]], NDArray[np.float32]]:
    """The range step as a function: phase in rad, any shape, to a tile in [-1, 1]; see `tiles`."""

    def step(phase: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        scaled = np.asarray(phase, np.float32) / np.float32(range_rad)
        return np.tanh(scaled) if range_form == "tanh" else scaled.clip(-1, 1)

    return step


def clean(
    phase: NDArray[np.floating[Any]],
    masked: Bools,
    height: NDArray[np.floating[Any]],
    *,
    remove: tuple[str, ...],
    fill_grow: int,
) -> NDArray[np.float32]:
    """One pair: reference, remove trends, fill. Phase (y, x) rad; `masked` (y, x) True where there is no measurement.

    Returns phase (y, x) float32 without NaN whose measured part has zero mean; all zero where nothing was measured.
    """
    if masked.all():
        return np.zeros(phase.shape, np.float32)
    ground = ~masked
    out = np.where(ground, phase, 0).astype(np.float64)
    out = out - trend(out, ground, height, remove)
    return laplace_fill(np.where(ground, out, 0), masked, grow=fill_grow).astype(np.float32)


def corrected(phase: NDArray[np.floating[Any]], masked: Bools, delay: NDArray[np.floating[Any]]) -> NDArray[Any]:
    """One pair less its modelled delay; all (y, x), phase and `delay` rad positive away, delay NaN = unknown.

    A delay is smooth and far from zero: ground that it leaves out would stand as a step. So its gaps are filled by Laplace's
    equation from around them, and a pair whose delay is known on less than half of its measured ground stays as it is: it is
    better screened with its atmosphere than not at all.
    """
    known, ground = np.isfinite(delay), ~masked
    if not known.any() or (known & ground).sum() < _KNOWN * ground.sum():
        return phase
    out: NDArray[Any] = phase - laplace_fill(np.where(known, delay, 0).astype(np.float64), ~known, grow=0)
    return out


def smoothed(
    phase: NDArray[np.floating[Any]], masked: Bools, coherence: NDArray[np.floating[Any]], sigma: float
) -> NDArray[Any]:
    """One pair's mean over neighbours within a Gaussian of `sigma` pixels, weighted by squared coherence (y, x) in [0, 1].

    Masked ground takes no part and stays as it is.
    """
    weight = np.where(masked, 0, np.maximum(coherence, _LEAST_COHERENCE) ** 2)
    total, mass = (scipy.ndimage.gaussian_filter(z, sigma) for z in (np.where(masked, 0, phase) * weight, weight))
    out: NDArray[Any] = np.where(masked, phase, total / np.where(masked, 1, mass))
    return out


def _clean_block(
    phase: NDArray[np.float32],
    coherence: NDArray[np.uint8],
    delay: NDArray[np.float32],
    static: Bools,
    height: NDArray[np.float32],
    *,
    remove: tuple[str, ...],
    min_coherence: float,
    smooth_px: float,
    fill_grow: int,
) -> tuple[NDArray[np.float32], Bools]:
    """`corrected`, `smoothed` and `clean` for each pair of a block (..., y, x)."""
    masked = ~np.isfinite(phase) | (phase == 0) | static
    if min_coherence > 0:
        masked |= ~(coherence / 255 >= min_coherence)
    coherence, delay = np.broadcast_to(coherence, phase.shape), np.broadcast_to(delay, phase.shape)
    out = np.empty(phase.shape, np.float32)
    for place in np.ndindex(phase.shape[:-2]):
        one = corrected(phase[place], masked[place], delay[place])
        if smooth_px > 0:
            one = smoothed(one, masked[place], coherence[place] / 255, smooth_px)
        out[place] = clean(one, masked[place], height, remove=remove, fill_grow=fill_grow)
    return out, ~masked


def _weight(coherence: NDArray[np.uint8], valid: Bools) -> NDArray[np.float32]:
    return np.where(valid, np.maximum(coherence / 255, _LEAST_COHERENCE) ** 2, 0).astype(np.float32)


def _check(remove: tuple[str, ...], **chosen: str) -> None:
    unknown = set(remove) - set(PARTS)
    if unknown:
        raise ValueError(f"remove = {sorted(unknown)}: choose among {', '.join(PARTS)}")
    for name, value in chosen.items():
        if value not in (allowed := _CHOICES[name]):
            raise ValueError(f"{name} = {value!r}: choose {' or '.join(allowed)}")


_CHOICES: dict[str, tuple[str, ...]] = {"range_form": get_args(Range), "gacos": get_args(Gacos), "weight": get_args(Weight)}


def _pair_coords(stack: xr.Dataset) -> dict[str, xr.DataArray]:
    return {name: stack[name] for name in ("pair", "reference", "secondary", "label", "y", "x") if name in stack.coords}


def _mean_look(stack: xr.Dataset) -> tuple[float, float, float]:
    east, north, up = (float(stack[name].mean()) for name in ("e", "n", "u"))
    return east, north, up
