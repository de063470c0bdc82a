"""Prechecks of a window with numbered verdicts, and the batch that a stack takes. Pure: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.names import Pair


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
        NO_DATA, TOO_FEW_VALID, CONSTANT or LOW_COHERENCE.
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


def batch(
    windows: Mapping[str, tuple[NDArray[np.float32], NDArray[np.uint8], float]],
    delays: Mapping[str, NDArray[np.float32]] | None = None,
) -> xr.Dataset:
    """Checked windows as the Dataset that `store` appends: pair -> (phase, coherence, baseline in m).

    `delays`, pair -> modelled delay (y, x) rad, may hold some of the pairs: ``delay`` of the others is NaN. Without any the
    result has no ``delay``.
    """
    spans = [Pair.of(pair) for pair in windows]
    phase, coherence, baseline = zip(*windows.values(), strict=True)
    out = xr.Dataset(
        {
            "phase": (("pair", "y", "x"), np.stack(phase).astype(np.float32, copy=False)),
            "coherence": (("pair", "y", "x"), np.stack(coherence).astype(np.uint8, copy=False)),
            "reference": ("pair", np.array([span.first for span in spans], "datetime64[ns]")),
            "secondary": ("pair", np.array([span.last for span in spans], "datetime64[ns]")),
            "baseline": ("pair", np.asarray(baseline, np.float32)),
        }
    )
    if delays:
        unknown = np.full(phase[0].shape, np.nan, np.float32)
        out["delay"] = (("pair", "y", "x"), np.stack([delays.get(pair, unknown) for pair in windows]))
    return out
