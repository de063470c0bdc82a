"""Stacks without the terrain's height: built all the same where its file is at fault, and said every night.

Else a frame whose file of heights is broken would not be screened at all. A file that is missing, or that cannot be read
now, stops the stack until the next run: the first is a matter of settings, the second passes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from insar_anomaly.errors import HeightUnusable
from insar_anomaly.tiles.trends import needs_height

_ATTRIBUTE = "no_height"
"""Attribute of a stack: why it has no height."""


def read(static: Callable[..., xr.Dataset], remove: tuple[str, ...], *, without: bool) -> xr.Dataset:
    """Static layers of a stack; without height where its file is at fault and `without` allows it.

    Parameters
    ----------
    static : gives them; takes `height`, True where it is needed
    remove : what is removed from each pair, see `tiles.trends.PARTS`

    Raises
    ------
    MissingLayer
        where the height is needed, and is not there or must not be left out.
    """
    try:
        found, why = static(height=needs_height(remove)), ""
    except HeightUnusable as problem:
        if not without:
            raise
        found, why = static(height=False), str(problem).split("; ")[0]
        about = why.split(": ")[0]  # the source's own line would say it twice
        found = found.assign_attrs(left_out=[one for one in found.attrs.get("left_out", ()) if not one.startswith(about)])
    if np.isfinite(found["height"].values).any():
        return found
    return found.assign_attrs({_ATTRIBUTE: why or "there was no usable layer of heights when it was built"})


def without_height(held: xr.Dataset) -> bool:
    """True where a stack is known to have no height."""
    return _ATTRIBUTE in held.attrs


def no_heights(stack: str, held: xr.Dataset, remove: tuple[str, ...]) -> str | None:
    """What is to say where a stack has no height and the settings remove what follows it; else None."""
    if not needs_height(remove) or not without_height(held):
        return None
    parts = " and ".join(part for part in remove if needs_height((part,)))
    return (
        f"it has no terrain height ({held.attrs[_ATTRIBUTE]}): {parts} of [preprocess] remove cannot be removed from its "
        f"pairs, so that atmosphere is flagged more easily; give a whole file, then run `insar-anomaly restack {stack}` and "
        "`insar-anomaly fit`"
    )
