"""The smallest stack that a store takes, and pairs for it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from insar_anomaly.sources.base import Window
from insar_anomaly.stack.prechecks import batch


def new_stack() -> xr.Dataset:
    """Static layers of 4 x 5 pixels."""
    shape = (4, 5)
    flat = {name: (("y", "x"), np.zeros(shape, np.float32)) for name in ("height", "e", "n", "u")}
    return xr.Dataset(
        {**flat, "water": (("y", "x"), np.zeros(shape, bool))},
        coords={"y": np.linspace(1.0, 0.9, 4), "x": np.linspace(40.0, 40.1, 5)},
        attrs={"grid": [40.0, 1.0, 0.02, 0.02], "crs": "EPSG:4326"},
    )


def batch_of(*pairs: str) -> xr.Dataset:
    """Pairs of 4 x 5 pixels."""
    window = Window(np.ones((4, 5), np.float32), np.full((4, 5), 255, np.uint8), 10.0)
    return batch(dict.fromkeys(pairs, window))
