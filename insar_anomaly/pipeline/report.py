"""Bring the screening report up to date: write what has changed, files before the pages that show them, pages whole."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from insar_anomaly import catalogue
from insar_anomaly.errors import InsarAnomalyError, Lost, UsageError
from insar_anomaly.ledger.presence import parted
from insar_anomaly.names import JsonObject
from insar_anomaly.pipeline.installation import Installation, storage_options
from insar_anomaly.pipeline.overview import Overview
from insar_anomaly.pipeline.run import Run
from insar_anomaly.pipeline.sheets import Files
from insar_anomaly.pipeline.shelf import Shelf, shelf_of
from insar_anomaly.pipeline.views import volcano_view
from insar_anomaly.report.digest import Digest
from insar_anomaly.report.site import front_page, furniture, model_page, volcano_page

log = logging.getLogger(__name__)

MANIFEST = "manifest.json"
FRONT = "index.html"
GENERATOR = b'name="generator" content="insar-anomaly"'
"""What every page of ours has in its head."""
VERSION = 1
_AT_ONCE = 50
"""Volcanoes whose files are held in memory before they are written."""


@dataclass(frozen=True)
class Written:
    """What became of a report: volcanoes whose pages were written, those that were as they are, and what failed."""

    place: str
    written: tuple[int, ...]
    unchanged: int
    files: int
    failed: tuple[tuple[int, str], ...] = ()


@dataclass
class Manifest:
    """What lies at a site: for each volcano the mark of its pages and its files; and files of before that may go next time.

    A page that somebody has open still shows files of the version before: these stay until the report after.
    """

    marks: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    owner: str | None = None
    """The ledger whose site it is."""

    @classmethod
    def read(cls, shelf: Shelf) -> Manifest:
        """That of the site; an empty one where there is none, or none that this version knows."""
        text = shelf.read(MANIFEST)
        try:
            content: JsonObject = json.loads(text) if text else {}
        except ValueError:
            content = {}
        if content.get("version") != VERSION:
            return cls()
        return cls(content["marks"], content["files"], content["left"], content.get("owner"))

    @property
    def text(self) -> bytes:
        """The stored form."""
        content = {"version": VERSION, "owner": self.owner, "marks": self.marks, "files": self.files, "left": self.left}
        return json.dumps(content, indent=0, sort_keys=True).encode()

    @property
    def all_files(self) -> set[str]:
        """Every file of the volcanoes."""
        return {name for some in self.files.values() for name in some}


def write_report(
    s: Installation, place: str, *, night: Digest | None = None, again: bool = False, only: Collection[int] = ()
) -> Written:
    """Write the site at a folder or ``s3://bucket/prefix``.

    Parameters
    ----------
    night : the digest of the night; None reads the newest one
    again : write the pages of all volcanoes, also of those that have not changed
    only : volcanoes whose pages may be written; empty: all. The front page has all

    Raises
    ------
    UsageError
        where something lies at the place that this installation has not written; `again` takes over the site of another one.
    StoreFailed
        where the place cannot be written, or the ledger cannot be read. A volcano that cannot be shown stops no other.
    Lost
        where the store is gone: its pages would have no maps, and those that are there stay.
    """
    if (gone := parted(s.ledger, s.held, s.config.store)) and not gone.harmless:
        raise Lost(gone.words)
    whole = s.narrowed(_catalogue(s))
    shelf, overview = shelf_of(place, storage_options(s.config.storage)), Overview.of(whole, night)
    old, new = _ours(s, shelf, place, again=again), Manifest(owner=s.ledger.name)
    site = _Site(overview, shelf, old, new, s.watch, frozenset(shelf.names()))
    site.start()
    site.volcanoes(again=again, only=only)
    site.finish()
    return Written(place, tuple(site.written), len(new.marks) - len(site.written), site.count, tuple(site.failed))


def _ours(s: Installation, shelf: Shelf, place: str, *, again: bool) -> Manifest:
    """What this installation has written at the place before; refuses a place where something else lies."""
    if not place.startswith("s3://") and "://" not in s.config.store:
        folder, store = Path(place.removeprefix("file://")).resolve(), Path(s.config.store).resolve()
        if folder.is_relative_to(store) or store.is_relative_to(folder):
            raise UsageError(f"{place} is in the store {s.config.store}, or holds it; name another folder for the site")
    manifest, front = Manifest.read(shelf), shelf.read(FRONT)
    if (GENERATOR not in front) if front is not None else (manifest.owner is None and shelf.read(MANIFEST) is not None):
        raise UsageError(f"{place} holds files that this program has not written; name an empty folder for the site")
    if manifest.owner not in (None, s.ledger.name) and not again:
        raise UsageError(
            f"{place} is the site of another installation, of the ledger {manifest.owner}; name another folder, or take it "
            f"over with `insar-anomaly report {place} --again`"
        )
    return manifest


def report_of_night(s: Installation, run: Run, digest: Digest) -> None:
    """The step of a night, where [report] out names a place. What fails here fails the run."""
    if s.config.report.out is None or run.dry:
        return
    try:
        with run.meter.stage("report"):
            done = write_report(s, s.config.report.out, night=digest)
    except InsarAnomalyError as problem:
        run.fail("every stack", "report", f"[report] out: {problem}")
        return
    for gvp, words in done.failed:
        run.fail(str(gvp), "report", words)


@dataclass
class _Site:
    """The writing of one report."""

    overview: Overview
    shelf: Shelf
    old: Manifest
    new: Manifest
    watch: Callable[..., None]
    there: frozenset[str]
    written: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    count: int = 0

    def start(self) -> None:
        """Styles and scripts come first: their names are new where their content is."""
        self._write(dict(furniture()))

    def volcanoes(self, *, again: bool, only: Collection[int]) -> None:
        """The pages of each volcano that has changed, in batches: their files, then they themselves."""
        files: dict[str, bytes] = {}
        pages: dict[str, bytes] = {}
        every = self.overview.s.volcanoes
        for number, volcano in enumerate(every, 1):
            key, mark = str(volcano.gvp), self.overview.mark_of(volcano)
            mine = Files(volcano.gvp)
            same = self.old.marks.get(key) == mark and not again and self.there.issuperset(self.old.files[key])
            if same or (only and volcano.gvp not in only):
                self._keep(key)
                continue
            try:
                shown = volcano_view(self.overview, volcano, mine)
                pages |= {f"v/{key}.html": volcano_page(shown), f"v/{key}-model.html": model_page(shown)}
            except (InsarAnomalyError, LookupError, ValueError) as problem:
                log.exception("the page of %s", key)
                self.failed.append((volcano.gvp, f"its page cannot be made, the one of before stays: {problem}"))
                self._keep(key, marked=False)
                continue
            files |= mine.content
            self.new.marks[key] = mark
            self.new.files[key] = sorted([*mine.content, f"v/{key}.html", f"v/{key}-model.html"])
            self.written.append(volcano.gvp)
            if len(self.written) % _AT_ONCE == 0:
                self._put(files, pages, again=again)
                files, pages = {}, {}
            self.watch("report", number, len(every), volcano.name)
        self._put(files, pages, again=again)

    def finish(self) -> None:
        """The front page, the manifest, and then what no page shows any more."""
        rows = [self.overview.row(volcano) for volcano in self.overview.s.volcanoes]
        self._write({FRONT: front_page(self.overview.front(rows))})
        here = self.new.all_files
        self.new.left = sorted(self.old.all_files - here)
        self._write({MANIFEST: self.new.text})
        self.shelf.remove(sorted(set(self.old.left) - here - set(self.new.left)))

    def _keep(self, key: str, *, marked: bool = True) -> None:
        """The pages stay as they are; not `marked` they are tried again next time."""
        if key in self.old.files:
            self.new.files[key] = self.old.files[key]
            if marked:
                self.new.marks[key] = self.old.marks[key]

    def _put(self, files: dict[str, bytes], pages: dict[str, bytes], *, again: bool) -> None:
        known = set() if again else self.old.all_files & self.there
        self._write({name: content for name, content in files.items() if name not in known})
        self._write(pages)

    def _write(self, files: dict[str, bytes]) -> None:
        self.shelf.write(files)
        self.count += len(files)


def _catalogue(s: Installation) -> list[catalogue.Volcano]:
    """All volcanoes, whichever this installation was narrowed to."""
    return list(catalogue.load(s.config.catalogue)) if Path(s.config.catalogue).is_file() else list(s.volcanoes)
