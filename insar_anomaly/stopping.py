"""Whether this process has been asked to stop, for code in which the exception of a signal would be lost.

Python raises KeyboardInterrupt in whatever the main thread runs. In a function that a C library calls (GDAL reads files
through one, and logs through another) the exception is dropped, or ends the process without order. There nothing is raised:
the request is kept here, and heeded as soon as the library has returned.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_asked = threading.Event()
_from_c: set[CodeType] = set()
_LOGGING = logging.__file__


def ask() -> None:
    """Ask this process to stop."""
    _asked.set()


def forget() -> None:
    """Take the request back."""
    _asked.clear()


def asked() -> bool:
    """True where the process is to stop: what fails from now on says nothing of a file or a pair."""
    return _asked.is_set()


def insist() -> None:
    """Raise KeyboardInterrupt where the process is to stop."""
    if _asked.is_set():
        raise KeyboardInterrupt


def called_from_c(function: Function) -> Function:
    """Mark a function that a C library calls: nothing is raised in its own lines.

    What it calls may be interrupted: it has to catch BaseException around such calls.
    """
    _from_c.add(function.__code__)
    return function


def can_raise(frame: FrameType | None) -> bool:
    """True where an exception that is raised in this frame is not lost: in no marked function, and not under logging."""
    if frame is not None and frame.f_code in _from_c:
        return False
    while frame is not None:
        if frame.f_code.co_filename == _LOGGING:
            return False
        frame = frame.f_back
    return True
