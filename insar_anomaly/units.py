"""Constants of the satellites, per platform and band, and of the Earth."""

from __future__ import annotations

import math
from enum import IntEnum


class Platform(IntEnum):
    """A satellite. Its number is stored with every pair: never reuse one."""

    UNKNOWN = 0
    S1A = 1
    S1B = 2
    S1C = 3
    S1D = 4
    NISAR = 10
    ALOS2 = 20
    ALOS4 = 21

    @property
    def words(self) -> str:
        """What tables print."""
        return "unknown" if self is Platform.UNKNOWN else self.name


SENTINEL1_WAVELENGTH_M = 0.05546576
"""Sentinel-1, C band: 5.405 GHz."""

SPEED_OF_LIGHT_M_S = 299792458.0
"""In vacuum, m/s: wavelength times frequency."""

NISAR_WAVELENGTH_M = 0.2384
"""NISAR, L band: 1.2575 GHz. A product states its own centre frequency, which is what a reader takes."""

L_BAND_FROM_M = 0.15
"""Wavelength, m, from which on the ionosphere is told as something that could look like motion."""


def rad_per_m(wavelength_m: float) -> float:
    """Phase (rad, positive away from the satellite) of one metre of motion towards it."""
    return -4 * math.pi / wavelength_m


RAD_PER_M = rad_per_m(SENTINEL1_WAVELENGTH_M)
"""The same for Sentinel-1: only for what is Sentinel-1 by construction (simulated scenes, the training of the backbone)."""

KM_PER_DEGREE = 111.32
"""Length of a degree of latitude, and of longitude at the equator."""


def turned(lon: float, near: float) -> float:
    """A longitude plus the turns of 360 degrees that bring it nearest to another one."""
    return lon + 360 * round((near - lon) / 360)


NOMINAL_LOOK = {"A": (-0.62, -0.11, 0.78), "D": (0.62, -0.11, 0.78)}
"""East, north and up components of the vector from the ground to Sentinel-1, right-looking, by direction of the pass.

For frames that bring no look vector. The sign is that of LiCSAR's layers E, N and U. Incidence 38.7 degrees (mid swath),
heading -10 degrees ascending and -170 descending, rounded to 0.01; `simulate.look_vector` has the formula.
"""
