"""One volcano: its place, frames, box, exclusion polygons and contacts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from insar_anomaly.catalogue.contacts import checked
from insar_anomaly.names import Stack
from insar_anomaly.units import KM_PER_DEGREE

DEFAULT_BOX_KM = 50.0
FARTHEST_LAT = 86.0
"""Latitude at which boxes end: nearer to a pole a square of kilometres is no square of degrees."""
Polygon = tuple[tuple[float, float], ...]
"""Corners as (lon, lat), degrees."""
_FRAME = re.compile(r"\w[\w.-]*", re.ASCII)


class Box(BaseModel):
    """A rectangle in degrees: west, south, east, north."""

    model_config = ConfigDict(frozen=True)
    west: float
    south: float
    east: float
    north: float


class Volcano(BaseModel):
    """One volcano of the catalogue; docs/catalogue.md has the table of its columns."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    gvp: int = Field(ge=100000, le=999999, description="volcano number of the Smithsonian Global Volcanism Program")
    name: str = Field(min_length=1, examples=["Erta Ale"], description="the volcano's name in notices and figures")
    lat: float = Field(ge=-90, le=90, description="latitude in degrees, north positive")
    lon: float = Field(ge=-180, le=360, description="longitude in degrees, east positive: -180 to 180 or 0 to 360")
    frames: tuple[str, ...] = Field(
        min_length=1, examples=[["079D_07694_131313"]], description="satellite frames that see the volcano"
    )
    box_km: float = Field(DEFAULT_BOX_KM, gt=1, le=500, description="side, km, of the square box around the volcano")
    exclude: tuple[tuple[tuple[float, float], ...], ...] = Field(
        (),
        examples=[[[[40.6, 13.5], [40.7, 13.5], [40.7, 13.6]]]],
        description="polygons of (lon, lat) corners in degrees; ground inside them is never assessed",
    )
    contacts: tuple[str, ...] = Field(
        (), examples=[["duty@example.org"]], description="e-mail addresses that get this volcano's notices"
    )

    @field_validator("frames")
    @classmethod
    def _no_frame_twice(cls, frames: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(frames)) < len(frames):
            twice = next(frame for frame in frames if frames.count(frame) > 1)
            raise ValueError(f"a frame is listed twice: {twice!r}; keep one of them")
        for frame in frames:
            if not _FRAME.fullmatch(frame):
                raise ValueError(
                    f"{frame!r} is not the name of a frame; write letters, digits, _, - and . only, "
                    "as in 079D_07694_131313, and each frame on its own"
                )
        return frames

    @field_validator("exclude", mode="before")
    @classmethod
    def _polygons(cls, exclude: Any) -> Any:
        """Say which polygon and which corner is wrong; what is no list of lists at all is left to the type."""
        if isinstance(exclude, list | tuple) and all(isinstance(one, list | tuple) for one in exclude):
            for number, polygon in enumerate(exclude, 1):
                if wrong := _mistake_in(polygon):
                    raise ValueError(f"polygon {number}{wrong}")
        return exclude

    @model_validator(mode="after")
    def _no_pole_inside(self) -> Self:
        half = self.box_km / 2 / KM_PER_DEGREE
        edge = abs(self.lat) + half
        if edge > FARTHEST_LAT:
            reached = "the pole" if edge >= 90 else f"latitude {math.copysign(edge, self.lat):.2f}"
            small = abs(self.lat) + 1 / 2 / KM_PER_DEGREE < FARTHEST_LAT  # the smallest box is larger than 1 km
            raise ValueError(
                f"lat = {self.lat:g} with box_km = {self.box_km:g}: the box reaches {reached}, and grids in degrees end "
                f"at {FARTHEST_LAT:g} north and south: correct lat" + (", or make box_km smaller" if small else "")
            )
        return self

    @field_validator("contacts")
    @classmethod
    def _addresses(cls, contacts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(checked(contact) for contact in contacts)

    @property
    def box(self) -> Box:
        """The square of `box_km` around the volcano, in degrees."""
        half = self.box_km / 2 / KM_PER_DEGREE
        wide = half / math.cos(math.radians(self.lat))
        return Box(west=self.lon - wide, south=self.lat - half, east=self.lon + wide, north=self.lat + half)

    @property
    def stacks(self) -> tuple[str, ...]:
        """Names of its stacks, ``gvp/frame``."""
        return tuple(str(Stack(self.gvp, frame)) for frame in self.frames)

    def excluded(self, lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Ground (y, x) inside one of the exclusion polygons, for pixel centres `lat` (y,) and `lon` (x,) in degrees."""
        out = np.zeros((len(lat), len(lon)), bool)
        for polygon in self.exclude:
            out |= self._covered(polygon, lat, lon)
        return out

    def useless_polygons(self, step: float) -> list[int]:
        """Numbers, from 1, of the exclusion polygons that cover no pixel of the box; `step` is a pixel's size, degrees."""
        box = self.box
        lat, lon = np.arange(box.south, box.north, step), np.arange(box.west, box.east, step)
        return [n for n, polygon in enumerate(self.exclude, 1) if not self._covered(polygon, lat, lon).any()]

    def excludes_everything(self, step: float) -> bool:
        """True where the exclusion polygons leave no pixel of the box; `step` is a pixel's size, degrees."""
        box = self.box
        lat, lon = np.arange(box.south, box.north, step), np.arange(box.west, box.east, step)
        return bool(self.exclude and self.excluded(lat, lon).all())

    @property
    def nothing_left(self) -> str:
        """What is to say where `excludes_everything`."""
        return (
            f"{self.name} ({self.gvp}): exclude covers the whole box, and nothing is left to assess; make the polygons "
            "smaller, or remove the volcano"
        )

    def _covered(
        self, polygon: Polygon, lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]
    ) -> NDArray[np.bool_]:
        """Ground (y, x) inside a polygon. Longitudes are taken from the volcano, so that the antimeridian is no edge."""
        corners = tuple((_east_of(x, self.lon), y) for x, y in polygon)
        return _inside(corners, lat[:, None], _east_of(lon, self.lon)[None, :])


def _mistake_in(polygon: Sequence[Any]) -> str | None:
    """What is wrong with a polygon of a catalogue, after its number; None where nothing is."""
    for number, corner in enumerate(polygon, 1):
        shown = f", corner {number}: {list(corner) if isinstance(corner, tuple) else corner!r}"
        if not isinstance(corner, list | tuple):
            return f"{shown} is no corner: write each polygon as a list of corners, and each corner as lon and lat"
        if len(corner) != 2:
            return f"{shown} is not two numbers: a corner is lon and lat, in degrees"
        try:
            lon, lat = (float(part) for part in corner)
        except (TypeError, ValueError):
            return f"{shown} is not two numbers: a corner is lon and lat, in degrees"
        if abs(lat) > 90:
            swapped = "; lon and lat seem to be swapped" if abs(lon) <= 90 else ""
            return f"{shown}: latitude {lat:g} is beyond 90: a corner is lon and lat, in this order{swapped}"
        if not -180 <= lon <= 360:
            return f"{shown}: longitude {lon:g} is not within -180 to 360"
    if len(polygon) < 3:
        return f" has {len(polygon)} corner{'' if len(polygon) == 1 else 's'}: give 3 or more, or remove it"
    return None


def _east_of(lon: Any, origin: float) -> Any:
    """Degrees east of an origin, -180 to 180."""
    return (lon - origin + 180) % 360 - 180


def _inside(polygon: Polygon, lat: NDArray[np.floating[Any]], lon: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Even-odd rule: a point is inside where a ray to the east crosses the outline an odd number of times."""
    inside = np.zeros(np.broadcast_shapes(lat.shape, lon.shape), bool)
    for (x1, y1), (x2, y2) in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        if y1 == y2:
            continue
        crosses = (y1 > lat) != (y2 > lat)
        inside ^= crosses & (lon < (x2 - x1) * (lat - y1) / (y2 - y1) + x1)
    return inside
