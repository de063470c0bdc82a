"""Figures: of a flag, of a calibration, of the benchmark. Plotting libraries are imported in this room only."""

from insar_anomaly.report.figures.benchmark import panels_png, roc_png
from insar_anomaly.report.figures.calibration import Scene, calibration_png
from insar_anomaly.report.figures.flag import PairFigure, Track, pair_figure, pair_png, panel_pngs

__all__ = [
    "PairFigure",
    "Scene",
    "Track",
    "calibration_png",
    "pair_figure",
    "pair_png",
    "panel_pngs",
    "panels_png",
    "roc_png",
]
