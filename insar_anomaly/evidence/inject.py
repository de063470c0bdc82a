"""Synthetic point sources, injected into the phase of quiet pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.evidence.protocol import pair_dates
from insar_anomaly.simulate import LOOK, PointSource, draw_source
from insar_anomaly.stack.schema import pixel_km, wavelength_of

Peak = float | tuple[float, float]
"""Peaks of sources in cm: one for all, or the ends of a range from which each is drawn, log-uniformly; 0 for no source."""


def inject(stack: xr.Dataset, *, peak_cm: Peak, seed: int) -> xr.Dataset:
    """The stack, loaded, with one random point source of `peak_cm` in each pair's phase (depth 1-4 km, middle half).

    A pair's source depends on `seed`, its dates and the peak only, so that any batch order gives the same sources.
    """
    phase = stack["phase"].load().copy()
    shape = (phase.sizes["y"], phase.sizes["x"])
    pattern = patterns(stack)
    for i, source in enumerate(drawn(pair_dates(stack), shape, peak_cm=peak_cm, seed=seed)):
        phase[i] += pattern(source).astype(np.float32)
    return stack.assign(phase=phase)


@dataclass(frozen=True)
class Placed:
    """Sources of some assessments: `place` (assessment, 2), row and column as parts of the scene's sides, 0 to 1, and
    `peak_cm` (assessment,), positive.
    """

    place: NDArray[np.float64]
    peak_cm: NDArray[np.float64]

    @classmethod
    def of(cls, dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: Peak, seed: int) -> Placed:
        """What `drawn` gives for these dates (assessment, 2)."""
        sources = list(drawn(dates, shape, peak_cm=peak_cm, seed=seed))
        where = [(one.row / shape[0], one.col / shape[1]) for one in sources]
        return cls(np.array(where, float).reshape(-1, 2), np.array([abs(one.peak_cm) for one in sources], float))

    def on(self, tiles: xr.Dataset) -> xr.Dataset:
        """The tiles with coordinates ``source_y``, ``source_x`` and ``source_cm``."""
        found = {"source_y": self.place[:, 0], "source_x": self.place[:, 1], "source_cm": self.peak_cm}
        return tiles.assign_coords({name: ("pair", values) for name, values in found.items()})


def drawn(dates: NDArray[np.datetime64], shape: tuple[int, int], *, peak_cm: Peak, seed: int) -> Iterator[PointSource]:
    """A random source for each pair of dates (pair, 2) in a scene of `shape` (y, x)."""
    least, most = ends(peak_cm)
    peaks = [least] if least == most else [least, most]
    for first, last in dates.astype("datetime64[D]").astype(int):
        rng = np.random.default_rng([seed, int(first) % 2**31, int(last) % 2**31, *(round(p * 1000) for p in peaks)])
        peak = least if least == most else float(np.exp(rng.uniform(np.log(least), np.log(most))))
        yield draw_source(shape, rng, peak_cm=peak)


def ends(peak_cm: Peak) -> tuple[float, float]:
    """Smallest and largest peak."""
    return peak_cm if isinstance(peak_cm, tuple) else (peak_cm, peak_cm)


def patterns(stack: xr.Dataset) -> Callable[[PointSource], NDArray[np.float64]]:
    """What makes a source into its phase (y, x), rad, in this stack: on its pixels, along its look, at its wavelength."""
    shape = (stack.sizes["y"], stack.sizes["x"])
    pixel, look, wavelength = pixel_km(stack), seen_along(stack), wavelength_of(stack)
    return lambda source: source.phase(shape, pixel_km=pixel, look=look, wavelength_m=wavelength)


def seen_along(stack: xr.Dataset) -> tuple[float, float, float]:
    """The stack's mean look vector (east, north, up); the usual one where it is not known."""
    east, north, up = (float(stack[k].mean()) for k in ("e", "n", "u"))
    return (east, north, up) if np.isfinite((east, north, up)).all() else LOOK
