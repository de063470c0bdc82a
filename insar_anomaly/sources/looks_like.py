"""A folder that is not in the layout of its [[source]]: which layout it looks like, and the line to write.

Each kind says itself what its layout looks like (`base.Registration.looks_like`); it is imported when that is asked. Every
reader that finds nothing of its own asks here what there is instead: `misfit`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import PurePosixPath

from insar_anomaly.errors import PluginFailed
from insar_anomaly.names import direction
from insar_anomaly.registry import SOURCES
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.base import Registration

Named = Sequence[tuple[str, bool]]
"""What a folder holds: name, and True for a folder."""

_LEVELS, _TRIED = 3, 3
"""How deep a folder is looked into, and how many of its folders are."""

_PRODUCTS = {".zip": "zipped products", ".nc": "NetCDF products", ".h5": "HDF5 products", ".he5": "HDF5 products"}


def layout_of(names: Sequence[str], *, but: str = "") -> str | None:
    """The kind of source whose layout a folder's entries look like; None where it is none that is known.

    Parameters
    ----------
    but : a kind that is not asked
    """
    for kind in SOURCES.kinds:
        with suppress(PluginFailed, ImportError):
            ask = None if kind == but else SOURCES.load(kind, Registration).looks_like
            if ask and names and ask(names):
                return kind
    return None


def layout_in(archive: Archive, folder: str, *, levels: int = _LEVELS) -> tuple[str, str] | None:
    """The kind of source that a folder's content looks like, and the folder that shows it; None where none does.

    What lies deepest is believed: folders with the names of frames may hold any layout.
    """
    entries = archive.entries(folder)
    inner = [one.path for one in entries if one.is_folder]
    for path in inner[:_TRIED] if levels > 1 else ():
        if found := layout_in(archive, path, levels=levels - 1):
            return found
    kind = layout_of([one.name for one in entries])
    return (kind, folder) if kind else None


def misfit(archive: Archive, kind: str, *, what: str, folder: str | None = None) -> str:
    """What is to say where a reader finds nothing of its own layout: the layout that it looks like, or what is there.

    Parameters
    ----------
    kind : the layout that is configured
    what : what the reader looks for, in words
    folder : where it looks; None: at the archive's URL

    Raises
    ------
    SourceUnavailable
        where there is no such folder.
    """
    place = folder or archive.root
    url = archive.uri(place) if folder else archive.url
    entries = archive.entries(place)
    found, where = layout_in(archive, place) or ("", "")
    if found and found != kind:
        return f'{url} is not in the layout {kind}; it looks like {found}: write kind = "{found}" in its [[source]]'
    if found and where != place:
        return (
            f"{url} holds no {what} where the layout {kind} has it, but {archive.uri(where)} does; correct url in [[source]]"
        )
    named = [(one.name, one.is_folder) for one in entries]
    return f"{url} {_held(named)}, and no {what} as in the layout {kind}; {_remedy(named)}"


def another(archive: Archive, kind: str, entries: Sequence[Entry]) -> str | None:
    """What is wrong where folders are the frames, and a URL does not hold the layout of its kind; None where it may.

    Parameters
    ----------
    kind : the layout that is configured
    entries : what the URL holds
    """
    folders = [one.name for one in entries if one.is_folder]
    if any(map(direction, folders)):
        return None
    found = layout_in(archive, archive.root)
    if folders and (found is None or found[0] == kind):
        return None
    return misfit(archive, kind, what="folder of a frame")


def no_frame(archive: Archive, kind: str, home: str, expected: Collection[str]) -> str | None:
    """What is wrong where a frame's folder holds none of the folders that its kind expects; None where it holds one."""
    if any(one.name in expected for one in archive.entries(home)):
        return None
    return misfit(archive, kind, what=f"folder {' or '.join(expected)}", folder=home)


def _held(entries: Named) -> str:
    """What a folder holds, in words."""
    if not entries:
        return "is empty"
    endings = Counter(PurePosixPath(name).suffix for name, is_folder in entries if not is_folder)
    for ending, words in _PRODUCTS.items():
        if count := endings[ending]:
            first = next(name for name, _ in entries if name.endswith(ending))
            return f"holds {words} ({count} of {ending}, first {first})"
    return f"holds {', '.join(sorted(name for name, _ in entries)[:3])}"


def _remedy(entries: Named) -> str:
    if not entries:
        return "correct url in [[source]], or wait for data; if it held data before, see that its disk is mounted"
    others = ", ".join(SOURCES.kinds)
    return f"correct url or kind in [[source]] (kinds: {others})"
