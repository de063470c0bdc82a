"""Every kind of source on every other kind's archive: the layout is named, with the line to write; empty folders too."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from insar_anomaly import cli
from insar_anomaly.config.source import SourceSettings
from insar_anomaly.errors import SourceUnavailable, StackFailed, WrongFolder
from insar_anomaly.simulate import scene
from insar_anomaly.sources import open_source
from insar_anomaly.tools.layouts import LAYOUTS, frame_name, source_lines, writer

DATES = [date(2021, 1, 5) + timedelta(days=12 * i) for i in range(3)]
FRAME = "064A_00001_010101"
OTHERS = [(kind, held) for kind in LAYOUTS for held in LAYOUTS if kind != held]


@dataclass(frozen=True)
class Tried:
    """An installation with one source, and how to ask it."""

    folder: Path

    @property
    def config(self) -> str:
        """Its configuration."""
        return str(self.folder / "config.toml")

    def said(self, capsys, *words: str) -> str:
        """What a command prints, one way or the other."""
        capsys.readouterr()
        assert cli.main(["-c", self.config, *words]) != 0
        out = capsys.readouterr()
        return out.out + out.err


@pytest.fixture(scope="session")
def archives(tmp_path_factory):
    """A small archive of each layout."""
    root = tmp_path_factory.mktemp("layouts")
    rng = np.random.default_rng(3)
    made = scene((60, 62), rng, dates=DATES, motion=[], pixel_km=(0.111, 0.111), turbulence_rad=0.5)
    for layout in LAYOUTS:
        writer(layout)(root / layout, FRAME, made, west=40.0, north=0.03)
    return root


@pytest.fixture
def installed(tmp_path):
    """Makes an installation whose source is of a kind."""

    def make(kind: str, url: Path, lines: str) -> Tried:
        (tmp_path / "volcanoes.toml").write_text(
            f'[[volcano]]\ngvp = 990001\nname = "There"\nlat = 0\nlon = 40.03\nbox_km = 3\nframes = ["{FRAME}"]\n'
        )
        (tmp_path / "config.toml").write_text(
            'store = "store"\nledger = "sqlite:///ledger.sqlite"\ncatalogue = "volcanoes.toml"\nfigures = "figures"\n'
            f'[[source]]\nkind = "{kind}"\nurl = "{url}"\n{lines}\n'
            '[detector]\nweights = "random"\ndims = 20\n[cluster]\nkind = "inline"\n'
        )
        return Tried(tmp_path)

    return make


def opened(kind, url):
    return open_source(SourceSettings(kind=kind, url=str(url), **tomllib.loads(source_lines(kind))), {})


@pytest.mark.parametrize("kind", LAYOUTS)
def test_each_kind_reads_its_own_archive(kind, archives):
    source = opened(kind, archives / kind)
    assert source.frames() == [frame_name(kind, FRAME)]
    assert source.pairs(frame_name(kind, FRAME)).pairs


@pytest.mark.parametrize(("kind", "held"), OTHERS)
def test_an_archive_in_another_layout_is_named_with_the_line_to_write(kind, held, archives):
    source = opened(kind, archives / held)
    with pytest.raises((SourceUnavailable, StackFailed)) as told:
        source.pairs(FRAME)
    words = str(told.value)
    assert f'it looks like {held}: write kind = "{held}"' in words
    assert "wait for data" not in words
    assert "catalogue" not in words


@pytest.mark.parametrize("kind", LAYOUTS)
def test_an_empty_folder_and_one_that_is_not_there_are_told_apart(kind, tmp_path):
    (tmp_path / "empty").mkdir()
    for ask in (lambda source: source.frames(), lambda source: source.pairs(FRAME)):
        with pytest.raises(WrongFolder, match=r"is empty, .*correct url in \[\[source\]\], or wait for data") as told:
            ask(opened(kind, tmp_path / "empty"))
        assert "catalogue" not in str(told.value)
        with pytest.raises(SourceUnavailable, match="does not exist"):
            ask(opened(kind, tmp_path / "nowhere"))


@pytest.mark.parametrize("kind", LAYOUTS)
def test_a_folder_of_other_files_is_not_told_to_wait(kind, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"x")
    with pytest.raises(WrongFolder, match=r"holds photo\.jpg.*correct url or kind in \[\[source\]\] \(kinds: licsar, hyp3"):
        opened(kind, tmp_path).frames()


@pytest.mark.parametrize(("kind", "held"), [("hyp3", "licsar"), ("aria", "hyp3"), ("folder", "nisar"), ("licsar", "folder")])
def test_ingest_and_doctor_say_the_same(kind, held, archives, installed, capsys):
    place = installed(kind, archives / held, source_lines(kind))
    for words in (["ingest", "--dry-run"], ["doctor"]):
        assert f'it looks like {held}: write kind = "{held}"' in place.said(capsys, *words)


@pytest.mark.parametrize("held", [layout for layout in LAYOUTS if layout != "folder"])
def test_a_folder_without_a_pattern_that_another_kind_reads_is_told_so(held, archives, installed, capsys):
    place = installed("folder", archives / held, f'frame = "{FRAME}"')
    for words in (["config", "--check", str(place.config)], ["ingest", "--dry-run"], ["doctor"]):
        said = place.said(capsys, *words)
        assert "[[source]] pattern: missing" in said
        assert f'looks like {held}: write kind = "{held}", which needs no pattern' in said


def test_products_deeper_than_their_kind_looks_are_found_and_the_folder_is_given(archives, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(archives / "aria")
    with pytest.raises(WrongFolder, match=rf"but file://{tmp_path}/a/b does; correct url in"):
        opened("aria", tmp_path).frames()
