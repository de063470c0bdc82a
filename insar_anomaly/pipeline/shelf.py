"""Where a site lies: a local folder or a bucket. Every file is replaced whole: a reader sees the old one or the new one."""

from __future__ import annotations

import mimetypes
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import fsspec

from insar_anomaly.errors import StoreFailed, UsageError
from insar_anomaly.files.whole import write_whole
from insar_anomaly.sources.base import StorageOptions


class Shelf(Protocol):
    """Files by name, as ``v/221080.html``. Every method raises StoreFailed, which names the place, where it fails."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is no such file."""
        ...

    def names(self) -> set[str]:
        """Every file that lies here."""
        ...

    def write(self, files: Mapping[str, bytes]) -> None:
        """Replace these files, each whole."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; those that are not there are no mistake."""
        ...


def shelf_of(place: str, options: StorageOptions) -> Shelf:
    """The shelf at a folder, or at ``s3://bucket/prefix``. Raises UsageError where the place is neither."""
    if "://" in place and not place.startswith(("s3://", "file://")):
        raise UsageError(f"{place}: a site is written into a folder or s3://bucket/prefix; name one of them")
    if place.startswith("s3://"):
        return _Bucket(place.removeprefix("s3://").rstrip("/"), fsspec.filesystem("s3", **options))
    folder = Path(place.removeprefix("file://"))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{place} is no folder; name a folder for the site")
    return _Folder(folder)


@dataclass(frozen=True)
class _Folder:
    root: Path

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise StoreFailed(f"{self.root / name}: {problem.strerror}; make it readable") from None

    def names(self) -> set[str]:
        return {file.relative_to(self.root).as_posix() for file in self.root.rglob("*") if file.is_file()}

    def write(self, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            try:
                write_whole(self.root / name, content)
            except OSError as problem:
                raise StoreFailed(f"{self.root / name}: {problem.strerror}; name a folder that can be written") from None

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                (self.root / name).unlink(missing_ok=True)
                with suppress(OSError):  # it holds something else
                    (self.root / name).parent.rmdir()
            except OSError as problem:
                raise StoreFailed(f"{self.root / name}: {problem.strerror}; make its folder writable") from None


@dataclass(frozen=True)
class _Bucket:
    root: str
    system: Any

    def read(self, name: str) -> bytes | None:
        try:
            self.system.invalidate_cache()
            found: bytes = self.system.cat_file(f"{self.root}/{name}")
        except FileNotFoundError:
            return None
        except Exception as problem:
            raise self._failed(problem) from problem
        return found

    def names(self) -> set[str]:
        try:
            return {name.removeprefix(f"{self.root}/") for name in self.system.find(self.root)}
        except FileNotFoundError:
            return set()
        except Exception as problem:
            raise self._failed(problem) from problem

    def write(self, files: Mapping[str, bytes]) -> None:
        by_kind: dict[str, dict[str, bytes]] = defaultdict(dict)
        for name, content in files.items():
            kind = _KINDS.get(Path(name).suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
            by_kind[kind][f"{self.root}/{name}"] = content
        try:
            for kind, some in by_kind.items():
                self.system.pipe(some, ContentType=kind)
        except Exception as problem:
            raise self._failed(problem) from problem

    def remove(self, names: Iterable[str]) -> None:
        try:
            for name in names:
                with suppress(FileNotFoundError):
                    self.system.rm_file(f"{self.root}/{name}")
        except Exception as problem:
            raise self._failed(problem) from problem

    def _failed(self, problem: Exception) -> StoreFailed:
        words = " ".join(str(problem).split()) or type(problem).__name__
        return StoreFailed(f"s3://{self.root}: {words}; check the bucket, [storage] and the credentials")


_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".geojson": "application/geo+json",
    ".tif": "image/tiff",
    ".nc": "application/x-netcdf",
}
