"""A source's URL that is not the folder of the frames in LiCSAR's layout: what it is, and the URL to write.

People copy the path of one frame, or of the interferograms in it, or of the folder above the archive.
"""

from __future__ import annotations

from collections.abc import Sequence

from insar_anomaly.names import Pair, direction
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.licsar_layout import OF_A_FRAME, homes, is_mission, is_track


def too_deep(url: str, entries: Sequence[tuple[str, bool]]) -> str | None:
    """What is wrong where a URL leads into a frame; None where it may be the folder of the frames.

    Parameters
    ----------
    entries : what it holds: name, and True for a folder
    """
    folders = [name for name, is_folder in entries if is_folder]
    files = [name for name, is_folder in entries if not is_folder]
    if any(direction(name) or is_track(name) or is_mission(name) for name in folders):  # some frames are here
        return None
    if found := [name for name in OF_A_FRAME if name in folders]:
        return _advice(url, 1, f"is a frame's own folder (it holds {found[0]})")
    if folders and all(map(Pair.parse, folders)):
        return _advice(url, 2, "is a folder of interferograms inside a frame")
    ends = [name for name in files if name.endswith(".tif") and ".geo." in f".{name}"]
    if ends and not folders:
        above = url.rstrip("/").rsplit("/", 1)[-1]
        return _advice(url, 3 if Pair.parse(above) else 2, f"is a folder of files inside a frame (it holds {ends[0]})")
    return None


def too_high(archive: Archive, frame: str) -> str | None:
    """What is wrong where a frame lies one folder deeper than the archive's URL says; None where it does not."""
    url = archive.url.rstrip("/")
    for entry in archive.entries(archive.root):
        known = is_track(entry.name) or is_mission(entry.name) or direction(entry.name)
        if not entry.is_folder or known:
            continue
        for place in homes(frame):
            if archive.exists(f"{entry.path}/{place}"):
                return f'it is in {url}/{entry.name}: write url = "{url}/{entry.name}" in [[source]]'
    return None


def _advice(url: str, levels: int, what: str) -> str:
    right = "/".join(url.rstrip("/").split("/")[:-levels])
    return f'{url} {what}; write the folder of the frames in [[source]]: url = "{right or "/"}"'
