"""What stands on every map: the vent, a scale bar, degrees, and arrows to the north and along the line of sight."""

from __future__ import annotations

import io
import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LightSource
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from insar_anomaly.stack.freshness import SUMMIT_KM
from insar_anomaly.stack.schema import Grid
from insar_anomaly.units import KM_PER_DEGREE, turned

DPI = 110
_PACKED = 3
"""How hard a PNG is packed: 6 makes it a tenth smaller and takes twice the time."""
PAPER = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5}


def extent_of(grid: Grid) -> tuple[float, float, float, float]:
    """West, east, south and north edge, degrees."""
    return grid.west, grid.west + grid.dx * grid.shape[1], grid.north - grid.dy * grid.shape[0], grid.north


def furnish(axis: Axes, grid: Grid, volcano: tuple[float, float], *, degrees: bool, size: float = 9) -> None:
    """The vent's triangle, a scale bar, and degrees along the edges or none; `size` is that of letters, points."""
    west, east, south, north = extent_of(grid)
    lat, lon = volcano[0], turned(volcano[1], (west + east) / 2)
    narrow = max(0.05, math.cos(math.radians((south + north) / 2)))
    if west <= lon <= east and south <= lat <= north:
        axis.plot(lon, lat, marker="^", color="black", markersize=size, markeredgecolor="white", zorder=5)
    km = _round_length((east - west) * KM_PER_DEGREE * narrow / 4)
    length = km / KM_PER_DEGREE / narrow
    x, y = west + 0.05 * (east - west), south + 0.05 * (north - south)
    axis.plot([x, x + length], [y, y], color="black", linewidth=3, solid_capstyle="butt", zorder=5)
    axis.text(
        x + length / 2,
        y + 0.025 * (north - south),
        f"{km:g} km",
        ha="center",
        va="bottom",
        fontsize=size,
        bbox=PAPER,
        zorder=5,
        in_layout=False,  # nor is anything else inside a map: it takes no room beside it
    )
    axis.set(xlim=(west, east), ylim=(south, north), aspect=1 / narrow)
    if not degrees:
        axis.set(xticks=[], yticks=[])
        return
    axis.ticklabel_format(useOffset=False)
    axis.locator_params(nbins=4)
    axis.tick_params(labelsize=size)


def shade(axis: Axes, height: NDArray[np.floating], grid: Grid) -> bool:
    """Draw the terrain as light and shadow, from the north-west; False where its height is not known, or it is flat."""
    known = np.isfinite(height)
    if known.mean() < 0.5 or np.ptp(height[known]) < 1:
        return False
    metres = 1000 * KM_PER_DEGREE
    narrow = math.cos(math.radians(float(grid.lat.mean())))
    filled = np.where(known, height, np.median(height[known])).astype(float)
    steep = np.hypot(*np.gradient(filled, grid.dy * metres, grid.dx * metres * narrow))
    stronger = float(np.clip(0.5 / max(1e-6, np.quantile(steep, 0.95)), 1, 8))  # gentle terrain is drawn steeper
    light = LightSource(azdeg=315, altdeg=45).hillshade(
        filled, vert_exag=stronger, dx=grid.dx * metres * narrow, dy=grid.dy * metres
    )
    axis.imshow(light, extent=extent_of(grid), cmap="gray", vmin=-0.7, vmax=1.05, interpolation="bilinear")
    return True


def directions(axis: Axes, look: tuple[float, float, float], way: str | None, words: dict[str, str]) -> None:
    """Arrows in a corner: north, the satellite's flight where the pass is known, and from the satellite to the ground.

    `look` is the vector from the ground to the satellite; `way` is ``A`` or ``D``.
    """
    corner = axis.inset_axes((0.68, 0.68, 0.31, 0.31), in_layout=False)
    corner.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[], aspect="equal", facecolor=(1, 1, 1, 0.85))
    for edge in corner.spines.values():
        edge.set_linewidth(0.5)
    _arrow(corner, (-2.2, 0.4), (-2.2, 1.9), "N", "black", word=0.6)
    east, north = -look[0], -look[1]
    size = math.hypot(east, north)
    if not (math.isfinite(size) and size > 0.05):
        return
    east, north = 1.5 * east / size, 1.5 * north / size
    _arrow(corner, (0.2, -0.3), (0.2 + east, -0.3 + north), words["look"], "tab:red", word=0.7 if way == "D" else -0.8)
    if way in ("A", "D"):
        flight = max(((-north, east), (north, -east)), key=lambda one: one[1] * (1 if way == "A" else -1))
        _arrow(
            corner,
            (0.2, -0.3),
            (0.2 + flight[0], -0.3 + flight[1]),
            words["flight"],
            "tab:blue",
            word=0.6 if way == "A" else -0.7,
        )


def _arrow(
    axis: Axes, start: tuple[float, float], end: tuple[float, float], words: str, colour: str, *, word: float
) -> None:
    """An arrow, and its word above its middle (`word` > 0) or below: at the head it would cover the arrow beside it."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.4, "mutation_scale": 8, "shrinkA": 0, "shrinkB": 0}
    axis.annotate("", end, start, arrowprops=style)
    axis.text((start[0] + end[0]) / 2, end[1] + word, words, color=colour, fontsize=8, ha="center", va="center")


def cross_out(axis: Axes, volcano: tuple[float, float], words: str) -> None:
    """Mark ground around the summit of which nothing is known."""
    lat, lon = volcano
    high = SUMMIT_KM / KM_PER_DEGREE
    wide = high / max(0.05, math.cos(math.radians(lat)))
    limits = axis.axis()  # the summit may lie beyond what is drawn
    lon = turned(lon, (limits[0] + limits[1]) / 2)
    axis.add_patch(Ellipse((lon, lat), 2 * wide, 2 * high, fill=False, edgecolor="crimson", linestyle="dashed", hatch="xx"))
    axis.axis(limits)
    axis.text(0.03, 0.97, words, transform=axis.transAxes, color="crimson", va="top", fontsize=9, bbox=PAPER, zorder=6)


def png(figure: Figure) -> bytes:
    """The figure's bytes, the same from run to run: the Software tag is fixed."""
    tag, buffer = PngInfo(), io.BytesIO()
    tag.add_text("Software", "insar-anomaly")
    _picture(figure).save(buffer, "png", compress_level=_PACKED, pnginfo=tag, dpi=(DPI, DPI))
    return buffer.getvalue()


def written(figure: Figure, form: str) -> bytes:
    """The figure as ``png``, ``jpeg``, ``svg`` or ``pdf``, the same from run to run: no file holds its date."""
    buffer = io.BytesIO()
    if form == "png":
        return png(figure)
    if form == "jpeg":
        _picture(figure).save(buffer, "jpeg", quality=92, dpi=(DPI, DPI))
        return buffer.getvalue()
    dated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}[form]
    with mpl.rc_context({"svg.hashsalt": "insar-anomaly", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=form, dpi=DPI, metadata={"Creator": "insar-anomaly", **dated})
    return buffer.getvalue()


def _picture(figure: Figure) -> Image.Image:
    """The figure as pixels. Not by `savefig`, which goes through the whole figure once more before it draws, and packs a
    transparency that no figure has."""
    figure.set_dpi(DPI)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))


def _round_length(km: float) -> float:
    return max((v for v in (0.5, 1, 2, 5, 10, 20, 50) if v <= km), default=0.5)
