"""Files of a plain folder: which of them a pattern means, and what to say where it means none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from insar_anomaly.errors import WrongFolder
from insar_anomaly.files.pattern import Matched, Pattern
from insar_anomaly.names import Pair
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.looks_like import layout_in, misfit

_ENDS = (".tif", ".tiff")


def below_root(archive: Archive, path: str) -> str:
    """A path of the file system as patterns have it: below the source's URL."""
    return path[len(archive.root) :].lstrip("/")


def matched_files(archive: Archive, pattern: Pattern) -> tuple[list[tuple[Entry, Matched]], list[str]]:
    """Files that fit a pattern, by path, each with what its path says; and what could not be listed, in words.

    Raises
    ------
    SourceUnavailable
        where the folder cannot be listed.
    """
    found = archive.below(f"{archive.root}/{pattern.folder}".rstrip("/"), levels=pattern.levels)
    unlisted, out = list(found.unlisted), []
    for entry in sorted(found.files, key=lambda one: one.path):
        try:
            matched = pattern.match(below_root(archive, entry.path))
        except ValueError as problem:
            unlisted.append(f"{archive.uri(entry.path)}: {problem}; rename or remove it")
            continue
        if matched and matched.reference.date() == matched.secondary.date():
            unlisted.append(f"{archive.uri(entry.path)}: both dates are the same; rename or remove it")
        elif matched:
            out.append((entry, matched))
    return out, unlisted


def insist(archive: Archive, pattern: Pattern, unlisted: Sequence[str]) -> None:
    """Raise WrongFolder where no file fits the pattern of any frame, and none may that cannot be listed."""
    if unlisted:
        return
    found = layout_in(archive, archive.root)
    if found and found[0] != "folder":
        raise WrongFolder(f'{misfit(archive, "folder", what="file")}, or correct pattern = "{pattern.text}"')
    files = archive.below(archive.root, levels=4).files
    held = [below_root(archive, one.path) for one in files if one.name.endswith(_ENDS)]
    if not held:
        raise WrongFolder(misfit(archive, "folder", what=f'file with a path like "{pattern.text}"'))
    there = f"it holds, for example, {held[0]}"
    raise WrongFolder(f'no file of {archive.url} has a path like "{pattern.text}": {there}; correct pattern in [[source]]')


def nothing(archive: Archive, frame: str, pattern: Pattern, frames: Sequence[str]) -> str:
    """What is to say where no file of a frame fits its pattern; `frames` are those that have files."""
    there = f"which holds {', '.join(frames[:5])}" if frames else f'of which no file has a path like "{pattern.text}"'
    return f"frame {frame} is not in {archive.url}, {there}; correct the frame in the catalogue, or pattern in [[source]]"


def pair_of(matched: Matched) -> str:
    """The name of the pair, whatever the order of its dates in the path."""
    first, last = sorted((matched.reference.date(), matched.secondary.date()))
    return Pair(first, last).name


def looks_like(names: Iterable[str]) -> bool:
    """True where names of a folder's entries could be told by a pattern: GeoTIFFs with two dates in their names."""
    dated = Pattern("*{reference}*{secondary}*")
    return any(name.endswith(_ENDS) and _dated(dated, name) for name in names)


def _dated(pattern: Pattern, name: str) -> bool:
    try:
        return pattern.match(name) is not None
    except ValueError:
        return False
