"""Rows of a site for tests of its pages: as many volcanoes as asked for, some with names that are no names."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from insar_anomaly.calibration.detectability import Detectability, Peak
from insar_anomaly.calibration.metrics import Estimate
from insar_anomaly.calibration.record import Calibration, Curve
from insar_anomaly.calibration.samples import Age, Origin, Sample
from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import Verdict
from insar_anomaly.flags.states import FlagState
from insar_anomaly.ledger.people_rows import ActKind, ActRow, Label
from insar_anomaly.ledger.records import EpisodeRow, ModelRow, ScoredAssessment
from insar_anomaly.names import EvidenceKind, Span
from insar_anomaly.report.digest import OF_A_NIGHT, Blind, Digest, Failure
from insar_anomaly.report.site import front_page, furniture, model_page, volcano_page
from insar_anomaly.report.site.pictures import film_png, motion_png
from insar_anomaly.report.site.rows import (
    Canary,
    Download,
    Film,
    FlagView,
    Front,
    Mark,
    ModelView,
    Motion,
    Picture,
    Seen,
    Spent,
    StackView,
    VolcanoRow,
    VolcanoView,
)

NIGHT = date(2024, 3, 1)
EVIL = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>"
"""A name that must stay a name."""
UP, DOWN = "001A_00001_010101", "002D_00002_020202"


def volcano(gvp: int, name: str, lat: float, lon: float) -> Volcano:
    return Volcano(gvp=gvp, name=name, lat=lat, lon=lon, frames=(UP, DOWN))


def front(number: int, **changes: Any) -> Front:
    """A front page of so many volcanoes; the first has a name that is a script."""
    rng, marks = np.random.default_rng(number), list(Mark)
    rows = []
    for k in range(number):
        mark = marks[min(int(rng.integers(0, 20)), len(marks) - 1)] if k else Mark.FLAGGED
        name = EVIL if k == 0 else f"Volcano {k}"
        where = float(rng.uniform(-60, 70)), float(rng.uniform(-180, 180))
        told, noted = int(mark is Mark.FLAGGED), int(mark is Mark.NOTED)
        period = float(f"{rng.lognormal(-1 if k else 9, 2):.3g}") if mark is not Mark.BLIND else None
        ratio = None if period is None else float(f"{0.5 + np.log10(1 + period) / 2:.3g}")
        day = NIGHT - timedelta(days=int(rng.integers(0, 80)))
        why = "" if mark is not Mark.STALE else "one of its frames gets nothing usable"
        rows.append(VolcanoRow(volcano(200000 + k, name, *where), mark, period, ratio, day, told, noted, None, why))
    canary = [Canary(NIGHT - timedelta(days=k), 20 + 3 * float(np.sin(k)), 12.0) for k in range(30)]
    content: dict[str, Any] = {
        "title": "Test <b>observatory</b>",
        "rows": rows,
        "digest": digest(),
        "spent": Spent(2024, 12, 5, 1, 2),
        "level": "notices are sent for flags from a return period of 300 years on",
        "version": "0.1.0",
        "made": datetime(2024, 3, 1, 6, tzinfo=UTC),
        "disclaimer": "This is a screening, not an alert level.",
        "canary": canary,
    }
    return Front(**(content | changes))


def digest() -> Digest:
    return Digest(
        as_of=NIGHT,
        run=7,
        kind="nightly",
        stacks=2,
        counts=dict.fromkeys(OF_A_NIGHT, 3),
        open_flags=(),
        failures=(Failure(f"200000/{UP}", "ingest", f"a file is broken {EVIL}"),),
        blind=(Blind(f"200003/{UP}", "it is not fitted"),),
        undelivered=(),
        warnings=("a warning",),
    )


def view(folder: Path, gvp: int = 200000, name: str = EVIL, *, stacks: int = 2) -> VolcanoView:
    """A volcano's pages; the pictures that they show are written into the folder of the site."""
    row = VolcanoRow(volcano(gvp, name, 13.6, 40.7), Mark.FLAGGED, 900.0, 2.0, NIGHT, 1)
    acts = [
        ActRow(f"{gvp}/{UP}", 1, ActKind.ACKNOWLEDGED, EVIL, datetime(2024, 2, 3, tzinfo=UTC), "</script>"),
        ActRow(f"{gvp}/{UP}", 1, ActKind.LABELLED, "B", datetime(2024, 2, 4, tzinfo=UTC), "", label=Label.VOLCANIC),
    ]
    views = [_stack(folder, f"{gvp}/{frame}", acts) for frame in (UP, DOWN)[:stacks]]
    return VolcanoView(row, views, acts, datetime(2024, 3, 1, tzinfo=UTC), "0.1.0", "This is a screening.")


