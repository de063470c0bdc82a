"""A stack built anew: on the grid that most of a frame's pairs have, or for a box that was corrected in the catalogue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from insar_anomaly.errors import InsarAnomalyError, NotInFrame, NotNow, PairRejected, SourceUnavailable, StackFailed, Verdict
from insar_anomaly.ledger.records import PairRow, Seen
from insar_anomaly.names import frame_of, in_order
from insar_anomaly.pipeline import corrections, heights, misfits
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.worker import ReadTask, read_pairs
from insar_anomaly.report.digest import Count
from insar_anomaly.sources.base import Listed, Regridding, Source
from insar_anomaly.sources.joined import JoinedSource
from insar_anomaly.stack.prechecks import batch
from insar_anomaly.stack.schema import Grid, pair_names, wavelength_of

_EDGE = 0.02
"""Part of a pixel by which grids of one frame may differ: they are written with few digits."""


@dataclass
class _Plan:
    """One stack to be built: what its source lists, what the ledger knows, and what cannot be used on the new grid."""

    stack: str
    source: Source
    listed: dict[str, Listed]
    seen: Mapping[str, Seen]
    rejected: dict[str, PairRow] = field(default_factory=dict)
    carried: int = 0


def restack_stacks(s: Installation, run: Run) -> None:
    """Build the installation's stacks anew, each beside the present one, and swap it in when it is whole.

    It may be stopped at any moment; the same command goes on. Pairs that the source does not list any more are carried over
    by the nearest pixel: unwrapped phase must not be averaged over a jump. The models are of the grid before: the stacks are
    blind until they are fitted again.
    """
    for stack in s.by_stack:
        try:
            _restack(s, run, stack)
        except InsarAnomalyError as problem:
            run.fail(stack, "restack", problem)


def _restack(s: Installation, run: Run, stack: str) -> None:
    place = (s.located or {}).get(frame_of(stack), "no [[source]] is configured; add one with kind and url")
    if isinstance(place, str):
        raise StackFailed(place)
    if not s.store.has(stack):
        raise StackFailed(f"{stack}: nothing is stored; `insar-anomaly ingest` builds it on the grid of now")
    source = s.source_of(place)
    listed = corrections.Shown(source.pairs(frame_of(stack))[0], "").usable
    plan = _Plan(stack, source, listed, s.ledger.seen(stack))
    if not s.store.swapped(stack):
        _build(s, run, plan)
        holding = s.ledger.holding(stack)
        # before the swap: a model of the grid before must score nothing on this one, whenever this process ends
        s.ledger.note_holding(stack, replace(holding, grid=holding.grid + 1))
        s.store.swap(stack, writer=run.writer(stack))
    _write_down(s, run, plan)
    s.store.end_restack(stack)


def _build(s: Installation, run: Run, plan: _Plan) -> None:
    from insar_anomaly.sources.grid import cut  # with GDAL, which takes its time

    stack, remove = plan.stack, s.config.preprocess.remove
    without = heights.without_height(s.store.open(stack))  # one that has heights must not lose them
    frame, box = frame_of(stack), s.by_stack[stack].box
    if regridding := _regridding(plan.source):
        whole = majority(_grids(regridding, list(plan.listed.values()), s.config.ingest.threads), frame)
        layers = partial(regridding.static_on, frame, cut(whole, box, what=frame))
    else:
        layers = partial(plan.source.static, frame, box)
    static = heights.read(layers, remove, without=without)
    s.store.begin_restack(stack, static.assign_attrs(box=misfits.edges(box)), writer=run.writer(stack))
    misfits.note_cut(run, stack, s.by_stack[stack], static)
    done = (s.store.beside(stack) or {}).keys()
    tasks = _tasks(s, plan, static, [pair for pair in in_order(plan.listed) if pair not in done])
    read = 0
    for task, result, error in s.workers.fan_out(read_pairs, tasks):
        if result is None:
            raise StackFailed(f"{stack}: {error or 'no result'}; run the same command again, which goes on")
        if trouble := result.unreached or next(iter(result.not_now.get(stack, ())), None):
            raise SourceUnavailable(f"{trouble}; run the same command again, which goes on")
        for pair, why in result.rejected.get(stack, {}).items():
            row = corrections.rejected(plan.listed[pair], why, corrections.settings_of(s), version=_version(plan, pair))
            plan.rejected[pair] = row
        if windows := result.windows.get(stack):
            new = batch(windows, result.delays.get(stack))
            new = corrections.with_versions(new, windows, {pair: _version(plan, pair) for pair in windows})
            s.store.append_beside(stack, new, writer=run.writer(stack))
        read += len(task.listed)
        s.watch("restack", read, sum(len(one.listed) for one in tasks))
    _carry(s, run, plan, Grid.of(static))


def _regridding(source: Source) -> Regridding | None:
    """The source, where each of its parts can tell the grid of a pair."""
    parts = source.sources if isinstance(source, JoinedSource) else (source,)
    return source if isinstance(source, Regridding) and all(isinstance(one, Regridding) for one in parts) else None


def _version(plan: _Plan, pair: str) -> int:
    return plan.seen[pair].version if pair in plan.seen else 0


def _grids(source: Regridding, listed: Sequence[Listed], threads: int) -> list[Grid]:
    """The grids of those pairs that can be opened."""

    def grid(one: Listed) -> Grid | None:
        try:
            return source.pair_grid(one)
        except (PairRejected, NotNow):
            return None

    with ThreadPoolExecutor(threads, "insar-anomaly grids") as pool:
        return [found for found in pool.map(grid, listed) if found is not None]


def majority(grids: Sequence[Grid], frame: str) -> Grid:
    """The grid that most pairs have; of grids of one lattice, that is with pixels in the same places, the commonest.

    Raises NotInFrame where there is none.
    """
    if not grids:
        raise NotInFrame(f"{frame}: no pair of it can be opened, so its grid is unknown; wait for data")
    lattices = Counter(map(_lattice, grids))
    [(best, _)] = lattices.most_common(1)
    [(grid, _)] = Counter(grid for grid in grids if _lattice(grid) == best).most_common(1)
    return grid


def _lattice(grid: Grid) -> tuple[float, float, int, int]:
    """Pixel sizes, and where in a pixel the lattice begins, in steps as coarse as the files' digits."""
    parts = round(1 / _EDGE)
    west, north = (round(edge / step * parts) % parts for edge, step in ((grid.west, grid.dx), (grid.north, grid.dy)))
    return round(grid.dx, 9), round(grid.dy, 9), west, north


