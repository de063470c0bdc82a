"""What a trunk is worth to PaDiM, on simulated volcanoes that its training has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import xarray as xr

from insar_anomaly import simulate
from insar_anomaly.calibration.metrics import auroc
from insar_anomaly.detectors.backbone import Weights
from insar_anomaly.detectors.padim import Padim
from insar_anomaly.evidence.inject import inject
from insar_anomaly.names import Pair
from insar_anomaly.tiles import preprocess

CLEANING = {
    "remove": ("plane", "height"),
    "range_form": "tanh",
    "range_rad": 8.0,
    "min_coherence": 0.0,
    "fill_grow": 0,
}
"""The settings' defaults, see `config.sections.Preprocess`."""


@dataclass(frozen=True)
class Climate:
    """One kind of volcano: its relief (one of `simulate.TERRAINS`) and its atmosphere."""

    terrain: str
    turbulence_rad: float
    layered_rad_per_km: float
    outer_km: float
    lost: float


CLIMATES = {
    "humid hills": Climate("hills", 1.3, 1.5, 20, 0.15),
    "dry desert": Climate("flat", 0.5, 0.4, 40, 0.03),
    "high cone": Climate("cone", 0.9, 1.2, 25, 0.08),
}


def stack(climate: Climate, *, seed: int, acquisitions: int, side: int) -> tuple[xr.Dataset, xr.Dataset]:
    """Quiet pairs to fit on and later ones to test on, as `store` would give them (pair, y, x)."""
    return divided(scene(climate, seed=seed, acquisitions=acquisitions, side=side), acquisitions)


def scene(climate: Climate, *, seed: int, acquisitions: int, side: int) -> simulate.Scene:
    """A quiet volcano of this climate, twice as many acquisitions long as its fit."""
    rng, shape = np.random.default_rng([seed, 77]), (side, side)
    height = simulate.terrain(shape, rng, kind=climate.terrain, pixel_km=0.1)
    days = [date(2019, 1, 5) + timedelta(days=12 * i) for i in range(2 * acquisitions)]
    fields = simulate.Spectrum(outer_km=climate.outer_km).fields(shape, rng, number=2 * len(days), pixel_km=0.1)
    screens = np.empty((len(days), *shape))
    for i, day in enumerate(days):
        season = np.sin(2 * np.pi * day.timetuple().tm_yday / 365.25)
        rate = climate.layered_rad_per_km * float(season + rng.normal(0, 0.6))
        layered = simulate.stratified(height, rad_per_km=rate)
        strength = climate.turbulence_rad * float(np.exp(rng.normal(0, 0.4)))
        screens[i] = strength * fields[2 * i] + layered * (1 + 0.3 * fields[2 * i + 1])
    lost = simulate.decorrelated(shape, rng, fraction=climate.lost)
    return simulate.Scene(tuple(days), screens, height, lost, (), (0.1, 0.1))


def divided(scene: simulate.Scene, acquisitions: int) -> tuple[xr.Dataset, xr.Dataset]:
    """A scene's pairs of the first `acquisitions`, and those of the later ones; with ``delay`` where the scene has any."""
    pairs = scene.pairs()
    return (
        _pairs(scene, [(i, j) for i, j in pairs if j < acquisitions]),
        _pairs(scene, [(i, j) for i, j in pairs if i >= acquisitions]),
    )


def _pairs(scene: simulate.Scene, pairs: list[tuple[int, int]]) -> xr.Dataset:
    phase = np.stack([scene.phase(i, j) for i, j in pairs])
    side = phase.shape[1]
    days = np.array([np.datetime64(d, "ns") for d in scene.dates])
    at = {
        "pair": [Pair(scene.dates[i], scene.dates[j]).name for i, j in pairs],
        "reference": ("pair", days[[i for i, _ in pairs]]),
        "secondary": ("pair", days[[j for _, j in pairs]]),
        "y": -np.arange(side) / 1113.2,  # degrees at the equator, 100 m apart
        "x": np.arange(side) / 1113.2,
    }
    static = {k: (("y", "x"), np.full((side, side), v, np.float32)) for k, v in zip("enu", simulate.LOOK, strict=True)}
    modelled = {}
    if scene.delays is not None:
        delay = np.stack([scene.delays[j] - scene.delays[i] for i, j in pairs]).astype(np.float32)
        modelled = {"delay": (("pair", "y", "x"), delay)}
    return xr.Dataset(
        {
            "phase": (("pair", "y", "x"), phase),
            **modelled,
            "coherence": (("pair", "y", "x"), np.full(phase.shape, 180, np.uint8)),
            "water": (("y", "x"), np.zeros((side, side), bool)),
            "height": (("y", "x"), scene.height_m.astype(np.float32)),
            **static,
        },
        coords=at,
    )


@lru_cache(maxsize=16)
def _tiles(name: str, seed: int, acquisitions: int, side: int, peaks_cm: tuple[float, ...]) -> tuple[xr.Dataset, ...]:
    train, quiet = stack(CLIMATES[name], seed=seed, acquisitions=acquisitions, side=side)
    moved = [inject(quiet, peak_cm=peak, seed=seed) for peak in peaks_cm]
    return tuple(preprocess.tiles(one, **CLEANING) for one in (train, quiet, *moved))  # type: ignore[arg-type]


def trial(
    weights: Weights,
    name: str,
    *,
    seed: int,
    acquisitions: int = 24,
    side: int = 128,
    peaks_cm: tuple[float, ...] = (2.0, 4.0),
) -> dict[str, float]:
    """AUROC of PaDiM on these weights: injected point sources against the same quiet pairs.

    Returns ``{"humid hills 2 cm": 0.71, ...}`` for each of `CLIMATES` and `peaks_cm`. `name` is for PaDiM's record.
    """
    out = {}
    for climate in CLIMATES:
        train, *tested = _tiles(climate, seed, acquisitions, side, peaks_cm)
        # a covariance for each patch, as for the figures of docs/backbone.md; networks differ by less where patches share
        alone = Padim(network=weights, network_name=name, dims=min(100, 10 * acquisitions), pool=1, factors="float32")
        scorer = alone.fit(train)
        low, *high = (scorer.score(one)["score"].values for one in tested)
        for peak, one in zip(peaks_cm, high, strict=True):
            out[f"{climate} {peak:g} cm"] = round(auroc(low, one), 4)
    return out
