"""What an archive has beside the phase: coherence with the noise that follows from it, and a weather model's delay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import scipy
from numpy.typing import NDArray

from insar_anomaly.simulate.atmosphere import Spectrum
from insar_anomaly.simulate.scenes import Scene

Floats = NDArray[np.float64]

_SMOOTHED_PX = 0.7
_LONG_WAVE_KM = 2.0
_DRY_RAD = 650.0


def coherences(
    dates: Sequence[date], pairs: Sequence[tuple[int, int]], shape: tuple[int, int], rng: np.random.Generator
) -> Floats:
    """Coherence (pair, y, x), 0.03 to 0.95: some ground forgets fast, and on some days patches of it are wet or white.

    Each place has a coherence to begin with and a time (20 to 400 days) in which that decays; every third acquisition or so
    spoils patches of the ground in each of its pairs. `pairs` are indices into `dates`.
    """
    begin, lasting, *spoilt = Spectrum(outer_km=8).fields(shape, rng, number=2 + len(dates), pixel_km=0.1)
    first = 0.75 + 0.12 * np.tanh(begin)
    days = 20 * np.exp((1 + np.tanh(lasting)) / 2 * np.log(20))
    bad = rng.random(len(dates)) < 1 / 3
    kept = [1 - 0.7 / (1 + np.exp(-4 * (field - 0.5))) * is_bad for field, is_bad in zip(spoilt, bad, strict=True)]
    out = [first * np.exp(-(dates[j] - dates[i]).days / days) * np.sqrt(kept[i] * kept[j]) for i, j in pairs]
    held: Floats = np.clip(np.stack(out), 0.03, 0.95)
    return held


def phase_noise(coherence: NDArray[np.floating], rng: np.random.Generator, *, looks: float = 20.0) -> Floats:
    """Phase noise (pair, y, x), rad, of a coherence (pair, y, x): Gaussian, a little correlated, at most uniform noise's.

    Standard deviation ``sqrt((1 - c^2) / (2 looks c^2))``, limited to ``pi / sqrt(3)``. Source: Rodriguez and Martin 1992.
    """
    squared = np.maximum(np.asarray(coherence, np.float64), 1e-3) ** 2
    deviation = np.minimum(np.sqrt((1 - squared) / (2 * looks * squared)), np.pi / np.sqrt(3))
    white = scipy.ndimage.gaussian_filter(rng.standard_normal(squared.shape), (0, _SMOOTHED_PX, _SMOOTHED_PX), mode="wrap")
    out: Floats = deviation * white / white.std()
    return out


def modelled(scene: Scene, rng: np.random.Generator, *, error: float = 0.45) -> Scene:
    """The scene with a weather model's delay of each acquisition, as good and as bad as such models are.

    It knows most of what follows the height, a part of what is longer than some kilometres, nothing of what is shorter, and
    adds an error of its own, long-wave too, whose median is `error` of the atmosphere's spread. With 0.45 about two pairs in
    three get smoother by it, the others rougher; 0.15 is a good model. A constant (the dry delay) is on top.
    """
    number, *shape = scene.screens.shape
    wrong = Spectrum(outer_km=60).fields((shape[0], shape[1]), rng, number=number, pixel_km=scene.pixel_km[0])
    height = (scene.height_m - scene.height_m.mean()) / max(1.0, float(scene.height_m.std()))
    out = np.empty_like(scene.screens)
    for i, screen in enumerate(scene.screens):
        layered = float((screen * height).mean()) * height
        broad = scipy.ndimage.gaussian_filter(
            screen - layered, [_LONG_WAVE_KM / km for km in scene.pixel_km], mode="nearest"
        )
        wrongness = error * float(np.exp(rng.normal(0, 0.6))) * screen.std()
        out[i] = _DRY_RAD + rng.normal(0.9, 0.3) * layered + rng.uniform(0.2, 1.0) * broad + wrongness * wrong[i]
    return replace(scene, delays=out)
