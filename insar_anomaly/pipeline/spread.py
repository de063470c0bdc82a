"""A run spread over the workers: each frame's stacks go from read to flag without waiting for the others.

The process that started the run makes *shares* (see `share`), hears what they counted, and does what needs several stacks:
couples, as soon as both of their frames are done. What needs the whole installation comes after it.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.errors import InsarAnomalyError
from insar_anomaly.names import frame_of, volcano_of
from insar_anomaly.pipeline.cluster import Workers
from insar_anomaly.pipeline.ingest import locate
from insar_anomaly.pipeline.installation import Installation
from insar_anomaly.pipeline.leases import patiently, waits
from insar_anomaly.pipeline.progress import Step, listening_to_steps
from insar_anomaly.pipeline.run import Run, Silent
from insar_anomaly.pipeline.share import Done, Share, given_to, work_share, worked
from insar_anomaly.pipeline.stage import Scope, Stage
from insar_anomaly.report.digest import to_read

log = logging.getLogger(__name__)

_FEW = 16
"""Shares up to which this process looks for itself whether there is anything to do, before it starts workers."""

Result = tuple[Share, Done | None, BaseException | None]


class Spread:
    """The stages of a run that work on stacks and couples, on their way; `finish` waits for some volcanoes, or for all.

    Parameters
    ----------
    totals : what a stage has to do in all, where that is known before the shares begin: by its name, for progress
    sizes : what each share has to do, as `counted` of a dry run has it: the largest begin first, so that no worker is left
        alone with one at the end
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        s: Installation,
        run: Run,
        *,
        totals: Mapping[str, int] | None = None,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self._run, self._joint = run, [stage for stage in stages if stage.scope in (Scope.COUPLE, Scope.VOLCANO)]
        mine = tuple(stage for stage in stages if stage.scope is Scope.STACK)
        self._s = locate(s, run) if any(stage.reads_source for stage in mine) else s
        self._left: dict[int, set[str]] = defaultdict(set)
        for stack in self._s.by_stack if mine else ():
            self._left[volcano_of(stack)].add(stack)
        self._whole = len(self._s.by_stack)
        self._totals = totals or {}
        self._steps: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
        self.counted: dict[str, int] = {}
        """New pairs of each share that has ended, by the name of its first stack."""
        shares = shares_of(self._s, run, mine) if mine else []
        self._sizes = {str(share): (sizes or {}).get(share.stacks[0], 0) for share in shares}
        self._going = self._go(sorted(shares, key=lambda share: -self._sizes[str(share)]))

    def finish(self, volcanoes: Collection[Volcano] | None = None) -> None:
        """Wait until every stack of these volcanoes (None: of all) is done, and their couples."""
        wanted = None if volcanoes is None else {volcano.gvp for volcano in volcanoes}
        while any(stacks and (wanted is None or gvp in wanted) for gvp, stacks in self._left.items()):
            if next(self._going, None) is None:
                raise RuntimeError("the shares of this run have ended before all of its stacks were done")
        if not any(self._left.values()):
            for _ in self._going:  # what the workers were given is taken back
                pass

    def longest(self, stage: str) -> int:
        """What is left to do of the share of which most is left, begun or not."""
        begun = {name: total - done for name, (done, total) in self._steps[stage].items()}
        return max((begun.get(name, size) for name, size in self._sizes.items()), default=0)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _go(self, shares: Sequence[Share]) -> Iterator[bool]:
        """Do share after share; those whose stacks another run works on come again at the end."""
        begun, pauses = time.monotonic(), waits()
        while shares:
            busy: list[Share] = []
            with ExitStack() as undo:
                for share, done, error in self._spread(shares, undo):
                    found = done or Done()
                    if done is None:
                        self._fail(share, error or RuntimeError("no result"))
                    self._run.add(found.tally)
                    self._sizes.pop(str(share), None)
                    self.counted[share.stacks[0]] = to_read(found.tally.counts)
                    busy += [replace(share, stacks=tuple(found.busy))] if found.busy else []
                    self._say(found.busy)
                    self._close([stack for stack in share.stacks if stack not in found.busy])
                    yield True
            if busy and time.monotonic() - begun > self._s.config.cluster.wait_s:
                self._give_up(busy)
                yield True
                return
            if busy:
                time.sleep(next(pauses))
            shares = busy

    def _spread(self, shares: Sequence[Share], undo: ExitStack) -> Iterator[Result]:
        """Do shares on workers; in this process where there are none, or where nothing is worth starting them."""
        hands = self._s.workers
        if hands.here or (hands.asleep and len(shares) <= _FEW and not self._pending(shares)):
            yield from Workers().fan_out(self._worked_here, shares)
            return
        given = undo.enter_context(given_to(hands, self._s.config, self._s.volcanoes))
        undo.enter_context(listening_to_steps(hands.client, self._heard))
        split = bool(hands.gpu_wanted())
        queue = [_in_phases(replace(share, given=given), split=split) for share in shares]
        for share, done, error in hands.fan_out(work_share, queue, gpu=_gpu):
            if not share.then or done is None:
                yield share, done, error
                continue
            whole = replace(share, stages=share.stages + share.then, then=())
            had = tuple(stack for stack in share.stacks if stack not in done.busy)
            if had:
                queue.append(replace(whole, stages=share.then, stacks=had))
            yield replace(whole, stacks=tuple(done.busy)), done, None

    def _worked_here(self, share: Share) -> Done:
        def heard(stage: str, done: int, total: int, note: str = "") -> None:
            self._heard(Step(str(share), stage, done, total, note))

        return worked(replace(self._s, watch=heard), share)

    def _pending(self, shares: Sequence[Share]) -> bool:
        probe = Silent.of(self._run)
        mine = self._s.of([stack for share in shares for stack in share.stacks])
        return any(stage.pending is not None and stage.pending(mine, probe) for stage in shares[0].stages)

    def _close(self, stacks: Sequence[str]) -> None:
        """These stacks are done; so are the couples whose frames are."""
        closed: dict[int, Volcano] = {}
        for stack in stacks:
            volcano = self._s.by_stack[stack]
            self._left[volcano.gvp].discard(stack)
            closed[volcano.gvp] = volcano
        for volcano in closed.values():
            if not self._left[volcano.gvp]:
                self._do_volcano(self._s.narrowed([volcano]))
        done = self._whole - sum(map(len, self._left.values()))
        if stacks:
            self._s.watch("stacks", done, self._whole, stacks[-1])

    def _do_volcano(self, mine: Installation) -> None:
        """What needs several stacks of a volcano, in this process: nothing is read but the ledger."""
        whole = any(stage.scope is Scope.VOLCANO for stage in self._joint)
        names, cluster = (*mine.by_couple, *(mine.by_stack if whole else ())), mine.config.cluster
        if not self._joint or not names:
            return
        waiting = {"lease_s": cluster.lease_s, "wait_s": cluster.wait_s}
        try:
            with patiently(mine.ledger, names, what=self._run.what, say=self._run.warn, **waiting) as held:
                self._run.held = held
                for stage in self._joint:
                    with self._run.meter.stage(stage.name):
                        stage.work(mine, self._run)
        except InsarAnomalyError as problem:
            for name in names:
                self._run.fail(name, self._joint[0].name, problem)
        finally:
            self._run.held = None

    def _heard(self, step: Step) -> None:
        """A share is so far with a stage: what a person watches is the sum over all shares that have begun."""
        known = self._steps[step.stage]
        known[step.share] = (step.done, step.total)
        done, total = (sum(column) for column in zip(*known.values(), strict=True))
        self._s.watch(step.stage, done, max(total, self._totals.get(step.stage, 0)), step.note)

    def _fail(self, share: Share, error: BaseException) -> None:
        for stack in share.stacks:
            self._run.fail(stack, share.stages[0].name, error)

    def _say(self, busy: Mapping[str, str]) -> None:
        for stack, who in busy.items():
            words = f"{stack}: this run waited for {who.split(', last heard')[0]}, which worked on it"
            if words not in self._run.warnings:
                log.warning("%s: waits for %s", stack, who)
                self._run.warn(words)

    def _give_up(self, busy: Sequence[Share]) -> None:
        held, wait_s = self._s.ledger.held(), self._s.config.cluster.wait_s
        for share in busy:
            for stack in share.stacks:
                who = held.get(stack, "another run")
                words = f"{stack} is held by {who}; it was waited for {wait_s:g} seconds ([cluster] wait_s)"
                self._run.fail(stack, share.stages[0].name, f"{words}; nothing was done here, and the next run goes on")
            self._close(share.stacks)


