"""Dask clusters as context managers: worker processes on this machine, or a cluster that runs already."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from insar_anomaly.errors import SourceUnavailable, WorkersFailed

log = logging.getLogger(__name__)

_MOST_LOCAL = 8
_PROBE = 64 * 1024
"""Bytes that must fit into the workers' scratch folder: they keep locks there, and nothing large."""


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
def joined(address: str) -> Iterator[Any]:
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
def started(processes: int) -> Iterator[Any]:
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
