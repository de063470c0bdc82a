"""A rectangular dislocation in an elastic half space: faults, dykes and sills (Okada 1985)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from insar_anomaly.simulate.sources import Displacement, Floats


@dataclass(frozen=True)
class Rectangle:
    """A rectangle below the ground and how its faces move apart.

    Parameters
    ----------
    depth_km : depth of its centre, km, positive down
    length_km, width_km : along strike, and down dip
    strike_deg, dip_deg : clockwise from north, the plane dipping to the right of the strike direction; 0 to 90
    slip_m : along strike (left-lateral positive), up dip (thrust positive), opening; m
    """

    depth_km: float
    length_km: float
    width_km: float
    strike_deg: float
    dip_deg: float
    slip_m: tuple[float, float, float]

    def displacement(self, east_km: Floats, north_km: Floats) -> Displacement:
        """Surface displacement (m; east, north, up) at horizontal offsets from the centre, km.

        Raises
        ------
        ValueError
            where the rectangle reaches above the ground.
        """
        strike, dip = np.radians(self.strike_deg), np.radians(self.dip_deg)
        half = self.width_km / 2
        if self.depth_km < half * np.sin(dip):
            raise ValueError(f"depth_km = {self.depth_km}: the upper edge is above the ground, go deeper or be narrower")
        east, north = np.asarray(east_km, float), np.asarray(north_km, float)
        along = east * np.sin(strike) + north * np.cos(strike) + self.length_km / 2
        left = north * np.sin(strike) - east * np.cos(strike) + half * np.cos(dip)
        x, y, z = okada(
            along,
            left,
            depth=self.depth_km + half * np.sin(dip),
            dip_deg=self.dip_deg,
            size=(self.length_km, self.width_km),
            slip=self.slip_m,
        )
        return x * np.sin(strike) - y * np.cos(strike), x * np.cos(strike) + y * np.sin(strike), z


def okada(
    x: Floats, y: Floats, *, depth: float, dip_deg: float, size: tuple[float, float], slip: tuple[float, float, float]
) -> Displacement:
    """Surface displacement (along x, y, up; unit of `slip`) of a rectangle in Okada's own coordinates.

    The rectangle's lower edge runs from the origin along x to ``size[0]`` at `depth`; from there the plane rises towards
    positive y by ``size[1]``. All lengths in one unit; `slip` is (strike, dip, tensile); Poisson's ratio is 1/4.
    Source: Okada 1985, equations 25 to 30.
    """
    dip = np.radians(dip_deg)
    sin, cos = float(np.sin(dip)), float(np.cos(dip))
    if abs(cos) < 1e-6:
        sin, cos = float(np.sign(sin)), 0.0
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    p, q = y * cos + depth * sin, y * sin - depth * cos
    total = np.zeros((3, *x.shape))
    for sign, xi, eta in (
        (1, x, p),
        (-1, x, p - size[1]),
        (-1, x - size[0], p),
        (1, x - size[0], p - size[1]),
    ):
        total += sign * _corner(xi, eta, q, (sin, cos), slip)
    return total[0], total[1], total[2]


def _corner(xi: Floats, eta: Floats, q: Floats, dip: tuple[float, float], slip: tuple[float, float, float]) -> Floats:
    """What one corner adds, (3, ...): the functions that equations 25 to 27 take at (xi, eta)."""
    sin, cos = dip
    r = np.sqrt(xi**2 + eta**2 + q**2)
    y, d = eta * cos + q * sin, eta * sin - q * cos
    # at the edges' extensions a term is singular; its limit is zero there (Okada's remarks ii to iv)
    with np.errstate(divide="ignore", invalid="ignore"):
        by_eta = np.where(r + eta > 1e-9 * r, 1 / (r * (r + eta)), 0.0)
        by_xi = np.where(r + xi > 1e-9 * r, 1 / (r * (r + xi)), 0.0)
        log = np.where(r + eta > 1e-9 * r, np.log(r + eta), -np.log(r - eta))
        angle = np.where(np.abs(q) > 1e-12, np.arctan(xi * eta / (q * r)), 0.0)
    i1, i2, i3, i4, i5 = _half_space(xi, eta, q, dip, (r, y, d, log))
    out = np.zeros((3, *r.shape))
    strike, up, open_ = (s / (2 * np.pi) for s in slip)
    if strike:
        out[0] -= strike * (xi * q * by_eta + angle + i1 * sin)
        out[1] -= strike * (y * q * by_eta + q * cos * r * by_eta + i2 * sin)
        out[2] -= strike * (d * q * by_eta + q * sin * r * by_eta + i4 * sin)
    if up:
        out[0] -= up * (q / r - i3 * sin * cos)
        out[1] -= up * (y * q * by_xi + cos * angle - i1 * sin * cos)
        out[2] -= up * (d * q * by_xi + sin * angle - i5 * sin * cos)
    if open_:
        twist = xi * q * by_eta - angle
        out[0] += open_ * (q**2 * by_eta - i3 * sin**2)
        out[1] += open_ * (-d * q * by_xi - sin * twist - i1 * sin**2)
        out[2] += open_ * (y * q * by_xi + cos * twist - i5 * sin**2)
    return out


def _half_space(
    xi: Floats, eta: Floats, q: Floats, dip: tuple[float, float], known: tuple[Floats, Floats, Floats, Floats]
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """I1 to I5 of equations 28 (any dip) and 29 (vertical), with mu / (lambda + mu) = 1/2."""
    sin, cos = dip
    r, y, d, log = known
    half = 0.5
    if cos == 0:
        i1 = -half / 2 * xi * q / (r + d) ** 2
        i3 = half / 2 * (eta / (r + d) + y * q / (r + d) ** 2 - log)
        i4 = -half * q / (r + d)
        i5 = -half * xi * sin / (r + d)
    else:
        big = np.sqrt(xi**2 + q**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (eta * (big + q * cos) + big * (r + big) * sin) / (xi * (r + big) * cos)
        i5 = np.where(np.abs(xi) > 1e-12, half * 2 / cos * np.arctan(ratio), 0.0)
        i4 = half / cos * (np.log(r + d) - sin * log)
        i3 = half * (y / (cos * (r + d)) - log) + sin / cos * i4
        i1 = -half / cos * xi / (r + d) - sin / cos * i5
    return i1, -half * log - i3, i3, i4, i5
