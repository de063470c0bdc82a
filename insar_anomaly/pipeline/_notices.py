"""Scores -> flags -> outbox in one transaction per stack; then the outbox is delivered, with a picture."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from insar_anomaly import detectability, flags, notify
from insar_anomaly.catalogue import Volcano
from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.evidence import Look
from insar_anomaly.ledger import EpisodeRow, ModelRow, NewNotice, NoticeRow, ScoreRow
from insar_anomaly.notify import Message, NotDelivered
from insar_anomaly.pipeline._score import accepted_until, score_task
from insar_anomaly.pipeline._screening import Period, Run, Screening
from insar_anomaly.report.figures import PairFigure, pair_png
from insar_anomaly.schema import Grid, parse_pair
from insar_anomaly.tasks import ScoreTask, look_tiles

log = logging.getLogger(__name__)


def flag(s: Screening, run: Run) -> None:
    """Take every stack's new scores into account: flags are raised and cleared, notices put into the outbox."""
    stacks = s.by_stack
    for done, (stack, volcano) in enumerate(stacks.items(), 1):
        try:
            resting, _ = s.resting(stack)
            for model in filter(None, (s.ledger.current(stack, kind) for kind in s.evidence)):
                if resting is not None and model.model == resting.model:
                    alone = {row["pair"][:8]: row for row in s.ledger.looks(stack, "acquisition")}
                    step = _Step(s, run, stack, volcano, model, alone)
                    run.counts["new_notices"] += s.ledger.advance(stack, model.model, step)
                else:  # its scores are taken into account too, so that they raise nothing once flags rest on them
                    s.ledger.advance(stack, model.model, _as_they_were)
        except InsarAnomalyError as problem:
            run.fail(stack, "flag", problem)
        s.watch("flag", done, len(stacks))


def deliver(s: Screening, run: Run) -> None:
    """Send what waits in the outbox. What does not arrive stays there for the next run, and fails this one."""
    mine = s.by_stack
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


@dataclasses.dataclass(frozen=True)
class _Step:
    """One stack's way from (episodes, new scores) to (episodes, notices), for `Ledger.advance`."""

    screening: Screening
    run: Run
    stack: str
    volcano: Volcano
    model: ModelRow
    alone: Mapping[str, Mapping[str, Any]]  # date -> what the acquisition shows alone, as `Ledger.looks` says

    def __call__(
        self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]
    ) -> tuple[list[EpisodeRow], list[NewNotice]]:
        made_by = {row.number: row.model for row in before}
        state = flags.State(tuple(_episode(row) for row in before))
        evidence, over = [], set(counted)
        for row in scores:  # the looks at one interval, first look first, count as one
            if one := _evidence(row, counted=row.pair in over):
                evidence.append(one)
                over |= {row.pair} if one.over else set()
        days = self.screening.config.flags.clear_after_days
        state, notices = flags.run(state, evidence, clear_after_days=days)
        rows = [_row(e, made_by.get(e.number, self.model.model)) for e in state.episodes]
        by_pair = {row.pair: row for row in sorted(scores, key=_excess)}  # the look that is furthest over
        # a notice tells of its episode as it stands after all of tonight's pairs
        now = {e.number: e for e in state.episodes}
        told = [dataclasses.replace(notice, episode=now[notice.episode.number]) for notice in notices]
        fleeting = {n.episode.number for n in told if n.kind == "raised" and n.episode.withdrawn}
        told = [notice for notice in told if notice.episode.number not in fleeting]  # raised and withdrawn in one night
        return rows, [new for notice in told for new in self._outbox(notice, by_pair)]

    def _outbox(self, notice: flags.Notice, scores: Mapping[str, ScoreRow]) -> list[NewNotice]:
        """The notice, once per channel; a cleared one only where the raised one was sent."""
        raised, limit = notice.kind == "raised", self.screening.config.flags.notice_max_age_days
        if raised and (self.run.as_of - notice.episode.until).days > limit:
            self.run.counts["old_flags"] += 1
            return []
        payload = json.dumps(self._payload(notice, scores[notice.pair]), default=str)
        stem = f"{self.stack}:{notice.episode.number}"
        channels = notify.named(self.screening.config.channel)
        names = [name for name, channel in channels.items() if notify.reaches(channel, self.volcano.contacts)]
        if raised and not names:
            self.run.warn(f"{self.stack}: a flag was raised and nobody is told: no [[channel]] reaches anyone for it")
        for name in channels.keys() - set(names) if raised else ():
            self.run.warn(f"{self.stack}: channel {name} has no recipients and the volcano has no contacts: nothing is sent")
        after = {name: None if raised else f"{stem}:raised:{name}" for name in names}
        return [NewNotice(f"{stem}:{notice.kind}:{name}", name, notice.kind, payload, after[name]) for name in names]

    def _payload(self, notice: flags.Notice, row: ScoreRow) -> dict[str, Any]:
        calibration = json.loads(self.model.calibration)
        _, secondary = parse_pair(notice.pair) or (None, self.run.as_of)
        return {
            "kind": notice.kind,
            "stack": self.stack,
            "gvp": self.volcano.gvp,
            "volcano": self.volcano.name,
            "lat": self.volcano.lat,
            "lon": self.volcano.lon,
            "evidence": self.model.evidence,
            "pair": notice.pair,
            "after": row.after,
            "alone": self._alone(notice.pair) if self.model.evidence == "interval" else {},
            "score": row.score,
            "threshold": row.threshold,
            "percentile": row.percentile,
            "episode": {k: v for k, v in dataclasses.asdict(notice.episode).items() if k not in ("threshold", "standing")},
            "policy": self.model.policy,
            "calibration": {k: calibration.get(k) for k in ("false_alarms", "detection", "years", "why", "detectability")},
            "model": row.model,
            "snapshot": row.snapshot,
            "as_of": self.run.as_of,
            "pair_age_days": (self.run.as_of - secondary).days,
        }

    def _alone(self, interval: str) -> dict[str, dict[str, float] | None]:
        """What the interval's two acquisitions show alone: score and threshold by date, None where that is not known yet."""
        out: dict[str, dict[str, float] | None] = {}
        for day in interval.split("_"):
            row = self.alone.get(day, {})
            known = row.get("score") is not None and row.get("threshold") is not None
            out[day] = {"score": row["score"], "threshold": row["threshold"]} if known else None
        return out


