"""The endless stream of simulated crops: atmosphere, relief, sources and every nuisance, cleaned as real interferograms are.

Crops come in groups: one relief, one climate, one mask and one viewing direction for several interferograms, as at one
volcano. Crop `i` of a seed is always the same, whatever the batch or the process that asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insar_anomaly import simulate
from insar_anomaly.tiles import preprocess
from insar_anomaly.tiles.trends import trend
from insar_anomaly.tools.pretrain.motions import motion

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RANGE_RAD = 8.0
"""Tiles are ``tanh(phase / RANGE_RAD)``, as `config.sections.Preprocess` has it."""

PATCH = 4
"""Pixels per side of one cell of the targets: the grid of the trunk's layer1."""

SEEN_RAD = (0.3, 0.6)
"""A crop with less motion than the first holds no source, with more than the second it does; between them nobody asks."""

UNASKED = -100


@dataclass(frozen=True)
class Crops:
    """Some crops and what is known of them.

    Parameters
    ----------
    tile : (crop, y, x) float32, cleaned, in [-1, 1]
    motion : (crop, v, u) float32 rad, ground motion averaged over each `PATCH` x `PATCH` pixels
    where : (crop, v, u) float32, 1 where the motion is a good part of the source's peak
    kind : (crop,) int64, the source's number in `motions.KINDS`, 0 for none, `UNASKED` where it is too weak to say
    nuisance : (crop, 2) float32, 1 where an unwrapping jump, or strong stratified delay, is left in the crop
    """

    tile: NDArray[np.float32]
    motion: NDArray[np.float32]
    where: NDArray[np.float32]
    kind: NDArray[np.int64]
    nuisance: NDArray[np.float32]

    @staticmethod
    def joined(parts: list[Crops]) -> Crops:
        """Several sets of crops as one."""
        return Crops(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Crops)))

    def __getitem__(self, at: int) -> Crops:
        return Crops(*(getattr(self, f.name)[at : at + 1] for f in fields(Crops)))


@dataclass(frozen=True)
class Stream:
    """Where crops come from.

    Parameters
    ----------
    seed : two streams of the same seed are the same
    size : pixels per side of a crop
    frame : pixels per side of a simulated interferogram
    frames, cuts : interferograms in a group, and crops cut from each
    groups : groups that take turns, so that neighbouring crops are of different volcanoes
    """

    seed: int
    size: int = 96
    frame: int = 208
    frames: int = 8
    cuts: int = 6
    groups: int = 16

    def crops(self, first: int, number: int) -> Crops:
        """Crops `first` to ``first + number - 1``."""
        return Crops.joined([self._crop(i) for i in range(first, first + number)])

    def _crop(self, i: int) -> Crops:
        block, at = divmod(i, self.groups * self.frames * self.cuts)
        turn, group = divmod(at, self.groups)
        cut, frame = divmod(turn, self.frames)
        return _group(self, block * self.groups + group)[frame * self.cuts + cut]


@lru_cache(maxsize=64)
def _group(stream: Stream, number: int) -> Crops:
    rng = np.random.default_rng([stream.seed, number])
    place = _Place.draw(rng, stream.frame)
    fields_ = place.turbulence.fields((stream.frame, stream.frame), rng, number=3 * stream.frames, pixel_km=place.pixel_km)
    screens = fields_.reshape(stream.frames, 3, stream.frame, stream.frame)
    return Crops.joined([_cut(_frame(place, rng, one), rng, stream) for one in screens])


@dataclass(frozen=True)
class _Place:
    """What all interferograms of a group share. `height_m`, `lost` and `water` are (y, x)."""

    pixel_km: float
    look: tuple[float, float, float]
    turbulence: simulate.Spectrum
    strength_rad: float
    layered: float
    height_m: Floats
    lost: Bools
    water: Bools
    remove: tuple[str, ...]
    fill_grow: int
    speckle_rad: float

    @classmethod
    def draw(cls, rng: np.random.Generator, side: int) -> _Place:
        shape, pixel = (side, side), float(rng.uniform(0.07, 0.13))
        large, outer = float(rng.uniform(2.2, 3.2)), float(np.exp(rng.uniform(np.log(5), np.log(60))))
        turbulence = simulate.Spectrum(
            slopes=(large, large + float(rng.uniform(0.3, 1.5))),
            break_km=float(rng.uniform(0.5, 3)),
            outer_km=outer,
            stretch=float(1 + min(rng.exponential(0.3), 1.5)),
            angle_deg=float(rng.uniform(0, 180)),
        )
        heading = -12.0 if rng.random() < 0.5 else -168.0
        height = simulate.terrain(shape, rng, kind=str(rng.choice(simulate.TERRAINS)), pixel_km=pixel)
        fraction = float(rng.choice([0.0, rng.uniform(0, 0.1), rng.uniform(0.05, 0.35)]))
        sea = simulate.Spectrum((3.5, 4.0), outer_km=40).fields(shape, rng, number=1, pixel_km=pixel)[0]
        removed = (("plane", "height"), ("plane", "height"), ("plane", "height"), ("plane",), ())
        return cls(
            pixel_km=pixel,
            look=simulate.look_vector(float(rng.uniform(29, 46)), heading + float(rng.normal(0, 2))),
            turbulence=turbulence,
            strength_rad=float(np.exp(rng.normal(0, 0.5)) * min((outer / 20) ** 0.5, 1.3)),
            layered=float(rng.choice([0.0, 1.0, 2.5])),
            height_m=height,
            lost=simulate.decorrelated(shape, rng, fraction=fraction),
            water=sea > rng.uniform(0.6, 2) if rng.random() < 0.2 else np.zeros(shape, bool),
            remove=removed[int(rng.integers(len(removed)))],
            fill_grow=2 if rng.random() < 0.3 else 0,
            speckle_rad=float(np.exp(rng.uniform(np.log(0.02), np.log(0.4)))),
        )


