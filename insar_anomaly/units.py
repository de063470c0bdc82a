"""Constants of the sensor and of the Earth."""

from __future__ import annotations

import math

WAVELENGTH_M = 0.05546576
"""Sentinel-1 C-band wavelength."""

RAD_PER_M = -4 * math.pi / WAVELENGTH_M
"""Phase (rad, positive away from the satellite) of one metre of motion towards it."""

KM_PER_DEGREE = 111.32
"""Length of a degree of latitude, and of longitude at the equator."""

NOMINAL_LOOK = {"A": (-0.62, -0.11, 0.78), "D": (0.62, -0.11, 0.78)}
"""East, north and up components of the vector from the ground to Sentinel-1, right-looking, by direction of the pass.

For frames that bring no look vector. The sign is that of LiCSAR's layers E, N and U. Incidence 38.7 degrees (mid swath),
heading -10 degrees ascending and -170 descending, rounded to 0.01; `simulate.look_vector` has the formula.
"""
