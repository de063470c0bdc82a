"""The outbox is delivered: what a notice says, and its picture."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from insar_anomaly import notify
from insar_anomaly.calibration import detectability
from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.ledger.records import NoticeRow
from insar_anomaly.names import EvidenceKind, Period
from insar_anomaly.notify.message import Message, NotDelivered
from insar_anomaly.pipeline.assess import accepted_until, score_task, spans
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.pipeline.worker import ScoreTask, assessment_tiles
from insar_anomaly.stack.schema import Grid

if TYPE_CHECKING:
    from insar_anomaly.report.figures import PairFigure

log = logging.getLogger(__name__)


def deliver(s: Installation, run: Run) -> None:
    """Send what waits in the outbox. What does not arrive stays there for the next run, and fails this one."""
    mine = s.by_stack | s.by_couple
    waiting = [row for row in s.ledger.pending() if row.stack in mine]
    channels = notify.named(s.config.channel)
    for done, row in enumerate(waiting, 1):
        settings = channels.get(row.channel)
        try:
            if settings is None:
                raise NotDelivered(
                    f"channel {row.channel} is no longer configured; configure it, or drop the notice: "
                    f"`insar-anomaly notices --drop {row.key} --why ...`"
                )
            # today's contacts: an address that was wrong when the flag was raised can be mended in the catalogue
            channel = notify.opened(settings, row.channel, mine[row.stack].contacts)
            channel.deliver(_message(s, run, row, json.loads(row.payload)))
        except (InsarAnomalyError, OSError) as problem:
            s.ledger.failed(row.key, str(problem))
            run.fail(row.stack, "notify", f"{row.key}: {problem}")
        else:
            s.ledger.delivered(row.key)
            run.counts["delivered"] += 1
        s.watch("notify", done, len(waiting))


def _message(s: Installation, run: Run, row: NoticeRow, payload: dict[str, Any]) -> Message:
    outcome = "withdrawn" if payload["episode"].get("withdrawn") and row.kind == "cleared" else row.kind
    words = f"Screening flag {outcome}"
    return Message(
        key=row.key,
        kind=row.kind,
        stack=row.stack,
        subject=f"{words}: {payload['volcano']} ({payload['gvp']}), {payload['pair']}",
        body=_body(words, payload),
        payload=payload,
        figure=_figure(s, run, row.stack, payload),
        created=datetime.now(UTC),
    )


def _body(words: str, payload: Mapping[str, Any]) -> str:
    episode, calibration = payload["episode"], payload["calibration"]
    evidence = EvidenceKind(payload.get("evidence", "pair"))  # notices of earlier versions wait without it
    lines = [
        f"{words}: {payload['volcano']} ({payload['gvp']}), stack {payload['stack']}",
        f"{evidence.one} {payload['pair']} (ended {payload['pair_age_days']} days before this night, {payload['as_of']})",
        *_seen_with(payload),
        *(["with more acquisitions nothing is over the threshold any more"] if words.endswith("withdrawn") else []),
        f"score {payload['score']:.5g}, threshold {payload['threshold']:.5g} ({payload['policy']}: {calibration['why']})",
    ]
    if payload["percentile"] is not None:
        lines.append(f"higher than {payload['percentile']:.1f} % of this stack's quiet {evidence.many}")
    lines += _unusual_days(payload)
    lines.append(
        f"episode {episode['number']}: {episode['since']} to {episode['until']}, "
        f"{evidence.counted(episode['pairs_over'])} over the threshold, "
        f"peak {episode['peak_score']:.5g} in {episode['peak_pair']}"
    )
    if calibration["false_alarms"]:
        rate, low, high = calibration["false_alarms"]
        lines.append(f"on quiet ground this stack raises {rate:.2g} flags a year (95 %: {low:.2g} to {high:.2g})")
    for peak, (value, low, high) in calibration["detection"].items():
        peak = peak.replace("at once", "with the first acquisition after it only")
        lines.append(f"injected {peak}: {value:.0%} of {evidence.many} detected (95 %: {low:.0%} to {high:.0%})")
    if calibration["detectability"]:
        lines.append(detectability.words(calibration["detectability"]))
    lines.append(f"model {payload['model']}, snapshot {payload['snapshot']}")
    return "\n".join(lines)


def _seen_with(payload: Mapping[str, Any]) -> list[str]:
    """How much of the time after an interval was seen, and what each of a couple's stacks says; nothing for a pair."""
    after = payload.get("after", 0)
    if payload.get("members"):
        return [
            f"{one['stack']}: interval {one['pair']}, seen with {one['after']} after it: score {one['score']:.4g}, its own "
            f"threshold {one['threshold']:.4g}" + (", flagged by itself too" if one.get("flagged") else "")
            for one in payload["members"]
        ]
    return [f"seen with {after} acquisition{'s' if after > 1 else ''} after it, fused from all pairs around it"] * (
        after > 0
    )


