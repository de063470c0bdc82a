"""A worker's share of a run: some stacks of one frame, from the first stage to the last, where their data are read.

A share names its stacks and stages, and comes back as counts and words. Interferograms, scores and models stay on the
worker, which reads them and commits them. What all shares need, the settings and the catalogue, goes to each worker once.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any

from insar_anomaly.catalogue.volcano import Volcano
from insar_anomaly.config.sections import Config
from insar_anomaly.errors import WorkersFailed
from insar_anomaly.ledger.ledger import Ledger
from insar_anomaly.pipeline.cluster import Workers
from insar_anomaly.pipeline.installation import Installation, Located, store_of
from insar_anomaly.pipeline.leases import holding
from insar_anomaly.pipeline.progress import Step, tell_step
from insar_anomaly.pipeline.run import Run, Silent, Tally
from insar_anomaly.pipeline.stage import Stage

_QUIET_S = 0.5
"""Progress is told at most this often, and at the end of a stage."""


@dataclass(frozen=True)
class Share:
    """Stacks of one frame, and what is to be done with them. `given` names the settings and the catalogue, see `give`."""

    given: str
    frame: str
    stacks: tuple[str, ...]
    stages: tuple[Stage, ...]
    run: int
    kind: str
    as_of: date
    located: Located | None = None
    silent: bool = False
    """Only finds out what there is to do: failures are written down nowhere."""
    then: tuple[Stage, ...] = ()
    """Stages that another kind of worker does after these."""

    def __str__(self) -> str:
        first = f"{self.frame} ({self.stacks[0]}" + (f" and {len(self.stacks) - 1} more)" if len(self.stacks) > 1 else ")")
        return f"{', '.join(stage.name for stage in self.stages)} of {first}"

    @property
    def gpu(self) -> bool:
        """True where it is worth a GPU."""
        return any(stage.gpu for stage in self.stages)


@dataclass(frozen=True)
class Done:
    """What a share has counted, and the stacks that another run works on: name -> who, in words."""

    tally: Tally = field(default_factory=Tally)
    busy: Mapping[str, str] = field(default_factory=dict)


def worked(s: Installation, share: Share) -> Done:
    """Do a share in an opened installation.

    Stacks that another run writes are left out of the whole share, and named.
    """
    located = None if share.located is None else {share.frame: share.located}
    mine = replace(s.of(share.stacks), located=located)
    run = (Silent if share.silent else Run)(share.run, share.kind, share.as_of, s.ledger)
    leased = [stage for stage in share.stages if stage.leased]
    busy: Mapping[str, str] = {}
    if leased:
        seconds = s.config.cluster.lease_s
        with holding(s.ledger, share.stacks, what=run.what, seconds=seconds) as held:
            run.held, busy = held, held.busy
            mine = replace(mine.of(tuple(held.leases)), located=located)
            for name, lease in held.leases.items():
                if lease.overtaken:
                    s.store.seize(name, held.writer(name))
            _walk(mine, run, leased)
        run.held = None
    _walk(mine, run, [stage for stage in share.stages if not stage.leased])
    return Done(run.tally, dict(busy))


def _walk(s: Installation, run: Run, stages: list[Stage]) -> None:
    for stage in stages if s.volcanoes else ():
        with run.meter.stage(stage.name):
            stage.work(s, run)


# -- on a worker -----------------------------------------------------------------------------------------------------


@dataclass
class _Given:
    config: Config
    volcanoes: list[Volcano]
    opened: Installation | None = None
    undo: ExitStack = field(default_factory=ExitStack)


_given: dict[str, _Given] = {}
_one_opens = threading.Lock()


def give(name: str, config: Config, volcanoes: list[Volcano]) -> None:
    """Called on a worker at its start: what all shares of an installation need."""
    _given[name] = _Given(config, volcanoes)


def take_back(name: str) -> None:
    """Called on a worker at its end, or at the end of the installation: closes what its shares have opened."""
    given = _given.pop(name, None)
    if given is not None:
        given.undo.close()


@contextmanager
def given_to(hands: Workers, config: Config, volcanoes: Sequence[Volcano]) -> Iterator[str]:
    """Every worker, also one that starts later, has settings and catalogue under the name that this gives.

    Where a person stops the run, nothing is taken back: that would wait for workers which are about to be killed.
    """
    client = hands.client  # it sets Dask up, before anything of it is imported
    from distributed import WorkerPlugin

    name = f"insar-anomaly-{uuid.uuid4().hex[:12]}"
    what = (name, config, list(volcanoes))

    class Given(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        def setup(self, worker: Any) -> None:  # noqa: ARG002
            """Called at every start of a worker, also after a restart."""
            from insar_anomaly.pipeline import share

            share.give(*what)

        def teardown(self, worker: Any) -> None:  # noqa: ARG002
            """Called at the end of a worker, and when the plugin is taken away."""
            from insar_anomaly.pipeline import share

            share.take_back(what[0])

    _registered(client, Given(), name)
    with ExitStack() as undo:
        undo.callback(_taken_back, client, name)
        try:
            yield name
        except Exception:
            raise
        except BaseException:
            undo.pop_all()
            raise


def _registered(client: Any, plugin: Any, name: str) -> None:
    """Give the plugin to all workers. The scheduler has it first, so a worker that starts in between has it as well."""
    for last in (False, False, True):
        try:
            client.register_plugin(plugin, name=name)
        except OSError as problem:  # a worker died while it was told
            if last:
                raise WorkersFailed(f"the workers cannot be reached ({problem}); run the same command again") from problem
            time.sleep(1.0)
        else:
            return


def _taken_back(client: Any, name: str) -> None:
    if client.status == "running":  # a cluster that is gone has nothing to close
        with suppress(OSError, TimeoutError):
            client.unregister_worker_plugin(name)


def work_share(share: Share) -> Done:
    """Do a share on a worker."""
    step = partial(_told, _Last(), str(share))
    return worked(replace(_opened(share.given), watch=step), share)


def _opened(name: str) -> Installation:
    """The installation, opened once per worker process."""
    given = _given[name]
    with _one_opens:
        if given.opened is None:
            ledger = given.undo.enter_context(Ledger(given.config.ledger))
            given.undo.enter_context(ledger.in_use())
            given.opened = Installation(given.config, given.volcanoes, store_of(given.config), ledger, Workers(), _unheard)
    return given.opened


@dataclass
class _Last:
    """When progress was last told."""

    moment: float = float("-inf")


def _told(last: _Last, share: str, stage: str, done: int, total: int, note: str = "") -> None:
    now = time.monotonic()
    if done < total and now - last.moment < _QUIET_S:
        return
    last.moment = now
    tell_step(Step(share, stage, done, total, note))


def _unheard(stage: str, done: int, total: int, note: str = "") -> None:
    """The progress of an installation that no share has yet taken."""
