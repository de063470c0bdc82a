"""Workers: a Dask client as a context manager, and a fan-out in which one poisoned task fails alone.

The package's own tasks take URIs and settings and load what they need once per worker; arrays as large as a model never
travel through the scheduler.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from insar_anomaly.errors import SourceUnavailable

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST_LOCAL = 8


@dataclass(frozen=True)
class Workers:
    """Where `fan_out` runs its tasks; `client` is None where tasks run here, one after the other."""

    client: Any = None

    @property
    def width(self) -> int:
        """Tasks that run at the same time."""
        return 1 if self.client is None else max(1, sum(self.client.nthreads().values()))

    def gpu_wanted(self) -> dict[str, int]:
        """The resource that scoring tasks ask for: a GPU where some worker declares one, else none.

        A task that asks for a resource which no worker has would wait for ever without a word, so this looks first.
        """
        if self.client is None:
            return {}
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return {"GPU": 1} if any("GPU" in (w.get("resources") or {}) for w in workers) else {}

    def fan_out(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], *, resources: dict[str, int] | None = None
    ) -> Iterator[tuple[Task, Result | None, BaseException | None]]:
        """Run `work` on every task; yields (task, result, error) as they finish, never raises for a task.

        As many tasks are handed out as there are workers. A task that kills its worker takes innocent ones with it; each of
        those is tried once more, alone, so that only the culprit fails.
        """
        if self.client is None:
            yield from (_attempt(work, task) for task in tasks)
            return
        suspects: list[Task] = []
        for task, result, error in self._windowed(work, tasks, self.width, resources):
            if type(error).__name__ == "KilledWorker":
                suspects.append(task)
            else:
                yield task, result, error
        for task in suspects:
            log.warning("a worker died during %s; tried once more, alone", task)
            yield from self._windowed(work, [task], 1, resources)

    def _windowed(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], width: int, resources: dict[str, int] | None
    ) -> Iterator[tuple[Task, Result | None, BaseException | None]]:
        from distributed import as_completed

        waiting = iter(tasks)
        running: dict[Any, Task] = {}
        finished = as_completed()

        def hand_out() -> None:
            for task in waiting:
                future = self.client.submit(_attempt, work, task, pure=False, resources=resources or None)
                running[future] = task
                finished.add(future)
                return

        for _ in range(width):
            hand_out()
        while running:
            future = next(finished)
            task = running.pop(future)
            hand_out()
            if future.status == "finished":
                yield future.result()
            else:
                yield task, None, future.exception() or RuntimeError(f"task {future.status}")
            future.release()


@contextmanager
def workers(kind: Literal["local", "inline", "address"], *, count: int | None, address: str | None) -> Iterator[Workers]:
    """Workers for a night.

    Parameters
    ----------
    kind : ``local`` starts processes here (one per GPU where there are any, each with one of them), ``address`` joins a
        running cluster, ``inline`` works in this process
    count : local processes; None takes one per core, at most 8
    address : scheduler to join

    Raises
    ------
    SourceUnavailable
        where no scheduler answers at the address.
    """
    if kind == "inline":
        yield Workers()
        return
    import dask

    # distributed sets up its own logging at import and is chatty; what matters comes back as a task's error
    dask.config.set({"logging": {"distributed": "critical", "bokeh": "critical"}})
    # a task whose worker died gets its second chance alone, from `fan_out`; Dask's default would kill seven workers more
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    # Dask's default makes workers give memory back after every few images, and take it again: a fifth of the night
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**30})
    from distributed import Client, LocalCluster

    if kind == "address":
        try:
            client = Client(address, timeout="10s")
        except OSError as problem:
            raise SourceUnavailable(
                f"no Dask scheduler answers at {address} ({problem}); start it, or correct [cluster] address"
            ) from problem
        with client:
            client.register_plugin(_one_thread())
            yield Workers(client)
        return
    processes = count or min(_MOST_LOCAL, len(os.sched_getaffinity(0)))
    cluster = LocalCluster(
        n_workers=processes,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        # the scheduler serves its health there even without a dashboard: any free port, seen from this machine only
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        memory_limit=None,  # the stages bound their own memory; a limit would kill a fit that is only large
        silence_logs=logging.CRITICAL,
    )
    with cluster, Client(cluster) as client:
        client.register_plugin(_one_thread())
        yield Workers(client)


def _one_thread() -> Any:
    """Worker plugin: one torch thread per worker process; two spinning pools on one core are 20 times slower."""
    from distributed import WorkerPlugin

    class OneThread(WorkerPlugin):  # type: ignore[misc, unused-ignore]
        name = "insar-anomaly-one-thread"

        def setup(self, worker: Any) -> None:  # noqa: ARG002
            """Called at every start of a worker, also after a restart."""
            import torch

            torch.set_num_threads(1)

    return OneThread()


def _attempt(work: Callable[[Task], Result], task: Task) -> tuple[Task, Result | None, BaseException | None]:
    """Run one task and bring its error back as a value: an error object survives the journey with its type."""
    import dask

    try:
        # a stage's own lazy arrays are computed where the stage runs, not sent to the cluster again
        with dask.config.set(scheduler="synchronous"):
            return task, work(task), None
    except Exception as problem:
        log.debug("task failed", exc_info=True)
        return task, None, problem
