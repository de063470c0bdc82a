"""Figures of the benchmark: detectors side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from cmcrameri import cm
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from insar_anomaly.report.figures.furniture import png


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
    return png(figure)


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
    return png(figure)
