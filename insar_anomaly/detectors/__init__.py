"""The detectors, by name. Each is a `base.Detector` with a `base.Scorer`; none knows another."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import Any

import xarray as xr

from insar_anomaly.detectors.base import Detector, Scorer

_PLACES = {
    "padim": ("padim", "Padim", "PadimScorer"),
    "matched_filter": ("matched_filter", "MatchedFilter", "MatchedFilterScorer"),
    "ganomaly": ("ganomaly", "Ganomaly", "GanomalyScorer"),
    "diffusion": ("diffusion", "Diffusion", "DiffusionScorer"),
    "cnn": ("cnn", "Cnn", "CnnScorer"),
}
NAMES = tuple(_PLACES)


def settings_class(kind: str) -> type[Any]:
    """The settings dataclass of a detector.

    Raises
    ------
    ValueError
        where the name is unknown; lists the names.
    """
    if kind not in _PLACES:
        raise ValueError(f"detector kind = {kind!r}: choose one of {', '.join(NAMES)}")
    module, name, _ = _PLACES[kind]
    found: type[Any] = getattr(import_module(f"{__name__}.{module}"), name)
    return found


def build(kind: str, **settings: Any) -> Detector:
    """A detector by name, ready to be fitted."""
    detector: Detector = settings_class(kind)(**settings)
    return detector


def load(dataset: xr.Dataset) -> Scorer:
    """The scorer that `Scorer.to_dataset` made.

    Raises
    ------
    ValueError
        where the dataset is no scorer of this version.
    """
    wanted = dataset.attrs.get("detector")
    for module, _, scorer in _PLACES.values():
        if scorer == wanted:
            found: Scorer = getattr(import_module(f"{__name__}.{module}"), scorer).from_dataset(dataset)
            return found
    raise ValueError(f"a model of kind {wanted!r} is not one of this version: fit the stack again")


def setting_names(kind: str) -> list[str]:
    """Names of a detector's settings."""
    return [f.name for f in fields(settings_class(kind))]
