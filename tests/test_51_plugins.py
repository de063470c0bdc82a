"""A source, a detector and a channel of another installed package, through the command line; and one that is broken."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from installation import AS_OF, DATES, NORTH, RISING, STEP, WEST, WIDE, Installation, command, read_tif
from installation import copy as copied

from insar_anomaly import cli, detectors, registry
from insar_anomaly.tools import benchmark
from insar_anomaly.tools.benchmark.cases import chosen_systems

HERE = Path(__file__).parent
TINY = {
    "sources": "arrays = tiny_plugin:ARRAYS",
    "detectors": "blocks = tiny_plugin:BLOCKS",
    "channels": "diary = tiny_plugin:DIARY",
}
FIT = ("--from", DATES[0], "--to", DATES[14])


def install(site: Path, package: str, entries: dict[str, str], module: str | None = None) -> None:
    """What an installer leaves in a folder: the module, and the metadata with its entry points."""
    info = site / f"{package.replace('-', '_')}-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("".join(f"[insar_anomaly.{group}]\n{line}\n" for group, line in entries.items()))
    if module:
        (site / f"{module}.py").write_bytes((HERE / "plugin" / f"{module}.py").read_bytes())


@dataclass(frozen=True)
class Installed:
    """An installation, and the folder with the packages that it finds beside this one."""

    here: Installation
    site: Path

    def run(self, *words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        """A command; its exit code must be `code`."""
        path = os.pathsep.join([str(self.site), str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            words if words[0] == sys.executable else command("-c", self.here.config, *map(str, words)),
            capture_output=True,
            text=True,
            check=False,
            cwd=HERE.parent,
            env=os.environ | {"PYTHONPATH": path},
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


def as_arrays(here: Installation) -> None:
    """The archive's GeoTIFFs as one .npz per frame."""
    pairs = here.pairs(WIDE)
    phase = np.stack([read_tif(here.phase(pair)) for pair in pairs])
    (here.folder / "arrays").mkdir()
    np.savez(
        here.folder / "arrays" / f"{WIDE}.npz",
        pairs=np.array(pairs),
        phase=np.where(phase == 0, np.nan, phase).astype(np.float32),
        coherence=np.stack([read_tif(here.coherence(pair)) for pair in pairs]),
        west=WEST,
        north=NORTH,
        step=STEP,
    )


def configure(here: Installation) -> None:
    """All three kinds of the plugin in the configuration."""
    here.change('url = "archive"', 'kind = "arrays"\nurl = "arrays"')
    here.change('weights = "random"\ndims = 20', 'kind = "blocks"\nblock = 4')
    here.change('kind = "files"\nfolder = "notices"', 'kind = "diary"\nfolder = "told"\nwidth = 200')


