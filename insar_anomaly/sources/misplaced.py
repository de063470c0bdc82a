"""A source's URL that is not the folder of the frames in LiCSAR's layout: what it is, and the URL to write.

People copy the path of one frame, or of the interferograms in it, or of the folder above the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from insar_anomaly.names import Pair, direction

FOLDERS = ("interferograms", "GEOC")
"""Folders of a frame that hold its pairs."""
_OF_A_FRAME = (*FOLDERS, "metadata")


def too_deep(url: str, entries: Sequence[tuple[str, bool]]) -> str | None:
    """What is wrong where a URL leads into a frame; None where it may be the folder of the frames.

    Parameters
    ----------
    entries : what it holds: name, and True for a folder
    """
    folders = [name for name, is_folder in entries if is_folder]
    files = [name for name, is_folder in entries if not is_folder]
    if any(map(direction, folders)):  # some frames are here, whatever else is
        return None
    if found := [name for name in _OF_A_FRAME if name in folders]:
        return _advice(url, 1, f"is a frame's own folder (it holds {found[0]})")
    if folders and all(map(Pair.parse, folders)):
        return _advice(url, 2, "is a folder of interferograms inside a frame")
    ends = [name for name in files if name.endswith(".tif") and ".geo." in f".{name}"]
    if ends and not folders:
        above = url.rstrip("/").rsplit("/", 1)[-1]
        return _advice(url, 3 if Pair.parse(above) else 2, f"is a folder of files inside a frame (it holds {ends[0]})")
    return None


def too_high(system: Any, root: str, url: str, frame: str) -> str | None:
    """What is wrong where a frame lies one folder deeper than the URL says; None where it does not.

    Parameters
    ----------
    system, root : the fsspec file system and the URL's path on it
    """
    for entry in system.ls(root, detail=True):
        name = entry["name"].rstrip("/").rsplit("/", 1)[-1]
        if entry["type"] == "directory" and direction(name) is None and system.isdir(f"{root}/{name}/{frame}"):
            return f'it is in {url.rstrip("/")}/{name}: write url = "{url.rstrip("/")}/{name}" in [[source]]'
    return None


def _advice(url: str, levels: int, what: str) -> str:
    right = "/".join(url.rstrip("/").split("/")[:-levels])
    return f'{url} {what}; write the folder of the frames in [[source]]: url = "{right or "/"}"'
