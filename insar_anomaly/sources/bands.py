"""A frame of which products of two wavelengths are listed: which of them a stack takes, and what is said of the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

from insar_anomaly.sources.base import Listed, Listing
from insar_anomaly.sources.words import counted

_APART = 1.3
"""Ratio of wavelengths from which on they are of two bands: those of one band differ by a tenth at most."""
_BANDS = ((0.0375, "X"), (0.075, "C"), (0.15, "S"), (0.3, "L"), (1.0, "P"))
"""Upper ends of the radar bands, m."""


def another_band(one_m: float, other_m: float) -> bool:
    """True where two wavelengths, m, are known and of two bands."""
    return math.isfinite(one_m) and math.isfinite(other_m) and max(one_m, other_m) > _APART * min(one_m, other_m)


def band(wavelength_m: float) -> str:
    """``C band``."""
    return f"{next((name for most, name in _BANDS if wavelength_m < most), 'another')} band"


def parted(listing: Listing, wavelength_m: float) -> tuple[Listing, list[Listed]]:
    """The listing as a stack of this wavelength takes it, and the products of another band.

    A pair that both bands have is taken in the stack's own: its files were not replaced by those of the other.
    """
    every = [*listing.pairs, *listing.bands]
    refused = [one for one in every if another_band(one.wavelength_m, wavelength_m)]
    if not refused:
        return listing, []
    mine = {one.pair: one for one in reversed(every) if not another_band(one.wavelength_m, wavelength_m)}
    names = dict.fromkeys(one.pair for one in every)
    return listing._replace(pairs=[mine[name] for name in names if name in mine], bands=()), refused


def two_bands(frame: str, refused: Sequence[Listed], wavelength_m: float) -> str:
    """What is to say of a frame that holds products of another band; one sentence, the same every night."""
    other = refused[0].wavelength_m
    name = band(other).replace(" ", "-")
    return (
        f"frame {frame} holds products of two wavelengths, {100 * wavelength_m:.3g} cm and {100 * other:.3g} cm; the stack "
        f"is {band(wavelength_m)}; {counted(len(refused), f'{name} pair')} {'is' if len(refused) == 1 else 'are'} refused, "
        f"first {refused[0].phase_uri or refused[0].pair}; give them a frame name of their own, in their folder or "
        "[[source]] and in the catalogue"
    )