@pytest.fixture(scope="module")
def screened(built: Installation, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A volcano that rises, screened with nothing but the plugin's parts. Shared: copy it, never change it."""
    here = copied(built, tmp_path_factory.mktemp("plugged") / "here")
    site = here.folder.parent / "site"
    install(site, "tiny-plugin", TINY, "tiny_plugin")
    here.only(990002)
    as_arrays(here)
    configure(here)
    one = Installed(here, site)
    one.run("ingest")
    one.run("fit", *FIT)
    one.run("nightly", "--as-of", AS_OF)
    return one


def test_a_night_with_another_packages_source_detector_and_channel_raises_its_flag_and_tells_it(screened):
    here = screened.here
    assert set(here.verdicts(RISING)) == set(here.pairs(WIDE))
    assert here.rows("select distinct detector from model") == [("blocks",)]
    assert f"{RISING}:1: " in screened.run("flags").stdout
    (line,) = (here.folder / "told" / "diary.txt").read_text().splitlines()
    assert "Screening flag raised: Rising Cone, " in line


def test_the_conformance_kit_runs_on_another_packages_detector(screened):
    kit = HERE / "test_25_conformance.py"
    done = screened.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", kit, "-k", "blocks")
    assert " 10 passed" in f" {done.stdout.strip().splitlines()[-1]}"


def test_the_printed_configuration_and_the_check_before_a_run_import_no_reader_of_geotiffs(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('[[source]]\nkind = "licsar"\nurl = "archive"\n')
    printed = "from insar_anomaly import cli; cli.main(['config'])"
    checked = f"from insar_anomaly.pipeline.check import load_checked; load_checked({str(file)!r}, volcanoes=False)"
    for code in (printed, checked):
        code += "; import sys; assert 'rasterio' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, check=True)


# ------------------------------------------------------------------------------------------------------ in this process


@dataclass(frozen=True)
class Own:
    """A copy of the screened installation for one test, and its packages, which this process finds."""

    here: Installation
    site: Path
    said: pytest.CaptureFixture[str]

    def run(self, *words: object, code: int = 0) -> str:
        """What a command prints; its exit code must be `code`."""
        registry._plugins.cache_clear()
        assert cli.main(["-c", str(self.here.config), *map(str, words)]) == code
        printed = self.said.readouterr()
        assert "Traceback" not in printed.err
        return printed.out + printed.err


@pytest.fixture
def own(
    screened: Installed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Own]:
    shutil.copytree(screened.site, tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "tiny_plugin", raising=False)
    yield Own(copied(screened.here, tmp_path / "here"), tmp_path / "site", capsys)
    registry._plugins.cache_clear()
    sys.modules.pop("tiny_plugin", None)


def test_doctor_and_the_printed_configuration_list_what_other_packages_add(own):
    said = own.run("doctor", code=1)
    assert [line[:10] for line in said.splitlines() if line.startswith("FAIL")] == ["FAIL stack"]  # old data are stale
    assert "ok   source arrays: of package tiny-plugin 0.1" in said
    assert "ok   detector blocks: of package tiny-plugin 0.1" in said
    assert "ok   channel diary: of package tiny-plugin 0.1" in said
    printed = own.run("config")
    assert f"# kinds of source: {', '.join(registry.SOURCES.own)}, arrays\n" in printed
    assert '# settings of kind = "blocks":\n# block = 8  # pixels per side of a block\n' in printed
    assert '# Notices as lines of a text file.\n# [[channel]]\n# kind = "diary"' in printed
    assert '# folder = "..."  # required: folder of the file diary.txt' in printed
    assert "# width = 60  # characters per line\n" in printed


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'kind = "arrays"',
            'kind = "array"',
            'not "array"; did you mean arrays?',
        ),
        ('kind = "blocks"', 'kind = "block"', "diffusion, cnn, blocks; did you mean blocks?"),
        ("block = 4", "blck = 4", "[detector] blck: unknown key; did you mean block?"),
        (
            "block = 4",
            'block = "four"',
            '[detector] block: give a whole number, not "four". Meaning: pixels per side of a block',
        ),
        (
            'kind = "diary"',
            'kind = "diaries"',
            '"apprise", "command" or "diary", not "diaries"; did you mean diary?',
        ),
        (
            "width = 200",
            "width = 3",
            "[[channel]] width: give a whole number from 20 on, not 3. Meaning: characters per line",
        ),
        ("width = 200", "widht = 200", "[[channel]] widht: unknown key; did you mean width?"),
    ],
)
def test_settings_of_other_packages_are_checked_with_their_line(own, old, new, words):
    own.here.change(old, new)
    number = 1 + own.here.config.read_text().splitlines().index(new)
    said = own.run("config", "--check", own.here.config, code=2)
    assert f"{own.here.config}:{number}: " in said
    assert words in said


def test_the_comparison_has_a_system_for_another_packages_detector(own):
    split = ("--train-until", DATES[11], "--test-from", DATES[12])
    words = ("--out", own.here.folder / "out", *split, "--peaks", "12", "--budget", "tiny", "--system", "blocks")
    assert "| blocks: defaults |" in own.run("benchmark", *words)


BROKEN = dict.fromkeys(TINY, "broken = broken_plugin:NOTHING")
WHY = "of package broken-plugin 0.1 cannot be imported: ModuleNotFoundError: No module named 'broken_plugin'"


