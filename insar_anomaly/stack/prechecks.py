"""Prechecks of a window with numbered verdicts, and the batch that a stack takes. Pure: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.names import Pair
from insar_anomaly.stack.schema import Physics

_SAME_BAND = 0.01
"""Part by which wavelengths of one band differ at most: satellites of one kind share it to 1e-4."""


_COHERENT = 128
"""Coherence, in 1/255, from which on a pixel's phase is taken at its word: 0.5."""
_MOST_JUMPS = 0.2
"""Largest part of neighbouring coherent pixels that may differ by more than pi."""
_MOST_JUMPS_OF_NOISE = 0.5
"""The same where coherence is not known."""
_LEAST_NEIGHBOURS = 1000
"""Fewer pairs of neighbours say nothing."""

_SETTINGS = {Verdict.TOO_FEW_VALID: "min_valid", Verdict.LOW_COHERENCE: "min_coherence"}


def rests_on(verdict: Verdict, settings: Mapping[str, float]) -> str:
    """The setting without which a pair of this verdict would not have been rejected, ``min_valid = 0.1``; else empty."""
    name = _SETTINGS.get(verdict)
    return f"{name} = {settings[name]}" if name else ""


class Window(Protocol):
    """A pair as a source gives it, see `sources.base.Window`."""

    @property
    def phase(self) -> NDArray[Any]:
        """Phase (y, x) float32 rad."""
        ...

    @property
    def coherence(self) -> NDArray[Any]:
        """Coherence (y, x) uint8."""
        ...

    @property
    def baseline(self) -> float:
        """Perpendicular baseline in m."""
        ...

    @property
    def physics(self) -> Physics:
        """What the numbers mean."""
        ...


def same_wavelength(physics: Physics, wavelength_m: float, *, uri: str) -> None:
    """Raise PairRejected, WRONG_WAVELENGTH, where a pair is of another band than its stack (`wavelength_m`)."""
    if abs(physics.wavelength_m / wavelength_m - 1) > _SAME_BAND:
        raise PairRejected(
            Verdict.WRONG_WAVELENGTH,
            f"{uri}: wavelength {100 * physics.wavelength_m:.2f} cm, and {100 * wavelength_m:.2f} cm in the stack: "
            "give the other satellite's frame a name of its own in the catalogue",
        )


def precheck(
    phase: NDArray[np.float32],
    coherence: NDArray[np.uint8],
    *,
    min_valid: float,
    min_coherence: float,
    uri: str,
) -> None:
    """Look at a window before it enters a stack.

    Parameters
    ----------
    phase : (y, x) float32, rad, NaN = no measurement
    coherence : (y, x) uint8, 1/255
    min_valid : least part of the window that must hold a measurement
    min_coherence : least mean coherence over the measured ground
    uri : named in the reason

    Raises
    ------
    PairRejected
        NO_DATA, TOO_FEW_VALID, CONSTANT, LOW_COHERENCE or WRONG_NUMBERS.
    """
    valid = np.isfinite(phase)
    share = float(valid.mean())
    if not valid.any():
        raise PairRejected(
            Verdict.NO_DATA, f"{uri}: all pixels of the box are NaN or 0; nothing to do unless it is replaced"
        )
    if share < min_valid:
        raise PairRejected(
            Verdict.TOO_FEW_VALID, f"{uri}: {share:.1%} of the box measured, [ingest] min_valid = {min_valid}"
        )
    if float(np.ptp(phase[valid])) == 0:
        raise PairRejected(Verdict.CONSTANT, f"{uri}: every measured pixel is {float(phase[valid][0]):g} rad")
    mean = float(coherence[valid].mean()) / 255
    if mean <= min_coherence:
        raise PairRejected(
            Verdict.LOW_COHERENCE, f"{uri}: mean coherence {mean:.3f}, [ingest] min_coherence = {min_coherence}"
        )
    _insist_on_radians(phase, coherence, uri)


def _insist_on_radians(phase: NDArray[np.float32], coherence: NDArray[np.uint8], uri: str) -> None:
    """Raise PairRejected, WRONG_NUMBERS, where neighbouring pixels differ too often by more than half a cycle.

    Unwrapping chooses the cycle of each pixel so that neighbours differ by less than pi, but for few. On coherent ground
    real pairs have at most 0.4% of such neighbours, and in degrees 10 to 86%. Units that are a few times as large, as mm in
    C band (4.4 for 1 rad), cannot be told like this: rough atmosphere in rad looks the same. Where no coherence is known,
    noise of water and forest counts too: a quarter of the neighbours of wrapped noise differ by more than pi.
    """
    known = bool((coherence[np.isfinite(phase)] < 255).any())
    ground = np.isfinite(phase) & (coherence >= _COHERENT if known else True)
    jumps = neighbours = 0
    for axis in (0, 1):
        both = np.diff(np.where(ground, phase, np.float32(np.nan)), axis=axis)
        neighbours += int(np.isfinite(both).sum())
        jumps += int((np.abs(both) > np.pi).sum())
    most = _MOST_JUMPS if known else _MOST_JUMPS_OF_NOISE
    if neighbours >= _LEAST_NEIGHBOURS and jumps > most * neighbours:
        where = "on coherent ground" if known else "in it"
        raise PairRejected(
            Verdict.WRONG_NUMBERS,
            f"{uri}: {jumps / neighbours:.0%} of the neighbouring pixels {where} differ by more than pi, as in no unwrapped "
            "phase in rad; is it in degrees? Convert it to rad, or state its unit (`unit` in [[source]] of kind folder)",
        )


def batch(
    windows: Mapping[str, Window],
    delays: Mapping[str, NDArray[np.float32]] | None = None,
) -> xr.Dataset:
    """Checked windows as the Dataset that `store` appends, one for each pair.

    `delays`, pair -> modelled delay (y, x) rad, may hold some of the pairs: ``delay`` of the others is NaN. Without any the
    result has no ``delay``.
    """
    spans = [Pair.of(pair) for pair in windows]
    every = list(windows.values())
    phase = [one.phase for one in every]
    physics = [one.physics for one in every]
    out = xr.Dataset(
        {
            "phase": (("pair", "y", "x"), np.stack(phase).astype(np.float32, copy=False)),
            "coherence": (("pair", "y", "x"), np.stack([one.coherence for one in every]).astype(np.uint8, copy=False)),
            "reference": ("pair", np.array([span.first for span in spans], "datetime64[ns]")),
            "secondary": ("pair", np.array([span.last for span in spans], "datetime64[ns]")),
            "baseline": ("pair", np.array([one.baseline for one in every], np.float32)),
            "wavelength": ("pair", np.array([one.wavelength_m for one in physics], float)),
            "sign": ("pair", np.array([one.sign for one in physics], np.int8)),
            "platforms": (("pair", "end"), np.array([one.platforms for one in physics], np.uint8)),
            "utc": ("pair", np.array([one.utc_s for one in physics], np.float32)),
        }
    )
    if delays:
        unknown = np.full(phase[0].shape, np.nan, np.float32)
        out["delay"] = (("pair", "y", "x"), np.stack([delays.get(pair, unknown) for pair in windows]))
    return out
