"""Random ground motion for training: every kind of source, anywhere in the frame, as line-of-sight phase."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from insar_anomaly import simulate
from insar_anomaly.simulate import Displacement, Floats
from insar_anomaly.units import RAD_PER_M

Draw = Callable[[np.random.Generator, Floats, Floats], Displacement]

PEAK_CM = (0.3, 12.0)
"""Largest line-of-sight motion in the frame, log-uniform."""

DEPTH_KM = (0.7, 6.0)
"""Depth of point-like sources, log-uniform; rectangles are at least as deep as they need to be."""


def motion(
    shape: tuple[int, int], rng: np.random.Generator, *, pixel_km: float, look: tuple[float, float, float]
) -> tuple[Floats, int, tuple[float, float]]:
    """Phase (y, x) rad of one random source, its number in `KINDS`, and the place of its centre (row, column).

    The centre lies anywhere in the frame or up to a tenth of it outside.
    """
    kind = int(rng.integers(1, len(KINDS)))
    row, col = (float(rng.uniform(-0.1, 1.1) * n) for n in shape)
    state = rng.bit_generator.state
    parts = []
    # a few rows at a time stay in the cache; the same draws for each
    for start in range(0, shape[0], 32):
        rng.bit_generator.state = state
        y, x = np.mgrid[start : min(start + 32, shape[0]), : shape[1]].astype(float)
        moved = DRAWS[KINDS[kind]](rng, (x - col) * pixel_km, (row - y) * pixel_km)
        parts.append(simulate.line_of_sight(moved, look))
    seen = np.concatenate(parts)
    peak_cm = _log_uniform(rng, *PEAK_CM) * (1 if rng.random() < 0.5 else -1)
    return seen * (RAD_PER_M * peak_cm / 100 / max(float(np.abs(seen).max()), 1e-30)), kind, (row, col)


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _point(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    return simulate.mogi(east, north, depth_km=_log_uniform(rng, *DEPTH_KM), volume_m3=1e6)


def _crack(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    depth = _log_uniform(rng, *DEPTH_KM)
    radius = depth * float(rng.uniform(0.3, 1.0))
    return simulate.penny_crack(east, north, depth_km=depth, radius_km=radius, volume_m3=1e6)


def _rectangle(
    rng: np.random.Generator, east: Floats, north: Floats, *, dip: tuple[float, float], rake: bool
) -> Displacement:
    length, width = _log_uniform(rng, 0.8, 8), _log_uniform(rng, 0.6, 4)
    dip_deg = float(rng.uniform(*dip))
    top_km = _log_uniform(rng, 0.3, 3)
    angle = float(rng.uniform(0, 2 * np.pi))
    slip = (float(np.cos(angle)), float(np.sin(angle)), 0.0) if rake else (0.0, 0.0, 1.0)
    depth = top_km + width / 2 * float(np.sin(np.radians(dip_deg)))
    strike = float(rng.uniform(0, 360))
    return simulate.Rectangle(depth, length, width, strike, dip_deg, slip).displacement(east, north)


def _dyke(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    return _rectangle(rng, east, north, dip=(65, 90), rake=False)


def _sill(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    length, width, depth = _log_uniform(rng, 0.8, 6), _log_uniform(rng, 0.8, 4), _log_uniform(rng, 0.9, 5)
    strike, dip_deg = float(rng.uniform(0, 360)), float(rng.uniform(0, 12))
    return simulate.Rectangle(depth, length, width, strike, dip_deg, (0.0, 0.0, 1.0)).displacement(east, north)


def _fault(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    return _rectangle(rng, east, north, dip=(30, 90), rake=True)


def _shifted(rng: np.random.Generator, east: Floats, north: Floats, apart_km: float) -> tuple[Floats, Floats]:
    angle, far = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.3, 1)) * apart_km
    return east - far * np.cos(angle), north - far * np.sin(angle)


def _compound(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    """A chamber that empties into a dyke: a point and a dyke of opposite sign, of comparable volume."""
    depth = _log_uniform(rng, 1, 5)
    dyke = simulate.Rectangle(depth / 2 + 0.4, 2.0, min(1.5, depth / 2), float(rng.uniform(0, 360)), 85.0, (0.0, 0.0, 1.0))
    opening = dyke.displacement(*_shifted(rng, east, north, 3.0))
    volume = -float(rng.uniform(0.3, 2)) * dyke.length_km * dyke.width_km * 1e6
    chamber = simulate.mogi(east, north, depth_km=depth, volume_m3=volume)
    return tuple(a + b for a, b in zip(opening, chamber, strict=True))  # type: ignore[return-value]


def _moving(rng: np.random.Generator, east: Floats, north: Floats) -> Displacement:
    """A source that has moved between the dates: it swells here and shrinks there, unequally."""
    depth, share = _log_uniform(rng, *DEPTH_KM), float(rng.uniform(-1, 0.6))
    later = simulate.mogi(east, north, depth_km=depth, volume_m3=1e6)
    earlier = simulate.mogi(
        *_shifted(rng, east, north, 5.0), depth_km=depth * float(rng.uniform(0.8, 1.4)), volume_m3=1e6 * share
    )
    return tuple(a + b for a, b in zip(later, earlier, strict=True))  # type: ignore[return-value]


DRAWS: dict[str, Draw] = {
    "point": _point,
    "crack": _crack,
    "sill": _sill,
    "dyke": _dyke,
    "fault": _fault,
    "compound": _compound,
    "moving": _moving,
}

KINDS = ("none", *DRAWS)
"""Which signal a crop holds; 0 is none."""
