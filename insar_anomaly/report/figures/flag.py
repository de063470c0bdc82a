"""The figure of a flag: what moved, where it stands out, and what is known of the time around it.

Scales are anchored, so that quiet ground looks quiet: motion to at least 3 cm on either side of zero, the score map to its
threshold. Every panel states its units and its positive direction.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
from cmcrameri import cm
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize, TwoSlopeNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from insar_anomaly.report.figures import furniture
from insar_anomaly.report.figures.lettering import any_missing, titled
from insar_anomaly.report.figures.words import words_of
from insar_anomaly.spoken import DEFAULT, LANGUAGES
from insar_anomaly.stack.coverage import summit_part
from insar_anomaly.stack.freshness import SUMMIT_LEAST
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import rad_per_m, turned

LEAST_CM = 3.0
"""Motion scales reach at least so far on either side of zero."""
_NICE = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


@dataclass(frozen=True)
class Track:
    """The motion of one place: `cm` (acquisition,) on `days`, positive towards the satellite; `event` is its span, and
    `sigma_cm` one standard deviation of quiet ground there, None where it is not known."""

    days: tuple[date, ...]
    cm: tuple[float, ...]
    event: tuple[date, date]
    sigma_cm: float | None


@dataclass(frozen=True)
class PairFigure:
    """What the figure shows of one stack.

    ``cm`` (y, x) is motion along the line of sight, positive towards the satellite, NaN = no measurement; ``coherence``
    (y, x) in [0, 1]; ``score_map`` (v, u), one cell per ``stride`` pixels, NaN = not scored; ``height`` (y, x) m, None where
    it is not known. ``before`` and ``later`` are maps beside ``cm``, each with its dates. ``look`` is the vector from the
    ground to the satellite (east, north, up), ``way`` the pass, ``A`` or ``D``. ``assessed`` are the dates of the score map.
    """

    title: str
    grid: Grid
    volcano: tuple[float, float]
    cm: NDArray[Any]
    coherence: NDArray[Any]
    score_map: NDArray[Any]
    stride: int
    threshold: float | None
    wavelength_m: float
    height: NDArray[Any] | None = None
    look: tuple[float, float, float] | None = None
    way: str | None = None
    before: tuple[str, NDArray[Any]] | None = None
    later: tuple[str, NDArray[Any]] | None = None
    track: Track | None = None
    peak: tuple[float, float] | None = None
    assessed: str = ""

    @property
    def summit_measured(self) -> bool:
        """False where too little of the ground around the volcano's place has a measurement here."""
        return summit_part(np.isfinite(np.asarray(self.cm, float)), self.grid, self.volcano) >= SUMMIT_LEAST

    @property
    def limit_cm(self) -> float:
        """The end of the motion scale: all but the most extreme pixels are inside of it."""
        known = np.abs(np.asarray(self.cm, float))
        known = known[np.isfinite(known)]
        most = float(np.quantile(known, 0.995)) if known.size else 0.0
        return float(next((nice for nice in _NICE if nice >= max(LEAST_CM, most)), most))

    @property
    def score_scale(self) -> Normalize:
        """Colours of scores: zero is the light end and the threshold the middle, whatever the map holds."""
        known = np.asarray(self.score_map, float)
        known = known[np.isfinite(known)]
        if self.threshold is None or self.threshold <= 0:
            return Normalize(*((known.min(), known.max()) if known.size else (0.0, 1.0)))
        return TwoSlopeNorm(self.threshold, vmin=0.0, vmax=max(2 * self.threshold, float(known.max(initial=0.0))))


def pair_png(*shown: PairFigure, title: str = "", note: str = "", language: str = DEFAULT) -> bytes:
    """A block of panels for each stack, under one title. PNG bytes."""
    return pair_figure(*shown, title=title, note=note, language=language)