def _as_they_were(
    before: list[EpisodeRow],
    scores: list[ScoreRow],  # noqa: ARG001
    counted: set[str],  # noqa: ARG001
) -> tuple[list[EpisodeRow], list[NewNotice]]:
    """The step of evidence that flags do not rest on."""
    return before, []


def _excess(row: ScoreRow) -> float:
    return (row.score or 0.0) - (row.threshold or 0.0)


def _episode(row: EpisodeRow) -> flags.Episode:
    kept = {f.name: getattr(row, f.name) for f in dataclasses.fields(flags.Episode)}
    return flags.Episode(**kept | {"standing": frozenset(json.loads(row.standing))})


def _row(episode: flags.Episode, model: str) -> EpisodeRow:
    kept = dataclasses.asdict(episode) | {"standing": json.dumps(sorted(episode.standing))}
    return EpisodeRow(**kept, model=model)


def _evidence(row: ScoreRow, *, counted: bool) -> flags.Evidence | None:
    dates = parse_pair(row.pair)
    if dates is None or row.score is None or row.threshold is None:
        return None
    return flags.Evidence(*dates, row.score, row.threshold, counted, row.seen if row.after else None)


def _message(s: Screening, run: Run, row: NoticeRow, payload: dict[str, Any]) -> Message:
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
    evidence = payload.get("evidence", "pair")  # notices of earlier versions wait without it
    lines = [
        f"{words}: {payload['volcano']} ({payload['gvp']}), stack {payload['stack']}",
        f"{evidence} {payload['pair']} (ended {payload['pair_age_days']} days before this night, {payload['as_of']})",
        *_looked(payload),
        *(["with more acquisitions nothing is over the threshold any more"] if words.endswith("withdrawn") else []),
        f"score {payload['score']:.5g}, threshold {payload['threshold']:.5g} ({payload['policy']}: {calibration['why']})",
    ]
    if payload["percentile"] is not None:
        lines.append(f"higher than {payload['percentile']:.1f} % of this stack's quiet {evidence}s")
    lines += _unusual_days(payload)
    lines.append(
        f"episode {episode['number']}: {episode['since']} to {episode['until']}, {episode['pairs_over']} {evidence}s over "
        f"the threshold, peak {episode['peak_score']:.5g} in {episode['peak_pair']}"
    )
    if calibration["false_alarms"]:
        rate, low, high = calibration["false_alarms"]
        lines.append(f"on quiet ground this stack raises {rate:.2g} flags a year (95 %: {low:.2g} to {high:.2g})")
    for peak, (value, low, high) in calibration["detection"].items():
        lines.append(f"injected {peak}: {value:.0%} of {evidence}s detected (95 %: {low:.0%} to {high:.0%})")
    if calibration["detectability"]:
        lines.append(detectability.words(calibration["detectability"]))
    lines.append(f"model {payload['model']}, snapshot {payload['snapshot']}")
    return "\n".join(lines)


