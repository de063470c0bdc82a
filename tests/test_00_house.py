"""The house: who may import whom, what may be in the repository, what an import costs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CODE = sorted(file for folder in ("insar_anomaly", "flows") for file in (ROOT / folder).rglob("*.py"))


def imported(file):
    """First names of the modules that a file imports, anywhere in it."""
    return set(re.findall(r"^\s*(?:from|import)\s+(\w+)", file.read_text(encoding="utf-8"), re.M))


def test_the_import_law_holds():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_prefect_is_imported_by_flows_only():
    using = {file.relative_to(ROOT).parts[0] for file in CODE if "prefect" in imported(file)}
    assert using == {"flows"}


def test_nothing_heavy_is_imported_with_the_package():
    code = "import sys; before = set(sys.modules); import insar_anomaly; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names
    assert loaded == {"insar_anomaly"}


LARGER = {"insar_anomaly/detectors/weights/insar-resnet18.safetensors": 8 * 2**20}
"""The weights that come with the package."""


def test_no_file_of_the_repository_is_over_one_mebibyte():
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = [name for name in done.stdout.decode().split("\0") if (ROOT / name).is_file()]
    assert files
    assert [name for name in files if (ROOT / name).stat().st_size > LARGER.get(name, 2**20)] == []


def test_every_folder_of_code_is_installed():
    with (ROOT / "pyproject.toml").open("rb") as file:
        installed = set(tomllib.load(file)["tool"]["setuptools"]["packages"])
    assert installed == {".".join(file.parent.relative_to(ROOT).parts) for file in CODE}


def test_no_test_is_in_a_package_and_every_test_file_has_its_floor():
    files = [file.name for file in (ROOT / "tests").glob("*.py")]
    assert "__init__.py" not in files
    assert [name for name in files if name.startswith("test_") and not re.match(r"test_\d\d_", name)] == []


TAKEN_APART = (
    re.compile(r"\[:8\]|\[9:\]"),  # a date cut out of a pair's name
    re.compile(r"""split\(["'][_/+]["']|partition\(["'][/+]["']\)"""),
    re.compile(r"%Y%m%d"),
)
"""Signs that a name of a pair or a stack is taken apart or put together."""
NOT_NAMES = {
    "insar_anomaly/names.py",  # the place for it
    "insar_anomaly/cli/parser.py",  # dates as people write them on a command line
    "insar_anomaly/config/sections.py",  # an example of a pattern
    "insar_anomaly/files/pattern.py",  # dates as files' names have them, whoever wrote them
    "insar_anomaly/sources/_disp_chain.py",  # the same, of one provider
    "insar_anomaly/tools/layouts/folder.py",  # a pattern
    "insar_anomaly/detectors/_training.py",  # keys of a checkpoint
    "insar_anomaly/sources/licsar_layout.py",  # paths of an archive
    "insar_anomaly/sources/misplaced.py",  # the same
    "insar_anomaly/sources/web_file.py",  # a header of HTTP
    "insar_anomaly/stack/store/repository.py",  # bucket and prefix of a URL
    "insar_anomaly/tools/rehearse/server.py",  # the bucket in the path of a request
}


def test_names_are_taken_apart_in_one_place():
    found = []
    for file in CODE:
        name = str(file.relative_to(ROOT))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            hit = any(sign.search(line) for sign in TAKEN_APART) and not re.search(r"digest\(?\)?\[:8\]|content\[:8\]", line)
            if hit and name not in NOT_NAMES:
                found.append(f"{name}:{number}: {line.strip()}")
    assert found == []


def test_what_passes_between_rooms_has_a_type():
    """At most 25 places speak of an untyped mapping: what a foreign library hands over."""
    loose = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in CODE
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(r"(?:dict|Mapping)\[str, Any\]", line)
    ]
    assert len(loose) <= 25, loose


BARE = ("dask", "distributed", "zarr", "icechunk", "rasterio", "sqlalchemy", "pydantic", "prefect", "matplotlib", "fsspec")
SCIENCE = (
    "insar_anomaly.simulate",
    "insar_anomaly.tiles.preprocess",
    "insar_anomaly.evidence",
    "insar_anomaly.detectors",
    "insar_anomaly.detectors.padim",
    "insar_anomaly.calibration.threshold",
    "insar_anomaly.tools.pretrain.recipe",
)


def test_the_science_imports_without_storage_database_and_figures():
    blocked = "\n".join(f"sys.modules[{name!r}] = None" for name in BARE)
    code = f"import sys\n{blocked}\nimport importlib\nfor name in {SCIENCE!r}: importlib.import_module(name)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