def shares_of(s: Installation, run: Run, stages: tuple[Stage, ...]) -> list[Share]:
    """One share per frame, so that its files are opened once; one per stack where frames are fewer than workers."""
    of_frame: dict[str, list[str]] = defaultdict(list)
    for volcano in sorted(s.volcanoes, key=lambda v: (v.frames, v.gvp)):
        for stack in volcano.stacks:
            of_frame[frame_of(stack)].append(stack)
    groups = [tuple(stacks) for stacks in of_frame.values()]
    if len(groups) < s.workers.width:
        groups = [(stack,) for stacks in groups for stack in stacks]
    return [
        Share(
            given="",
            frame=frame_of(stacks[0]),
            stacks=stacks,
            stages=stages,
            run=run.number,
            kind=run.kind,
            as_of=run.as_of,
            silent=isinstance(run, Silent),
            located=None if s.located is None else s.located[frame_of(stacks[0])],
        )
        for stacks in groups
    ]


def _in_phases(share: Share, *, split: bool) -> Share:
    """The share up to the first stage that wants a GPU, and the others after it."""
    first = next((i for i, stage in enumerate(share.stages) if stage.gpu), 0) if split else 0
    return replace(share, stages=share.stages[:first], then=share.stages[first:]) if first else share


def _gpu(share: Share) -> bool:
    return share.gpu