def pair_figure(*shown: PairFigure, title: str = "", note: str = "", language: str = DEFAULT, form: str = "png") -> bytes:
    """The same as `pair_png` in another format: ``png``, ``svg``, ``pdf`` or ``jpeg``."""
    figure = Figure(figsize=(11, 0.7 + 7.3 * len(shown)), layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    FigureCanvasAgg(figure)
    said = words_of(language)
    lines = "\n".join(filter(None, (title, note)))
    if any_missing([lines, *(one.title for one in shown)]):
        lines += f"\n{said['missing']}"
    titled(figure, lines, fontsize=13)
    for block, one in zip(figure.subfigures(len(shown), 1, squeeze=False)[:, 0], shown, strict=True):
        _block(block, one, said, language)
    return furniture.written(figure, form)


def panel_pngs(shown: PairFigure, *, language: str = DEFAULT) -> dict[str, bytes]:
    """The maps of a figure, each as a PNG of its own: ``motion``, ``fringes``, ``coherence`` and ``scores``."""
    said, out = words_of(language), {}
    for name, draw in _PANELS.items():
        figure = Figure(figsize=(3.7, 4.25))  # no layout engine: it would take as long as all the rest
        FigureCanvasAgg(figure)
        [[whole]] = figure.subfigures(1, 1, squeeze=False)
        whole.subplots_adjust(left=0.13, right=0.965, top=0.85, bottom=-0.02)
        draw(whole, whole.subplots(), shown, said)
        out[name] = furniture.png(figure)
    return out


def _block(figure: SubFigure, shown: PairFigure, said: dict[str, str], language: str) -> None:
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.55, 1])[:, 0]
    titled(above, shown.title, fontsize=11.5)
    motion, scores, series = above.subplots(1, 3, width_ratios=[1, 1, 0.95])
    _motion_panel(above, motion, shown, said)
    _score_panel(above, scores, shown, said)
    _series_panel(series, shown, said, language)
    small = below.subplots(1, 4)
    _beside(small[0], shown.before, "before", shown, said)
    _beside(small[1], shown.later, "later", shown, said)
    _fringes(below, small[2], shown, said)
    _coherence(below, small[3], shown, said)


def _motion_panel(figure: SubFigure, axis: Axes, shown: PairFigure, said: dict[str, str]) -> None:
    drawn = _motion(axis, shown.cm, shown)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9, location="bottom", extend="both")
    bar.ax.tick_params(labelsize=9)
    axis.set_title(f"{said['motion']}\n(+ {said['towards']})", fontsize=10.5)
    furniture.furnish(axis, shown.grid, shown.volcano, degrees=True)
    if shown.peak is not None:
        west, east, _, _ = furniture.extent_of(shown.grid)
        lon = turned(shown.peak[1], (west + east) / 2)
        axis.plot(lon, shown.peak[0], marker="o", markersize=11, markerfacecolor="none", markeredgecolor="black", zorder=6)
        axis.plot(lon, shown.peak[0], marker="+", markersize=7, color="black", zorder=6)
    if shown.look is not None:
        furniture.directions(axis, shown.look, shown.way, said)
    if not shown.summit_measured:
        furniture.cross_out(axis, shown.volcano, said["summit"])


def _motion(axis: Axes, values: NDArray[Any], shown: PairFigure) -> Any:
    """A map of motion over the terrain, on the figure's one scale."""
    shaded = shown.height is not None and furniture.shade(axis, np.asarray(shown.height, float), shown.grid)
    axis.set_facecolor("0.8")
    limit = shown.limit_cm
    style = {"cmap": cm.vik, "vmin": -limit, "vmax": limit, "interpolation": "nearest", "alpha": 0.78 if shaded else 1.0}
    return axis.imshow(np.asarray(values, float), extent=furniture.extent_of(shown.grid), **style)


def _score_panel(figure: SubFigure, axis: Axes, shown: PairFigure, said: dict[str, str]) -> None:
    height, width = shown.grid.shape
    full = np.repeat(np.repeat(np.asarray(shown.score_map, float), shown.stride, 0), shown.stride, 1)[:height, :width]
    extent = furniture.extent_of(shown.grid)
    drawn = axis.imshow(full, extent=extent, cmap=cm.lajolla_r, norm=shown.score_scale, interpolation="nearest")
    axis.set_facecolor("0.7")
    known, threshold = full[np.isfinite(full)], shown.threshold
    if threshold is not None and known.size and known.min() < threshold < known.max():
        filled = np.nan_to_num(full, nan=float(known.min()))
        axis.contour(shown.grid.lon, shown.grid.lat, filled, levels=[threshold], colors="black", linewidths=1.2)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9, location="bottom")
    bar.ax.tick_params(labelsize=9)
    if threshold is not None and isinstance(drawn.norm, TwoSlopeNorm):
        ticks = [0.0, threshold / 2, threshold, float(drawn.norm.vmax or 2 * threshold)]
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
        bar.ax.axvline(threshold, color="black", linewidth=1.5)
    line = said["contour"] if threshold is not None else said["no threshold"]
    axis.set_title(f"{said['scores']}\n{shown.assessed}\n({line}; {said['not scored']})", fontsize=10.5)
    furniture.furnish(axis, shown.grid, shown.volcano, degrees=True)
    axis.tick_params(labelleft=False)


