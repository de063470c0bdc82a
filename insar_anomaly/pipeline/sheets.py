"""Pictures and files of one stack for the site: panels of its maps, motion of places, score maps in time, downloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.names import direction, file_stem, frame_of, span_of
from insar_anomaly.pipeline.glance import Cells, Glance
from insar_anomaly.report.site.plain import named
from insar_anomaly.report.site.rows import Film, Motion, Picture, Seen
from insar_anomaly.spoken import DEFAULT, LANGUAGES
from insar_anomaly.units import turned


@dataclass
class Files:
    """The files of one volcano's pages, by name; each name holds a hash of the content."""

    gvp: int
    content: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, content: bytes) -> str:
        """Keep a file; returns its name as a page in the folder ``v`` calls it."""
        full = named(f"f/{self.gvp}/{name}", content)
        self.content[full] = content
        return f"../{full}"


@dataclass(frozen=True)
class Sheets:
    """What is drawn and written of one stack; names of files are those that the page in the folder ``v`` calls."""

    volcano: Volcano
    stack: str
    files: Files

    def pictures(self, words: str, glance: Glance) -> Seen:
        """The maps of a glance as pictures, and the motion of its places."""
        from insar_anomaly.report.figures import PairFigure, panel_pngs  # with matplotlib, which takes half a second

        shown = PairFigure(
            title="",
            grid=glance.grid,
            volcano=(self.volcano.lat, self.volcano.lon),
            cm=glance.cm,
            coherence=glance.coherence,
            score_map=glance.score_map,
            stride=glance.stride,
            threshold=glance.shown.threshold,
            wavelength_m=glance.wavelength_m,
            height=glance.height,
            look=glance.look,
            way=direction(frame_of(self.stack)),
            peak=glance.peak,
            assessed=when_of(glance.shown.pair),
        )
        when = LANGUAGES[DEFAULT].span(glance.first, glance.last)
        stem = f"{file_stem(self.stack)}-{glance.shown.pair}"
        panels = []
        for name, content in panel_pngs(shown).items():
            file = self.files.add(f"{stem}-{name}.png", content)
            width, height = _size(content)
            panels.append(
                Picture(file, width, height, f"{_PANELS[name]} of {self.volcano.name}, {frame_of(self.stack)}, {when}")
            )
        return Seen(f"{words}, {when}", panels, self._motion(glance, stem))

    def _motion(self, glance: Glance, stem: str) -> Motion | None:
        from insar_anomaly.report.site.pictures import motion_png

        series, cells = glance.series, glance.cells
        if series is None:
            return None
        peak = [round(value, 2) for value in series.cm]
        if cells is None:
            return Motion(series.days, peak, glance.peak)
        known = dict(zip(series.days, peak, strict=True))
        content = motion_png(cells.cm[:, :, -1])
        width, height = _size(content)
        alt = f"Motion from {cells.days[0]} to {cells.days[-1]}, {self.volcano.name}, {frame_of(self.stack)}"
        picture = Picture(self.files.add(f"{stem}-places.png", content), width, height, alt)
        first = next((known[day] for day in cells.days if day in known), 0.0)
        return Motion(
            days=cells.days,
            peak=[None if day not in known else round(known[day] - first, 2) for day in cells.days],
            place=glance.peak,
            cells=_rounded(cells),
            corner=(cells.north, cells.west),
            cell=(cells.dy, cells.dx),
            picture=picture,
        )

    def film(self, scores: xr.Dataset, names: Sequence[str], threshold: float | None, many: str) -> Film | None:
        """The score maps of these assessments; of what was scored more than once the last. None where there are none."""
        from insar_anomaly.report.site.pictures import film_png

        last = {str(name): number for number, name in enumerate(scores["pair"].values)}
        known = [name for name in names if name in last]
        if not known:
            return None
        maps = scores["score_map"].isel(pair=[last[name] for name in known]).values.astype(np.float32)
        content, columns = film_png(list(maps), threshold)
        high, wide = maps.shape[1:]
        file = self.files.add(f"{file_stem(self.stack)}-maps.png", content)
        words = f"Score maps of {self.stack}, one for each of {len(known)} {many}"
        return Film(Picture(file, *_size(content), words), known, wide, high, columns, self._vent(scores, wide, high))

    def _vent(self, scores: xr.Dataset, wide: int, high: int) -> tuple[float, float]:
        """The volcano's place as parts of a score map's width and height; its middle where the map does not know its own."""
        if "lon" not in scores or "lat" not in scores or wide < 2 or high < 2:
            return 0.5, 0.5
        lon, lat = scores["lon"].values, scores["lat"].values
        east = (turned(self.volcano.lon, float(lon[0])) - lon[0]) / (lon[-1] - lon[0])
        south = (self.volcano.lat - lat[0]) / (lat[-1] - lat[0])
        return (float(east) * (wide - 1) + 0.5) / wide, (float(south) * (high - 1) + 0.5) / high

    def downloads(self, stem: str, glance: Glance) -> dict[str, tuple[str, bytes]]:
        """Maps of a glance to take away: name of the file -> words of its button, and content."""
        from insar_anomaly.report.site.downloads import Piece, geotiff, netcdf

        lat, lon = glance.centres
        shown = glance.shown
        tags = {
            "stack": self.stack,
            "evidence": shown.evidence.value,
            "pair": shown.pair,
            "threshold": f"{shown.threshold:.6g}" if shown.threshold is not None else "none",
            "model": shown.model,
            "meaning": "anomaly score of a screening, larger is less like the quiet stack; not an alert level",
        }
        piece = Piece(
            *(glance.grid, glance.first, glance.last, glance.cm, glance.coherence, glance.height, glance.look),
            *(glance.score_map, lat, lon),
        )
        return {
            f"{stem}-{shown.pair}-scores.tif": ("anomaly map, GeoTIFF", geotiff(glance.score_map, lat, lon, tags)),
            f"{stem}-{shown.pair}.nc": ("maps, NetCDF", netcdf(piece, tags)),
        }


_PANELS = {
    "motion": "Unwrapped motion along the line of sight",
    "fringes": "Fringes, rewrapped",
    "coherence": "Coherence",
    "scores": "Anomaly map with the line of the threshold",
}


def when_of(name: str) -> str:
    """The days of a pair, interval or acquisition in words."""
    span = span_of(name)
    return LANGUAGES[DEFAULT].span(*span.days) if span else name


def _size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its head."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _rounded(cells: Cells) -> list[list[list[float | None]]]:
    return [[[None if np.isnan(v) else round(float(v), 1) for v in place] for place in row] for row in cells.cm]