def _stack(folder: Path, stack: str, acts: list[ActRow]) -> StackView:
    rng = np.random.default_rng(3)
    days = [date(2023, 1, 3) + timedelta(days=12 * k) for k in range(35)]
    spans = [Span(a, b) for a, b in pairwise(days)]
    scores = [float(abs(v)) + (30 if 30 <= k < 32 else 0) for k, v in enumerate(rng.normal(4, 2, len(spans)))]
    rows = [
        ScoredAssessment(
            stack, span.name, 3, span.last, score, 12.0, 50.0, score > 12, Verdict.OK, "snap", "model", score / 3
        )
        for span, score in zip(spans, scores, strict=True)
    ]
    episode = EpisodeRow(
        *(stack, 1, spans[30].first, spans[31].last, spans[30].name, spans[31].name, scores[31], 12.0, 2, "model"),
        FlagState.RAISED,
        told=scores[31],
    )
    maps = [rng.uniform(0, 8, (10, 12)) for _ in spans]
    maps[31][4:6, 5:7] = 30
    film, columns = film_png(maps, 12.0)
    stem = stack.replace("/", "_")
    cells = np.round(rng.normal(0, 1, (10, 12, 8)), 1)
    files = {f"f/{stem}-maps.png": film, f"f/{stem}-places.png": motion_png(cells[:, :, -1]), f"f/{stem}.csv": b"a,b\r\n"}
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    picture = Picture(f"../f/{stem}-places.png", 12, 10, f"Motion at {stack}")
    motion = Motion(
        days[-8:], [float(k) for k in range(8)], (13.6, 40.7), cells.tolist(), (13.8, 40.5), (0.02, 0.02), picture
    )
    return StackView(
        stack=stack,
        model=_model(),
        rows=rows,
        flags=[FlagView(episode, [act for act in acts if act.stack == stack], "https://example.org/flag?x=1", 900.0)],
        notice_from=20.0,
        newest=days[-1],
        expected=days[-1] + timedelta(days=12),
        seen=[Seen("newest assessment", [picture], motion), Seen("flag 1, highest score", why="the pairs are gone")],
        film=Film(
            Picture(f"../f/{stem}-maps.png", 192, 30, "Score maps"), [one.name for one in spans], 12, 10, columns, (0.5, 0.5)
        ),
        downloads=[Download(f"../f/{stem}.csv", "scores, CSV", 5)],
    )


def _model() -> ModelView:
    complete, first = Sample(Origin.INJECTED, 4.0), Sample(Origin.INJECTED, 4.0, Age.FIRST)
    curve = Curve((0.0, 0.1, 1.0), (0.0, 0.9, 1.0))
    calibration = Calibration(
        policy="false-alarms-per-year",
        threshold=12.0,
        why="at most one a year",
        negatives=(1.0, 2.0, 3.0),
        years=2.0,
        false_alarms=Estimate(1.0, 0.5, 2.0),
        false_positives=Estimate(0.02, 0.01, 0.03),
        detection={complete: Estimate(0.9, 0.8, 0.95)},
        auroc={complete: 0.97, first: 0.93},
        roc={complete: curve, first: curve},
        detectability=Detectability(Peak(3.0), Peak(5.0), np.linspace(1, 8, 81).reshape(9, 9), (0.2, 0.8)),
    )
    row = ModelRow(
        *("model", "padim", '{"detector": {"kind": "padim"}}', date(2020, 1, 1), date(2022, 1, 1), 90, "snap", "0.1.0"),
        *(12.0, "false-alarms-per-year", calibration.text, "at most one a year"),
        evidence=EvidenceKind.INTERVAL,
    )
    return ModelView(row, calibration, ["20200105_20200117", "20200117_20200129"])


def write_site(folder: Path, number: int = 5) -> Path:
    """A whole site of made-up rows: a front page, and the pages of its first volcano; returns the front page."""
    shown = view(folder)
    pages = {
        "index.html": front_page(front(number)),
        "v/200000.html": volcano_page(shown),
        "v/200000-model.html": model_page(shown),
        **furniture(),
    }
    for name, content in pages.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return folder / "index.html"
