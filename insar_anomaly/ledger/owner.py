"""Who holds a lease: the process, so exactly that another one on the same machine can tell whether it still lives."""

from __future__ import annotations

import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Self

_LONGEST = 2000
"""Characters of a stored owner that are looked at: ours have some hundred."""


@dataclass(frozen=True)
class Owner:
    """A process that works for a run, and one piece of its work.

    `boot` names the start of its machine, `space` the set of processes in which `pid` has a meaning (containers have their
    own), `started` when the process began, in the kernel's ticks; all empty where the system does not tell. `work` tells two
    pieces of work of one process apart. `what` is for people.
    """

    host: str
    boot: str
    space: str
    pid: int
    started: str
    work: str
    what: str

    @classmethod
    def here(cls, what: str) -> Owner:
        """This process, for a new piece of work."""
        return replace(_this_process(os.getpid()), work=uuid.uuid4().hex, what=what)

    @property
    def text(self) -> str:
        """The stored form, JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def words(self) -> str:
        """The same for people."""
        return f"{self.what}, process {self.pid} on {self.host}"

    @classmethod
    def read(cls, text: object) -> Self | None:
        """From the stored form; None where it is something else."""
        try:
            content = json.loads(str(text)[:_LONGEST])
            return cls(**{**content, "pid": int(content["pid"])})
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            return None

    def dead(self, *, one_machine: bool) -> bool:
        """True where this process certainly does not run any more; False also where that cannot be known from here.

        `one_machine` says that all owners run on this machine: then one of an earlier start of it is dead.
        """
        here = _this_process(os.getpid())
        if self.boot and here.boot and self.boot != here.boot:
            return one_machine
        if (self.host, self.boot, self.space) != (here.host, here.boot, here.space):
            return False
        return _started(self.pid) != self.started


@cache
def _this_process(pid: int) -> Owner:  # by number, so that a forked process does not take itself for its parent
    return Owner(
        host=socket.gethostname(),
        boot=_text("/proc/sys/kernel/random/boot_id"),
        space=_link("/proc/self/ns/pid"),
        pid=pid,
        started=_started(pid),
        work="",
        what="",
    )


def _started(pid: int) -> str:
    """When a process began, in the kernel's ticks since the start of the machine; ``gone`` where there is none.

    One that has ended and was not waited for is gone too.
    """
    if not Path("/proc/self/stat").exists():  # not Linux: that it is there is all that can be known
        return "" if _exists(pid) else "gone"
    # the second field, the name in brackets, may hold anything
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return "gone" if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return str(Path(path).readlink())
    except OSError:
        return ""
