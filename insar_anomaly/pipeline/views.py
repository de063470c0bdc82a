"""What the site shows of one volcano: its stacks with their scores, flags, maps and files, read from ledger and store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from insar_anomaly import __version__
from insar_anomaly.calibration.record import Calibration
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.load import secret
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoredAssessment, ScoredPair
from insar_anomaly.names import EvidenceKind, FlagName, file_stem, span_of
from insar_anomaly.notify.links import Links
from insar_anomaly.notify.message import DISCLAIMER
from insar_anomaly.pipeline.glance import Glance, glance_of
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import Telling
from insar_anomaly.pipeline.overview import Overview
from insar_anomaly.pipeline.scene import Shown
from insar_anomaly.pipeline.sheets import Files, Sheets, when_of
from insar_anomaly.report.exports.columns import FLAGS, SCORES, Flag, Score
from insar_anomaly.report.exports.geojson import geojson_text
from insar_anomaly.report.exports.tables import csv_text
from insar_anomaly.report.site.rows import (
    Download,
    Film,
    FlagView,
    ModelView,
    Seen,
    StackView,
    VolcanoView,
)

_FLAGS_SHOWN = 3
"""Flags of a stack whose maps are shown, the newest."""


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

    @property
    def sheets(self) -> Sheets:
        return Sheets(self.volcano, self.stack, self.files)

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
        told = Telling.of(model, self.overview.level).score if model and model.threshold is not None else None
        blind = (
            "it is not fitted" if model is None else f"it has no threshold: {model.why}" if model.threshold is None else ""
        )
        seen, glance = ([], None) if couple else self._seen()
        return StackView(
            stack=self.stack,
            model=None if model is None else _model_view(self.s, self.stack, model),
            rows=self.newest,
            flags=self.flags,
            notice_from=told,
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
        wanted: list[tuple[str, EpisodeRow | ScoredAssessment | ScoredPair]] = [
            ("newest assessment", one) for one in scored[-1:]
        ]
        wanted += told[:_FLAGS_SHOWN]
        for words, one in wanted:
            shown = self._shown(model, one)
            try:
                glance = glance_of(self.s, shown)
            except InsarAnomalyError as problem:
                out.append(Seen(f"{words}, {when_of(shown.pair)}", why=str(problem)))
                continue
            first = first or glance
            out.append(self.sheets.pictures(words, glance))
        return out, first

    def _shown(self, model: ModelRow, one: EpisodeRow | ScoredAssessment | ScoredPair) -> Shown:
        night = self.overview.as_of
        if isinstance(one, EpisodeRow):
            kind = self.overview.kinds.get((self.stack, one.model), model.evidence)
            return Shown(self.stack, kind, one.peak_pair, None, one.model, one.threshold, night, one.since, one.until)
        span = span_of(one.pair)
        assert span is not None
        assessed = one if isinstance(one, ScoredAssessment) else None
        after, seen = (assessed.after, assessed.seen) if assessed else (None, None)
        until = max(night, span.last, seen or span.last)
        return Shown(self.stack, model.evidence, one.pair, after, model.model, model.threshold, until, span.first, span.last)

    def _film(self, model: ModelRow) -> Film | None:
        scores = self.s.store.read_scores(self.stack, model.model)
        if scores is None:
            return None
        return self.sheets.film(scores, [row.pair for row in self.newest], model.threshold, model.evidence.many)

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
            made |= self.sheets.downloads(stem, glance)
        return [Download(self.files.add(name, content), words, len(content)) for name, (words, content) in made.items()]


def _link(s: Installation, flag: FlagName) -> str | None:
    """Where a person acts on a flag; None where the site may hold no links."""
    serve = s.config.serve
    if not (s.config.report.links and serve.url and serve.secret_env):
        return None
    return Links(serve.url, secret(serve.secret_env) or "", serve.link_days).of(flag, datetime.now(UTC))
