"""What else an event could be, read from the pairs that show it: layers of air, low coherence, steps of the phase."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insar_anomaly.evidence import doubts, fusion
from insar_anomaly.evidence.fusion import Cleaned
from insar_anomaly.evidence.motion import Peak
from insar_anomaly.stack.schema import pixel_km
from insar_anomaly.tiles.preprocess import range_step
from insar_anomaly.tiles.trends import needs_height
from insar_anomaly.units import L_BAND_FROM_M, rad_per_m

if TYPE_CHECKING:
    from insar_anomaly.pipeline.measuring import Found, Measuring

_CARRYING = 6
"""Pairs that bracket the event of which coherence and steps of the phase are taken, the shortest first."""


def layers_of(m: Measuring, found: Found, peak: Peak) -> doubts.Layers | None:
    """How the event's map follows height, before anything that does was removed."""
    cleaning = m.recipe.cleaning
    kept = tuple(part for part in cleaning.remove if not needs_height((part,)))
    whole = Cleaned(m.dataset, m.to_tiles(replace(m.recipe, cleaning=replace(cleaning, remove=kept))))
    window = m.window(found.first, found.last) or m.window(found.first, found.last, before=1, after=1)
    if window is None:
        return None
    step = range_step(cleaning.range_form, m.reach.range_rad)
    phase = fusion.fused(whole, step, [window])["phase"].values[0]
    cm = phase / rad_per_m(m.ground.wavelength_m) * 100
    outside = found.map.valid & ~doubts.with_rim(peak.area)
    return doubts.layers(cm, outside, m.ground.height, (peak.row, peak.column))


def bands_of(m: Measuring, found: Found, peak: Peak) -> doubts.Bands | None:
    """Bands across the flight in the event's map, beside what moved; None where the wavelength is short."""
    if m.ground.wavelength_m < L_BAND_FROM_M:
        return None
    look = float(m.dataset["e"].mean()), float(m.dataset["n"].mean())
    outside = found.map.valid & ~doubts.with_rim(peak.area)
    return doubts.bands(peak.levelled_cm, outside, look, pixel_km(m.dataset))


def _carrying(m: Measuring, first: int, last: int) -> list[int]:
    """The pairs that bracket an event, the shortest of them."""
    ends = m.cleaned.network.ends
    found = np.flatnonzero((ends[:, 0] <= first) & (ends[:, 1] >= last))
    order = np.argsort(ends[found, 1] - ends[found, 0], kind="stable")
    return [int(p) for p in found[order][:_CARRYING]]


def coherence_of(m: Measuring, first: int, last: int) -> NDArray[np.floating]:
    """Mean coherence (y, x), 0 to 1, of the pairs that show the event."""
    out: NDArray[np.floating] = m.dataset["coherence"].isel(pair=_carrying(m, first, last)).mean("pair").values / 255
    return out


def phases_of(m: Measuring, first: int, last: int) -> NDArray[np.floating]:
    """Phases (pair, y, x), rad, of the pairs that show the event, as their source gives them."""
    out: NDArray[np.floating] = m.dataset["phase"].isel(pair=_carrying(m, first, last)).values
    return out
