"""Workers: a Dask client as a context manager, and a fan-out in which one poisoned task fails alone.

The package's own tasks take URIs and settings and load what they need once per worker; arrays as large as a model never
travel through the scheduler.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, Literal, TypeVar

from insar_anomaly.errors import InsarAnomalyError, WorkersFailed
from insar_anomaly.pipeline.finished import Cancelled, Finished, explained, lost
from insar_anomaly.pipeline.local import joined, local_count, started

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

_LOOK_S = 5.0
"""Seconds without a result after which the workers' state is looked at."""
_PATIENCE_S = 180.0
"""Seconds that a cluster of which no worker works is waited for."""
_MOST_LOCAL = 8
_PROBE = 64 * 1024
"""Bytes that must fit into the workers' scratch folder: they keep locks there, and nothing large."""


class Workers:
    """Where `fan_out` runs its tasks: in worker processes, which the first task starts, or here, one after the other.

    Parameters
    ----------
    start : opens the Dask client, once, when the first task comes; None runs every task in this process
    expected : tasks that will run at the same time, where the workers have not been started yet
    """

    def __init__(self, start: Callable[[], Any] | None = None, expected: int = 1) -> None:
        self._start, self._expected = start, expected

    @property
    def here(self) -> bool:
        """True where every task runs in this process."""
        return self._start is None

    @property
    def asleep(self) -> bool:
        """True where workers would be started by the next task."""
        return self._start is not None and "client" not in self.__dict__

    @cached_property
    def client(self) -> Any:
        """The Dask client; None where tasks run in this process. Starts the workers where they have not started."""
        return None if self._start is None else self._start()

    @property
    def width(self) -> int:
        """Tasks that run at the same time; what is expected where the workers sleep."""
        return self._expected if self.here or self.asleep else max(1, sum(self.client.nthreads().values()))

    def gpu_wanted(self) -> dict[str, int]:
        """The resource that scoring tasks ask for: a GPU where some worker declares one, else none.

        A task that asks for a resource which no worker has would wait for ever without a word, so this looks first. Workers
        that sleep are local ones, which declare none.
        """
        if self.here or self.asleep:
            return {}
        workers = self.client.scheduler_info(n_workers=-1)["workers"].values()
        return {"GPU": 1} if any("GPU" in (w.get("resources") or {}) for w in workers) else {}

    def fan_out(
        self, work: Callable[[Task], Result], tasks: Sequence[Task], *, gpu: bool | Callable[[Task], bool] = False
    ) -> Iterator[tuple[Task, Result | None, BaseException | None]]:
        """Run `work` on every task; yields (task, result, error) as they finish, never raises for a task.

        Tasks of which `gpu` is True go to workers that declare a GPU where there are any. Without tasks, no worker is
        started. A caller may add tasks to the end of the list while it hears of others.

        As many tasks are handed out as there are workers. A task that kills its worker takes innocent ones with it; each of
        those is tried once more, alone, so that only the culprit fails.
        """
        if not tasks or self.client is None:
            yield from (_attempt(work, task) for task in tasks)
            return
        wanted = self.gpu_wanted()

        def wish(task: Task) -> dict[str, int]:
            return wanted if (gpu(task) if callable(gpu) else gpu) else {}

        suspects: list[Task] = []
        for task, result, error in self._windowed(work, tasks, self.width, wish):
            if lost(error):
                suspects.append(task)
            else:
                yield task, result, error
        for task in suspects:
            log.warning("a worker died during %s; tried once more, alone", task)
            for _, result, error in self._windowed(work, [task], 1, wish):
                yield task, result, explained(error) if lost(error) else error

    def _windowed(
        self,
        work: Callable[[Task], Result],
        tasks: Sequence[Task],
        width: int,
        wish: Callable[[Task], dict[str, int]],
    ) -> Iterator[tuple[Task, Result | None, BaseException | None]]:
        """Never more tasks at the same time than `width`; each with the resources that it wishes for."""
        given = 0
        running: dict[Any, Task] = {}
        finished = Finished(self.client)

        def hand_out() -> None:
            nonlocal given
            while len(running) < width and given < len(tasks) and self.client.status == "running":
                task = tasks[given]
                future = self.client.submit(_attempt, work, task, pure=False, resources=wish(task) or None)
                running[future] = task
                finished.add(future)
                given += 1

        hand_out()
        while running or given < len(tasks):
            future = finished.next()
            if future is None:
                yield from ((task, None, WorkersFailed(finished.why)) for task in (*running.values(), *tasks[given:]))
                return
            task = running.pop(future)
            hand_out()
            if future.status == "finished":
                yield future.result()
            else:
                yield task, None, future.exception() if future.status == "error" else Cancelled(f"task {future.status}")
            future.release()
            hand_out()  # the caller may have added tasks


@contextmanager
def workers(kind: Literal["local", "inline", "address"], *, count: int | None, address: str | None) -> Iterator[Workers]:
    """Workers for a run.

    Parameters
    ----------
    kind : ``local`` starts processes here when the first task comes, ``address`` joins a running cluster at once,
        ``inline`` works in this process
    count : local processes; None takes one per core, at most 8
    address : scheduler to join

    Where a person stops the run (KeyboardInterrupt), local worker processes are killed and not waited for.

    Raises
    ------
    SourceUnavailable
        where no scheduler answers at the address.
    WorkersFailed
        at the first task, where local workers cannot be started.
    """
    if kind == "inline":
        yield Workers()
        return
    with ExitStack() as opened:
        if kind == "address":
            client = opened.enter_context(joined(str(address)))
            hands = Workers(lambda: client)
            _ = hands.client
            yield hands
        else:
            processes = count or local_count()
            yield Workers(lambda: opened.enter_context(started(processes)), processes)


def _attempt(work: Callable[[Task], Result], task: Task) -> tuple[Task, Result | None, BaseException | None]:
    """Run one task and bring its error back as a value: an error object survives the journey with its type."""
    import dask

    try:
        # a stage's own lazy arrays are computed where the stage runs, not sent to the cluster again
        with dask.config.set(scheduler="synchronous"):
            return task, work(task), None
    except Exception as problem:  # noqa: BLE001
        if not isinstance(problem, InsarAnomalyError):
            problem.add_note(traceback.format_exc())  # the traceback itself does not survive the journey, notes do
        return task, None, problem
