"""What a worker reads: URIs and settings in, checked windows out. For scoring and fitting see `scoring` and `fitting`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from insar_anomaly import stopping
from insar_anomaly.errors import NotNow, PairRejected, SourceUnavailable
from insar_anomaly.sources.base import Delays, Listed, Source, Window
from insar_anomaly.stack.prechecks import precheck, same_wavelength
from insar_anomaly.stack.schema import Grid


@dataclass(frozen=True)
class ReadTask:
    """Pairs of one frame to be read for its stacks: `wanted` maps a pair to the stacks that lack it."""

    source: Source
    frame: str
    listed: tuple[Listed, ...]
    wanted: Mapping[str, tuple[str, ...]]
    grids: Mapping[str, Grid]
    wavelengths: Mapping[str, float]
    """Radar wavelength of each stack, m."""
    min_valid: float
    min_coherence: float
    threads: int = 1
    versions: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Pairs that a stack holds already, and which version of it each will be: stack -> pair -> version."""

    def __str__(self) -> str:
        return f"{self.frame} {self.listed[0].pair} .. {self.listed[-1].pair}"


@dataclass
class ReadResult:
    """Per stack: accepted windows, their modelled delays where there are any, and rejections by pair.

    `not_now` names files that cannot be read now, `unreached` holds what storage, not a pair, is to blame for, `warnings`
    what was left out beside the pairs.
    """

    windows: dict[str, dict[str, Window]] = field(default_factory=dict)
    delays: Delays = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    rejected: dict[str, dict[str, PairRejected]] = field(default_factory=dict)
    not_now: dict[str, list[str]] = field(default_factory=dict)
    unreached: str | None = None


def read_pairs(task: ReadTask) -> ReadResult:
    """Open each pair's files once, cut every stack's window, precheck it; then each acquisition's delay, once.

    Several pairs are read at the same time where `threads` says so: storage far away takes its time to answer.
    """
    out = ReadResult()
    with _several(task.threads) as each:
        for one, (windows, rejected, trouble) in zip(task.listed, each(partial(_read, task), task.listed), strict=False):
            if isinstance(trouble, NotNow):
                for stack in task.wanted[one.pair]:
                    out.not_now.setdefault(stack, []).append(str(trouble))
            elif trouble:
                out.unreached = str(trouble)
                break
            for stack, window in windows.items():
                out.windows.setdefault(stack, {})[one.pair] = window
            for stack, rejection in rejected.items():
                out.rejected.setdefault(stack, {})[one.pair] = rejection
    if out.unreached:  # the layers are where the pairs are: what has one is read again when both can be
        out.windows = {
            stack: {one.pair: found[one.pair] for one in task.listed if one.pair in found and not one.delay_uris}
            for stack, found in out.windows.items()
        }
        return out
    accepted = {stack: [one for one in task.listed if one.pair in found] for stack, found in out.windows.items()}
    out.delays, out.warnings = task.source.delays(accepted, task.grids)
    return out


_Read = tuple[dict[str, Window], dict[str, PairRejected], NotNow | SourceUnavailable | None]
"""Accepted windows and rejections by stack, and what storage, not the pair, is to blame for."""


def _read(task: ReadTask, one: Listed) -> _Read:
    stacks = task.wanted[one.pair]
    try:
        found = task.source.read(one, {stack: task.grids[stack] for stack in stacks})
    except PairRejected as rejection:
        stopping.insist()  # a read that was stopped looks like a file that is broken
        return {}, dict.fromkeys(stacks, rejection), None
    except (NotNow, SourceUnavailable) as problem:
        return {}, {}, problem
    stopping.insist()
    windows, rejected = {}, {}
    limits = {"min_valid": task.min_valid, "min_coherence": task.min_coherence}
    for stack, window in found.items():
        try:
            same_wavelength(window.physics, task.wavelengths[stack], uri=str(one.phase_uri))
            precheck(window.phase, window.coherence, uri=str(one.phase_uri), **limits)
            windows[stack] = window
        except PairRejected as rejection:
            rejected[stack] = rejection
    return windows, rejected, None


@contextmanager
def _several(threads: int) -> Iterator[Callable[[Callable[[Listed], _Read], Sequence[Listed]], Iterator[_Read]]]:
    """`map` over so many threads, in order; what nobody waits for any more is not begun."""
    if threads == 1:
        yield map
        return
    pool = ThreadPoolExecutor(threads, "insar-anomaly read")
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)
