"""What the site shows of one volcano: its stacks with their scores, flags, maps and files, read from ledger and store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property

import numpy as np

from insar_anomaly import __version__
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.load import secret
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoredAssessment, ScoredPair
from insar_anomaly.names import EvidenceKind, FlagName, direction, file_stem, frame_of, span_of
from insar_anomaly.notify.links import Links
from insar_anomaly.notify.message import DISCLAIMER
from insar_anomaly.pipeline.glance import Cells, Glance, glance_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling, level_of
from insar_anomaly.pipeline.overview import Overview
from insar_anomaly.pipeline.scene import Shown
from insar_anomaly.report.exports.columns import FLAGS, SCORES, Flag, Score
from insar_anomaly.report.exports.geojson import geojson_text
from insar_anomaly.report.exports.tables import csv_text
from insar_anomaly.report.site.plain import named
from insar_anomaly.report.site.rows import (
    Download,
    Film,
    FlagView,
    ModelView,
    Motion,
    Picture,
    Seen,
    StackView,
    VolcanoView,
)
from insar_anomaly.spoken import DEFAULT, LANGUAGES

_FLAGS_SHOWN = 3
"""Flags of a stack whose maps are shown, the newest."""


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


def volcano_view(overview: Overview, volcano: Volcano, files: Files) -> VolcanoView:
    """Everything that the volcano's pages show; pictures and downloads are put into `files`."""
    s = overview.s
    stacks = [_Stack(overview, volcano, name, files).view for name in overview.names(volcano)]
    resting = {view.stack: view.model.row.model for view in stacks if view.model}
    others = [
        (stack, _model_view(s, stack, row))
        for stack in volcano.stacks
        for row in s.ledger.all_current(stack).values()
        if resting.get(stack) != row.model
    ]
    return VolcanoView(
        row=overview.row(volcano),
        stacks=stacks,
        acts=overview.acts_of(volcano),
        made=datetime.now(UTC),
        version=__version__,
        disclaimer=DISCLAIMER,
        others=others,
    )


def _model_view(s: Installation, stack: str, row: ModelRow) -> ModelView:
    try:
        fitted = sorted(s.store.fitted(stack, row.model)) if stack in s.by_stack else []
    except (InsarAnomalyError, KeyError):  # a model that was removed, or one of an older form
        fitted = []
    return ModelView(row, Calibration.read(row.calibration), fitted)


