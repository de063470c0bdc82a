"""Constants of the sensor and of the Earth."""

from __future__ import annotations

import math

WAVELENGTH_M = 0.05546576
"""Sentinel-1 C-band wavelength."""

RAD_PER_M = -4 * math.pi / WAVELENGTH_M
"""Phase (rad, positive away from the satellite) of one metre of motion towards it."""

KM_PER_DEGREE = 111.32
"""Length of a degree of latitude, and of longitude at the equator."""
