"""Plots of a calibration as they stand in an SVG of a page: ROC curves, the map of what is detected, months."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cmcrameri import cm

from insar_anomaly.calibration.detectability import Detectability
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import Age

SIZE = 200.0
"""Side of a plot, in its own units."""


@dataclass(frozen=True)
class Curve:
    """One ROC curve: its words, its AUROC, the ``points`` of an SVG polyline, whether it is of first assessments, and the
    number of its colour, one for each injected peak."""

    words: str
    auroc: float
    points: str
    first: bool
    colour: int


@dataclass(frozen=True)
class Roc:
    """ROC curves, and where the policy's threshold stands on them: a point for each curve, None without a threshold."""

    curves: Sequence[Curve]
    at: Sequence[tuple[float, float, str]]


def roc_of(found: Calibration) -> Roc | None:
    """The curves of a calibration; None where it has none."""
    curves, at = [], []
    rate = found.false_positives.value if found.false_positives else None
    peaks = sorted({sample.peak_cm or 0.0 for sample in found.roc})
    for sample, curve in found.roc.items():
        points = " ".join(f"{SIZE * x:.1f},{SIZE * (1 - y):.1f}" for x, y in zip(curve.fpr, curve.tpr, strict=True))
        colour = peaks.index(sample.peak_cm or 0.0) % 5
        curves.append(Curve(str(sample), found.auroc.get(sample, float("nan")), points, sample.age is Age.FIRST, colour))
        share = found.detection.get(sample)
        if rate is not None and share is not None:
            words = f"policy's point: {share.value:.0%} of {sample} detected at a false positive rate of {rate:.2%}"
            at.append((SIZE * rate, SIZE * (1 - share.value), words))
    return Roc(curves, at) if curves else None


@dataclass(frozen=True)
class Cell:
    """A cell of the map of what is detected: its place and size, its colours, its number, cm."""

    x: float
    y: float
    side: float
    fill: str
    ink: str
    cm: float


def cells_of(found: Detectability | None) -> list[Cell]:
    """The peak that is seen in half of cases, by place; empty where there is no such map."""
    if found is None or not found.map_cm.size:
        return []
    low, high = float(found.map_cm.min()), float(found.map_cm.max())
    side = SIZE / len(found.map_cm)
    out = []
    for row, line in enumerate(found.map_cm):
        for column, value in enumerate(line):
            part = (float(value) - low) / (high - low) if high > low else 0.5
            red, green, blue = (round(255 * one) for one in cm.lipari(part)[:3])
            ink = "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
            fill = f"#{red:02x}{green:02x}{blue:02x}"
            out.append(Cell(round(column * side, 2), round(row * side, 2), round(side, 2), fill, ink, float(value)))
    return out
