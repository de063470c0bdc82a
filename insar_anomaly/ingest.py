"""Source -> stack: what is missing, and prechecks with numbered reasons. Pure: arrays in, arrays and reasons out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.errors import PairRejected, Verdict
from insar_anomaly.schema import Listed, parse_pair


def fresh(listed: Iterable[Listed], seen: Mapping[str, tuple[str, int]]) -> list[Listed]:
    """Listed minus seen, in order of dates.

    A rejected pair is looked at again when its fingerprint has changed: a truncated file may have been an upload under way.
    `seen` maps a pair to its fingerprint and verdict when it was last looked at.
    """
    new = []
    for one in listed:
        known = seen.get(one.pair)
        if known is None or (known[1] != Verdict.OK and known[0] != one.fingerprint):
            new.append(one)
    return sorted(new, key=lambda one: (one.pair[9:], one.pair[:8]))


def replaced(listed: Iterable[Listed], seen: Mapping[str, tuple[str, int]]) -> list[Listed]:
    """Accepted pairs whose files have changed since: the stack keeps what it has, which is what was screened."""
    return [
        one for one in listed if (known := seen.get(one.pair)) and known[1] == Verdict.OK and known[0] != one.fingerprint
    ]


def precheck_listing(listed: Listed) -> None:
    """What can be said before a file is opened.

    Raises
    ------
    PairRejected
        BAD_NAME, MISSING_PHASE or MISSING_COHERENCE.
    """
    if parse_pair(listed.pair) is None:
        raise PairRejected(Verdict.BAD_NAME, f"{listed.phase_uri or listed.pair}: rename or remove the folder")
    if listed.phase_uri is None:
        raise PairRejected(Verdict.MISSING_PHASE, f"{listed.coherence_uri}: no .geo.unw.tif beside it; upload it")
    if listed.coherence_uri is None:
        raise PairRejected(Verdict.MISSING_COHERENCE, f"{listed.phase_uri}: no .geo.cc.tif beside it; upload it")


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
    dates: list[Any] = [parse_pair(pair) for pair in windows]
    phase, coherence, baseline = zip(*windows.values(), strict=True)
    out = xr.Dataset(
        {
            "phase": (("pair", "y", "x"), np.stack(phase).astype(np.float32, copy=False)),
            "coherence": (("pair", "y", "x"), np.stack(coherence).astype(np.uint8, copy=False)),
            "reference": ("pair", np.array([a for a, _ in dates], "datetime64[ns]")),
            "secondary": ("pair", np.array([b for _, b in dates], "datetime64[ns]")),
            "baseline": ("pair", np.asarray(baseline, np.float32)),
        }
    )
    if delays:
        unknown = np.full(phase[0].shape, np.nan, np.float32)
        out["delay"] = (("pair", "y", "x"), np.stack([delays.get(pair, unknown) for pair in windows]))
    return out
