"""Static layers of a stack from whatever a source has of them: what is missing, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.errors import NotNow, PairRejected
from insar_anomaly.names import direction
from insar_anomaly.stack.schema import LINE_OF_SIGHT, Grid
from insar_anomaly.units import NOMINAL_LOOK

_Layer = NDArray[np.float32]


@dataclass
class Layers:
    """Layers (y, x) of a stack, as far as there are any.

    Parameters
    ----------
    height : float32 m, NaN = unknown
    water : bool
    look : east, north and up component of the unit vector from ground to satellite, float32, NaN = unknown
    left_out : what could not be used, one line each, with file and remedy
    fault : why the height could not be used; None where it could, or where there is none
    """

    height: _Layer | None = None
    water: NDArray[np.bool_] | None = None
    look: tuple[_Layer, _Layer, _Layer] | None = None
    left_out: list[str] = field(default_factory=list)
    fault: PairRejected | NotNow | None = None

    @property
    def flat(self) -> bool:
        """True where no height is known."""
        return self.height is None or not np.isfinite(self.height).any()


def static_layers(grid: Grid, layers: Layers, *, frame: str, source: str, sign: str, wavelength_m: float) -> xr.Dataset:
    """Grid and static layers as `stack.schema.STACK` has them; a look vector that is missing or none is the nominal one.

    Parameters
    ----------
    source : kind and place of the frame
    sign : what the reader does to the provider's sign, in words
    """
    look = layers.look
    if look is not None and not _is_unit(look):
        layers.left_out.append(
            f"{source}: the look vector has not the length 1, or points down; the nominal one is used; correct its layers"
        )
        look = None
    way = direction(frame)
    if look is None and way is None:
        layers.left_out.append(
            f"{frame}: the name does not tell the direction of the pass, and there is no look vector: that of an ascending "
            "pass is taken; name the frame like 005A_..., or give look"
        )
    nominal = NOMINAL_LOOK[way or "A"]
    unknown = np.full(grid.shape, np.nan, np.float32)
    parts = look or tuple(np.full(grid.shape, part, np.float32) for part in nominal)
    return xr.Dataset(
        {
            "height": (("y", "x"), unknown if layers.height is None else layers.height),
            "water": (("y", "x"), np.zeros(grid.shape, bool) if layers.water is None else layers.water),
            **{name: (("y", "x"), part) for name, part in zip("enu", parts, strict=True)},
        },
        coords={"y": grid.lat, "x": grid.lon},
        attrs={
            "grid": grid.attribute,
            "crs": "EPSG:4326",
            "source": source,
            "line_of_sight": LINE_OF_SIGHT,
            "sign": sign,
            "wavelength_m": wavelength_m,
            "look": "frame's layers" if look else "nominal",
            "left_out": layers.left_out,
        },
    )


def unit_vector(form: str, layers: Sequence[_Layer]) -> tuple[_Layer, _Layer, _Layer]:
    """East, north and up components (y, x) float32 of the vector from ground to satellite, from layers of a form.

    Parameters
    ----------
    form : ``enu``, ``incidence-azimuth`` (degrees) or ``theta-phi`` (rad); `config.source.SourceSettings` says
        what they are
    """
    if form == "enu":
        none = np.all([layer == 0 for layer in layers], axis=0)
        parts = [np.where(none, np.float32(np.nan), layer) for layer in layers]
        return parts[0], parts[1], parts[2]
    first, second = (layer.astype(np.float64) for layer in layers)
    if form == "incidence-azimuth":
        first, second = np.pi / 2 - np.radians(first), np.radians(second) + np.pi / 2
    east, north, up = np.cos(first) * np.cos(second), np.cos(first) * np.sin(second), np.sin(first)
    return east.astype(np.float32), north.astype(np.float32), up.astype(np.float32)


def _is_unit(look: tuple[_Layer, _Layer, _Layer]) -> bool:
    length = np.sqrt(sum(part.astype(np.float64) ** 2 for part in look))
    return bool(np.isfinite(length).any() and abs(np.nanmedian(length) - 1) < 0.02 and np.nanmedian(look[2]) > 0)
