"""The outbox is delivered: what a notice says, and its picture."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from insar_anomaly import notify
from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.evidence.protocol import Assessment
from insar_anomaly.ledger.records import NoticeRow
from insar_anomaly.names import EvidenceKind, Period, frame_of
from insar_anomaly.notify import wording
from insar_anomaly.notify.message import Message, NotDelivered
from insar_anomaly.notify.payload import Payload
from insar_anomaly.pipeline.assess import accepted_until, score_task, spans
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.pipeline.worker import ScoreTask, assessment_tiles
from insar_anomaly.report.digest import Count
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
            channel.deliver(_message(s, run, row))
        except (InsarAnomalyError, OSError) as problem:
            s.ledger.failed(row.key, str(problem))
            run.fail(row.stack, "notify", f"{row.key}: {problem}")
        else:
            s.ledger.delivered(row.key)
            run.counts[Count.DELIVERED] += 1
        s.watch("notify", done, len(waiting))


def _message(s: Installation, run: Run, row: NoticeRow) -> Message:
    told = Payload.read(row.payload)
    return Message(
        key=row.key,
        kind=row.kind,
        stack=row.stack,
        subject=wording.subject(told),
        body=wording.body(told),
        payload=told.as_dict(),
        figure=_figure(s, run, told),
        created=datetime.now(UTC),
    )


def _figure(s: Installation, run: Run, told: Payload) -> bytes | None:
    """The evidence as a picture; None where it cannot be drawn: the notice is sent all the same, and the digest says so."""
    try:
        return _drawn(s, told)
    except Exception as problem:
        if not isinstance(problem, InsarAnomalyError | OSError):
            log.exception("%s: the figure of %s could not be drawn", told.stack, told.pair)
        run.warn(f"{told.stack}: the notice of {told.pair} goes without a figure: {problem}")
        return None


@dataclass(frozen=True)
class _Shown:
    """One row of panels: what is drawn of which stack, and the day up to which pairs may be used."""

    stack: str
    evidence: EvidenceKind
    pair: str
    after: int
    model: str
    threshold: float | None
    as_of: date


def _drawn(s: Installation, told: Payload) -> bytes:
    """The evidence as a picture: one row of panels, or one for each stack of a couple."""
    from insar_anomaly.report.figures import pair_png  # with matplotlib, which takes half a second

    note = f"screening flag {told.outcome}: score {told.score:.4g}, threshold {told.threshold:.4g}"
    parts = [
        _Shown(one.stack, one.evidence, one.pair, one.after, one.model, one.threshold, told.as_of)
        for one in told.members or (told,)
    ]
    return pair_png(*(_panels(s, told, part, note) for part in parts))


def _panels(s: Installation, told: Payload, part: _Shown, note: str) -> PairFigure:
    from insar_anomaly.report.figures import PairFigure

    task = _task(s, part)
    dataset = s.store.open(part.stack, pairs=task.pairs)
    grid = Grid.of(dataset)
    if part.evidence == EvidenceKind.PAIR:
        one = dataset.sel(pair=part.pair).load()
        phase, coherence, measured = one["phase"].values, one["coherence"].values / 255, np.isfinite(one["phase"].values)
    else:
        fused = assessment_tiles(task).isel(pair=0)
        measured = fused["valid"].values
        phase = np.where(measured, fused["phase"].values, np.nan)
        around = dataset.sel(pair=[p for p in task.pairs if spans(p, part.pair)])
        coherence = around["coherence"].mean("pair").values / 255
    mine = _score_map(s, part)
    seen = f", with {part.after} acquisition{'s' if part.after > 1 else ''} after it" if part.after else ""
    return PairFigure(
        title=f"{told.volcano} ({told.gvp})  {frame_of(part.stack)}  {part.evidence} {part.pair}{seen}",
        note=note,
        grid=grid,
        volcano=(told.lat, told.lon),
        phase=phase,
        coherence=np.where(measured, coherence, np.nan),
        score_map=mine,
        stride=-(-grid.shape[0] // mine.shape[0]),
        threshold=part.threshold,
    )


def _task(s: Installation, part: _Shown) -> ScoreTask:
    """The task that would assess what the notice tells of."""
    model = s.ledger.model(part.stack, part.model)
    if model is None:
        raise StoreFailed(f"the ledger has no model {part.model} of {part.stack}")
    wanted = Assessment(part.pair, part.after, inputs=0, seen=part.as_of)  # the last two play no part in a picture
    pairs = accepted_until(s, part.stack, Period(last=part.as_of))
    snapshot = s.store.snapshot(part.stack)
    return score_task(s, part.stack, model, pairs=pairs, assessments=[wanted], snapshot=snapshot)


def _score_map(s: Installation, part: _Shown) -> NDArray[np.floating]:
    """Map (v, u) of the newest score of the assessment."""
    scores = s.store.read_scores(part.stack, part.model)
    found = np.empty(0, int)
    if scores is not None:
        same = scores["pair"].values == part.pair
        found = np.flatnonzero(same & (scores["after"].values == part.after) if "after" in scores else same)
    if scores is None or not len(found):
        raise StoreFailed(f"{s.store.url} holds no score map of it by model {part.model}")
    out: NDArray[np.floating] = scores["score_map"].isel(pair=int(found[-1])).values
    return out
