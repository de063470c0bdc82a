"""How far a task is, told from where it runs to where a person watches.

A task calls `tell`. In this process the listener hears it directly; from a Dask worker it travels as an event of the
scheduler. Where nobody listens, nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Heard = Callable[[str, int, int], None]
"""Called with a task's name, the steps that it has done, and all of its steps."""

_TOPIC = "insar-anomaly-progress"
_listeners: list[Heard] = []


def tell(task: str, done: int, total: int) -> None:
    """Say how far a task is. Never fails: progress is not worth a task."""
    if _listeners:
        _listeners[-1](task, done, total)
        return
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # neither watched here nor on a worker
        return
    worker.log_event(_TOPIC, (task, done, total))


@contextmanager
def listening(client: Any, heard: Heard) -> Iterator[None]:
    """Hear what tasks tell, for the length of a ``with``. `client` is Dask's, None where tasks run in this process."""
    if client is None:
        _listeners.append(heard)
        try:
            yield
        finally:
            _listeners.remove(heard)
        return
    client.subscribe_topic(_TOPIC, lambda event: heard(*event[1]))
    try:
        yield
    finally:
        client.unsubscribe_topic(_TOPIC)
