"""Workers: a Dask client as a context manager, and a fan-out in which one poisoned task fails alone.

The package's own tasks take URIs and settings and load what they need once per worker; arrays as large as a model never
travel through the scheduler.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Literal, TypeVar

from insar_anomaly.errors import InsarAnomalyError, SourceUnavailable, WorkersFailed

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST_LOCAL = 8
_PROBE = 64 * 1024
"""Bytes that must fit into the workers' scratch folder: they keep locks there, and nothing large."""


class Workers:
    """Where `fan_out` runs its tasks: in worker processes, which the first task starts, or here, one after the other.

    Parameters
    ----------
    start : opens the Dask client, once, when the first task comes; None runs every task in this process
    """

    def __init__(self, start: Callable[[], Any] | None = None) -> None:
        self._start = start

    @cached_property
    def client(self) -> Any:
        """The Dask client; None where tasks run in this process. Starts the workers where they have not started."""
        return None if self._start is None else self._start()

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
        self, work: Callable[[Task], Result], tasks: Sequence[Task], *, gpu: bool = False
    ) -> Iterator[tuple[Task, Result | None, BaseException | None]]:
        """Run `work` on every task; yields (task, result, error) as they finish, never raises for a task.

        With `gpu`, tasks go to workers that declare a GPU where there are any. Without tasks, no worker is started.

        As many tasks are handed out as there are workers. A task that kills its worker takes innocent ones with it; each of
        those is tried once more, alone, so that only the culprit fails.
        """
        if not tasks or self.client is None:
            yield from (_attempt(work, task) for task in tasks)
            return
        resources = self.gpu_wanted() if gpu else {}
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
        self, work: Callable[[Task], Result], tasks: Sequence[Task], width: int, resources: dict[str, int]
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
            client = opened.enter_context(_joined(str(address)))
            yield Workers(lambda: client)
        else:
            yield Workers(lambda: opened.enter_context(_started(count or local_count())))


def local_count() -> int:
    """Local worker processes where the configuration names no number: one per core, at most 8."""
    return min(_MOST_LOCAL, len(os.sched_getaffinity(0)))


def _set_up_dask() -> None:
    import dask

    # distributed sets up its own logging at import and is chatty; what matters comes back as a task's error
    dask.config.set({"logging": {"distributed": "critical", "bokeh": "critical"}})
    # a task whose worker died gets its second chance alone, from `fan_out`; Dask's default would kill seven workers more
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    # Dask's default makes workers give memory back after every few images, and take it again: a fifth of the night
    dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**30})


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    """A client of the cluster whose scheduler is at the address."""
    _set_up_dask()
    from distributed import Client

    try:
        client = Client(address, timeout="10s")
    except OSError as problem:
        raise SourceUnavailable(
            f"no Dask scheduler answers at {address} ({problem}); start it, or correct [cluster] address"
        ) from problem
    with client:
        client.register_plugin(_one_thread())
        yield client


@contextmanager
def _started(processes: int) -> Iterator[Any]:
    """A client of worker processes on this machine; they end with the context."""
    _set_up_dask()
    from distributed import Client

    with (
        _scratch() as folder,
        _local_cluster(processes, folder) as cluster,
        Client(cluster) as client,
        _killed_if_stopped(cluster),
    ):
        log.info("%d worker processes were started", processes)
        yield client


def _local_cluster(processes: int, folder: Path) -> Any:
    from distributed import LocalCluster

    _start_tracker()
    others = set(multiprocessing.active_children())
    try:
        with _interrupts_kept_from_children():
            return LocalCluster(
                n_workers=processes,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                # the scheduler serves its health there even without a dashboard: any free port, seen from this machine only
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=None,  # the stages bound their own memory; a limit would kill a fit that is only large
                local_directory=str(folder),
                env=dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
                silence_logs=logging.CRITICAL,
            )
    except BaseException as problem:
        for child in set(multiprocessing.active_children()) - others:
            child.kill()
        if isinstance(problem, Exception):
            raise WorkersFailed(
                f"{processes} local worker processes could not be started ({problem}); check free memory and space in "
                f'{folder.parent}, or set [cluster] kind = "inline" to work without them'
            ) from problem
        raise


@contextmanager
def _scratch() -> Iterator[Path]:
    """The workers' folder for temporary files, where it can be written; removed at the end."""
    import dask

    parent = dask.config.get("temporary_directory", None)
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix="insar-anomaly-workers-", dir=parent))
        (folder / "probe").write_bytes(bytes(_PROBE))
    except OSError as problem:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        raise WorkersFailed(
            f"workers need a folder for temporary files, and {folder or parent or tempfile.tempdir} cannot be written "
            f"({problem.strerror}); free space there, or name another folder in the environment variable "
            f"{'DASK_TEMPORARY_DIRECTORY' if parent else 'TMPDIR'}, then run the same command again"
        ) from problem
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start_tracker() -> None:
    """Start the process in which Python keeps count of semaphores; it removes what is left, and here without a warning.

    Something is left where this process ends at once.
    """
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (before, "ignore:resource_tracker")))
    try:
        resource_tracker.ensure_running()
    finally:
        os.environ.pop("PYTHONWARNINGS")
        if before is not None:
            os.environ["PYTHONWARNINGS"] = before


@contextmanager
def _interrupts_kept_from_children() -> Iterator[None]:
    """What starts in here, and whatever it starts later, never sees SIGINT.

    Ctrl-C in a terminal goes to every process of the group. Workers would print a traceback each; this process ends them.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _killed_if_stopped(cluster: Any) -> Iterator[None]:
    """Kill the workers where a person stops the run: closing them would wait for their tasks, which may take minutes."""
    try:
        yield
    except Exception:
        raise
    except BaseException:
        nannies = list(cluster.workers.values())
        for nanny in nannies:
            nanny.auto_restart = False
        for nanny in nannies:
            if nanny.pid:
                with suppress(ProcessLookupError):
                    os.kill(nanny.pid, signal.SIGKILL)
        raise


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
    except Exception as problem:  # noqa: BLE001
        if not isinstance(problem, InsarAnomalyError):
            problem.add_note(traceback.format_exc())  # the traceback itself does not survive the journey, notes do
        return task, None, problem
