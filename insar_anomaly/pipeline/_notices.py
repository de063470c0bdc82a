"""Scores -> flags -> outbox in one transaction per stack; then the outbox is delivered, with a picture."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from insar_anomaly import detectability, flags, notify
from insar_anomaly.catalogue import Volcano
from insar_anomaly.errors import InsarAnomalyError, StoreFailed
from insar_anomaly.ledger import EpisodeRow, ModelRow, NewNotice, NoticeRow, ScoreRow
from insar_anomaly.notify import Message, NotDelivered
from insar_anomaly.pipeline._screening import Run, Screening
from insar_anomaly.report.figures import PairFigure, pair_png
from insar_anomaly.schema import Grid, parse_pair

log = logging.getLogger(__name__)


def flag(s: Screening, run: Run) -> None:
    """Take every stack's new scores into account: flags are raised and cleared, notices put into the outbox."""
    stacks = s.by_stack
    for done, (stack, volcano) in enumerate(stacks.items(), 1):
        try:
            model = s.ledger.current(stack)
            if model is not None:
                run.counts["new_notices"] += s.ledger.advance(stack, model.model, _Step(s, run, stack, volcano, model))
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

    def __call__(
        self, before: list[EpisodeRow], scores: list[ScoreRow], counted: set[str]
    ) -> tuple[list[EpisodeRow], list[NewNotice]]:
        made_by = {row.number: row.model for row in before}
        state = flags.State(tuple(_episode(row) for row in before))
        evidence = [e for row in scores if (e := _evidence(row, counted=row.pair in counted))]
        days = self.screening.config.flags.clear_after_days
        state, notices = flags.run(state, evidence, clear_after_days=days)
        rows = [EpisodeRow(**dataclasses.asdict(e), model=made_by.get(e.number, self.model.model)) for e in state.episodes]
        by_pair = {row.pair: row for row in scores}
        # a notice tells of its episode as it stands after all of tonight's pairs
        now = {e.number: e for e in state.episodes}
        told = [dataclasses.replace(notice, episode=now[notice.episode.number]) for notice in notices]
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
            "pair": notice.pair,
            "score": row.score,
            "threshold": row.threshold,
            "percentile": row.percentile,
            "episode": {k: v for k, v in dataclasses.asdict(notice.episode).items() if k != "threshold"},
            "policy": self.model.policy,
            "calibration": {k: calibration.get(k) for k in ("false_alarms", "detection", "years", "why", "detectability")},
            "model": row.model,
            "snapshot": row.snapshot,
            "as_of": self.run.as_of,
            "pair_age_days": (self.run.as_of - secondary).days,
        }


def _episode(row: EpisodeRow) -> flags.Episode:
    return flags.Episode(**{f.name: getattr(row, f.name) for f in dataclasses.fields(flags.Episode)})


def _evidence(row: ScoreRow, *, counted: bool) -> flags.Evidence | None:
    dates = parse_pair(row.pair)
    if dates is None or row.score is None or row.threshold is None:
        return None
    return flags.Evidence(*dates, row.score, row.threshold, counted)


def _message(s: Screening, run: Run, row: NoticeRow, payload: dict[str, Any]) -> Message:
    words = "Screening flag raised" if row.kind == "raised" else "Screening flag cleared"
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
    lines = [
        f"{words}: {payload['volcano']} ({payload['gvp']}), stack {payload['stack']}",
        f"pair {payload['pair']} (ended {payload['pair_age_days']} days before this night, {payload['as_of']})",
        f"score {payload['score']:.5g}, threshold {payload['threshold']:.5g} ({payload['policy']}: {calibration['why']})",
    ]
    if payload["percentile"] is not None:
        lines.append(f"higher than {payload['percentile']:.1f} % of this stack's quiet pairs")
    lines.append(
        f"episode {episode['number']}: {episode['since']} to {episode['until']}, {episode['pairs_over']} pairs over the "
        f"threshold, peak {episode['peak_score']:.5g} in {episode['peak_pair']}"
    )
    if calibration["false_alarms"]:
        rate, low, high = calibration["false_alarms"]
        lines.append(f"on quiet ground this stack raises {rate:.2g} flags a year (95 %: {low:.2g} to {high:.2g})")
    for peak, (value, low, high) in calibration["detection"].items():
        lines.append(f"injected {peak}: {value:.0%} of pairs detected (95 %: {low:.0%} to {high:.0%})")
    if calibration["detectability"]:
        lines.append(detectability.words(calibration["detectability"]))
    lines.append(f"model {payload['model']}, snapshot {payload['snapshot']}")
    return "\n".join(lines)


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
    dataset = s.store.open(stack, pairs=[payload["pair"]]).isel(pair=0).load()
    scores = s.store.read_scores(stack, payload["model"])
    if scores is None or payload["pair"] not in scores["pair"].values:
        raise StoreFailed(f"{s.store.url} holds no score map of it by model {payload['model']}")
    mine = scores["score_map"].sel(pair=payload["pair"]).load()
    stride = -(-dataset.sizes["y"] // mine.sizes["v"])
    return pair_png(
        PairFigure(
            title=f"{payload['volcano']} ({payload['gvp']})  {stack.split('/')[1]}  {payload['pair']}",
            note=f"screening flag {payload['kind']}: score {payload['score']:.4g}, threshold {payload['threshold']:.4g}",
            grid=Grid.of(dataset),
            volcano=(payload["lat"], payload["lon"]),
            phase=dataset["phase"].values,
            coherence=np.where(np.isfinite(dataset["phase"].values), dataset["coherence"].values / 255, np.nan),
            score_map=mine.values,
            stride=stride,
            threshold=payload["threshold"],
        )
    )
