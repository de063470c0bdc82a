"""The notebook runs as it stands, from its first cell to its last, on an installation with a flag and on one without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "notebooks" / "first_look.ipynb"


@pytest.fixture
def run(monkeypatch):
    """Runs every code cell of the notebook in a folder, as a kernel would; returns what the cells leave."""
    import matplotlib as mpl

    mpl.use("Agg")

    def go(folder):
        monkeypatch.chdir(folder)
        (folder / "night.toml").write_text((folder / "config.toml").read_text())
        names = {"__name__": "__main__"}
        for cell in json.loads(NOTEBOOK.read_text())["cells"]:
            if cell["cell_type"] == "code":
                exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, {cell['id']}", "exec"), names)
        import matplotlib.pyplot as plt

        names["figures"] = len(plt.get_fignums())
        plt.close("all")
        return names

    return go


def test_it_shows_the_stack_of_the_newest_flag(flagged, run):
    left = run(flagged.folder)
    assert left["stack"] == left["single"].iloc[-1]["stack"]
    assert left["figures"] == 3
    assert float(left["score_map"].max()) > 0


def test_it_shows_a_stack_where_there_is_no_flag(flagged, run):
    flagged.only(990001)
    left = run(flagged.folder)
    assert left["stack"].startswith("990001/")


def test_the_notebook_holds_no_output_and_is_linked():
    content = json.loads(NOTEBOOK.read_text())
    assert all(not cell["outputs"] for cell in content["cells"] if cell["cell_type"] == "code")
    assert "notebooks/first_look.ipynb" in (NOTEBOOK.parents[1] / "api.md").read_text()
