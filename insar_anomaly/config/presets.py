"""Named sets of settings: what a file's `preset` stands for."""

from __future__ import annotations

from typing import Any

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    # the papers' method as their public code runs it (its README's form A with NLML, clamped), parity switches included
    "poster": {
        "preprocess": {"remove": (), "range_form": "clip", "range_rad": 30.0, "fill_grow": 2},
        "detector": {
            "kind": "padim",
            "weights": "imagenet",
            "layout": "windows",
            "form": "per-layer",
            "distance": "nlml",
            "stride": 4,
            "aggregate": "authors",
            "factors": "float32",
            "ridge": 0.01,
            "relative_ridge": 0.0,
            "least_seen": 0.0,
            "clamp": True,
            "eight_bit": True,
        },
        "calibrate": {"policy": "quantile"},
        "fusion": {"evidence": ()},
        "flags": {"rests_on": "pair"},
    },
}
"""Named sets of settings; a key of the file that a preset has too wins over it."""
