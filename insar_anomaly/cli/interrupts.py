"""Ctrl-C and SIGTERM: the first ends a command in order, the second at once. One sentence is printed, and the code is 130.

SIGTERM is what a service manager, a container or a shutdown sends: the run is closed, and its heartbeat says that it ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from insar_anomaly.cli.exits import Exit

if TYPE_CHECKING:
    from types import FrameType

_SENTENCE = "insar-anomaly: stopped; what was committed is kept, and the same command goes on from there\n"
_said = threading.Event()
_DEFAULTS: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The signals that stop a command, and what Python does with each by itself."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM raises KeyboardInterrupt and the next one ends the process.

    Does nothing with a signal that somebody else handles already, or ignores (a job in the background).
    """
    main = threading.current_thread() is threading.main_thread()
    mine = [number for number, default in _DEFAULTS.items() if main and signal.getsignal(number) == default]
    for number in mine:
        signal.signal(number, _first)
    try:
        yield
    finally:
        for number in mine:
            # after a first signal everything is in order here: another one must not disturb the interpreter's own end
            untouched = signal.getsignal(number) is _first
            signal.signal(number, _DEFAULTS[number] if untouched else signal.SIG_IGN)


def say_stopped() -> None:
    """Print what a stopped command leaves behind, once."""
    if not _said.is_set():
        _said.set()
        # not print: a signal may come while something else is being printed
        os.write(2, _SENTENCE.encode())


def _first(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    for one in _DEFAULTS:
        if signal.getsignal(one) is _first:
            signal.signal(one, _second)
    raise KeyboardInterrupt


def _second(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for child in active_children():
            child.kill()
    say_stopped()
    os._exit(Exit.STOPPED)