@dataclass(frozen=True)
class _Frame:
    """One cleaned interferogram and its truth; all (y, x)."""

    tile: NDArray[np.float32]
    motion: Floats
    kind: int
    centre: tuple[float, float] | None
    jump: Bools
    layered: Floats


def _frame(place: _Place, rng: np.random.Generator, screens: Floats) -> _Frame:
    shape = place.height_m.shape
    moved, kind, centre = np.zeros(shape), 0, None
    if rng.random() < 0.65:
        moved, kind, centre = motion(shape, rng, pixel_km=place.pixel_km, look=place.look)
    layered = _layered(place, rng, screens[1])
    jump = np.zeros(shape)
    if rng.random() < 0.25:
        share = float(rng.uniform(0.01, 0.25))
        jump = 2 * np.pi * rng.choice([-1, 1]) * (screens[2] > np.quantile(screens[2], 1 - share))
    strength = place.strength_rad * float(np.exp(rng.normal(0, 0.5)))
    uneven = np.clip(1 + rng.normal(0, 0.3) * _unit(place.height_m), 0.3, 3)
    phase = moved + layered + jump + strength * uneven * screens[0] + _ramp(shape, rng)
    phase += place.speckle_rad * rng.standard_normal(shape)
    masked = place.lost | place.water
    cleaned = preprocess.clean(phase, masked, place.height_m, remove=place.remove, fill_grow=place.fill_grow)
    left = layered - trend(layered, np.ones(shape, bool), place.height_m, place.remove)
    tile = np.where(place.water, 0, np.tanh(cleaned / RANGE_RAD)).astype(np.float32)
    return _Frame(tile, moved, kind, centre, jump != 0, left)


def _layered(place: _Place, rng: np.random.Generator, field: Floats) -> Floats:
    """Stratified delay, rad: grows with height, not quite linearly, and not everywhere alike."""
    height = (place.height_m - place.height_m.mean()) / 1000
    bent = np.exp(-place.height_m / 1000 / rng.uniform(0.5, 3)) - 0.5
    linear, curved, local = rng.normal(0, (1.0, 1.5, 0.5)) * place.layered
    out: Floats = linear * height + curved * bent + local * height * field
    return out


def _ramp(shape: tuple[int, int], rng: np.random.Generator) -> Floats:
    """Orbital error, rad: a plane and a little of a bend."""
    y, x = np.linspace(-1, 1, shape[0])[:, None], np.linspace(-1, 1, shape[1])[None]
    a, b, c, d, e = rng.normal(0, (2, 2, 0.3, 0.3, 0.3))
    out: Floats = a * y + b * x + c * y * x + d * (y**2 - 1 / 3) + e * (x**2 - 1 / 3)
    return out


def _unit(field: Floats) -> Floats:
    out: Floats = (field - field.mean()) / max(float(field.std()), 1e-9)
    return out


def _cut(frame: _Frame, rng: np.random.Generator, stream: Stream) -> Crops:
    """Crops of one frame: some hold the source's centre, some lie anywhere; each turned and mirrored at random."""
    parts = []
    for _ in range(stream.cuts):
        corner = []
        near = frame.centre is not None and rng.random() < 0.6
        for axis in range(2):
            low, high = 0, stream.frame - stream.size
            if near and frame.centre is not None:
                middle = frame.centre[axis] - stream.size / 2
                low = int(np.clip(middle - stream.size * 0.45, 0, high))
                high = int(np.clip(middle + stream.size * 0.45, low, high))
            corner.append(int(rng.integers(low, high + 1)))
        parts.append(_crop_at(frame, (corner[0], corner[1]), stream.size, int(rng.integers(8))))
    return Crops.joined(parts)


def _crop_at(frame: _Frame, corner: tuple[int, int], size: int, turn: int) -> Crops:
    window = (slice(corner[0], corner[0] + size), slice(corner[1], corner[1] + size))
    moved = frame.motion[window]
    coarse = moved.reshape(size // PATCH, PATCH, size // PATCH, PATCH).mean((1, 3))
    most = float(np.abs(moved).max())
    where = np.abs(coarse) > max(0.3 * float(np.abs(frame.motion).max()), SEEN_RAD[0])
    kind = frame.kind if most > SEEN_RAD[1] else 0 if most < SEEN_RAD[0] else UNASKED
    share = float(frame.jump[window].mean())
    nuisance = [0.01 < share < 0.99, frame.layered[window].std() > 0.5]
    return Crops(
        _turned(frame.tile[window], turn)[None],
        _turned(coarse, turn)[None].astype(np.float32),
        _turned(where, turn)[None].astype(np.float32),
        np.array([kind]),
        np.array([nuisance], np.float32),
    )


def _turned(field: NDArray[Any], turn: int) -> NDArray[Any]:
    """`field` after `turn` of the eight turns and mirrorings of a square."""
    out = np.rot90(field, turn % 4)
    return np.ascontiguousarray(out[:, ::-1] if turn >= 4 else out)
