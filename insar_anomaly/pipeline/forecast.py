"""What a backfill would take, before it is begun: pairs, bytes, requests, hours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.names import Period, frame_of
from insar_anomaly.pipeline.assess import unscored
from insar_anomaly.pipeline.ingest import locate
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.order import ingest_stages
from insar_anomaly.pipeline.pace import lasting
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.spread import Spread
from insar_anomaly.report.digest import size_words, to_read
from insar_anomaly.sources.base import Listed, Source
from insar_anomaly.sources.grid import cut
from insar_anomaly.stack.schema import Grid
from insar_anomaly.traffic import Traffic, so_far

_RUNS = 20
_SAMPLES = 3
"""Pairs that are read, each of another stack, to find out what one costs."""


@dataclass(frozen=True)
class Forecast:
    """What a backfill would take. A pair counts once for each stack that lacks it.

    ``assessments`` are those of pairs that are stored and not yet scored. ``read_bytes`` and ``requests`` are what reading
    would take, from `sampled` pairs that were read and not stored; ``hours`` also from what earlier runs have measured of
    scoring (`scoring_known`). None where nothing could be sampled.
    """

    pairs: int
    assessments: int
    stacks: int
    sampled: int
    read_bytes: int | None
    requests: int | None
    hours: float | None
    scoring_known: bool
    workers: int

    @property
    def words(self) -> list[str]:
        """For people."""
        first = f"backfill, dry run: {self.pairs} pairs to read, for {self.stacks} stacks"
        first += f"; {self.assessments} assessments of stored pairs to score" if self.assessments else ""
        if self.hours is None or self.read_bytes is None or self.requests is None:
            nothing = not self.pairs and not self.assessments
            return [first, "  nothing to do" if nothing else "  what a pair costs could not be sampled"]
        scoring = "" if self.scoring_known else ", without scoring, which no run has measured yet"
        return [
            first,
            f"  to read: about {size_words(self.read_bytes)}, {self.requests:,} requests; {self.sampled} pairs were tried",
            f"  time: about {lasting(3600 * self.hours)} with {self.workers} workers{scoring}",
        ]


def forecast(s: Installation, run: Run, *, period: Period) -> Forecast:
    """Count what is new inside `period`, and read a few pairs, which are not stored. `run` is `run.Silent`."""
    Spread(ingest_stages(period, dry=True), s, run).finish()
    pairs, stacks = to_read(run.counts), len(s.by_stack)
    waiting = unscored(s, period)
    seconds, traffic, tried = _sampled(locate(s, run), period) if pairs else (0.0, so_far(), 0)
    workers = s.workers.width
    if not tried:
        return Forecast(pairs, waiting, stacks, 0, None, None, None, scoring_known=False, workers=workers)
    scoring = _scoring_s(s)
    # a pair's files are read once for all stacks of its frame
    files = pairs * len({frame_of(stack) for stack in s.by_stack}) / stacks
    return Forecast(
        pairs=pairs,
        assessments=waiting,
        stacks=stacks,
        sampled=tried,
        read_bytes=round(traffic.read * files / tried),
        requests=round(traffic.requests * files / tried),
        hours=(files * seconds / tried + pairs * scoring) / workers / 3600,
        scoring_known=scoring > 0,
        workers=workers,
    )


def _sampled(s: Installation, period: Period) -> tuple[float, Traffic, int]:
    """Seconds and traffic of some pairs that are read, each of another stack, and their number."""
    found = list(islice(_samples(s, period), _SAMPLES))
    before, begun, tried = so_far(), time.monotonic(), 0
    for source, one, grid in found:
        with suppress(InsarAnomalyError):
            source.read(one, {"": grid})
            tried += 1
    return time.monotonic() - begun, so_far() - before, tried


def _samples(s: Installation, period: Period) -> Iterator[tuple[Source, Listed, Grid]]:
    for stack, volcano in s.by_stack.items():
        frame = frame_of(stack)
        place = (s.located or {})[frame]
        if isinstance(place, str):
            continue
        source = s.source_of(place)
        with suppress(InsarAnomalyError):
            listed = source.pairs(frame).pairs
            whole = [one for one in listed if period.holds(one.pair) and one.phase_uri and one.coherence_uri]
            if whole:
                yield source, whole[0], cut(source.grid(frame), volcano.box, what=frame)


def _scoring_s(s: Installation) -> float:
    """Seconds of scoring for each pair that was read, as the last runs have measured it; 0 where none has."""
    rows = [row for run in s.ledger.runs(limit=_RUNS) for row in s.ledger.costs(run.run)]
    read = sum(row.pairs for row in rows if row.stage in ("ingest", "backfill"))
    return sum(row.wall_s for row in rows if row.stage == "assess") / read if read else 0.0
