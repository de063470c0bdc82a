"""Bring new interferograms into the stacks: list, subtract what was seen, read windows, append, write down."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

from insar_anomaly import stopping
from insar_anomaly.errors import InsarAnomalyError, PairRejected, SourceUnavailable, StackFailed, Verdict
from insar_anomaly.ledger.records import PairRow, Seen
from insar_anomaly.names import Pair, Period, frame_of, in_order
from insar_anomaly.pipeline import corrections, heights, misfits
from insar_anomaly.pipeline.commit import commit_read
from insar_anomaly.pipeline.installation import Held, Installation, Located
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.worker import ReadTask, read_pairs
from insar_anomaly.report.digest import OF_PAIRS, Count, to_read
from insar_anomaly.sources.bands import parted, two_bands
from insar_anomaly.sources.base import Listed, Listing, Source
from insar_anomaly.sources.foreign import guarded
from insar_anomaly.sources.joined import JoinedSource
from insar_anomaly.sources.listing import fresh, precheck_listing, replaced
from insar_anomaly.stack.schema import Grid, wavelength_of
from insar_anomaly.stack.store import Kept

log = logging.getLogger(__name__)


@dataclass
class _Frame:
    """A frame's plan: its source, the pairs to read, and which stacks lack which pair."""

    name: str
    source: Source
    listed: dict[str, Listed] = field(default_factory=dict)
    wanted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    grids: dict[str, Grid] = field(default_factory=dict)
    wavelengths: dict[str, float] = field(default_factory=dict)
    versions: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    """Which version a pair will be that a stack holds already: stack -> pair -> version."""


def ingest_stacks(
    s: Installation, run: Run, *, period: Period | None = None, dry: bool = False, take: Collection[str] = ()
) -> None:
    """Bring every new pair of the installation's volcanoes into its stack.

    Each file is opened once for all stacks of its frame. A batch is one transaction in the store, then one in the ledger; a
    crash in between is mended by the next run, which finds the pairs stored and only writes them down.

    Parameters
    ----------
    period : pairs to look at; None takes those up to the run's date
    dry : only count what there is to read; nothing is written but rejections by name
    take : stacks whose replaced files are read now, see `corrections.take_up`
    """
    run.counts.update(dict.fromkeys(OF_PAIRS, 0))
    wanted = period or Period(last=run.as_of)
    plans = _plans(s, run, wanted, dry=dry, take=take)
    pairs = {(plan.name, pair) for plan in plans for pair in plan.wanted}
    if dry:
        return
    tasks = [task for plan in plans for task in _tasks(s, plan)]
    done = 0
    for task, result, error in s.workers.fan_out(read_pairs, tasks):
        commit_read(s, run, task, result, error)
        done += len(task.listed)
        s.watch("ingest", done, len(pairs))
    for stack in s.by_stack:
        if not misfits.note_grid(run, stack):
            corrections.say_rejected(run, stack, run.heard.off_grid[stack])


def _plans(s: Installation, run: Run, period: Period, *, dry: bool, take: Collection[str] = ()) -> list[_Frame]:
    stacks = s.by_stack
    frames = sorted({frame for volcano in s.volcanoes for frame in volcano.frames})
    where = (locate(s, run) if s.located is None else s).located or {}
    plans = []
    for number, frame in enumerate(frames, 1):
        s.watch("list", number, len(frames))
        here = [name for name in stacks if frame_of(name) == frame]
        place = where[frame]
        if isinstance(place, str):
            for stack in here:
                run.fail(stack, "ingest", place)
            continue
        plan = _Frame(frame, s.source_of(place))
        listing = _listing(s, run, plan, here)
        if listing is None:
            continue
        for stack in here:
            try:
                urls = " and ".join(s.config.source[number].url for number in place.sources)
                corrections.insist_on_convention(s, stack, plan.source)
                asked = _Asked(listing, period, urls, stack in take)
                _plan_stack(s, run, plan, stack, asked, dry=dry)
            except InsarAnomalyError as problem:
                run.fail(stack, "ingest", problem)
        if not dry:
            for words in (*(f"left out of the listing: {one}" for one in listing.unlisted), *listing.warnings):
                run.warn(f"frame {frame}: {words}")
        log.info("frame %s: %d pairs listed, %d to read", frame, len(listing.pairs), len(plan.wanted))
        plans.append(plan)
    return plans


def _listing(s: Installation, run: Run, plan: _Frame, stacks: Sequence[str]) -> Listing | None:
    """What is listed of a frame; None where it cannot be. What went wrong is said for each of its stacks."""
    try:
        listing = guarded(f"frame {plan.name}", _listed, s, plan.source, plan.name)
    except InsarAnomalyError as problem:
        for stack in stacks:
            run.fail(stack, "ingest", problem)
        return None
    said = plan.source.away if isinstance(plan.source, JoinedSource) else ()
    for stack, words in product(stacks, [words for words in listing.away if words not in said]):
        run.fail(stack, "ingest", f"a source was left out: {words}")
    return listing


