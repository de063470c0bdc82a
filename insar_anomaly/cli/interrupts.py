"""Ctrl-C and SIGTERM: the first ends a command in order, the second at once. One sentence is printed, and the code is 130.

SIGTERM is what a service manager, a container or a shutdown sends: the run is closed, and its heartbeat says that it ended.

A C library drops an exception that a signal raises in a function which it calls. So the request to stop is kept too (see
`insar_anomaly.stopping`), and the exception is raised again, until it is on its way up.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from insar_anomaly import stopping
from insar_anomaly.cli.exits import Exit

if TYPE_CHECKING:
    from types import FrameType

_SENTENCE = "insar-anomaly: stopped; what was committed is kept, and the same command goes on from there\n"
_said = threading.Event()
_DEFAULTS: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
"""The signals that stop a command, and what Python does with each by itself."""
_AGAIN_S = 0.2
"""Time after which KeyboardInterrupt is raised again, where it was lost."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, the first Ctrl-C or SIGTERM raises KeyboardInterrupt and the next one ends the process.

    Does nothing with a signal that somebody else handles already, or ignores (a job in the background).
    """
    main = threading.current_thread() is threading.main_thread()
    mine = [number for number, default in _DEFAULTS.items() if main and signal.getsignal(number) == default]
    stopping.forget()
    for number in mine:
        signal.signal(number, _first)
    try:
        with warnings.catch_warnings():
            yield
    finally:
        _remind(on=False)
        for number in mine:
            # after a first signal everything is in order here: another one must not disturb the interpreter's own end
            untouched = signal.getsignal(number) is _first
            signal.signal(number, _DEFAULTS[number] if untouched else signal.SIG_IGN)
        stopping.forget()


def say_stopped() -> None:
    """Print what a stopped command leaves behind, once."""
    if not _said.is_set():
        _said.set()
        # not print: a signal may come while something else is being printed
        os.write(2, _SENTENCE.encode())


def _first(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    for one in _DEFAULTS:
        if signal.getsignal(one) is _first:
            signal.signal(one, _second)
    stopping.ask()
    _hush()
    _remind(on=True)
    if stopping.can_raise(frame):
        raise KeyboardInterrupt


def _hush() -> None:
    """Say nothing of what is cut short, up to the interpreter's end: libraries warn of it, or leave coroutines behind."""
    warnings.simplefilter("ignore")
    logging.getLogger("asyncio").disabled = True
    sys.unraisablehook = _nothing


def _nothing(unraisable: sys.UnraisableHookArgs) -> None:
    """What Python says of an exception that nobody can catch."""


def _remind(*, on: bool) -> None:
    """Send SIGALRM from time to time, or no longer; not where somebody else uses it."""
    free = signal.SIG_DFL if on else _again
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGALRM) != free:
        return
    if on:
        signal.signal(signal.SIGALRM, _again)
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_S if on else 0, _AGAIN_S if on else 0)
    if not on:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _again(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    """Raise KeyboardInterrupt where it was lost; where it is on its way up, whatever puts things in order is left alone."""
    known = sys.exc_info()[1]
    while known is not None:
        if isinstance(known, KeyboardInterrupt):
            return
        known = known.__context__
    if stopping.can_raise(frame):
        raise KeyboardInterrupt


def _second(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    if "multiprocessing" in sys.modules:
        from multiprocessing import active_children

        for child in active_children():
            child.kill()
    say_stopped()
    os._exit(Exit.STOPPED)
