"""What the satellite and the ionosphere draw across the flight direction: steps at burst edges, long stripes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def along_track(shape: tuple[int, int], *, pixel_km: tuple[float, float], heading_deg: float) -> Floats:
    """Distance (y, x), km, of each pixel from the scene's middle, along the direction of flight.

    Parameters
    ----------
    shape : pixels along y and x; row 0 is north
    pixel_km : the pixel's height and width, km
    heading_deg : flight direction clockwise from north: about -12 ascending, -168 descending for Sentinel-1
    """
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    north, east = ((shape[0] - 1) / 2 - y) * pixel_km[0], (x - (shape[1] - 1) / 2) * pixel_km[1]
    heading = np.radians(heading_deg)
    out: Floats = north * np.cos(heading) + east * np.sin(heading)
    return out


def burst_steps(
    shape: tuple[int, int],
    *,
    edges_km: Sequence[float],
    step_rad: float,
    pixel_km: tuple[float, float],
    heading_deg: float = -168.0,
) -> Floats:
    """Staircase (y, x), rad: the phase rises by `step_rad` at each burst edge and is constant in between.

    In products that mix two satellites each burst can have an offset of its own: 1.40 to 1.65 rad from burst to burst
    between Sentinel-1C and 1D (isce3 issue 375). Edges are straight lines across the direction of flight, about 20 km apart.

    Parameters
    ----------
    edges_km : places of the edges, km from the scene's middle along the direction of flight
    step_rad : rise at each edge, rad; a pair of (1C, 1D) has the one sign, a pair of (1D, 1C) the other
    pixel_km, heading_deg : see `along_track`
    """
    at = along_track(shape, pixel_km=pixel_km, heading_deg=heading_deg)
    crossed = (at[..., None] > np.asarray(edges_km, float)).sum(axis=-1)
    out: Floats = step_rad * crossed
    return out


def ionosphere(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    std_rad: float,
    pixel_km: tuple[float, float],
    heading_deg: float = -168.0,
    wavelengths_km: tuple[float, float] = (20.0, 100.0),
) -> Floats:
    """Stripes (y, x), rad, of an ionosphere whose density changes along the direction of flight, for one acquisition.

    Four waves of random phase, with lengths drawn log-uniformly, longer ones stronger, each turned by up to 20 degrees from
    the direction of flight. Zero mean; `std_rad` is the expected standard deviation over long distances: about 1 rad in C
    band where the ionosphere is disturbed, 4 times as much in L band (it grows with the wavelength).

    Parameters
    ----------
    std_rad : expected standard deviation, rad
    wavelengths_km : shortest and longest wave, km
    pixel_km, heading_deg : see `along_track`

    Raises
    ------
    ValueError
        where a wavelength is not positive.
    """
    if min(wavelengths_km) <= 0:
        raise ValueError(f"wavelengths_km = {wavelengths_km}: give two positive lengths")
    shortest, longest = np.log(wavelengths_km)
    lengths = np.exp(rng.uniform(shortest, longest, 4))
    weights = lengths / np.sqrt((lengths**2).sum())
    out = np.zeros(shape)
    for length, weight in zip(lengths, weights, strict=True):
        turned = heading_deg + rng.uniform(-20, 20)
        at = along_track(shape, pixel_km=pixel_km, heading_deg=turned)
        out += weight * np.sqrt(2) * np.sin(2 * np.pi * (at / length + rng.random()))
    out -= out.mean()
    return std_rad * out
