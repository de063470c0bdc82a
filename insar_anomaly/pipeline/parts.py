"""The parts of a recipe, made: the detector with its weights, the way to tiles, the evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fsspec
import xarray as xr

from insar_anomaly import detectors, evidence
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.detectors.base import BATCH, Detector
from insar_anomaly.errors import UsageError
from insar_anomaly.evidence.planes import Planes
from insar_anomaly.evidence.protocol import Evidence, Reach, ToTiles
from insar_anomaly.names import EvidenceKind
from insar_anomaly.pipeline.recipe import DetectorChoice
from insar_anomaly.sources.base import StorageOptions
from insar_anomaly.tiles.preprocess import Cleaning, range_step

if TYPE_CHECKING:
    from insar_anomaly.detectors.backbone import Weights


def evidence_of(kind: EvidenceKind, reach: Reach, volcano: Volcano, stack: xr.Dataset, cleaning: Cleaning) -> Evidence:
    """A kind of evidence with a stack's way to tiles."""
    # windows walk from pair to pair and keep what they need: nothing is left to be lazy about
    to_tiles = tiles_of(volcano, stack, cleaning, chunk=BATCH if kind == EvidenceKind.PAIR else None)
    range_rad = cleaning.range_rad if kind == EvidenceKind.PAIR else reach.range_rad
    return evidence.build(kind, to_tiles, range_step(cleaning.range_form, range_rad), reach)


def planes_of(volcano: Volcano, stack: xr.Dataset, cleaning: Cleaning) -> Planes:
    """A stack's pairs, each made into a tile once, for all kinds of evidence. To be closed."""
    return Planes(stack, tiles_of(volcano, stack, cleaning, chunk=None), alike=cleaning.smooth_px == 0)


def tiles_of(volcano: Volcano, stack: xr.Dataset, cleaning: Cleaning, *, chunk: int | None = BATCH) -> ToTiles:
    """`tiles.preprocess.tiles` with its settings and the volcano's exclusion polygons.

    Tiles are lazy in chunks of `chunk` pairs; with None they are made when they are asked for.
    """
    excluded = volcano.excluded(stack["y"].values, stack["x"].values)
    return lambda pairs: cleaning.tiles(pairs if chunk is None else pairs.chunk(pair=chunk), excluded=excluded)


def build_detector(choice: DetectorChoice, storage: StorageOptions) -> Detector:
    """The chosen detector. Weights that are no name of `detectors.backbone.named_weights` are read from their path or URL.

    Raises
    ------
    UsageError
        where the weights cannot be read or belong to another backbone.
    """
    from insar_anomaly.detectors import backbone  # torch takes seconds to import, and a run with nothing new needs none

    # JSON has lists where settings have tuples
    options: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in choice.options.items()}
    weights = options.get("weights")
    if isinstance(weights, str) and weights not in backbone.NAMES:
        options["network"] = read_weights(weights, options.get("backbone", "resnet18"), storage)
        options["network_name"] = weights
    return detectors.build(choice.kind, **options)


def read_weights(url: str, name: str, storage: StorageOptions) -> Weights:
    """Weights of the backbone `name` from a .safetensors file at any fsspec URL. Raises `UsageError` naming it."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from insar_anomaly.detectors import backbone

    options: StorageOptions = storage if url.startswith("s3://") else {}
    try:
        with fsspec.open(url, "rb", **options) as f:
            return backbone.from_torchvision(name, load(f.read()))
    except (OSError, SafetensorError, ValueError) as problem:
        raise UsageError(
            f"[detector] weights = {url!r}: {problem}; give insar, imagenet, random or a .safetensors file"
        ) from problem
