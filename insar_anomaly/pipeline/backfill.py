"""History brought in beside the nights: read and scored, silently, or replayed night by night with its flags."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from insar_anomaly.errors import InsarAnomalyError, UsageError
from insar_anomaly.names import EvidenceKind, Pair, Period, frame_of
from insar_anomaly.pipeline.assess import assess_stacks, something_to_assess
from insar_anomaly.pipeline.couples import score_couples
from insar_anomaly.pipeline.ingest import ingest_stacks, something_new
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.order import assess_stages, deliver_stages, ingest_stages, walk_whole
from insar_anomaly.pipeline.pace import Pace
from insar_anomaly.pipeline.replay import past_of, replay_nights
from insar_anomaly.pipeline.run import Run, Silent, Watch
from insar_anomaly.pipeline.spread import Spread
from insar_anomaly.pipeline.stage import Scope, Stage
from insar_anomaly.report.digest import Count, to_read
from insar_anomaly.sources.base import Listed

_PAIRS = 256
"""Pairs that are read before they are scored: so progress shows both, and a run that is stopped has lost little."""


def backfill(s: Installation, run: Run, *, period: Period, replay: bool = False, send: bool = False) -> None:
    """Read and score what is new inside `period`, up to the run's date; see `backfill_stages`.

    What is there to do is counted first, so that who watches sees from the beginning how much it is, and when it will end.
    """
    period = Period(period.first, min(day for day in (period.last, run.as_of) if day is not None))
    counting = Silent.of(run)
    dry = Spread(ingest_stages(period, dry=True), s, counting)
    dry.finish()
    pace = Pace(to_read(counting.counts), width=min(s.workers.width, len(dry.counted)))
    mine = replace(s, watch=partial(_paced, s.watch, pace))
    stages = backfill_stages(period, replay=replay, send=send, split=bool(s.workers.gpu_wanted()))
    spread = Spread(stages, mine, run, totals={"backfill": pace.total}, sizes=dry.counted)
    pace.longest = partial(spread.longest, "backfill")
    spread.finish()
    walk_whole(stages, mine, run)


def _paced(watch: Watch, pace: Pace, stage: str, done: int, total: int, note: str = "") -> None:
    if stage == "backfill":
        now = time.monotonic()
        pace.heard(done, now)
        note = pace.words(now) or note
    watch(stage, done, total, note)


def of_frames(s: Installation, frames: Sequence[str]) -> Installation:
    """The installation with these frames alone; all where none is named. Raises UsageError where one is not in it."""
    known = {frame_of(stack) for stack in s.by_stack}
    for frame in frames:
        if frame not in known:
            near = difflib.get_close_matches(frame, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"--frame {frame}: none of the {len(s.volcanoes)} volcanoes of this run is seen from it{hint}")
    return s.of([stack for stack in s.by_stack if frame_of(stack) in frames]) if frames else s


def backfill_stages(period: Period, *, replay: bool = False, send: bool = False, split: bool = False) -> tuple[Stage, ...]:
    """Read and score what is new inside `period`.

    Parameters
    ----------
    replay : then walk through its nights in order, and write the flags and notices that would have gone out; without it,
        what was scored raises nothing
    send : deliver these notices; without it they are written down as not sent
    split : read everything before anything is scored, for a cluster where other workers score than read
    """
    history = (
        (*ingest_stages(period), *assess_stages(period)[:1])
        if split
        else (
            Stage(
                "backfill",
                partial(backfill_stacks, period=period),
                reads_source=True,
                pending=partial(_something_to_do, period=period),
            ),
        )
    )
    if not replay:
        return (*history, Stage("settle", partial(settle, period=period), Scope.VOLCANO))
    after = deliver_stages() if send else ()
    return (*history, Stage("replay", partial(replay_nights, period=period, send=send), Scope.WHOLE), *after)


def backfill_stacks(s: Installation, run: Run, *, period: Period) -> None:
    """Read and score the stacks' pairs inside `period`, some hundred at a time, in the order of time."""
    mine = replace(s, listings={})
    probe = Silent.of(run)
    ingest_stacks(mine, probe, period=period, dry=True)
    told = _Told(s.watch, to_read(probe.counts), scored=any(map(s.ledger.all_current, s.by_stack)))
    changed = 0
    for part in _parts(mine, period):
        known = to_read(run.counts)
        ingest_stacks(replace(mine, watch=told), run, period=part)
        assess_stacks(replace(mine, watch=told), run, period=part)
        told.part_ended(to_read(run.counts) - known)
        changed = max(changed, run.counts.pop(Count.CHANGED_PAIRS, 0))  # each part sees them all again
    run.counts[Count.CHANGED_PAIRS] += changed


class _Told:
    """Tells how many pairs of a share are done. A pair counts in part when it is read, and whole when it is scored.

    How much reading counts beside scoring is learned from the parts that have ended. Where no stack has a model, nothing is
    scored: then reading is all.
    """

    def __init__(self, watch: Watch, total: int, *, scored: bool) -> None:
        self._watch, self._total, self._done = watch, total, 0.0
        self._seconds = {"ingest": 1.0, "assess": 2.0 if scored else 0.0}
        self._measured: dict[str, float] = {}
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """A stage of a part is so far."""
        now = time.monotonic()
        if stage not in self._seconds or not total:
            return
        self._measured[stage] = self._measured.get(stage, 0.0) + now - self._last
        self._last = now
        before = self._seconds["ingest"] if stage == "assess" else 0.0
        share = (before + self._seconds[stage] * done / total) / sum(self._seconds.values())
        size = min(_PAIRS, self._total - self._done)
        self._watch("backfill", int(self._done + share * size), self._total, note)

    def part_ended(self, pairs: int) -> None:
        """So many pairs were read and scored."""
        self._done += pairs
        if len(self._measured) == len(self._seconds):
            self._seconds = dict(self._measured)
        self._last = time.monotonic()
        if pairs:
            self._watch("backfill", int(self._done), self._total)


def settle(s: Installation, run: Run, *, period: Period) -> None:
    """Mark scores of the past as considered, so that no later night raises flags for them.

    What is so recent that a notice would still be sent is left to the next night: a backfill hides no unrest.
    """
    try:
        score_couples(s, run, period)
    except InsarAnomalyError as problem:
        run.fail(str(s.volcanoes[0].gvp), "settle", problem)
    past = past_of(s, run, period)
    for stack in (*s.by_stack, *s.by_couple):
        try:
            for model in filter(None, (s.ledger.current(stack, kind) for kind in EvidenceKind)):
                s.ledger.consider(stack, model.model, seen=past)
        except InsarAnomalyError as problem:
            run.fail(stack, "settle", problem)


def _parts(s: Installation, period: Period) -> Iterator[Period]:
    """The period cut by dates, each part from its beginning on, so that each brings some hundred more pairs."""
    days = sorted(span.last for listing in (s.listings or {}).values() for span in _spans(listing.pairs, period))
    ends = sorted({days[i] for i in range(_PAIRS, len(days), _PAIRS)})
    yield from (Period(period.first, end) for end in ends)
    yield period


def _spans(listed: Sequence[Listed], period: Period) -> Iterator[Pair]:
    yield from (span for one in listed if period.holds(one.pair) and (span := Pair.parse(one.pair)))


def _something_to_do(s: Installation, run: Run, *, period: Period) -> bool:
    return something_new(s, run, period=period) or something_to_assess(s, run, period=period)
