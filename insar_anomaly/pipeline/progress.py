"""How far a task is, told from where it runs to where a person watches.

A task calls `tell`, a share of a run `tell_step`. In this process the listener hears it directly; from a Dask worker it
travels as an event of the scheduler. Where nobody listens, nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any

Heard = Callable[[str, int, int], None]
"""Called with a task's name, the steps that it has done, and all of its steps."""

_TOPIC = "insar-anomaly-progress"
_STEPS = "insar-anomaly-steps"
_listeners: list[Heard] = []


@dataclass(frozen=True)
class Step:
    """How far a share is with one stage."""

    share: str
    stage: str
    done: int
    total: int
    note: str


def tell(task: str, done: int, total: int) -> None:
    """Say how far a task is. Never fails: progress is not worth a task."""
    if _listeners:
        _listeners[-1](task, done, total)
    else:
        _log(_TOPIC, (task, done, total))


def tell_step(step: Step) -> None:
    """Say how far a share is. Never fails."""
    _log(_STEPS, astuple(step))


def _log(topic: str, message: tuple[object, ...]) -> None:
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # neither watched here nor on a worker
        return
    worker.log_event(topic, message)


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
    with _subscribed(client, _TOPIC, lambda message: heard(*message)):
        yield


@contextmanager
def listening_to_steps(client: Any, heard: Callable[[Step], None]) -> Iterator[None]:
    """Hear what shares tell, for the length of a ``with``."""
    with _subscribed(client, _STEPS, lambda message: heard(Step(*message))):
        yield


@contextmanager
def _subscribed(client: Any, topic: str, heard: Callable[[Any], None]) -> Iterator[None]:
    client.subscribe_topic(topic, lambda event: heard(event[1]))
    try:
        yield
    finally:
        if client.status == "running":
            client.unsubscribe_topic(topic)
