"""The exit codes, in one place: --help prints them, the README explains them."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from insar_anomaly.pipeline import Run


class Exit(IntEnum):
    """What a command says to the shell, to cron or to a service manager when it ends."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BLIND = 3
    STOPPED = 130
    CUT = 141

    @property
    def words(self) -> str:
        """Its meaning in a few words."""
        return _WORDS[self]

    @classmethod
    def of(cls, run: Run) -> Exit:
        """The code of a finished run: a failure counts more than a blind stack."""
        if run.failures:
            return cls.FAILED
        return cls.BLIND if run.blind else cls.OK


_WORDS = {
    Exit.OK: "all is well",
    Exit.FAILED: "a stack failed (the others were done), or the command could not run",
    Exit.USAGE: "a mistake in the command or a file, or a store or ledger that is gone; nothing was changed",
    Exit.BLIND: "done, but some stacks are blind (not fitted or not calibrated): they raise no flags",
    Exit.STOPPED: "stopped with Ctrl-C or SIGTERM; what was committed is kept, and the same command goes on from there",
    Exit.CUT: "whoever read the output closed it, as `| head` does",
}
