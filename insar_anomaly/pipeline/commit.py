"""What was read of the sources, committed: to the store first, then to the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from insar_anomaly.errors import StackFailed, Verdict
from insar_anomaly.ledger.records import PairRow
from insar_anomaly.pipeline import corrections
from insar_anomaly.pipeline.heard import covered
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.worker import ReadResult, ReadTask
from insar_anomaly.report.digest import Count
from insar_anomaly.sources.words import counted
from insar_anomaly.stack.prechecks import batch

_FEW = 3
"""Pairs that cannot be read now of which the reason is said."""
_AGAIN = "; it is tried again in the next run"


def commit_read(s: Installation, run: Run, task: ReadTask, result: ReadResult | None, error: BaseException | None) -> None:
    """Commit what a worker has read, stack by stack; `error` says why there is no result."""
    stacks = sorted({stack for names in task.wanted.values() for stack in names})
    if result is None:
        for stack in stacks:
            run.fail(stack, "ingest", error or "no result")
        return
    for words in result.warnings:
        run.warn(words)
    for stack in stacks:
        try:
            stored, refused = _write(s, run, task, result, stack)
        except StackFailed as problem:
            run.fail(stack, "ingest", problem)
            continue
        run.meter.did("ingest", stored + len(refused))
        run.counts[Count.STORED_PAIRS] += stored
        run.reject(refused)
        if waiting := result.not_now.get(stack):
            number, is_ = counted(len(waiting), "pair"), "is" if len(waiting) == 1 else "are"
            run.warn(f"{stack}: {number} could not be read now and {is_} tried again in the next run: {_reasons(waiting)}")
        if result.unreached:
            run.fail(stack, "ingest", result.unreached)


def _reasons(waiting: Sequence[str]) -> str:
    """The first few reasons, and how many there are beside them."""
    more = len(waiting) - _FEW
    return "; ".join([*(one.removesuffix(_AGAIN) for one in waiting[:_FEW]), *([f"and {more} more"] if more > 0 else [])])


def _write(s: Installation, run: Run, task: ReadTask, result: ReadResult, stack: str) -> tuple[int, list[Verdict]]:
    """Commit what was read for one stack, then write it down; returns how many pairs were stored, and why others were not.

    A replaced file on another grid rejects nothing: the stack keeps what it has of the pair, and `misfits` says it.
    """
    listed, settings = {one.pair: one for one in task.listed}, corrections.settings_of(s)
    windows, rejections = result.windows.get(stack, {}), result.rejected.get(stack, {})
    versions = task.versions.get(stack, {})
    rows = {
        pair: corrections.rejected(listed[pair], rejection, settings, version=max(0, versions.get(pair, 0) - 1))
        for pair, rejection in rejections.items()
    }
    if useless := {pair: row for pair, row in rows.items() if pair in versions}:
        for pair in corrections.note_useless(s, stack, useless, s.ledger.seen(stack), today=run.as_of):
            del rows[pair]
    refused = [why.verdict for pair, why in rejections.items() if pair in rows or why.verdict != Verdict.WRONG_GRID]
    off_grid = [row for row in rows.values() if row.verdict == Verdict.WRONG_GRID]
    run.heard.off_grid[stack] += off_grid  # said when all are read: several in a row are a frame on another grid
    corrections.say_rejected(run, stack, [row for row in rows.values() if row not in off_grid])
    if windows:
        new, again = batch(windows, result.delays.get(stack)), [pair for pair in windows if pair in versions]
        if again:
            new = corrections.with_versions(new, windows, versions)
            snapshot = s.store.put(stack, new, writer=run.writer(stack))
            run.warn(
                f"{stack}: taken in again: {counted(len(again), 'pair')} that the provider replaced or brought back, first "
                f"{again[0]}; what was assessed with them is assessed again"
            )
        else:
            snapshot = s.store.append(stack, new, writer=run.writer(stack))
        for p in windows:
            one = listed[p]
            ok = PairRow(p, str(one.phase_uri), one.fingerprint, Verdict.OK, "", snapshot, versions.get(p, 0))
            rows[p] = ok
    with s.ledger.together():
        if windows:
            s.ledger.record_coverage(stack, snapshot, covered(s.by_stack[stack], task.grids[stack], windows))
        if rows:
            s.ledger.record_pairs(stack, list(rows.values()))
    run.heard.stored(stack, windows)
    if versions:
        s.ledger.note_deviations(stack, [], settled=[pair for pair in windows if pair in versions])
    return len(windows), refused
