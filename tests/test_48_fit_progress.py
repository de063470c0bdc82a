"""A fit tells from its first second how far it is, and ends with what it means for each stack."""

from __future__ import annotations

import json

import pytest
from installation import FIT, QUIET, RISING

import insar_anomaly as ia
from insar_anomaly import cli
from insar_anomaly.pipeline.outcome import calibrated


class Watched:
    """What a progress bar was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, int, str]] = []

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        if stage == "fit":
            self.shown.append((done, total, note))


@pytest.mark.parametrize("kind", ["inline", "local"])
def test_a_fit_tells_every_block_from_wherever_it_runs(ingested, kind):
    ingested.only(990001, 990002)
    ingested.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')  # no network: seconds
    ingested.change('[cluster]\nkind = "inline"', f'[cluster]\nkind = "{kind}"\nworkers = 1')
    watched = Watched()
    with ia.open_installation(ingested.config, watch=watched) as s, s.run("fit") as run:
        ia.fit(s, run, period=FIT)
        table = list(calibrated(s))
    assert run.failures == []
    models, blocks = 6, 2
    first, *_, last = watched.shown
    assert first[:2] == (0, models * (blocks + 1))
    assert first[2].startswith("2 stacks, ")
    assert "6 models (pair, interval, acquisition), 2 blocks of time each" in first[2]
    assert last[:2] == (models * (blocks + 1),) * 2
    done = [one for one, _, _ in watched.shown]
    assert done == sorted(done)
    # events of a worker may come after the result that they lead to: then a block is not shown, and nothing is lost
    told = [note for _, _, note in watched.shown if ": block " in note]
    if kind == "inline":  # acquisitions are too few for a trial here
        assert {note.split(": ")[0] for note in told} == {
            f"{s} ({e})" for s in (QUIET, RISING) for e in ("pair", "interval")
        }
    assert [one.stack for one in table] == [QUIET, RISING]
    assert all(" of all sources" in one.words and one.figure.endswith("_interval.png") for one in table)


def test_the_command_ends_with_the_table(ingested, capsys):
    ingested.only(990002)
    ingested.change('weights = "random"\ndims = 20', 'kind = "matched_filter"')
    words = ["-c", str(ingested.config), "fit", "--to", str(FIT.last)]
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert f"{RISING}: intervals, threshold " in said
    assert "figures/calibration/990002_" in said
    assert cli.main(["--json", *words]) == 0
    [stack] = json.loads(capsys.readouterr().out)["stacks"]
    assert (stack["stack"], stack["evidence"]) == (RISING, "interval")
    assert stack["half"]["cm"] > 0
