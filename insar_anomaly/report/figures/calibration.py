"""The figure of a stack's calibration: how well it tells, where its threshold lies, and what it would miss where."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

import numpy as np
from cmcrameri import cm
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from insar_anomaly.calibration.detectability import Detectability
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import Age
from insar_anomaly.names import EvidenceKind
from insar_anomaly.report.figures import furniture
from insar_anomaly.report.figures.lettering import any_missing, titled
from insar_anomaly.report.figures.words import words_of
from insar_anomaly.spoken import DEFAULT, LANGUAGES
from insar_anomaly.stack.schema import Grid


@dataclass(frozen=True)
class Scene:
    """Whose calibration it is: the volcano's name and place (latitude, longitude), and the grid; None for a couple."""

    volcano: str
    place: tuple[float, float]
    grid: Grid | None = None


def calibration_png(stack: str, evidence: EvidenceKind, calibration: Calibration, scene: Scene) -> bytes:
    """ROC per injected peak, where the threshold lies among the quiet scores, and what is detected where. PNG bytes."""
    figure = Figure(figsize=(14, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right, last = figure.subplots(1, 3)
    one = "pair" if evidence is EvidenceKind.PAIR else "assessment"
    quiet = "quiet pairs" if evidence is EvidenceKind.PAIR else f"assessments of quiet {evidence.many}"
    _roc_panel(left, calibration, one)
    _scores_panel(right, calibration, quiet)
    _detectability_panel(figure, last, calibration.detectability, scene)
    title = f"{scene.volcano}, {LANGUAGES[DEFAULT].place(*scene.place)}\n{stack}: {evidence.many}"
    if any_missing([title]):
        title += f"\n{words_of(DEFAULT)['missing']}"
    titled(figure, title, fontsize=12.5)
    return furniture.png(figure)


def _roc_panel(axis: Axes, calibration: Calibration, one: str) -> None:
    curves = calibration.roc
    for colour, (sample, curve) in zip(cm.batlow(np.linspace(0.1, 0.8, max(1, len(curves)))), curves.items(), strict=False):
        style = "dashed" if sample.age is Age.FIRST else "solid"
        label = f"{sample}: AUROC {calibration.auroc[sample]:.3f}"
        axis.plot(curve.fpr, curve.tpr, color=colour, linestyle=style, label=label)
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axis.set(xlabel=f"false positive rate per {one}", ylabel="true positive rate", title="ROC, scored out of sample")
    if curves:
        axis.legend(loc="lower right", fontsize=8)


def _scores_panel(axis: Axes, calibration: Calibration, quiet: str) -> None:
    axis.hist(calibration.negatives, bins=40, color="0.6")
    if (threshold := calibration.threshold) is not None:
        why = textwrap.fill(calibration.why, 44)
        axis.axvline(threshold, color="crimson", label=f"threshold {threshold:.4g}")
        axis.legend(fontsize=9, loc="upper right")
        axis.set_xlabel(f"score\n{why}", parse_math=False)
    else:
        axis.set_xlabel("score")
    axis.set(ylabel="number", title=f"{len(calibration.negatives)} {quiet}")


def _detectability_panel(figure: Figure, axis: Axes, found: Detectability | None, scene: Scene) -> None:
    """The peak that is seen in half of cases, by place: in degrees where the grid is known, else in parts of the scene."""
    if found is None:
        axis.set(title="detectability: no source was injected", xticks=[], yticks=[])
        return
    places = f"all places: half {found.half}, nine tenths {found.most}"
    if not found.map_cm.size:
        axis.set(title=f"detectability: no map, one peak was injected\n({places})", xticks=[], yticks=[])
        return
    low, high = found.edges
    style = {"cmap": cm.lipari, "interpolation": "nearest"}
    if scene.grid is None:
        shown = axis.imshow(found.map_cm, extent=(low, high, high, low), **style)
        axis.set(xlabel="part of the scene, west to east", ylabel="part of the scene, north to south")
    else:
        west, east, south, north = furniture.extent_of(scene.grid)
        wide, tall = east - west, north - south
        extent = (west + low * wide, west + high * wide, north - high * tall, north - low * tall)
        shown = axis.imshow(found.map_cm, extent=extent, **style)
        furniture.furnish(axis, scene.grid, scene.place, degrees=True)
        axis.set(xlabel="longitude, degrees east", ylabel="latitude, degrees north", facecolor="0.85")
    figure.colorbar(shown, ax=axis, label="cm, line of sight", shrink=0.9)
    axis.set_title(f"peak seen in half of cases, by place\n({places})", fontsize=10.5)