def _listed(s: Installation, source: Source, frame: str) -> Listing:
    if s.listings is None:
        return source.pairs(frame)
    if frame not in s.listings:
        s.listings[frame] = source.pairs(frame)
    return s.listings[frame]


def _looked_at(listed: Listed, period: Period) -> bool:
    try:
        precheck_listing(listed)
    except PairRejected as rejection:
        # a name without dates belongs to no period: it is reported whenever it is seen
        return rejection.verdict == Verdict.BAD_NAME or period.holds(listed.pair)
    return period.holds(listed.pair)


def something_new(s: Installation, run: Run, *, period: Period | None, take: Collection[str] = ()) -> bool:
    """True where a pair is listed that has to be read. `run` is `run.Silent`."""
    ingest_stacks(s, run, period=period, dry=True, take=take)
    return to_read(run.counts) > 0


def locate(s: Installation, run: Run) -> Installation:
    """The installation with the place of every frame: the sources that have it, or why there is none.

    A source out of reach fails the run even where another one has every frame: it may hold what that one lacks. That is
    kept with the frame's place, so that what only that source holds does not seem to be gone.
    """
    frames = sorted({frame for volcano in s.volcanoes for frame in volcano.frames})
    found: dict[str, tuple[int, ...]] = {}
    unreached: list[SourceUnavailable] = []
    for number, source in enumerate(s.sources):
        try:
            held = set(guarded(s.config.source[number].url, source.frames))
        except SourceUnavailable as problem:
            unreached.append(problem)
            continue
        for frame in frames:
            if frame in held:
                found[frame] = (*found.get(frame, ()), number)
    if found:  # else every stack says it already
        for away in unreached:
            run.fail("every stack", "ingest", f"a source was left out: {away}")
    away_now = tuple(map(str, unreached))
    nowhere = _nowhere(s, unreached)
    return replace(s, located={frame: Held(found[frame], away_now) if frame in found else nowhere for frame in frames})


def _nowhere(s: Installation, unreached: Sequence[SourceUnavailable]) -> Located:
    """What is to say that no source has a frame: the first source, whose own error names the nearest frames."""
    if unreached:
        return str(unreached[0])
    return Held((0,)) if s.config.source else "no [[source]] is configured; add one with kind and url"


@dataclass(frozen=True)
class _Asked:
    """What a source says of a frame, the period that is asked for, the source's place, and whether replaced files are to be
    taken now."""

    listing: Listing
    period: Period
    place: str
    take: bool

    def of_band(self, frame: str, wavelength_m: float, run: Run) -> _Asked:
        """What a stack of this wavelength takes; products of another band are said in one sentence for each frame."""
        listing, refused = parted(self.listing, wavelength_m)
        if refused:
            run.warn(two_bands(frame, refused, wavelength_m))
        return replace(self, listing=listing)

    @property
    def every(self) -> list[Listed]:
        """All pairs of the frame."""
        return self.listing.pairs

    @property
    def inside(self) -> list[Listed]:
        """Pairs to look at."""
        return [one for one in self.every if _looked_at(one, self.period)]


def _plan_stack(s: Installation, run: Run, plan: _Frame, stack: str, asked: _Asked, *, dry: bool) -> None:
    """Decide what a stack lacks; create it where it is new; write down what needs no reading."""
    misfits.insist_on_ground(stack, s.by_stack[stack])
    exists = s.store.has(stack)
    run.heard.listing(stack, asked.every, as_of=run.as_of)
    if not dry and not exists:
        _create(s, run, plan, stack, asked)
    if exists or not dry:
        asked = asked.of_band(plan.name, wavelength_of(s.store.open(stack)), run)
    held = s.store.versions(stack) if exists else {}
    seen = corrections.mend(s, stack, _really_seen(s, run, stack, set(held), asked), held, dry=dry)
    run.heard.listing(stack, asked.every, as_of=run.as_of)
    listed, twice, settings = asked.inside, asked.listing.twice, corrections.settings_of(s)
    # where a source is out of reach, what another holds in its place is no newer version
    run.counts[Count.CHANGED_PAIRS] += 0 if asked.listing.away else len(replaced(listed, seen))
    shown = corrections.Shown(asked.every, asked.place, partly=bool(asked.listing.away), whole=asked.listing.complete)
    ready = corrections.take_up(s, run, stack, seen, shown, dry=dry, take=asked.take)
    again = [one for one in listed if one in ready]
    todo = fresh(listed, seen, corrections.as_words(settings)) + again
    rows = []
    for one in todo:
        try:
            precheck_listing(one)
        except PairRejected as rejection:
            rows.append(corrections.rejected(one, rejection, settings))
            continue
        if one.pair in held:
            kept = held[one.pair]
            if one not in again and not kept.withdrawn:  # a crash came between store and ledger
                here = s.store.snapshot(stack)
                rows.append(PairRow(one.pair, str(one.phase_uri), one.fingerprint, Verdict.OK, "", here, kept.version))
                continue
            plan.versions[stack][one.pair] = (seen[one.pair].version if one.pair in seen else kept.version) + 1
        run.counts[_why_read(one in again, held.get(one.pair))] += 1
        plan.listed[one.pair] = one
        plan.wanted[one.pair].append(stack)
    duplicate = [(one, PairRejected(Verdict.DUPLICATE, f"{one.phase_uri}: remove one of the two")) for one in twice]
    rows += [corrections.rejected(one, why, settings) for one, why in duplicate if one in fresh(twice, seen)]
    if rows and not dry:
        s.ledger.record_pairs(stack, rows)
    corrections.say_rejected(run, stack, () if dry else rows)
    run.reject(row.verdict for row in rows if row.verdict != Verdict.OK)
    if exists or not dry:
        there = s.store.open(stack)
        plan.grids[stack], plan.wavelengths[stack] = Grid.of(there), wavelength_of(there)
        misfits.note_box(run, stack, s.by_stack[stack], there)
        if flat := heights.no_heights(stack, there, s.config.preprocess.remove):
            run.warn(f"{stack}: {flat}")


