"""Whether the store works: a small repository is made, committed to twice, and taken away again."""

from __future__ import annotations

import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import icechunk
import zarr

from insar_anomaly.errors import StoreFailed
from insar_anomaly.stack.store.counted import commit
from insar_anomaly.stack.store.repository import BRANCH, Place, Repositories, came_second

if TYPE_CHECKING:
    import s3fs

_KIND = "probe"


class Probing(Repositories):
    """The store, tried out."""

    def probe(self) -> str:
        """Commit to a repository of its own, then take it away; returns what was tried, in words.

        On S3 a second commit is made that begins at the same snapshot as the first. The bucket has to refuse it, as it has
        to refuse a plain object whose condition does not hold.

        Raises StoreFailed where the store cannot be written, or takes what it should refuse.
        """
        name = f"doctor-{uuid.uuid4().hex[:12]}"
        with self._explained("probe"):
            if not self.url.startswith("s3://"):
                return self._in_folder(name)
            try:
                return self._in_bucket(name)
            finally:
                with suppress(OSError):  # nothing is left there, or it was said that nothing can be deleted
                    self._system().rm(self._prefix(name), recursive=True)

    def _in_folder(self, name: str) -> str:
        folder = Path(self.url.removeprefix("file://")) / _KIND
        try:
            place = self._place(_KIND, name, create=True)
            self._commit(place, _changed(place, "first"), "probed", None)
        finally:
            shutil.rmtree(folder / name, ignore_errors=True)
            with suppress(OSError):  # another process tries the store too
                (folder / f".{name}.lock").unlink()
                folder.rmdir()
        return "a commit was made and removed; commits to a folder are locked"

    def _in_bucket(self, name: str) -> str:
        from insar_anomaly.stack.store.conditional import INSTEAD, insist_on_conditions

        system, prefix = self._system(), self._prefix(name)
        bucket, key, _ = system.split_path(f"{prefix}/object")
        insist_on_conditions(system, bucket, key, url=self.url)
        system.rm(f"{prefix}/object")  # a repository is only made where nothing is
        place = self._place(_KIND, name, create=True)
        first, second = _changed(place, "first"), _changed(place, "second")
        commit(first, "probed")
        try:
            commit(second, "probed at the same time")
        except (icechunk.ConflictError, icechunk.IcechunkError) as problem:
            if not came_second(problem):
                raise
        else:
            raise StoreFailed(f"store {self.url}: a commit went through that should have conflicted: {INSTEAD}")
        system.rm(prefix, recursive=True)
        system.invalidate_cache()
        if system.exists(prefix):
            raise StoreFailed(
                f"store {self.url}: objects can be written and not deleted, and `expire` could free no space; allow "
                f"DeleteObject, and remove {prefix}"
            )
        return "a commit was made, a second one at the same time was refused, and both were removed"

    def _prefix(self, name: str) -> str:
        return "/".join((self.url.removeprefix("s3://").strip("/"), _KIND, name))

    def _system(self) -> s3fs.S3FileSystem:
        import s3fs  # takes its time, and most stores that are opened need none

        return s3fs.S3FileSystem(
            anon=self.anonymous, endpoint_url=self.endpoint_url, client_kwargs={"region_name": self.region}
        )


def _changed(place: Place, word: str) -> icechunk.Session:
    """A session with something to commit."""
    session = place.repository.writable_session(BRANCH)
    zarr.open_group(session.store, mode="a").attrs["probed"] = word
    return session
