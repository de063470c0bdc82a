"""Notices as files in a folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field

from insar_anomaly.config.channel import ChannelSettings, Folder
from insar_anomaly.errors import ConfigError
from insar_anomaly.notify.message import Message, NotDelivered, Registration, as_json, plain


class FilesSettings(ChannelSettings):
    """Notices as JSON and PNG files in a folder."""

    folder: Folder = Field(description="folder of the notices")


@dataclass(frozen=True)
class Files:
    """Writes `<folder>/<key>.json` and, where there is a figure, `.png`. The folder is a local path or a `file://` URL.

    Raises ConfigError for any other URL.
    """

    folder_url: str
    name: str = "files"

    def __post_init__(self) -> None:
        if re.match(r"file:|\w+://", self.folder_url) and not self.folder_url.startswith("file:///"):
            raise ConfigError(f"notice folder {self.folder_url}: only local paths and file:/// URLs can be written")

    @property
    def folder(self) -> Path:
        """The folder as a local path."""
        local = self.folder_url.startswith("file:///")
        return Path(unquote(urlsplit(self.folder_url).path) if local else self.folder_url)

    def deliver(self, message: Message) -> None:
        """Write the files, each whole or not at all; the JSON comes last, so that who sees it finds the figure too."""
        figure = f"{message.file_stem}.png" if message.figure is not None else None
        content = plain(message) | {"figure": figure}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if figure and message.figure is not None:
                _write(self.folder / figure, message.figure)
            _write(self.folder / f"{message.file_stem}.json", as_json(content, indent=2))
        except OSError as err:
            raise NotDelivered(f"notice {message.key}: cannot write {self.folder}: {err}; mend the folder") from err


def _write(path: Path, content: bytes) -> None:
    """Replace the file whole, and only where it differs; it is on the disk when this returns."""
    if path.is_file() and path.read_bytes() == content:
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(settings: FilesSettings, name: str, contacts: Sequence[str]) -> Files:  # noqa: ARG001
    return Files(settings.folder, name=name)


REGISTRATION = Registration(FilesSettings, _open)
