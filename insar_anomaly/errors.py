"""What can go wrong, grouped by what the caller does about it.

::

    InsarAnomalyError
    |-- UsageError            the user mends the command or a file: exit code 2
    |   |-- ConfigError
    |   |-- CatalogueError
    |   |-- PluginFailed
    |   `-- Lost              the ledger or the store is gone, and the other is there
    |-- StackFailed           this stack stops, the night goes on, exit code 1
    |   |-- NotInFrame
    |   |-- MissingLayer
    |   |   `-- HeightUnusable  a stack that is not built yet is built without height
    |   |-- NotFitted
    |   `-- StoreFailed
    |-- SourceUnavailable     try again later; nothing was lost, exit code 1
    |   `-- WrongFolder       the URL is not the folder of the frames
    |-- NotNow                this file cannot be read now: its pair is named and tried again, the others go on
    |-- WorkersFailed         worker processes do not start; nothing was lost, exit code 1
    |-- Busy                  another run holds the ledger: exit code 1
    `-- PairRejected          this pair gets a numbered verdict, the stack goes on
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Verdict(IntEnum):
    """Numbered reasons why a pair has, or has no, score. Numbers are stored: never reuse one."""

    OK = 0
    BAD_NAME = 10
    DUPLICATE = 11
    UNREADABLE = 20
    WRONG_CRS = 21
    ROTATED = 22
    WRONG_GRID = 23
    MISSING_PHASE = 24
    MISSING_COHERENCE = 25
    WRONG_WAVELENGTH = 26
    WRONG_NUMBERS = 27
    NO_DATA = 30
    TOO_FEW_VALID = 31
    LOW_COHERENCE = 32
    CONSTANT = 33
    WITHDRAWN = 40
    IN_FIT = 60
    NOT_CALIBRATED = 61
    NOT_SCORABLE = 62

    @property
    def words(self) -> str:
        """The reason in a few words, as tables and notices print it."""
        return _WORDS[self]


_WORDS = {
    Verdict.OK: "ok",
    Verdict.BAD_NAME: "pair name is not two dates, YYYYMMDD_YYYYMMDD",
    Verdict.DUPLICATE: "the same pair is listed twice; the first place was used",
    Verdict.UNREADABLE: "file cannot be read",
    Verdict.WRONG_CRS: "file is not in geographic coordinates (EPSG:4326)",
    Verdict.ROTATED: "grid is rotated or sheared",
    Verdict.WRONG_GRID: "grid does not contain the stack's grid",
    Verdict.MISSING_PHASE: "unwrapped phase file is missing",
    Verdict.MISSING_COHERENCE: "coherence file is missing",
    Verdict.WRONG_WAVELENGTH: "wavelength is not that of the stack",
    Verdict.WRONG_NUMBERS: "numbers are not what the layer should hold",
    Verdict.NO_DATA: "no valid pixel in the volcano's box",
    Verdict.TOO_FEW_VALID: "too few valid pixels in the volcano's box",
    Verdict.LOW_COHERENCE: "mean coherence is too low",
    Verdict.CONSTANT: "phase is one constant value",
    Verdict.WITHDRAWN: "the source has withdrawn it",
    Verdict.IN_FIT: "used in the fit, not screened",
    Verdict.NOT_CALIBRATED: "scored, but the stack has no threshold: never flagged",
    Verdict.NOT_SCORABLE: "no patch of this pair lies on fitted ground",
}


class InsarAnomalyError(Exception):
    """Base of every error this package raises on purpose. Its text names the file, the value and the remedy."""


class UsageError(InsarAnomalyError):
    """A mistake in a command, a setting or a catalogue; nothing was started."""


class ConfigError(UsageError):
    """A configuration file or environment variable is wrong."""


class CatalogueError(UsageError):
    """A volcano catalogue is wrong."""


class PluginFailed(UsageError):
    """A source, detector or channel of another installed package cannot be imported, or is not what it should be."""


class Lost(UsageError):
    """The ledger is there and its store is gone, or the other way round."""


class StackFailed(InsarAnomalyError):
    """One stack cannot go on; the others do."""


class NotInFrame(StackFailed):
    """The frame is not in the source, or does not cover the volcano."""


class MissingLayer(StackFailed):
    """A static layer that the settings need (height) is missing or unusable."""


class HeightUnusable(MissingLayer):
    """The file of the terrain's height is there and at fault: a stack can be built without it until it is mended."""


class NotFitted(StackFailed):
    """The stack has no fitted model, or too few quiet pairs to fit one."""


class StoreFailed(StackFailed):
    """The store could not be read or written; the last committed snapshot is intact."""


class SourceUnavailable(InsarAnomalyError):
    """The source (bucket, server, folder) cannot be reached or listed now."""


class WrongFolder(SourceUnavailable):
    """The source's URL leads into a frame, and not to the folder of the frames."""


class NotNow(InsarAnomalyError):
    """A file cannot be read now; its archive can be reached, and the pair is tried again in the next run."""


class WorkersFailed(InsarAnomalyError):
    """Worker processes could not be started on this machine."""


class Busy(InsarAnomalyError):
    """Another run holds this ledger, or another training its checkpoint."""


class PairRejected(InsarAnomalyError):
    """A pair failed a precheck.

    Parameters
    ----------
    verdict : the numbered reason
    detail : file, value and remedy in one line
    """

    def __init__(self, verdict: Verdict, detail: str) -> None:
        super().__init__(f"{int(verdict)} {verdict.words}: {detail}")
        self.verdict = verdict
        self.detail = detail

    def __reduce__(self) -> tuple[type, tuple[Verdict, str]]:
        # rejections travel back from Dask workers; the default reduce would call us with one argument
        return type(self), (self.verdict, self.detail)


_REMEDIES = {
    errno.ENOSPC: "free space on its disk",
    errno.EDQUOT: "free space in your quota",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "make its file system writable",
    errno.EACCES: "make it writable",
}


def from_storage(problem: Exception) -> bool:
    """Whether a file system or an object store raised it, rather than a mistake of this package."""
    # s3fs lets exceptions of these packages through; they share no base with OSError
    package = type(problem).__module__.split(".")[0]
    return isinstance(problem, OSError) or package in ("botocore", "aiobotocore", "aiohttp", "s3fs")


def not_written(problem: OSError) -> str | None:
    """One line with file, reason and remedy where the operating system says that a file cannot be written; else None."""
    if problem.errno not in _REMEDIES:
        return None
    place = problem.filename or "a file"
    return f"{place}: {problem.strerror}; {_REMEDIES[problem.errno]}, then run the same command again"


@contextmanager
def writing(place: object) -> Iterator[None]:
    """Name the place in an error of the operating system: one that comes while a file is written does not name it."""
    try:
        yield
    except OSError as problem:
        if problem.filename is not None or problem.errno is None:
            raise
        raise OSError(problem.errno, problem.strerror, str(place)) from problem