def _looked(payload: Mapping[str, Any]) -> list[str]:
    """How much of the time after an interval was seen; nothing for a pair."""
    after = payload.get("after", 0)
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


def _figure(s: Screening, run: Run, stack: str, payload: Mapping[str, Any]) -> bytes | None:
    """The pair as a picture; None, with a word in the digest, where it cannot be drawn: a notice is sent all the same."""
    try:
        return _drawn(s, stack, payload)
    except Exception as problem:
        if not isinstance(problem, InsarAnomalyError | OSError):
            log.exception("%s: the figure of %s could not be drawn", stack, payload["pair"])
        run.warn(f"{stack}: the notice of {payload['pair']} goes without a figure: {problem}")
        return None


def _drawn(s: Screening, stack: str, payload: Mapping[str, Any]) -> bytes:
    name, after = payload["pair"], payload.get("after", 0)
    task = _shown(s, stack, payload)
    dataset = s.store.open(stack, pairs=task.pairs)
    grid = Grid.of(dataset)
    if task.evidence == "pair":
        one = dataset.sel(pair=name).load()
        phase, coherence, measured = one["phase"].values, one["coherence"].values / 255, np.isfinite(one["phase"].values)
    else:
        fused = look_tiles(task).isel(pair=0)
        measured = fused["valid"].values
        phase = np.where(measured, fused["phase"].values, np.nan)
        around = dataset.sel(pair=[p for p in task.pairs if _near(p, name)])
        coherence = around["coherence"].mean("pair").values / 255
    mine = _score_map(s, stack, payload)
    seen = f", seen with {after} after it" if after else ""
    return pair_png(
        PairFigure(
            title=f"{payload['volcano']} ({payload['gvp']})  {stack.split('/')[1]}  {task.evidence} {name}{seen}",
            note=f"screening flag {payload['kind']}: score {payload['score']:.4g}, threshold {payload['threshold']:.4g}",
            grid=grid,
            volcano=(payload["lat"], payload["lon"]),
            phase=phase,
            coherence=np.where(measured, coherence, np.nan),
            score_map=mine,
            stride=-(-grid.shape[0] // mine.shape[0]),
            threshold=payload["threshold"],
        )
    )


def _shown(s: Screening, stack: str, payload: Mapping[str, Any]) -> ScoreTask:
    """The task that would score what the notice tells of."""
    model = next((row for row in s.ledger.models(stack) if row.model == payload["model"]), None)
    if model is None:
        raise StoreFailed(f"the ledger has no model {payload['model']} of {stack}")
    as_of = date.fromisoformat(payload["as_of"])
    look = Look(payload["pair"], payload.get("after", 0), inputs=0, seen=as_of)  # these two are not looked at here
    pairs = accepted_until(s, stack, Period(last=as_of))
    return score_task(s, stack, model, pairs=pairs, looks=[look], snapshot=s.store.snapshot(stack))


def _near(pair: str, name: str) -> bool:
    """True where the pair brackets the interval."""
    return pair[:8] <= name[:8] and name[9:] <= pair[9:]


def _score_map(s: Screening, stack: str, payload: Mapping[str, Any]) -> Any:
    """Map (v, u) of the newest score of the look."""
    scores = s.store.read_scores(stack, payload["model"])
    found = np.empty(0, int)
    if scores is not None:
        same = scores["pair"].values == payload["pair"]
        found = np.flatnonzero(same & (scores["after"].values == payload["after"]) if "after" in scores else same)
    if scores is None or not len(found):
        raise StoreFailed(f"{s.store.url} holds no score map of it by model {payload['model']}")
    return scores["score_map"].isel(pair=int(found[-1])).values
