"""Bring new interferograms into the stacks: list, subtract what was seen, read windows, append, write down."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from insar_anomaly.errors import InsarAnomalyError, NotInFrame, PairRejected, SourceUnavailable, StackFailed, Verdict
from insar_anomaly.ledger.records import PairRow, Seen
from insar_anomaly.names import Period, frame_of, in_order
from insar_anomaly.pipeline.installation import Installation, Run
from insar_anomaly.pipeline.worker import ReadResult, ReadTask, read_pairs
from insar_anomaly.report.digest import Count
from insar_anomaly.sources.base import Listed, Source
from insar_anomaly.sources.listing import fresh, precheck_listing, replaced
from insar_anomaly.stack.prechecks import batch
from insar_anomaly.stack.schema import Grid
from insar_anomaly.tiles.trends import needs_height

log = logging.getLogger(__name__)


@dataclass
class _Frame:
    """A frame's plan: its source, the pairs to read, and which stacks lack which pair."""

    name: str
    source: Source
    listed: dict[str, Listed] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    grids: dict[str, Grid] = field(default_factory=dict)


def ingest(s: Installation, run: Run, *, period: Period | None = None, dry: bool = False) -> None:
    """Bring every new pair of the screening's volcanoes into its stack.

    Each file is opened once for all stacks of its frame. A batch is one transaction in the store, then one in the ledger; a
    crash in between is mended by the next run, which finds the pairs stored and only writes them down.

    Parameters
    ----------
    period : pairs to look at; None takes those up to the run's date
    dry : only count what is new (``new_pairs``); nothing is written but rejections by name
    """
    wanted = period or Period(last=run.as_of)
    plans = _plans(s, run, wanted, dry=dry)
    pairs = {(plan.name, pair) for plan in plans for pair in plan.wanted}
    run.counts[Count.NEW_PAIRS] += sum(len(stacks) for plan in plans for stacks in plan.wanted.values())
    if dry:
        return
    tasks = [task for plan in plans for task in _tasks(s, plan)]
    done = 0
    for task, result, error in s.workers.fan_out(read_pairs, tasks):
        _commit(s, run, task, result, error)
        done += len(task.listed)
        s.watch("ingest", done, len(pairs))


def _plans(s: Installation, run: Run, period: Period, *, dry: bool) -> list[_Frame]:
    stacks = s.by_stack
    frames = sorted({frame for volcano in s.volcanoes for frame in volcano.frames})
    where = _sources_of(s, run, frames)
    plans = []
    for number, frame in enumerate(frames, 1):
        s.watch("list", number, len(frames))
        here = [name for name in stacks if frame_of(name) == frame]
        if isinstance(where.get(frame), InsarAnomalyError):
            for stack in here:
                run.fail(stack, "ingest", str(where[frame]))
            continue
        plan = _Frame(frame, where[frame])  # type: ignore[arg-type]
        try:
            listed, twice = plan.source.pairs(frame)
        except InsarAnomalyError as problem:
            for stack in here:
                run.fail(stack, "ingest", problem)
            continue
        for stack in here:
            try:
                _plan_stack(s, run, plan, stack, _Listing(listed, twice, period), dry=dry)
            except InsarAnomalyError as problem:
                run.fail(stack, "ingest", problem)
        log.info("frame %s: %d pairs listed, %d to read", frame, len(listed), len(plan.wanted))
        plans.append(plan)
    return plans


def _looked_at(listed: Listed, period: Period) -> bool:
    try:
        precheck_listing(listed)
    except PairRejected as rejection:
        # a name without dates belongs to no period: it is reported whenever it is seen
        return rejection.verdict == Verdict.BAD_NAME or period.holds(listed.pair)
    return period.holds(listed.pair)


def _sources_of(s: Installation, run: Run, frames: Sequence[str]) -> dict[str, Source | InsarAnomalyError]:
    """The first source that has a frame; where none has, the error that says so.

    A source out of reach fails the run even where another one has every frame: it may hold what that one lacks.
    """
    out: dict[str, Source | InsarAnomalyError] = {}
    unreached: list[SourceUnavailable] = []
    for source in s.sources:
        try:
            held = set(source.frames())
        except SourceUnavailable as problem:
            unreached.append(problem)
            continue
        for frame in frames:
            if frame in held:
                out.setdefault(frame, source)
    if out:  # else every stack says it already
        for away in unreached:
            run.fail("every stack", "ingest", f"a source was left out: {away}")
    for frame in frames:
        out.setdefault(frame, _nowhere(s, unreached))
    return out


def _nowhere(s: Installation, unreached: Sequence[SourceUnavailable]) -> Source | InsarAnomalyError:
    """What is to say that no source has a frame: the first source, whose own error names the nearest frames."""
    if unreached:
        return unreached[0]
    return s.sources[0] if s.sources else NotInFrame("no [[source]] is configured; add one with kind and url")


@dataclass(frozen=True)
class _Listing:
    """What a source says of a frame: all its pairs, those that are listed twice, and the period that is asked for."""

    every: list[Listed]
    twice: list[Listed]
    period: Period

    @property
    def inside(self) -> list[Listed]:
        """Pairs to look at."""
        return [one for one in self.every if _looked_at(one, self.period)]