@dataclass(frozen=True)
class _Stack:
    """One stack or couple of a volcano."""

    overview: Overview
    volcano: Volcano
    stack: str
    files: Files

    @property
    def s(self) -> Installation:
        return self.overview.s

    @cached_property
    def model(self) -> ModelRow | None:
        return self.s.resting(self.stack)[0]

    @cached_property
    def rows(self) -> Sequence[ScoredAssessment | ScoredPair]:
        """Scores by the model that flags rest on; of what was assessed more than once all."""
        if self.model is None:
            return []
        if self.model.evidence is EvidenceKind.PAIR:
            return [row for row in self.s.ledger.scores(self.stack) if row.model == self.model.model]
        return self.s.ledger.assessments(self.stack, self.model.evidence)

    @cached_property
    def newest(self) -> list[ScoredAssessment | ScoredPair]:
        """The last assessment of each pair or interval, in order of time."""
        return list({row.pair: row for row in self.rows}.values())

    @cached_property
    def flags(self) -> list[FlagView]:
        mine = [row for row in self.overview.episodes.get(self.volcano.gvp, ()) if row.stack == self.stack]
        acts = [act for act in self.overview.acts if act.stack == self.stack and act.episode is not None]
        return [
            FlagView(
                row,
                [act for act in acts if act.episode == row.number],
                _link(self.s, FlagName(row.stack, row.number)) if row.state.open else None,
                self.overview.period(row),
            )
            for row in mine
        ]

    @property
    def view(self) -> StackView:
        """All of it."""
        model, state = self.model, self.overview.states.get(self.stack)
        couple = self.stack in self.s.by_couple
        told = Telling.of(model, level_of(self.s)).score if model and model.threshold is not None else None
        blind = "it is not fitted" if model is None else f"it has no threshold: {model.why}" if model.threshold is None else ""
        seen, glance = ([], None) if couple else self._seen()
        return StackView(
            stack=self.stack,
            model=None if model is None else _model_view(self.s, self.stack, model),
            rows=self.newest,
            flags=self.flags,
            told=told,
            blind="" if couple and model is None else blind,
            stale=state.why if state and state.stale else "",
            newest=state.newest if state else None,
            expected=state.expected if state else None,
            seen=seen,
            film=None if couple or model is None else self._film(model),
            downloads=self._downloads(glance),
        )

    def _seen(self) -> tuple[list[Seen], Glance | None]:
        """What the maps of the newest assessment show, then of the flags, newest first; and the first of these."""
        model, out, first = self.model, [], None
        if model is None:
            return [], None
        told = [(f"flag {one.row.number}, highest score", one.row) for one in reversed(self.flags) if one.row.state.stands]
        scored = [row for row in self.newest if row.score is not None]
        wanted: list[tuple[str, EpisodeRow | ScoredAssessment | ScoredPair]] = [("newest assessment", one) for one in scored[-1:]]
        wanted += told[:_FLAGS_SHOWN]
        for words, one in wanted:
            shown = self._shown(model, one)
            try:
                glance = glance_of(self.s, shown)
            except InsarAnomalyError as problem:
                out.append(Seen(f"{words}, {_when(shown.pair)}", why=str(problem)))
                continue
            first = first or glance
            out.append(self._pictures(words, glance))
        return out, first

    def _shown(self, model: ModelRow, one: EpisodeRow | ScoredAssessment | ScoredPair) -> Shown:
        today = self.overview.today
        if isinstance(one, EpisodeRow):
            kind = self.s.ledger.kinds().get((self.stack, one.model), model.evidence)
            return Shown(self.stack, kind, one.peak_pair, None, one.model, one.threshold, today, one.since, one.until)
        span = span_of(one.pair)
        assert span is not None
        after = one.after if isinstance(one, ScoredAssessment) else None
        return Shown(self.stack, model.evidence, one.pair, after, model.model, model.threshold, today, span.first, span.last)

    def _pictures(self, words: str, glance: Glance) -> Seen:
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
            assessed=_when(glance.shown.pair),
        )
        when = LANGUAGES[DEFAULT].span(glance.first, glance.last)
        stem = f"{file_stem(self.stack)}-{glance.shown.pair}"
        panels = []
        for name, content in panel_pngs(shown).items():
            file = self.files.add(f"{stem}-{name}.png", content)
            width, height = _size(content)
            panels.append(Picture(file, width, height, f"{_PANELS[name]} of {self.volcano.name}, {frame_of(self.stack)}, {when}"))
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

    def _film(self, model: ModelRow) -> Film | None:
        from insar_anomaly.report.site.pictures import film_png

        scores = self.s.store.read_scores(self.stack, model.model)
        if scores is None:
            return None
        last = {str(name): number for number, name in enumerate(scores["pair"].values)}
        names = [row.pair for row in self.newest if row.pair in last]
        if not names:
            return None
        maps = scores["score_map"].isel(pair=[last[name] for name in names]).values.astype(np.float32)
        content, columns = film_png(maps, model.threshold)
        high, wide = maps.shape[1:]
        file = self.files.add(f"{file_stem(self.stack)}-maps.png", content)
        words = f"Score maps of {self.stack}, one for each of {len(names)} {model.evidence.many}"
        vent = (0.5, 0.5)
        if "lon" in scores and "lat" in scores and wide > 1 and high > 1:
            lon, lat = scores["lon"].values, scores["lat"].values
            vent = (
                float((self.volcano.lon - lon[0]) / (lon[-1] - lon[0]) * (wide - 1) + 0.5) / wide,
                float((self.volcano.lat - lat[0]) / (lat[-1] - lat[0]) * (high - 1) + 0.5) / high,
            )
        return Film(Picture(file, *_size(content), words), names, wide, high, columns, vent)

    def _downloads(self, glance: Glance | None) -> list[Download]:
        if self.model is None:
            return []
        stem, kind = file_stem(self.stack).replace("+", "-"), self.model.evidence
        scores = [Score(kind, row, self.volcano) for row in self.rows]
        flags = [Flag(one.row, kind, self.volcano) for one in self.flags]
        made: dict[str, tuple[str, bytes]] = {
            f"{stem}-scores.csv": ("scores, CSV", csv_text(SCORES, scores).encode()),
            f"{stem}-flags.geojson": ("flags, GeoJSON", geojson_text(FLAGS, flags, disclaimer=DISCLAIMER).encode()),
        }
        if glance is not None:
            made |= self._maps(stem, glance)
        return [Download(self.files.add(name, content), words, len(content)) for name, (words, content) in made.items()]

    def _maps(self, stem: str, glance: Glance) -> dict[str, tuple[str, bytes]]:
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


def _link(s: Installation, flag: FlagName) -> str | None:
    """Where a person acts on a flag; None where the site may hold no links."""
    serve = s.config.serve
    if not (s.config.report.links and serve.url and serve.secret_env):
        return None
    return Links(serve.url, secret(serve.secret_env) or "", serve.link_days).of(flag, datetime.now(UTC))


def _when(name: str) -> str:
    span = span_of(name)
    return LANGUAGES[DEFAULT].span(*span.days) if span else name


def _size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its head."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _rounded(cells: Cells) -> list[list[list[float | None]]]:
    return [[[None if np.isnan(v) else round(float(v), 1) for v in place] for place in row] for row in cells.cm]

