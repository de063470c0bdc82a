"""What was examined and found; and examinations that may not take for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from insar_anomaly.errors import SourceUnavailable

Found = TypeVar("Found")


@dataclass(frozen=True)
class Finding:
    """One thing that was examined, whether it is right, and what mends it where it is not. `details` is for programs."""

    what: str
    ok: bool
    words: str
    details: Mapping[str, object] = field(default_factory=dict)


def within(limit_s: float, what: str, do: Callable[[], Found]) -> tuple[Found, float]:
    """What `do` returns, and the seconds that it took. Its errors pass through.

    It works in a thread of its own, which is left alone where it takes longer: nothing can end a read that hangs, and the
    process does not wait for it.

    Raises SourceUnavailable, which names `what`, where it takes longer.
    """
    out: list[Found] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            out.append(do())
        except BaseException as problem:  # noqa: BLE001  it is raised below, where somebody waits for it
            failed.append(problem)

    begun = time.monotonic()
    thread = threading.Thread(target=work, name=f"doctor: {what}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if failed:
        raise failed[0]
    if not out:
        raise SourceUnavailable(
            f"{what}: no answer within {limit_s:g} s; check that the place can be reached, or give it more time with --limit"
        )
    return out[0], time.monotonic() - begun
