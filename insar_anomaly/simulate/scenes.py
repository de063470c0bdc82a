"""A simulated frame: acquisitions, their atmosphere, and the ground motion between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.simulate.atmosphere import decorrelated, relief, stratified, turbulence
from insar_anomaly.simulate.sources import PointSource

Floats = NDArray[np.float64]


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

    `screens` is (acquisition, y, x), rad; `height_m` and `lost` are (y, x); `motion` lists the unrest in the scene; `delays`
    is what a weather model says of the screens, up to a constant, None where there is no model (see `simulate.modelled`).
    """

    dates: tuple[date, ...]
    screens: Floats
    height_m: Floats
    lost: NDArray[np.bool_]
    motion: tuple[Unrest, ...]
    pixel_km: tuple[float, float]
    delays: Floats | None = None

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
