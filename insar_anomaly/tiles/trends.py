"""The broad parts of an interferogram: what follows the orbit, and what follows the terrain's height."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

PARTS = ("plane", "quadratic", "height", "piecewise-height")
"""What can be removed: a plane (orbit); a quadratic on top of it (orbit, long-wave atmosphere); what is proportional to
height (stratified atmosphere); and on top of that a piecewise-linear function of height with knots at its quartiles."""
_QUARTILES = (0.25, 0.5, 0.75)


def trend(phase: Floats, ground: Bools, height: NDArray[np.floating[Any]], remove: tuple[str, ...]) -> Floats:
    """Mean, and the parts asked for (see `PARTS`), by least squares over `ground`; (y, x) rad.

    Terms that the measured ground cannot tell apart (a flat box has no height part) get the smallest coefficients.
    """
    terms = [np.ones(phase.shape), *_along_axes(phase.shape, remove)]
    if needs_height(remove):
        terms += _along_height(height, ground, remove)
    columns = np.stack([t[ground] for t in terms])
    coefficients = np.linalg.lstsq(columns @ columns.T, columns @ phase[ground], rcond=1e-12)[0]
    out: Floats = np.tensordot(coefficients, np.stack(terms), 1)
    return out


def needs_height(remove: tuple[str, ...]) -> bool:
    """True where a part to be removed follows the terrain's height."""
    return "height" in remove or "piecewise-height" in remove


def _along_axes(shape: tuple[int, ...], remove: tuple[str, ...]) -> list[Floats]:
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = [y, x] if "plane" in remove else []
    return [*terms, y * y, x * x, x * y] if "quadratic" in remove else terms


def _along_height(height: NDArray[np.floating[Any]], ground: Bools, remove: tuple[str, ...]) -> list[Floats]:
    known = np.where(np.isfinite(height), height, 0).astype(np.float64)
    spread = known[ground].std()
    scaled = (known - known[ground].mean()) / (spread if spread > 0 else 1.0)
    terms = [scaled] if "height" in remove else []
    if "piecewise-height" in remove:
        terms += [np.maximum(0, scaled - knot) for knot in np.quantile(scaled[ground], _QUARTILES)]
    return terms
