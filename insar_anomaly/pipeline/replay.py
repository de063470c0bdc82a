"""The nights of a period one after the other, as if each had been run: flags, what holds them back, and their notices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import date, timedelta

from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.names import EvidenceKind, Period, volcano_of
from insar_anomaly.pipeline.agreement import agree
from insar_anomaly.pipeline.couples import score_couples
from insar_anomaly.pipeline.flag import flag_couples, flag_stacks
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.leases import patiently
from insar_anomaly.pipeline.regional import hold_together
from insar_anomaly.pipeline.run import Run
from insar_anomaly.report.digest import Count

UNSENT = "written by a replay, and not sent"
"""Why a notice of a replay waits for nobody; with ``send``, a later replay sends it after all."""


def replay_nights(s: Installation, run: Run, *, period: Period, send: bool) -> None:
    """Walk through the nights of the whole installation in order, each with what it could know, as `nightly` does.

    A night flags stacks, then couples, then holds together what many stacks share, then looks for flags of both
    directions that agree. A night on which no acquisition came
    changes nothing and is left out, as are the volcanoes that have none on a night. What is so recent that a notice would
    still be sent is left to the next night, unless this replay sends: it hides no unrest.

    All stacks are held for the length of the walk, since a night holds flags by what the others show. A replay that was
    stopped goes on with the last night that it had begun.
    """
    names, cluster = (*s.by_stack, *s.by_couple), s.config.cluster
    waiting = {"lease_s": cluster.lease_s, "wait_s": cluster.wait_s}
    try:
        with patiently(s.ledger, names, what=run.what, say=run.warn, **waiting) as held:
            run.held = held
            _walk(s, run, period, send=send)
    except InsarAnomalyError as problem:
        run.fail("every stack", "replay", problem)
    finally:
        run.held = None


def past_of(s: Installation, run: Run, period: Period) -> Period:
    """The part of the period that is too old for a notice."""
    oldest = run.as_of - timedelta(days=s.config.flags.notice_max_age_days)
    last = min(day for day in (period.last, oldest - timedelta(days=1)) if day is not None)
    return Period(period.first, last)


def _walk(s: Installation, run: Run, period: Period, *, send: bool) -> None:
    if send:
        for name in (*s.by_stack, *s.by_couple, ""):  # notices of many stacks name none
            run.counts[Count.NEW_NOTICES] += s.ledger.send_after_all(name, UNSENT)
    volcanoes = _nights(s, period if send else past_of(s, run, period))
    nights = _left(s, sorted(volcanoes), period)
    for done, night in enumerate(nights, 1):
        tonight = replace(run, as_of=night, seen=Period(period.first, night), unsent=None if send else UNSENT)
        _night(s, tonight, volcanoes[night])
        s.watch("replay", done, len(nights), str(night))


def _night(s: Installation, tonight: Run, volcanoes: Collection[int]) -> None:
    """One night of those volcanoes that have something new on it; the others stay as they are."""
    mine = replace(s.narrowed([one for one in s.volcanoes if one.gvp in volcanoes]), watch=_unheard)
    flag_stacks(mine, tonight)
    if mine.by_couple:
        score_couples(mine, tonight, tonight.seen)
        flag_couples(mine, tonight)
    hold_together(mine, tonight)
    agree(mine, tonight)


def _nights(s: Installation, period: Period) -> dict[date, set[int]]:
    """Days inside the period on which an assessment could first be made -> volcanoes that it is of."""
    days: dict[date, set[int]] = defaultdict(set)
    for stack in s.by_stack:
        for kind in s.evidence:
            for row in s.ledger.assessments(stack, kind):
                if row.seen is not None and period.has(row.seen):
                    days[row.seen].add(volcano_of(stack))
    return days


def _left(s: Installation, nights: list[date], period: Period) -> list[date]:
    """The nights that are not over: from the last one on which every score was considered, whose end may be missing."""
    waiting = [s.ledger.first_to_consider(name, model, period) for name, model in _models(s)]
    first = min(filter(None, waiting), default=None)
    over = sum(first is None or night < first for night in nights)
    return nights[max(0, over - 1) :]


def _models(s: Installation) -> Iterator[tuple[str, str]]:
    """Stacks and couples, each with the name of its current model of every kind of evidence."""
    kinds = dict.fromkeys(s.by_stack, s.evidence) | dict.fromkeys(s.by_couple, (EvidenceKind.DIRECTIONS,))
    for name, wanted in kinds.items():
        yield from ((name, model.model) for kind in wanted if (model := s.ledger.current(name, kind)))


def _unheard(stage: str, done: int, total: int, note: str = "") -> None:
    """The progress inside one night: who watches hears of nights."""
