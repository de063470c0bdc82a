"""Tasks that have finished, and what is said where none ever will."""

from __future__ import annotations

import queue
import time
from collections import Counter
from typing import Any

from insar_anomaly.errors import WorkersFailed

_LOOK_S = 5.0
"""Seconds without a result after which the workers' state is looked at."""
_PATIENCE_S = 180.0
"""Seconds that a cluster of which no worker works is waited for."""


class Cancelled(Exception):
    """The scheduler forgot a task: it was restarted."""


_LOST = ("KilledWorker", "Cancelled", "FutureCancelledError", "CancelledError")
"""Names of the errors of tasks whose worker or scheduler was lost."""


class Finished:
    """Futures in the order in which they finish, and a look at the workers where none does for a while.

    A cluster whose workers are all paused, or gone, gives no answer at all. It is waited for, and then given up in words.
    """

    def __init__(self, client: Any) -> None:
        self._client, self.why = client, ""
        self._ready: queue.Queue[Any] = queue.Queue()

    def add(self, future: Any) -> None:
        """Wait for this one too."""
        future.add_done_callback(self._ready.put)

    def next(self) -> Any:
        """The next one that has finished; None where no worker has worked for `_PATIENCE_S`: `why` says why."""
        idle_since: float | None = None
        while True:
            try:
                return self._ready.get(timeout=_LOOK_S)
            except queue.Empty:
                self.why = self._trouble()
            now = time.monotonic()
            idle_since = (idle_since or now) if self.why else None
            if idle_since is not None and now - idle_since > _PATIENCE_S:
                return None

    def _trouble(self) -> str:
        """Why nothing can finish; empty where some worker works."""
        if self._client.status not in ("running", "newly-created"):
            return f"the Dask scheduler is gone (its connection is {self._client.status}) and did not come back"
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        except (OSError, TimeoutError) as problem:
            return f"the Dask scheduler does not answer ({problem})"
        states = Counter(str(worker.get("status", "running")) for worker in workers)
        if states.get("running"):
            return ""
        if not states:
            return "the cluster has no workers any more; start some, then run the same command again"
        words = ", ".join(f"{number} {state}" for state, number in states.items())
        return (
            f"no worker of the cluster takes work ({words}); a worker pauses where its memory is nearly full: give it more, "
            "or lower [ingest] batch and [cluster] batch, then run the same command again"
        )


def lost(error: BaseException | None) -> bool:
    """True of the error of a task whose worker or scheduler was lost."""
    return type(error).__name__ in _LOST


def explained(error: BaseException | None) -> BaseException:
    """Why a task could not be done, where its worker died twice."""
    return WorkersFailed(
        "a worker process died while it worked on this, twice, the second time with nothing else to do "
        f"({type(error).__name__}); its memory may be too small, or a file crashes the library that reads it: try it alone "
        'with --volcano and [cluster] kind = "inline"'
    )
