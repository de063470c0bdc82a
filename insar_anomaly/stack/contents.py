"""What a store holds, from one cheap look: which of its three kinds are there. No storage library is needed for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from insar_anomaly.errors import from_storage

KINDS = ("stacks", "models", "scores")


def kinds_held(url: str, options: Mapping[str, object]) -> frozenset[str] | None:
    """Those of `KINDS` of which a store has any file; None where it cannot be reached now.

    Folders without a file do not count: looking for a stack makes its folder. On S3 it is one listing that waits for seconds
    only: where the bucket is out of reach, the stages say so in their own words.

    Parameters
    ----------
    options : fsspec options for ``s3://``
    """
    if url.startswith("s3://"):
        return _in_bucket(url, options)
    folder = Path(url.removeprefix("file://"))
    return frozenset(kind for kind in KINDS if _any_file(folder / kind))


def _any_file(folder: Path) -> bool:
    return any(files for _, _, files in os.walk(folder))


def _in_bucket(url: str, options: Mapping[str, object]) -> frozenset[str] | None:
    import fsspec

    quick = {"connect_timeout": 5, "read_timeout": 10, "retries": {"max_attempts": 1}}
    try:
        system, root = fsspec.core.url_to_fs(url, **{**options, "config_kwargs": quick})
        system.invalidate_cache(root)
        names = {PurePosixPath(str(path)).name for path in system.ls(root, detail=False)}
    except FileNotFoundError:
        return frozenset()
    except Exception as problem:
        if not from_storage(problem):
            raise
        return None
    return frozenset(names & set(KINDS))
