"""The comparison as Markdown, JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from insar_anomaly import __version__
from insar_anomaly.calibration.metrics import Estimate, auroc_interval, average_precision, proportion, roc
from insar_anomaly.calibration.samples import Sample
from insar_anomaly.calibration.threshold import Target, choose
from insar_anomaly.calibration.trial import Trial
from insar_anomaly.config.sections import Calibrate, Flags
from insar_anomaly.names import Pair, file_stem
from insar_anomaly.report.figures import panels_png, roc_png
from insar_anomaly.tools.benchmark.cases import Plan
from insar_anomaly.tools.benchmark.measure import Measured
from insar_anomaly.tools.benchmark.systems import BUDGETS, systems

# flags as the nightly counts them, at the rate that the poster's readers care about
_AIM = Calibrate()
_TARGET = Target(
    "false-alarms-per-year", 1.0, _AIM.fpr, _AIM.quantile, min_pairs=1, clear_after_days=Flags().clear_after_days
)


@dataclass(frozen=True)
class Row:
    """One system on one stack, summed up. Dictionaries are by kind of positive."""

    stack: str
    system: str
    auroc: dict[str, Estimate]
    average_precision: dict[str, float]
    detected: dict[str, float]
    false_positives: Estimate
    unscored: int
    fit_s: float
    score_s: float


def summed(measured: Measured, *, seed: int) -> Row:
    """AUROC with intervals resampled by date, average precision, detection at one flag a year, false positives."""
    negative = {pair: v for pair, v in measured.negative.items() if v is not None}
    kinds = {name: {p: v for p, v in values.items() if v is not None} for name, values in measured.positive.items()}
    low = np.array(list(negative.values()))
    intervals, precision = {}, {}
    for name, values in kinds.items():
        pairs = [*negative, *values]
        truth = [0] * len(negative) + [1] * len(values)
        dates = [Pair.of(pair).days for pair in pairs]
        intervals[name] = auroc_interval([*negative.values(), *values.values()], truth, dates, seed=seed)
        precision[name] = average_precision(low, list(values.values()))
    samples = {Sample.parse(name): np.array(list(values.values())) for name, values in kinds.items()}
    chosen = choose(Trial(_dates(negative), low, samples, _years(negative)), _TARGET)
    known = [v for v in measured.in_sample if v is not None]
    limit = float(np.quantile(known, _TARGET.quantile))
    return Row(
        stack=measured.stack,
        system=measured.system,
        auroc=intervals,
        average_precision=precision,
        detected={str(sample): rate.value for sample, rate in chosen.detection.items()},
        false_positives=proportion(int((low > limit).sum()), len(low)),
        unscored=sum(v is None for v in measured.negative.values()),
        fit_s=measured.fit_s,
        score_s=measured.score_s,
    )


def markdown(plan: Plan, measured: Sequence[Measured], rows: Sequence[Row]) -> str:
    """One table per stack, the settings and the budget above them; `rows` are what was measured, summed up."""
    lines = [
        "# Comparison",
        "",
        f"insar-anomaly {__version__}, seed {plan.seed}, budget `{plan.budget}`, PaDiM weights `{plan.weights}`; one in",
        f"{plan.every} quiet test pairs is taken. Pairs, split and budget are the same for every system. AUROC has a",
        "95 % bootstrap interval resampled by acquisition date; AP is average precision; `1/a` is the part detected at one",
        "flag a year; FP is the part of quiet test pairs over the 95 % quantile of the training scores (the authors'",
        "threshold), with its binomial interval; times are on one worker.",
        "",
    ]
    for kind, settings in BUDGETS[plan.budget].items():
        lines.append(f"- {kind}: {', '.join(f'{k} = {v}' for k, v in settings.items())}")
    for case in plan.cases:
        mine = [m for m in measured if m.stack == case.stack]
        if mine:
            lines += ["", *_table(case.poster, [row for row in rows if row.stack == case.stack], mine[0])]
    lines += _beside_poster(plan, measured)
    return "\n".join(lines) + "\n"


def as_json(plan: Plan, measured: Sequence[Measured], rows: Sequence[Row]) -> str:
    """Plan, rows and settings as JSON."""
    shown = [asdict(row) | {"settings": m.settings} for row, m in zip(rows, measured, strict=True)]
    return json.dumps({"version": __version__, "plan": asdict(plan), "rows": shown}, indent=1, default=_plain)


def write(out: Path, plan: Plan, measured: Sequence[Measured]) -> list[Path]:
    """`benchmark.md`, `benchmark.json`, and per stack ROC curves and score-map panels; returns what was written."""
    out.mkdir(parents=True, exist_ok=True)
    written = [out / "benchmark.md", out / "benchmark.json"]
    rows = [summed(m, seed=plan.seed) for m in measured]  # a thousand draws each: once
    written[0].write_text(markdown(plan, measured, rows), encoding="utf-8")
    written[1].write_text(as_json(plan, measured, rows), encoding="utf-8")
    for case in plan.cases:
        mine = [m for m in measured if m.stack == case.stack]
        if not mine:
            continue
        stem = file_stem(case.stack)
        kind = list(mine[0].positive)[min(1, len(mine[0].positive) - 1)] if mine[0].positive else None
        if kind:
            curves = {m.system: _curve(m, kind) for m in mine}
            written.append(out / f"roc-{stem}.png")
            written[-1].write_bytes(roc_png(f"{case.stack}, positives: {kind}", curves))
        maps = {m.system: _maps(out, m) for m in mine}
        written.append(out / f"maps-{stem}.png")
        written[-1].write_bytes(panels_png(f"{case.stack}: first quiet pair above, first strong positive below", maps))
    return written


def _table(poster: Mapping[str, float], rows: Sequence[Row], example: Measured) -> list[str]:
    kinds = list(example.positive)
    head = ["system", *(f"AUROC {k}" for k in kinds), *(f"AP {k}" for k in kinds), *(f"1/a {k}" for k in kinds), "FP"]
    head += ["fit s", "score s/pair"] + (["poster"] if poster else [])
    lines = [
        f"## {example.stack}",
        "",
        f"{example.train} training pairs, {len(example.negative)} quiet test pairs, "
        + (", ".join(f"{len(v)} x {k}" for k, v in example.positive.items()) or "no positives"),
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    best = {k: max((r.auroc[k].value for r in rows if k in r.auroc), default=0.0) for k in kinds}
    for row in rows:
        cells = [f"{row.system}: {systems()[row.system].words}"]
        for kind in kinds:
            text = str(row.auroc[kind])
            cells.append(f"**{text}**" if row.auroc[kind].value == best[kind] else text)
        cells += [f"{row.average_precision[k]:.3f}" for k in kinds] + [
            f"{row.detected.get(k, float('nan')):.2f}" for k in kinds
        ]
        cells += [str(row.false_positives) + (f" ({row.unscored} not scorable)" if row.unscored else "")]
        cells += [f"{row.fit_s:.1f}", f"{row.score_s:.3f}"]
        if poster:
            name = systems()[row.system].poster
            cells.append(f"{poster[name]:g}" if name and name in poster else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _beside_poster(plan: Plan, measured: Sequence[Measured]) -> list[str]:
    """The poster's own table: a volcano's frames pooled, its figure in brackets; nothing where no case study is here."""
    volcanoes = {case.volcano: case.poster for case in plan.cases if case.volcano}
    if not volcanoes:
        return []
    lines = [
        "",
        "## Beside the poster",
        "",
        "AUROC over the test pairs of all frames of a volcano (FP: how many are over the threshold where it has no",
        "positives); in brackets the poster's figure for the same form.",
        "",
        "| system | " + " | ".join(volcanoes) + " |",
        "|" + "---|" * (len(volcanoes) + 1),
    ]
    for system in plan.systems:
        cells = [f"{system}: {systems()[system].words}"]
        for volcano, poster in volcanoes.items():
            stacks = [case.stack for case in plan.cases if case.volcano == volcano]
            mine = [m for m in measured if m.system == system and m.stack in stacks]
            name = systems()[system].poster
            printed = f" ({poster[name]:g})" if name and name in poster else ""
            cells.append((_pooled(mine, plan.seed) if mine else "not measured") + printed)
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _pooled(parts: Sequence[Measured], seed: int) -> str:
    """AUROC over several stacks of one system, or the count of false positives where there are no positives."""
    scores: list[float] = []
    truth: list[int] = []
    dates: list[list[str]] = []
    for one in parts:
        for label, values in ((0, one.negative), (1, one.positive.get("labels", {}))):
            known = {pair: v for pair, v in values.items() if v is not None}
            scores += known.values()
            truth += [label] * len(known)
            # two frames never share an acquisition, even on one date
            dates += [[f"{one.stack} {day}" for day in Pair.of(pair).days] for pair in known]
    if any(truth):
        return str(auroc_interval(scores, truth, dates, seed=seed))
    rows = [summed(one, seed=seed) for one in parts]
    over = round(sum(row.false_positives.value * len(one.negative) for row, one in zip(rows, parts, strict=True)))
    return f"{over} FP of {len(scores)}"


def _curve(measured: Measured, kind: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = [v for v in measured.negative.values() if v is not None]
    fpr, tpr, _ = roc(low, [v for v in measured.positive[kind].values() if v is not None])
    return fpr, tpr


def _maps(out: Path, measured: Measured) -> tuple[NDArray[Any], NDArray[Any]]:
    with np.load(out / "results" / measured.maps) as kept:
        return kept["quiet"], kept["positive"]


def _dates(scores: Mapping[str, float]) -> NDArray[np.datetime64]:
    return np.array([Pair.of(pair).days for pair in scores], "datetime64[D]").reshape(-1, 2)


def _years(scores: Mapping[str, float]) -> float:
    dates = _dates(scores)
    return float((dates.max() - dates.min()) / np.timedelta64(1, "D")) / 365.25


def _plain(value: Any) -> Any:
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Estimate):
        return asdict(value)
    return str(value)
