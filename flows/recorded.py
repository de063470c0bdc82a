"""Run a flow from the command line so that its history is recorded whole.

Without a configured API, Prefect starts an ephemeral server in this process. Task runs reach it as events, which it stores
a little later; a process that exits first loses them (read and measured for Prefect 3.8). So before the process ends, this
waits until every task run of the flow stands in the server in a final state.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.context import FlowRunContext
from prefect.settings import PREFECT_API_URL

Result = TypeVar("Result")
log = logging.getLogger(__name__)
_PATIENCE_S = 120.0
_PAGE = 200

_started: dict[UUID, int] = {}


def counted(task: Any, *args: Any, name: str, **kwargs: Any) -> Any:
    """Call a task under `name` and count it for `recorded`."""
    context = FlowRunContext.get()
    if context is not None and context.flow_run is not None:
        identity = context.flow_run.id
        _started[identity] = _started.get(identity, 0) + 1
    return task.with_options(task_run_name=name)(*args, **kwargs)


def finished(flow: Callable[..., State[Any]], *args: Any, **kwargs: Any) -> int:
    """Run a flow and print what it says at its end; returns the exit code."""
    if silent := unreachable():
        print(silent, file=sys.stderr)
        return 1
    state = recorded(flow, *args, **kwargs, return_state=True)
    print(state.message)
    return 0 if state.is_completed() else 1


def unreachable() -> str:
    """Why Prefect cannot run a flow here; empty where its configured server answers, or where none is configured."""
    address = PREFECT_API_URL.value()
    if not address:
        return ""
    with get_client(sync_client=True) as client:
        problem = client.api_healthcheck()
    if problem is None:
        return ""
    return (
        f"Prefect's server at {address} (PREFECT_API_URL) does not answer ({problem}): nothing was done; start the server, "
        "or run the command of the same name, which needs none: insar-anomaly -c FILE ..."
    )


def recorded(flow: Callable[..., Result], *args: Any, **kwargs: Any) -> Result:
    """Call a flow, then wait until the server has all of its task runs; says so where it does not come to that."""
    before = set(_started)
    try:
        return flow(*args, **kwargs)
    finally:
        for identity in set(_started) - before:
            _wait(identity, _started.pop(identity))


def _wait(flow_run: UUID, expected: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    final = 0
    while time.monotonic() < deadline:
        final = _final_runs(flow_run)
        if final >= expected:
            return
        time.sleep(0.5)
    log.warning("Prefect recorded %d of %d task runs of flow run %s; the ledger has them all", final, expected, flow_run)


def _final_runs(flow_run: UUID) -> int:
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    final, offset = 0, 0
    with get_client(sync_client=True) as client:
        while True:
            page = client.read_task_runs(flow_run_filter=wanted, limit=_PAGE, offset=offset)
            final += sum(1 for run in page if run.state and run.state.is_final())
            offset += len(page)
            if len(page) < _PAGE:
                return final
