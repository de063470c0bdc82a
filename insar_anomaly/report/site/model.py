"""The page of a volcano's models: what each was fitted on, with which settings, and the hashes that name all of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from insar_anomaly.names import EvidenceKind
from insar_anomaly.report.site.plain import page
from insar_anomaly.report.site.rows import ModelView, VolcanoView
from insar_anomaly.spoken import DEFAULT, LANGUAGES


@dataclass(frozen=True)
class Shown:
    """A model as the page shows it: of which stack it is, its rows of facts, its settings, and its months."""

    stack: str
    view: ModelView
    facts: Sequence[tuple[str, str]]
    settings: str
    months: Sequence[tuple[str, int]]


def model_page(shown: VolcanoView) -> bytes:
    """The page ``v/<gvp>-model.html``."""
    resting = [_shown(one.stack, one.model, "raises the flags") for one in shown.stacks if one.model]
    others = [_shown(stack, one, "beside it") for stack, one in shown.others]
    return page("model.html.j2", up="../", shown=shown, volcano=shown.row.volcano, models=[*resting, *others])


def _shown(stack: str, view: ModelView, why: str) -> Shown:
    row, found = view.row, view.calibration
    names = [one[:3] for one in LANGUAGES[DEFAULT].months]
    alarms, both = found.false_alarms, row.evidence is EvidenceKind.DIRECTIONS
    facts = [
        ("use", why),
        ("assesses", row.evidence.many),
        ("detector", row.detector),
        ("fitted on", f"{row.fit_from} to {row.fit_to}{'' if both else f', {row.pairs} pairs'}"),
        ("threshold", "none" if row.threshold is None else f"{row.threshold:.6g}"),
        ("policy", row.policy),
        ("why", row.why),
        (
            "false flags a year",
            "not known" if alarms is None else f"{alarms.value:.2g} ({alarms.low:.2g} to {alarms.high:.2g})",
        ),
        ("quiet scores", f"{len(found.negatives)}, from {found.years:.3g} years"),
        ("model", row.model),
        ("snapshot of the stack", row.snapshot),
        ("code", row.version),
    ]
    try:
        settings = json.dumps(json.loads(row.settings), indent=1, sort_keys=True)
    except ValueError:
        settings = row.settings
    return Shown(stack, view, facts, settings, list(zip(names, view.months, strict=True)))
