"""Labelled patches of wrapped phase, made on the fly: deformation (D), stratified (S) and turbulent (T) delay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.simulate import Floats, draw_source, relief, stratified, turbulence
from insar_anomaly.tiles.trends import trend

TURN = 2 * np.pi

Atmosphere = Callable[[np.random.Generator], NDArray[np.floating]]
"""Draws the phase (y, x), rad, of a patch without deformation."""


def grey(phase: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rewrapped phase (rad, any shape) as grey in [0, 1): ``(wrap(phi) + pi) / (2 pi)``; Anantrasirichai et al. 2018."""
    # float32 may round the last step below 1 up to 1, which is the other end of the same turn
    turns = np.remainder(phase / TURN + 0.5, 1.0).astype(np.float32)
    return np.where(turns < 1, turns, np.float32(0))


@dataclass(frozen=True)
class SimulatedAtmosphere:
    """S + T: stratified delay over a random volcano and turbulence, of two acquisitions together.

    `removed` names what was removed from the stack's pairs (see `tiles.trends.PARTS`), and is then removed here too.
    """

    size: int
    pixel_km: tuple[float, float]
    removed: tuple[str, ...]

    def __call__(self, rng: np.random.Generator) -> Floats:
        """See `Atmosphere`."""
        shape, pixel = (self.size, self.size), float(np.sqrt(self.pixel_km[0] * self.pixel_km[1]))
        height = relief(shape, rng, summit_m=rng.uniform(500, 3000), pixel_km=pixel)
        # medians and spreads of the difference of two days of `simulate.scene`
        strength = 1.7 * float(np.exp(rng.normal(0, 0.5)))
        delay = turbulence(shape, rng, std_rad=strength, pixel_km=pixel) + stratified(height, rad_per_km=rng.normal(0, 2.0))
        return delay - trend(delay, np.ones(shape, bool), height, self.removed)


@dataclass(frozen=True)
class Labelled:
    """Real labelled patches: ``grey`` (patch, y, x) in [0, 1], ``label`` (patch,) 1 = deforming, 0 = not."""

    grey: NDArray[np.float32]
    label: NDArray[np.int64]

    @classmethod
    def checked(cls, patches: NDArray[np.floating], labels: NDArray[np.integer], size: int) -> Labelled:
        """As given, or a ValueError that says what is wrong with them."""
        wanted = (len(labels), size, size)
        if patches.shape != wanted:
            raise ValueError(
                f"labelled patches of shape {patches.shape}: {len(labels)} labels and this window need {wanted}"
            )
        if not ((patches >= 0) & (patches <= 1)).all():
            raise ValueError("labelled patches are not grey in [0, 1]: divide 8-bit ones by 255")
        if set(np.unique(labels)) != {0, 1}:
            raise ValueError(f"labels {np.unique(labels).tolist()}: give patches of both kinds, 0 and 1")
        return cls(np.asarray(patches, np.float32), np.asarray(labels, np.int64))

    def draw(self, label: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """One patch of that label."""
        patch: NDArray[np.float32] = self.grey[rng.choice(np.flatnonzero(self.label == label))]
        return patch


@dataclass(frozen=True)
class Patches:
    """Draws patches of either label.

    Each is made, with equal chances, on one of `atmospheres` or taken from `labelled` (where there is one). Both labels are
    drawn from every origin alike: were only the quiet ones real, the network would learn to tell real from simulated
    atmosphere.
    """

    size: int
    pixel_km: tuple[float, float]
    look: tuple[float, float, float]
    peak_cm: tuple[float, float]
    depth_km: tuple[float, float]
    atmospheres: tuple[Atmosphere, ...]
    labelled: Labelled | None

    def draw(self, label: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """One patch (size, size), grey in [0, 1), of that label; its reference phase is arbitrary, as in reality."""
        turn = rng.uniform()
        origin = int(rng.integers(len(self.atmospheres) + (self.labelled is not None)))
        if self.labelled is not None and origin == len(self.atmospheres):
            return grey((self.labelled.draw(label, rng) - 0.5 + turn) * TURN)
        phase = self.atmospheres[origin](rng) + turn * TURN
        if label:
            shape = (self.size, self.size)
            source = draw_source(shape, rng, peak_cm=rng.uniform(*self.peak_cm), depth_km=self.depth_km)
            phase = phase + source.phase(shape, pixel_km=self.pixel_km, look=self.look)
        return grey(phase)
