"""A tiny installation for tests: two simulated frames, three volcanoes, one configuration, screened within seconds.

Frame `WIDE` holds Quiet Peak and Rising Cone, whose ground rises by 12 cm after the fit period; frame `SHORT` holds Silent
Caldera, which moves even more, but has too few quiet pairs for a threshold: it is blind.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from insar_anomaly import config, pipeline
from insar_anomaly.names import Period
from insar_anomaly.pipeline import Installation as Opened
from insar_anomaly.pipeline import Run
from insar_anomaly.report.digest import Digest
from insar_anomaly.simulate import PointSource, Unrest, scene
from insar_anomaly.tools.layouts.licsar import write_archive

WIDE, SHORT = "001A_00001_010101", "002D_00002_020202"
QUIET, RISING, BLIND = f"990001/{WIDE}", f"990002/{WIDE}", f"990003/{SHORT}"
STEP, KM = 0.001, 0.11132
NORTH, WEST, SHORT_WEST = 0.032, 40.0, 41.0
DATES = tuple(date(2021, 1, 5) + timedelta(days=12 * i) for i in range(22))
FIT = Period(DATES[0], DATES[14])
UNREST = Unrest(PointSource(32, 94, depth_km=1.2, peak_cm=12.0), DATES[17] + timedelta(1), DATES[18] - timedelta(1))
AS_OF = DATES[-1] + timedelta(days=3)

CONFIG = """\
store = "store"
ledger = "sqlite:///ledger.sqlite"
catalogue = "volcanoes.toml"
figures = "figures"

[[source]]
url = "archive"

[ingest]
batch = 16

[detector]
weights = "random"
dims = 20

[calibrate]
folds = 2
min_pairs = 15
peaks_cm = [8.0]

[cluster]
kind = "inline"

[[channel]]
kind = "files"
folder = "notices"
"""
ENTRY = '[[volcano]]\ngvp = {gvp}\nname = "{name}"\nlat = 0.0\nlon = {lon}\nframes = ["{frame}"]\nbox_km = 6\n{more}'


@dataclass(frozen=True)
class Installation:
    """An installation's folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """Its configuration."""
        return self.folder / "config.toml"

    @property
    def archive(self) -> Path:
        """Its archive of frames."""
        return self.folder / "archive"

    @property
    def notices(self) -> list[Path]:
        """JSON files of the delivered notices."""
        return sorted((self.folder / "notices").glob("*.json"))

    def change(self, old: str, new: str) -> None:
        """Change the configuration; `old` must be in it."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def only(self, *gvp: int) -> None:
        """Keep only these volcanoes in the catalogue."""
        entries = (self.folder / "volcanoes.toml").read_text().split("[[volcano]]")[1:]
        kept = [e for e in entries if any(f"gvp = {number}\n" in e for number in gvp)]
        assert len(kept) == len(gvp)
        (self.folder / "volcanoes.toml").write_text("".join(f"[[volcano]]{e}" for e in kept))

    def phase(self, pair: str, frame: str = WIDE) -> Path:
        """The GeoTIFF of a pair's phase."""
        return self.archive / frame / "interferograms" / pair / f"{pair}.geo.unw.tif"

    def coherence(self, pair: str, frame: str = WIDE) -> Path:
        """The GeoTIFF of a pair's coherence."""
        return self.archive / frame / "interferograms" / pair / f"{pair}.geo.cc.tif"

    def pairs(self, frame: str = WIDE) -> list[str]:
        """Names of a frame's pairs in order of dates."""
        names = [p.name for p in (self.archive / frame / "interferograms").iterdir()]
        return sorted(names, key=lambda name: (name[9:], name[:8]))

    @contextmanager
    def opened(self, kind: str = "test", as_of: date = AS_OF) -> Iterator[tuple[Opened, Run]]:
        """The installation opened in this process, and a run in it."""
        with pipeline.open_installation(config.load(self.config)) as s, s.run(kind, as_of) as run:
            yield s, run

    def ingest(self, as_of: date = AS_OF) -> Run:
        """Ingest; returns the run."""
        with self.opened("ingest", as_of) as (s, run):
            pipeline.ingest(s, run)
        return run

    def fit(self, period: Period = FIT, *, again: bool = False) -> Run:
        """Fit; returns the run."""
        with self.opened("fit") as (s, run):
            pipeline.fit(s, run, period=period, again=again)
        return run

    def nightly(self, as_of: date = AS_OF, period: Period | None = None) -> tuple[Run, dict[str, Any]]:
        """One night; returns the run and its digest in its JSON form."""
        run, digest = self.night(as_of, period)
        return run, json.loads(digest.text)

    def night(self, as_of: date = AS_OF, period: Period | None = None) -> tuple[Run, Digest]:
        """One night; returns the run and its digest."""
        with self.opened("nightly", as_of) as (s, run):
            digest = pipeline.nightly(s, run, period=period)
        return run, digest

    def verdicts(self, stack: str) -> dict[str, int]:
        """Verdict of every pair of a stack, as the ledger says."""
        return dict(self.rows("select pair, verdict from interferogram where stack = ?", stack))

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of the ledger's database."""
        with closing(sqlite3.connect(f"file:{self.folder / 'ledger.sqlite'}?mode=ro", uri=True)) as database:
            return list(database.execute(query, values))


