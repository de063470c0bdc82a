"""Figures: one pair with its score map, a stack's calibration. Every panel states its units and positive direction."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from cmcrameri import cm
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase, SubFigure
from numpy.typing import NDArray

from insar_anomaly.calibration.detectability import Detectability
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.calibration.samples import Age
from insar_anomaly.names import EvidenceKind
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE, RAD_PER_M, WAVELENGTH_M


@dataclass(frozen=True)
class PairFigure:
    """What the figure of one pair shows.

    ``phase`` (y, x) rad positive away, NaN = no measurement; ``coherence`` (y, x) in [0, 1]; ``score_map`` (v, u), one cell
    per ``stride`` pixels, NaN = not scored.
    """

    title: str
    note: str
    grid: Grid
    volcano: tuple[float, float]
    phase: NDArray[Any]
    coherence: NDArray[Any]
    score_map: NDArray[Any]
    stride: int
    threshold: float | None

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge, degrees."""
        g = self.grid
        return g.west, g.west + g.dx * g.shape[1], g.north - g.dy * g.shape[0], g.north


def pair_png(*shown: PairFigure) -> bytes:
    """Four panels: motion in cm, fringes, coherence, score map with the threshold's contour. A row for each. PNG bytes."""
    figure = Figure(figsize=(15, 4.4 * len(shown)), layout="constrained")
    FigureCanvasAgg(figure)
    for row, one in zip(figure.subfigures(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        _pair_row(row, one)
    return _png(figure)


def _pair_row(figure: SubFigure, shown: PairFigure) -> None:
    axes: Sequence[Axes] = figure.subplots(1, 4, sharex=True, sharey=True)
    motion_cm = np.asarray(shown.phase, float) / RAD_PER_M * 100
    motion_cm = motion_cm - (np.nanmedian(motion_cm) if np.isfinite(motion_cm).any() else 0)
    limit = float(np.nanquantile(np.abs(motion_cm), 0.995)) if np.isfinite(motion_cm).any() else 1.0
    fringes = np.angle(np.exp(1j * np.asarray(shown.phase, float)))
    panels: list[tuple[str, NDArray[Any], dict[str, Any]]] = [
        ("line of sight, cm\n(positive towards satellite)", motion_cm, {"cmap": cm.vik, "vmin": -limit, "vmax": limit}),
        (
            f"fringes, rad (one = {50 * WAVELENGTH_M:.1f} cm,\npositive away)",
            fringes,
            {"cmap": cm.romaO, "vmin": -np.pi, "vmax": np.pi},
        ),
        ("coherence", np.asarray(shown.coherence, float), {"cmap": cm.grayC, "vmin": 0, "vmax": 1}),
    ]
    for axis, (title, values, style) in zip(axes, panels, strict=False):
        drawn = axis.imshow(values, extent=shown.extent, interpolation="nearest", **style)
        _furnish(figure, axis, drawn, title, shown)
    _score_panel(figure, axes[3], shown)
    axes[0].set_ylabel("latitude, degrees north")
    figure.suptitle(f"{shown.title}\n{shown.note}", fontsize=11)


def calibration_png(stack: str, evidence: EvidenceKind, calibration: Calibration) -> bytes:
    """ROC per injected peak, where the threshold lies among the quiet scores, and what is detected where. PNG bytes."""
    figure = Figure(figsize=(13.5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right, last = figure.subplots(1, 3)
    _detectability_panel(figure, last, calibration.detectability)
    curves, many = calibration.roc, evidence.many
    one, quiet = ("pair", "quiet pairs") if evidence is EvidenceKind.PAIR else ("assessment", f"assessments of quiet {many}")
    for colour, (sample, curve) in zip(cm.batlow(np.linspace(0.1, 0.8, max(1, len(curves)))), curves.items(), strict=False):
        left.plot(
            curve.fpr,
            curve.tpr,
            color=colour,
            linestyle="dashed" if sample.age is Age.FIRST else "solid",
            label=f"{sample}: AUROC {calibration.auroc[sample]:.3f}",
        )
    left.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    left.set(xlabel=f"false positive rate per {one}", ylabel="true positive rate", title="ROC, scored out of sample")
    if curves:
        left.legend(loc="lower right", fontsize=8)
    right.hist(calibration.negatives, bins=40, color="0.6")
    if (threshold := calibration.threshold) is not None:
        right.axvline(threshold, color="crimson", label=f"threshold {threshold:.4g}\n({calibration.why})")
        right.legend(fontsize=8)
    right.set(xlabel="score", ylabel=quiet, title=f"{len(calibration.negatives)} {quiet}")
    figure.suptitle(f"{stack}: {many}")
    return _png(figure)


def _detectability_panel(figure: Figure, axis: Axes, found: Detectability | None) -> None:
    axis.set(xlabel="part of the scene, west to east", ylabel="part of the scene, north to south")
    if found is None:
        axis.set(title="detectability: no source was injected", xticks=[], yticks=[])
        return
    low, high = found.edges
    if not found.map_cm.size:
        axis.set(title=f"no map\n(all places: half {found.half}, nine tenths {found.most})", xticks=[], yticks=[])
        return
    shown = axis.imshow(found.map_cm, extent=(low, high, high, low), cmap=cm.lipari, interpolation="nearest")
    figure.colorbar(shown, ax=axis, label="cm, line of sight")
    axis.set_title(
        f"peak seen in half of cases, by place\n(all places: half {found.half}, nine tenths {found.most})", fontsize=9
    )


def _score_panel(figure: FigureBase, axis: Axes, shown: PairFigure) -> None:
    height, width = shown.grid.shape
    full = np.repeat(np.repeat(np.asarray(shown.score_map, float), shown.stride, 0), shown.stride, 1)[:height, :width]
    drawn = axis.imshow(full, extent=shown.extent, cmap=cm.lajolla_r, interpolation="nearest")
    axis.set_facecolor("0.7")
    _furnish(figure, axis, drawn, "score map (grey: not scored)\ncontour: threshold", shown)
    known = full[np.isfinite(full)]
    if shown.threshold is not None and known.size and known.min() < shown.threshold < known.max():
        lat, lon = shown.grid.lat, shown.grid.lon
        axis.contour(
            lon, lat, np.nan_to_num(full, nan=float(known.min())), levels=[shown.threshold], colors="black", linewidths=1
        )


def _furnish(figure: FigureBase, axis: Axes, drawn: Any, title: str, shown: PairFigure) -> None:
    figure.colorbar(drawn, ax=axis, shrink=0.8)
    west, east, south, north = shown.extent
    lat, lon = shown.volcano
    if west <= lon <= east and south <= lat <= north:
        axis.plot(lon, lat, marker="^", color="black", markersize=8, markeredgecolor="white")
    km = _round_length((east - west) * KM_PER_DEGREE * float(np.cos(np.radians(lat))) / 4)
    length = km / KM_PER_DEGREE / max(0.05, float(np.cos(np.radians(lat))))
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    axis.plot([x, x + length], [y, y], color="black", linewidth=3, solid_capstyle="butt")
    axis.text(x + length / 2, y + 0.02 * (north - south), f"{km:g} km", ha="center", va="bottom", fontsize=8)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("longitude, degrees east")
    axis.set_aspect(1 / max(0.05, float(np.cos(np.radians(lat)))))
    axis.ticklabel_format(useOffset=False)
    axis.locator_params(nbins=4)


def _round_length(km: float) -> float:
    return max((v for v in (0.5, 1, 2, 5, 10, 20, 50) if v <= km), default=0.5)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # a fixed Software tag keeps the bytes the same from run to run
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": "insar-anomaly"})
    return buffer.getvalue()


def roc_png(title: str, curves: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> bytes:
    """ROC curves of several systems: name -> (false positive rate, true positive rate). PNG bytes."""
    figure = Figure(figsize=(6.4, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    styles = ("solid", "dashed", "dotted", "dashdot")
    for i, (name, (fpr, tpr)) in enumerate(curves.items()):
        colour = cm.batlow(i / max(1, len(curves) - 1) * 0.9)
        axis.plot(fpr, tpr, color=colour, linestyle=styles[i % 4], linewidth=2.4 if i == 0 else 1.2, label=name)
    axis.plot([0, 1], [0, 1], color="0.7", linewidth=0.8)
    axis.set(xlabel="false positive rate per pair", ylabel="true positive rate", title=title)
    axis.legend(loc="lower right", fontsize=8)
    return _png(figure)


def panels_png(title: str, maps: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> bytes:
    """Score maps of several systems: name -> (quiet, positive), each column on its own scale. PNG bytes."""
    figure = Figure(figsize=(2.1 * len(maps) + 0.6, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(maps), squeeze=False)
    for column, (name, pair) in enumerate(maps.items()):
        known = np.concatenate([m[np.isfinite(m)].ravel() for m in pair])
        low, high = (np.quantile(known, [0.01, 0.999])) if known.size else (0.0, 1.0)
        for row, score_map in enumerate(pair):
            axis = axes[row, column]
            axis.set_facecolor("0.7")
            axis.imshow(score_map, cmap=cm.lajolla_r, vmin=low, vmax=high, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        axes[0, column].set_title(name, fontsize=9)
    figure.suptitle(title)
    return _png(figure)
