"""Paths and URLs in a configuration: what can be a place, what can be written to."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from insar_anomaly.files.mistakes import shown


def _place(text: str) -> str:
    """A path or URL; what was meant as a URL and is none would otherwise become a folder of that name."""
    scheme = re.match(r"(s3|gs|gcs|az|abfs|file|https?|ftp):?/*", text)
    if scheme and "://" not in text and "/" in scheme[0]:
        raise ValueError(f"{shown(text)} looks like a URL without ://; write {scheme[1]}://bucket/prefix")
    if not text.strip(". ") or text.endswith("://"):
        raise ValueError(f"{shown(text)} names no folder or bucket; write a path, file:// or s3://bucket/prefix")
    return text


def _kept(text: str) -> str:
    if "://" in _place(text) and not text.startswith(("s3://", "file://")):
        raise ValueError(f"{shown(text)} cannot be written to; the store can be a folder, file:// or s3://bucket/prefix")
    return text


def _local(folder: str) -> str:
    if "://" in folder:
        raise ValueError(f"figures are written to a local folder, not to a URL; {shown(folder)} is one")
    return folder


Place = Annotated[str, AfterValidator(_place)]
StorePlace = Annotated[str, AfterValidator(_kept)]
Local = Annotated[str, AfterValidator(_local)]
