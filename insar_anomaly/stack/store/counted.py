"""The store's arrays as Zarr sees them, with every chunk that is read or written counted. See `insar_anomaly.traffic`."""

from __future__ import annotations

from typing import Any

import icechunk
from zarr.storage import WrapperStore

from insar_anomaly.traffic import count

_INLINE = 512
"""Bytes from which Icechunk keeps a chunk as an object of its own; a smaller one stands in the manifest."""


class Counted(WrapperStore[icechunk.IcechunkStore]):
    """An Icechunk store whose chunks are counted on their way, as they are stored: compressed."""

    @property
    def supports_consolidated_metadata(self) -> bool:
        """As the store that it wraps: no."""
        return self._store.supports_consolidated_metadata

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """A chunk, or metadata."""
        value = await super().get(key, prototype, byte_range)
        if value is not None and _is_chunk(key):
            count(requests=len(value) >= _INLINE, read=len(value))
        return value

    async def set(self, key: str, value: Any) -> None:
        """Store a chunk, or metadata."""
        await super().set(key, value)
        if _is_chunk(key):
            count(requests=len(value) >= _INLINE, written=len(value))


def counted(session: icechunk.Session) -> Counted:
    """The arrays of a session."""
    return Counted(session.store)


def commit(session: icechunk.Session, words: str, *, metadata: dict[str, Any] | None = None) -> str:
    """Commit what the session has written; returns the snapshot's id."""
    identity = session.commit(words, metadata)
    count(commits=1)
    return str(identity)


def _is_chunk(key: str) -> bool:
    return not key.endswith("zarr.json")
