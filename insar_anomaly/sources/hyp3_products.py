"""HyP3's products in a folder or a bucket: which there are, in which frame each is, and their files, also inside a .zip."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from insar_anomaly.errors import NotNow, PairRejected, Verdict
from insar_anomaly.names import direction
from insar_anomaly.sources.archive import Archive, Entry
from insar_anomaly.sources.hyp3_names import TEXT, ZIP, Name, split, track_of
from insar_anomaly.traffic import reading_files
from insar_anomaly.units import Platform

_LEVELS = 4
"""Folders below the URL in which products are looked for: a group, a frame, a product, its files."""
_OF_A_PAIR = ("unw_phase", "corr", "water_mask", TEXT, ZIP)
"""Files that a pair is read from; its fingerprint is theirs."""
_THREADS = 8


@dataclass(frozen=True)
class Product:
    """An interferogram of HyP3 as it lies in an archive.

    Parameters
    ----------
    name : what its name says
    frame : the frame it belongs to; "" where nothing tells
    files : URI by layer; of a .zip its own, under "zip"
    mark : changes when a file does that the pair is read from
    modified : when its newest file was last changed, s since 1970; NaN = unknown
    """

    name: Name
    frame: str
    files: Mapping[str, str]
    mark: str
    modified: float

    @property
    def zipped(self) -> bool:
        """True where the product is read inside its .zip."""
        return ZIP in self.files

    def uri(self, layer: str) -> str | None:
        """Where a layer is, as ledger and messages name it; None where it is missing. A .zip may lack it."""
        return f"{self.files[ZIP]}!{self.name.text}_{layer}.tif" if self.zipped else self.files.get(layer)


@dataclass(frozen=True)
class Facts:
    """What a product's parameter file says; what it does not say is unknown."""

    track: int | None = None
    way: str | None = None
    platforms: tuple[Platform, Platform] = (Platform.UNKNOWN, Platform.UNKNOWN)
    baseline: float = float("nan")
    utc_s: float = float("nan")


