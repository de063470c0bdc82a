"""What a source raises that it should not, told as a source that is out of reach.

A reader raises the errors of `insar_anomaly.errors`. Anything else is a mistake in it, in a library, or a storage that
behaves as nobody thought of. It costs the stacks of that source, never the night; where it came from stands in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from insar_anomaly.errors import InsarAnomalyError, SourceUnavailable

P = ParamSpec("P")
Found = TypeVar("Found")

log = logging.getLogger(__name__)


def guarded(what: str, do: Callable[P, Found], *args: P.args, **kwargs: P.kwargs) -> Found:
    """What `do` of a source returns; its own errors pass through.

    Parameters
    ----------
    what : the source in the message, as its URL

    Raises
    ------
    SourceUnavailable
        where it raises what is none of our errors; the text names the source and the exception.
    """
    try:
        return do(*args, **kwargs)
    except InsarAnomalyError:
        raise
    except Exception as problem:
        log.exception("%s: unexpected error of a source", what)
        raise SourceUnavailable(
            f"{what}: unexpected {type(problem).__name__} ({problem}); check url in [[source]], and report it with the log "
            "where url is right"
        ) from problem