def _unusual_days(payload: Mapping[str, Any]) -> list[str]:
    """What is known of the weather of the interval's two days.

    Motion that stays shows half of itself on either side, so a day that is merely over its threshold proves nothing; a day
    that stands out more than the interval does is the likelier cause.
    """
    lines = []
    for day, known in (payload.get("alone") or {}).items():
        if known is None:
            lines.append(f"acquisition {day} alone: too few neighbours so far to tell")
            continue
        if known["threshold"] is None:
            lines.append(f"acquisition {day} alone: score {known['score']:.4g}; no threshold for acquisitions here")
            continue
        verdict = "not unusual"
        if known["score"] > known["threshold"]:
            more = known["score"] > payload["score"]
            verdict = (
                "stands out more than the interval: its own atmosphere is the likelier cause"
                if more
                else "unusual, as motion that stays makes it, and less than the interval"
            )
        lines.append(f"acquisition {day} alone: {verdict} (score {known['score']:.4g}, threshold {known['threshold']:.4g})")
    return lines


def _figure(s: Installation, run: Run, stack: str, payload: Mapping[str, Any]) -> bytes | None:
    """The pair as a picture; None, with a word in the digest, where it cannot be drawn: a notice is sent all the same."""
    try:
        return _drawn(s, stack, payload)
    except Exception as problem:
        if not isinstance(problem, InsarAnomalyError | OSError):
            log.exception("%s: the figure of %s could not be drawn", stack, payload["pair"])
        run.warn(f"{stack}: the notice of {payload['pair']} goes without a figure: {problem}")
        return None


def _drawn(s: Installation, stack: str, payload: Mapping[str, Any]) -> bytes:
    """The evidence as a picture: one row of panels, or one for each stack of a couple."""
    from insar_anomaly.report.figures import pair_png  # with matplotlib, which takes half a second

    parts = payload.get("members") or [{"stack": stack}]
    note = f"screening flag {payload['kind']}: score {payload['score']:.4g}, threshold {payload['threshold']:.4g}"
    return pair_png(*(_panels(s, {**payload, **part}, note) for part in parts))


def _panels(s: Installation, payload: Mapping[str, Any], note: str) -> PairFigure:
    from insar_anomaly.report.figures import PairFigure

    stack, name, after = payload["stack"], payload["pair"], payload.get("after", 0)
    task = _shown(s, stack, payload)
    dataset = s.store.open(stack, pairs=task.pairs)
    grid = Grid.of(dataset)
    if task.evidence == "pair":
        one = dataset.sel(pair=name).load()
        phase, coherence, measured = one["phase"].values, one["coherence"].values / 255, np.isfinite(one["phase"].values)
    else:
        fused = assessment_tiles(task).isel(pair=0)
        measured = fused["valid"].values
        phase = np.where(measured, fused["phase"].values, np.nan)
        around = dataset.sel(pair=[p for p in task.pairs if spans(p, name)])
        coherence = around["coherence"].mean("pair").values / 255
    mine = _score_map(s, stack, payload)
    seen = f", seen with {after} after it" if after else ""
    return PairFigure(
        title=f"{payload['volcano']} ({payload['gvp']})  {stack.split('/')[1]}  {task.evidence} {name}{seen}",
        note=note,
        grid=grid,
        volcano=(payload["lat"], payload["lon"]),
        phase=phase,
        coherence=np.where(measured, coherence, np.nan),
        score_map=mine,
        stride=-(-grid.shape[0] // mine.shape[0]),
        threshold=payload["threshold"],
    )


def _shown(s: Installation, stack: str, payload: Mapping[str, Any]) -> ScoreTask:
    """The task that would score what the notice tells of."""
    model = next((row for row in s.ledger.models(stack) if row.model == payload["model"]), None)
    if model is None:
        raise StoreFailed(f"the ledger has no model {payload['model']} of {stack}")
    as_of = date.fromisoformat(payload["as_of"])
    assessment = Assessment(
        payload["pair"], payload.get("after", 0), inputs=0, seen=as_of
    )  # these two are not looked at here
    pairs = accepted_until(s, stack, Period(last=as_of))
    return score_task(s, stack, model, pairs=pairs, assessments=[assessment], snapshot=s.store.snapshot(stack))


def _score_map(s: Installation, stack: str, payload: Mapping[str, Any]) -> Any:
    """Map (v, u) of the newest score of the assessment."""
    scores = s.store.read_scores(stack, payload["model"])
    found = np.empty(0, int)
    if scores is not None:
        same = scores["pair"].values == payload["pair"]
        found = np.flatnonzero(same & (scores["after"].values == payload["after"]) if "after" in scores else same)
    if scores is None or not len(found):
        raise StoreFailed(f"{s.store.url} holds no score map of it by model {payload['model']}")
    return scores["score_map"].isel(pair=int(found[-1])).values