def _plan_stack(s: Installation, run: Run, plan: _Frame, stack: str, listing: _Listing, *, dry: bool) -> None:
    """Decide what a stack lacks; create it where it is new; write down what needs no reading."""
    exists = s.store.has(stack)
    stored = set(s.store.pairs(stack)) if exists else set()
    seen = _really_seen(s, run, stack, stored, listing)
    listed, twice = listing.inside, listing.twice
    todo = fresh(listed, seen)
    changed = replaced(listed, seen)
    run.counts[Count.CHANGED_PAIRS] += len(changed)
    if changed:
        run.warn(
            f"{stack}: {len(changed)} files were replaced after they had been stored, first {changed[0].phase_uri}; "
            "the stack keeps what was screened"
        )
    if not dry and not exists:
        if not listed:
            raise StackFailed(
                f"{stack}: frame {plan.name} holds no pair in this period; wait for data or correct the catalogue"
            )
        box, height = s.by_stack[stack].box, needs_height(s.config.preprocess.remove)
        s.store.create(stack, plan.source.static(plan.name, box, height=height))
    rows = []
    for one in todo:
        try:
            precheck_listing(one)
        except PairRejected as rejection:
            rows.append(_rejected(one, rejection))
            continue
        if one.pair in stored:  # a crash came between store and ledger
            rows.append(PairRow(one.pair, str(one.phase_uri), one.fingerprint, Verdict.OK, "", s.store.snapshot(stack)))
            continue
        plan.listed[one.pair] = one
        plan.wanted[one.pair].append(stack)
    duplicate = [(one, PairRejected(Verdict.DUPLICATE, f"{one.phase_uri}: remove one of the two")) for one in twice]
    rows += [_rejected(one, why) for one, why in duplicate if one in fresh(twice, seen)]
    if rows and not dry:
        s.ledger.record_pairs(stack, rows)
    run.counts[Count.REJECTED_PAIRS] += sum(row.verdict != Verdict.OK for row in rows)
    if exists or not dry:
        plan.grids[stack] = Grid.of(s.store.open(stack))


def _really_seen(s: Installation, run: Run, stack: str, stored: set[str], listing: _Listing) -> dict[str, Seen]:
    """What the ledger has seen, without accepted pairs that the store has lost: those are read again."""
    seen = s.ledger.seen(stack)
    lost = {pair for pair, known in seen.items() if known.verdict == Verdict.OK} - stored
    if not lost:
        return seen
    gone = sorted(lost - {one.pair for one in listing.every})
    if gone:
        run.fail(
            stack,
            "ingest",
            f"{len(gone)} pairs that the ledger knows are neither in {s.config.store} nor in the source, first {gone[0]}; "
            "restore the store from a copy, or bring the files back",
        )
    run.warn(f"{stack}: {len(lost)} pairs that the ledger knows are not in {s.config.store}; what can be is read again")
    other = [one.pair for one in listing.every if one.pair in lost and one.fingerprint != seen[one.pair].fingerprint]
    if other:
        run.warn(f"{stack}: files of {len(other)} of them have changed, first {other[0]}: their scores are of the old ones")
    return {pair: known for pair, known in seen.items() if pair not in lost}


def _rejected(one: Listed, rejection: PairRejected) -> PairRow:
    uri = one.phase_uri or one.coherence_uri or ""
    return PairRow(one.pair, uri, one.fingerprint, rejection.verdict, rejection.detail, None)


def _tasks(s: Installation, plan: _Frame) -> list[ReadTask]:
    ordered = in_order(plan.wanted)
    size = s.config.ingest.batch
    return [
        ReadTask(
            source=plan.source,
            frame=plan.name,
            listed=tuple(plan.listed[p] for p in part),
            wanted={p: tuple(plan.wanted[p]) for p in part},
            grids=plan.grids,
            min_valid=s.config.ingest.min_valid,
            min_coherence=s.config.ingest.min_coherence,
        )
        for part in (ordered[i : i + size] for i in range(0, len(ordered), size))
    ]


def _commit(s: Installation, run: Run, task: ReadTask, result: ReadResult | None, error: BaseException | None) -> None:
    stacks = sorted({stack for names in task.wanted.values() for stack in names})
    if result is None:
        for stack in stacks:
            run.fail(stack, "ingest", error or "no result")
        return
    listed = {one.pair: one for one in task.listed}
    for words in result.warnings:
        run.warn(words)
    for stack in stacks:
        windows, rejected = result.windows.get(stack, {}), result.rejected.get(stack, {})
        try:
            rows = [_rejected(listed[pair], rejection) for pair, rejection in rejected.items()]
            if windows:
                snapshot = s.store.append(stack, batch(windows, result.delays.get(stack)))
                rows += [
                    PairRow(p, str(listed[p].phase_uri), listed[p].fingerprint, Verdict.OK, "", snapshot) for p in windows
                ]
            if rows:
                s.ledger.record_pairs(stack, rows)
        except StackFailed as problem:
            run.fail(stack, "ingest", problem)
            continue
        run.counts[Count.STORED_PAIRS] += len(windows)
        run.counts[Count.REJECTED_PAIRS] += len(rejected)
        if result.unreached:
            run.fail(stack, "ingest", result.unreached)
