"""The state of every stack is written down: how old its data are, what was expected, whether its summit is measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError, StoreFailed, Verdict
from insar_anomaly.names import Period, by_date
from insar_anomaly.pipeline.ingest import ingest_stacks
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.stack.coverage import coverage_of
from insar_anomaly.stack.freshness import Coverage, StackState, recent, state_of, until
from insar_anomaly.stack.schema import Grid


def ingest_and_judge(s: Installation, run: Run, *, period: Period | None = None, take: Collection[str] = ()) -> None:
    """Bring every new pair in (see `ingest.ingest_stacks`), then write down the state of each stack on the run's date.

    A stack that could not be read, or whose source could not be listed, has a state too: its data grow older.
    """
    ingest_stacks(s, run, period=period, take=take)
    for stack, volcano in s.by_stack.items():
        try:
            s.ledger.record_state(stack, _state(s, run, stack, volcano))
        except InsarAnomalyError as problem:
            run.fail(stack, "ingest", problem)


def _state(s: Installation, run: Run, stack: str, volcano: Volcano) -> StackState:
    accepted = {pair for pair, known in s.ledger.seen(stack).items() if known.verdict == Verdict.OK}
    return state_of(
        run.as_of,
        accepted,
        stale_after=s.config.ingest.stale_after_repeats,
        listing=run.heard.listings.get(stack),
        coverage=_coverage(s, stack, volcano, recent(until(accepted, run.as_of))),
        came=_new(accepted, stack, run),
    )


@dataclass(frozen=True)
class Sight:
    """Stacks that have not measured the summit in their last acquisitions, and the part of the box where it is small."""

    unmeasured: tuple[str, ...] = ()
    partly: Mapping[str, float] = field(default_factory=dict)


def sight_of(s: Installation, run: Run, stacks: Sequence[str]) -> Sight:
    """What the stacks did not measure of late, as of the run's date.

    A night has written that down. The nights of a replay were not run: it is found from the pairs that they would have had.
    """
    found = {stack: _as_of(s, run, stack) if run.replays else s.ledger.state(stack, run.as_of) for stack in stacks}
    states = {stack: state for stack, state in found.items() if state is not None}
    return Sight(
        tuple(stack for stack, state in states.items() if state.summit_measured is False),
        {stack: round(state.area, 3) for stack, state in states.items() if state.partly and state.area is not None},
    )


def _as_of(s: Installation, run: Run, stack: str) -> StackState:
    """The state by the stored pairs alone."""
    accepted = until((pair for pair, known in s.ledger.seen(stack).items() if known.verdict == Verdict.OK), run.as_of)
    coverage = _coverage(s, stack, s.by_stack[stack], recent(accepted))
    return state_of(run.as_of, accepted, stale_after=s.config.ingest.stale_after_repeats, coverage=coverage)


def _new(accepted: set[str], stack: str, run: Run) -> Mapping[str, int]:
    """Acquisitions that this run has brought, without those that pairs of before had a part in already."""
    came = run.heard.came.get(stack)
    if not came:
        return {}
    before = {day for pair in accepted - run.heard.pairs[stack] for day in by_date(pair)}
    return {day: number for day, number in came.items() if day not in before}


def _coverage(s: Installation, stack: str, volcano: Volcano, pairs: Collection[str]) -> Mapping[str, Coverage]:
    """What these pairs measure: from the ledger, or from the store where it was stored by an earlier version.

    A pair that cannot be read is left out here: the stages that need it say why.
    """
    known = s.ledger.coverage(stack, pairs)
    snapshots = s.ledger.stored_in(stack, [pair for pair in pairs if pair not in known])
    if not snapshots:
        return known
    try:
        dataset = s.store.open(stack, pairs=list(snapshots))
        grid, names = Grid.of(dataset), list(map(str, dataset["pair"].values))
        phases = dataset["phase"].values
    except StoreFailed:
        return known
    read = {
        name: coverage_of(phase, grid, volcano.box, (volcano.lat, volcano.lon))
        for name, phase in zip(names, phases, strict=True)
    }
    for snapshot in set(snapshots.values()):
        s.ledger.record_coverage(stack, snapshot, {name: one for name, one in read.items() if snapshots[name] == snapshot})
    return {**known, **read}
