"""Small simulated stacks as tiles, for tests of detectors: what `tiles.preprocess.tiles` would return, made here."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import simulate

PIXEL_KM = (0.1, 0.1)


def dataset(phase: NDArray[np.floating], pairs: list[str]) -> xr.Dataset:
    """Tiles of phase (pair, y, x) rad, NaN = not measured: mean and plane removed, masked ground filled with 0."""
    valid = np.isfinite(phase)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in phase.shape[1:]), indexing="ij")
    terms = np.stack([np.ones_like(y), y, x], -1)
    flat = np.zeros(phase.shape, np.float32)
    for i, (one, known) in enumerate(zip(phase, valid, strict=True)):
        if known.any():
            parts = np.linalg.lstsq(terms[known], one[known], rcond=None)[0]
            flat[i] = np.where(known, one - terms @ parts, 0)
    days = np.array([[f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in pair.split("_")] for pair in pairs], "datetime64[ns]")
    dims = ("pair", "y", "x")
    return xr.Dataset(
        {"phase": (dims, flat), "tile": (dims, np.tanh(flat / 8).astype(np.float32)), "valid": (dims, valid)},
        coords={
            "pair": pairs,
            "reference": ("pair", days[:, 0]),
            "secondary": ("pair", days[:, 1]),
            "y": 1 - 0.001 * np.arange(phase.shape[1]),
            "x": 30 + 0.001 * np.arange(phase.shape[2]),
        },
        attrs={"pixel_km": PIXEL_KM, "look": simulate.LOOK, "removed": json.dumps(["plane"])},
    )


def quiet(shape: tuple[int, int] = (96, 104), *, acquisitions: int = 10, seed: int = 0, first: int = 2020) -> xr.Dataset:
    """Tiles of one quiet volcano: the same ground for the same `shape`, air drawn from `seed`, dates from year `first`."""
    dates = simulate.acquisitions(date(first, 1, 1), date(first, 12, 31))[:acquisitions]
    ground = simulate.scene(shape, np.random.default_rng(99), dates=dates[:1])
    air = np.random.default_rng(seed)
    screens = np.stack(
        [
            simulate.turbulence(shape, air, std_rad=1.2 * float(np.exp(air.normal(0, 0.3))))
            + simulate.stratified(ground.height_m, rad_per_km=float(air.normal(0, 0.8)))
            for _ in dates
        ]
    )
    scene = simulate.Scene(tuple(dates), screens, ground.height_m, ground.lost, (), PIXEL_KM)
    chosen = scene.pairs()
    pairs = [f"{dates[i]:%Y%m%d}_{dates[j]:%Y%m%d}" for i, j in chosen]
    return dataset(np.stack([scene.phase(i, j) for i, j in chosen]), pairs)


def unrest(tiles: xr.Dataset, *, peak_cm: float, seed: int = 0) -> xr.Dataset:
    """The same pairs, each with a point source of `peak_cm` of its own."""
    rng = np.random.default_rng(seed)
    phase, valid = tiles["phase"].values.astype(float), tiles["valid"].values
    shape = (phase.shape[1], phase.shape[2])
    sources = [simulate.draw_source(shape, rng, peak_cm=peak_cm) for _ in phase]
    moved = phase + np.stack([source.phase(shape, pixel_km=PIXEL_KM) for source in sources])
    return dataset(np.where(valid, moved, np.nan), [str(p) for p in tiles["pair"].values])


def masked(tiles: xr.Dataset) -> xr.Dataset:
    """The same pairs, the first one wholly masked, the second one over a large square."""
    phase = np.where(tiles["valid"].values, tiles["phase"].values, np.nan)
    phase[0] = np.nan
    phase[1, :48, :48] = np.nan
    return dataset(phase, [str(p) for p in tiles["pair"].values])


def small_stack(acquisitions: int, *, seed: int, same_holes: bool = False) -> xr.Dataset:
    """A stack of 40 x 44 pixels as it is stored, over a hill with a lake, with delays, and holes of each pair's own."""
    rng, shape = np.random.default_rng(seed), (40, 44)
    ends = np.array([(i, i + s) for i in range(acquisitions) for s in (1, 2, 3) if i + s < acquisitions])
    screens = rng.normal(0, 1, (acquisitions, *shape)).cumsum(1).cumsum(2) / 40
    phase = (screens[ends[:, 1]] - screens[ends[:, 0]]).astype(np.float32)
    for n in range(len(phase)):
        row, col = (7, 9) if same_holes else rng.integers(2, 30, 2)
        phase[n, row : row + 5, col : col + 8] = np.nan
    delay = 0.3 * phase + rng.normal(0, 0.1, phase.shape).astype(np.float32)
    days = np.datetime64("2021-01-01", "ns") + np.arange(acquisitions) * np.timedelta64(12, "D")
    flat, y, x = ("y", "x"), *np.mgrid[: shape[0], : shape[1]]
    coherence = rng.integers(40, 255, phase.shape).astype(np.uint8)
    return xr.Dataset(
        {
            "phase": (("pair", *flat), phase),
            "coherence": (("pair", *flat), coherence),
            "delay": (("pair", *flat), delay),
            "water": (flat, (y < 4) & (x > 30)),
            "height": (flat, (1000 * np.exp(-((y - 20) ** 2 + (x - 20) ** 2) / 100)).astype(np.float32)),
            **{name: (flat, np.full(shape, part, np.float32)) for name, part in zip("enu", simulate.LOOK, strict=True)},
        },
        coords={
            "pair": [f"{a}_{b}".replace("-", "") for a, b in days[ends].astype("datetime64[D]").astype(str)],
            "reference": ("pair", days[ends[:, 0]]),
            "secondary": ("pair", days[ends[:, 1]]),
            "y": 10 - 0.001 * np.arange(shape[0]),
            "x": 20 + 0.001 * np.arange(shape[1]),
        },
    )
