"""Ctrl-C: the first ends a command in order, the second at once. Either way one sentence is printed, and the code is 130."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from insar_anomaly.cli.exits import Exit

if TYPE_CHECKING:
    from types import FrameType

_SENTENCE = "insar-anomaly: stopped; what was committed is kept, and the same command goes on from there\n"
_said = threading.Event()


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first Ctrl-C raises KeyboardInterrupt and the next one ends the process.

    Does nothing where somebody else handles the signal already, or ignores it (a job in the background).
    """
    mine = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if mine:
        signal.signal(signal.SIGINT, _first)
    try:
        yield
    finally:
        if mine:
            # after a first Ctrl-C everything is in order here: another one must not disturb the interpreter's own end
            untouched = signal.getsignal(signal.SIGINT) is _first
            signal.signal(signal.SIGINT, signal.default_int_handler if untouched else signal.SIG_IGN)


def say_stopped() -> None:
    """Print what a stopped command leaves behind, once."""
    if not _said.is_set():
        _said.set()
        # not print: a signal may come while something else is being printed
        os.write(2, _SENTENCE.encode())


def _first(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    signal.signal(signal.SIGINT, _second)
    raise KeyboardInterrupt


def _second(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for child in active_children():
            child.kill()
    say_stopped()
    os._exit(Exit.STOPPED)