def test_a_package_that_cannot_be_imported_is_told_by_name_and_breaks_nothing_else(own):
    install(own.site, "broken-plugin", BROKEN)
    said, printed = own.run("doctor", code=1), own.run("config")
    for sort in ("source", "detector", "channel"):
        assert f"FAIL {sort} broken: {sort} broken {WHY}; mend or uninstall broken-plugin" in said
    assert said.count("FAIL") == 4  # and the old data are stale
    assert f"# detector broken {WHY}" in printed
    assert f"# channel broken {WHY}" in printed
    own.run("fit", "--again", *FIT)
    own.run("nightly", "--as-of", AS_OF)
    given = argparse.Namespace(system=[], budget="tiny", weights="random", seed=0)
    systems, left_out = chosen_systems(given)
    assert systems == (*benchmark.SYSTEMS, "blocks")
    assert left_out == [f"detector broken {WHY}; mend or uninstall broken-plugin; it is left out of the comparison"]


@pytest.mark.parametrize("sort", ["source", "detector", "channel"])
def test_the_command_that_needs_a_broken_package_names_it_and_reading_goes_on(own, sort):
    install(own.site, "broken-plugin", BROKEN)
    used = {"source": "arrays", "detector": "blocks", "channel": "diary"}[sort]
    own.here.change(f'kind = "{used}"', 'kind = "broken"')
    doctor = 1 if sort == "channel" else 2  # channels are among the findings
    for words, code in ((("nightly", "--as-of", AS_OF), 2), (("doctor",), doctor)):
        assert f"{sort} broken {WHY}; mend or uninstall broken-plugin" in own.run(*words, code=code)
    assert f"{RISING}:1: " in own.run("flags")


def test_a_stored_model_of_a_package_that_is_gone_fails_its_stack_and_says_why(own):
    shutil.rmtree(own.site / "tiny_plugin-0.1.dist-info")
    install(own.site, "tiny-plugin", {group: line for group, line in TINY.items() if group != "detectors"})
    install(own.site, "broken-plugin", BROKEN)
    registry._plugins.cache_clear()
    with own.here.opened() as (s, _):
        stored = s.store.read_model(RISING, s.ledger.models(RISING)[0].model)
    with pytest.raises(ValueError, match=r"kind 'BlocksScorer' is not one of this version.*detector broken of package"):
        detectors.load(stored)


def test_a_kind_that_is_there_already_is_not_replaced_by_another_package(own):
    install(own.site, "rival", {"sources": "licsar = tiny_plugin:ARRAYS", "detectors": "blocks = tiny_plugin:BLOCKS"})
    said = own.run("nightly", "--as-of", AS_OF, code=2)
    assert "detector blocks of package rival 0.1: package tiny-plugin 0.1 has a detector of the same name" in said
    own.here.change('kind = "blocks"\nblock = 4', 'kind = "padim"\nweights = "random"')
    said = own.run("doctor", code=1)
    assert "FAIL source licsar: source licsar of package rival 0.1: this package has a source of the same name" in said
    own.here.change('kind = "arrays"\nurl = "arrays"', 'kind = "licsar"\nurl = "archive"')
    own.run("ingest", "--dry-run")


def test_a_registration_of_the_wrong_form_is_told(own):
    install(own.site, "odd", {"detectors": "odd = tiny_plugin:DIARY"})
    own.here.change('kind = "blocks"\nblock = 4', 'kind = "odd"')
    said = own.run("nightly", code=2)
    assert "detector odd of package odd 0.1: tiny_plugin:DIARY is no insar_anomaly.detectors.base.Registration" in said


def test_a_scorer_whose_class_has_the_name_of_another_detectors_scorer_is_refused(own):
    (own.site / "copycat.py").write_text(
        "from insar_anomaly.detectors.base import Registration\nfrom tiny_plugin import Blocks, BlocksScorer\n"
        "class PadimScorer(BlocksScorer):\n    pass\nCOPY = Registration(Blocks, PadimScorer)\n"
    )
    install(own.site, "copycat", {"detectors": "copy = copycat:COPY"})
    own.here.change('kind = "blocks"', 'kind = "copy"')
    said = own.run("fit", *FIT, code=2)
    assert "detector copy: its PadimScorer has the name of the scorer of padim; rename the class" in said
