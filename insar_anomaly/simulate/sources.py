"""Ground motion of buried sources: point pressure (Mogi), penny-shaped crack. Rectangles are in `okada`.

Displacements are (east, north, up) in m at the surface of a homogeneous elastic half space; offsets and depths in km.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # loads its parts when they are used
from numpy.typing import NDArray

from insar_anomaly.units import SENTINEL1_WAVELENGTH_M, rad_per_m

Floats = NDArray[np.float64]
Displacement = tuple[Floats, Floats, Floats]

LOOK = (-0.62, -0.10, 0.78)
"""East, north and up components of the vector from the ground to the satellite with which simulated motion is seen.

It differs from `units.NOMINAL_LOOK` of an ascending pass by 0.01 in the north component, 0.6 degrees. It stays as it is: the
backbone of the package was trained on phases simulated with it, and must come out the same when it is trained anew.
"""


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


def point_crack(east_km: Floats, north_km: Floats, *, depth_km: float, volume_m3: float) -> Displacement:
    """Surface displacement (m; east, north, up) of a small horizontal crack that opens by `volume_m3`.

    Source: Okada 1985, equation 10 (tensile point source) at zero dip: ``u = 3 V d^2 / (2 pi R^5) (e, n, d)``.
    """
    e, n, d = np.asarray(east_km) * 1e3, np.asarray(north_km) * 1e3, depth_km * 1e3
    scale = 3 * volume_m3 * d**2 / (2 * np.pi * (e**2 + n**2 + d**2) ** 2.5)
    return scale * e, scale * n, scale * d


def penny_crack(east_km: Floats, north_km: Floats, *, depth_km: float, radius_km: float, volume_m3: float) -> Displacement:
    """Surface displacement (m; east, north, up) of a horizontal disc under pressure.

    Point cracks spread over the disc with the elliptical opening ``sqrt(1 - (r / radius)^2)`` of a pressurised crack in a
    full space. What the free surface does to the opening is neglected, so that the depth should not be much less than the
    radius. Source: Segall 2010, section 7.9; Okada 1985 for each point.

    Raises
    ------
    ValueError
        where depth or radius is not positive.
    """
    if depth_km <= 0 or radius_km <= 0:
        raise ValueError(f"depth_km = {depth_km}, radius_km = {radius_km}: a crack has a positive depth and radius")
    east, north = np.asarray(east_km, float), np.asarray(north_km, float)
    distance = np.hypot(east, north)
    # the field is that of a disc: its profile along one radius is all there is, known densely where it bends
    at = depth_km * np.sinh(np.linspace(0, np.arcsinh(max(float(distance.max()), 1e-3) / depth_km), 150))
    nodes, weights = np.polynomial.legendre.leggauss(8)
    # with s = sqrt(1 - (r / radius)^2) the opening's volume is 3 s^2 ds over 0..1
    openness, share = (nodes + 1) / 2, weights / 2
    radii = radius_km * np.sqrt(1 - openness**2)
    angles = 2 * np.pi * (np.arange(24) + 0.5) / 24
    outward, upward = np.zeros_like(at), np.zeros_like(at)
    for r, part in zip(radii, 3 * openness**2 * share, strict=True):
        away, _, up = point_crack(
            at[:, None] - r * np.cos(angles), r * np.sin(angles)[None], depth_km=depth_km, volume_m3=volume_m3 * part
        )
        outward += away.mean(1)
        upward += up.mean(1)
    out = scipy.interpolate.CubicSpline(at, outward)(distance) / np.maximum(distance, 1e-9)
    return out * east, out * north, scipy.interpolate.CubicSpline(at, upward)(distance)


def line_of_sight(displacement: Displacement, look: tuple[float, float, float] = LOOK) -> Floats:
    """Displacement (m; east, north, up) seen along the look vector, m, positive towards the satellite."""
    east, north, up = displacement
    return look[0] * east + look[1] * north + look[2] * up


def look_vector(incidence_deg: float, heading_deg: float) -> tuple[float, float, float]:
    """Unit vector (east, north, up) from ground to a right-looking satellite.

    `heading_deg` is the flight direction clockwise from north: about -12 ascending, -168 descending for Sentinel-1.
    """
    away, heading = np.radians(incidence_deg), np.radians(heading_deg)
    return (
        float(-np.sin(away) * np.cos(heading)),
        float(np.sin(away) * np.sin(heading)),
        float(np.cos(away)),
    )


@dataclass(frozen=True)
class PointSource:
    """Where a Mogi source lies (row, column in pixels; depth in km) and its peak line-of-sight motion (cm, signed)."""

    row: float
    col: float
    depth_km: float
    peak_cm: float

    def phase(
        self,
        shape: tuple[int, int],
        *,
        pixel_km: tuple[float, float],
        look: tuple[float, float, float] = LOOK,
        wavelength_m: float = SENTINEL1_WAVELENGTH_M,
    ) -> Floats:
        """Phase (y, x), rad, positive away, whose largest absolute value is that of `peak_cm`.

        `pixel_km` is the pixel's height and width in km.
        """
        y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
        unit = line_of_sight(
            mogi((x - self.col) * pixel_km[1], (self.row - y) * pixel_km[0], depth_km=self.depth_km, volume_m3=1e6),
            look,
        )
        scaled: Floats = rad_per_m(wavelength_m) * self.peak_cm / 100 * unit / np.abs(unit).max()
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