def _tasks(s: Installation, plan: _Plan, static: xr.Dataset, pairs: Sequence[str]) -> list[ReadTask]:
    size, stack = s.config.ingest.batch, plan.stack
    return [
        ReadTask(
            source=plan.source,
            frame=frame_of(stack),
            listed=tuple(plan.listed[pair] for pair in part),
            wanted=dict.fromkeys(part, (stack,)),
            grids={stack: Grid.of(static)},
            wavelengths={stack: wavelength_of(static)},
            threads=s.config.ingest.threads,
            min_valid=s.config.ingest.min_valid,
            min_coherence=s.config.ingest.min_coherence,
        )
        for part in (pairs[i : i + size] for i in range(0, len(pairs), size))
    ]


def _carry(s: Installation, run: Run, plan: _Plan, grid: Grid) -> None:
    """Bring over what only the present stack has."""
    beside = s.store.beside(plan.stack) or {}
    old = [pair for pair in s.store.pairs(plan.stack) if pair not in beside and pair not in plan.listed]
    size = s.config.ingest.batch
    for part in (old[i : i + size] for i in range(0, len(old), size)):
        held = s.store.open(plan.stack, pairs=part).load()
        s.store.append_beside(plan.stack, nearest(held, grid), writer=run.writer(plan.stack))
    plan.carried = len(old)


def nearest(held: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Pairs of a stack on another grid: each pixel has the values of the nearest old one; NaN and 0 outside the old grid."""
    before = Grid.of(held)
    rows, inside_y = _nearest((before.north - grid.lat) / before.dy, before.shape[0])
    cols, inside_x = _nearest((grid.lon - before.west) / before.dx, before.shape[1])
    inside = inside_y[:, None] & inside_x[None, :]
    out = {}
    for name, array in held.reset_coords().items():
        if "pair" not in array.dims or name in ("pair", "withdrawn"):
            continue
        if "y" not in array.dims:
            out[name] = (array.dims, array.values)
            continue
        moved = array.values[:, rows][:, :, cols]
        nothing = np.nan if np.issubdtype(moved.dtype, np.floating) else 0
        out[name] = (array.dims, np.where(inside, moved, np.asarray(nothing, moved.dtype)))
    return xr.Dataset(out)


def _nearest(at: NDArray[np.floating], size: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Indices of the pixels that hold these positions, in pixels from the outer edge; and which lie in the grid."""
    index = np.floor(at + 1e-6).astype(np.int64)
    return np.clip(index, 0, size - 1), (index >= 0) & (index < size)


def _write_down(s: Installation, run: Run, plan: _Plan) -> None:
    stack, snapshot = plan.stack, s.store.snapshot(plan.stack)
    rows = dict(plan.rejected)
    for pair in pair_names(s.store.open(stack)):
        one = plan.listed.get(pair)
        mark = one.fingerprint if one else plan.seen[pair].fingerprint if pair in plan.seen else ""
        uri = str(one.phase_uri) if one else "carried over from the grid before"
        rows[pair] = PairRow(pair, uri, mark, Verdict.OK, "", snapshot, _version(plan, pair))
    s.ledger.record_pairs(stack, list(rows.values()))
    s.ledger.note_deviations(stack, [], settled=list(s.ledger.deviations(stack)))
    run.counts[Count.STORED_PAIRS] += len(rows) - len(plan.rejected)
    run.reject(row.verdict for row in plan.rejected.values())
    run.warn(
        f"{stack}: built anew with {len(rows) - len(plan.rejected)} pairs, {plan.carried} of them carried over from the "
        f"grid before, {len(plan.rejected)} rejected; its models are of the grid before: run `insar-anomaly fit`"
    )