def _create(s: Installation, run: Run, plan: _Frame, stack: str, asked: _Asked) -> None:
    """Make a stack, on the grid that its frame has now."""
    if not asked.inside:
        raise StackFailed(f"{stack}: {_none_listed(plan.name, asked, run)}")
    box = s.by_stack[stack].box
    layers, remove = partial(plan.source.static, plan.name, box), s.config.preprocess.remove
    whole = not asked.listing.away  # a source out of reach may have the height that is broken here
    static = guarded(asked.place, heights.read, layers, remove, without=whole)
    stopping.insist()  # a read that was stopped looks like a layer that is missing
    s.store.create(stack, static.assign_attrs(box=misfits.edges(box)), writer=run.writer(stack))
    misfits.note_cut(run, stack, s.by_stack[stack], static)
    for words in static.attrs.get("left_out", ()):
        run.warn(f"{stack}: {words}")


def _why_read(replaced: bool, kept: Kept | None) -> Count:
    """Why a pair is read."""
    if replaced:
        return Count.REPLACED_PAIRS
    return Count.RETURNED_PAIRS if kept is not None and kept.withdrawn else Count.NEW_PAIRS


def _none_listed(frame: str, asked: _Asked, run: Run) -> str:
    """What to say where a frame holds nothing that is asked for."""
    if not asked.every:
        return f"frame {frame} is in the source and holds no interferogram; wait for data or correct the catalogue"
    first, last = asked.period.first or "the first pair", asked.period.last or run.as_of
    held = [span for one in asked.every if (span := Pair.parse(one.pair))]
    dates = f", from {min(one.first for one in held)} to {max(one.last for one in held)}" if held else ""
    there = f"frame {frame} holds {len(asked.every)} pairs{dates}"
    return f"{there}, and none of them in the period from {first} to {last}; ask for another period"


def _really_seen(s: Installation, run: Run, stack: str, stored: set[str], asked: _Asked) -> dict[str, Seen]:
    """What the ledger has seen, without accepted pairs that the store has lost: those are read again."""
    seen = s.ledger.seen(stack)
    lost = {pair for pair, known in seen.items() if known.verdict == Verdict.OK} - stored
    if not lost:
        return seen
    gone = sorted(lost - {one.pair for one in asked.every})
    if gone:
        run.fail(
            stack,
            "ingest",
            f"{len(gone)} pairs that the ledger knows are neither in {s.config.store} nor in the source, first {gone[0]}; "
            "restore the store from a copy, or bring the files back",
        )
    run.warn(f"{stack}: {len(lost)} pairs that the ledger knows are not in {s.config.store}; what can be is read again")
    other = [one.pair for one in asked.every if one.pair in lost and one.fingerprint != seen[one.pair].fingerprint]
    if other:
        run.warn(f"{stack}: files of {len(other)} of them have changed, first {other[0]}: their scores are of the old ones")
    return {pair: known for pair, known in seen.items() if pair not in lost}


def _tasks(s: Installation, plan: _Frame) -> list[ReadTask]:
    ordered = in_order(plan.wanted)
    size = s.config.ingest.batch
    far = any("://" in str(one.phase_uri) and not str(one.phase_uri).startswith("file://") for one in plan.listed.values())
    threads = s.config.ingest.threads if far else 1
    return [
        ReadTask(
            source=plan.source,
            frame=plan.name,
            listed=tuple(plan.listed[p] for p in part),
            wanted={p: tuple(plan.wanted[p]) for p in part},
            grids=plan.grids,
            wavelengths=plan.wavelengths,
            min_valid=s.config.ingest.min_valid,
            min_coherence=s.config.ingest.min_coherence,
            threads=threads,
            versions={stack: dict(versions) for stack, versions in plan.versions.items()},
        )
        for part in (ordered[i : i + size] for i in range(0, len(ordered), size))
    ]
