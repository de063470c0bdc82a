"""One night from end to end, and its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

from insar_anomaly.errors import Verdict
from insar_anomaly.files.whole import write_whole
from insar_anomaly.flags.told import Told
from insar_anomaly.ledger.records import CanaryRow, NoticeRow
from insar_anomaly.names import FlagName, Period
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.level import level_of
from insar_anomaly.pipeline.night_notices import tell_night
from insar_anomaly.pipeline.order import night_stages, walk
from insar_anomaly.pipeline.run import Run, rejected_name
from insar_anomaly.pipeline.status import write_status
from insar_anomaly.report.changes import FlagChange, changes_of
from insar_anomaly.report.digest import OF_A_NIGHT, Blind, Count, Digest, OpenFlag, unread
from insar_anomaly.report.states import remarks
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.freshness import StackState, stale_words

_RUNS = 100
"""Runs that are looked at for others of the same night."""


def nightly(s: Installation, run: Run, *, period: Period | None = None) -> Digest:
    """Ingest, assess, flag, deliver; returns the digest, which is also written to the figures' folder."""
    walk(night_stages(period), s, run)
    return summary(s, run)


def summary(s: Installation, run: Run) -> Digest:
    """The night's digest: counts, open flags, failures, blind stacks, warnings. Written as ``digest-<date>.json``.

    Where [status] file is set, the state of the installation is written too.

    What is written counts what all runs of that night have done: a second one finds little left to do.
    """
    flaggable = s.by_stack | s.by_couple
    states = {stack: state for stack, state in s.ledger.states(run.as_of).items() if stack in s.by_stack}
    for words in remarks(states, run.as_of, unread(run.failures)):
        run.warn(words)
    if before := _rejected_between(s, run):
        run.warn(
            f"rejected by other runs since the last digest: {counted(before, 'pair')}; `insar-anomaly scores --csv FILE` "
            "lists each with its reason"
        )
    waiting = [n for n in s.ledger.pending() if n.last_error or (n.stack and n.stack not in flaggable)] + s.ledger.parked()
    digest = Digest(
        as_of=run.as_of,
        run=run.number,
        kind=run.kind,
        stacks=len(s.by_stack),
        counts={count: run.counts[count] for count in OF_A_NIGHT},
        open_flags=tuple(_open_flags(s, states)),
        failures=tuple(run.failures),
        blind=tuple(Blind(stack, why) for stack, why in sorted(run.blind.items())),
        undelivered=tuple(_undelivered(n) for n in waiting),
        warnings=tuple(run.warnings),
        costs=tuple(run.meter.rows),
        states=states,
        level=level.words if (level := level_of(s)) else None,
        changes=_changes(s, run),
        rejected=run.rejected,
        canary=_canary(s, run),
    )
    _write_digest(s, run, digest)
    tell_night(s, run, replace(digest, failures=tuple(run.failures)))
    write_status(s, run, digest)
    if s.config.report.out is not None:
        from insar_anomaly.pipeline.report import report_of_night  # with all that draws and measures

        report_of_night(s, run, digest)
    return replace(digest, failures=tuple(run.failures), warnings=tuple(run.warnings))


def _canary(s: Installation, run: Run) -> CanaryRow | None:
    """The night's own; a replay flies none."""
    rows = [] if run.replays else s.ledger.canaries(run.as_of)
    return rows[0] if rows and rows[0].night == run.as_of else None


def _rejected_between(s: Installation, run: Run) -> int:
    """Pairs that runs of other kinds, as `ingest` and `fit`, have rejected since the last run that made a digest."""
    earlier = [row for row in s.ledger.runs(limit=_RUNS) if row.run < run.number]
    since = takewhile(lambda row: row.kind != run.kind, earlier)
    return sum(row.summary.get(Count.REJECTED_PAIRS.value, 0) for row in since)


def _write_digest(s: Installation, run: Run, digest: Digest) -> None:
    file = Path(s.config.figures) / f"digest-{run.as_of}.json"
    try:
        counts, rejected = _of_the_night(s, run)
        write_whole(file, replace(digest, counts=counts, rejected=rejected).text.encode())
    except OSError as problem:
        run.fail("every stack", "digest", f"{file}: {problem.strerror}; make `figures` a folder that can be written")


def _undelivered(row: NoticeRow) -> str:
    """A notice that has not arrived, and why."""
    parked = f"parked, `insar-anomaly notices --retry {row.key}` takes it up again: " if row.parked else ""
    return f"{row.key}: {parked}{row.last_error or 'its stack is not in this run'}"


def _of_the_night(s: Installation, run: Run) -> tuple[dict[Count, int], dict[Verdict, int]]:
    """What the runs of this kind and date have counted together, those that have ended and this one; and rejected pairs by
    their reason."""
    night = (run.kind, run.as_of)
    others = [row for row in s.ledger.runs(limit=_RUNS) if (row.kind, row.as_of) == night and row.run != run.number]
    counts = {count: run.counts[count] + sum(row.summary.get(count.value, 0) for row in others) for count in OF_A_NIGHT}
    why = {one: run.rejected[one] + sum(row.summary.get(rejected_name(one), 0) for row in others) for one in Verdict}
    return counts, {one: number for one, number in why.items() if number}


def _changes(s: Installation, run: Run) -> tuple[FlagChange, ...]:
    """What became of flags in this night, in this run or in an earlier one of the same date."""
    names = {stack: volcano.name for stack, volcano in (s.by_stack | s.by_couple).items()}
    return changes_of(s.ledger.events(run.as_of), s.ledger.episodes(), s.ledger.told(), names)


def _open_flags(s: Installation, states: Mapping[str, StackState]) -> Iterator[OpenFlag]:
    """Open flags, and what each stack's present threshold says of its own: it may have been raised under another one."""
    flaggable, told = s.by_stack | s.by_couple, s.ledger.told()
    for row in s.ledger.episodes(open_only=True):
        if row.stack not in flaggable:
            continue
        model, _ = s.resting(row.stack)
        inside = Period(row.since, row.until)
        found = s.ledger.assessments(row.stack, model.evidence) if model else []
        yield OpenFlag(
            stack=row.stack,
            name=flaggable[row.stack].name,
            number=row.number,
            since=row.since,
            until=row.until,
            first_pair=row.first_pair,
            peak_pair=row.peak_pair,
            peak_score=row.peak_score,
            threshold=row.threshold,
            pairs_over=row.pairs_over,
            model=row.model,
            evidence=model.evidence if model else None,
            threshold_now=model.threshold if model else None,
            pairs_over_now=len({one.pair for one in found if one.flagged and inside.holds(one.pair)}),
            stale=stale_words(row.stack, states),
            state=row.state,
            told=told.get(FlagName(row.stack, row.number), Told.NOT_TOLD),
        )