@dataclass(frozen=True)
class Found:
    """Products of an archive, and what was left out, one line each with the remedy."""

    products: tuple[Product, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclass
class _Files:
    """The files of one product while they are found."""

    name: Name
    folder: str | None
    entries: dict[str, Entry] = field(default_factory=dict)


def find(archive: Archive, folder: str) -> Found:
    """Every product below a folder; SourceUnavailable where it cannot be listed.

    A product's frame is the nearest folder above it whose name begins with a track and A or D (``064D_...``), else
    ``<track><A or D>_hyp3`` by its name, else by its parameter file.
    """
    contents = archive.below(folder, levels=_LEVELS)
    groups: dict[tuple[str, str], _Files] = {}
    strange = []
    for entry in contents.files:
        if (parts := split(entry.name)) is None:
            if entry.name.endswith("_unw_phase.tif"):
                strange.append(f"{archive.uri(entry.path)}: its name is not HyP3's; give the file its own name again")
            continue
        above = str(PurePosixPath(entry.path).parent)
        framed = next((one for one in reversed(_below(archive, above)) if direction(one)), None)
        # an unpacked product and its .zip may lie side by side: they are one
        group = groups.setdefault((framed or "", parts[0].text), _Files(parts[0], framed))
        group.entries.setdefault(parts[1], entry)
    products = [_product(archive, one) for one in groups.values() if set(one.entries) & {"unw_phase", "corr", ZIP}]
    placed, lost = _placed(archive, products)
    return Found(tuple(placed), (*contents.unlisted, *strange, *lost))


def _below(archive: Archive, path: str) -> Sequence[str]:
    """The names of the folders from an archive's URL, its own included, down to a path."""
    root = PurePosixPath(archive.root)
    return (root.name, *PurePosixPath(path).relative_to(root).parts)


def _product(archive: Archive, group: _Files) -> Product:
    whole = {"unw_phase", "corr"} <= set(group.entries)
    held = {what: one for what, one in group.entries.items() if (what != ZIP if whole else what == ZIP)} or group.entries
    marks = [f"{what} {one.size} {one.mark}" for what, one in sorted(held.items()) if what in _OF_A_PAIR]
    times = [one.modified for one in held.values() if one.modified is not None]
    name, way = group.name, group.name.way
    frame = group.folder or (f"{name.track:03d}{way}_hyp3" if name.track and way else "")
    mark = hashlib.sha256("|".join([name.text, *marks]).encode()).hexdigest()[:16]
    uris = {what: archive.uri(one.path) for what, one in held.items()}
    return Product(name, frame, uris, mark, max(times, default=float("nan")))


def _placed(archive: Archive, products: Sequence[Product]) -> tuple[list[Product], list[str]]:
    """Products with a frame, and what is to say of those that have none."""
    asked = [one for one in products if not one.frame]
    if archive.local or len(asked) < 2:
        told = [_facts(archive, one) for one in asked]
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            told = list(pool.map(lambda one: _facts(archive, one), asked))
    placed = [one for one in products if one.frame]
    lost = []
    for one, facts in zip(asked, told, strict=True):
        if facts.track and facts.way:
            placed.append(Product(one.name, f"{facts.track:03d}{facts.way}_hyp3", one.files, one.mark, one.modified))
        else:
            lost.append(
                f"{one.name.text}: its parameter file {one.name.text}.txt does not tell track and pass; "
                "put the product into a folder named by its frame, as 064D_name"
            )
    return placed, lost


_TOLD: dict[tuple[str, str], Facts] = {}
"""What parameter files said, by file and mark: a listing asks for all of them each time."""


def _facts(archive: Archive, product: Product) -> Facts:
    key = (product.files.get(TEXT, product.files.get(ZIP, "")), product.mark)
    if key not in _TOLD:
        try:
            with unpacked(archive, product) as files:
                _TOLD[key] = files.facts()
        except (PairRejected, NotNow):
            return Facts()
    return _TOLD[key]


@contextmanager
def unpacked(archive: Archive, product: Product) -> Iterator[Unpacked]:
    """The product's files, a .zip opened once for all of them.

    Raises
    ------
    PairRejected, NotNow, SourceUnavailable
        as `sources.archive` tells them apart; UNREADABLE where the .zip is broken.
    """
    if not product.zipped:
        yield Unpacked(archive, product)
        return
    uri = product.files[ZIP]
    with archive.file(uri) as held:
        try:
            packed = zipfile.ZipFile(held)
        except (zipfile.BadZipFile, ValueError) as problem:
            fault = archive.fault(uri, problem)
            if isinstance(problem.__context__, OSError) and isinstance(fault, PairRejected) and not archive.local:
                # zipfile makes storage's own failure a bad file
                raise NotNow(f"{uri}: {problem.__context__}; it is tried again in the next run") from problem
            raise fault from problem
        members = {parts[1]: name for name in packed.namelist() if (parts := split(PurePosixPath(name).name))}
        with packed:
            yield Unpacked(archive, product, packed, members)


class _OfAnother(Exception):
    """A read failed in another of the layers that are open: it is for that one to say so."""

    def __init__(self, problem: RasterioError) -> None:
        super().__init__(str(problem))
        self.problem = problem


@contextmanager
def _own(uri: str) -> Iterator[None]:
    """Pass on what went wrong in another layer, and take what was passed on of this one: each names its own file."""
    try:
        yield
    except RasterioError as problem:
        if getattr(problem, "about", uri) != uri:
            raise _OfAnother(problem) from problem
        raise
    except _OfAnother as passed:
        if getattr(passed.problem, "about", None) == uri:
            raise passed.problem from passed
        raise


@dataclass(frozen=True)
class Unpacked:
    """The files of a product that is open."""

    archive: Archive
    product: Product
    packed: zipfile.ZipFile | None = None
    members: Mapping[str, str] = field(default_factory=dict)

    def has(self, layer: str) -> bool:
        """True where there is such a file."""
        return layer in (self.product.files if self.packed is None else self.members)

    @contextmanager
    def raster(self, layer: str) -> Iterator[tuple[rasterio.DatasetReader, str]]:
        """A layer, open for windowed reads, and the name that messages give it.

        Inside a local .zip it is read by windows; inside a distant one, the layer is fetched whole.

        Raises
        ------
        PairRejected
            MISSING_PHASE or MISSING_COHERENCE where there is none; UNREADABLE.
        """
        uri = self.product.uri(layer)
        if uri is None or not self.has(layer):
            missing = Verdict.MISSING_PHASE if layer == "unw_phase" else Verdict.MISSING_COHERENCE
            where = self.product.files.get(ZIP, self.product.name.text)
            raise PairRejected(missing, f"{where} holds no {self.product.name.text}_{layer}.tif; bring the product again")
        if self.packed is None:
            with self.archive.opened(uri) as tif, _own(uri):
                yield tif, uri
            return
        try:
            if self.archive.local:
                inside = f"/vsizip/{{{self.archive.path(self.product.files[ZIP])}}}/{self.members[layer]}"
                with reading_files(), rasterio.open(inside) as tif, _own(uri):
                    yield tif, uri
            else:
                with MemoryFile(self._bytes(layer)) as memory, memory.open() as tif, _own(uri):
                    yield tif, uri
        except RasterioError as problem:
            raise _broken(uri, problem) from problem

    def facts(self) -> Facts:
        """What the parameter file says; nothing where there is none."""
        if not self.has(TEXT):
            return Facts()
        if self.packed is not None:
            return read_facts(self._bytes(TEXT).decode("utf-8", "replace"))
        with self.archive.file(self.product.files[TEXT]) as held:
            return read_facts(held.read().decode("utf-8", "replace"))

    def _bytes(self, what: str) -> bytes:
        assert self.packed is not None
        try:
            return self.packed.read(self.members[what])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as problem:
            raise _broken(f"{self.product.files[ZIP]}!{PurePosixPath(self.members[what]).name}", problem) from problem


def read_facts(text: str) -> Facts:
    """What a parameter file says: lines of ``name: value``; lines of another form are skipped."""
    said = {
        key.strip().lower(): value.strip() for key, sep, value in (line.partition(":") for line in text.splitlines()) if sep
    }
    granules = said.get("reference granule", ""), said.get("secondary granule", "")
    orbits = said.get("reference orbit number", ""), said.get("secondary orbit number", "")
    tracks = [track_of(one, int(orbit)) for one, orbit in zip(granules, orbits, strict=True) if orbit.isdigit()]
    a, b = (Platform.__members__.get(one[:3], Platform.UNKNOWN) for one in granules)
    return Facts(
        track=next((track for track in tracks if track), None),
        way={"ASCENDING": "A", "DESCENDING": "D"}.get(said.get("reference pass direction", "").upper()),
        platforms=(a, b),
        baseline=_number(said.get("baseline", "")),
        utc_s=_number(said.get("utc time", "")),
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _broken(uri: str, problem: Exception) -> PairRejected:
    lines = str(problem.__cause__ or problem).splitlines() or [type(problem).__name__]
    return PairRejected(Verdict.UNREADABLE, f"{uri}: {lines[0]}; bring the product again")
