"""Interferograms made from physics: pressure sources, turbulent and stratified atmosphere, lost coherence. Pure arrays.

Conventions: line of sight is positive towards the satellite, phase positive away from it, so that
``phase = RAD_PER_M * line_of_sight``. Row 0 is north. Every random draw comes from the generator that is passed in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.units import RAD_PER_M as RAD_PER_M

Floats = NDArray[np.float64]

LOOK = (-0.62, -0.10, 0.78)
"""East, north and up components of the unit vector from ground to satellite, ascending pass, mid swath."""


def mogi(
    east_km: Floats, north_km: Floats, *, depth_km: float, volume_m3: float, poisson: float = 0.25
) -> tuple[Floats, Floats, Floats]:
    """Surface displacement (m; east, north, up) of a point pressure source in an elastic half space.

    Parameters
    ----------
    east_km, north_km : any shape, horizontal offset from the source, km
    depth_km : depth of the source, km, positive down
    volume_m3 : volume change, m3, positive for inflation

    Raises
    ------
    ValueError
        where the depth is not positive.

    Source: Mogi 1958; Segall 2010, equation 7.14: ``u = (1 - poisson) dV / pi * r / R^3``.
    """
    if depth_km <= 0:
        raise ValueError(f"depth_km = {depth_km}: a point source lies below the surface, give a positive depth")
    e, n, d = np.asarray(east_km) * 1e3, np.asarray(north_km) * 1e3, depth_km * 1e3
    scale = (1 - poisson) * volume_m3 / np.pi / (e**2 + n**2 + d**2) ** 1.5
    return scale * e, scale * n, scale * d


def line_of_sight(displacement: tuple[Floats, Floats, Floats], look: tuple[float, float, float] = LOOK) -> Floats:
    """Displacement (m; east, north, up) seen along the look vector, m, positive towards the satellite."""
    east, north, up = displacement
    return look[0] * east + look[1] * north + look[2] * up


@dataclass(frozen=True)
class PointSource:
    """Where a Mogi source lies (row, column in pixels; depth in km) and its peak line-of-sight motion (cm, signed)."""

    row: float
    col: float
    depth_km: float
    peak_cm: float

    def phase(
        self, shape: tuple[int, int], *, pixel_km: tuple[float, float], look: tuple[float, float, float] = LOOK
    ) -> Floats:
        """Phase (y, x), rad, positive away, whose largest absolute value is that of `peak_cm`.

        `pixel_km` is the pixel's height and width in km.
        """
        y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
        unit = line_of_sight(
            mogi((x - self.col) * pixel_km[1], (self.row - y) * pixel_km[0], depth_km=self.depth_km, volume_m3=1e6),
            look,
        )
        scaled: Floats = RAD_PER_M * self.peak_cm / 100 * unit / np.abs(unit).max()
        return scaled


def draw_source(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    peak_cm: float,
    depth_km: tuple[float, float] = (1.0, 4.0),
    margin: float = 0.25,
) -> PointSource:
    """A random point source: log-uniform depth, centre in the middle of the scene, either sign.

    `margin` is the fraction of each side that stays free, so 0.25 keeps the source in the middle half.
    """
    low, high = np.log(depth_km)
    row, col = (rng.uniform(margin, 1 - margin) * n for n in shape)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return PointSource(row=row, col=col, depth_km=float(np.exp(rng.uniform(low, high))), peak_cm=sign * peak_cm)


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
class Unrest:
    """Ground motion between two dates: a point source whose motion grows linearly from `start` to `end`."""

    source: PointSource
    start: date
    end: date

    def share(self, day: date) -> float:
        """Part of the motion that has happened by `day`, 0 to 1."""
        return float(np.clip((day - self.start).days / max(1, (self.end - self.start).days), 0, 1))


@dataclass(frozen=True)
class Scene:
    """A simulated frame: one delay screen per acquisition, and the ground motion in it.

    `screens` is (acquisition, y, x), rad; `height_m` and `lost` are (y, x); `motion` lists the unrest in the scene.
    """

    dates: tuple[date, ...]
    screens: Floats
    height_m: Floats
    lost: NDArray[np.bool_]
    motion: tuple[Unrest, ...]
    pixel_km: tuple[float, float]

    def pairs(self, spans: Sequence[int] = (1, 2, 3)) -> list[tuple[int, int]]:
        """Index pairs (reference, secondary) of the network that joins each acquisition to the next ones."""
        n = len(self.dates)
        return [(i, i + s) for i in range(n) for s in spans if i + s < n]

    def phase(self, reference: int, secondary: int) -> NDArray[np.float32]:
        """The interferogram of two acquisitions (y, x), rad, positive away; NaN where coherence is lost."""
        out = self.screens[secondary] - self.screens[reference]
        for unrest in self.motion:
            grown = unrest.share(self.dates[secondary]) - unrest.share(self.dates[reference])
            if grown:
                out = out + grown * unrest.source.phase(out.shape, pixel_km=self.pixel_km)
        return np.where(self.lost, np.nan, out).astype(np.float32)

    def deforming(self, reference: int, secondary: int) -> bool:
        """True where the pair holds ground motion of at least 1 mm peak."""
        a, b = self.dates[reference], self.dates[secondary]
        return any(abs(u.source.peak_cm) * (u.share(b) - u.share(a)) >= 0.1 for u in self.motion)


def scene(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    dates: Sequence[date],
    motion: Sequence[Unrest] = (),
    pixel_km: tuple[float, float] = (0.1, 0.1),
    turbulence_rad: float = 1.2,
) -> Scene:
    """Simulate a frame of one acquisition per date.

    Each acquisition gets its own turbulence (its strength varies from day to day) and a stratified delay with a yearly
    cycle; a fixed part of the ground has lost its coherence.
    """
    height = relief(shape, rng, pixel_km=pixel_km[0])
    screens = np.empty((len(dates), *shape))
    for i, day in enumerate(dates):
        strength = turbulence_rad * float(np.exp(rng.normal(0, 0.3)))
        season = np.sin(2 * np.pi * day.timetuple().tm_yday / 365.25)
        delay = stratified(height, rad_per_km=float(1.5 * season + rng.normal(0, 0.8)))
        screens[i] = turbulence(shape, rng, std_rad=strength, pixel_km=pixel_km[0]) + delay
    lost = decorrelated(shape, rng, fraction=0.06)
    return Scene(tuple(dates), screens, height, lost, tuple(motion), pixel_km)


def acquisitions(first: date, last: date, *, every_days: int = 12) -> list[date]:
    """Acquisition dates from `first` to `last`, one each `every_days`."""
    return [first + timedelta(days=i) for i in range(0, (last - first).days + 1, every_days)]
