"""What hides ground motion: turbulent and stratified atmosphere over a relief, and ground that has lost its coherence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def turbulence(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    std_rad: float,
    pixel_km: float = 0.1,
    slope: float = 8 / 3,
    outer_km: float = 30.0,
) -> Floats:
    """Turbulent delay (y, x), rad: an isotropic Gaussian field with power spectrum ``k^-slope``, flat beyond `outer_km`.

    Drawn on a grid twice as large and cropped, so that opposite edges are independent. `std_rad` is the field's expected
    standard deviation over the large grid. Source: Hanssen 2001, section 4.7 (slope 8/3 in the kilometre range).
    """
    big = (2 * shape[0], 2 * shape[1])
    ky, kx = np.fft.fftfreq(big[0], pixel_km)[:, None], np.fft.rfftfreq(big[1], pixel_km)[None]
    amplitude = (ky**2 + kx**2 + outer_km**-2) ** (-slope / 4)
    amplitude[0, 0] = 0
    white = np.fft.rfft2(rng.standard_normal(big))
    field = np.fft.irfft2(white * amplitude, big)
    # Parseval: the expected variance is the mean squared gain over the full (two-sided) spectrum
    twice = np.full(amplitude.shape[1], 2.0)
    twice[0] = 1
    if big[1] % 2 == 0:
        twice[-1] = 1
    gain = np.sqrt((amplitude**2 * twice).sum() / (big[0] * big[1]))
    out: Floats = field[: shape[0], : shape[1]] * (std_rad / gain)
    return out


def relief(shape: tuple[int, int], rng: np.random.Generator, *, summit_m: float = 2000.0, pixel_km: float = 0.1) -> Floats:
    """Terrain height (y, x), m: a volcanic cone in the middle of fractal hills, never below 1 m."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    row, col = (rng.uniform(0.42, 0.58) * n for n in shape)
    radius_km = np.hypot((y - row) * pixel_km, (x - col) * pixel_km)
    cone = summit_m * np.exp(-radius_km / rng.uniform(2.0, 4.0))
    hills = turbulence(shape, rng, std_rad=120.0, pixel_km=pixel_km, slope=3.2)
    out: Floats = np.maximum(cone + hills + 400, 1.0)
    return out


def stratified(height_m: Floats, *, rad_per_km: float) -> Floats:
    """Stratified delay (y, x), rad: proportional to height, zero on average."""
    delay: Floats = rad_per_km * (height_m - height_m.mean()) / 1000
    return delay


def decorrelated(shape: tuple[int, int], rng: np.random.Generator, *, fraction: float) -> NDArray[np.bool_]:
    """Where coherence is lost (y, x): patches that cover `fraction` of the scene."""
    field = turbulence(shape, rng, std_rad=1.0, slope=2.5, outer_km=5.0)
    lost: NDArray[np.bool_] = field > np.quantile(field, 1 - fraction) if fraction > 0 else np.zeros(shape, bool)
    return lost


@dataclass(frozen=True)
class Spectrum:
    """Power spectrum of turbulent delay with two regimes, stretched along one direction.

    Parameters
    ----------
    slopes : of the two-dimensional power, beyond and within `break_km`; 8/3 and 11/3 are one-dimensional 5/3 and 8/3
    break_km, outer_km : where the slope changes, and beyond which wavelength the power is flat
    stretch, angle_deg : how much longer the structures are along `angle_deg` (from the x axis) than across it

    Source: Hanssen 2001, section 4.7.
    """

    slopes: tuple[float, float] = (8 / 3, 11 / 3)
    break_km: float = 1.5
    outer_km: float = 30.0
    stretch: float = 1.0
    angle_deg: float = 0.0

    def fields(self, shape: tuple[int, int], rng: np.random.Generator, *, number: int, pixel_km: float) -> Floats:
        """Independent Gaussian fields (number, y, x), zero mean and unit standard deviation each.

        Drawn on a grid half as large again and cropped, so that opposite edges are (nearly) independent.
        """
        big = [scipy.fft.next_fast_len(n + n // 2) for n in shape]
        ky, kx = np.fft.fftfreq(big[0], pixel_km)[:, None], np.fft.fftfreq(big[1], pixel_km)[None]
        turn = np.radians(self.angle_deg)
        along, across = kx * np.cos(turn) + ky * np.sin(turn), ky * np.cos(turn) - kx * np.sin(turn)
        k2 = along**2 * self.stretch + across**2 / self.stretch
        gain = (k2 + self.outer_km**-2) ** (-self.slopes[0] / 4)
        gain *= (1 + k2 * self.break_km**2) ** ((self.slopes[0] - self.slopes[1]) / 4)
        gain[0, 0] = 0
        pairs = (-(-number // 2), *big)
        white = rng.standard_normal(pairs, np.float32) + 1j * rng.standard_normal(pairs, np.float32)
        # real gain on complex white noise: real and imaginary part are two independent fields
        both = scipy.fft.ifft2(white * gain.astype(np.float32), axes=(1, 2))[:, : shape[0], : shape[1]]
        fields = np.concatenate([both.real, both.imag])[:number].astype(np.float64)
        fields -= fields.mean((1, 2), keepdims=True)
        out: Floats = fields / fields.std((1, 2), keepdims=True)
        return out


TERRAINS = ("cone", "hills", "caldera", "ridges", "flat")


def terrain(shape: tuple[int, int], rng: np.random.Generator, *, kind: str, pixel_km: float) -> Floats:
    """Terrain height (y, x), m, of one of `TERRAINS` with random proportions; fractal hills are part of each."""
    rough = Spectrum((3.2, 3.6), outer_km=float(rng.uniform(5, 30)), stretch=float(rng.uniform(1, 3)))
    rough = replace(rough, angle_deg=float(rng.uniform(0, 180)))
    hills = rough.fields(shape, rng, number=1, pixel_km=pixel_km)[0]
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    row, col = (rng.uniform(0.2, 0.8) * n for n in shape)
    away_km = np.hypot(y - row, x - col) * pixel_km
    summit = float(np.exp(rng.uniform(np.log(300), np.log(3500))))
    if kind == "cone":
        height = summit * np.exp(-away_km / rng.uniform(1.5, 4.5)) + rng.uniform(20, 200) * hills
    elif kind == "caldera":
        rim, width = rng.uniform(2, 6), rng.uniform(0.5, 2)
        height = summit / 2 * np.exp(-(((away_km - rim) / width) ** 2)) + rng.uniform(20, 200) * hills
        height += summit / 3 * np.exp(-away_km / 8)
    elif kind == "hills":
        height = rng.uniform(100, 500) * hills
    elif kind == "ridges":
        height = rng.uniform(100, 400) * (hills + 1.5 * np.abs(rough.fields(shape, rng, number=1, pixel_km=pixel_km)[0]))
    else:
        height = rng.uniform(2, 30) * hills
    out: Floats = height - height.min() + rng.uniform(0, 1500)
    return out
