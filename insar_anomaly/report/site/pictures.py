"""Small pictures of many maps, made without Matplotlib: the score maps of a stack in one file, and a map of motion."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from cmcrameri import cm
from numpy.typing import NDArray
from PIL import Image

from insar_anomaly.report.figures.flag import LEAST_CM

_GREY = (150, 150, 150)
_COLUMNS = 16
_COLOURS = 200


def film_png(maps: Sequence[NDArray[Any]], threshold: float | None) -> tuple[bytes, int]:
    """Score maps (v, u), all of one size, side by side in one PNG of one pixel a cell; returns it and the maps in a row.

    The scale is that of the flags' figures: zero is the light end, the threshold the middle. Grey is not scored.
    """
    columns = min(_COLUMNS, max(1, len(maps)))
    rows = max(1, math.ceil(len(maps) / columns))
    high, wide = maps[0].shape
    whole = np.full((rows * high, columns * wide), np.nan)
    for number, one in enumerate(maps):
        top, left = number // columns * high, number % columns * wide
        whole[top : top + high, left : left + wide] = one
    return _png(_places(whole, threshold), cm.lajolla_r), columns


def motion_png(cm_map: NDArray[Any]) -> bytes:
    """Motion (row, column), cm, positive towards the satellite: one pixel a cell, zero-centred; grey is not measured."""
    known = np.abs(cm_map[np.isfinite(cm_map)])
    most = max(LEAST_CM, float(np.quantile(known, 0.99)) if known.size else 0.0)
    return _png(np.where(np.isfinite(cm_map), (cm_map / most + 1) / 2, np.nan), cm.vik)


def _places(scores: NDArray[Any], threshold: float | None) -> NDArray[Any]:
    """Scores as parts of the scale, 0 to 1."""
    known = scores[np.isfinite(scores)]
    top = float(known.max(initial=0.0))
    if threshold is None or threshold <= 0:
        low = float(known.min(initial=0.0))
        return (scores - low) / max(top - low, 1e-9)
    most = max(2 * threshold, top)
    above = 0.5 + 0.5 * (scores - threshold) / (most - threshold)
    return np.where(scores <= threshold, 0.5 * scores / threshold, above)


def _png(places: NDArray[Any], colours: Any) -> bytes:
    index = np.where(np.isfinite(places), np.clip(places, 0, 1) * (_COLOURS - 1), _COLOURS).round()
    table = (np.asarray(colours(np.linspace(0, 1, _COLOURS)))[:, :3] * 255).round().astype(np.uint8)
    picture = Image.new("P", (places.shape[1], places.shape[0]))
    picture.putdata(index.astype(np.uint8).ravel().tolist())
    picture.putpalette([*table.ravel().tolist(), *_GREY])
    buffer = io.BytesIO()
    picture.save(buffer, "png", optimize=False)
    return buffer.getvalue()
