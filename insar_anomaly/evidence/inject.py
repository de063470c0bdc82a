"""Synthetic point sources, injected into the phase of quiet pairs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.protocol import pair_dates
from insar_anomaly.simulate import LOOK, PointSource, draw_source
from insar_anomaly.stack.schema import pixel_km


def inject(stack: xr.Dataset, *, peak_cm: float, seed: int) -> xr.Dataset:
    """The stack, loaded, with one random point source of `peak_cm` in each pair's phase (depth 1-4 km, middle half).

    A pair's source depends on `seed`, its dates and the peak only, so that any batch order gives the same sources.
    """
    phase = stack["phase"].load().copy()
    shape = (phase.sizes["y"], phase.sizes["x"])
    pixel, look = pixel_km(stack), seen_along(stack)
    for i, source in enumerate(drawn(pair_dates(stack), shape, peak_cm=peak_cm, seed=seed)):
        phase[i] += source.phase(shape, pixel_km=pixel, look=look).astype(np.float32)
    return stack.assign(phase=phase)


def places(dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: float, seed: int) -> NDArray[np.float64]:
    """Where `drawn` puts the sources (pair, 2): row and column as parts of the scene's sides, 0 to 1."""
    where = [(one.row / shape[0], one.col / shape[1]) for one in drawn(dates, shape, peak_cm=peak_cm, seed=seed)]
    return np.array(where).reshape(-1, 2)


def drawn(dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: float, seed: int) -> Iterator[PointSource]:
    """A random source for each pair of dates (pair, 2) in a scene of `shape` (y, x)."""
    for first, last in dates.astype("datetime64[D]").astype(int):
        rng = np.random.default_rng([seed, int(first) % 2**31, int(last) % 2**31, round(peak_cm * 1000)])
        yield draw_source(shape, rng, peak_cm=peak_cm)


def seen_along(stack: xr.Dataset) -> tuple[float, float, float]:
    """The stack's mean look vector (east, north, up); the usual one where it is not known."""
    east, north, up = (float(stack[k].mean()) for k in ("e", "n", "u"))
    return (east, north, up) if np.isfinite((east, north, up)).all() else LOOK


def placed(tiles: xr.Dataset, where: NDArray[np.float64]) -> xr.Dataset:
    return tiles.assign_coords(source_y=("pair", where[:, 0]), source_x=("pair", where[:, 1]))
