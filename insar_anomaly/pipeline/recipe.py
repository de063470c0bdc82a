"""How a model is made: everything that decides what a fit gives, as a type, and as JSON in the ledger beside the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from insar_anomaly.calibration.threshold import Target
from insar_anomaly.evidence.protocol import Reach
from insar_anomaly.names import EvidenceKind, JsonObject
from insar_anomaly.tiles.preprocess import Cleaning

Polygons = tuple[tuple[tuple[float, float], ...], ...]
"""Exclusion polygons: rings of (lon, lat)."""

PAIRS_HAVE_NO_REACH = Reach(1, 1, 1, 1.0)


@dataclass(frozen=True)
class DetectorChoice:
    """A detector by name, and its own settings as far as they are given."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, object]:
        """Ready for JSON."""
        return {"kind": self.kind, **self.options}


@dataclass(frozen=True)
class Trials:
    """How a threshold is chosen: the aim, the blocks of time, the injected peaks (cm) and the seed of their places."""

    target: Target
    folds: int
    peaks_cm: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a fit gives, but for the code.

    `pairs` is a hash of those it is fitted on; `grid` counts how often the stack had been built anew on another grid.
    """

    evidence: EvidenceKind
    cleaning: Cleaning
    detector: DetectorChoice
    trials: Trials
    exclude: Polygons
    pairs: str
    reach: Reach = PAIRS_HAVE_NO_REACH
    grid: int = 0

    @property
    def text(self) -> str:
        """The stored form. Two recipes with the same text give the same model."""
        calibrate = asdict(self.trials.target) | {
            "folds": self.trials.folds,
            "peaks_cm": self.trials.peaks_cm,
            "seed": self.trials.seed,
        }
        content: dict[str, object] = {
            "preprocess": asdict(self.cleaning),
            "detector": self.detector.content,
            "calibrate": calibrate,
            "exclude": self.exclude,
            "pairs": self.pairs,
        }
        if self.evidence != EvidenceKind.PAIR:
            content |= {"evidence": self.evidence.value, "reach": self.reach.content}
        if self.grid:
            content |= {"grid": self.grid}
        return json.dumps(content, sort_keys=True)

    @classmethod
    def read(cls, text: str) -> Recipe:
        """From the stored form."""
        content: JsonObject = json.loads(text)
        aim: JsonObject = content["calibrate"]
        trials = {name: aim.pop(name) for name in ("folds", "peaks_cm", "seed")}
        detector = dict(content["detector"])
        return cls(
            evidence=EvidenceKind(content.get("evidence", EvidenceKind.PAIR)),
            cleaning=Cleaning.of(content["preprocess"]),
            detector=DetectorChoice(detector.pop("kind"), detector),
            trials=Trials(Target(**aim), trials["folds"], tuple(trials["peaks_cm"]), trials["seed"]),
            exclude=tuple(tuple((float(lon), float(lat)) for lon, lat in ring) for ring in content["exclude"]),
            pairs=content["pairs"],
            reach=Reach(**content["reach"]) if "reach" in content else PAIRS_HAVE_NO_REACH,
            grid=content.get("grid", 0),
        )


def hash_of_pairs(quiet: Sequence[str], deforming: Sequence[str]) -> str:
    """Names the pairs of a fit: the quiet ones, and those that labels call deformation."""
    return hashlib.sha256("\n".join((*quiet, "", *deforming)).encode()).hexdigest()[:16]
