"""The detectors, by name. Each is a `base.Detector` with a `base.Scorer`; none knows another.

`registry.DETECTORS` is the table of their kinds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import xarray as xr

from insar_anomaly.detectors.base import Detector, Registration, Scorer
from insar_anomaly.errors import PluginFailed
from insar_anomaly.registry import DETECTORS


def settings_class(kind: str) -> type[Any]:
    """The settings dataclass of a detector.

    Raises
    ------
    ValueError
        where the kind is unknown; the message lists the kinds.
    PluginFailed
        where the kind is another package's and cannot be used.
    """
    return DETECTORS.load(kind, Registration).detector


def takes(kind: str, setting: str) -> bool:
    """True where a detector of this kind has a setting of this name."""
    return any(field.name == setting for field in fields(settings_class(kind)))


def build(kind: str, **settings: Any) -> Detector:
    """A detector by name, ready to be fitted. Raises as `settings_class` does, and ValueError for wrong settings."""
    found = DETECTORS.load(kind, Registration)
    if kind not in DETECTORS.own:
        _check_name(kind, found.scorer.__name__)
    return found.detector(**settings)


def load(dataset: xr.Dataset) -> Scorer:
    """The scorer that `Scorer.to_dataset` made.

    Raises
    ------
    ValueError
        where the dataset is no scorer of a detector that is installed.
    """
    wanted = dataset.attrs.get("detector")
    failed: list[str] = []
    for _, scorer in _scorers(failed):  # each is imported when its turn comes: the first one is nearly always it
        if scorer.__name__ == wanted:
            return scorer.from_dataset(dataset)
    raise ValueError("; ".join([f"a model of kind {wanted!r} is not one of this version: fit the stack again", *failed]))


def _scorers(failed: list[str]) -> Iterator[tuple[str, type[Scorer]]]:
    """Kind and scorer of every detector; what is wrong with packages that cannot be used is added to `failed`."""
    for kind in _kinds():
        try:
            scorer = DETECTORS.load(kind, Registration).scorer
        except PluginFailed as problem:
            failed.append(str(problem))
        else:
            yield kind, scorer


def _kinds() -> Iterator[str]:
    """This package's kinds, then those of other packages, which are looked for only then: that takes some 40 ms."""
    yield from DETECTORS.own
    yield from (kind for kind in DETECTORS.kinds if kind not in DETECTORS.own)


def _check_name(kind: str, scorer: str) -> None:
    """Raise PluginFailed where a stored model could be taken for another detector's."""
    owner = next(owner for owner, one in _scorers([]) if one.__name__ == scorer)
    if owner != kind:
        raise PluginFailed(f"detector {kind}: its {scorer} has the name of the scorer of {owner}; rename the class")