# what differs between two runs that did the same: when, under which run and in which snapshot
VOLATILE = {"run", "started", "finished", "created", "delivered_at", "published", "snapshot", "uri", "attempts"}


def ledger_content(installation: Installation) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that lasts, without what differs from run to run, in a fixed order."""
    out = {}
    for table in ("interferogram", "model", "score", "episode", "notice"):
        columns = [row[1] for row in installation.rows(f"pragma table_info({table})") if row[1] not in VOLATILE]
        if table in ("notice", "model"):
            columns = [c for c in columns if c not in ("number", "payload", "detail")]
        if table == "interferogram":
            columns.remove("detail")  # names a folder
        out[table] = sorted(installation.rows(f"select {', '.join(columns)} from {table}"), key=repr)
    return out


def store_content(installation: Installation) -> dict[str, Any]:
    """Content hashes of every stack, of its models and of its scores, all sorted by pair."""
    from insar_anomaly.stack.arrays import content_hash

    out: dict[str, Any] = {}
    with installation.opened() as (s, _):
        for stack in s.by_stack:
            if not s.store.has(stack):
                continue
            held = s.store.open(stack).load()
            held.attrs = {k: v for k, v in held.attrs.items() if k not in ("snapshot", "source")}
            out[stack] = (tuple(map(str, held["pair"].values)), content_hash(held.drop_vars("pair")))
            for model in s.ledger.models(stack):
                out[f"{stack} {model.model}"] = content_hash(s.store.read_model(stack, model.model))
                scores = s.store.read_scores(stack, model.model)
                if scores is not None:
                    after = scores["after"].values if "after" in scores else np.zeros(scores.sizes["pair"], int)
                    looks = list(zip(map(str, scores["pair"].values), after, strict=True))
                    assert len(set(looks)) == len(looks)
                    # which assessments were scored together differs, where a run was stopped and begun again
                    scores = scores.drop_vars(["batch", "batch_place"], errors="ignore")
                    ordered = scores.load().isel(pair=np.lexsort((after, scores["pair"].values)))
                    out[f"{stack} {model.model} scores"] = content_hash(ordered.drop_vars("pair"))
    return out


def build(folder: Path) -> Installation:
    """Simulate the archive and write catalogue and configuration."""
    new = Installation(folder)
    still = scene((64, 124), np.random.default_rng(3), dates=DATES, motion=[UNREST], pixel_km=(KM, KM), turbulence_rad=0.5)
    write_archive(new.archive, WIDE, still, west=WEST, north=NORTH, step=STEP)
    source = PointSource(32, 32, depth_km=1.2, peak_cm=20.0)
    moving = [Unrest(source, UNREST.start, UNREST.end)]
    few = scene((64, 64), np.random.default_rng(4), dates=DATES[8:20], motion=moving, pixel_km=(KM, KM), turbulence_rad=0.5)
    write_archive(new.archive, SHORT, few, west=SHORT_WEST, north=NORTH, step=STEP)
    entries = [
        ENTRY.format(gvp=990001, name="Quiet Peak", lon=WEST + 0.03, frame=WIDE, more=""),
        ENTRY.format(gvp=990002, name="Rising Cone", lon=WEST + 0.094, frame=WIDE, more='contacts = ["duty@example.org"]\n'),
        ENTRY.format(gvp=990003, name="Silent Caldera", lon=SHORT_WEST + 0.032, frame=SHORT, more=""),
    ]
    (folder / "volcanoes.toml").write_text("\n".join(entries))
    new.config.write_text(CONFIG)
    return new


def copy(installation: Installation, folder: Path) -> Installation:
    """A copy that may be spoiled; the files keep their times, so that they count as seen."""
    shutil.copytree(installation.folder, folder, dirs_exist_ok=True)
    return Installation(folder)


def write_tif(path: Path, array: np.ndarray, **profile: Any) -> None:
    """Write a GeoTIFF anew, in the profile of the one that is there except for what is given."""
    with rasterio.open(path) as tif:
        kept = dict(tif.profile)
    path.unlink()
    with rasterio.open(path, "w", **kept | {"height": array.shape[0], "width": array.shape[1]} | profile) as tif:
        tif.write(array, 1)


def read_tif(path: Path) -> np.ndarray:
    """The first band of a GeoTIFF."""
    with rasterio.open(path) as tif:
        return np.asarray(tif.read(1))


def flagged(installation: Installation) -> list[tuple[Any, ...]]:
    """Stack, number, since and until of every flag."""
    return installation.rows("select stack, number, since, until from episode order by stack, number")


def command(*words: str | Path) -> Sequence[str]:
    """The command line of `insar-anomaly`."""
    import sys

    return [sys.executable, "-m", "insar_anomaly", *map(str, words)]
