"""The house itself: the import law, nothing large tracked, nothing heavy at import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_the_import_law_holds():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_nothing_large_and_nothing_made_is_tracked():
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout: what is tracked cannot be asked")
    files = [ROOT / name for name in done.stdout.split("\0") if name]
    assert files
    large = [str(f.relative_to(ROOT)) for f in files if f.exists() and f.stat().st_size > 2**20]
    assert large == []
    assert not [f for f in files if f.suffix in {".tif", ".nc", ".sqlite", ".npz"}]


@pytest.mark.parametrize("module", ["insar_anomaly", "insar_anomaly.cli"])
def test_importing_it_is_light(module):
    heavy = (
        "torch",
        "torchvision",
        "xarray",
        "dask",
        "distributed",
        "zarr",
        "sklearn",
        "matplotlib",
        "sqlalchemy",
        "prefect",
    )
    code = f"import sys, {module}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_never_imports_prefect_even_when_it_works():
    code = (
        "import sys\n"
        "from insar_anomaly import benchmark, calibrate, cli, demo, doctor, pipeline, tasks\n"
        "import insar_anomaly.benchmark._run, insar_anomaly.report.figures\n"
        "print('prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