def _series_panel(axis: Axes, shown: PairFigure, said: dict[str, str], language: str) -> None:
    axis.set_title(said["series"], fontsize=10.5)
    if shown.track is None:
        axis.set_axis_off()
        return
    track, words = shown.track, LANGUAGES.get(language, LANGUAGES[DEFAULT])
    if track.sigma_cm is not None:
        band = 2 * track.sigma_cm
        axis.axhspan(-band, band, color="0.88", zorder=0, label=said["noise"])
    axis.axvspan(*_days(track.event), color="gold", alpha=0.45, zorder=0.5, label=said["event"])
    axis.axhline(0, color="0.5", linewidth=0.8)
    values = np.array(track.cm) - np.mean(
        [v for d, v in zip(track.days, track.cm, strict=True) if d <= track.event[0]] or [0]
    )
    axis.plot(_days(track.days), values, marker="o", markersize=4.5, color="black", linewidth=1)
    most = max(LEAST_CM, 1.15 * float(np.abs(values).max(initial=0)))
    axis.set_ylim(-most, most)
    ticks = _ticks(track.days)
    axis.set_xticks(_days(ticks), labels=[_short(day, words.months) for day in ticks])
    axis.tick_params(labelsize=9)
    axis.legend(fontsize=8.5, loc="lower left" if values[-1] > 0 else "upper left", framealpha=0.9)


def _days(days: Sequence[date]) -> list[float]:
    """Days on the axis of time."""
    return [float(day.toordinal()) for day in days]


def _ticks(days: Sequence[date]) -> list[date]:
    """Up to four acquisitions, evenly spread."""
    return [days[round(k)] for k in np.linspace(0, len(days) - 1, min(4, len(days)))]


def _short(day: date, months: tuple[str, ...]) -> str:
    return f"{day.day} {months[day.month - 1][:3]}\n{day.year}"


def _beside(axis: Axes, beside: tuple[str, NDArray[Any]] | None, name: str, shown: PairFigure, said: dict[str, str]) -> None:
    """A map of the time before or after, small, on the scale of the large one."""
    if beside is None:
        axis.set_axis_off()
        axis.text(0.5, 0.5, said[f"none {name}"], ha="center", va="center", fontsize=9.5, color="0.35")
        return
    _motion(axis, beside[1], shown)
    axis.set_title(textwrap.fill(said[name].format(when=beside[0]), 36), fontsize=9)
    furniture.furnish(axis, shown.grid, shown.volcano, degrees=False, size=7.5)


def _fringes(figure: SubFigure, axis: Axes, shown: PairFigure, said: dict[str, str]) -> None:
    phase = np.asarray(shown.cm, float) / 100 * rad_per_m(shown.wavelength_m)
    style = {"cmap": cm.romaO, "vmin": -np.pi, "vmax": np.pi, "interpolation": "nearest"}
    axis.set_facecolor("0.8")
    drawn = axis.imshow(np.angle(np.exp(1j * phase)), extent=furniture.extent_of(shown.grid), **style)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9, location="bottom", ticks=[-np.pi, 0, np.pi])
    bar.set_ticklabels(["-π", "0", "π"], fontsize=8.5)
    axis.set_title(said["fringes"].format(cm=50 * shown.wavelength_m), fontsize=9)
    furniture.furnish(axis, shown.grid, shown.volcano, degrees=False, size=7.5)


def _coherence(figure: SubFigure, axis: Axes, shown: PairFigure, said: dict[str, str]) -> None:
    style = {"cmap": cm.grayC, "vmin": 0, "vmax": 1, "interpolation": "nearest"}
    axis.set_facecolor("#c6dbef")
    drawn = axis.imshow(np.asarray(shown.coherence, float), extent=furniture.extent_of(shown.grid), **style)
    bar = figure.colorbar(drawn, ax=axis, shrink=0.9, location="bottom", ticks=[0, 0.5, 1])
    bar.ax.tick_params(labelsize=8.5)
    axis.set_title(said["coherence"], fontsize=9)
    furniture.furnish(axis, shown.grid, shown.volcano, degrees=False, size=7.5)


_PANELS = {"motion": _motion_panel, "fringes": _fringes, "coherence": _coherence, "scores": _score_panel}
