"""Where the frames of a LiCSAR archive are: in its root, in the folders of tracks, in those of missions."""

from __future__ import annotations

import difflib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from insar_anomaly.errors import NotInFrame, WrongFolder
from insar_anomaly.sources import looks_like, misplaced
from insar_anomaly.sources.archive import Archive
from insar_anomaly.sources.licsar_layout import OF_A_FRAME, homes, is_mission, is_track

_AT_A_TIME = 8
"""Folders of tracks that are listed at the same time."""


def frames(archive: Archive) -> list[str]:
    """Names of the frames. The root, each track and each mission is listed once; no frame is.

    Raises
    ------
    SourceUnavailable
        where the URL cannot be listed.
    WrongFolder
        where it leads into a frame, or holds another layout; the text has the lines to write.
    """
    every = archive.entries(archive.root)
    named = [(one.name, one.is_folder) for one in every]
    ours = any(is_track(name) or is_mission(name) for name, is_folder in named if is_folder)
    if wrong := misplaced.too_deep(archive.url, named) or (not ours and looks_like.another(archive, "licsar", every)):
        raise WrongFolder(wrong)
    held = [one for one in every if one.is_folder]
    tracks = [one for one in held if is_track(one.name)]
    for mission in (one for one in held if is_mission(one.name)):
        tracks += [one for one in archive.entries(mission.path) if one.is_folder and is_track(one.name)]
    out = {one.name for one in held if not is_mission(one.name)}
    with ThreadPoolExecutor(_AT_A_TIME, "insar-anomaly list") as pool:
        for track, found in zip(tracks, pool.map(archive.entries, [one.path for one in tracks]), strict=True):
            inside = {one.name for one in found if one.is_folder}
            if not inside & set(OF_A_FRAME):  # else it is a frame whose name is a number
                out = (out - {track.name}) | inside
    return sorted(out)


def place_of(archive: Archive, frame: str) -> str | None:
    """The path of a frame's folder: the first place of `licsar_layout.homes` that is there; None where none is."""
    for place in homes(frame):
        if archive.exists(f"{archive.root}/{place}"):
            return f"{archive.root}/{place}"
    return None


def home(archive: Archive, frame: str) -> str:
    """The path of a frame's folder: the first place of `licsar_layout.homes` that is there.

    Raises
    ------
    NotInFrame
        where the archive has no such frame; the nearest names are given, or the URL to write.
    """
    if found := place_of(archive, frame):
        return found
    if archive.local:
        for place in homes(frame):
            if Path(f"{archive.root}/{place}").is_symlink():
                where = archive.uri(f"{archive.root}/{place}")
                raise NotInFrame(f"frame {frame}: {where} is a link to nowhere; bring back what it leads to, or remove it")
    near = difflib.get_close_matches(frame, frames(archive), n=3)
    if near:
        hint = f"did you mean {', '.join(near)}?"
    else:
        hint = misplaced.too_high(archive, frame) or "correct the frame in the catalogue, or the url in [[source]]"
    raise NotInFrame(f"frame {frame} is not in {archive.url}; {hint}")
