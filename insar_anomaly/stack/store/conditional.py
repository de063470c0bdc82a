"""Whether a bucket takes conditional writes: without them one of two commits at the same moment is lost without a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from insar_anomaly.errors import StoreFailed

if TYPE_CHECKING:
    import s3fs

_REFUSED = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
"""Codes with which a bucket refuses a conditional write, as it should."""
_UNKNOWN = ("NotImplemented", "InvalidArgument", "InvalidRequest", "501", "400")
"""Codes of servers that do not know conditional writes."""

INSTEAD = (
    "of two runs that commit to one stack at the same time, one would be lost without a word. Name a folder in `store`, on "
    "a disk that every worker mounts (commits to a folder are locked), or a bucket of a service with conditional writes "
    "(If-None-Match and If-Match), such as Amazon S3 or MinIO; sources may stay where they are"
)
"""What is at stake, and what to use where a bucket takes no conditional writes."""


def insist_on_conditions(system: s3fs.S3FileSystem, bucket: str, key: str, *, url: str) -> None:
    """Write one small object under conditions that hold and that do not. It stays there.

    Raises StoreFailed where the bucket ignores the conditions, or does not know them; other errors pass through.
    """
    where = {"Bucket": bucket, "Key": key}
    try:
        first = system.call_s3("put_object", **where, Body=b"first", IfNoneMatch="*")
        taken = [
            name
            for name, condition in (("If-None-Match", {"IfNoneMatch": "*"}), ("If-Match", {"IfMatch": _other(first)}))
            if _written(system, where | condition)
        ]
    except Exception as problem:
        if _code(problem) not in _UNKNOWN:
            raise
        raise StoreFailed(
            f"store {url}: the object storage knows no conditional writes ({_code(problem)}): {INSTEAD}"
        ) from problem
    if taken:
        raise StoreFailed(f"store {url}: the object storage ignores conditional writes ({', '.join(taken)}): {INSTEAD}")


def _written(system: s3fs.S3FileSystem, where: Mapping[str, Any]) -> bool:
    """True where a write went through whose condition does not hold."""
    try:
        system.call_s3("put_object", **where, Body=b"second")
    except Exception as problem:
        if _code(problem) in _REFUSED:
            return False
        raise
    return True


def _other(answer: Mapping[str, Any]) -> str:
    """A tag that an object with this answer does not have."""
    return '"' + "0" * 32 + '"' if "1" in str(answer.get("ETag", "1")) else '"' + "1" * 32 + '"'


def _code(problem: Exception) -> str:
    """The code of an S3 error, also where s3fs has turned it into one of the operating system."""
    for one in (problem, problem.__cause__):
        answer = getattr(one, "response", None)
        if isinstance(answer, dict):
            return str(answer.get("Error", {}).get("Code", ""))
    return ""
