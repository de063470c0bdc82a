"""Simulated archives that change in mid-life, for `constellation`: other spacing, other satellites, stripes.

Turbulence is independent from acquisition to acquisition. Of what follows the height and of the ionosphere a part of
exp(-t / 2 days) is left after t days. Coherence decays with a pair's time, and its noise is in the phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly import simulate
from insar_anomaly.names import Pair
from insar_anomaly.units import KM_PER_DEGREE

SIDE, PIXEL_KM = 64, 0.4
CHANGE = date(2022, 1, 2)
YEARS = 3
LASTING_DAYS = 2.0
STEP_RAD = 1.5


@dataclass(frozen=True)
class Weather:
    """What a simulated place is like: strengths in rad, `layered` in rad per km of height."""

    turbulence: float = 0.9
    spread: float = 0.4
    layered: float = 1.0


@dataclass(frozen=True)
class Change:
    """How an archive goes on after `CHANGE`.

    `other` says which of its acquisitions (number, day) another satellite made, `edges_km` at which burst edges pairs of
    both satellites have a step, and `ionosphere` (rad) how strong stripes are on every fourth acquisition.
    """

    days: Callable[[], list[date]]
    other: Callable[[int, date], bool] = lambda n, day: False  # noqa: ARG005
    edges_km: tuple[float, ...] = ()
    ionosphere: float = 0.0


def every(days: int, late: int = 0) -> list[date]:
    """One acquisition each so many days."""
    return [CHANGE + timedelta(days=n) for n in range(late, int(365.25 * YEARS), days)]


def tandem() -> list[date]:
    """1 and 5 days in turn: on every pass two satellites, one day apart."""
    return sorted(every(6) + every(6, late=1))


def spring_2026() -> list[date]:
    """6, 1 and 5 days in turn: 1A, 1C and, a day later, 1D."""
    return sorted(every(12) + every(12, late=6) + every(12, late=7))


def gaps() -> list[date]:
    """12 days, and a gap of five months each year."""
    return [day for day in every(12) if (day - CHANGE).days % 366 < 216]


def unequal() -> list[date]:
    """6 to 36 days, at random."""
    steps = np.random.default_rng(7).choice([6, 12, 12, 18, 24, 36], 400).cumsum()
    return [CHANGE + timedelta(days=int(n)) for n in steps if n < 365.25 * YEARS]


def _for_good(n: int, day: date) -> bool:  # noqa: ARG001
    """The other satellite takes over for 200 days, then the first one again: a change for good, five times."""
    return (day - CHANGE).days // 200 % 2 == 0


def _in_turn(n: int, day: date) -> bool:  # noqa: ARG001
    return n % 2 == 1


SPACINGS = {
    "12 days": Change(lambda: every(12)),
    "6 days": Change(lambda: every(6)),
    "1 and 5 days": Change(tandem),
    "6, 1 and 5 days": Change(spring_2026),
    "12 days, gaps of 5 months": Change(gaps),
    "6 to 36 days": Change(unequal),
}
ONE, TWO = (0.0,), (-10.0, 10.0)
STEPS = {
    "12 days": Change(lambda: every(12)),
    "12 days, in turn, one edge": Change(lambda: every(12), _in_turn, ONE),
    "12 days, in turn, two edges": Change(lambda: every(12), _in_turn, TWO),
    "12 days, for good, one edge": Change(lambda: every(12), _for_good, ONE),
    "12 days, for good, two edges": Change(lambda: every(12), _for_good, TWO),
    "12 days, stripes of 1 rad": Change(lambda: every(12), ionosphere=1.0),
    "6 to 36 days": Change(unequal),
    "6 to 36 days, in turn, two edges": Change(unequal, _in_turn, TWO),
}


class Place:
    """A place and its weather, from which stacks of any dates are drawn."""

    def __init__(self, seed: int, weather: Weather | None = None) -> None:
        self.seed, self.weather = seed, weather or Weather()
        rng = np.random.default_rng([seed, 1])
        self.shape = (SIDE, SIDE)
        self.height = simulate.terrain(self.shape, rng, kind="cone" if seed % 2 else "hills", pixel_km=PIXEL_KM)
        self.lost = simulate.decorrelated(self.shape, rng, fraction=0.05)

    def screens(self, days: Sequence[date], part: int) -> NDArray[np.float64]:
        """One screen (acquisition, y, x), rad, for each day; the same for the same days and `part`."""
        rng, w = np.random.default_rng([self.seed, 2, part]), self.weather
        fields = simulate.Spectrum(outer_km=20).fields(self.shape, rng, number=len(days), pixel_km=PIXEL_KM)
        layered = lasting(days, rng)
        out = np.empty((len(days), *self.shape))
        for n, day in enumerate(days):
            season = np.sin(2 * np.pi * day.timetuple().tm_yday / 365.25)
            out[n] = w.turbulence * np.exp(rng.normal(0, w.spread)) * fields[n]
            out[n] += simulate.stratified(self.height, rad_per_km=w.layered * (season + 0.6 * layered[n]))
        return out

    def added(self, days: Sequence[date], change: Change) -> NDArray[np.float64]:
        """What a change adds to the screens (acquisition, y, x), rad."""
        rng, pixel_km = np.random.default_rng([self.seed, 4]), (PIXEL_KM, PIXEL_KM)
        steps = simulate.burst_steps(self.shape, edges_km=change.edges_km, step_rad=STEP_RAD, pixel_km=pixel_km)
        out = np.zeros((len(days), *self.shape))
        for n, day in enumerate(days):
            out[n] += steps * change.other(n, day)
            if change.ionosphere and n % 4 == 1:
                out[n] += simulate.ionosphere(self.shape, rng, std_rad=change.ionosphere, pixel_km=pixel_km)
        return out

    def stack(self, days: Sequence[date], screens: NDArray[np.float64], part: int) -> xr.Dataset:
        """Pairs of each acquisition with the next three, as a store would give them."""
        rng = np.random.default_rng([self.seed, 3, part])
        ends = [(i, i + s) for i in range(len(days)) for s in (1, 2, 3) if i + s < len(days)]
        phase = np.stack([screens[j] - screens[i] for i, j in ends])
        coherence = simulate.coherences(days, ends, self.shape, rng)
        phase += simulate.phase_noise(coherence, rng, looks=60)
        phase[:, self.lost] = np.nan
        at = np.array(days, "datetime64[ns]")
        first, last = np.array(ends).T
        static = {k: (("y", "x"), np.full(self.shape, v, np.float32)) for k, v in zip("enu", simulate.LOOK, strict=True)}
        return xr.Dataset(
            {
                "phase": (("pair", "y", "x"), phase.astype(np.float32)),
                "coherence": (("pair", "y", "x"), (255 * coherence).astype(np.uint8)),
                "water": (("y", "x"), np.zeros(self.shape, bool)),
                "height": (("y", "x"), self.height.astype(np.float32)),
                **static,
            },
            coords={
                "pair": [Pair(days[i], days[j]).name for i, j in ends],
                "reference": ("pair", at[first]),
                "secondary": ("pair", at[last]),
                "y": -np.arange(SIDE) * PIXEL_KM / KM_PER_DEGREE,
                "x": np.arange(SIDE) * PIXEL_KM / KM_PER_DEGREE,
            },
        )


def lasting(days: Sequence[date], rng: np.random.Generator) -> NDArray[np.float64]:
    """Unit noise (acquisition,) of which exp(-t / LASTING_DAYS) is left after t days."""
    out = rng.normal(size=len(days))
    for n in range(1, len(days)):
        left = np.exp(-(days[n] - days[n - 1]).days / LASTING_DAYS)
        out[n] = left * out[n - 1] + np.sqrt(1 - left**2) * out[n]
    return out


def before(days: int = 1092) -> list[date]:
    """The quiet years before the change: one acquisition each 12 days."""
    return [CHANGE - timedelta(days=n) for n in range(days, 0, -12)]
