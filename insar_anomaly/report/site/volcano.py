"""A volcano's page: its flags, the series of each frame, what the maps show, and what people did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from insar_anomaly.calibration.detectability import words as detected
from insar_anomaly.ledger.people_rows import ActKind
from insar_anomaly.ledger.records import ScoredAssessment
from insar_anomaly.names import file_stem, span_of
from insar_anomaly.report.site.plain import data, page
from insar_anomaly.report.site.plots import SIZE, cells_of, roc_of
from insar_anomaly.report.site.rows import FlagView, Motion, StackView, VolcanoView


@dataclass(frozen=True)
class Command:
    """A command to paste, and what it is for."""

    words: str
    text: str


def volcano_page(shown: VolcanoView) -> bytes:
    """The page ``v/<gvp>.html``."""
    keys = {one.stack: f"s{number}" for number, one in enumerate(shown.stacks)}
    flags = sorted(
        (flag for one in shown.stacks for flag in one.flags),
        key=lambda one: (one.row.state.open, one.row.until),
        reverse=True,
    )
    return page(
        "volcano.html.j2",
        up="../",
        shown=shown,
        volcano=shown.row.volcano,
        keys=keys,
        flags=flags,
        commands={flag.name: commands_of(flag, shown.config) for flag in flags if flag.row.state.open},
        plots={one.stack: _plots(one) for one in shown.stacks},
        content=data({keys[one.stack]: content_of(one) for one in shown.stacks}),
        history=_history(shown),
        size=SIZE,
    )


def commands_of(flag: FlagView, config: str) -> list[Command]:
    """What a person types to act on a flag."""
    start = f"insar-anomaly -c {config}"
    gvp = flag.row.gvp
    return [
        Command("acknowledge", f'{start} ack {flag.name} --by NAME --note "WHY"'),
        Command("label", f"{start} label {flag.name} volcanic|atmosphere|non-volcanic|processing|unsure --by NAME"),
        Command("mute the volcano", f'{start} mute {gvp} --until YYYY-MM-DD --why "WHY" --by NAME'),
    ]


def content_of(one: StackView) -> dict[str, object]:
    """What the page's script draws of a stack."""
    film = one.film
    return {
        "name": one.stack,
        "threshold": one.model.row.threshold if one.model else None,
        "told": one.notice_from,
        "rows": [row for row in map(_row, one.rows) if row is not None],
        "flags": [
            {
                "number": flag.row.number,
                "since": flag.row.since,
                "until": flag.row.until,
                "state": flag.row.state.value,
                "open": flag.row.state.open,
                "label": flag.label,
                "acks": [[act.at.date(), act.by] for act in flag.acts if act.kind is ActKind.ACKNOWLEDGED],
            }
            for flag in one.flags
        ],
        "film": None
        if film is None
        else {
            "src": film.picture.file,
            "names": list(film.names),
            "width": film.width,
            "height": film.height,
            "columns": film.columns,
            "vent": list(film.vent),
        },
        "motion": [_motion(seen.motion) for seen in one.seen],
    }


def _row(row: object) -> list[object] | None:
    span = span_of(row.pair)  # type: ignore[attr-defined]
    if span is None:
        return None
    assessed = row if isinstance(row, ScoredAssessment) else None
    score: float | None = row.score  # type: ignore[attr-defined]
    over: bool = row.over  # type: ignore[attr-defined]
    after, period = (assessed.after, assessed.return_period) if assessed else (0, None)
    digits = None if score is None else float(f"{score:.6g}")
    return [span.name, span.first, span.last, after, digits, over, None if period is None else float(f"{period:.4g}")]


def _motion(one: Motion | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {
        "days": list(one.days),
        "peak": list(one.peak),
        "shape": list(one.shape),
        "cells": one.cells,
        "north": one.corner[0],
        "west": one.corner[1],
        "dy": one.cell[0],
        "dx": one.cell[1],
    }


def _plots(one: StackView) -> dict[str, object]:
    found = one.model.calibration if one.model else None
    seen = found.detectability if found else None
    return {
        "roc": roc_of(found) if found else None,
        "cells": cells_of(seen),
        "words": detected(seen.half, seen.most) if seen else "",
        "stem": file_stem(one.stack),
    }


def _history(shown: VolcanoView) -> list[tuple[date, str, str, str, str]]:
    """Day, what, which flag or stack, who, why: the newest first."""
    rows = []
    for stack in shown.stacks:
        for flag in stack.flags:
            row = flag.row
            since = f"first over the threshold; {row.pairs_over} over it up to {row.until}"
            rows.append((row.since, "flag begins", str(flag.name), "", since))
            if row.cleared:
                rows.append((row.cleared, f"flag {row.state.value}", str(flag.name), "", ""))
    for act in shown.acts:
        what = f"{act.kind.value}{f' as {act.label.value}' if act.label else ''}{f' until {act.until}' if act.until else ''}"
        about = act.stack if act.episode is None else f"{act.stack}:{act.episode}"
        rows.append((act.at.date(), what, about, act.by, act.note))
    return sorted(rows, key=lambda one: one[0], reverse=True)
